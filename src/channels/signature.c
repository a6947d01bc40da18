/*
 * signature.c: prove that a webhook body came from the channel.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "foundation/compat.h"
#include "foundation/memory.h"
#include "keyring/envelope.h"
#include "keyring/keyring.h"
#include "types/data_class.h"
#include "types/disclosure.h"

#include "channels/jsonb_reader.h"

PG_FUNCTION_INFO_V1(hub_seal_secret);
PG_FUNCTION_INFO_V1(hub_check_signature);
PG_FUNCTION_INFO_V1(hub_event_key);
PG_FUNCTION_INFO_V1(hub_event_lock);
PG_FUNCTION_INFO_V1(hub_event_digest);
PG_FUNCTION_INFO_V1(hub_open_for_delivery);

#define EVENT_KEY_BYTES 16

/* How a channel signs */
typedef enum SignatureScheme
{
	SIGNATURE_SECRET,			/* sends the secret itself in a header */
	SIGNATURE_META,				/* sha256=HEX */
	SIGNATURE_LINE,				/* base64(HMAC-SHA256) */
	SIGNATURE_MIXDESK			/* mixdesk_sign:base64(hex(HMAC-SHA1)) */
} SignatureScheme;

/* Compare two texts whose lengths may differ, in a time that tells nothing about where. */
static bool
texts_equal(const char *a, const char *b)
{
	uint8		hash_a[KEYRING_HASH_BYTES];
	uint8		hash_b[KEYRING_HASH_BYTES];

	keyring_sha256(a, strlen(a), hash_a);
	keyring_sha256(b, strlen(b), hash_b);
	return keyring_equal(hash_a, hash_b, KEYRING_HASH_BYTES);
}

/* Write bytes as lower-case hexadecimal digits. */
static char *
to_hex(const uint8 *bytes, int len)
{
	char	   *hex = palloc(len * 2 + 1);

	hex_encode((const char *) bytes, len, hex);
	hex[len * 2] = '\0';
	return hex;
}

/* Write bytes in base64. */
static char *
to_base64(const void *bytes, int len)
{
	int			size = pg_b64_enc_len(len);
	char	   *text = palloc(size + 1);
	int			written = pg_b64_encode(bytes, len, text, size);

	Assert(written >= 0);
	text[written] = '\0';
	return text;
}

/* Say what the signature of a body must be. */
static char *
expected_signature(SignatureScheme scheme, const char *secret, Size secret_len,
				   const void *body, Size body_len)
{
	uint8		mac[32];

	switch (scheme)
	{
		case SIGNATURE_META:
			keyring_hmac("sha256", secret, secret_len, body, body_len, mac);
			return psprintf("sha256=%s", to_hex(mac, 32));
		case SIGNATURE_LINE:
			keyring_hmac("sha256", secret, secret_len, body, body_len, mac);
			return to_base64(mac, 32);
		case SIGNATURE_MIXDESK:
			keyring_hmac("sha1", secret, secret_len, body, body_len, mac);
			return to_base64(to_hex(mac, 20), 40);
		case SIGNATURE_SECRET:
			break;
	}
	return NULL;
}

/* hub.seal_secret(secret text): no type that could ever be shown or found, only bytes */
Datum
hub_seal_secret(PG_FUNCTION_ARGS)
{
	text	   *secret = PG_GETARG_TEXT_PP(0);

	PG_RETURN_POINTER(envelope_seal(ENVELOPE_TEXT, 0, DATA_CLASS_UNCLASSIFIED, NULL, NULL,
									VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)));
}

/* hub.check_signature(channel text, secret bytea, raw bytea, signature text) */
Datum
hub_check_signature(PG_FUNCTION_ARGS)
{
	SignatureScheme scheme = SIGNATURE_SECRET;
	char	   *channel;
	char	   *signature;
	char	   *secret;
	Size		secret_len;
	bytea	   *raw;
	bool		equal;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(3))
		PG_RETURN_BOOL(false);
	channel = text_to_cstring(PG_GETARG_TEXT_PP(0));
	raw = PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2);
	signature = text_to_cstring(PG_GETARG_TEXT_PP(3));

	if (strcmp(channel, "whatsapp") == 0 || strcmp(channel, "messenger") == 0 ||
		strcmp(channel, "instagram") == 0)
		scheme = SIGNATURE_META;
	else if (strcmp(channel, "line") == 0)
		scheme = SIGNATURE_LINE;
	else if (strcmp(channel, "mixdesk") == 0)
	{
		static const char prefix[] = "mixdesk_sign:";

		scheme = SIGNATURE_MIXDESK;
		if (strncmp(signature, prefix, strlen(prefix)) == 0)
			signature += strlen(prefix);
	}

	if (scheme != SIGNATURE_SECRET && raw == NULL)
		PG_RETURN_BOOL(false);

	secret = envelope_open(PG_GETARG_VARLENA_P(1), &secret_len);
	if (secret == NULL)
		PG_RETURN_BOOL(false);
	if (scheme == SIGNATURE_SECRET)
		equal = texts_equal(secret, signature);
	else
		equal = texts_equal(expected_signature(scheme, secret, secret_len,
											   VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw)),
							signature);
	memory_free_secret(secret, secret_len + 1);
	PG_RETURN_BOOL(equal);
}

