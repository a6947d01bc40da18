# A backup from before an erasure holds the person, key and all. The ledger, kept
# apart from the backups, erases them again.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $ann = '00000000-0000-4000-8000-000000000001';
my $bob = '00000000-0000-4000-8000-000000000003';
my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', '\i test/fixtures/shop.sql');
$node->safe_psql('hub', 'CALL hub.seal_audit()');
$node->backup('before');

sub as
{
	my ($server, $login, $sql) = @_;
	return $server->safe_psql('hub', $sql, extra_params => [ '-U', $login ]);
}

my $plan = as($node, 'carl', "SELECT hub.plan_erasure('$ann')");
my $request = as($node, 'carl', qq{SELECT hub.request_approval('erase', '{"plan": $plan}', 'she asked for it')});
as($node, 'cora', "SELECT hub.approve($request)");
as($node, 'carl', "CALL hub.run_erasure($plan)");
my $ledger = as($node, 'carl', 'SELECT hub.export_erasure_ledger()');
unlike($ledger, qr/0000-4000-8000|[Vv]ermeulen|4915112345678/, 'the ledger names nobody');
$node->stop;

my $restored = PostgreSQL::Test::Cluster->new('restored');
$restored->init_from_backup($node, 'before');
$restored->start;
is($restored->safe_psql('hub', "SELECT hub.subject_state('$ann')"), 'alive', 'the backup brings the person back');
my ($status, $out, $error) = $restored->psql('hub', "SELECT name FROM shop.person WHERE id = '$ann'", extra_params => [ '-U', 'sam' ]);
is($out, '', 'but shows nothing');
like($error, qr/has forgotten erasures/, 'and says why');
($status, $out, $error) = $restored->psql('hub', "SELECT name FROM shop.person WHERE id = '$bob'", extra_params => [ '-U', 'carl' ]);
like($error, qr/has forgotten erasures/, 'not even a mask of anybody');

# only what the hub signed is believed
(my $forged = $ledger) =~ s/"sub_[0-9a-f]{4}/"sub_0000/;
($status, $out, $error) = $restored->psql('hub', "CALL hub.replay_erasures('$forged')");
like($error, qr/not an erasure ledger of this hub/, 'a changed ledger is refused');
($status, $out, $error) = $restored->psql('hub', "CALL hub.replay_erasures('$ledger')", extra_params => [ '-U', 'carl' ]);
like($error, qr/permission denied/, 'members replay nothing');
is($restored->safe_psql('hub', "SELECT hub.subject_state('$ann')"), 'alive', 'nothing is destroyed by these');

$restored->safe_psql('hub', "CALL hub.replay_erasures('$ledger')");
is($restored->safe_psql('hub', "SELECT hub.subject_state('$ann')"), 'erased', 'the replay destroys the key again');
is($restored->safe_psql('hub', "SELECT count(*) FROM shop.note WHERE person_id <> '$bob'"), '0', 'and clears the rows');
is($restored->safe_psql('hub', "SELECT count(*) FROM shop.person WHERE id <> '$bob'"), '0', 'of everybody merged with the person');
is($restored->safe_psql('hub', "SELECT status FROM hub.erasure_plan"), 'erased', 'as an erasure with its own receipt');
is($restored->safe_psql('hub', "SELECT hub.verify_receipt(hub.erasure_receipt(plan)) FROM hub.erasure_plan"), 't', 'which verifies');
is($restored->safe_psql('hub', "SELECT hub.is_suppressed('email', 'ann\@vermeulen.example', now() - interval '1 hour')"), 't',
	'redelivered events are suppressed');
is(as($restored, 'sam', "SELECT name FROM shop.person WHERE id = '$bob'"), 'Bob Okafor', 'others are as they were');

$restored->safe_psql('hub', "CALL hub.replay_erasures('$ledger')");
is($restored->safe_psql('hub', "SELECT count(*) FROM hub.erasure_plan"), '1', 'a second replay finds nothing to do');
$restored->stop;
done_testing();
