# The key that signs checkpoints can be changed: who trusts one key can prove the others,
# each counts for its own time, and what was signed before goes on verifying.
use strict;
use warnings;
use Digest::SHA;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $anchors = PostgreSQL::Test::Utils::tempdir();
my $node = HubCluster->new('main', conf => "customer_hub.seal_interval = 1h\ncustomer_hub.audit_anchor_directory = '$anchors'\n");
$node->start;
$node->create_hub_database('hub');
my $sql = sub { $node->safe_psql('hub', $_[0]) };
my $as = sub { $node->psql('hub', $_[1], extra_params => [ '-U', $_[0] ]) };
my $breaks = sub { $sql->('SELECT kind, block_no, detail FROM hub.verify_audit()') };
my $event = sub { $sql->(q{SELECT hub.record_event('config', NULL, '{"n": 1}'); CALL hub.seal_audit()}) };
my $checkpoint = sub { $sql->('SELECT hub.audit_checkpoint()') . "\n" };
my $public_key = sub { $sql->('SELECT hub.audit_public_key()') };
my $changeover = sub { $sql->("SELECT changeover FROM hub.audit_keys() WHERE generation = $_[0]") . "\n" };
$sql->(q{
	CREATE ROLE ada LOGIN; CREATE ROLE clara LOGIN;
	SELECT hub.add_member('ada', 'hub_admin', 'ada', '{DE}', '{1}', '{1}');
	SELECT hub.add_member('clara', 'hub_compliance', 'clara', '{DE}', '{1}', '{1}')});

my $directory = $node->basedir;
my $write = sub {
	my ($name, @text) = @_;
	open my $file, '>:raw', "$directory/$name" or die "$name: $!";
	print $file @text;
	close $file;
	return "$directory/$name";
};
# what the independent program says, in one string
my $verify = sub {
	my ($out, $err);
	IPC::Run::run([ 'python3', 'test/verify/audit_verify.py', @_ ], '>', \$out, '2>', \$err);
	return $out . $err;
};
my $verified = qr/: verified\n\z/;

# who may
my ($status, $out, $err) = $as->('ada', 'SELECT hub.rotate_audit_key()');
like($err, qr/not been sealed since its key was made/, 'a log without a block has no name, and so no key');
$event->() for 1 .. 2;
($status, $out, $err) = $as->('clara', 'SELECT hub.rotate_audit_key()');
like($err, qr/permission denied/, 'compliance staff do not change keys');
my $first_key = $public_key->();
my $first_checkpoint = $checkpoint->();
my $xid = $sql->(q{SELECT max(xid) FROM hub.audit_event});
my $first_proof = $sql->("SELECT hub.audit_proof('$xid', 1)");
unlike($first_proof, qr/key_changes/, 'proofs of a log with one key bring no changes along');

# a change, and the server killed in its middle
($status, $out, $err) = $as->('ada', 'SELECT hub.rotate_audit_key()');
like($out, qr/^customer_hub\/[0-9a-f-]{36}\+[0-9a-f]{8}\+[A-Za-z0-9+\/]{44}$/, 'an administrator does');
my $second_key = $out;
isnt($second_key, $first_key, 'it is another key');
is($public_key->(), $first_key, 'the old one counts until the change is sealed');
($status, $out, $err) = $as->('ada', 'SELECT hub.rotate_audit_key()');
like($err, qr/not been sealed since its key was made.*seal_audit/s, 'and is not changed again before');
is($sql->('SELECT first_size IS NULL AND changeover IS NULL FROM hub.audit_keys() WHERE generation = 2'), 't', 'the list says so');
is($breaks->(), '', 'a change that is not sealed is no break');
$node->stop('immediate');
$node->start;
$sql->('CALL hub.seal_audit()');
is($public_key->(), $second_key, 'after a crash the next block is the changeover all the same');
is($sql->('SELECT generation, public_key, first_size FROM hub.audit_keys()'), "1|$first_key|1\n2|$second_key|3", 'keys are listed with the size from which each holds');
my $change = $checkpoint->();
is($change, $changeover->(2), 'with the checkpoint of the change');
like($change, qr/^customer_hub\/\S+\n3\n[^\n]{44}\nold-key \Q$first_key\E\nnew-key \Q$second_key\E\n\n(— [^\n]+\n){2}\n?$/, 'which names both keys and has two signatures');
like($sql->(q{BEGIN; SET session_replication_role = replica; DELETE FROM hub.audit_block WHERE block_no = 2;
	SELECT string_agg(detail, ' ') FROM hub.verify_audit() WHERE kind = 'anchor'}), qr/had 3 when/, 'which the file of anchors holds the log against');
