/*
 * bench_raw.c: the primitives of a sealed value, straight from libsodium.
 *
 * Each function does the work n times and returns the seconds it took. The
 * benchmarks set this beside what the same work costs through SQL.
 */
#include "postgres.h"

#include <sodium.h>

#include "fmgr.h"
#include "portability/instr_time.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#define TAG_BYTES 16
#define HEADER_BYTES 25			/* length, version, flags, class, subject */
#define WRAP_HEADER_BYTES 21	/* version, subject, epoch */
#define SUBJECT_VALUE_BYTES 64

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_raw_seal);
PG_FUNCTION_INFO_V1(bench_raw_open);
PG_FUNCTION_INFO_V1(bench_raw_bind);
PG_FUNCTION_INFO_V1(bench_raw_open_subjects);

static const uint8 key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES] = {1};
static const uint8 header[HEADER_BYTES] = {1};

/* A value of a data subject of its own, and the subject's wrapped key */
typedef struct SubjectValue
{
	uint8		wrap_nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
	uint8		wrapped[sizeof(key) + crypto_aead_xchacha20poly1305_ietf_ABYTES];
	uint8		key[sizeof(key)];
	uint8		sealed[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + SUBJECT_VALUE_BYTES +
					   crypto_aead_xchacha20poly1305_ietf_ABYTES];
} SubjectValue;

/* Seal once: equality tag into the nonce, fresh bytes behind it, encrypt */
static void
seal(uint8 *sealed, const uint8 *plaintext, Size len, const uint8 *fresh)
{
	uint8	   *nonce = sealed;

	crypto_generichash_blake2b(nonce, TAG_BYTES, plaintext, len, key, sizeof(key));
	memcpy(nonce + TAG_BYTES, fresh, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES - TAG_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, NULL,
											   plaintext, len, header, sizeof(header),
											   NULL, nonce, key);
}

/* Seal a text n times, each into memory of its own */
Datum
bench_raw_seal(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	int64		n = PG_GETARG_INT64(1);
	const uint8 *plaintext = (const uint8 *) VARDATA_ANY(value);
	Size		len = VARSIZE_ANY_EXHDR(value);
	Size		size = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + len +
		crypto_aead_xchacha20poly1305_ietf_ABYTES;
	uint8		fresh[512 * 8];
	instr_time	start,
				end;

	if (sodium_init() < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("libsodium could not be initialized")));
	INSTR_TIME_SET_CURRENT(start);
	for (int64 i = 0; i < n; i++)
	{
		uint8	   *sealed = palloc(size);

		/* random bytes are cheap in bulk, and that is how a good caller takes them */
		if (i % 512 == 0)
			crypto_stream_chacha20_ietf(fresh, sizeof(fresh), (const uint8 *) "bench nonces", key);
		seal(sealed, plaintext, len, fresh + (i % 512) * 8);
		pfree(sealed);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	PG_RETURN_FLOAT8(INSTR_TIME_GET_DOUBLE(end));
}

/* Open what was sealed from a text n times, each into memory of its own */
Datum
bench_raw_open(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	int64		n = PG_GETARG_INT64(1);
	Size		len = VARSIZE_ANY_EXHDR(value);
	Size		size = len + crypto_aead_xchacha20poly1305_ietf_ABYTES;
	uint8	   *sealed = palloc(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + size);
	instr_time	start,
				end;

	if (sodium_init() < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("libsodium could not be initialized")));
	seal(sealed, (const uint8 *) VARDATA_ANY(value), len, (const uint8 *) "12345678");
	INSTR_TIME_SET_CURRENT(start);
	for (int64 i = 0; i < n; i++)
	{
		uint8	   *plaintext = palloc(len + 1);

		if (crypto_aead_xchacha20poly1305_ietf_decrypt(plaintext, NULL, NULL,
													   sealed + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
													   size, header, sizeof(header), sealed, key) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("the sealed value did not open")));
		sodium_memzero(plaintext, len);
		pfree(plaintext);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	PG_RETURN_FLOAT8(INSTR_TIME_GET_DOUBLE(end));
}

