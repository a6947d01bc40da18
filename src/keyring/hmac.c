/*
 * hmac.c: HMAC for the signatures that channel providers put on their webhooks.
 */
#include "postgres.h"

#include <sodium.h>

#include "common/cryptohash.h"
#include "common/sha1.h"

#include "foundation/memory.h"
#include "keyring/keyring.h"

#define SHA1_BLOCK_BYTES 64
#define SHA1_HASH_BYTES 20

/* Hash two pieces with SHA-1, which libsodium leaves out on purpose */
static void
sha1_pair(const uint8 *head, Size head_len, const uint8 *tail, Size tail_len,
		  uint8 out[SHA1_HASH_BYTES])
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA1);

	if (context == NULL ||
		pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, head, head_len) < 0 ||
		pg_cryptohash_update(context, tail, tail_len) < 0 ||
		pg_cryptohash_final(context, out, SHA1_HASH_BYTES) < 0)
	{
		pg_cryptohash_free(context);
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-1")));
	}
	pg_cryptohash_free(context);
}

/* HMAC-SHA1 (RFC 2104), which some providers still sign with */
static void
hmac_sha1(const uint8 *key, Size key_len, const uint8 *message, Size message_len,
		  uint8 out[SHA1_HASH_BYTES])
{
	uint8		block[SHA1_BLOCK_BYTES] = {0};
	uint8		inner[SHA1_HASH_BYTES];
	uint8		pad[SHA1_BLOCK_BYTES];

	if (key_len > SHA1_BLOCK_BYTES)
		sha1_pair(key, key_len, NULL, 0, block);
	else
		memcpy(block, key, key_len);
	for (int i = 0; i < SHA1_BLOCK_BYTES; i++)
		pad[i] = block[i] ^ 0x36;
	sha1_pair(pad, sizeof(pad), message, message_len, inner);
	for (int i = 0; i < SHA1_BLOCK_BYTES; i++)
		pad[i] = block[i] ^ 0x5c;
	sha1_pair(pad, sizeof(pad), inner, sizeof(inner), out);
	memory_zero(block, sizeof(block));
	memory_zero(pad, sizeof(pad));
}

/*
 * Compute an HMAC with "sha1" (20 bytes) or "sha256" (32 bytes).
 *
 * The key is the caller's: an account's webhook secret, not one of the hub's.
 */
void
keyring_hmac(const char *hash, const void *key, Size key_len,
			 const void *message, Size message_len, uint8 *out)
{
	if (strcmp(hash, "sha1") == 0)
		hmac_sha1(key, key_len, message, message_len, out);
	else
	{
		crypto_auth_hmacsha256_state state;

		Assert(strcmp(hash, "sha256") == 0);
		crypto_auth_hmacsha256_init(&state, key, key_len);
		crypto_auth_hmacsha256_update(&state, message, message_len);
		crypto_auth_hmacsha256_final(&state, out);
		memory_zero(&state, sizeof(state));
	}
}
