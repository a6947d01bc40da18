# The audit worker of a database comes and goes with the extension, survives what
# may happen to it, is in nobody's way, and without it nothing is revealed.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => <<'CONF');
customer_hub.reveal_ring_size = 64
customer_hub.audit_databases = 3
restart_after_crash = on
CONF
$node->start;

my $workers = sub {
	my ($database) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT count(*) FROM pg_stat_activity
		WHERE backend_type = 'customer_hub audit worker' AND datname = '$database'});
};
my $wait_for_worker = sub {
	my ($database, $message) = @_;
	ok($node->poll_query_until($database, q{SELECT hub.audit_worker_pid() IS NOT NULL}), $message);
};
my $idle = q{SELECT count(*) FROM pg_stat_activity
	WHERE backend_type = 'customer_hub audit worker' AND state = 'idle' AND xact_start IS NULL AND backend_xmin IS NULL
	AND application_name = 'customer_hub audit worker'};

# people to reveal, and who reveals them; a client's own query, since only clients are shown plaintext
my $furnish = sub {
	my ($database) = @_;
	$node->safe_psql($database, <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name hub.encrypted_text('basic'));
SELECT hub.govern('person', 'id');
INSERT INTO person (name) SELECT 'Person ' || n FROM generate_series(1, 2000) n;
DO $$ BEGIN CREATE ROLE anna LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}');
GRANT SELECT ON person TO anna;
SQL
};
my $read = sub {
	my ($database, $limit) = @_;
	return $node->psql($database, qq{\\set VERBOSITY verbose
SELECT name FROM person ORDER BY id LIMIT $limit}, extra_params => [ '-U', 'anna' ]);
};
my $reveals = sub {
	my ($database) = @_;
	return $node->safe_psql($database, q{
		SELECT hub.wait_for_audit() \g /dev/null
		SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal'});
};

# coming and going
is($workers->('postgres'), '0', 'no worker where the extension is not');
$node->create_hub_database('hub');
$wait_for_worker->('hub', 'CREATE EXTENSION brings a worker');
is($node->safe_psql('postgres', $idle), '1', 'which holds nothing while idle, and says what it is');
$node->safe_psql('hub', 'DROP EXTENSION customer_hub');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'customer_hub audit worker'}),
	'DROP EXTENSION sends it away');
$node->safe_psql('hub', 'BEGIN; CREATE EXTENSION customer_hub; ROLLBACK');
is($workers->('hub'), '0', 'a CREATE EXTENSION that is rolled back brings none');
$node->safe_psql('hub', 'CREATE EXTENSION customer_hub');
$wait_for_worker->('hub', 'CREATE EXTENSION brings it back');
$furnish->('hub');

my ($status, $out, $err) = $read->('hub', 10);
is($status, 0, 'reveals work');
like($out, qr/^Person \d+$/m, 'and show plaintext');
is($reveals->('hub'), '10', 'each is on record');

# a server restart; a clean one loses nothing that was shown
$read->('hub', 50);
$node->restart;
$wait_for_worker->('hub', 'a restarted server finds the extension');
is($reveals->('hub'), '60', 'a clean shutdown loses no reveal');

# termination and crash
$node->safe_psql('hub', 'SELECT pg_terminate_backend(hub.audit_worker_pid())');
($status, $out) = $read->('hub', 1);
like($out, qr/^Person/m, 'a reader waits for a terminated worker to come back');
my $pid = $node->safe_psql('hub', 'SELECT hub.audit_worker_pid()');
kill 'KILL', $pid;
ok($node->poll_query_until('hub', qq{SELECT hub.audit_worker_pid() <> $pid}), 'a killed worker comes back');
($status, $out) = $read->('hub', 1);
like($out, qr/^Person/m, 'and reveals work again');
is($node->safe_psql('hub', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'the trail holds');

# no worker, no plaintext: with the launcher stopped nobody brings it back
my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'customer_hub audit launcher'});
kill 'STOP', $launcher;
$node->safe_psql('hub', 'SELECT pg_terminate_backend(hub.audit_worker_pid())');
$node->poll_query_until('hub', 'SELECT hub.audit_worker_pid() IS NULL');
($status, $out, $err) = $read->('hub', 1);
isnt($status, 0, 'without a worker a reveal fails');
unlike($out, qr/Person/, 'shows nothing');
like($err, qr/CH401.*audit worker is not running/, 'and says why');
($status, $out, $err) = $node->psql('hub', q{SET statement_timeout = '1s'; SELECT name FROM person LIMIT 1}, extra_params => [ '-U', 'anna' ]);
like($err, qr/statement timeout/, 'waiting for it can be interrupted');
kill 'CONT', $launcher;
$wait_for_worker->('hub', 'the launcher brings it back');

