/*
 * wrap.c: keys sealed under the root key of an epoch, as tables hold them.
 *
 * XChaCha20-Poly1305 under a key derived for the use, with a random nonce in
 * front. Memory is allocated before a key is in the clear, so that an error
 * leaves none behind.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/locked_memory.h"
#include "keyring/nonce.h"
#include "keyring/wrap.h"

#define WRAP_NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define WRAP_MAC_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define WRAPPED_BYTES (WRAP_NONCE_BYTES + WRAPPED_KEY_BYTES + WRAP_MAC_BYTES)
#define WRAP_VERSION 1

/* Bound to what is wrapped, so that a wrapped key fits no other name or epoch */
typedef struct WrapContext
{
	uint8		version;
	uint8		name[UUID_LEN];
	uint8		epoch[4];		/* network order */
} WrapContext;

StaticAssertDecl(sizeof(WrapContext) == 1 + UUID_LEN + 4, "WrapContext must have no padding");

/* Fill in what a wrapped key is bound to */
static void
fill_context(WrapContext *context, const pg_uuid_t *name, int epoch)
{
	context->version = WRAP_VERSION;
	memcpy(context->name, name->data, UUID_LEN);
	for (int i = 0; i < 4; i++)
		context->epoch[i] = (uint8) ((uint32) epoch >> (24 - 8 * i));
}

/* Raise CH001 unless the root key of an epoch is loaded */
static void
require_epoch(int epoch)
{
	if (!root_keys_loaded(epoch))
		ereport(ERROR,
				(errcode(ERRCODE_CH_KEY_UNAVAILABLE),
				 errmsg("the encryption key of epoch %d is not loaded", epoch),
				 errhint("Put the key of epoch %d back in place and restart the server.", epoch)));
}

/* Wrapping keys used last, in locked memory: keys are unwrapped, and moved to the next epoch, by the thousand */
typedef struct WrappingKey
{
	int			epoch;
	RootKeyUse	use;
	uint8		key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
} WrappingKey;

static WrappingKey *last_keys = NULL;
static int	last_keys_pid = 0;

/* Return the wrapping key of an epoch that is loaded */
static const uint8 *
wrapping_key_of(RootKeyUse use, int epoch)
{
	WrappingKey *last_key;

	if (last_keys_pid != MyProcPid)
	{
		last_keys = locked_alloc(2 * sizeof(WrappingKey));
		last_keys_pid = MyProcPid;
	}
	last_key = &last_keys[epoch % 2];
	if (last_key->epoch != epoch || last_key->use != use)
	{
		last_key->epoch = 0;
		root_keys_derive(epoch, use, last_key->key, sizeof(last_key->key));
		last_key->epoch = epoch;
		last_key->use = use;
	}
	return last_key->key;
}

/* Wrap a key into memory that is allocated already */
static void
wrap_into(bytea *wrapped, RootKeyUse use, const pg_uuid_t *name, int epoch, const uint8 *key)
{
	uint8	   *bytes = (uint8 *) VARDATA(wrapped);
	WrapContext context;

	SET_VARSIZE(wrapped, VARHDRSZ + WRAPPED_BYTES);
	fill_context(&context, name, epoch);
	nonce_fill(bytes, WRAP_NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(bytes + WRAP_NONCE_BYTES, NULL,
											   key, WRAPPED_KEY_BYTES,
											   (const uint8 *) &context, sizeof(context),
											   NULL, bytes, wrapping_key_of(use, epoch));
}

/* Wrap a key under the key of an epoch */
bytea *
wrap_key(RootKeyUse use, const pg_uuid_t *name, int epoch, const uint8 key[WRAPPED_KEY_BYTES])
{
	bytea	   *wrapped = palloc(VARHDRSZ + WRAPPED_BYTES);

	require_epoch(epoch);
	wrap_into(wrapped, use, name, epoch, key);
	return wrapped;
}

/* Make a random key and wrap it under the key of an epoch */
bytea *
wrap_new_key(RootKeyUse use, const pg_uuid_t *name, int epoch)
{
	bytea	   *wrapped = palloc(VARHDRSZ + WRAPPED_BYTES);
	uint8		key[WRAPPED_KEY_BYTES];

	require_epoch(epoch);
	randombytes_buf(key, sizeof(key));
	wrap_into(wrapped, use, name, epoch, key);
	sodium_memzero(key, sizeof(key));
	return wrapped;
}

/* Unwrap a key; raises CH001, returns false when it was altered */
bool
unwrap_key(RootKeyUse use, const pg_uuid_t *name, int epoch, const bytea *wrapped,
		   uint8 key[WRAPPED_KEY_BYTES])
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(wrapped);
	WrapContext context;

	require_epoch(epoch);
	if (VARSIZE_ANY_EXHDR(wrapped) != WRAPPED_BYTES)
		return false;
	fill_context(&context, name, epoch);
	return crypto_aead_xchacha20poly1305_ietf_decrypt(key, NULL, NULL,
													  bytes + WRAP_NONCE_BYTES,
													  WRAPPED_KEY_BYTES + WRAP_MAC_BYTES,
													  (const uint8 *) &context,
													  sizeof(context),
													  bytes, wrapping_key_of(use, epoch)) == 0;
}

/* Move a wrapped key from one epoch to another; NULL when it was altered */
bytea *
rewrap_key(RootKeyUse use, const pg_uuid_t *name, int from_epoch, int to_epoch,
		   const bytea *wrapped)
{
	bytea	   *rewrapped = palloc(VARHDRSZ + WRAPPED_BYTES);
	uint8		key[WRAPPED_KEY_BYTES];
	bool		intact;

	require_epoch(to_epoch);
	intact = unwrap_key(use, name, from_epoch, wrapped, key);
	if (intact)
		wrap_into(rewrapped, use, name, to_epoch, key);
	sodium_memzero(key, sizeof(key));
	return intact ? rewrapped : NULL;
}
