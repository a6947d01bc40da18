/*
 * encrypted_compare.c: equality of sealed values, by tag and without a key.
 *
 * Order is the order of tags: good for an index, and without any meaning.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/memory.h"
#include "keyring/keyring.h"
#include "types/encrypted.h"
#include "types/equality.h"
#include "types/family.h"

PG_FUNCTION_INFO_V1(hub_encrypted_eq);
PG_FUNCTION_INFO_V1(hub_encrypted_ne);
PG_FUNCTION_INFO_V1(hub_encrypted_lt);
PG_FUNCTION_INFO_V1(hub_encrypted_le);
PG_FUNCTION_INFO_V1(hub_encrypted_gt);
PG_FUNCTION_INFO_V1(hub_encrypted_ge);
PG_FUNCTION_INFO_V1(hub_encrypted_cmp);
PG_FUNCTION_INFO_V1(hub_encrypted_hash);
PG_FUNCTION_INFO_V1(hub_encrypted_hash_extended);
PG_FUNCTION_INFO_V1(hub_encrypted_eq_text);
PG_FUNCTION_INFO_V1(hub_encrypted_ne_text);
PG_FUNCTION_INFO_V1(hub_text_eq_encrypted);
PG_FUNCTION_INFO_V1(hub_text_ne_encrypted);

/* The tag of a text that many rows are compared with */
typedef struct TextTag
{
	text	   *input;			/* copy of the text that the tag is of */
	EnvelopeFamily family;
	bool		valid;
	uint8		tag[ENVELOPE_TAG_BYTES];
} TextTag;

/*
 * Read the tag of a value that was made under another generation of tag keys.
 *
 * A value that is nobody's yet is taken over, that of a copy under the next
 * generation and that of an erased data subject are left, and any other cannot be
 * compared: its column was not sealed anew, or it comes from elsewhere.
 */
static void
read_other_generation(Datum value, uint8 tag[ENVELOPE_TAG_BYTES])
{
	struct varlena *whole = PG_DETOAST_DATUM_PACKED(value);
	EnvelopeView view;

	envelope_view(whole, &view);
	if (envelope_tag_generation(&view) == keyring_next_tag_generation() ||
		(!envelope_is_unbound(&view) && keyring_subject_is_erased(&view.subject)))
		memcpy(tag, view.nonce, ENVELOPE_TAG_BYTES);
	else if (!envelope_is_unbound(&view) ||
			 !encrypted_tag_of_generation(whole, keyring_tag_generation(), tag))
		ereport(ERROR,
				(errcode(ERRCODE_CH_TAG_GENERATION),
				 errmsg("the equality tag of a sealed value is of another generation"),
				 errhint("CALL hub.reseal() on its table, refresh the materialized view, or write the value anew.")));
	if ((Pointer) whole != DatumGetPointer(value))
		pfree(whole);
}

/* Read the equality tag of a value; raises CH103 when it has none, CH106 when it is outdated */
void
equality_read_tag(Datum value, uint8 tag[ENVELOPE_TAG_BYTES], EnvelopeFamily *family)
{
	struct varlena *datum = (struct varlena *) DatumGetPointer(value);
	struct varlena *head = datum;
	const uint8 *bytes;

	if (VARATT_IS_EXTERNAL(datum) || VARATT_IS_COMPRESSED(datum))
		head = PG_DETOAST_DATUM_SLICE(value, 0, COMPARED_BYTES);
	bytes = (const uint8 *) VARDATA_ANY(head);
	if (VARSIZE_ANY_EXHDR(head) < COMPARED_BYTES ||
		(bytes[1] & ENVELOPE_FLAG_SEARCHABLE) == 0 ||
		(bytes[1] & ENVELOPE_FLAG_PRINTED) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_SEARCHABLE),
				 errmsg("values of this data class cannot be compared"),
				 errhint("Only searchable data classes carry an equality tag; see hub.data_class.")));
	if (likely(envelope_bits_are_current(bytes[1])))
		memcpy(tag, bytes + ENVELOPE_HEADER_BYTES, ENVELOPE_TAG_BYTES);
	else
		read_other_generation(value, tag);
	if (family != NULL)
		*family = bytes[1] & 0x07;
	if (head != datum)
		pfree(head);
}

