# What is shown is on record first: in lists that many reveals share, whatever becomes of
# the session, the statement or the worker, and with customer_hub.durable_reveal on disk.
use strict;
use warnings;
use IO::Select;
use IO::Socket::UNIX;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE ROLE anna LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}');
SELECT hub.set_reveal_quota('hub_agent', 1000000), hub.set_export_ceiling('hub_agent', 1000000);
CREATE TABLE person (id int PRIMARY KEY, subject uuid NOT NULL, name hub.encrypted_text('basic'), note hub.encrypted_text('content'));
SELECT hub.govern('person', 'subject');
INSERT INTO person SELECT n, md5(n::text)::uuid, 'Person ' || n, 'Note ' || n FROM generate_series(1, 2000) n;
GRANT SELECT ON person TO anna;
CREATE FUNCTION tell(value text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'told %', value; END $$;
CREATE TABLE seen AS SELECT 0::bigint AS events;
SQL

my $owner = sub { return $node->safe_psql('hub', $_[0]); };
my $anna = sub { return $node->psql('hub', $_[0], extra_params => [ '-U', 'anna' ]); };

# new_reveals: events, pairs of person and class, and sessions on record since the last call
my $new_reveals = sub {
	return $owner->(q{
		SELECT hub.wait_for_audit() \g /dev/null
		WITH latest AS (SELECT subject, details FROM hub.audit_event WHERE kind = 'reveal'
			ORDER BY xid, ordinal OFFSET (SELECT events FROM seen))
		SELECT count(*) || ' ' || count(DISTINCT (subject, details ->> 'class')) || ' ' || count(DISTINCT details ->> 'session') FROM latest;
		UPDATE seen SET events = (SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal')});
};

# A client of the protocol that sees each byte as it comes
sub connect_raw
{
	my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $node->host . '/.s.PGSQL.' . $node->port) or die $!;
	my $startup = pack('N', 196608) . "user\0anna\0database\0hub\0\0";

	$socket->syswrite(pack('N', 4 + length $startup) . $startup);
	receive($socket, qr/Z\x00{3}\x05I\z/);
	return $socket;
}

sub ask
{
	my ($socket, $query) = @_;
	$socket->syswrite('Q' . pack('N', 5 + length $query) . $query . "\0");
}

# receive SOCKET [UNTIL]: what has come, waiting until it ends like that
sub receive
{
	my ($socket, $until) = @_;
	my $got = '';
	my $select = IO::Select->new($socket);

	while (defined $until ? $got !~ $until : $select->can_read(0))
	{
		my $read = sysread($socket, my $bytes, 65536);
		last unless $read;
		$got .= $bytes;
	}
	return $got;
}

# The worker cannot commit anything between hold_trail and release_trail
my ($lock, $lock_in, $lock_out);
my $hold_trail = sub {
	($lock_in, $lock_out) = ('', '');
	$lock = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$lock_in, '>', \$lock_out);
	$lock_in .= "BEGIN; LOCK TABLE hub.audit_event IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n";
	$lock->pump until $lock_out =~ /locked/;
};
my $release_trail = sub {
	$lock_in .= "COMMIT;\n\\q\n";
	$lock->finish;
};

# end_worker PID: its first SIGTERM lets it finish what it does, which it cannot; the second does not
sub end_worker
{
	my ($pid) = @_;

	ok($node->poll_query_until('postgres', qq{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid}),
		'the worker cannot write');
	for (1 .. 100)
	{
		last unless kill 'TERM', $pid;
		usleep(50_000);
	}
	ok(!kill(0, $pid), 'and is ended');
}

my $waits = sub {
	return $node->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'anna' AND state = 'active' AND wait_event_type = 'Extension'});
};

# lists
my ($status, $out, $err) = $anna->('SELECT name, note FROM person ORDER BY id');
is(scalar(() = $out =~ /^Person \d+\|Note \d+$/mg), 2000, 'two thousand people are shown');
is($new_reveals->(), '4000 4000 1', 'with one event for each person and class');
$anna->('BEGIN; SELECT name FROM person; SELECT note, name FROM person; SELECT name FROM person ORDER BY id; COMMIT');
is($new_reveals->(), '4000 4000 1', 'and once for the whole transaction');
$anna->('SELECT name FROM person WHERE id <= 100; SELECT name FROM person WHERE id <= 100');
is($new_reveals->(), '200 100 2', 'but again in the next');
my $times = $owner->(q{SELECT count(DISTINCT details ->> 'at') FROM hub.audit_event WHERE kind = 'reveal'});
$anna->('BEGIN; SELECT name FROM person WHERE id = 1; SELECT name FROM person WHERE id = 2; COMMIT');
is($owner->(q{SELECT hub.wait_for_audit() \g /dev/null
	SELECT count(DISTINCT details ->> 'at') FROM hub.audit_event WHERE kind = 'reveal'}), $times + 2, 'each event has the time of its statement');
$new_reveals->();

