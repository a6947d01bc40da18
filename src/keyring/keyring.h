/*
 * keyring.h: keys by purpose, never by value.
 *
 * No key leaves this room: other rooms name what they want done (seal, tag,
 * sign) and get the result. All functions raise CH001 when no key is loaded and
 * CH002 when the loaded key is not the one the database was set up with.
 */
#ifndef CUSTOMER_HUB_KEYRING_H
#define CUSTOMER_HUB_KEYRING_H

#include "postgres.h"

#include "utils/uuid.h"

#define KEYRING_TAG_BYTES 16
#define KEYRING_FIRST_GENERATION 1
#define KEYRING_SIGNATURE_BYTES 64
#define KEYRING_PUBLIC_KEY_BYTES 32
#define KEYRING_HASH_BYTES 32

/*
 * Hub-wide keys, one per purpose. Derived from the root key of the first epoch
 * until the first rotation stores them wrapped.
 */
typedef enum ServiceKey
{
	SERVICE_KEY_TAG_TEXT = 1,	/* equality tags, one key per type family */
	SERVICE_KEY_TAG_EMAIL,
	SERVICE_KEY_TAG_PHONE,
	SERVICE_KEY_TAG_DATE,
	SERVICE_KEY_TAG_JSONB,
	SERVICE_KEY_PSEUDONYM,		/* tok_... and receipts' subject pseudonym */
	SERVICE_KEY_UNBOUND,		/* seals values that have no data subject yet */
	SERVICE_KEY_IDENTITY,		/* authenticates the identity carrier */
	SERVICE_KEY_AUDIT_EVENT,	/* tags audit events at insert */
	SERVICE_KEY_SUPPRESSION,	/* hashes addresses of erased persons */
	SERVICE_KEY_TRANSIT,		/* marks values sealed by this very backend */
	SERVICE_KEY_EVENT,			/* hashes message ids and contents of channel events */
	SERVICE_KEY_WORD,			/* tokens of words, for classes that are searched by word */
	SERVICE_KEY_VERIFICATION	/* authenticates how far a verification of the audit has come */
} ServiceKey;

#define SERVICE_KEY_LAST SERVICE_KEY_VERIFICATION

/* Ed25519 signing keys, one per kind of statement */
typedef enum SigningKey
{
	SIGNING_KEY_CHECKPOINT = 1,
	SIGNING_KEY_RECEIPT
} SigningKey;

extern void keyring_init(void);

/*
 * Called, unless NULL, for each mark that was set beside a subject's key (envelope.h)
 * when the key leaves the cache within a transaction. Must not ask the keyring for any.
 */
extern void (*keyring_mark_lost) (const pg_uuid_t *subject, uint64 mark);
extern Size keyring_shmem_size(void);
extern void keyring_shmem_startup(void);

/* state */
extern bool keyring_available(void);
extern void keyring_require(void);
extern int	keyring_current_epoch(void);
extern void keyring_register_epoch(void);

/* keyed BLAKE2b (RFC 7693); out_len 16 to 64 bytes */
extern void keyring_mac(ServiceKey key, const void *message, Size message_len,
						uint8 *out, Size out_len);
extern bool keyring_mac_verify(ServiceKey key, const void *message, Size message_len,
							   const uint8 *mac, Size mac_len);

/*
 * Equality tags, of which the keys rotate by themselves. Every value that is
 * written or looked up gets its tag under the current generation; copies of
 * columns that hub.rotate_tag_keys() makes under the next one, 0 when none is
 * open. key is one of SERVICE_KEY_TAG_...
 */
extern int	keyring_tag_generation(void);
extern int	keyring_next_tag_generation(void);
extern void keyring_tag(ServiceKey key, int generation, const void *message, Size message_len,
						uint8 tag[KEYRING_TAG_BYTES]);

/* SipHash-2-4 with 128-bit output, for per-event tags */
extern void keyring_siphash128(ServiceKey key, const void *message, Size message_len,
							   uint8 out[16]);

/* Ed25519 (RFC 8032); generation says which key of a kind, the first until it is rotated */
extern void keyring_sign(SigningKey key, int generation, const void *message, Size message_len,
						 uint8 signature[KEYRING_SIGNATURE_BYTES]);
extern void keyring_public_key(SigningKey key, int generation,
							   uint8 public_key[KEYRING_PUBLIC_KEY_BYTES]);
extern bool keyring_verify_signature(const uint8 public_key[KEYRING_PUBLIC_KEY_BYTES],
									 const void *message, Size message_len,
									 const uint8 signature[KEYRING_SIGNATURE_BYTES]);

/* Is this a key that signatures can be verified with: canonical, of full order? */
extern bool keyring_public_key_valid(const uint8 public_key[KEYRING_PUBLIC_KEY_BYTES]);

/* SHA-256 (FIPS 180-4), unkeyed */
extern void keyring_sha256(const void *message, Size message_len,
						   uint8 hash[KEYRING_HASH_BYTES]);

/* the same by the OpenSSL that PostgreSQL is built with, faster: for what is no secret */
extern void keyring_sha256_bulk(const void *message, Size message_len,
								uint8 hash[KEYRING_HASH_BYTES]);

/* compare in constant time */
extern bool keyring_equal(const void *a, const void *b, Size len);

/* HMAC for channel signatures; hash is "sha1" or "sha256"; out has 20 or 32 bytes */
extern void keyring_hmac(const char *hash, const void *key, Size key_len,
						 const void *message, Size message_len, uint8 *out);

/* data subjects */
typedef enum SubjectState
{
	SUBJECT_UNKNOWN,			/* no key was ever made */
	SUBJECT_ALIVE,
	SUBJECT_ERASED				/* key destroyed */
} SubjectState;

extern SubjectState keyring_subject_state(const pg_uuid_t *subject);
extern bool keyring_subject_is_erased(const pg_uuid_t *subject);
extern void keyring_create_subject(const pg_uuid_t *subject);
extern bool keyring_destroy_subject(const pg_uuid_t *subject);

/* subject id of a bigint subject column, as a version 8 uuid (RFC 9562) */
extern void keyring_subject_from_int8(int64 id, pg_uuid_t *subject);

#endif							/* CUSTOMER_HUB_KEYRING_H */