$event->();
like($checkpoint->(), qr/^customer_hub\/\S+\n4\n[^\n]{44}\n\n— [^\n]+\n\n?$/, 'those after it have one');
is($breaks->(), '', 'the trail verifies across the change');
is($sql->(q{SELECT e.details ->> 'old_key', e.details ->> 'new_key', t.login FROM hub.audit_event e JOIN hub.audit_transaction t USING (xid)
	WHERE e.operation = 'ROTATE'}), "$first_key|$second_key|ada", 'the change is an event, with who made it');

# offline, whichever key somebody trusts
my $last = $write->('last', $checkpoint->());
my $both = sub { $write->('trusted', $_[0], "\n", $changeover->(2)) };
like($verify->('keys', $first_key, $write->('changes', $changeover->(2))), qr/\Q$first_key\E from 1 blocks to 3: verified\n\Q$second_key\E from 3 blocks: verified\n/,
	'who trusts the first key can prove the second');
like($verify->('keys', $second_key, "$directory/changes"), qr/from 1 blocks to 3: verified\n\Q$second_key\E from 3/, 'and the other way round');
like($verify->('checkpoint', $second_key, $last), $verified, 'the second key verifies its checkpoints');
like($verify->('checkpoint', $first_key, $last), qr/not signed with the key of its time/, 'the first does not');
like($verify->('checkpoint', $both->($first_key), $last), $verified, 'but with the change');
my $old = $write->('old', $first_checkpoint);
like($verify->('checkpoint', $first_key, $old), $verified, 'a checkpoint of before verifies with the first key');
like($verify->('checkpoint', $second_key, $old), qr/not signed with the key of its time/, 'not with the second');
like($verify->('checkpoint', $both->($second_key), $old), $verified, 'but with the change');
like($verify->('checkpoint', $_, $write->('change', $change)), $verified, 'the changeover itself verifies with either') for $first_key, $second_key;
like($verify->('event', $first_key, $write->('proof', $first_proof)), $verified, 'so does a proof of before with the first key');
like($verify->('event', $both->($second_key), $write->('proof', $first_proof)), $verified, 'and with the second and the change');
my $proof = $sql->("SELECT hub.audit_proof('$xid', 1)");
like($verify->('event', $first_key, $write->('proof', $proof)), $verified, 'a proof of now brings the change along, for who has the first key');
like($verify->('event', $second_key, $write->('proof', $proof)), $verified, 'and for who has the second');
my $stripped = decode_json($proof);
delete $stripped->{key_changes};
like($verify->('event', $first_key, $write->('proof', encode_json($stripped))), qr/not signed with the key of its time/, 'without the change it proves nothing to the former');
$proof = $sql->('SELECT hub.audit_consistency(2, 4)');
like($verify->('consistency', $_, $write->('proof', $proof), $old), $verified, 'a proof that the log has only grown spans the change') for $first_key, $second_key;
my ($file) = glob("$anchors/*.checkpoints");
like($verify->('anchors', $_, $file), qr/^4 checkpoints, the last of 4 blocks$verified/, 'the file of anchors brings it along too') for $first_key, $second_key;
my $kept = sub { $sql->("SELECT kind, detail FROM hub.verify_audit_anchor('$_[0]')") };
is($kept->($_), '', 'checkpoints that were kept are the log\'s') for $first_checkpoint, $change, $checkpoint->();
(my $witnessed = $first_checkpoint) =~ s/\n*\z/"\n— witness.example " . encode_base64('x' x 76, '') . "\n"/e;
is($kept->($witnessed), '', 'also with the signature of a witness');

