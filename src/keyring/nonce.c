/*
 * nonce.c: a fast-key-erasure generator (Bernstein, 2017) per backend.
 *
 * Each refill replaces the key first, and bytes are erased as they are given
 * out, so that memory read later tells nothing about nonces used before. It is
 * seeded anew after a fork; two processes never share a stream.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"
#include "port/atomics.h"

#include "keyring/nonce.h"

#define NONCE_KEY_BYTES crypto_stream_chacha20_KEYBYTES
#define NONCE_POOL_BYTES 4096

static uint8 key[NONCE_KEY_BYTES];
static uint8 pool[NONCE_POOL_BYTES];
static Size pool_left = 0;		/* unused bytes, at the end of pool */
static int	seeded_by_pid = 0;

/* Replace the key and fill the pool */
static void
refill(void)
{
	static const uint8 zero_nonce[crypto_stream_chacha20_NONCEBYTES];
	uint8		stream[NONCE_KEY_BYTES + NONCE_POOL_BYTES];

	crypto_stream_chacha20(stream, sizeof(stream), zero_nonce, key);
	memcpy(key, stream, NONCE_KEY_BYTES);
	memcpy(pool, stream + NONCE_KEY_BYTES, NONCE_POOL_BYTES);
	sodium_memzero(stream, sizeof(stream));
	pool_left = NONCE_POOL_BYTES;
}

/* Fill out with bytes that were never given out before and never will be again */
void
nonce_fill(void *out, Size out_len)
{
	uint8	   *position = out;

	if (seeded_by_pid != MyProcPid)
	{
		randombytes_buf(key, sizeof(key));
		pool_left = 0;
		seeded_by_pid = MyProcPid;
	}
	while (out_len > 0)
	{
		Size		chunk;
		uint8	   *source;

		if (pool_left == 0)
			refill();
		chunk = Min(out_len, pool_left);
		source = pool + NONCE_POOL_BYTES - pool_left;
		memcpy(position, source, chunk);
		/* the barrier keeps the store, as sodium_memzero() would for the price of a call */
		memset(source, 0, chunk);
		pg_compiler_barrier();
		position += chunk;
		out_len -= chunk;
		pool_left -= chunk;
	}
}
