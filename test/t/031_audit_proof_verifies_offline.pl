# audit_proof_verifies_offline: what hub.audit_proof(), hub.audit_consistency() and
# hub.audit_checkpoint() return verifies with a program that shares no code with the
# extension and sees no database, and stops verifying when anything is changed.
use strict;
use warnings;
use Digest::SHA;
use JSON::PP;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE ROLE clara LOGIN;
SELECT hub.add_member('clara', 'hub_compliance', 'clara', '{DE}', '{1}', '{1}');
SQL

my $directory = $node->basedir;
my @compliance = (extra_params => [ '-U', 'clara' ]);
my $verifier = 'test/verify/audit_verify.py';

my $write = sub {
	my ($name, $text) = @_;
	open my $file, '>:raw', "$directory/$name" or die "$name: $!";
	print $file $text;
	close $file;
	return "$directory/$name";
};
my $verify = sub {
	my ($kind, $key, @files) = @_;
	my ($out, $err);
	my $ok = IPC::Run::run([ 'python3', $verifier, $kind, $key, @files ], '>', \$out, '2>', \$err);
	return wantarray ? ($ok, $out, $err) : $ok;
};

# blocks of many sizes, so that paths have many shapes
my @checkpoints;
for my $events (1, 2, 3, 5, 8, 13)
{
	$node->safe_psql('hub', qq{
		SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(1, $events) n;
		CALL hub.seal_audit()});
	push @checkpoints, $node->safe_psql('hub', 'SELECT hub.audit_checkpoint()', @compliance);
}
my $key = $node->safe_psql('hub', 'SELECT hub.audit_public_key()', @compliance);
my $note = $write->('checkpoint', $checkpoints[-1]);

my ($ok, $out, $err) = $verify->('checkpoint', $key, $note);
ok($ok, 'a checkpoint verifies') or diag $err;
my $changed = $checkpoints[-1];
$changed =~ s/\n(\d+)\n/"\n" . ($1 + 1) . "\n"/e;
ok(!$verify->('checkpoint', $key, $write->('changed', $changed)), 'one of another size does not');
my $other_key = $key;
$other_key =~ s/\+A(.)/'+A' . ($1 eq 'c' ? 'd' : 'c')/e;
ok(!$verify->('checkpoint', $other_key, $note), 'nor one under another key');

# the note, read line by line as c2sp.org/signed-note and tlog-checkpoint have it
my ($name, $id, $typed) = $key =~ /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+\/]{44})$/ or die $key;
my $raw = $node->safe_psql('hub', q{SELECT encode(convert_to(hub.audit_checkpoint(), 'UTF8'), 'hex')}, @compliance);
my ($text, $origin, $size, $root, $signature) = pack('H*', $raw) =~
	/\A((customer_hub\/[0-9a-f-]{36})\n(0|[1-9][0-9]*)\n([A-Za-z0-9+\/]{43}=)\n)\n\xE2\x80\x94 \2 ([A-Za-z0-9+\/]{91}=)\n\z/;
