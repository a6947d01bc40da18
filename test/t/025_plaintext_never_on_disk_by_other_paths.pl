# plaintext_never_on_disk: what a member with full clearance reads and writes leaves no plaintext in temporary files,
# temporary and unlogged tables, TOAST, large objects, notifications, WAL with full pages, logical decoding of
# either plugin, or a dump in any format.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $word = 'Zwetschgenmus';

my $node = HubCluster->new('main', conf => <<'CONF');
wal_level = logical
full_page_writes = on
wal_compression = off
max_parallel_workers_per_gather = 2
CONF
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE ROLE sam LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}');
CREATE TABLE person (id int PRIMARY KEY, person_id uuid NOT NULL DEFAULT gen_random_uuid(), region hub.region NOT NULL DEFAULT 'DE',
	email hub.encrypted_email('contact') UNIQUE, name hub.encrypted_text('basic'), notes hub.encrypted_text('basic'));
SELECT hub.govern('person', 'person_id', 'region');
GRANT SELECT, INSERT, UPDATE ON person TO hub_sales;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT pg_create_logical_replication_slot('text', 'test_decoding');
SELECT pg_create_logical_replication_slot('binary', 'pgoutput');
CHECKPOINT;
SQL

my $look = 'psql -XAtq -U postgres -h ' . $node->host . ' -p ' . $node->port . ' -d hub -c';
my $data = $node->data_dir;
my $spilled = "\\! echo spilled: \$(ls -A $data/base/pgsql_tmp | wc -l) of them \$(cat $data/base/pgsql_tmp/* | grep -ac '$word\\|zwetsch')\n";
my ($out, $err);
$node->psql('hub', <<"SQL", stdout => \$out, stderr => \$err, extra_params => [ '-U', 'sam', '-v', 'ON_ERROR_STOP=0' ]);
INSERT INTO person (id, email, name, notes) SELECT g, 'zwetsch' || g || '\@example.com', '$word ' || g, repeat('$word ', 200) FROM generate_series(1, 400) g;
INSERT INTO person (id, email, name, notes) VALUES (1000, 'zwetsch1000\@example.com', '$word', repeat('$word and more ', 20000));
UPDATE person SET name = '$word, changed', email = 'zwetsch.changed' || id || '\@example.com' WHERE id <= 10;
SELECT 'seen: ' || name FROM person WHERE id = 1;
SET work_mem = '64kB'; SET hash_mem_multiplier = 1;
SET enable_indexscan = off; SET enable_bitmapscan = off;
BEGIN;
DECLARE sorted SCROLL CURSOR FOR SELECT * FROM person ORDER BY region, id DESC;
FETCH 1 FROM sorted;
${spilled}ROLLBACK;
BEGIN;
DECLARE stored SCROLL CURSOR FOR WITH w AS MATERIALIZED (SELECT * FROM person) SELECT * FROM w;
FETCH 300 FROM stored;
${spilled}ROLLBACK;
SELECT pg_notify('news', name::text), lo_from_bytea(0, notes::text::bytea), pg_logical_emit_message(false, '', name::text) FROM person WHERE id < 5;
SELECT count(*) FROM person WHERE name::text LIKE '$word%';
SQL
like($out, qr/^seen: $word, changed/m, 'the member reads the values');
my @spills = $out =~ /^spilled: (.*)/mg;
is(scalar @spills, 2, 'temporary files were searched while a sort and a stored query stood still');
like($_, qr/^[1-9]\d* of them 0$/, 'there were some, without plaintext') for @spills;

# copies of a superuser, who has no identity
$node->safe_psql('hub', <<'SQL');
CREATE TABLE copied AS SELECT email::text, name::text, notes::text FROM person;
CREATE UNLOGGED TABLE unlogged AS SELECT name FROM person;
CREATE MATERIALIZED VIEW frozen AS SELECT email, notes::text FROM person;
CREATE TEMP TABLE temporary AS SELECT name, notes FROM person;
CHECKPOINT;
SQL

my $changes = $node->safe_psql('hub', "SELECT data FROM pg_logical_slot_peek_changes('text', NULL, NULL)");
like($changes, qr/table public.person: INSERT:.*hub1:/, 'test_decoding shows sealed values');
unlike($changes, qr/$word|zwetsch/i, 'and no plaintext');
$changes = $node->safe_psql('hub', "SELECT convert_from(string_agg(data, ''), 'LATIN1') FROM (SELECT replace(encode(data, 'escape'), '\\', '/')::bytea AS data"
	  . " FROM pg_logical_slot_peek_binary_changes('binary', NULL, NULL, 'proto_version', '1', 'publication_names', 'everything')) d");
like($changes, qr/hub1:/, 'so does pgoutput');
unlike($changes, qr/$word|zwetsch/i, 'without plaintext');

my $dumps = $node->basedir . '/dumps';
mkdir $dumps;
for my $options ('-Fp', '-Fc -Z0', '-Ft', '-Fd -Z0', '--inserts', '--column-inserts', '--data-only --disable-triggers', '--rows-per-insert=50', '--schema-only')
{
	(my $name = $options) =~ s/\W+/_/g;
	$node->command_ok([ 'pg_dump', split(/ /, $options), '-f', "$dumps/$name", '-h', $node->host, '-p', $node->port, '-U', 'postgres', 'hub' ],
		"pg_dump $options");
}
$node->command_ok([ 'pg_dumpall', '-f', "$dumps/all", '-h', $node->host, '-p', $node->port, '-U', 'postgres' ], 'pg_dumpall');
cmp_ok(scalar HubCluster::occurrences($dumps, 'hub1:'), '>=', 8, 'dumps have sealed values');
is_deeply([ HubCluster::occurrences($dumps, $_) ], [], "no dump has plaintext: $_") for $word, 'zwetsch';

# all there is, while the server runs and after it crashed
for my $when ('while it runs', 'after a crash')
{
	is_deeply([ HubCluster::occurrences($data, $_) ], [], "data directory, WAL, notifications, large objects, $when: $_") for $word, 'zwetsch';
	next if $when eq 'after a crash';
	$node->stop('immediate');
	$node->start;
}
$node->stop;
done_testing();
