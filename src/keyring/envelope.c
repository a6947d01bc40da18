/*
 * envelope.c: seal, open, and the text form of sealed values.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/memory.h"
#include "keyring/envelope.h"
#include "keyring/epoch.h"
#include "keyring/keyring.h"
#include "keyring/locked_memory.h"
#include "keyring/nonce.h"
#include "keyring/root_keys.h"
#include "keyring/service_keys.h"
#include "keyring/subject_keys.h"
#include "keyring/tag_generation.h"

#define ENVELOPE_VERSION_AND_SUITE 0x11
#define FAMILY_MASK 0x07

/* Class of a value that nobody has classified yet */
#define DATA_CLASS_NONE 0

/* What of the nonce is left behind an equality tag */
#define FRESH_TAIL_BYTES (ENVELOPE_NONCE_BYTES - ENVELOPE_TAG_BYTES)

/* Associated data: length of the header in four bytes, then the header */
#define AAD_BYTES (4 + ENVELOPE_HEADER_BYTES)

/* hub1: token: epoch (2), MAC (16), envelope; all in base64url without padding */
#define TOKEN_PREFIX "hub1:"
#define TOKEN_PREFIX_BYTES 5
#define TOKEN_EPOCH_BYTES 2
#define TOKEN_MAC_BYTES 16
#define TOKEN_HEAD_BYTES (TOKEN_EPOCH_BYTES + TOKEN_MAC_BYTES)

/*
 * What this backend sealed a moment ago, with its plaintext, in locked memory.
 *
 * A literal is sealed at once, and then opened to be sealed for its data subject,
 * and opened again for the audit: that needs no cipher as long as it is the very
 * same value. Gone with the transaction.
 */
#define RECENT_ENTRIES 16
#define RECENT_PLAINTEXT_BYTES 256

typedef struct RecentSeal
{
	Size		sealed_len;		/* 0 marks a free entry */
	uint8		sealed[ENVELOPE_OVERHEAD + RECENT_PLAINTEXT_BYTES];
	uint8		plaintext[RECENT_PLAINTEXT_BYTES];
} RecentSeal;

static RecentSeal *recent = NULL;
static int	recent_pid = 0;
static bool recent_used = false;

/* The place of a sealed value: by the end of its MAC, which is as good as random */
static inline RecentSeal *
recent_place(const uint8 *sealed, Size sealed_len)
{
	return &recent[sealed[sealed_len - 1] % RECENT_ENTRIES];
}

/* Remember what was sealed */
static inline void
remember(const struct varlena *sealed, const void *plaintext, Size plaintext_len)
{
	const uint8 *bytes = (const uint8 *) VARDATA(sealed);
	Size		len = VARSIZE(sealed) - VARHDRSZ;
	RecentSeal *place;

	if (plaintext_len > RECENT_PLAINTEXT_BYTES)
		return;
	if (recent_pid != MyProcPid)
	{
		recent = locked_alloc(RECENT_ENTRIES * sizeof(RecentSeal));
		recent_pid = MyProcPid;
	}
	place = recent_place(bytes, len);
	memcpy(place->sealed, bytes, len);
	memcpy(place->plaintext, plaintext, plaintext_len);
	place->sealed_len = len;
	recent_used = true;
}

/* Recall the plaintext of what was sealed, if every byte is as it was then */
static inline bool
recall(const struct varlena *sealed, char *plaintext, Size plaintext_len)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);
	Size		len = VARSIZE_ANY_EXHDR(sealed);
	const RecentSeal *place;

	if (!recent_used || recent_pid != MyProcPid)
		return false;
	place = recent_place(bytes, len);
	if (place->sealed_len != len || memcmp(place->sealed, bytes, len) != 0)
		return false;
	memcpy(plaintext, place->plaintext, plaintext_len);
	return true;
}

/* Forget with the transaction what it has sealed */
static void
forget_recent(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			if (recent_used && recent_pid == MyProcPid)
				sodium_memzero(recent, RECENT_ENTRIES * sizeof(RecentSeal));
			recent_used = false;
			break;
		default:
			break;
	}
}

