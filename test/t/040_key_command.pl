# A key command that fails in every way there is: the server starts all the same and
# soon, every use says what is wrong and what to do, and nothing it printed is in the log.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY, name hub.encrypted_text('basic'));
SELECT hub.govern('person', 'id');
INSERT INTO person VALUES ('11111111-1111-4111-8111-111111111111', 'Ann Example');
SQL
my $keys = $node->key_directory;
chomp(my $key = slurp_file("$keys/epoch-1.key"));
my $insert = q{INSERT INTO person VALUES (gen_random_uuid(), 'Ben Example')};
my $script = $node->basedir . '/key_command';
$node->append_conf('postgresql.conf', "customer_hub.key_directory = ''\ncustomer_hub.key_command = '$script %e'\n");

# Have the command do something, and start anew
sub with_command
{
	my ($body) = @_;
	unlink $script;
	append_to_file($script, "#!/bin/sh\n$body\n");
	chmod 0700, $script;
	my $begun = time;
	$node->restart;
	return time - $begun;
}

# Seal something: SQLSTATE, message and hint
sub fails_like
{
	my ($sqlstate, $message, $hint, $name) = @_;
	my (undef, undef, $stderr) = $node->psql('hub', "\\set VERBOSITY verbose\n$insert");
	like($stderr, qr/ERROR:  $sqlstate: .*$message/, "$name: message");
	like($stderr, qr/HINT:  .*$hint/, "$name: hint");
	return;
}

with_command("cat $keys/epoch-\$1.key 2>/dev/null");
$node->safe_psql('hub', $insert);
pass('a command that prints the key');
is($node->safe_psql('hub', 'SELECT DISTINCT source FROM hub.keyring_status'), 'key_command', 'and is the source');

with_command('exit 3');
fails_like('CH001', 'key_command has no key for any epoch', 'by hand', 'fails');

with_command("[ \$1 = 1 ] || exit 1\necho '$key  and then some, of the length of another key or so'");
fails_like('CH001', 'printed more than a key for epoch 1', '64 hexadecimal digits', 'prints too much');

with_command("tr '0-9a-f' 'g-v' <$keys/epoch-1.key");
fails_like('CH001', 'did not print a key for epoch 1', '64 hexadecimal digits', 'prints garbage');

with_command('exit 0');
fails_like('CH001', 'did not print a key for epoch 1', '64 hexadecimal digits', 'prints nothing');

with_command('kill -9 $$');
fails_like('CH001', 'was ended by a signal for epoch 1', '64 hexadecimal digits', 'is killed');

with_command('exec /nonexistent');
fails_like('CH001', 'could not be run for epoch 1', 'whole path', 'cannot be run');

# the key is printed at once, but the command goes on: with its output closed, and without
for my $hang ("cat $keys/epoch-1.key; exec >&-; sleep 1000", "cat $keys/epoch-1.key; sleep 1000 & wait")
{
	my $seconds = with_command($hang);
	cmp_ok($seconds, '<', 60, 'the server starts though the command hangs');
	fails_like('CH001', 'did not end in time for epoch 1', 'ten seconds', 'hangs');
}

with_command("cat $keys/epoch-1.key");
fails_like('CH001', 'gave the key of epoch 1 again for epoch 2', '%e', 'does not look at the epoch');

with_command("[ \$1 = 1 ] && tr '0-9a-f' '1-9a-f0' <$keys/epoch-1.key");
fails_like('CH002', 'key of epoch 1 is not the key', 'right key of epoch 1', 'prints a wrong key');

# the keys of epochs that are retired are gone: those come first
with_command("[ \$1 = 3 ] && cat $keys/epoch-1.key");
fails_like('CH001', 'key of epoch 1 is not loaded', 'epoch 1', 'has a later epoch only');

# what belongs to a command: an empty standard input, and signals that work
with_command("[ \$1 = 1 ] || exit 1\ncat; timeout 5 cat $keys/epoch-1.key");
$node->safe_psql('hub', $insert);
is($node->safe_psql('hub', 'SELECT count(*) FROM person'), '3', 'what failed stored nothing');

my $log = slurp_file($node->logfile);
unlike($log, qr/\Q$key\E/i, 'the log does not have the key');
(my $garbled = $key) =~ tr/0-9a-f/g-v/;
unlike($log, qr/\Q$garbled\E/i, 'nor what was printed instead');
unlike($log, qr/and then some/, 'nor what was printed after it');

done_testing();
