# plaintext_never_on_disk, erased_is_gone_everywhere: runs the demo in a server that logs every
# statement, then searches data directory, WAL and log for its names, addresses and messages.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

# what the demo's people are called, where they are reached, what they say
my @secrets = (
	'Lindqvist', 'nora.lindqvist', '15112345678', 'noralindq', '700100200',
	'blue sofa', 'staircase', '900 euros', 'Lindenallee', 'call me back');

my $node = HubCluster->new('main', conf => <<'CONF');
log_statement = 'all'
log_min_duration_statement = 0
log_error_verbosity = verbose
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
CONF
$node->start;
$node->create_hub_database('hub');

# the search itself works
$node->safe_psql('postgres', q{CREATE TABLE plain AS SELECT 'an unguarded text' AS t; CHECKPOINT});
isnt(scalar HubCluster::occurrences($node->data_dir, 'an unguarded text'), 0, 'the search finds what is not encrypted');

{
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGUSER} = 'postgres';
	local $ENV{PGDATABASE} = 'hub';
	my $output = `sh docs/demo/demo.sh 2>&1`;
	is($?, 0, 'the demo runs');
	like($output, qr/Nora Lindqvist/, 'and shows its customer to who may see her');
}
$node->safe_psql('hub', 'SELECT hub.wait_for_audit(); CHECKPOINT');

for my $secret (@secrets)
{
	is_deeply([ HubCluster::occurrences($node->data_dir, $secret) ], [], "not in data directory and WAL: $secret");
	is_deeply([ HubCluster::occurrences($node->logfile, $secret) ], [], "not in the log: $secret");
}
isnt(scalar HubCluster::occurrences($node->logfile, 'hub.create_hub'), 0, 'the log does have the statements of who has no identity');

# and nothing of it comes back with a crash
$node->stop('immediate');
$node->start;
for my $secret (@secrets)
{
	is_deeply([ HubCluster::occurrences($node->data_dir, $secret) ], [], "not after crash recovery: $secret");
}
done_testing();
