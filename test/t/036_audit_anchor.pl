# Checkpoints in a directory outside the database: a trail that was cut off or written
# anew is found, even after a restart, and even by who has nothing but the file.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $directory = PostgreSQL::Test::Utils::tempdir();
my $node = HubCluster->new('main', conf => "customer_hub.audit_anchor_directory = '$directory'\n");
$node->start;
$node->create_hub_database('hub');
my $event = sub { $node->safe_psql('hub', "SELECT hub.record_event('config', NULL, '{\"n\": $_[0]}')"); };
my $seal = sub { $node->safe_psql('hub', 'CALL hub.seal_audit()') };
my $breaks = sub { $node->safe_psql('hub', 'SELECT kind, detail FROM hub.verify_audit()') };

for my $n (1 .. 3) { $event->($n); $seal->(); }
my ($file) = glob("$directory/*.checkpoints");
ok($file, 'there is a file');
is((stat($file))[2] & 0777, 0600, 'that only the server reads');
my $key = $node->safe_psql('hub', 'SELECT hub.audit_public_key()');
my $last = $node->safe_psql('hub', 'SELECT hub.audit_checkpoint()');
my $blocks = $node->safe_psql('hub', 'SELECT count(*) FROM hub.audit_block');
my ($out, $err) = run_command([ 'python3', 'test/verify/audit_verify.py', 'anchors', $key, $file ]);
like($out, qr/^$blocks checkpoints, the last of $blocks blocks: verified/, 'an independent program verifies the file');
is($breaks->(), '', 'nothing is wrong with the trail');

# a note that was cut short, by a crash or a full disk, is none
append_to_file($file, substr($last, 0, 60));
is($breaks->(), '', 'half a note at the end of the file is passed over');
$event->(33); $seal->();
is($breaks->(), '', 'and so when another follows it');
$last = $node->safe_psql('hub', 'SELECT hub.audit_checkpoint()');
$blocks = $node->safe_psql('hub', 'SELECT count(*) FROM hub.audit_block');

# the file is what the trail is held against: change one checkpoint in it
my $forged = slurp_file($file);
$forged =~ s/\n\d\n/\n1\n/;
$forged =~ s/\n2\n/\n1\n/;
my $copy = "$directory/copy";
open my $handle, '>', $copy or die $!;
print $handle $forged;
close $handle;
isnt(system('python3', 'test/verify/audit_verify.py', 'anchors', $key, $copy), 0, 'a changed file does not verify');

# nor one whose checkpoints were put in another order, or repeated
my $whole = slurp_file($file);
my $rewrite = sub {
	open my $out, '>', $copy or die $!;
	print $out $_[0];
	close $out;
	return join '', run_command([ 'python3', 'test/verify/audit_verify.py', 'anchors', $key, $copy ]);
};
my ($one) = $whole =~ /\A(.*?\n\n.*?\n\n)/s;
like($rewrite->($one . $one), qr/comes after one of/, 'a file that goes back does not verify');
like($rewrite->(substr($one, 0, -20)), qr/not proved/, 'nor one that is cut off in a checkpoint');

# a server that was restarted remembers nothing of the blocks it has sealed
my $cut = q{
	SET session_replication_role = replica;
	DELETE FROM hub.audit_event WHERE details ->> 'n' = '33';
	DELETE FROM hub.audit_transaction t WHERE NOT EXISTS (SELECT FROM hub.audit_event e WHERE e.xid = t.xid);
	DELETE FROM hub.audit_block WHERE block_no = (SELECT max(block_no) FROM hub.audit_block);};
$node->safe_psql('hub', 'CREATE TABLE kept AS SELECT * FROM hub.audit_block');
$node->restart;
$node->safe_psql('hub', $cut);
like($breaks->(), qr/^anchor\|the log has \d+ blocks, and had $blocks/, 'a log that was cut off is found');
truncate($file, length($whole) - 20) or die $!;
$node->safe_psql('hub', 'SET session_replication_role = replica; DELETE FROM hub.audit_block WHERE block_no >= (SELECT max(block_no) - 1 FROM hub.audit_block)');
like($breaks->(), qr/^anchor\|the log has \d+ blocks, and had/m, 'also by the last whole checkpoint of a file that was cut short');
$node->safe_psql('hub', 'INSERT INTO hub.audit_block SELECT * FROM kept k WHERE k.block_no < (SELECT max(block_no) FROM kept) AND NOT EXISTS (SELECT FROM hub.audit_block b WHERE b.block_no = k.block_no)');
$node->append_conf('postgresql.conf', "customer_hub.audit_anchor_directory = ''");
$node->restart;
is($breaks->(), '', 'which nothing else shows after a restart');
like($node->safe_psql('hub', "SELECT kind, detail FROM hub.verify_audit_anchor('$last\n')"), qr/^anchor\|the log has/,
	'but a checkpoint that somebody kept');

# writing other blocks in their place does not help
$event->(4); $seal->(); $event->(5); $seal->();
is($breaks->(), '', 'the log that was written anew is consistent in itself');
like($node->safe_psql('hub', "SELECT kind, detail FROM hub.verify_audit_anchor('$last\n')"), qr/^anchor\|the log is not the one/,
	'and not the one of the checkpoint');
my $new = $node->safe_psql('hub', 'SELECT hub.audit_checkpoint()');
is($node->safe_psql('hub', "SELECT count(*) FROM hub.verify_audit_anchor('$new\n')"), '0', 'its own checkpoint is');

# where nothing can be written the trail goes on
$node->append_conf('postgresql.conf', "customer_hub.audit_anchor_directory = '$directory/missing'");
$node->reload;
$event->(6); $seal->();
is($breaks->(), '', 'a directory that is missing stops nothing');
like(slurp_file($node->logfile), qr/could not write audit checkpoint to file/, 'and is reported');

# durable: the record is committed before the value is shown
$node->append_conf('postgresql.conf', "customer_hub.durable_reveal = on");
$node->reload;
$node->safe_psql('hub', q{
	CREATE TABLE person (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), region hub.region DEFAULT 'DE', name hub.encrypted_text('basic'));
	SELECT hub.govern('person', 'id', 'region');
	INSERT INTO person (name) SELECT 'Person ' || n FROM generate_series(1, 20) n;
	CREATE ROLE anna LOGIN;
	SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}');
	GRANT SELECT ON person TO anna;});
$node->append_conf('postgresql.conf', "customer_hub.seal_interval = 1h");
$node->reload;
my $read = sub {
	my ($subjects) = @_;
	my ($stdout, $stderr);
	my $code = $node->psql('hub', "SET SESSION AUTHORIZATION anna; SET statement_timeout = '2s'; SELECT name FROM person ORDER BY id LIMIT $subjects",
		stdout => \$stdout, stderr => \$stderr);
	return $code == 0 ? $stdout : $stderr;
};
like($read->(3), qr/^Person \d+\nPerson \d+\nPerson \d+$/, 'in durable mode values are shown');
my $worker = $node->safe_psql('hub', 'SELECT hub.audit_worker_pid()');
kill 'STOP', $worker;
like($read->(3), qr/canceling statement/, 'but not before the record of them is committed');
$node->append_conf('postgresql.conf', "customer_hub.durable_reveal = off");
$node->reload;
like($read->(3), qr/^Person \d+\nPerson/, 'in fast mode it is enough that they are in the ring');
kill 'CONT', $worker;
$node->safe_psql('hub', 'SELECT hub.wait_for_audit()');
cmp_ok($node->safe_psql('hub', q{SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal'}), '>=', 7, 'from where they come into the trail');

$node->stop;
done_testing();
