# hub.verify_audit() finds nothing where nobody changed anything: under concurrency,
# rollback, savepoints, prepared and long transactions, while blocks are being sealed,
# and after dump and restore into the same and into another cluster.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $key = 'a5' x 32;
my $node = HubCluster->new('main', key => $key, conf => "customer_hub.seal_interval = 20\n");
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name hub.encrypted_text('basic'), n int, k int);
SELECT hub.govern('person', 'id');
SELECT hub.classify('person', 'n', 'public');
INSERT INTO person (name, n, k) SELECT 'Person ' || n, n, n % 40 FROM generate_series(1, 200) n;
CREATE ROLE anna LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}');
GRANT SELECT, INSERT, UPDATE ON person TO anna;
SQL

my $breaks = sub {
	my ($server, $database) = @_;
	return $server->safe_psql($database, q{SELECT * FROM hub.verify_audit()});
};

# four writers with all kinds of endings, and a reader whose reveals come in between
my $script = sub {
	my ($writer) = @_;
	my $sql = '';
	for my $i (1 .. 150)
	{
		my $update = "UPDATE person SET n = n + 1 WHERE k = " . ($writer * 8 + $i % 8) . ';';
		$sql .= "BEGIN; $update "
			. ( $i % 6 == 0 ? "ROLLBACK;"
			  : $i % 6 == 1 ? "SAVEPOINT a; INSERT INTO person (n) VALUES (1); ROLLBACK TO a; INSERT INTO person (n) VALUES (2); COMMIT;"
			  : $i % 6 == 2 ? "SAVEPOINT a; INSERT INTO person (n) VALUES (3); SAVEPOINT b; INSERT INTO person (n) VALUES (4); RELEASE b; ROLLBACK TO a; COMMIT;"
			  : $i % 6 == 3 ? "PREPARE TRANSACTION 'w$writer.$i'; SELECT pg_sleep(0.03); COMMIT PREPARED 'w$writer.$i';"
			  : $i % 6 == 4 ? "PREPARE TRANSACTION 'w$writer.$i'; ROLLBACK PREPARED 'w$writer.$i';"
			  : 'SELECT pg_sleep(0.03); COMMIT;')
			. "\n";
	}
	return $sql;
};
my $write = sub {
	my ($name, $text) = @_;
	my $path = $node->basedir . "/$name";
	open my $file, '>', $path or die "$path: $!";
	print $file $text;
	close $file;
	return $path;
};
my @sessions;
my $busy = $node->connstr('hub') . ' application_name=busy';
for my $writer (1 .. 4)
{
	push @sessions, IPC::Run::start([ 'psql', '-XAtq', '-d', $busy, '-f', $write->("writer$writer", $script->($writer)) ], '<', \undef, '>', '/dev/null', '2>', '/dev/null');
}
my $reads = $write->('reads', "SELECT name FROM person LIMIT 20;\n" x 20);
push @sessions, IPC::Run::start([ 'psql', '-XAtq', '-U', 'anna', '-d', $busy, '-f', $reads ], '<', \undef, '>', '/dev/null', '2>', '/dev/null');
# one that stays open through all of them, and holds back every snapshot
my ($long_in, $long_out) = ("BEGIN; UPDATE person SET n = -1 WHERE k = 1; SELECT 'open';\n", '');
my $long = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$long_in, '>', \$long_out, '2>', '/dev/null');
$long->pump until $long_out =~ /open/;

my ($alarms, $looks) = ('', 0);
do
{
	$alarms .= $breaks->($node, 'hub');
	$looks++;
} while ($node->safe_psql('hub', q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'busy'}) ne '0');
$_->finish for @sessions;
is($alarms, '', 'no alarm while others write and blocks are sealed');
cmp_ok($looks, '>', 1, "($looks looks)");
$long_in .= "COMMIT;\n\\q\n";
$long->finish;
$node->safe_psql('hub', 'CALL hub.seal_audit()');
is($breaks->($node, 'hub'), '', 'none after a transaction that outlived many blocks');
my ($blocks, $sealed, $events, $transactions) = split /\|/, $node->safe_psql('hub', q{
	SELECT count(*), sum(event_count), (SELECT count(*) FROM hub.audit_event), (SELECT count(*) FROM hub.audit_transaction)
	FROM hub.audit_block});
cmp_ok($blocks, '>', 5, "there are many blocks ($blocks)");
is($sealed, $events, 'every event is in exactly one');
is($node->safe_psql('hub', 'SELECT sum(transaction_count) FROM hub.audit_block'), $transactions, 'and so is every transaction');
is($node->safe_psql('hub', q{
	SELECT count(*) FROM hub.audit_block b JOIN hub.audit_block p ON p.block_no = b.block_no - 1
	WHERE b.first_xid < p.last_xid}) > 0, 1, 'blocks overlap in xid, as the order of commits has it');

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
	is($server->safe_psql($database, 'SELECT sum(event_count) = (SELECT count(*) FROM hub.audit_event) FROM hub.audit_block'),
		't', 'all are sealed, what was left unsealed too');
	is($server->safe_psql($database, 'SELECT hub.audit_public_key()'), $node->safe_psql('hub', 'SELECT hub.audit_public_key()'),
		'it is the same log');
	$source = $target;
}
is($node->safe_psql('back', 'SELECT count(*) FROM hub.audit_origin'), '4', 'each database is an origin of its own');

# a change to what came along is found as before
$node->safe_psql('back', q{
	SET session_replication_role = replica;
	UPDATE hub.audit_event SET details = '{"last": false}' WHERE details ->> 'last' = 'true'});
like($breaks->($node, 'back'), qr/^event\|\d+\|\d+\|1\|/, 'a change to a restored event is found');

$_->stop for $node, $other;
done_testing();