/* Seal a text n times, open it and seal it again without a new tag, as a literal is bound to its person */
Datum
bench_raw_bind(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	int64		n = PG_GETARG_INT64(1);
	Size		len = VARSIZE_ANY_EXHDR(value);
	Size		size = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + len +
		crypto_aead_xchacha20poly1305_ietf_ABYTES;
	instr_time	start,
				end;

	if (sodium_init() < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("libsodium could not be initialized")));
	INSTR_TIME_SET_CURRENT(start);
	for (int64 i = 0; i < n; i++)
	{
		uint8	   *sealed = palloc(size);
		uint8	   *bound = palloc(size);
		uint8	   *plaintext = palloc(len + 1);

		seal(sealed, (const uint8 *) VARDATA_ANY(value), len, (const uint8 *) &i);
		if (crypto_aead_xchacha20poly1305_ietf_decrypt(plaintext, NULL, NULL,
													   sealed + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
													   size - crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
													   header, sizeof(header), sealed, key) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("the sealed value did not open")));
		memcpy(bound, sealed, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
		crypto_aead_xchacha20poly1305_ietf_encrypt(bound + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, NULL,
												   plaintext, len, header, sizeof(header),
												   NULL, bound, key);
		sodium_memzero(plaintext, len);
		pfree(plaintext);
		pfree(bound);
		pfree(sealed);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	PG_RETURN_FLOAT8(INSTR_TIME_GET_DOUBLE(end));
}

/* Open n values, each under the key of a data subject of its own, which may have to be unwrapped first */
Datum
bench_raw_open_subjects(PG_FUNCTION_ARGS)
{
	int64		n = PG_GETARG_INT64(0);
	bool		unwrap = PG_GETARG_BOOL(1);
	SubjectValue *values = palloc_extended(n * sizeof(SubjectValue), MCXT_ALLOC_HUGE);
	uint8		text[SUBJECT_VALUE_BYTES] = {0};
	instr_time	start,
				end;

	if (sodium_init() < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("libsodium could not be initialized")));
	for (int64 i = 0; i < n; i++)
	{
		SubjectValue *value = &values[i];

		randombytes_buf(value->key, sizeof(value->key));
		randombytes_buf(value->wrap_nonce, sizeof(value->wrap_nonce));
		crypto_aead_xchacha20poly1305_ietf_encrypt(value->wrapped, NULL, value->key, sizeof(value->key),
												   header, WRAP_HEADER_BYTES, NULL, value->wrap_nonce, key);
		randombytes_buf(value->sealed, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
		crypto_aead_xchacha20poly1305_ietf_encrypt(value->sealed + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, NULL,
												   text, sizeof(text), header, sizeof(header),
												   NULL, value->sealed, value->key);
	}
	INSTR_TIME_SET_CURRENT(start);
	for (int64 i = 0; i < n; i++)
	{
		SubjectValue *value = &values[i];
		uint8	   *plaintext = palloc(sizeof(text) + 1);

		if ((unwrap &&
			 crypto_aead_xchacha20poly1305_ietf_decrypt(value->key, NULL, NULL, value->wrapped,
														sizeof(value->wrapped), header,
														WRAP_HEADER_BYTES, value->wrap_nonce, key) != 0) ||
			crypto_aead_xchacha20poly1305_ietf_decrypt(plaintext, NULL, NULL,
													   value->sealed + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
													   sizeof(value->sealed) - crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
													   header, sizeof(header), value->sealed, value->key) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("the sealed value did not open")));
		sodium_memzero(plaintext, sizeof(text));
		pfree(plaintext);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	pfree(values);
	PG_RETURN_FLOAT8(INSTR_TIME_GET_DOUBLE(end));
}
