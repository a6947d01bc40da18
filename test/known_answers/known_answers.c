/*
 * known_answers.c: the keyring's cryptography against published test vectors.
 *
 * Linked with the object files of src/keyring as the extension has them. What
 * those take from the server and from each other is stood in for below, so that
 * the keys and nonces of the vectors get in; the extension itself has no such
 * door. Prints one line per check; t/040_cipher_known_answers.pl builds and runs it.
 */
#include "postgres.h"

#include <sodium.h>
#include <sys/wait.h>
#include <unistd.h>

#include "foundation/compat.h"
#include "keyring/envelope.h"
#include "keyring/keyring.h"
#include "keyring/nonce.h"
#include "keyring/service_keys.h"
#include "keyring/subject_keys.h"
#include "keyring/wrap.h"

/* the C library's, since the server's are not linked */
#undef printf
#undef snprintf

/* what the code under test gets from elsewhere */
int			MyProcPid = 1;
static uint8 test_key[32];
static uint8 test_signing_secret[crypto_sign_SECRETKEYBYTES];
static uint8 test_signing_public[crypto_sign_PUBLICKEYBYTES];
static bool failed = false;

const uint8 *service_key(ServiceKey key) { return test_key; }
const uint8 *service_key_of_generation(ServiceKey key, int generation) { return test_key; }
const uint8 *signing_key_secret(SigningKey key, int generation) { return test_signing_secret; }
const uint8 *signing_key_public(SigningKey key, int generation) { return test_signing_public; }
int keyring_tag_generation(void) { return 1; }
uint8 tag_generation_bits(int generation) { return 0; }
int tag_generation_of_bits(uint8 flags) { return 1; }
bool root_keys_loaded(int epoch) { return true; }
void root_keys_derive(int epoch, uint64 use, uint8 *key, Size len) { memcpy(key, test_key, len); }
void subject_key_prefetch(const pg_uuid_t *subject) {}
void *palloc(Size size) { return malloc(size); }
void *palloc0(Size size) { return calloc(1, size); }
void pfree(void *pointer) { free(pointer); }
void *locked_alloc(Size size) { return calloc(1, size); }
void RegisterXactCallback(void *callback, void *arg) {}
void *memory_alloc_secret(Size size) { return calloc(1, size); }
void memory_free_secret(void *secret, Size size) { free(secret); }
void memory_zero(void *secret, Size size) { memset(secret, 0, size); }
bool errstart(int elevel, const char *domain) { return true; }
bool errstart_cold(int elevel, const char *domain) { return true; }
int errcode(int sqlerrcode) { return 0; }
int errmsg(const char *format, ...) { return 0; }
int errhint(const char *format, ...) { return 0; }
int errdetail(const char *format, ...) { return 0; }

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	printf("not ok - error in %s\n", funcname);
	exit(1);
}

const uint8 *
subject_key_find(const pg_uuid_t *subject, SubjectState *state, uint64 **mark)
{
	if (state)
		*state = SUBJECT_ALIVE;
	if (mark)
		*mark = NULL;
	return test_key;
}

/* Read hexadecimal digits into memory of their own */
static uint8 *
bytes_of(const char *hex, size_t *len)
{
	uint8	   *bytes = malloc(strlen(hex) / 2 + 1);

	if (sodium_hex2bin(bytes, strlen(hex) / 2 + 1, hex, strlen(hex), NULL, len, NULL) != 0)
		abort();
	return bytes;
}

/* Put the key of a vector where the code under test looks for one */
static void
use_key(const char *hex)
{
	size_t		len;
	uint8	   *bytes = bytes_of(hex, &len);

	memset(test_key, 0, sizeof(test_key));
	memcpy(test_key, bytes, Min(len, sizeof(test_key)));
	free(bytes);
}

static void
report(bool ok, const char *name)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", name);
	failed |= !ok;
}

/* Compare with what was published */
static void
expect(const char *name, const uint8 *got, size_t got_len, const char *hex)
{
	size_t		len;
	uint8	   *wanted = bytes_of(hex, &len);

	report(len == got_len && memcmp(wanted, got, len) == 0, name);
	free(wanted);
}