# a key that is destroyed empties the caches of all sessions, and so what they remember beside the keys
my $destroy = q{psql -XAtqc "SELECT hub.destroy_subject_key(md5('2000')::uuid)" } . "'" . $node->connstr('hub') . q{' >/dev/null};
$anna->("BEGIN;
SELECT name, note FROM person WHERE id <= 1000;
\\! $destroy
SELECT note, name FROM person WHERE id <= 1000;
COMMIT");
is($owner->(q{SELECT hub.subject_state(md5('2000')::uuid)}), 'erased', 'a key is destroyed in between');
is($new_reveals->(), '2000 2000 1', 'what the transaction has shown is still on record once');

# a statement that fails, a session that is ended, each with an open list
$anna->('SELECT name, 1 / (id - 500) FROM (SELECT * FROM person ORDER BY id LIMIT 1000) p');
is($new_reveals->(), '499 499 1', 'a statement that fails has its reveals on record');
my $session = connect_raw();
ask($session, 'BEGIN');
receive($session, qr/Z\x00{3}\x05T\z/);
ask($session, 'SELECT name FROM person WHERE id <= 300');
receive($session, qr/Z\x00{3}\x05T\z/);
$owner->(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'anna'});
is($new_reveals->(), '300 300 1', 'so has a session that is ended');

# a worker that is ended while it cannot write: what is in the ring stays there
my $worker = $owner->('SELECT hub.audit_worker_pid()');
$hold_trail->();
($status, $out) = $anna->('SELECT name FROM person WHERE id <= 700');
is(scalar(() = $out =~ /^Person/mg), 700, 'people are shown while the worker cannot write');
end_worker($worker);
$release_trail->();
is($new_reveals->(), '700 700 1', 'the next one writes each of them, once');

# nobody adds to a list whose worker is gone: a statement stops before its second row, which
# begins a list behind the one that the worker has taken, and before its third
$session = connect_raw();
my $launcher = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'customer_hub audit launcher'});
$worker = $owner->('SELECT hub.audit_worker_pid()');
$hold_trail->();
$lock_in .= "SELECT pg_advisory_lock(2), pg_advisory_lock(3), 'stops';\n";
$lock->pump until $lock_out =~ /stops/;
my $stopped = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'anna' AND wait_event = 'advisory'};
ask($session, 'SELECT name, repeat($$x$$, 9000), CASE WHEN id > 1 THEN pg_advisory_lock_shared(id) END
	FROM (SELECT * FROM person ORDER BY id LIMIT 3) p');
ok($node->poll_query_until('postgres', qq{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $worker}),
	'the worker takes a list while its statement goes on');
ok($node->poll_query_until('postgres', $stopped), 'which stops');
kill 'STOP', $launcher;
$lock_in .= "SELECT pg_advisory_unlock(2);\n";
$lock->pump_nb;
like(receive($session, qr/Person 2/), qr/Person 2/, 'its second row is shown');
ok($node->poll_query_until('postgres', $stopped), 'and it stops again');
end_worker($worker);
$lock_in .= "SELECT pg_advisory_unlock(3);\n";
$lock->pump_nb;
ok($waits->(), 'without a worker a reveal waits, list or not');
unlike(receive($session), qr/Person 3/, 'and is not shown');
$release_trail->();
kill 'CONT', $launcher;
like(receive($session, qr/Z\x00{3}\x05I\z/), qr/Person 3/, 'until there is one');
$session->close;
is($new_reveals->(), '3 3 1', 'all of them are on record');

# durable: no byte of a value leaves before the commit, and one commit does for many
$owner->(q{ALTER SYSTEM SET customer_hub.durable_reveal = on});
$node->reload;
$session = connect_raw();
ask($session, 'SHOW customer_hub.durable_reveal');
like(receive($session, qr/Z\x00{3}\x05I\z/), qr/on\x00?C/, 'durable');
$hold_trail->();
ask($session, 'SELECT repeat(id::text, 40), name FROM person WHERE id < 2000 ORDER BY id');
ok($waits->(), 'with durable_reveal a statement waits for the commit');
unlike(receive($session), qr/Person/, 'and has sent nothing of it');
$release_trail->();
is(scalar(() = receive($session, qr/Z\x00{3}\x05I\z/) =~ /Person \d/g), 1999, 'then come all rows');
is($new_reveals->(), '1999 1999 1', 'which are on record');

my $commits = $owner->('SELECT count(*) FROM hub.audit_transaction');
$anna->('SELECT name FROM person WHERE id <= 500');
cmp_ok($owner->('SELECT count(*) FROM hub.audit_transaction') - $commits, '<', 100, 'far fewer commits than values');
is($new_reveals->(), '500 500 1', 'for all of them');

$hold_trail->();
ask($session, "SET statement_timeout = '500ms'; SELECT name FROM person WHERE id = 1");
my $answer = receive($session, qr/Z\x00{3}\x05I\z/);
like($answer, qr/57014/, 'the wait can be interrupted');
unlike($answer, qr/Person/, 'and then nothing is shown');
$release_trail->();
$session->close;
$session = connect_raw();
ask($session, 'SELECT name, 1 / (id - 100) FROM (SELECT * FROM person ORDER BY id LIMIT 200) p');
$answer = receive($session, qr/Z\x00{3}\x05I\z/);
like($answer, qr/22012/, 'a statement that fails says so');
unlike($answer, qr/Person/, 'and what was still held back is not sent');
ask($session, 'SELECT name FROM person WHERE id = 3; SELECT 17');
like(receive($session, qr/Z\x00{3}\x05I\z/), qr/Person 3C.*17/s, 'nor does it come with the next one');
$hold_trail->();
ask($session, 'SELECT tell(hub.reveal(name)) FROM person WHERE id = 4');
ok($waits->(), 'what code gets waits for its own commit');
unlike(receive($session), qr/Person 4/, 'since it could let it out at once');
$release_trail->();
like(receive($session, qr/Z\x00{3}\x05I\z/), qr/told Person 4/, 'as it does then');
$session->close;
is($owner->('SELECT count(*) FROM hub.verify_audit()'), '0', 'the trail holds');

$node->stop;
done_testing();
