# The ways in which a server can be set up wrongly: each has its message, its
# SQLSTATE and its hint, and stores nothing.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
my $key = slurp_file($node->key_directory . '/epoch-1.key');
my $key_file = $node->key_directory . '/epoch-1.key';

# Run a statement that must fail and compare SQLSTATE, message and hint
sub fails_like
{
	my ($statement, $sqlstate, $message, $hint, $name) = @_;
	my ($status, $stdout, $stderr) = $node->psql('hub', "\\set VERBOSITY verbose\n$statement", on_error_stop => 1);
	isnt($status, 0, "$name: fails");
	like($stderr, qr/ERROR:  $sqlstate: .*$message/, "$name: message");
	like($stderr, qr/HINT:  .*$hint/, "$name: hint");
	return;
}

# Start with other settings
sub restart_with
{
	my (%settings) = @_;
	$node->append_conf('postgresql.conf', join '', map { "$_ = $settings{$_}\n" } sort keys %settings);
	$node->restart;
	return;
}

# not preloaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE hub');
fails_like('CREATE EXTENSION customer_hub', '55000', 'must be loaded through shared_preload_libraries',
	'Add customer_hub to shared_preload_libraries', 'library not preloaded');
is($node->safe_psql('hub', "SELECT count(*) FROM pg_namespace WHERE nspname = 'hub'"), '0', 'nothing is half installed');

# preloaded, with a key
restart_with(shared_preload_libraries => 'customer_hub');
$node->safe_psql('hub', 'CREATE EXTENSION customer_hub');
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY, name hub.encrypted_text('basic'));
SELECT hub.classify('person', 'id', 'public');
SELECT hub.govern('person', 'id');
INSERT INTO person VALUES ('11111111-1111-4111-8111-111111111111', 'Ann Example');
SQL
my $insert = q{INSERT INTO person VALUES ('22222222-2222-4222-8222-222222222222', 'Ben Example')};

# a key that others can read
chmod 0644, $key_file;
$node->restart;
fails_like($insert, 'CH001', 'accessible to others', 'mode 0600', 'key file too open');
chmod 0600, $key_file;

# what is in the file is no key
unlink $key_file;
$node->write_key(1, 'not a key');
$node->restart;
fails_like($insert, 'CH001', 'does not hold a key', '64 hexadecimal digits', 'key file without a key');

# no key
unlink $key_file;
$node->restart;
fails_like($insert, 'CH001', 'holds no key', 'epoch-1.key', 'empty key directory');
is($node->safe_psql('hub', 'SELECT count(*) FROM person'), '1', 'rows can be counted without a key');
fails_like('SELECT name FROM person', 'CH001', 'holds no key', 'epoch-1.key', 'reading without a key');

# another key
$node->write_key(1);
$node->restart;
fails_like($insert, 'CH002', 'key of epoch 1 is not the key', 'Put the right key of epoch 1', 'wrong key');
my $goes_on = q{DO $$
BEGIN
	BEGIN
		PERFORM 'x'::hub.encrypted_text;
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	CREATE TABLE loose AS SELECT 'Cleo Example'::hub.encrypted_text AS name;
END
$$};
fails_like($goes_on, 'CH002', 'key of epoch 1 is not the key', 'Put the right key of epoch 1', 'wrong key, once an error of it was caught');
unlink $key_file;

# a key inside the data directory
my $inside = $node->data_dir . '/keys';
mkdir $inside, 0700;
append_to_file("$inside/epoch-1.key", $key);
chmod 0600, "$inside/epoch-1.key";
restart_with('customer_hub.key_directory' => "'$inside'");
fails_like($insert, 'CH001', 'inside the data directory', 'Move the keys elsewhere', 'key inside the data directory');

# a command that prints the key
append_to_file($key_file, $key);
chmod 0600, $key_file;
my $command = "cat " . $node->key_directory . '/epoch-%e.key 2>/dev/null';
restart_with('customer_hub.key_directory' => "''", 'customer_hub.key_command' => "'$command'");
$node->safe_psql('hub', $insert);
is($node->safe_psql('hub', 'SELECT count(*) FROM person'), '2', 'with the key from a command, rows are stored again');

# both
restart_with('customer_hub.key_directory' => "'" . $node->key_directory . "'");
fails_like($insert, 'CH001', 'both', 'Keep one of them', 'directory and command');
is($node->safe_psql('hub', 'SELECT count(*) FROM person'), '2', 'what failed stored nothing');

# the key itself is in no log
chomp(my $digits = $key);
unlike(slurp_file($node->logfile), qr/\Q$digits\E/i, 'the server log does not have the key');

done_testing();