/* draft-irtf-cfrg-xchacha-03, A.3.1, and that an envelope is just this */
static void
check_xchacha20_poly1305(void)
{
	static const char plaintext[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
		"only one tip for the future, sunscreen would be it.";
	static const char ciphertext[] =
		"bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39"
		"ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
		"21f9664c97637da9768812f615c68b13b52e" "c0875924c1c7987947deafd8780acf49";
	const Size	len = sizeof(plaintext) - 1;
	size_t		aad_len,
				nonce_len,
				got_len;
	uint8	   *aad = bytes_of("50515253c0c1c2c3c4c5c6c7", &aad_len);
	uint8	   *nonce = bytes_of("404142434445464748494a4b4c4d4e4f5051525354555657", &nonce_len);
	uint8		sealed[256];
	uint8		opened[256];
	unsigned long long sealed_len;
	pg_uuid_t	subject = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
	uint8		header[24] = {0, 0, 0, 20, 0x11, 0x09, 0x01, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	struct varlena *envelope;
	uint8	   *parts;
	char	   *text;

	use_key("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &sealed_len, (const uint8 *) plaintext, len,
											   aad, aad_len, NULL, nonce, test_key);
	expect("XChaCha20-Poly1305, A.3.1: sealing", sealed, sealed_len, ciphertext);
	report(crypto_aead_xchacha20poly1305_ietf_decrypt(opened, NULL, NULL, sealed, sealed_len,
													  aad, aad_len, nonce, test_key) == 0 &&
		   memcmp(opened, plaintext, len) == 0, "XChaCha20-Poly1305, A.3.1: opening");

	/* the tag takes 16 bytes of the nonce; the rest is random, and taken from the envelope */
	envelope = envelope_seal(ENVELOPE_TEXT, 0, 0x0102, &subject, nonce, plaintext, len);
	parts = (uint8 *) VARDATA(envelope);
	report(memcmp(parts, header + 4, 20) == 0, "an envelope begins with its header");
	report(memcmp(parts + 20, nonce, 16) == 0, "the equality tag begins its nonce");
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &sealed_len, (const uint8 *) plaintext, len,
											   header, sizeof(header), NULL, parts + 20, test_key);
	report(VARSIZE(envelope) == VARHDRSZ + 44 + sealed_len &&
		   memcmp(parts + 44, sealed, sealed_len) == 0,
		   "the rest is XChaCha20-Poly1305 with the header as associated data");
	text = envelope_open(envelope, &got_len);
	report(text != NULL && got_len == len && memcmp(text, plaintext, len) == 0, "and opens again");
}

/* RFC 7693 Appendix E: fill with a deterministic sequence */
static void
fill_sequence(uint8 *out, size_t len, uint32 seed)
{
	uint32		a = 0xDEAD4BAD * seed;
	uint32		b = 1;

	for (size_t i = 0; i < len; i++)
	{
		uint32		t = a + b;

		a = b;
		b = t;
		out[i] = (t >> 24) & 0xFF;
	}
}

/* RFC 7693: the self-test of Appendix E, and the official keyed answers of BLAKE2 */
static void
check_blake2b(void)
{
	static const size_t hash_lens[4] = {20, 32, 48, 64};
	static const size_t message_lens[6] = {0, 3, 128, 129, 255, 1024};
	static const uint8 zero = 0;
	uint8		key[64];
	uint8		message[1024];
	uint8		hash[64];
	uint8		other[64];
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, 32);
	for (int i = 0; i < 4; i++)
	{
		for (int j = 0; j < 6; j++)
		{
			fill_sequence(message, message_lens[j], (uint32) message_lens[j]);
			crypto_generichash(hash, hash_lens[i], message, message_lens[j], NULL, 0);
			crypto_generichash_update(&state, hash, hash_lens[i]);
			fill_sequence(key, hash_lens[i], (uint32) hash_lens[i]);
			crypto_generichash(hash, hash_lens[i], message, message_lens[j], key, hash_lens[i]);
			crypto_generichash_update(&state, hash, hash_lens[i]);
		}
	}
	crypto_generichash_final(&state, hash, 32);
	expect("BLAKE2b, RFC 7693 Appendix E", hash, 32,
		   "c23a7800d98123bd10f506c61e29da5603d763b8bbad2e737f5e765a7bccd475");

	for (int i = 0; i < 64; i++)
		key[i] = i;
	crypto_generichash(hash, 64, NULL, 0, key, 64);
	expect("BLAKE2b keyed, official answer for no bytes", hash, 64,
		   "10ebb67700b1868efb4417987acf4690ae9d972fb7a590c2f02871799aaa4786"
		   "b5e996e8f0f4eb981fc214b005f42d2ff4233499391653df7aefcbc13fc51568");
	crypto_generichash(hash, 64, &zero, 1, key, 64);
	expect("BLAKE2b keyed, official answer for one byte", hash, 64,
		   "961f6dd1e4dd30f63901690c512e78e4b45e4742ed197c3c5e45c549fd25f2e4"
		   "187b0bc9fe30492b16b0d0bc4ef9b0f34c7003fac09a5ef1532e69430234cebd");

	memcpy(test_key, key, sizeof(test_key));
	keyring_mac(SERVICE_KEY_TAG_TEXT, message, 129, hash, 16);
	crypto_generichash(other, 16, message, 129, key, 32);
	report(memcmp(hash, other, 16) == 0, "an equality tag is BLAKE2b under a key of 32 bytes, 16 bytes long");
	report(keyring_mac_verify(SERVICE_KEY_TAG_TEXT, message, 129, hash, 16), "and verifies");
	hash[15] ^= 1;
	report(!keyring_mac_verify(SERVICE_KEY_TAG_TEXT, message, 129, hash, 16), "but not when it was changed");
}

