# What is committed is sealed while others are at work for as long as they like: in this
# database, in another one, prepared; each is sealed when it commits; and however long one
# holds back the horizon, every event is read once.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => "customer_hub.seal_interval = 1h\nautovacuum = off\n");
$node->start;
$node->create_hub_database('hub');
my $sql = sub { return $node->safe_psql('hub', $_[0]) };
my $record = sub { return "SELECT hub.record_event('config', NULL, '{\"by\": \"$_[0]\"}')" };
my $sealed = sub { return $sql->(q{SELECT sum(event_count) = (SELECT count(*) FROM hub.audit_event) FROM hub.audit_block}) };
# a session that is in the middle of a transaction
sub at_work
{
	my ($database, $statement) = @_;
	my %session = (in => "BEGIN; $statement; SELECT 'at work';\n", out => '');
	$session{handle} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database) ], '<', \$session{in}, '>', \$session{out}, '2>', '/dev/null');
	$session{handle}->pump until $session{out} =~ /at work/;
	return \%session;
}
sub commit
{
	my ($session) = @_;
	$session->{in} .= "COMMIT;\n\\q\n";
	$session->{handle}->finish;
	return;
}

$sql->($record->('first') . '; CALL hub.seal_audit()');
my $elsewhere = at_work('postgres', 'CREATE TABLE elsewhere ()');
$node->safe_psql('postgres', q{BEGIN; CREATE TABLE prepared_elsewhere (); PREPARE TRANSACTION 'elsewhere'});
my $here = at_work('hub', $record->('long'));
$sql->('BEGIN; ' . $record->('prepared') . "; PREPARE TRANSACTION 'here'");
for my $block (1 .. 30)
{
	$sql->($record->('short') . ' FROM generate_series(1, 10); CALL hub.seal_audit()');
}
is($sealed->(), 't', 'what is committed is sealed, whoever else is still at work');
cmp_ok($sql->('SELECT count(*) FROM hub.audit_block'), '>=', 31, '... as it comes');
my ($events, $reads) = split /\|/, $sql->(q{
	BEGIN;
	SET LOCAL max_parallel_workers_per_gather = 0;
	CREATE TEMP TABLE found AS SELECT * FROM hub.verify_audit();
	SELECT (SELECT count(*) FROM hub.audit_event), idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'audit_event_default';
	COMMIT});
cmp_ok($reads, '<', $events * 2, "a long transaction has no event read again and again ($reads reads of $events)");
cmp_ok($reads, '>=', $events, '... and all are read');

commit($elsewhere);
$node->safe_psql('postgres', q{COMMIT PREPARED 'elsewhere'});
commit($here);
$sql->(q{COMMIT PREPARED 'here'});
is($sealed->(), 'f', 'who commits late is not in the blocks that are there');
$sql->('CALL hub.seal_audit()');
is($sealed->(), 't', '... but in the next one');
is($sql->(q{
	SELECT string_agg(e.details ->> 'by', ' ' ORDER BY e.xid) FROM hub.audit_event e, (SELECT * FROM hub.audit_block ORDER BY block_no DESC LIMIT 1) b
	WHERE e.xid BETWEEN b.first_xid AND b.last_xid AND e.details ->> 'by' IN ('long', 'prepared')}), 'long prepared', '... both of them');
is($sql->('SELECT * FROM hub.verify_audit()'), '', 'and all verifies');
$node->stop;
done_testing();
