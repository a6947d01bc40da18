# What comes from outside, a little changed each time, is read or refused, and never ends
# a session: see test/fuzz/mutate.py, which can be run for as long as one likes.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', 'CALL hub.seal_audit()');

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'hub';
my ($out, $err) = run_command([ '/usr/bin/python3', 'test/fuzz/mutate.py', '1', '4000' ]);
is($err, '', 'it runs to its end');
unlike($out, qr/session ended|^XX/m, 'nothing ends a session, and no error is an internal one') or diag $out;
like($out, qr/'ok': \d{3,}/, 'much of it is read all the same');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC/, 'and no process crashed');

$node->stop;
done_testing();