/* The official answers of SipHash-2-4 with 128 bits */
static void
check_siphash(void)
{
	uint8		message[64];
	uint8		hash[16];

	for (int i = 0; i < 64; i++)
		message[i] = i;
	use_key("000102030405060708090a0b0c0d0e0f");
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, message, 0, hash);
	expect("SipHash-2-4-128 of no bytes", hash, 16, "a3817f04ba25a8e66df67214c7550293");
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, message, 1, hash);
	expect("SipHash-2-4-128 of one byte", hash, 16, "da87c1d86b99af44347659119b22fc45");
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, message, 63, hash);
	expect("SipHash-2-4-128 of 63 bytes", hash, 16, "5150d1772f50834a503e069a973fbd7c");
}

/* RFC 8032, 7.1 */
static void
check_ed25519(void)
{
	static const struct
	{
		const char *name;
		const char *seed;
		const char *public;
		const char *message;
		const char *signature;
	}			vectors[] = {
		{"Ed25519, RFC 8032 7.1 TEST 1",
			"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
			"",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
		"d25bf5f0595bbe24655141438e7a100b"},
		{"Ed25519, RFC 8032 7.1 TEST 2",
			"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
			"72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
		"387b2eaeb4302aeeb00d291612bb0c00"},
		{"Ed25519, RFC 8032 7.1 TEST 3",
			"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
			"af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
		"4a7c15e9716ed28dc027beceea1ec40a"}
	};

	for (int i = 0; i < lengthof(vectors); i++)
	{
		size_t		len,
					seed_len;
		uint8	   *seed = bytes_of(vectors[i].seed, &seed_len);
		uint8	   *message = bytes_of(vectors[i].message, &len);
		uint8		signature[KEYRING_SIGNATURE_BYTES];
		uint8		public[KEYRING_PUBLIC_KEY_BYTES];
		char		name[80];

		crypto_sign_seed_keypair(test_signing_public, test_signing_secret, seed);
		keyring_sign(SIGNING_KEY_CHECKPOINT, KEYRING_FIRST_GENERATION, message, len, signature);
		expect(vectors[i].name, signature, sizeof(signature), vectors[i].signature);
		keyring_public_key(SIGNING_KEY_CHECKPOINT, KEYRING_FIRST_GENERATION, public);
		snprintf(name, sizeof(name), "%s: public key", vectors[i].name);
		expect(name, public, sizeof(public), vectors[i].public);
		snprintf(name, sizeof(name), "%s: verification", vectors[i].name);
		report(keyring_public_key_valid(public) &&
			   keyring_verify_signature(public, message, len, signature), name);
		signature[i] ^= 1;
		snprintf(name, sizeof(name), "%s: a changed signature", vectors[i].name);
		report(!keyring_verify_signature(public, message, len, signature), name);
	}
}

