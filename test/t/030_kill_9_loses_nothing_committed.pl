# kill_9_loses_nothing_committed: the server is killed while messages come in; whatever
# ingest reported as stored is there afterwards, once, and the trail has no break.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => "fsync = on\nrestart_after_crash = on\n");
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
SELECT hub.create_hub();
SELECT hub.add_business_line('Line');
SELECT hub.add_team('Team', 'DE', 1);
SELECT hub.add_channel_account('whatsapp', '104000000000002', 'DE', 1, 1);
CREATE ROLE gateway LOGIN;
SELECT hub.add_member('gateway', 'hub_connector', 'gateway', '{DE}', '{1}', '{1}');
SQL

# one statement per message; what psql printed was committed
sub payload
{
	my ($n) = @_;
	my $person = $n % 7;
	return qq({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": {)
		. qq("messaging_product": "whatsapp", "metadata": {"display_phone_number": "1", "phone_number_id": "104000000000002"}, )
		. qq("contacts": [{"profile": {"name": "Person $person"}, "wa_id": "491511234567$person"}], )
		. qq("messages": [{"from": "491511234567$person", "id": "wamid.K$n", "timestamp": "1760000000", "type": "text", "text": {"body": "message $n"}}]}}]}]});
}

# Kill the server as a power cut would, and start it when all its processes are gone
sub crash_and_start
{
	my $pid_file = $node->data_dir . '/postmaster.pid';
	my ($pid) = slurp_file($pid_file) =~ /^(\d+)/;
	$node->kill9;
	for (1 .. 100)
	{
		last unless kill 0, $pid;
		select undef, undef, undef, 0.1;
	}
	# where nobody collects dead processes their number stays taken
	unlink $pid_file if kill 0, $pid;
	select undef, undef, undef, 0.5;
	$node->start;
	return;
}

my $total = 2000;
my %stored;
my $next = 1;
for my $crash (1 .. 3)
{
	my $script = join '', map { "SELECT 'stored $_' FROM hub.ingest(1, '" . payload($_) . "') WHERE status IN ('new', 'duplicate');\n" } ($next .. $total);
	my ($out, $err) = ('', '');
	my $session = IPC::Run::start(
		[ 'psql', '-XAtq', '-U', 'gateway', '-d', $node->connstr('hub'), '-f', '-' ],
		'<', \$script, '>', \$out, '2>', \$err);
	# psql hands out what it printed when it ends; so ask the table how far it got
	my $before = $node->safe_psql('hub', 'SELECT count(*) FROM crm.message');
	for (1 .. 300)
	{
		eval { $session->pump_nb if $session->pumpable };
		last if $node->safe_psql('hub', 'SELECT count(*) FROM crm.message') > $before + 10;
		select undef, undef, undef, 0.1;
	}
	crash_and_start();
	eval { $session->finish };
	$stored{$_} = 1 for $out =~ /stored (\d+)/g;
	my ($last) = sort { $b <=> $a } keys %stored;
	cmp_ok($last // 0, '>=', $next, "crash $crash came while messages were coming in");
	$next = ($last // 0) + 1;
}
note(scalar(keys %stored) . ' messages were reported as stored');

my $kept = $node->safe_psql('hub', 'SELECT count(*) FROM crm.message');
cmp_ok($kept, '>=', scalar keys %stored, 'what was reported as stored is there');

# the channel delivers everything again, and some more
my $total_sent = $kept + 5;
$node->safe_psql('hub', join('', map { "SELECT FROM hub.ingest(1, '" . payload($_) . "');\n" } (1 .. $total_sent)), extra_params => [ '-U', 'gateway' ]);

is($node->safe_psql('hub', 'SELECT count(*) FROM crm.message'), $total_sent, 'every message is stored, once');
is($node->safe_psql('hub', 'SELECT count(*) FROM crm.event_ledger'), $total_sent, 'and in the ledger');
is($node->safe_psql('hub', 'SELECT count(*) FROM crm.customer'), 7, 'of each customer there is one');
is( $node->safe_psql('hub', q{SELECT count(*) FROM crm.message WHERE hub.sealed_subject(body) IS DISTINCT FROM customer_id}),
	'0', 'each message is sealed for its customer');
is( $node->safe_psql('hub', q{SELECT count(*) FROM crm.message m WHERE NOT EXISTS (
		SELECT FROM hub.audit_event e WHERE e.relation LIKE 'crm.message%' AND e.operation = 'INSERT' AND e.row_key->>'message_id' = m.message_id::text AND e.subject = m.customer_id)}),
	'0', 'and on record');
$node->safe_psql('hub', 'CALL hub.seal_audit()');
is($node->safe_psql('hub', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'the audit trail has no break');
done_testing();
