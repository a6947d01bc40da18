# What a core dump of a session would hold: no root key, and none derived from it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', q{CREATE TABLE person (id uuid PRIMARY KEY, email hub.encrypted_email('contact')); SELECT hub.govern('person', 'id')});
chomp(my $hex = slurp_file($node->key_directory . '/epoch-1.key'));
my $key = pack 'H*', $hex;

my $session = $node->background_psql('hub');
$session->query_safe(q{INSERT INTO person SELECT gen_random_uuid(), 'person' || g || '@example.com' FROM generate_series(1, 500) g});
my $pid = $session->query_safe('SELECT pg_backend_pid()');
my $status = $session->query_safe('SELECT memory_locked FROM hub.keyring_status');

# The parts of a process's memory with the flags that the kernel keeps of them
sub mappings
{
	my ($process) = @_;
	my @mappings;
	for (split /\n/, slurp_file("/proc/$process/smaps"))
	{
		push @mappings, { from => hex $1, to => hex $2, mode => $3 } if /^([0-9a-f]+)-([0-9a-f]+) (\S+)/;
		$mappings[-1]{flags} = " $1 " if /^VmFlags: (.*)/;
	}
	return @mappings;
}

SKIP:
{
	skip 'the kernel lets nobody read the memory of other processes', 4 unless open my $memory, '<:raw', "/proc/$pid/mem";
	my ($dumped, $kept_out, $locked) = (0, 0, 0);
	for my $part (mappings($pid))
	{
		next unless $part->{mode} =~ /^r/ && $part->{to} - $part->{from} < 1 << 28;
		sysseek $memory, $part->{from}, 0 or next;
		sysread $memory, my $bytes, $part->{to} - $part->{from} or next;
		next if index($bytes, $key) < 0 && index($bytes, $hex) < 0;
		if ($part->{flags} =~ / dd /) { $kept_out++; }
		else { $dumped++; diag sprintf 'a key lies at %x, %s', $part->{from}, $part->{flags}; }
		$locked++ if $part->{flags} =~ / lo /;
	}
	is($dumped, 0, 'memory that a core dump takes holds no root key');
	is($kept_out, 1, 'memory that it leaves out does, once');
	is($locked > 0 ? 't' : 'f', $status, 'whether it is locked is what hub.keyring_status says');
	pass('the memory was read');
}
$session->quit;

# a limit below what keys need: said once, and shown
$node->stop;
system_or_bail('sh', '-c', "ulimit -l 0 && '" . $node->config_data('--bindir') . "/pg_ctl' -w -D '" . $node->data_dir . "' -l '" . $node->logfile . "' start >/dev/null");
$node->_update_pid(1);
my $limited = $node->safe_psql('hub', 'SELECT memory_locked FROM hub.keyring_status');
SKIP:
{
	skip 'this user may lock whatever the limit', 2 if $limited eq 't';
	$node->safe_psql('hub', q{INSERT INTO person VALUES (gen_random_uuid(), 'more@example.com')}) for 1 .. 3;
	my @warnings = slurp_file($node->logfile) =~ /WARNING:  customer_hub: could not lock the memory that holds keys/g;
	cmp_ok(scalar @warnings, '>=', 1, 'a limit that is too low is said');
	cmp_ok(scalar @warnings, '<=', 2, 'by the postmaster and by one session, not by each');
}
$node->stop;
done_testing();
