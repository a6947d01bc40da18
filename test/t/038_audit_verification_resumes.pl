# hub.continue_audit_verification(): goes on after a cancel and a crash where it was, finds
# what is changed in front of it, and its stored progress cannot say more than was checked.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => "customer_hub.seal_interval = 3600000\n");
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', q{
	CREATE ROLE clara LOGIN;
	SELECT hub.add_member('clara', 'hub_compliance', 'clara', '{DE}', '{1}', '{1}');
	CALL hub.seal_audit()});
for my $block (1 .. 12)
{
	$node->safe_psql('hub', qq{
		SELECT hub.record_event('config', NULL, jsonb_build_object('block', $block, 'n', n)) FROM generate_series(1, 5) n;
		CALL hub.seal_audit()});
}

# as a member of hub_compliance; superuser for tampering
sub ask { return $node->safe_psql('hub', $_[0], extra_params => [ '-U', 'clara' ]); }
sub tamper { $node->safe_psql('hub', "SET session_replication_role = replica; $_[0]"); return; }
sub piece { ask("CALL hub.continue_audit_verification(5, '0', 0)"); return; }
my $last = 'WHERE verification = (SELECT max(verification) FROM hub.audit_verification)';
sub reached { return ask("SELECT state, blocks FROM hub.audit_verification $last"); }
sub breaks { return ask("SELECT kind, block_no, ordinal FROM hub.audit_verification_break $last ORDER BY break_no"); }
my $all = $node->safe_psql('hub', 'SELECT count(*) FROM hub.audit_block');
# the worker may have sealed once more before
sub block { return $all - 13 + $_[0]; }

piece() for 1 .. 3;
my ($state, $blocks) = split /\|/, reached();
is($state, 'running', 'a verification that has time for a piece stops after it');
cmp_ok($blocks, '>=', 3, 'some blocks are verified');
cmp_ok($blocks, '<', $all, '... and not all');

# cancelled in the middle of a piece
my ($lock_in, $lock_out) = ("BEGIN; LOCK TABLE hub.audit_event_default; SELECT 'locked';\n", '');
my $lock = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$lock_in, '>', \$lock_out, '2>', '/dev/null');
$lock->pump until $lock_out =~ /locked/;
my $error = '';
my $busy = IPC::Run::start([ 'psql', '-XAtq', '-U', 'clara', '-d', $node->connstr('hub'), '-c', 'CALL hub.continue_audit_verification(5)' ],
	'<', \undef, '>', '/dev/null', '2>', \$error);
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'clara' AND wait_event_type = 'Lock'})
	or die 'the verification does not wait';
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'clara'});
$busy->finish;
like($error, qr/canceling statement/, 'a verification is cancelled');
$lock_in .= "ROLLBACK;\n\\q\n";
$lock->finish;
is(reached(), "running|$blocks", 'what it had verified before stays');

# whoever detaches a partition waits for a verification from its beginning on
($lock_in, $lock_out) = ("BEGIN; LOCK TABLE hub.audit_block; SELECT 'locked';\n", '');
$lock = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$lock_in, '>', \$lock_out, '2>', '/dev/null');
$lock->pump until $lock_out =~ /locked/;
$busy = IPC::Run::start([ 'psql', '-XAtq', '-U', 'clara', '-d', $node->connstr('hub'), '-c', 'SELECT * FROM hub.verify_audit()' ],
	'<', \undef, '>', '/dev/null', '2>', '/dev/null');
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'clara' AND wait_event_type = 'Lock'})
	or die 'the verification does not wait';
is($node->safe_psql('hub', q{SELECT l.mode FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'clara' AND l.granted AND l.relation = 'hub.audit_event'::regclass}),
	'AccessShareLock', 'partitions stay while they are verified');
$lock_in .= "ROLLBACK;\n\\q\n";
$lock->finish;
$busy->finish;

$node->stop('immediate');
$node->start;
is(reached(), "running|$blocks", 'so it does when the server crashes');
piece();
my ($state_then, $blocks_then) = split /\|/, reached();
cmp_ok($blocks_then, '>', $blocks, 'the next call goes on from there');
is($node->safe_psql('hub', q{SELECT count(DISTINCT details -> 'verification') FROM hub.audit_event WHERE details ->> 'action' = 'audit_verification'}),
	'1', 'with the same verification');

# what is in front is found, what is behind by the next one
tamper(q{UPDATE hub.audit_event SET details = '{"block": 11}' WHERE details = '{"block": 11, "n": 4}'});
tamper(q{UPDATE hub.audit_event SET details = '{"block": 1}' WHERE details = '{"block": 1, "n": 2}'});
ask('CALL hub.continue_audit_verification(5)');
is(reached(), 'complete|' . $node->safe_psql('hub', 'SELECT count(*) FROM hub.audit_block'), 'it comes to the end');
is(breaks(), 'event|' . block(11) . '|4', 'a change in front of it is found');
is(ask("SELECT root_hash = (SELECT split_part(hub.audit_checkpoint(), E'\\n', 3)) FROM hub.audit_verification $last"), 't',
	'it is bound to the root that the checkpoint has signed');