# a full ring makes readers wait, and loses nothing
my $before = $reveals->('hub');
my ($lock_in, $lock_out, $seen) = ('', '', '');
my $lock = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$lock_in, '>', \$lock_out, '2>', \my $lock_err);
$lock_in .= "BEGIN; LOCK TABLE hub.audit_event IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n";
$lock->pump until $lock_out =~ /locked/;
my $reader = IPC::Run::start(
	[ 'psql', '-XAtq', '-U', 'anna', '-d', $node->connstr('hub'), '-c', 'SELECT name FROM person' ],
	'<', \undef, '>', \$seen, '2>', \my $reader_err);
ok($node->poll_query_until('postgres', q{
	SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'anna' AND wait_event_type = 'Extension'}),
	'a reader waits while the ring is full');
$lock_in .= "COMMIT;\n\\q\n";
$lock->finish;
$reader->finish;
is(scalar(() = $seen =~ /^Person/mg), 2000, 'and goes on when there is room');
is($reveals->('hub'), $before + 2000, 'with every reveal on record');

# what needs a database to itself
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE hub');
$wait_for_worker->('copy', 'a database copied from one with the extension gets a worker');
$wait_for_worker->('hub', 'and the source has its own again');
$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
$wait_for_worker->('renamed', 'a renamed database has its worker');
($status, $out) = $read->('renamed', 1);
like($out, qr/^Person/m, 'and reveals');
is($node->safe_psql('renamed', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'a copied trail verifies');
$node->safe_psql('renamed', 'CALL hub.seal_audit()');
is($node->safe_psql('renamed', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'and goes on in the copy');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
pass('a database with a worker can be dropped');
$node->safe_psql('postgres', 'CREATE ROLE bob LOGIN CREATEDB');
my $kept = $node->safe_psql('hub', 'SELECT hub.audit_worker_pid()');
($status, $out, $err) = $node->psql('postgres', 'DROP DATABASE hub', extra_params => [ '-U', 'bob' ]);
like($err, qr/must be owner/, 'who may not drop it');
is($node->safe_psql('hub', 'SELECT hub.audit_worker_pid()'), $kept, 'does not stop its worker either');

# a worker that cannot do its work; nobody waits for it for ever, and nothing is lost
$node->safe_psql('hub', q{
	CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''in the way''; END';
	CREATE TRIGGER fail BEFORE INSERT ON hub.audit_block FOR EACH ROW EXECUTE FUNCTION public.fail();
	SELECT hub.record_event('config', NULL, '{}')});
($status, $out, $err) = $node->psql('hub', '\set VERBOSITY verbose
CALL hub.seal_audit()');
like($err, qr/CH401.*keeps failing/, 'who waits for a worker that keeps failing is told so');
$node->safe_psql('hub', q{CREATE OR REPLACE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'});
$node->safe_psql('hub', 'CALL hub.seal_audit()');
is($node->safe_psql('hub', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'and it goes on when it can');

# more databases than slots
$node->create_hub_database("many_$_") for 1 .. 2;
($status, $out, $err) = $node->psql('postgres', 'CREATE DATABASE many_3');
($status, $out, $err) = $node->psql('many_3', 'CREATE EXTENSION customer_hub');
is($status, 0, 'one database too many can still have the extension');
like($err, qr/WARNING.*no audit worker.*customer_hub\.audit_databases/s, 'with a warning that names the setting');
$furnish->('many_3');
($status, $out, $err) = $read->('many_3', 1);
like($err, qr/CH401.*no audit worker.*customer_hub\.audit_databases/s, 'it reveals nothing, and the error names the setting');
$node->safe_psql('postgres', 'DROP DATABASE many_1');
($status, $out, $err) = $read->('many_3', 1);
like($out, qr/^Person/m, 'until a slot is free');

$node->stop;
done_testing();