/* FIPS 180-4 and RFC 4231 */
static void
check_sha256(void)
{
	static const char *const messages[] = {
		"abc", "", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
	};
	static const char *const hashes[] = {
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
	};
	uint8		hash[KEYRING_HASH_BYTES];
	uint8		key[20];

	for (int i = 0; i < lengthof(messages); i++)
	{
		keyring_sha256(messages[i], strlen(messages[i]), hash);
		expect("SHA-256, FIPS 180-4", hash, sizeof(hash), hashes[i]);
		keyring_sha256_bulk(messages[i], strlen(messages[i]), hash);
		expect("SHA-256 in bulk, FIPS 180-4", hash, sizeof(hash), hashes[i]);
	}
	memset(key, 0x0b, sizeof(key));
	keyring_hmac("sha256", key, sizeof(key), "Hi There", 8, hash);
	expect("HMAC-SHA-256, RFC 4231 test case 1", hash, sizeof(hash),
		   "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	keyring_hmac("sha256", "Jefe", 4, "what do ya want for nothing?", 28, hash);
	expect("HMAC-SHA-256, RFC 4231 test case 2", hash, sizeof(hash),
		   "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

/* RFC 8439 A.1 #1, and that the generator of nonces gives out no byte twice */
static void
check_nonces(void)
{
	static const uint8 zero[32];
	uint8		stream[64];
	uint8		first[4096 * 3];
	uint8		second[4096 * 3];
	int			ends[2];
	pid_t		child;

	crypto_stream_chacha20(stream, sizeof(stream), zero, zero);
	expect("ChaCha20 key stream, RFC 8439 A.1", stream, sizeof(stream),
		   "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
		   "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");

	/* a parent that has given out some already, then two processes that begin alike */
	nonce_fill(first, 8);
	if (pipe(ends) != 0)
		abort();
	child = fork();
	if (child == 0)
	{
		MyProcPid = 2;
		nonce_fill(second, sizeof(second));
		_exit(write(ends[1], second, sizeof(second)) == sizeof(second) ? 0 : 1);
	}
	nonce_fill(first, sizeof(first));
	for (Size got = 0; got < sizeof(second);)
	{
		ssize_t		count = read(ends[0], second + got, sizeof(second) - got);

		if (count <= 0)
			abort();
		got += count;
	}
	waitpid(child, NULL, 0);
	for (Size i = 0; i + 16 <= sizeof(first); i += 8)
	{
		for (Size j = 0; j + 16 <= sizeof(second); j += 8)
		{
			if (memcmp(first + i, second + j, 16) == 0 ||
				(i != j && memcmp(first + i, first + j, 16) == 0))
			{
				report(false, "the generator repeats itself");
				return;
			}
		}
	}
	report(true, "the generator does not repeat itself, and not after a fork");
}

/* A wrapped key opens under its own name, use and epoch, and under no other */
static void
check_wrapping(void)
{
	pg_uuid_t	name = {{1}};
	pg_uuid_t	other = {{2}};
	uint8		key[WRAPPED_KEY_BYTES] = {42};
	uint8		opened[WRAPPED_KEY_BYTES];
	bytea	   *wrapped = wrap_key(ROOT_USE_WRAP_SUBJECT, &name, 1, key);

	report(unwrap_key(ROOT_USE_WRAP_SUBJECT, &name, 1, wrapped, opened) &&
		   memcmp(key, opened, sizeof(key)) == 0, "a wrapped key opens again");
	report(!unwrap_key(ROOT_USE_WRAP_SUBJECT, &other, 1, wrapped, opened), "but not under another name");
	report(!unwrap_key(ROOT_USE_WRAP_SUBJECT, &name, 2, wrapped, opened), "nor as of another epoch");
	for (Size i = 0; i < VARSIZE(wrapped) - VARHDRSZ; i++)
	{
		VARDATA(wrapped)[i] ^= 1;
		if (unwrap_key(ROOT_USE_WRAP_SUBJECT, &name, 1, wrapped, opened))
			report(false, "nor when a byte of it was changed");
		VARDATA(wrapped)[i] ^= 1;
	}
	report(true, "every byte of it counts");
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	check_xchacha20_poly1305();
	check_blake2b();
	check_siphash();
	check_ed25519();
	check_sha256();
	check_nonces();
	check_wrapping();
	return failed ? 1 : 0;
}
