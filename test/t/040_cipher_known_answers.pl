# The cryptography of the keyring gives the answers that its standards publish:
# XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), BLAKE2b (RFC 7693), Ed25519 (RFC
# 8032), SHA-256 (FIPS 180-4), HMAC (RFC 4231), SipHash-2-4-128, ChaCha20 (RFC 8439).
# The room's own object files are linked, see test/known_answers; and the library
# uses no primitive of libsodium that is not among those tested.
use strict;
use warnings;
use File::Temp;
use PostgreSQL::Test::Utils;
use Test::More;

my $directory = File::Temp::tempdir(CLEANUP => 1);
my $program = "$directory/known_answers";
my ($includes) = run_command([ $ENV{PG_CONFIG} // 'pg_config', '--includedir-server' ]);

# What a vector cannot reach needs no stand-in: the linker need not find it.
my ($out, $err) = run_command(
	[
		'cc', '-O1', '-D_GNU_SOURCE', '-Isrc', "-I$includes", '-o', $program,
		'test/known_answers/known_answers.c',
		map({ "src/keyring/$_.o" } qw(envelope keyring wrap nonce hmac sha256)),
		'-Wl,--unresolved-symbols=ignore-all', '-no-pie', '-lsodium', '-lcrypto'
	]);
ok(-x $program, 'the test of the vectors is built') or diag($err);

($out, $err) = run_command([$program]);
my @checks = split /\n/, $out;
cmp_ok(scalar @checks, '>=', 40, 'it has checked them all');
for my $check (@checks)
{
	my ($result, $name) = $check =~ /^(ok|not ok) - (.*)/ or next;
	ok($result eq 'ok', $name);
}

# SHA-1 (of webhook signatures) and the curves' arithmetic are not libsodium's or only check keys
my %tested = map { $_ => 1 } qw(
  crypto_aead_xchacha20poly1305_ietf_decrypt crypto_aead_xchacha20poly1305_ietf_encrypt
  crypto_auth_hmacsha256_final crypto_auth_hmacsha256_init crypto_auth_hmacsha256_update
  crypto_core_ed25519_is_valid_point crypto_generichash crypto_hash_sha256
  crypto_shorthash_siphashx24 crypto_sign_detached crypto_sign_seed_keypair
  crypto_sign_verify_detached crypto_stream_chacha20);

# its keys are BLAKE2b's, which 042_envelope_format_is_frozen.pl computes anew
$tested{crypto_kdf_derive_from_key} = 1;

($out) = run_command([ 'nm', '-D', '--undefined-only', 'customer_hub.so' ]);
my @used = sort grep { /^crypto_/ } map { (split)[-1] } split /\n/, $out;
cmp_ok(scalar @used, '>', 5, 'the library uses libsodium');
is_deeply([ grep { !$tested{$_} } @used ], [], 'and nothing of it that is not tested');

done_testing();
