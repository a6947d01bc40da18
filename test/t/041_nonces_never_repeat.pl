# No nonce is used twice under a key: not within a session, not between sessions that
# the postmaster forked from the same image, not before and after a crash.
use strict;
use warnings;
use MIME::Base64 qw(decode_base64url);
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => 'restart_after_crash = on');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid, region hub.region, nickname hub.encrypted_text('contact'), story hub.encrypted_text('content'));
SELECT hub.govern('person', 'id', 'region');
SQL

# One person, one text: what differs between the values is the nonce and nothing else
my $rows = 150;
my $insert = "INSERT INTO person SELECT '11111111-1111-4111-8111-111111111111', 'DE', 'the same', 'the same' FROM generate_series(1, $rows);";
my $sessions = 0;

# Let sessions seal at the same time, so that they are forked within moments of each other
sub seal_in_sessions
{
	my ($count) = @_;
	my @sessions = map {
		my ($in, $out, $err) = ("BEGIN; $insert SELECT pg_sleep(0.1); COMMIT;\n", '', '');
		[ IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('hub') ], '<', \$in, '>', \$out, '2>', \$err), \$err ]
	} 1 .. $count;
	for (@sessions)
	{
		$_->[0]->finish or die "psql: ${ $_->[1] }";
	}
	$sessions += $count;
	return;
}

sub nonces_of
{
	my ($column) = @_;
	# hub1: epoch (2), MAC (16), header (20), nonce (24)
	return map { substr(decode_base64url(substr $_, 5), 38, 24) }
	  split /\n/, $node->safe_psql('hub', "SELECT $column FROM person WHERE $column IS NOT NULL");
}

sub check
{
	my ($when) = @_;
	for my $column ('story', 'nickname')
	{
		my @nonces = nonces_of($column);
		my %different = map { $_ => 1 } @nonces;
		is(scalar @nonces, $sessions * $rows, "$when: all values of $column are there");
		is(scalar keys %different, scalar @nonces, "$when: and no two nonces are equal");
	}
	return;
}

seal_in_sessions(6);
check('after six sessions at a time');

# A crash: one process dies, the postmaster starts over with all others
my $pid = $node->safe_psql('hub', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'));
kill 'KILL', $pid;
$node->poll_query_until('hub', "SELECT pid <> $pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
  or die 'the server did not come back';
seal_in_sessions(4);
check('after the crash of a process');

$node->stop('immediate');
$node->start;
seal_in_sessions(4);
check('after the crash of the server');

# Wrapped keys too
$node->safe_psql('hub', "INSERT INTO person SELECT gen_random_uuid(), 'DE', NULL, NULL FROM generate_series(1, 10);");
$node->safe_psql('hub', "INSERT INTO person SELECT gen_random_uuid(), 'DE', 'x', NULL FROM generate_series(1, 200);");
is($node->safe_psql('hub', 'SELECT count(*) - count(DISTINCT substr(wrapped, 1, 24)) FROM hub.subject_key'), '0',
	'no two wrapped keys have the same nonce');

# What is left of a tagged nonce behind its tag is random, all eight bytes of it
my %seen;
for my $nonce (nonces_of('nickname'))
{
	my @tail = split //, substr $nonce, 16;
	$seen{$_}{ $tail[$_] } = 1 for 0 .. 7;
}
is(scalar(grep { keys %{ $seen{$_} } > 100 } 0 .. 7), 8, 'every byte behind an equality tag varies');

done_testing();
