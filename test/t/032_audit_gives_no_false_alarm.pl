# hub.verify_audit() finds nothing where nobody changed anything: under eight writers with
# rollbacks, savepoints, prepared and long transactions and sessions that are ended, while
# blocks are sealed, through kill -9, a dump of the busy database, retirement and a detached
# partition, and after restore into the same and into another cluster. It never stops
# looking meanwhile, at once and in pieces; and what is then changed is found.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $key = 'a5' x 32;
my $node = HubCluster->new('main', key => $key, conf => "customer_hub.seal_interval = 20\nmax_prepared_transactions = 30\nmax_connections = 40\n");
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name hub.encrypted_text('basic'), n int, k int);
SELECT hub.govern('person', 'id');
SELECT hub.classify('person', 'n', 'public');
INSERT INTO person (name, n, k) SELECT 'Person ' || n, n, n % 80 FROM generate_series(1, 240) n;
CREATE ROLE anna LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}');
GRANT SELECT, INSERT, UPDATE ON person TO anna;
SQL

my $breaks = sub {
	my ($server, $database) = @_;
	return $server->safe_psql($database, q{SELECT * FROM hub.verify_audit()});
};
my $write = sub {
	my ($name, $text) = @_;
	my $path = $node->basedir . "/$name";
	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file;
	return $path;
};

# transactions with all kinds of endings
my $script = sub {
	my ($writer, $phase) = @_;
	my $sql = '';
	for my $i (1 .. 2000)
	{
		my $update = 'UPDATE person SET n = n + 1 WHERE k = ' . ($writer * 8 + $i % 8) . ';';
		my $prepared = "$phase.$writer.$i";
		$sql .= "BEGIN; $update "
			. ( $i % 6 == 0 ? "ROLLBACK;"
			  : $i % 6 == 1 ? "SAVEPOINT a; INSERT INTO person (n) VALUES (1); ROLLBACK TO a; INSERT INTO person (n) VALUES (2); COMMIT;"
			  : $i % 6 == 2 ? "SAVEPOINT a; INSERT INTO person (n) VALUES (3); SAVEPOINT b; INSERT INTO person (n) VALUES (4); RELEASE b; ROLLBACK TO a; COMMIT;"
			  : $i % 6 == 3 ? "PREPARE TRANSACTION '$prepared'; SELECT pg_sleep(0.03); COMMIT PREPARED '$prepared';"
			  : $i % 6 == 4 ? "PREPARE TRANSACTION '$prepared'; ROLLBACK PREPARED '$prepared';"
			  : 'SELECT pg_sleep(0.03); COMMIT;')
			. "\n";
	}
	return $sql;
};
my $begin = sub {
	my ($role, $file, $out) = @_;
	return IPC::Run::start([ 'psql', '-XAtq', '-U', $role, '-d', $node->connstr('hub') . ' application_name=busy', '-f', $file ],
		'<', \undef, '>', $out, '2>', '/dev/null');
};
my $superuser = $node->safe_psql('hub', 'SELECT current_user');
# eight writers, a reader whose reveals come in between, and two that verify all the time
my $crowd = sub {
	my ($phase, $found, $pieces) = @_;
	return (
		(map { $begin->($superuser, $write->("writer$_", $script->($_, $phase)), '/dev/null') } 1 .. 8),
		$begin->('anna', $write->('reads', "SELECT name FROM person LIMIT 20; SELECT pg_sleep(0.05);\n" x 500), '/dev/null'),
		$begin->($superuser, $write->('verify', "SELECT 'BREAK', v.* FROM hub.verify_audit() v; SELECT 'looked';\n" x 2000), $found),
		$begin->($superuser, $write->('pieces', "CALL hub.continue_audit_verification(100, '0', 1); SELECT 'looked';\n" x 2000), $pieces));
};
my $alarms = sub { return join '', grep { /^BREAK/ } split /^/, slurp_file($_[0]) };
my $looks = sub { my @looks = slurp_file($_[0]) =~ /^looked$/mg; return scalar @looks };
my $settle_prepared = sub {
	my $n = 0;
	for my $gid (split /\n/, $node->safe_psql('hub', 'SELECT gid FROM pg_prepared_xacts ORDER BY gid'))
	{
		$node->safe_psql('hub', ($n++ % 2 ? 'ROLLBACK' : 'COMMIT') . " PREPARED '$gid'");
	}
	return $n;
};
my $found_in_pieces = sub { $node->safe_psql('hub', q{SELECT * FROM hub.audit_verification_break}) };
my ($found, $pieces) = map { $node->basedir . "/$_.out" } ('found', 'pieces');

