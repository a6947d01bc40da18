# A server that crashes in the middle of an erasure: the key stays destroyed, and
# the next call goes on where the last one stopped.
use strict;
use warnings;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $ann = '00000000-0000-4000-8000-000000000001';
my $node = HubCluster->new('main', conf => 'fsync = on');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', '\i test/fixtures/shop.sql');
$node->safe_psql('hub', qq{INSERT INTO shop.note (person_id, number, region, received_at)
	SELECT '$ann', i, 'DE', now() FROM generate_series(100, 3099) i});

sub as
{
	my ($login, $sql) = @_;
	return $node->safe_psql('hub', $sql, extra_params => [ '-U', $login ]);
}

my $plan = as('carl', "SELECT hub.plan_erasure('$ann')");
my $request = as('carl', qq{SELECT hub.request_approval('erase', '{"plan": $plan}', 'she asked for it')});
as('cora', "SELECT hub.approve($request)");

# before the key is destroyed
is(as('carl', "SELECT hub.erasure_step($plan)"), 'approved', 'the approval is used');
$node->stop('immediate');
$node->start;
is($node->safe_psql('hub', "SELECT status FROM hub.erasure_plan"), 'approved', 'a crash then loses nothing');
is($node->safe_psql('hub', "SELECT hub.subject_state('$ann')"), 'alive', 'and destroys nothing');

# two steps that are rolled back together: the count beside the keys must not outlive them
$node->safe_psql('hub', 'CALL hub.seal_audit()');
as('carl', "BEGIN; SELECT hub.erasure_step($plan); SELECT hub.erasure_step($plan); ROLLBACK");
is($node->safe_psql('hub', "SELECT hub.subject_state('$ann')"), 'alive', 'a rollback takes the destruction back');
is(as('carl', q{SELECT count(name::text) > 0 FROM shop.person}), 't', 'and the hub still serves');

# in the middle
my ($stdin, $stdout, $stderr) = ('', '', '');
my $run = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('hub'), '-U', 'carl', '-c', "CALL hub.run_erasure($plan, 1)" ],
	'<', \$stdin, '>', \$stdout, '2>', \$stderr);
$node->poll_query_until('hub', "SELECT sum(cleared_rows) >= 50 FROM hub.erasure_plan_item") or die 'nothing is cleared';
$node->stop('immediate');
$run->finish;
$node->start;
my ($status, $cleared, $left) = split /\|/, $node->safe_psql('hub', qq{
	SELECT (SELECT status FROM hub.erasure_plan), (SELECT cleared_rows FROM hub.erasure_plan_item WHERE relation_name = 'shop.note'),
		   (SELECT count(*) FROM shop.note WHERE person_id IN ('$ann', '00000000-0000-4000-8000-000000000002'))});
is($status, 'running', 'a crash in the middle leaves it running');
cmp_ok($left, '>', 0, 'with rows left');
is($cleared + $left, 3040, 'and the count of cleared rows is exact');
is($node->safe_psql('hub', "SELECT hub.subject_state('$ann')"), 'erased', 'the key stays destroyed');

as('carl', "CALL hub.run_erasure($plan, 500)");
is($node->safe_psql('hub', "SELECT status FROM hub.erasure_plan"), 'erased', 'the next call ends it');
is( $node->safe_psql('hub', "SELECT planned_rows, cleared_rows FROM hub.erasure_plan_item WHERE relation_name = 'shop.note'"),
	'3040|3040', 'with every row counted once');
is($node->safe_psql('hub', "SELECT count(*) FROM shop.note WHERE person_id = '$ann'"), '0', 'and none left');

# retention is resumed in the same way
$node->safe_psql('hub', q{SELECT hub.set_retention('shop.note', 'service', '*', '1 day', 'delete', 'no need')});
$node->safe_psql('hub', q{CALL hub.run_retention(1, '0')});
my $halfway = $node->safe_psql('hub', q{SELECT cleared_rows, finished_at IS NULL FROM hub.retention_progress});
is($halfway, '1|t', 'a retention run whose time is up stops after a batch');
$node->stop('immediate');
$node->start;
$node->safe_psql('hub', q{CALL hub.run_retention(3)});
is($node->safe_psql('hub', q{SELECT cleared_rows, finished_at IS NULL FROM hub.retention_progress}), '20|f',
	'and goes on with the same run');

$node->stop;
done_testing();
