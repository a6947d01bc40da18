# dump_restores_exactly: pg_dump | restore gives equal rows, sealed all the way, and
# a hub that works; so do the custom format and a dump taken after an erasure.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('source');
$node->safe_psql('source', <<'SQL');
SELECT hub.add_data_class('loyalty', true, 'Membership numbers');
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact') UNIQUE,
	phone hub.encrypted_phone('contact'),
	name hub.encrypted_text('basic'),
	born hub.encrypted_date('basic'),
	profile hub.encrypted_jsonb('content'),
	card hub.encrypted_text('loyalty')
);
CREATE UNIQUE INDEX person_email_tag ON person (hub.equality_tag(email));
CREATE INDEX person_card ON person USING hash (card);
SELECT hub.govern('person', 'id', 'region', 'line_id');
GRANT SELECT, INSERT, UPDATE ON person TO hub_agent, hub_sales;
INSERT INTO person
SELECT gen_random_uuid(), CASE WHEN g % 2 = 0 THEN 'DE' ELSE 'US-CA' END::hub.region, 1,
	'person' || g || '@example.com', '+4915123456' || lpad(g::text, 3, '0'), 'Person ' || g,
	date '1980-01-01' + g, jsonb_build_object('n', g), 'Card no. ' || g
FROM generate_series(1, 50) g;
CREATE ROLE sam LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE,US}', '{1}', '{1}');
SELECT hub.set_clearance('hub_sales', 'loyalty', 'mask');
SELECT hub.destroy_subject_key(id) FROM (SELECT id FROM person ORDER BY id LIMIT 5) s;
SQL

my $rows = q{SELECT * FROM person ORDER BY id};
my $before = $node->safe_psql('source', $rows);
like($before, qr/hub1:/, 'rows print sealed without identity');
unlike($before, qr/person\d+\@example\.com|Person \d/, 'and show nothing');

# as sales would see it; a client's query, since reveals go to clients only
my $seen = sub {
	my ($database) = @_;
	return $node->safe_psql($database, q{SELECT email, name, card FROM person ORDER BY id},
		extra_params => [ '-U', 'sam' ]);
};
my $seen_before = $seen->('source');
like($seen_before, qr/person\d+\@example\.com\|Person \d+\|C•••/, 'sales sees contact and names, a mask of the rest');
like($seen_before, qr/\[erased\]/, 'and that some have been erased');

# a reveal within a transaction that has written, so that its record names both
$node->safe_psql('source', q{BEGIN; SELECT pg_current_xact_id(); SELECT name FROM person; COMMIT; SELECT hub.wait_for_audit()},
	extra_params => [ '-U', 'sam' ]);

for my $format ('plain', 'custom')
{
	my $dump = $node->basedir . "/$format.dump";
	my $target = "target_$format";
	$node->command_ok([ 'pg_dump', '-d', $node->connstr('source'), "--format=$format", '-f', $dump ], "pg_dump, $format");
	if ($format eq 'plain')
	{
		my $text = slurp_file($dump);
		unlike($text, qr/person\d+\@example\.com|Person \d/, 'the dump holds no plaintext');
	}
	$node->safe_psql('postgres', "CREATE DATABASE $target");
	if ($format eq 'plain')
	{
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($target), '-f', $dump ],
			'restore with psql, without one error');
	}
	else
	{
		$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr($target), $dump ],
			'restore with pg_restore, without one error');
	}
	is($node->safe_psql($target, $rows), $before, "$format: every row is exactly the same");
	is($seen->($target), $seen_before, "$format: people see what they saw");
	like($node->safe_psql($target, q{SET enable_seqscan = off; EXPLAIN SELECT FROM person WHERE email = 'person30@example.com'}),
		qr/person_email_tag/, "$format: an index on tags is back, and used");
	is($node->safe_psql($target, q{SELECT count(*) FROM person WHERE email = 'person30@example.com'}),
		'1', "$format: equality works");
	is($node->safe_psql($target, q{SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'person'::regclass AND attname = 'card'}),
		q{hub.encrypted_text('loyalty', 100)}, "$format: an added data class is there");
	is($node->safe_psql($target, q{SELECT count(*) FROM hub.governed}), '1', "$format: the table is governed");
	is( $node->safe_psql($target, q{
			INSERT INTO person VALUES (gen_random_uuid(), 'DE', 1, 'new@example.com');
			SELECT hub.sealed_subject(email) = id FROM person WHERE email = 'new@example.com'}),
		't', "$format: new rows are sealed for their data subject");
	$node->safe_psql($target, 'CALL hub.seal_audit()');
	is($node->safe_psql($target, 'SELECT count(*) FROM hub.verify_audit()'), '0', "$format: the audit trail has no break");
	my ($code, $out, $err) = $node->psql($target, 'DROP TABLE person');
	like($err, qr/governed/, "$format: and the table is protected");
}

# a server with another root key takes the dump no further than its first sealed row
my $other = HubCluster->new('other');
$other->start;
$other->safe_psql('postgres', 'CREATE ROLE sam LOGIN');
my $dump = $node->basedir . '/plain.dump';
$other->safe_psql('postgres', 'CREATE DATABASE target');
my ($code, $out, $err) = $other->psql('target', slurp_file($dump), on_error_stop => 1);
isnt($code, 0, 'another root key: the restore stops');
like($err, qr/sealed value is damaged|another root key|not the key/, 'and says why');

done_testing();
