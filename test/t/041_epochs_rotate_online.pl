# A rotation of the epoch under load: nobody fails, a kill and a crash lose nothing,
# the old root key can go, standbys follow, and an old dump opens with today's keyring.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id int, uid uuid PRIMARY KEY, region hub.region NOT NULL,
	email hub.encrypted_email('contact') UNIQUE, name hub.encrypted_text('basic'));
SELECT hub.govern('person', 'uid', 'region');
GRANT SELECT, INSERT, UPDATE ON person TO hub_sales;
CREATE ROLE sam LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}', '{1}');
SELECT hub.set_reveal_quota('hub_sales', 1000000);
INSERT INTO person SELECT g, md5(g::text)::uuid, 'DE', 'person' || g || '@example.com', 'Person ' || g FROM generate_series(1, 3000) g;
CALL hub.seal_audit();
SQL

my $everyone = q{SELECT count(*), count(*) FILTER (WHERE n = 'Person ' || id) FROM (SELECT id, hub.reveal(name) AS n FROM person WHERE id IS NOT NULL) p};
sub seen_by_sam { return $_[0]->safe_psql($_[1] // 'hub', $_[2] // $everyone, extra_params => [ '-U', 'sam' ]); }
sub answer { return $node->safe_psql('hub', $_[0]); }
is(seen_by_sam($node), '3000|3000', 'all can be read');

# what has to outlive the first root key
my $ledger = answer('SELECT hub.export_erasure_ledger()');
my $token = answer('SELECT email FROM person WHERE id = 7');
my $erased_token = answer('SELECT email FROM person WHERE id = 8');
my $dump = $node->basedir . '/old.dump';
$node->command_ok([ 'pg_dump', '-d', $node->connstr('hub'), '--format=custom', '-f', $dump ], 'a dump of the first epoch');
answer(q{SELECT hub.destroy_subject_key(md5('8')::uuid)});

# a new epoch needs its key, and the old one is in use
my (undef, undef, $stderr) = $node->psql('hub', 'CALL hub.rotate_epoch()');
like($stderr, qr/key of epoch 2 is not loaded.*HINT:  .*restart/s, 'a rotation without a key');
(undef, undef, $stderr) = $node->psql('hub', 'SELECT hub.retire_epoch(1)');
like($stderr, qr/epoch 1 is in use/, 'the current epoch cannot be retired');
$node->write_key(2);
$node->restart;

# a standby with the same keys
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "customer_hub.standby_reveal = on\n");
$standby->start;

# load that stops at the first error
my $load = $node->basedir . '/load.sql';
append_to_file($load, <<'SQL');
\set i random(9, 3000)
SELECT 1 / (hub.reveal(name) = 'Person ' || id)::int FROM person WHERE email = 'person' || :i || '@example.com';
UPDATE person SET name = 'Person ' || :i WHERE id = :i;
INSERT INTO person VALUES (NULL, gen_random_uuid(), 'DE', NULL, 'Somebody');
SQL
my ($load_out, $load_err) = ('', '');
sub start_load
{
	return IPC::Run::start([ 'pgbench', '-n', '-U', 'sam', '-c', '2', '-T', '120', '-f', $load, $node->connstr('hub') ],
		'>', \$load_out, '2>', \$load_err);
}
my $running = start_load();

# a transaction that still makes keys under the old epoch holds nobody up, but is waited for
my $slow = $node->background_psql('hub');
$slow->query_safe(q{BEGIN; INSERT INTO person VALUES (NULL, gen_random_uuid(), 'DE', NULL, 'Somebody slow');});

sub rotate { return IPC::Run::start([ 'psql', '-Xq', '-d', $node->connstr('hub'), '-c', $_[0] ], '>', '/dev/null', '2>', $node->basedir . '/rotate.err'); }
my $rotation = rotate(q{CALL hub.rotate_epoch(60, '20 ms')});
ok($node->poll_query_until('hub', q{SELECT phase = 'waiting' AND pid IS NOT NULL AND waiting_for > 0 FROM hub.rotation_progress}),
	'it waits for transactions that make keys under the old epoch');
(undef, undef, $stderr) = $node->psql('hub', 'CALL hub.rotate_epoch()');
like($stderr, qr/another session is rotating/, 'one at a time');
$slow->query_safe('COMMIT');
$slow->quit;
ok($node->poll_query_until('hub', q{SELECT phase = 'wrapping' AND subjects_done > 0 FROM hub.rotation_progress}), 'then it wraps keys');
(undef, undef, $stderr) = $node->psql('hub', 'SELECT hub.retire_epoch(1)');
like($stderr, qr/epoch 1 is in use/, 'an epoch that is being left cannot be retired');

# killed
answer('SELECT pg_terminate_backend(pid) FROM hub.rotation_progress');
$rotation->finish;
is(answer('SELECT pid IS NULL, subjects_done < subjects_total FROM hub.rotation_progress'), 't|t', 'killed: nobody is at it, and it is not done');
is(answer('SELECT count(DISTINCT epoch) FROM hub.subject_key WHERE wrapped IS NOT NULL'), '2', 'keys are under both epochs');
is(seen_by_sam($node), '3000|2999', 'and all can be read but the one erased');

# crashed
$rotation = rotate(q{CALL hub.rotate_epoch(60, '20 ms')});
$node->poll_query_until('hub', q{SELECT pid IS NOT NULL FROM hub.rotation_progress});
ok($running->pumpable, 'clients have met no error') or diag $load_err;
$running->signal('TERM');
$running->finish;
unlike($load_err, qr/ERROR|aborted/, 'not one');
$node->stop('immediate');
$rotation->finish;
$node->start;
is(seen_by_sam($node), '3000|2999', 'crashed: the same');

$running = start_load();
$node->safe_psql('hub', 'CALL hub.rotate_epoch()');
$running->signal('TERM');
$running->finish;
unlike($load_err, qr/ERROR|aborted/, 'clients meet no error until the end');
is(answer('SELECT phase, subjects_done = subjects_total FROM hub.rotation_progress'), 'done|t', 'taken up again, it ends');
is(answer('SELECT epoch, state, living_subjects > 2999 FROM hub.keyring_status ORDER BY epoch'), "1|retirable|f\n2|current|t", 'all keys are under the new epoch');

# the standby follows
$node->wait_for_catchup($standby, 'replay');
is(seen_by_sam($standby), '3000|2999', 'the standby reads under the new epoch');
my $session = $standby->background_psql('hub', extra_params => [ '-U', 'sam' ]);
is($session->query_safe(q{SELECT hub.reveal(name) FROM person WHERE id = 9}), 'Person 9', 'a session of the standby reads');
answer(q{SELECT hub.destroy_subject_key(md5('9')::uuid)});
$node->wait_for_catchup($standby, 'replay');
is($session->query_safe(q{SELECT hub.reveal(name) FROM person WHERE id = 9}), '[erased]', 'and forgets a key that is destroyed on the primary');

# the old root key goes
like(($node->psql('hub', 'SELECT hub.retire_epoch(1)'))[2], qr/WARNING:  the server still has the key of epoch 1/, 'retired while it is in memory: a warning');
unlink $node->key_directory . '/epoch-1.key';
$node->restart;
is(answer('SELECT epoch, state, loaded FROM hub.keyring_status ORDER BY epoch'), "1|retired|f\n2|current|t", 'gone and retired');
is(seen_by_sam($node), '3000|2998', 'values open');
is(answer(q{SELECT id FROM person WHERE email = 'person77@example.com'}), '77', 'tags are what they were');
is(answer(q{INSERT INTO person VALUES (4000, gen_random_uuid(), 'DE', 'new@example.com', 'Person 4000') RETURNING id}), '4000', 'and new values are sealed');
like(($node->psql('hub', q{INSERT INTO person VALUES (4001, gen_random_uuid(), 'DE', 'person77@example.com', 'x')}))[2], qr/duplicate key/, 'UNIQUE holds across the epochs');
answer('CALL hub.seal_audit()');
is(answer('SELECT count(*) FROM hub.verify_audit()'), '0', 'the audit verifies');
is(answer("SELECT hub.verify_statement('$ledger', 'customer_hub/erasure-ledger/v1', hub.receipt_public_key())"), 't', 'so do signed statements');
is(answer("SELECT hub.sealed_subject('$token'::hub.encrypted_email) = md5('7')::uuid"), 't', 'tokens of the retired epoch are read');
is(answer("SELECT hub.sealed_subject('$erased_token'::hub.encrypted_email) = md5('8')::uuid"), 't', 'those of erased persons too');
(my $forged = $token) =~ s/(.{60})(.)/$1 . ($2 eq 'A' ? 'B' : 'A')/e;
like(($node->psql('hub', "SELECT '$forged'::hub.encrypted_email"))[2], qr/damaged or was altered/, 'and not when altered');

# the old dump with today's keyring
my $keyring = $node->basedir . '/keyring.jsonl';
$node->safe_psql('hub', "\\copy (SELECT * FROM hub.export_keyring(700)) TO '$keyring'");
unlike(slurp_file($keyring), qr/example\.com|Person/, 'the exported keyring names nobody');
$node->create_hub_database('restored');
sub import_keyring
{
	my ($file) = @_;
	return $node->psql('restored', "CREATE TEMP TABLE keyring (part jsonb);\n\\copy keyring FROM '$file'\nSELECT living > 2900, erased FROM hub.import_keyring('keyring')",
		on_error_stop => 1);
}
my @parts = split /\n/, slurp_file($keyring);
my $damaged = $node->basedir . '/damaged.jsonl';
append_to_file($damaged, join("\n", @parts[1 .. $#parts]) . "\n");
like((import_keyring($damaged))[2], qr/not a whole exported keyring/, 'a part is missing');
unlink $damaged;
(my $raised = join("\n", @parts) . "\n") =~ s/"epoch": 2/"epoch": 2, "note": "changed"/;
append_to_file($damaged, $raised);
like((import_keyring($damaged))[2], qr/CH003|was altered/, 'a part is changed');
like((import_keyring($keyring))[1], qr/t\|2/, 'imported, with two erased');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('restored'), $dump ], 'the dump of the first epoch is restored without its root key');
$node->safe_psql('restored', q{SELECT hub.waive_replay('the ledger is tested elsewhere')});
is(seen_by_sam($node, 'restored'), '3000|2998', 'all but the erased open');
is(seen_by_sam($node, 'restored', q{SELECT id, name FROM person WHERE name::text = '[erased]' OR id IN (8, 9) ORDER BY id}), "8|[erased]\n9|[erased]", 'and the erased do not');
is($node->safe_psql('restored', q{SELECT id FROM person WHERE email = 'person77@example.com'}), '77', 'look-ups work');

# a keyring is of one hub
$node->create_hub_database('other');
$node->safe_psql('other', q{CREATE TABLE t (id uuid PRIMARY KEY, n hub.encrypted_text('basic')); SELECT hub.govern('t', 'id'); INSERT INTO t VALUES (md5('77')::uuid, 'x')});
like(($node->psql('other', "CREATE TEMP TABLE keyring (part jsonb);\n\\copy keyring FROM '$keyring'\nSELECT hub.import_keyring('keyring')"))[2],
	qr/of another hub/, 'a keyring is refused where other keys are in use');

$session->quit;
$_->stop for $standby, $node;
done_testing();