tamper(q{UPDATE hub.audit_event SET details = '{"block": 11, "n": 4}' WHERE details = '{"block": 11}'});
is(breaks(), 'event|' . block(11) . '|4', 'what was found stays on record when it is mended');
is($node->safe_psql('hub', q{SELECT details -> 'breaks' FROM hub.audit_event WHERE details ->> 'action' = 'audit_verification' AND details ->> 'state' = 'complete'}),
	'1', 'in the trail, too');
piece();
ask("CALL hub.continue_audit_verification(400000, '1 min', 2)");
is(breaks(), 'event|' . block(1) . '|2', 'after the end the next one begins with the first block');
piece() for 1 .. 4;
tamper(q{UPDATE hub.audit_event SET details = '{"block": 1, "n": 2}' WHERE details = '{"block": 1}'});
tamper(q{UPDATE hub.audit_event SET details = '{"block": 2}' WHERE details = '{"block": 2, "n": 2}'});
ask('CALL hub.continue_audit_verification(5, from_start => true)');
is(breaks(), 'event|' . block(2) . '|2', 'and so it does when asked to');
tamper(q{UPDATE hub.audit_event SET details = '{"block": 2, "n": 2}' WHERE details = '{"block": 2}'});

# what no block holds: a row past the index, and the tail
tamper(q{UPDATE pg_index SET indisready = false WHERE indexrelid = 'hub.audit_event_default_order'::regclass;
	INSERT INTO hub.audit_event SELECT xid, 44, recorded_at, kind, relation, operation, subject, row_key, changed, sealed, details, tag
	FROM hub.audit_event WHERE details = '{"block": 2, "n": 2}';
	UPDATE pg_index SET indisready = true WHERE indexrelid = 'hub.audit_event_default_order'::regclass});
$node->safe_psql('hub', q{SELECT hub.record_event('config', NULL, '{"tail": 1}')});
tamper(q{UPDATE hub.audit_event SET details = '{"tail": 2}' WHERE details = '{"tail": 1}'});
ask('CALL hub.continue_audit_verification(5, from_start => true)');
is(breaks(), "event||44\nevent||1", 'a row past the index and a changed tail are found');
tamper(q{DELETE FROM hub.audit_event WHERE ordinal = 44; UPDATE hub.audit_event SET details = '{"tail": 1}' WHERE details = '{"tail": 2}'});

# a superuser who would have it say more than it has checked
piece() for 1 .. 3;
tamper(q{UPDATE hub.audit_event SET details = '{"block": 1}' WHERE details = '{"block": 1, "n": 2}'});
for my $change (
	'record = set_byte(record, 40, 255 - get_byte(record, 40))',
	"record = (SELECT record FROM hub.audit_verification_run WHERE verification = 1), mac = (SELECT mac FROM hub.audit_verification_run WHERE verification = 1)",
	"mac = substr(mac, 1, 31)", "record = ''")
{
	tamper("UPDATE hub.audit_verification_run SET $change WHERE verification = (SELECT max(verification) FROM hub.audit_verification_run)");
	like(reached(), qr/^changed\|$/, 'progress that was changed says nothing');
	ask('CALL hub.continue_audit_verification(5)');
	is(breaks(), "verification||\nevent|" . block(1) . '|2', '... and all is verified anew');
	piece();
}
for my $change ('DELETE FROM hub.audit_verification_break', "UPDATE hub.audit_verification_break SET detail = 'nothing'")
{
	ask('CALL hub.continue_audit_verification(from_start => true)');
	like(breaks(), qr/^event\|${\ block(1)}\|2$/m, 'there is a break');
	tamper($change);
	like(reached(), qr/^changed\|$/, 'a break cannot be taken away, or made another');
}
tamper(q{UPDATE hub.audit_event SET details = '{"block": 1, "n": 2}' WHERE details = '{"block": 1}'});

# the log itself, changed where it was verified already
ask("CALL hub.continue_audit_verification(5, '0', 0, true)");
piece() for 1 .. 3;
my (undef, $at) = split /\|/, reached();
my $edge = $at - 1;
tamper("UPDATE hub.audit_block SET nodes = set_byte(nodes, 3, 255 - get_byte(nodes, 3)) WHERE block_no = $edge");
ask('CALL hub.continue_audit_verification(5)');
like(breaks(), qr/^header\|$edge\|$/m, 'a header that was changed after it was verified');
ask("CALL hub.continue_audit_verification(5, '0', 0, true)");
piece() for 1 .. 3;
tamper("UPDATE hub.audit_block SET nodes = set_byte(nodes, 3, 255 - get_byte(nodes, 3)) WHERE block_no = $edge");
(undef, $at) = split /\|/, reached();
tamper("DELETE FROM hub.audit_block WHERE block_no >= $at - 1");
ask('CALL hub.continue_audit_verification(5)');
like(breaks(), qr/^log\|${\ ($at - 1)}\|$/m, 'a log that was cut off before where it was verified');

# another database's progress is worth nothing
is($node->psql('hub', 'CALL hub.continue_audit_verification(0)', extra_params => [ '-U', 'clara' ]), 3, 'a batch of nothing is refused');
isnt($node->psql('hub', 'SELECT record FROM hub.audit_verification_run', extra_params => [ '-U', 'clara' ]), 0, 'nobody reads the record itself');
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE hub');
is($node->safe_psql('copied', "SELECT state FROM hub.audit_verification $last"), 'changed', 'what was verified in one database says nothing of its copy');
$node->stop;
done_testing();