# one transaction stays open through many blocks, and holds back every snapshot; one is prepared
my ($long_in, $long_out) = ("BEGIN; UPDATE person SET n = -1 WHERE k = 1; SELECT 'open';\n", '');
my $long = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$long_in, '>', \$long_out, '2>', '/dev/null');
$long->pump until $long_out =~ /open/;
$node->safe_psql('hub', q{BEGIN; UPDATE person SET n = -2 WHERE k = 2; PREPARE TRANSACTION 'long'});
my @sessions = $crowd->('one', $found, $pieces);
my $had = $node->safe_psql('hub', 'SELECT count(*) FROM hub.audit_block');
$node->poll_query_until('hub', "SELECT count(*) > $had + 20 FROM hub.audit_block") or die 'no blocks are sealed';
$long_in .= "COMMIT; SELECT 'committed';\n\\q\n";
$long->finish;
is($long_out, "open\ncommitted\n", 'a transaction outlives many blocks');
$node->poll_query_until('hub', "SELECT count(*) > $had + 25 FROM hub.audit_block") or die 'no blocks are sealed';

# the server is killed at work
my $pid_file = $node->data_dir . '/postmaster.pid';
my ($killed) = slurp_file($pid_file) =~ /^(\d+)/;
$node->kill9;
for (1 .. 100)
{
	last unless kill 0, $killed;
	select undef, undef, undef, 0.1;
}
# where nobody collects dead processes their number stays taken
unlink $pid_file if kill 0, $killed;
eval { $_->finish } for @sessions;
$node->start;
is($alarms->($found), '', 'no alarm while eight clients write and blocks are sealed');
cmp_ok($looks->($found), '>', 0, 'and it was looked for all the time');
cmp_ok($looks->($pieces), '>', 2, 'also in pieces');
is($breaks->($node, 'hub'), '', 'none after kill -9');
cmp_ok($settle_prepared->(), '>=', 1, 'prepared transactions outlive that');
$node->safe_psql('hub', 'CALL hub.seal_audit()');
is($breaks->($node, 'hub'), '', 'none when they are settled');
my ($blocks, $sealed, $events, $transactions) = split /\|/, $node->safe_psql('hub', q{
	SELECT count(*), sum(event_count), (SELECT count(*) FROM hub.audit_event), (SELECT count(*) FROM hub.audit_transaction)
	FROM hub.audit_block});
cmp_ok($blocks, '>', 5, 'there are many blocks');
is($sealed, $events, 'every event is in exactly one');
is($node->safe_psql('hub', 'SELECT sum(transaction_count) FROM hub.audit_block'), $transactions, 'and so is every transaction');
is($node->safe_psql('hub', q{
	SELECT count(*) FROM hub.audit_block b JOIN hub.audit_block p ON p.block_no = b.block_no - 1
	WHERE b.first_xid < p.last_xid}) > 0, 1, 'blocks overlap in xid, as the order of commits has it');

# again, while the database is dumped, a partition is detached and old events are retired;
# a partition of two seconds stands for a month
$node->safe_psql('hub', q{
	DO $$
	DECLARE
		begins timestamptz := clock_timestamp() + interval '0.5 s';
	BEGIN
		EXECUTE format('CREATE TABLE hub.audit_event_month PARTITION OF hub.audit_event FOR VALUES FROM (%L) TO (%L)', begins, begins + interval '2 s');
		CREATE INDEX ON hub.audit_event_month (xid, ordinal);
		ALTER TABLE hub.audit_event_month OWNER TO hub_audit_owner;
	END $$;});
