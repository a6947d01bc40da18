/*
 * envelope.h: sealed values, version 1.
 *
 *	 0	version (high nibble) and suite (low nibble)
 *	 1	family (low 3 bits), flags, generation of the tag key (0x60, modulo 4, less 1)
 *	 2	data class, network order
 *	 4	data subject, uuid; all zero while unbound
 *	20	nonce, 24 bytes; of a searchable value the first 16 are its equality tag
 *	44	ciphertext, then the 16-byte MAC
 *		of a value that is searched by word: its tokens, 8 bytes each, in ascending
 *		order, then their number, 4 bytes, network order
 *
 * Suite 1 is XChaCha20-Poly1305 (IETF draft-irtf-cfrg-xchacha). The associated
 * data is the length of the header, four bytes, then the header, then what follows
 * the MAC.
 */
#ifndef CUSTOMER_HUB_ENVELOPE_H
#define CUSTOMER_HUB_ENVELOPE_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/uuid.h"

#define ENVELOPE_HEADER_BYTES 20
#define ENVELOPE_NONCE_BYTES 24
#define ENVELOPE_MAC_BYTES 16
#define ENVELOPE_TAG_BYTES 16
#define ENVELOPE_OVERHEAD (ENVELOPE_HEADER_BYTES + ENVELOPE_NONCE_BYTES + ENVELOPE_MAC_BYTES)

typedef enum EnvelopeFamily
{
	ENVELOPE_TEXT = 1,
	ENVELOPE_EMAIL,
	ENVELOPE_PHONE,
	ENVELOPE_DATE,
	ENVELOPE_JSONB,
	ENVELOPE_AUDIT				/* a value or row image inside the audit trail */
} EnvelopeFamily;

#define ENVELOPE_FLAG_SEARCHABLE 0x08
#define ENVELOPE_FLAG_PRINTED 0x10	/* holds what output printed, not a value */
#define ENVELOPE_FLAG_WORDS 0x80	/* word tokens follow the MAC */

#define ENVELOPE_WORD_BYTES 8
#define ENVELOPE_WORD_COUNT_BYTES 4

/* Values whose headers agree in these bits have tags that can be compared */
#define ENVELOPE_GENERATION_MASK 0x60
#define ENVELOPE_GENERATION_SHIFT 5

/* A sealed value, opened up to its parts; pointers lead into the datum */
typedef struct EnvelopeView
{
	EnvelopeFamily family;
	uint8		flags;			/* ENVELOPE_FLAG_... */
	uint8		generation_bits;	/* of the tag; see envelope_tag_generation() */
	uint16		class_id;
	pg_uuid_t	subject;
	const uint8 *nonce;
	const uint8 *ciphertext;	/* followed by the MAC */
	Size		plaintext_len;
	uint32		word_count;
	const uint8 *words;			/* word_count tokens, or NULL */
} EnvelopeView;

/* Tokens of the words of a value, each in its bytes as they are stored, in order */
typedef struct EnvelopeWords
{
	uint32		count;
	const uint8 *tokens;
} EnvelopeWords;

extern void envelope_init(void);

/* Read the parts of a sealed value without opening it; raises CH003 when malformed */
extern void envelope_view(const struct varlena *sealed, EnvelopeView *view);

/* The same, and have its key fetched from memory: it is going to be opened */
extern void envelope_view_to_open(const struct varlena *sealed, EnvelopeView *view);
extern bool envelope_is_unbound(const EnvelopeView *view);

/* Generation of the key that a searchable value's tag was made under */
extern int	envelope_tag_generation(const EnvelopeView *view);

/* Does the second byte of a value name the current generation? */
extern bool envelope_bits_are_current(uint8 family_and_flags);

/*
 * Seal plaintext for a subject (NULL: unbound) as a new varlena in the current
 * context. tag is the 16-byte equality tag of a searchable value, made under the
 * current generation, or NULL.
 */
extern struct varlena *envelope_seal(EnvelopeFamily family, uint8 flags, uint16 class_id,
									 const pg_uuid_t *subject, const uint8 *tag,
									 const void *plaintext, Size plaintext_len);

/* The same with a tag of another generation, and the tokens of its words; both may be NULL */
extern struct varlena *envelope_seal_of_generation(EnvelopeFamily family, uint8 flags,
												   uint16 class_id, const pg_uuid_t *subject,
												   const uint8 *tag, int generation,
												   const EnvelopeWords *words,
												   const void *plaintext, Size plaintext_len);

/*
 * Seal a value as it comes from the caller: unbound and unclassified. Such a
 * value is known again by envelope_is_fresh() in the same backend, and only
 * there; stored ones of others never count as fresh.
 */
extern struct varlena *envelope_seal_fresh(EnvelopeFamily family, uint8 flags, const uint8 *tag,
										   const void *plaintext, Size plaintext_len);
extern bool envelope_is_fresh(const struct varlena *sealed);

/* Make a value that has a tag and no content: good for a comparison, and for nothing else */
extern struct varlena *envelope_make_probe(EnvelopeFamily family, const uint8 *tag);

/*
 * Open a sealed value into memory_alloc_secret() memory with a terminating
 * zero byte. Returns NULL when the subject is erased; raises CH003 when the
 * value was tampered with.
 */
extern char *envelope_open(const struct varlena *sealed, Size *plaintext_len);

/*
 * The same, as a text or a string that is handed out. mark, which may be NULL, becomes that
 * of the subject's cached key, see subject_keys.h, or NULL; it is valid until
 * the next keyring call.
 */
extern text *envelope_open_text(const struct varlena *sealed, const EnvelopeView *view,
								uint64 **mark);
extern char *envelope_open_string(const struct varlena *sealed, const EnvelopeView *view,
								  uint64 **mark);

/* hub1:<base64url> and back; the token carries a MAC under an epoch key */
extern char *envelope_to_token(const struct varlena *sealed);
extern bool envelope_is_token(const char *text, Size len);
extern struct varlena *envelope_from_token(const char *text, Size len);

#endif							/* CUSTOMER_HUB_ENVELOPE_H */