/* Watch transactions end; called once from keyring_init */
void
envelope_init(void)
{
	RegisterXactCallback(forget_recent, NULL);
}

/* Raise the one error for a sealed value that is not as it was made */
static void
invalid_sealed_value(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CH_SEALED_VALUE_INVALID),
			 errmsg("sealed value is damaged or was altered"),
			 errhint("It was not made by this hub's keyring, was changed since, or the key of its data subject is missing from hub.subject_key. Nothing of it is shown.")));
}

/* Find the word tokens behind the MAC */
static void
read_words(const uint8 *bytes, Size len, EnvelopeView *view)
{
	uint32		count;
	Size		words_len;

	if (view->plaintext_len < ENVELOPE_WORD_COUNT_BYTES)
		invalid_sealed_value();
	memcpy(&count, bytes + len - ENVELOPE_WORD_COUNT_BYTES, sizeof(count));
	count = pg_ntoh32(count);
	words_len = (Size) count * ENVELOPE_WORD_BYTES + ENVELOPE_WORD_COUNT_BYTES;
	if (words_len > view->plaintext_len)
		invalid_sealed_value();
	view->plaintext_len -= words_len;
	view->word_count = count;
	view->words = bytes + len - words_len;
}

/* Read the parts of a sealed value without opening it */
static inline void
read_view(const struct varlena *sealed, EnvelopeView *view)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);
	Size		len = VARSIZE_ANY_EXHDR(sealed);

	if (len < ENVELOPE_OVERHEAD || bytes[0] != ENVELOPE_VERSION_AND_SUITE)
		invalid_sealed_value();
	view->family = bytes[1] & FAMILY_MASK;
	view->flags = bytes[1] & ~(FAMILY_MASK | ENVELOPE_GENERATION_MASK);
	view->generation_bits = bytes[1] & ENVELOPE_GENERATION_MASK;
	view->class_id = (uint16) (bytes[2] << 8 | bytes[3]);
	memcpy(view->subject.data, bytes + 4, UUID_LEN);
	view->nonce = bytes + ENVELOPE_HEADER_BYTES;
	view->ciphertext = view->nonce + ENVELOPE_NONCE_BYTES;
	view->plaintext_len = len - ENVELOPE_OVERHEAD;
	view->word_count = 0;
	view->words = NULL;
	if (unlikely((view->flags & ENVELOPE_FLAG_WORDS) != 0))
		read_words(bytes, len, view);
}

/* Read the parts of a sealed value without opening it */
void
envelope_view(const struct varlena *sealed, EnvelopeView *view)
{
	read_view(sealed, view);
}

/* The same, and have its key fetched from memory: it is going to be opened */
void
envelope_view_to_open(const struct varlena *sealed, EnvelopeView *view)
{
	read_view(sealed, view);
	subject_key_prefetch(&view->subject);
}

/* Build the associated data from an envelope's header */
static void
fill_associated_data(const uint8 *header, uint8 aad[AAD_BYTES])
{
	aad[0] = aad[1] = aad[2] = 0;
	aad[3] = ENVELOPE_HEADER_BYTES;
	memcpy(aad + 4, header, ENVELOPE_HEADER_BYTES);
}

/* Build the associated data of a value with word tokens; palloc'd */
static uint8 *
make_word_associated_data(const uint8 *header, const uint8 *words, Size words_len)
{
	uint8	   *aad = palloc(AAD_BYTES + words_len);

	fill_associated_data(header, aad);
	memcpy(aad + AAD_BYTES, words, words_len);
	return aad;
}

static inline bool
is_unbound(const pg_uuid_t *subject)
{
	uint64		halves[2];

	memcpy(halves, subject->data, UUID_LEN);
	return (halves[0] | halves[1]) == 0;
}

/* Is a sealed value not bound to a data subject? */
bool
envelope_is_unbound(const EnvelopeView *view)
{
	return is_unbound(&view->subject);
}

/* Tell the generation of the key that a value's tag was made under */
int
envelope_tag_generation(const EnvelopeView *view)
{
	return tag_generation_of_bits(view->generation_bits);
}

