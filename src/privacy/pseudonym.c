/*
 * pseudonym.c: names for people that only the holder of the key can read back.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/envelope.h"
#include "keyring/keyring.h"
#include "types/encrypted.h"

/* Half a BLAKE2b block is enough to tell people apart and cannot be searched */
#define PSEUDONYM_BYTES 16
#define SUPPRESSION_BYTES 32
#define SUPPRESSION_TAG_GENERATION 1

PG_FUNCTION_INFO_V1(hub_subject_pseudonym);
PG_FUNCTION_INFO_V1(hub_suppression_hash);
PG_FUNCTION_INFO_V1(hub_subject_of);
PG_FUNCTION_INFO_V1(hub_bigint_subjects);

/* Name a subject by a keyed pseudonym */
Datum
hub_subject_pseudonym(PG_FUNCTION_ARGS)
{
	static const char prefix[] = "subject";
	pg_uuid_t  *subject = PG_GETARG_UUID_P(0);
	uint8		message[sizeof(prefix) + UUID_LEN];
	uint8		mac[PSEUDONYM_BYTES];
	char		text[4 + 2 * PSEUDONYM_BYTES + 1] = "sub_";

	memcpy(message, prefix, sizeof(prefix));
	memcpy(message + sizeof(prefix), subject->data, UUID_LEN);
	keyring_mac(SERVICE_KEY_PSEUDONYM, message, sizeof(message), mac, sizeof(mac));
	hex_encode((const char *) mac, sizeof(mac), text + 4);
	text[sizeof(text) - 1] = '\0';
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* Hash a channel and the equality tag of an address under the suppression key */
Datum
hub_suppression_hash(PG_FUNCTION_ARGS)
{
	char	   *channel = DatumGetCString(DirectFunctionCall1(enum_out, PG_GETARG_DATUM(0)));
	struct varlena *address = PG_DETOAST_DATUM(PG_GETARG_DATUM(1));
	Size		channel_len = strlen(channel) + 1;
	uint8	   *message = palloc(channel_len + ENVELOPE_TAG_BYTES);
	bytea	   *hash = palloc(VARHDRSZ + SUPPRESSION_BYTES);

	/* under the first generation for ever: an address stays known when tag keys are rotated */
	if (!encrypted_tag_of_generation(address, SUPPRESSION_TAG_GENERATION, message + channel_len))
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_SEARCHABLE),
				 errmsg("an address that carries no equality tag cannot be suppressed")));
	memcpy(message, channel, channel_len);
	SET_VARSIZE(hash, VARHDRSZ + SUPPRESSION_BYTES);
	keyring_mac(SERVICE_KEY_SUPPRESSION, message, channel_len + ENVELOPE_TAG_BYTES,
				(uint8 *) VARDATA(hash), SUPPRESSION_BYTES);
	PG_RETURN_BYTEA_P(hash);
}

/* Return the subject that a bigint subject column means */
Datum
hub_subject_of(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *subject = palloc(sizeof(pg_uuid_t));

	keyring_subject_from_int8(PG_GETARG_INT64(0), subject);
	PG_RETURN_UUID_P(subject);
}

/*
 * Return the bigints that some of the subjects stand for, so that an index on a
 * bigint subject column can be used.
 */
Datum
hub_bigint_subjects(PG_FUNCTION_ARGS)
{
	ArrayType  *subjects = PG_GETARG_ARRAYTYPE_P(0);
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	Datum	   *ids;
	int			id_count = 0;

	deconstruct_array(subjects, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &elements, &nulls, &count);
	ids = palloc(sizeof(Datum) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		pg_uuid_t  *subject;
		pg_uuid_t	again;
		uint64		bits = 0;

		if (nulls[i])
			continue;
		subject = DatumGetUUIDP(elements[i]);

		/* undo keyring_subject_from_int8, then see whether it was one */
		for (int j = 8; j < UUID_LEN; j++)
			bits = bits << 8 | subject->data[j];
		bits = (bits & UINT64CONST(0x3FFFFFFFFFFFFFFF)) | (uint64) (subject->data[7] & 3) << 62;
		keyring_subject_from_int8((int64) bits, &again);
		if (memcmp(again.data, subject->data, UUID_LEN) == 0)
			ids[id_count++] = Int64GetDatum((int64) bits);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, id_count, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}
