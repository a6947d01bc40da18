/*
 * keyring.c: hub-wide keys and what is done with them.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"
#include "storage/shmem.h"

#include "foundation/errors.h"
#include "keyring/envelope.h"
#include "keyring/epoch.h"
#include "keyring/keyring.h"
#include "keyring/root_keys.h"
#include "keyring/service_keys.h"
#include "keyring/subject_keys.h"
#include "keyring/tag_generation.h"

/* Load the root keys and prepare the subject key cache; called from _PG_init */
void
keyring_init(void)
{
	root_keys_load();
	epoch_init();
	service_keys_init();
	tag_generation_init();
	subject_keys_init();
	envelope_init();
}

/* Is any key loaded? Says nothing about whether it is the right one */
bool
keyring_available(void)
{
	return root_keys_any();
}

/* Raise CH001 or CH002 unless the right keys are loaded */
void
keyring_require(void)
{
	epoch_require_root_key(epoch_current());
}

/* Return the epoch under which new subject keys are wrapped */
int
keyring_current_epoch(void)
{
	return epoch_current();
}

/* Compute a keyed BLAKE2b MAC of 16 to 64 bytes (RFC 7693) */
void
keyring_mac(ServiceKey key, const void *message, Size message_len, uint8 *out, Size out_len)
{
	Assert(out_len >= crypto_generichash_BYTES_MIN && out_len <= crypto_generichash_BYTES_MAX);
	crypto_generichash(out, out_len, message, message_len, service_key(key), SERVICE_KEY_BYTES);
}

/* Verify a MAC of keyring_mac() in constant time */
bool
keyring_mac_verify(ServiceKey key, const void *message, Size message_len,
				   const uint8 *mac, Size mac_len)
{
	uint8		expected[crypto_generichash_BYTES_MAX];
	bool		equal;

	keyring_mac(key, message, message_len, expected, mac_len);
	equal = sodium_memcmp(expected, mac, mac_len) == 0;
	sodium_memzero(expected, sizeof(expected));
	return equal;
}

/* Compute a keyed SipHash-2-4 of 128 bits */
void
keyring_siphash128(ServiceKey key, const void *message, Size message_len, uint8 out[16])
{
	StaticAssertStmt(crypto_shorthash_siphashx24_KEYBYTES <= SERVICE_KEY_BYTES,
					 "SipHash takes the first bytes of the key");
	crypto_shorthash_siphashx24(out, message, message_len, service_key(key));
}

/* Sign with Ed25519 (RFC 8032) */
void
keyring_sign(SigningKey key, int generation, const void *message, Size message_len,
			 uint8 signature[KEYRING_SIGNATURE_BYTES])
{
	crypto_sign_detached(signature, NULL, message, message_len,
						 signing_key_secret(key, generation));
}

/* Return the public key that belongs to keyring_sign() */
void
keyring_public_key(SigningKey key, int generation, uint8 public_key[KEYRING_PUBLIC_KEY_BYTES])
{
	memcpy(public_key, signing_key_public(key, generation), KEYRING_PUBLIC_KEY_BYTES);
}

/* Verify an Ed25519 signature; libsodium refuses small-order and non-canonical keys */
bool
keyring_verify_signature(const uint8 public_key[KEYRING_PUBLIC_KEY_BYTES],
						 const void *message, Size message_len,
						 const uint8 signature[KEYRING_SIGNATURE_BYTES])
{
	return crypto_sign_verify_detached(signature, message, message_len, public_key) == 0;
}

/* Check that a public key is a point of the main subgroup, in its one encoding */
bool
keyring_public_key_valid(const uint8 public_key[KEYRING_PUBLIC_KEY_BYTES])
{
	return crypto_core_ed25519_is_valid_point(public_key) == 1;
}

/* Compute SHA-256 (FIPS 180-4) */
void
keyring_sha256(const void *message, Size message_len, uint8 hash[KEYRING_HASH_BYTES])
{
	crypto_hash_sha256(hash, message, message_len);
}

/* Compare in constant time */
bool
keyring_equal(const void *a, const void *b, Size len)
{
	return sodium_memcmp(a, b, len) == 0;
}

/* Map a bigint subject to a version 8 uuid (RFC 9562 5.8) with a fixed prefix */
void
keyring_subject_from_int8(int64 id, pg_uuid_t *subject)
{
	static const uint8 prefix[8] = {'h', 'u', 'b', 0, 0, 0, 0x80, 0};
	uint64		bits = (uint64) id;

	memcpy(subject->data, prefix, sizeof(prefix));

	/*
	 * The variant takes two of the remaining 64 bits; they move to the two
	 * low bits of byte 7, so that no two ids share a subject.
	 */
	subject->data[7] = (uint8) (bits >> 62);
	bits = (bits & UINT64CONST(0x3FFFFFFFFFFFFFFF)) | UINT64CONST(0x8000000000000000);
	for (int i = 0; i < 8; i++)
		subject->data[8 + i] = (uint8) (bits >> (56 - 8 * i));
}