/* Does the second byte of a value name the current generation? */
bool
envelope_bits_are_current(uint8 family_and_flags)
{
	return (family_and_flags & ENVELOPE_GENERATION_MASK) ==
		tag_generation_bits(keyring_tag_generation());
}

/* Write the header of an envelope */
static void
fill_header(uint8 *header, EnvelopeFamily family, uint8 flags, uint16 class_id,
			const pg_uuid_t *subject)
{
	header[0] = ENVELOPE_VERSION_AND_SUITE;
	header[1] = family | flags;
	header[2] = class_id >> 8;
	header[3] = class_id & 0xFF;
	if (subject == NULL)
		memset(header + 4, 0, UUID_LEN);
	else
		memcpy(header + 4, subject->data, UUID_LEN);
}

/* Seal; tail gives the last eight bytes of the nonce behind a tag, NULL makes them random */
static struct varlena *
seal_with_nonce_tail(EnvelopeFamily family, uint8 flags, uint16 class_id,
					 const pg_uuid_t *subject, const uint8 *tag, const uint8 *tail,
					 const EnvelopeWords *words, const void *plaintext, Size plaintext_len)
{
	Size		words_len = words == NULL ? 0 :
		(Size) words->count * ENVELOPE_WORD_BYTES + ENVELOPE_WORD_COUNT_BYTES;
	Size		size = VARHDRSZ + ENVELOPE_OVERHEAD + plaintext_len + words_len;
	struct varlena *sealed = palloc(size);
	uint8	   *bytes = (uint8 *) VARDATA(sealed);
	uint8	   *nonce = bytes + ENVELOPE_HEADER_BYTES;
	uint8		aad[AAD_BYTES];
	const uint8 *key;

	SET_VARSIZE(sealed, size);
	flags = words != NULL ? flags | ENVELOPE_FLAG_WORDS : flags & ~ENVELOPE_FLAG_WORDS;
	fill_header(bytes, family, flags, class_id, subject);
	if (subject == NULL || is_unbound(subject))
		key = service_key(SERVICE_KEY_UNBOUND);
	else
	{
		key = subject_key_find(subject, NULL, NULL);
		if (key == NULL)
		{
			keyring_create_subject(subject);
			key = subject_key_find(subject, NULL, NULL);
		}
		if (key == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CH_SUBJECT_ERASED),
					 errmsg("the data subject has been erased"),
					 errhint("Nothing can be stored for an erased data subject; a person who returns is a new data subject.")));
	}

	if (tag != NULL)
	{
		memcpy(nonce, tag, ENVELOPE_TAG_BYTES);
		if (tail != NULL)
			memcpy(nonce + ENVELOPE_TAG_BYTES, tail, FRESH_TAIL_BYTES);
		else
			nonce_fill(nonce + ENVELOPE_TAG_BYTES, FRESH_TAIL_BYTES);
	}
	else
		nonce_fill(nonce, ENVELOPE_NONCE_BYTES);

	if (unlikely(words != NULL))
	{
		uint8	   *trailer = nonce + ENVELOPE_NONCE_BYTES + plaintext_len + ENVELOPE_MAC_BYTES;
		uint32		count = pg_hton32(words->count);
		uint8	   *word_aad;

		memcpy(trailer, words->tokens, words_len - ENVELOPE_WORD_COUNT_BYTES);
		memcpy(trailer + words_len - ENVELOPE_WORD_COUNT_BYTES, &count, sizeof(count));
		word_aad = make_word_associated_data(bytes, trailer, words_len);
		crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + ENVELOPE_NONCE_BYTES, NULL,
												   plaintext, plaintext_len, word_aad,
												   AAD_BYTES + words_len, NULL, nonce, key);
		pfree(word_aad);
		return sealed;
	}
	fill_associated_data(bytes, aad);
	crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + ENVELOPE_NONCE_BYTES, NULL,
											   plaintext, plaintext_len,
											   aad, sizeof(aad), NULL, nonce, key);
	remember(sealed, plaintext, plaintext_len);
	return sealed;
}