/* Compare two values by tag */
static int
compare_values(FunctionCallInfo fcinfo)
{
	uint8		left[ENVELOPE_TAG_BYTES];
	uint8		right[ENVELOPE_TAG_BYTES];

	equality_read_tag(PG_GETARG_DATUM(0), left, NULL);
	equality_read_tag(PG_GETARG_DATUM(1), right, NULL);
	return memcmp(left, right, ENVELOPE_TAG_BYTES);
}

/* Compute the tag of a text; false when it is no value of the type, and so equals none */
bool
equality_text_tag(EnvelopeFamily family, const char *input, Size len,
				  uint8 tag[ENVELOPE_TAG_BYTES])
{
	const char *reason;
	Size		stored_len;
	char	   *stored = family_normalize(family, input, len, &stored_len, &reason);

	if (stored == NULL)
	{
		memset(tag, 0, ENVELOPE_TAG_BYTES);
		return false;
	}
	family_tag(family, stored, stored_len, tag);
	memory_zero(stored, stored_len);
	pfree(stored);
	return true;
}

/* Find the tag of a text, computed once for as long as the text stays the same */
bool
equality_cached_text_tag(FunctionCallInfo fcinfo, text *input, EnvelopeFamily family,
						 const uint8 **tag)
{
	TextTag    *cached = fcinfo->flinfo->fn_extra;
	Size		len = VARSIZE_ANY_EXHDR(input);

	if (cached == NULL)
	{
		cached = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TextTag));
		fcinfo->flinfo->fn_extra = cached;
	}
	*tag = cached->tag;
	if (cached->input != NULL && cached->family == family &&
		VARSIZE_ANY_EXHDR(cached->input) == len &&
		memcmp(VARDATA_ANY(cached->input), VARDATA_ANY(input), len) == 0)
		return cached->valid;

	if (cached->input != NULL)
		pfree(cached->input);
	cached->input = NULL;		/* until its tag is there */
	cached->valid = equality_text_tag(family, VARDATA_ANY(input), len, cached->tag);
	cached->family = family;
	cached->input = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, VARHDRSZ + len);
	SET_VARSIZE(cached->input, VARHDRSZ + len);
	memcpy(VARDATA(cached->input), VARDATA_ANY(input), len);
	return cached->valid;
}

/* Does a value equal a text, by tag? A text that is no value of the type equals none */
static bool
equals_text(FunctionCallInfo fcinfo, Datum value, text *input)
{
	uint8		tag[ENVELOPE_TAG_BYTES];
	const uint8 *other;
	EnvelopeFamily family;

	equality_read_tag(value, tag, &family);
	return equality_cached_text_tag(fcinfo, input, family, &other) &&
		memcmp(tag, other, ENVELOPE_TAG_BYTES) == 0;
}

/* = */
Datum
hub_encrypted_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_values(fcinfo) == 0);
}

/* <> */
Datum
hub_encrypted_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_values(fcinfo) != 0);
}

/* < */
Datum
hub_encrypted_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_values(fcinfo) < 0);
}

/* <= */
Datum
hub_encrypted_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_values(fcinfo) <= 0);
}

/* > */
Datum
hub_encrypted_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_values(fcinfo) > 0);
}

/* >= */
Datum
hub_encrypted_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_values(fcinfo) >= 0);
}

/* Order of tags, for btree */
Datum
hub_encrypted_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_values(fcinfo));
}

/* Hash of the tag */
Datum
hub_encrypted_hash(PG_FUNCTION_ARGS)
{
	uint8		tag[ENVELOPE_TAG_BYTES];

	equality_read_tag(PG_GETARG_DATUM(0), tag, NULL);
	return hash_any(tag, sizeof(tag));
}

/* Hash of the tag with a seed */
Datum
hub_encrypted_hash_extended(PG_FUNCTION_ARGS)
{
	uint8		tag[ENVELOPE_TAG_BYTES];

	equality_read_tag(PG_GETARG_DATUM(0), tag, NULL);
	return hash_any_extended(tag, sizeof(tag), PG_GETARG_INT64(1));
}

/* value = text */
Datum
hub_encrypted_eq_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(equals_text(fcinfo, PG_GETARG_DATUM(0), PG_GETARG_TEXT_PP(1)));
}

/* value <> text */
Datum
hub_encrypted_ne_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!equals_text(fcinfo, PG_GETARG_DATUM(0), PG_GETARG_TEXT_PP(1)));
}

/* text = value */
Datum
hub_text_eq_encrypted(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(equals_text(fcinfo, PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(0)));
}

/* text <> value */
Datum
hub_text_ne_encrypted(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!equals_text(fcinfo, PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(0)));
}