ok(defined $signature, 'a checkpoint has origin, size, root, an empty line, a signature, and ends with a line feed');
is($origin, $name, 'the key is named like the log');
is($size, scalar @checkpoints, 'the size is that of the log');
is(unpack('H*', decode_base64($typed)) =~ s/.{64}$//r, '01', 'the key is of type Ed25519');
is($id, substr(Digest::SHA::sha256_hex("$name\n" . decode_base64($typed)), 0, 8), 'its id is the first four bytes of SHA-256(name, line feed, type, key)');
is(substr(unpack('H*', decode_base64($signature)), 0, 8), $id, 'the signature begins with the id');
is(encode_base64(decode_base64($_), ''), $_, 'base64 is canonical') for $typed, $root, $signature;
my $public = $write->('public', pack('H*', '302a300506032b6570032100') . substr(decode_base64($typed), 1));
is(system("openssl pkeyutl -verify -pubin -keyform DER -inkey $public -rawin -in " . $write->('text', $text)
	. ' -sigfile ' . $write->('signature', substr(decode_base64($signature), 4)) . ' >/dev/null 2>&1'), 0, 'and signs the text, its last line feed included');

# and the program reads notes of another implementation: the example of golang.org/x/mod/sumdb/note
my $peter = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
my $saying = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
	. "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
my $opens = sub {
	return system('python3', '-c', 'import sys; sys.path.insert(0, "test/verify"); sys.dont_write_bytecode = True; import audit_verify as v; '
		. 'sys.exit(0 if v.Key(sys.argv[1]).signed(v.Note(open(sys.argv[2], encoding="utf-8").read())) else 3)', $_[0], $write->('saying', $_[1])) >> 8;
};
is($opens->($peter, $saying), 0, 'a note of the reference implementation opens');
isnt($opens->($peter, $saying =~ s/answer/question/r), 0, 'not when it was changed');
isnt($opens->($peter =~ s/c74f20a3/c74f20a4/r, $saying), 0, 'nor by a key with another id');
is($opens->('EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop', $saying), 3, 'a key that did not sign it is told so');

# every event
my $failed = 0;
my $count = 0;
my @places = split /\n/, $node->safe_psql('hub', 'SELECT xid, ordinal FROM hub.audit_event ORDER BY 1, 2');
my %proofs;
for my $place (@places)
{
	my ($xid, $ordinal) = split /\|/, $place;
	$proofs{$place} = $node->safe_psql('hub', "SELECT hub.audit_proof('$xid', $ordinal)", @compliance);
	$count++;
	($ok, $out, $err) = $verify->('event', $key, $write->('proof', $proofs{$place}), $note);
	$failed++ unless $ok && $out =~ /^event $xid, $ordinal of kind/;
}
cmp_ok($count, '>=', 32, 'there are events');
is($failed, 0, 'every event has a proof that verifies against the kept checkpoint');

# nothing in a proof can be changed
my $place = $places[-6];
# another character of base64 in a string's place, whatever is there
my $other_digit = sub { substr($_[0], $_[1], 1) = substr($_[0], $_[1], 1) eq 'A' ? 'B' : 'A' };
my $change = sub {
	my ($name, $how) = @_;
	my $proof = decode_json($proofs{$place});
	$how->($proof);
	ok(!$verify->('event', $key, $write->('proof', encode_json($proof)), $note), "refused with $name");
};
$change->('other contents of the event', sub { $other_digit->($_[0]{event}{bytes}, 60) });
$change->('another index', sub { $_[0]{event}{index}++ });
$change->('a shorter path', sub { pop @{ $_[0]{event}{path} } });
$change->('a longer path', sub { push @{ $_[0]{event}{path} }, $_[0]{event}{path}[0] });
$change->('another transaction', sub { $other_digit->($_[0]{transaction}{bytes}, 30) });
$change->('another header', sub { $_[0]{header} =~ s/(\d)\n$/(($1 + 1) % 10) . "\n"/e });
$change->('another place in the log', sub { $_[0]{log}{index}-- });
$change->('an older checkpoint', sub { $_[0]{checkpoint} = $checkpoints[0] });

# a changed event gets a proof that fails
$node->safe_psql('hub', q{
	SET session_replication_role = replica;
	UPDATE hub.audit_event SET details = '{"n": 1000}' WHERE xid = (SELECT max(xid) FROM hub.audit_event) AND ordinal = 3});
my $last_xid = $node->safe_psql('hub', 'SELECT max(xid) FROM hub.audit_event');
my $forged = $node->safe_psql('hub', "SELECT hub.audit_proof('$last_xid', 3)", @compliance);
ok(!$verify->('event', $key, $write->('proof', $forged), $note), 'the proof of a changed event fails');

# the log has only grown
$failed = 0;
for my $old (1 .. @checkpoints)
{
	for my $new ($old .. @checkpoints)
	{
		my $proof = $node->safe_psql('hub', "SELECT hub.audit_consistency($old, $new)", @compliance);
		my $kept = $write->('kept', $checkpoints[ $old - 1 ]);
		$failed++ unless $verify->('consistency', $key, $write->('consistency', $proof), $kept);
	}
}
is($failed, 0, 'every checkpoint begins with every older one');
my $proof = decode_json($node->safe_psql('hub', 'SELECT hub.audit_consistency(3, 6)', @compliance));
$proof->{path}[0] = $proof->{path}[1];
ok(!$verify->('consistency', $key, $write->('consistency', encode_json($proof))), 'with another path it does not verify');

# what cannot be proved, and who may not ask
my $status;
$node->safe_psql('hub', 'CREATE ROLE nobody LOGIN');
($status, $out, $err) = $node->psql('hub', "SELECT hub.audit_proof('$last_xid', 1000)", @compliance);
like($err, qr/the audit trail has no event/, 'an event that does not exist has no proof');
($status, $out, $err) = $node->psql('hub', "SELECT hub.audit_proof('999999999', 1)", @compliance);
like($err, qr/not sealed yet.*seal_audit/s, 'one that is not sealed has none yet');
($status, $out, $err) = $node->psql('hub', 'SELECT hub.audit_consistency(5, 2)', @compliance);
like($err, qr/no checkpoints of sizes/, 'sizes are checked');
($status, $out, $err) = $node->psql('hub', "SELECT hub.audit_proof('$last_xid', 1)", extra_params => [ '-U', 'nobody' ]);
like($err, qr/permission denied/, 'and not everybody may ask');

$node->stop;
done_testing();