/*
 * Seal plaintext for a subject.
 *
 * Returns a new varlena in the current context. Raises CH004 when the subject's
 * key was destroyed.
 */
struct varlena *
envelope_seal(EnvelopeFamily family, uint8 flags, uint16 class_id,
			  const pg_uuid_t *subject, const uint8 *tag,
			  const void *plaintext, Size plaintext_len)
{
	return envelope_seal_of_generation(family, flags, class_id, subject, tag,
									   tag ? keyring_tag_generation() : 0, NULL,
									   plaintext, plaintext_len);
}

/* Seal plaintext for a subject with a tag that was made under another generation, and words */
struct varlena *
envelope_seal_of_generation(EnvelopeFamily family, uint8 flags, uint16 class_id,
							const pg_uuid_t *subject, const uint8 *tag, int generation,
							const EnvelopeWords *words,
							const void *plaintext, Size plaintext_len)
{
	/* flags may be those of a value whose tag was of another generation */
	flags &= ~ENVELOPE_GENERATION_MASK;
	if (tag != NULL)
		flags |= ENVELOPE_FLAG_SEARCHABLE | tag_generation_bits(generation);
	return seal_with_nonce_tail(family, flags, class_id, subject, tag, NULL, words,
								plaintext, plaintext_len);
}

/* Compute the end of a fresh value's nonce from the rest of it */
static void
fresh_tail(const uint8 *header, const uint8 *tag, uint8 tail[FRESH_TAIL_BYTES])
{
	uint8		message[ENVELOPE_HEADER_BYTES + ENVELOPE_TAG_BYTES];
	uint8		hash[16];

	memcpy(message, header, ENVELOPE_HEADER_BYTES);
	memcpy(message + ENVELOPE_HEADER_BYTES, tag, ENVELOPE_TAG_BYTES);
	keyring_siphash128(SERVICE_KEY_TRANSIT, message, sizeof(message), hash);
	memcpy(tail, hash, FRESH_TAIL_BYTES);
}

/*
 * Seal a value as it comes from the caller.
 *
 * The end of the nonce is a MAC under a key of this backend instead of random:
 * equal values get equal nonces here, others cannot, since the tag differs.
 */
struct varlena *
envelope_seal_fresh(EnvelopeFamily family, uint8 flags, const uint8 *tag,
					const void *plaintext, Size plaintext_len)
{
	uint8		header[ENVELOPE_HEADER_BYTES];
	uint8		tail[FRESH_TAIL_BYTES];

	flags |= ENVELOPE_FLAG_SEARCHABLE | tag_generation_bits(keyring_tag_generation());
	fill_header(header, family, flags, DATA_CLASS_NONE, NULL);
	fresh_tail(header, tag, tail);
	return seal_with_nonce_tail(family, flags, DATA_CLASS_NONE, NULL, tag, tail, NULL,
								plaintext, plaintext_len);
}

/* Was a value sealed by envelope_seal_fresh() of this very backend? */
bool
envelope_is_fresh(const struct varlena *sealed)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);
	const uint8 *nonce = bytes + ENVELOPE_HEADER_BYTES;
	uint8		tail[FRESH_TAIL_BYTES];
	EnvelopeView view;

	envelope_view(sealed, &view);
	if (view.class_id != DATA_CLASS_NONE || !is_unbound(&view.subject) ||
		(view.flags & ENVELOPE_FLAG_SEARCHABLE) == 0)
		return false;
	fresh_tail(bytes, nonce, tail);
	return sodium_memcmp(tail, nonce + ENVELOPE_TAG_BYTES, FRESH_TAIL_BYTES) == 0;
}

/* Make a value that can be compared by its tag, and neither opened, stored nor shown */
struct varlena *
envelope_make_probe(EnvelopeFamily family, const uint8 *tag)
{
	Size		size = VARHDRSZ + ENVELOPE_HEADER_BYTES + ENVELOPE_NONCE_BYTES;
	struct varlena *probe = palloc0(size);
	uint8	   *bytes = (uint8 *) VARDATA(probe);

	SET_VARSIZE(probe, size);
	fill_header(bytes, family,
				ENVELOPE_FLAG_SEARCHABLE | tag_generation_bits(keyring_tag_generation()),
				DATA_CLASS_NONE, NULL);
	memcpy(bytes + ENVELOPE_HEADER_BYTES, tag, ENVELOPE_TAG_BYTES);
	return probe;
}