/* Hash an account's message id, or the content of an event, under a key of its own. */
static void
event_hash(int32 account, const char *value, Size len, uint8 hash[EVENT_KEY_BYTES])
{
	uint8	   *message = palloc(sizeof(int32) + len);

	for (int i = 0; i < 4; i++)
		message[i] = (uint8) ((uint32) account >> (24 - 8 * i));
	memcpy(message + 4, value, len);
	keyring_mac(SERVICE_KEY_EVENT, message, len + 4, hash, EVENT_KEY_BYTES);
	pfree(message);
}

/* hub.event_key(account int, value text) */
Datum
hub_event_key(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(1);
	bytea	   *key = palloc(VARHDRSZ + EVENT_KEY_BYTES);

	SET_VARSIZE(key, VARHDRSZ + EVENT_KEY_BYTES);
	event_hash(PG_GETARG_INT32(0), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), (uint8 *) VARDATA(key));
	PG_RETURN_BYTEA_P(key);
}

/* hub.event_lock(account int, value text): the same hash as the number of an advisory lock */
Datum
hub_event_lock(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(1);
	uint8		hash[EVENT_KEY_BYTES];
	int64		number;

	event_hash(PG_GETARG_INT32(0), VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), hash);
	memcpy(&number, hash, sizeof(number));
	PG_RETURN_INT64(number);
}

/* Append a text with its length before it, so that no two lists of texts read the same. */
static void
append_field(StringInfo content, const char *text, int len)
{
	appendStringInfo(content, "%d:", len);
	appendBinaryStringInfo(content, text, len);
}

/* Append the members of an object, but for those that change between two deliveries. */
static void
append_members(StringInfo content, JsonbContainer *object)
{
	static const char *const changing[] = {"name", "username", "locale", "aliases", "url"};
	ReaderMembers members;

	reader_members(&members, object);
	while (reader_next_member(&members))
	{
		bool		skip = false;
		char	   *text;

		for (int i = 0; i < lengthof(changing); i++)
			skip = skip || strcmp(members.key, changing[i]) == 0;
		if (skip)
			continue;
		append_field(content, members.key, strlen(members.key));
		text = members.value.type == jbvBinary
			? JsonbToCString(NULL, members.value.val.binary.data, members.value.val.binary.len)
			: reader_scalar_text(&members.value);
		append_field(content, text ? text : "", text ? strlen(text) : 0);
	}
}

/*
 * hub.event_digest(account int, facts text[], attachments jsonb, details jsonb):
 * keyed hash of what an event says
 */
Datum
hub_event_digest(PG_FUNCTION_ARGS)
{
	ArrayType  *facts = PG_GETARG_ARRAYTYPE_P(1);
	bytea	   *digest = palloc(VARHDRSZ + EVENT_KEY_BYTES);
	StringInfoData content;
	Datum	   *values;
	bool	   *nulls;
	int			count;

	initStringInfo(&content);
	deconstruct_array(facts, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			appendStringInfoChar(&content, '-');
		else
			append_field(&content, VARDATA_ANY(DatumGetTextPP(values[i])),
						 VARSIZE_ANY_EXHDR(DatumGetTextPP(values[i])));
	}
	if (!PG_ARGISNULL(2))
	{
		JsonbContainer *list = &PG_GETARG_JSONB_P(2)->root;

		for (int i = 0; i < reader_count(list); i++)
		{
			appendStringInfoChar(&content, '[');
			append_members(&content, reader_element(list, i));
		}
	}
	appendStringInfoChar(&content, '{');
	if (!PG_ARGISNULL(3))
		append_members(&content, &PG_GETARG_JSONB_P(3)->root);
	SET_VARSIZE(digest, VARHDRSZ + EVENT_KEY_BYTES);
	event_hash(PG_GETARG_INT32(0), content.data, content.len, (uint8 *) VARDATA(digest));
	PG_RETURN_BYTEA_P(digest);
}

/*
 * hub.open_for_delivery(value hub.encrypted_text): the plaintext for the channel
 * that it is addressed to. Recorded as a reveal like any other.
 */
Datum
hub_open_for_delivery(PG_FUNCTION_ARGS)
{
	struct varlena *sealed = PG_GETARG_VARLENA_P(0);
	EnvelopeView view;
	Size		len;
	char	   *plain;
	text	   *result;

	envelope_view(sealed, &view);
	disclosure_record(&view.subject, view.class_id, REVEAL_FULL);
	plain = envelope_open(sealed, &len);
	if (plain == NULL)
		PG_RETURN_NULL();
	result = cstring_to_text_with_len(plain, len);
	memory_free_secret(plain, len + 1);
	PG_RETURN_TEXT_P(result);
}