my $ends = $node->safe_psql('hub', q{SELECT split_part(pg_get_expr(relpartbound, oid), '''', 4) FROM pg_class WHERE relname = 'audit_event_month'});
@sessions = $crowd->('two', $found, $pieces);
my $busy_dump = $node->basedir . '/busy.dump';
$node->poll_query_until('hub', 'SELECT count(*) > 20 FROM hub.audit_event_month') or die 'no events in the partition';
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('hub'), '-f', $busy_dump ], 'dump of a busy database');
$node->poll_query_until('hub', "SELECT clock_timestamp() > '$ends'::timestamptz + interval '0.1 s'");
my $detached = 0;
for (1 .. 40)
{
	$node->safe_psql('hub', 'CALL hub.seal_audit()');
	my ($status, $out) = $node->psql('hub', q{SELECT hub.detach_audit_partition('hub.audit_event_month')});
	$detached = $out if $status == 0;
	last if $detached;
}
cmp_ok($detached, '>', 0, 'a partition is detached meanwhile');
cmp_ok($node->safe_psql('hub', 'SELECT hub.retire_audit((SELECT min(recorded_at) FROM hub.audit_event) + interval \'1 s\')'), '>', 0,
	'old events are retired meanwhile');
$had = $looks->($found);
for (1 .. 100)
{
	last if $looks->($found) > $had + 1;
	select undef, undef, undef, 0.1;
}
# sessions that are ended wherever they are
$node->safe_psql('hub', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'busy'});
eval { $_->finish } for @sessions;
is($alarms->($found), '', 'no alarm through dump, detachment, retirement and the end of sessions');
cmp_ok($looks->($found), '>', 0, 'and it was looked for all the time');
$settle_prepared->();
$node->safe_psql('hub', 'CALL hub.seal_audit()');
$node->safe_psql('hub', 'CALL hub.continue_audit_verification(from_start => true)');
is($breaks->($node, 'hub'), '', 'none afterwards');
is($found_in_pieces->(), '', 'none in pieces');
$node->safe_psql('postgres', 'CREATE DATABASE busy_copy');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('busy_copy'), $busy_dump ], 'what was dumped meanwhile is restored');
is($breaks->($node, 'busy_copy'), '', 'none in a copy that was made meanwhile');

# restore: into the same cluster, then into another one, from a trail with an unsealed tail
$node->safe_psql('hub', q{SELECT hub.record_event('config', NULL, '{"last": true}')});
my $other = HubCluster->new('other', key => $key);
$other->start;
my $source = [ $node, 'hub' ];
for my $target ([ $node, 'same' ], [ $other, 'elsewhere' ], [ $node, 'back' ])
{
	my ($server, $database) = @$target;
	my $file = $server->basedir . "/$database.dump";
	$node->command_ok([ 'pg_dump', '-Fc', '-d', $source->[0]->connstr($source->[1]), '-f', $file ], "dump for $database");
	$server->safe_psql('postgres', 'CREATE ROLE anna LOGIN') if $server == $other;
	$server->safe_psql('postgres', "CREATE DATABASE $database");
	$node->command_ok([ 'pg_restore', '-d', $server->connstr($database), $file ], "restore into $database");
	is($breaks->($server, $database), '', "no alarm in $database");
	$server->safe_psql($database, 'UPDATE person SET n = 0 WHERE n = -1; CALL hub.seal_audit()');
	is($breaks->($server, $database), '', "none when $database has events of its own");
	$server->safe_psql($database, q{SELECT hub.record_event('config', NULL, '{}'); CALL hub.seal_audit()});
	is($breaks->($server, $database), '', 'and more');
	is($server->safe_psql($database, q{SELECT sum(event_count) = (SELECT count(*) FROM hub.audit_event) + (SELECT count(*) FROM hub.audit_retired_event)
			FROM hub.audit_block b WHERE NOT EXISTS (SELECT FROM hub.audit_retired_block r WHERE r.block_no = b.block_no)}),
		't', 'all are sealed, what was left unsealed too');
	is($server->safe_psql($database, 'SELECT hub.audit_public_key()'), $node->safe_psql('hub', 'SELECT hub.audit_public_key()'),
		'it is the same log');
	$source = $target;
}
is($node->safe_psql('back', 'SELECT count(*) FROM hub.audit_origin'), '4', 'each database is an origin of its own');

# changes are found as ever: to what came along, and to what was written in the crowd
$node->safe_psql('back', q{
	SET session_replication_role = replica;
	UPDATE hub.audit_event SET details = '{"last": false}' WHERE details ->> 'last' = 'true'});
like($breaks->($node, 'back'), qr/^event\|\d+\|\d+\|1\|/, 'a change to a restored event is found');
my ($xid, $ordinal) = split /\|/, $node->safe_psql('hub', q{
	SET session_replication_role = replica;
	DELETE FROM hub.audit_event e USING (SELECT xid, ordinal FROM hub.audit_event WHERE operation = 'UPDATE' ORDER BY xid, ordinal OFFSET 5 LIMIT 1) x
	WHERE e.xid = x.xid AND e.ordinal = x.ordinal RETURNING e.xid, e.ordinal});
like($breaks->($node, 'hub'), qr/^event\|\d+\|$xid\|$ordinal\|is missing$/, 'an event of the crowd that is gone is found');
$node->safe_psql('hub', 'CALL hub.continue_audit_verification(from_start => true)');
like($found_in_pieces->(), qr/\|event\|\d+\|$xid\|$ordinal\|is missing$/, 'in pieces, too');

$_->stop for $node, $other;
done_testing();