/* Find the key that opens a value, and its mark; NULL when its data subject is erased */
static const uint8 *
opening_key(const EnvelopeView *view, uint64 **mark)
{
	SubjectState state;
	const uint8 *key;

	if (is_unbound(&view->subject))
	{
		if (mark != NULL)
			*mark = NULL;
		return service_key(SERVICE_KEY_UNBOUND);
	}
	key = subject_key_find(&view->subject, &state, mark);
	/* whether the subject or the key's row was altered, nobody can tell */
	if (key == NULL && state != SUBJECT_ERASED)
		invalid_sealed_value();
	return key;
}

/* Decrypt into memory of plaintext_len bytes; raises CH003 when the value was altered */
static void
decrypt_into(const struct varlena *sealed, const EnvelopeView *view, const uint8 *key,
			 char *plaintext)
{
	uint8		fixed_aad[AAD_BYTES];
	uint8	   *aad = fixed_aad;
	Size		aad_len = AAD_BYTES;
	int			failed;

	if (recall(sealed, plaintext, view->plaintext_len))
		return;
	if (unlikely(view->words != NULL))
	{
		Size		words_len = (Size) view->word_count * ENVELOPE_WORD_BYTES + ENVELOPE_WORD_COUNT_BYTES;

		aad = make_word_associated_data((const uint8 *) VARDATA_ANY(sealed), view->words, words_len);
		aad_len += words_len;
	}
	else
		fill_associated_data((const uint8 *) VARDATA_ANY(sealed), aad);
	failed = crypto_aead_xchacha20poly1305_ietf_decrypt((uint8 *) plaintext, NULL, NULL,
														view->ciphertext,
														view->plaintext_len + ENVELOPE_MAC_BYTES,
														aad, aad_len, view->nonce, key);
	if (aad != fixed_aad)
		pfree(aad);
	if (failed != 0)
		invalid_sealed_value();
}

/* Open a sealed value; NULL when its data subject is erased, CH003 when altered */
char *
envelope_open(const struct varlena *sealed, Size *plaintext_len)
{
	EnvelopeView view;
	const uint8 *key;
	char	   *plaintext;

	read_view(sealed, &view);
	key = opening_key(&view, NULL);
	if (key == NULL)
		return NULL;
	plaintext = memory_alloc_secret(view.plaintext_len + 1);
	decrypt_into(sealed, &view, key, plaintext);
	*plaintext_len = view.plaintext_len;
	return plaintext;
}

/*
 * Open a sealed value as a text that is handed out, and so is the caller's.
 *
 * NULL when its data subject is erased; raises CH003 when it was altered.
 */
text *
envelope_open_text(const struct varlena *sealed, const EnvelopeView *view, uint64 **mark)
{
	const uint8 *key = opening_key(view, mark);
	text	   *plaintext;

	if (key == NULL)
		return NULL;
	plaintext = palloc(VARHDRSZ + view->plaintext_len);
	SET_VARSIZE(plaintext, VARHDRSZ + view->plaintext_len);
	decrypt_into(sealed, view, key, VARDATA(plaintext));
	return plaintext;
}

/* The same, as a string with a terminating zero byte */
char *
envelope_open_string(const struct varlena *sealed, const EnvelopeView *view, uint64 **mark)
{
	const uint8 *key = opening_key(view, mark);
	char	   *plaintext;

	if (key == NULL)
		return NULL;
	plaintext = palloc(view->plaintext_len + 1);
	decrypt_into(sealed, view, key, plaintext);
	plaintext[view->plaintext_len] = '\0';
	return plaintext;
}

