/*
 * sha256.c: SHA-256 over much data that is no secret.
 *
 * libsodium's SHA-256 is portable C. The OpenSSL that PostgreSQL is built with
 * uses the processor's instructions for it, and the trail hashes every event
 * twice. PostgreSQL's own interface to it looks the algorithm up for each hash,
 * which takes longer than hashing an event; here that is done once per backend.
 */
#include "postgres.h"

#ifdef USE_OPENSSL
#include <openssl/evp.h>
#endif

#include "foundation/errors.h"
#include "keyring/keyring.h"

#ifdef USE_OPENSSL

static EVP_MD_CTX *context = NULL;

/* Look the algorithm up, once per backend */
static bool
make_context(void)
{
	EVP_MD_CTX *made = EVP_MD_CTX_new();
	const EVP_MD *algorithm;

	/* OpenSSL 3 looks the other way's result up for each hash */
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
#else
	algorithm = EVP_sha256();
#endif
	if (made == NULL || algorithm == NULL || EVP_DigestInit_ex(made, algorithm, NULL) != 1)
	{
		EVP_MD_CTX_free(made);
		return false;
	}
	context = made;
	return true;
}

/* Hash what is no secret: state may stay in memory until the next call */
void
keyring_sha256_bulk(const void *message, Size message_len, uint8 hash[KEYRING_HASH_BYTES])
{
	if ((context == NULL && !make_context()) ||
		EVP_DigestInit_ex(context, NULL, NULL) != 1 ||
		EVP_DigestUpdate(context, message, message_len) != 1 ||
		EVP_DigestFinal_ex(context, hash, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a SHA-256 hash")));
}

#else

/* Hash what is no secret */
void
keyring_sha256_bulk(const void *message, Size message_len, uint8 hash[KEYRING_HASH_BYTES])
{
	keyring_sha256(message, message_len, hash);
}

#endif							/* USE_OPENSSL */