# keys of somebody else's: a log of three keys made here, of which one is unchained
my $log = $first_key =~ s/\+.*//r;
my @keys = map {
	my $pem = "$directory/key$_.pem";
	system("openssl genpkey -algorithm ed25519 -out $pem 2>/dev/null && openssl pkey -in $pem -pubout -outform DER -out $pem.pub") == 0 or die;
	my $typed = "\x01" . substr(slurp_file("$pem.pub", 0), -32);
	my $id = substr(Digest::SHA::sha256("$log\n$typed"), 0, 4);
	{ pem => $pem, id => $id, vkey => "$log+" . unpack('H8', $id) . '+' . encode_base64($typed, '') };
} 0 .. 2;
my $sign = sub {
	my ($text, @by) = @_;
	my $note = "$text\n";
	for my $key (@by)
	{
		$write->('text', $text);
		system("openssl pkeyutl -sign -rawin -inkey $key->{pem} -in $directory/text -out $directory/signature") == 0 or die;
		$note .= "— $log " . encode_base64($key->{id} . slurp_file("$directory/signature", 0), '') . "\n";
	}
	return "$note\n";
};
my $root = encode_base64('r' x 32, '');
my $plain = sub { my ($size, @by) = @_; $sign->("$log\n$size\n$root\n", @by) };
my $swap = sub { my ($size, $from, $to, @by) = @_; $sign->("$log\n$size\n$root\nold-key $from->{vkey}\nnew-key $to->{vkey}\n", @by) };
my ($a, $b, $c) = @keys;
my $check = sub {
	my ($changes, $note, $trusted) = @_;
	return $verify->('checkpoint', $write->('trusted', $trusted // $a->{vkey}, "\n", @$changes), $write->('note', $note));
};
my $ab = $swap->(10, $a, $b, $a, $b);
my $bc = $swap->(20, $b, $c, $b, $c);
like($check->([ $ab, $bc ], $plain->(30, $c)), $verified, 'a chain of three keys verifies, made with openssl alone');
like($check->([ $bc, $ab ], $plain->(15, $b)), $verified, 'in any order');
like($check->([ $ab, $bc ], $plain->(5, $a), $c->{vkey}), $verified, 'from its other end');
like($check->([], $plain->(30, $c)), qr/not signed with the key of its time/, 'not a key without a chain');
like($check->([ $ab ], $plain->(30, $c)), qr/not signed with the key of its time/, 'nor one after its end');
like($check->([ $ab ], $plain->(11, $a)), qr/not signed with the key of its time/, 'not the old key after its time');
like($check->([ $ab ], $plain->(9, $b)), qr/not signed with the key of its time/, 'nor the new one before');
like($check->([ $ab ], $plain->(10, $a, $b)), qr/does not say so/, 'nor a checkpoint of the changeover\'s size that is none');
like($check->([ $bc ], $plain->(30, $c)), qr/do not lead to the public key/, 'not a chain that begins elsewhere');
like($check->([ $ab, $swap->(20, $a, $c, $a, $c) ], $plain->(30, $c)), qr/not a chain/, 'nor one that forks');
like($check->([ $swap->(10, $a, $b, $b) ], $plain->(30, $b)), qr/not signed by both/, 'not a change that the old key did not sign');
like($check->([ $swap->(10, $a, $b, $a) ], $plain->(30, $b)), qr/not signed by both/, 'nor one that the new key did not');
like($check->([ $ab =~ s/\n10\n/\n11\n/r ], $plain->(30, $b)), qr/signature does not verify/, 'nor one of another size than was signed');
like($kept->($plain->(3, $a)), qr/not signed by the key of that time|not the one/, 'a key that is none of the hub\'s is refused by the hub as well');
my $true_text = ($first_checkpoint =~ /^(.*?\n)\n/s)[0];
like($kept->($sign->($true_text, $a)), qr/^anchor\|.*not signed by the key of that time/, 'even under the true text');

# the hub's own keys out of their time: by somebody who shifts the change, has a block sealed, and shifts it back
$sql->(q{CREATE TABLE kept AS SELECT * FROM hub.audit_key;
	SET session_replication_role = replica; UPDATE hub.audit_key SET xid = '1000000'});
like($breaks->(), qr/^log\|2\|the signed checkpoint is not.*^key\|\|no event says/ms, 'a change that is shifted is found');
my $forged_file = $sql->('SELECT count(*) FROM hub.audit_block');
$event->();
my $forged = $checkpoint->();
$sql->(q{SET session_replication_role = replica; UPDATE hub.audit_key SET xid = (SELECT xid FROM kept)});
like($breaks->(), qr/^log\|4\|the checkpoint is not signed by the key of its time/, 'a checkpoint that the old key signed after its time is found');
like($kept->($forged), qr/not signed by the key of that time/, 'and refused when it was kept');
like($verify->('checkpoint', $both->($first_key), $write->('note', $forged)), qr/not signed with the key of its time/, 'by the independent program as well');
$sql->(q{SET session_replication_role = replica; DELETE FROM hub.audit_block WHERE block_no = 4});
$node->stop('immediate');
unlink $file or die $!;
$node->start;
is($breaks->(), '', 'without it all is well');
$sql->(q{BEGIN; SET session_replication_role = replica; DELETE FROM hub.audit_key; SET session_replication_role = origin;
	CREATE TABLE found AS SELECT * FROM hub.verify_audit(); DELETE FROM found WHERE kind <> 'log'; COMMIT; INSERT INTO hub.audit_key TABLE kept});
is($sql->('SELECT DISTINCT detail FROM found ORDER BY detail'), "the checkpoint is not signed by the key of its time\nthe signed checkpoint is not of the log up to this block", 'a change that is taken away is found');
($status, $out, $err) = $node->psql('hub', 'UPDATE hub.audit_key SET generation = 5');
like($err, qr/is refused/, 'keys are only ever added to');
($status, $out, $err) = $node->psql('hub', 'ALTER TABLE hub.audit_key ADD COLUMN x int');
like($err, qr/cannot change table "audit_key"/, 'and the table stays as it is');

# retired is what is old, not that the key has changed
$sql->('SELECT hub.retire_audit(now()); CALL hub.seal_audit()');
is($sql->(q{SELECT count(*) FROM hub.audit_event WHERE operation = 'ROTATE'}), '1', 'the event of a change is never retired');
is($breaks->(), '', 'nor missed');

# a dump between a change and its block, keys that are wrapped anew, a keyring of its own
$node->write_key(2);
$node->restart;
$sql->('CALL hub.rotate_epoch()');
my $third_key = $sql->('SELECT hub.rotate_audit_key()');
my $dump = "$directory/dump";
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('hub'), '-f', $dump ], 'a dump with a change that is not sealed');
$sql->("\\copy (SELECT * FROM hub.export_keyring()) TO '$directory/keyring'");
$sql->('CALL hub.seal_audit()');
for my $database ('restored', 'imported')
{
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION customer_hub;
		CREATE TEMP TABLE keyring (part jsonb);\n\\copy keyring FROM '$directory/keyring'\nSELECT hub.import_keyring('keyring')") if $database eq 'imported';
	$node->command_ok([ 'pg_restore', '-d', $node->connstr($database), $dump ], "$database");
	is($node->safe_psql($database, q{SELECT hub.record_event('config', NULL, '{}'); CALL hub.seal_audit(); SELECT hub.audit_public_key()}) =~ s/^\n//r, $third_key, 'the change is made where the dump is restored');
	is($node->safe_psql($database, 'SELECT kind, block_no, detail FROM hub.verify_audit()'), '', 'and verifies');
}
is($public_key->(), $third_key, 'and where it came from');
is($breaks->(), '', 'there too');
like($verify->('keys', $first_key, $write->('changes', map { $changeover->($_) } 2, 3)), qr/\Q$third_key\E from \d+ blocks$verified/, 'a chain leads from the first key to the last');

$node->stop;
done_testing();