/* Compute the MAC that a token carries under the key of an epoch; false when that is gone */
static bool
token_mac(int epoch, const uint8 *envelope, Size envelope_len, uint8 mac[TOKEN_MAC_BYTES])
{
	uint8		key[SERVICE_KEY_BYTES];

	if (!service_keys_token_key(epoch, key))
		return false;
	crypto_generichash(mac, TOKEN_MAC_BYTES, envelope, envelope_len, key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	return true;
}

/*
 * Print a sealed value as hub1:<base64url>.
 *
 * The MAC is under the epoch's key, not the subject's: a dump must restore
 * before the subject keys are back, and for erased subjects too.
 */
char *
envelope_to_token(const struct varlena *sealed)
{
	Size		envelope_len = VARSIZE_ANY_EXHDR(sealed);
	Size		raw_len = TOKEN_HEAD_BYTES + envelope_len;
	Size		text_len = sodium_base64_ENCODED_LEN(raw_len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	uint8	   *raw = palloc(raw_len);
	char	   *text = palloc(TOKEN_PREFIX_BYTES + text_len);
	int			epoch = epoch_current();

	keyring_require();
	raw[0] = epoch >> 8;
	raw[1] = epoch & 0xFF;
	memcpy(raw + TOKEN_HEAD_BYTES, VARDATA_ANY(sealed), envelope_len);
	token_mac(epoch, raw + TOKEN_HEAD_BYTES, envelope_len, raw + TOKEN_EPOCH_BYTES);
	memcpy(text, TOKEN_PREFIX, TOKEN_PREFIX_BYTES);
	sodium_bin2base64(text + TOKEN_PREFIX_BYTES, text_len, raw, raw_len,
					  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	pfree(raw);
	return text;
}

/* Does a text claim to be a sealed token? */
bool
envelope_is_token(const char *text, Size len)
{
	return len >= TOKEN_PREFIX_BYTES && memcmp(text, TOKEN_PREFIX, TOKEN_PREFIX_BYTES) == 0;
}

/* Read a token back; raises CH003 unless this hub made it */
struct varlena *
envelope_from_token(const char *text, Size len)
{
	Size		raw_max = (len - TOKEN_PREFIX_BYTES) / 4 * 3 + 3;
	uint8	   *raw = palloc(raw_max);
	size_t		raw_len;
	Size		envelope_len;
	struct varlena *sealed;
	EnvelopeView view;
	uint8		mac[TOKEN_MAC_BYTES];
	int			epoch;

	if (!keyring_available())
		keyring_require();
	if (sodium_base642bin(raw, raw_max, text + TOKEN_PREFIX_BYTES, len - TOKEN_PREFIX_BYTES,
						  NULL, &raw_len, NULL,
						  sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
		raw_len < TOKEN_HEAD_BYTES + ENVELOPE_OVERHEAD)
		invalid_sealed_value();
	envelope_len = raw_len - TOKEN_HEAD_BYTES;
	sealed = palloc(VARHDRSZ + envelope_len);
	SET_VARSIZE(sealed, VARHDRSZ + envelope_len);
	memcpy(VARDATA(sealed), raw + TOKEN_HEAD_BYTES, envelope_len);
	envelope_view(sealed, &view);

	epoch = raw[0] << 8 | raw[1];
	if (token_mac(epoch, raw + TOKEN_HEAD_BYTES, envelope_len, mac))
	{
		if (sodium_memcmp(mac, raw + TOKEN_EPOCH_BYTES, TOKEN_MAC_BYTES) != 0)
			invalid_sealed_value();
	}
	else
	{
		/* without the key that is kept of an epoch, only the value's own can vouch for it */
		Size		plaintext_len;
		char	   *plaintext = NULL;

		if (epoch < 1 || epoch >= epoch_current())
			invalid_sealed_value();
		if (is_unbound(&view.subject) || keyring_subject_state(&view.subject) == SUBJECT_ALIVE)
			plaintext = envelope_open(sealed, &plaintext_len);
		if (plaintext == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_CH_KEY_UNAVAILABLE),
					 errmsg("the sealed token was made under epoch %d, whose key is gone", epoch),
					 errhint("Call hub.import_keyring() with today's keyring before restoring what was dumped then.")));
		memory_free_secret(plaintext, plaintext_len);
	}
	pfree(raw);
	return sealed;
}
