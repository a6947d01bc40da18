/*
 * equality_tag.c: hub.equality_tag, the 16 bytes by which sealed values are
 * compared: what indexes on encrypted columns hold.
 *
 * A tag is made by a key, and opens nothing. Members are not shown it: their
 * pseudonyms are made so that they cannot be looked up.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/sortsupport.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "types/data_class.h"
#include "types/disclosure.h"
#include "types/encrypted.h"
#include "types/equality.h"

#define TAG_HEX_BYTES (2 * ENVELOPE_TAG_BYTES)

PG_FUNCTION_INFO_V1(hub_equality_tag_in);
PG_FUNCTION_INFO_V1(hub_equality_tag_out);
PG_FUNCTION_INFO_V1(hub_equality_tag_recv);
PG_FUNCTION_INFO_V1(hub_equality_tag_send);
PG_FUNCTION_INFO_V1(hub_equality_tag_eq);
PG_FUNCTION_INFO_V1(hub_equality_tag_ne);
PG_FUNCTION_INFO_V1(hub_equality_tag_lt);
PG_FUNCTION_INFO_V1(hub_equality_tag_le);
PG_FUNCTION_INFO_V1(hub_equality_tag_gt);
PG_FUNCTION_INFO_V1(hub_equality_tag_ge);
PG_FUNCTION_INFO_V1(hub_equality_tag_cmp);
PG_FUNCTION_INFO_V1(hub_equality_tag_sortsupport);
PG_FUNCTION_INFO_V1(hub_equality_tag_hash);
PG_FUNCTION_INFO_V1(hub_equality_tag_hash_extended);
PG_FUNCTION_INFO_V1(hub_equality_tag);
PG_FUNCTION_INFO_V1(hub_equality_tag_of_text);
PG_FUNCTION_INFO_V1(hub_equality_tags);
PG_FUNCTION_INFO_V1(hub_equality_tags_of_text);
PG_FUNCTION_INFO_V1(hub_encrypted_probe);
PG_FUNCTION_INFO_V1(hub_encrypted_probes);

/* Read 32 hexadecimal digits; raises 22P02 */
static uint8 *
parse_tag(const char *hex, Size len)
{
	uint8	   *tag = palloc(ENVELOPE_TAG_BYTES);

	if (len != TAG_HEX_BYTES || strspn(hex, "0123456789abcdef") < TAG_HEX_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type equality_tag"),
				 errdetail("A tag is written as %d lower-case hexadecimal digits.", TAG_HEX_BYTES)));
	hex_decode(hex, TAG_HEX_BYTES, (char *) tag);
	return tag;
}

/* Print a tag: to nobody who has an identity */
static char *
print_tag(const uint8 *tag)
{
	char	   *hex;

	if (disclosure_of(DATA_CLASS_UNCLASSIFIED) != DISCLOSURE_SEALED)
		return pstrdup(ENCRYPTED_RESTRICTED);
	hex = palloc0(TAG_HEX_BYTES + 1);
	hex_encode((const char *) tag, ENVELOPE_TAG_BYTES, hex);
	return hex;
}

/* Compare two tags */
static int
compare_tags(FunctionCallInfo fcinfo)
{
	return memcmp(PG_GETARG_POINTER(0), PG_GETARG_POINTER(1), ENVELOPE_TAG_BYTES);
}

/* Input */
Datum
hub_equality_tag_in(PG_FUNCTION_ARGS)
{
	char	   *hex = PG_GETARG_CSTRING(0);

	PG_RETURN_POINTER(parse_tag(hex, strlen(hex)));
}

/* Output */
Datum
hub_equality_tag_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(print_tag((const uint8 *) PG_GETARG_POINTER(0)));
}

/* Binary input: the same text */
Datum
hub_equality_tag_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *hex = pq_getmsgtext(buffer, buffer->len - buffer->cursor, &len);

	PG_RETURN_POINTER(parse_tag(hex, len));
}

/* Binary output: the same text */
Datum
hub_equality_tag_send(PG_FUNCTION_ARGS)
{
	char	   *text = print_tag((const uint8 *) PG_GETARG_POINTER(0));
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	pq_sendtext(&buffer, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

/* = */
Datum
hub_equality_tag_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_tags(fcinfo) == 0);
}

/* <> */
Datum
hub_equality_tag_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_tags(fcinfo) != 0);
}

/* < */
Datum
hub_equality_tag_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_tags(fcinfo) < 0);
}

/* <= */
Datum
hub_equality_tag_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_tags(fcinfo) <= 0);
}

/* > */
Datum
hub_equality_tag_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_tags(fcinfo) > 0);
}

/* >= */
Datum
hub_equality_tag_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_tags(fcinfo) >= 0);
}

/* Order, for btree */
Datum
hub_equality_tag_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_tags(fcinfo));
}

/* Order, for sorting */
static int
sort_compare(Datum a, Datum b, SortSupport ssup)
{
	return memcmp(DatumGetPointer(a), DatumGetPointer(b), ENVELOPE_TAG_BYTES);
}

/* Take the first bytes of a tag as an integer of the same order */
static Datum
abbreviate(Datum original, SortSupport ssup)
{
	Datum		key;

	memcpy(&key, DatumGetPointer(original), sizeof(key));
	return DatumBigEndianToNative(key);
}

/* Tags are as good as random: their first bytes tell nearly all apart */
static bool
abbreviation_fails(int count, SortSupport ssup)
{
	return false;
}

/* Sort tags by their first bytes, so that an index is built fast */
Datum
hub_equality_tag_sortsupport(PG_FUNCTION_ARGS)
{
	SortSupport ssup = (SortSupport) PG_GETARG_POINTER(0);

	ssup->comparator = sort_compare;
	if (ssup->abbreviate)
	{
		ssup->comparator = ssup_datum_unsigned_cmp;
		ssup->abbrev_converter = abbreviate;
		ssup->abbrev_abort = abbreviation_fails;
		ssup->abbrev_full_comparator = sort_compare;
	}
	PG_RETURN_VOID();
}

/* Hash */
Datum
hub_equality_tag_hash(PG_FUNCTION_ARGS)
{
	return hash_any((const unsigned char *) PG_GETARG_POINTER(0), ENVELOPE_TAG_BYTES);
}

/* Hash with a seed */
Datum
hub_equality_tag_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_any_extended((const unsigned char *) PG_GETARG_POINTER(0), ENVELOPE_TAG_BYTES,
							 PG_GETARG_INT64(1));
}

/* Tell the family of the type that a caller names; raises 42804 */
static EnvelopeFamily
family_argument(Oid type_oid)
{
	EnvelopeFamily family;

	if (!encrypted_type_family(type_oid, &family))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s is not an encrypted type of customer_hub",
						format_type_be(type_oid))));
	return family;
}

/* Return the tag of a value; raises CH103 when its class is not searchable */
Datum
hub_equality_tag(PG_FUNCTION_ARGS)
{
	uint8	   *tag = palloc(ENVELOPE_TAG_BYTES);

	equality_read_tag(PG_GETARG_DATUM(0), tag, NULL);
	PG_RETURN_POINTER(tag);
}

/* Return the tag that a text would have as a value of a type; one that no value has for bad text */
Datum
hub_equality_tag_of_text(PG_FUNCTION_ARGS)
{
	uint8	   *tag = palloc(ENVELOPE_TAG_BYTES);
	const uint8 *cached;

	equality_cached_text_tag(fcinfo, PG_GETARG_TEXT_PP(0), family_argument(PG_GETARG_OID(1)), &cached);
	memcpy(tag, cached, ENVELOPE_TAG_BYTES);
	PG_RETURN_POINTER(tag);
}

/* Turn each element of an array into another, keeping NULLs and dimensions */
static ArrayType *
map_array(ArrayType *array, Oid element_type, Datum (*map) (Datum element, EnvelopeFamily family),
		  EnvelopeFamily family)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!nulls[i])
			elements[i] = map(elements[i], family);
	}
	get_typlenbyvalalign(element_type, &typlen, &typbyval, &typalign);
	return construct_md_array(elements, nulls, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
							  element_type, typlen, typbyval, typalign);
}

/* Return the tag of a value, for map_array() */
static Datum
tag_of_value(Datum value, EnvelopeFamily family)
{
	uint8	   *tag = palloc(ENVELOPE_TAG_BYTES);

	equality_read_tag(value, tag, NULL);
	return PointerGetDatum(tag);
}

/* Return the tag of a text, for map_array() */
static Datum
tag_of_text(Datum value, EnvelopeFamily family)
{
	text	   *input = DatumGetTextPP(value);
	uint8	   *tag = palloc(ENVELOPE_TAG_BYTES);

	equality_text_tag(family, VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input), tag);
	return PointerGetDatum(tag);
}

/* Return a value that has the tag of a text and no content, for map_array() */
static Datum
probe_of_text(Datum value, EnvelopeFamily family)
{
	text	   *input = DatumGetTextPP(value);
	uint8		tag[ENVELOPE_TAG_BYTES];

	equality_text_tag(family, VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input), tag);
	return PointerGetDatum(envelope_make_probe(family, tag));
}

/* Return the tags of several values */
Datum
hub_equality_tags(PG_FUNCTION_ARGS)
{
	Oid			tag_type = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));

	PG_RETURN_ARRAYTYPE_P(map_array(PG_GETARG_ARRAYTYPE_P(0), tag_type, tag_of_value, 0));
}

/* Return the tags that several texts would have as values of a type */
Datum
hub_equality_tags_of_text(PG_FUNCTION_ARGS)
{
	Oid			tag_type = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));

	PG_RETURN_ARRAYTYPE_P(map_array(PG_GETARG_ARRAYTYPE_P(0), tag_type, tag_of_text,
									family_argument(PG_GETARG_OID(1))));
}

/* Return what an index on the column itself is searched by for a text */
Datum
hub_encrypted_probe(PG_FUNCTION_ARGS)
{
	EnvelopeFamily family = family_argument(get_func_rettype(fcinfo->flinfo->fn_oid));
	const uint8 *tag;

	equality_cached_text_tag(fcinfo, PG_GETARG_TEXT_PP(0), family, &tag);
	PG_RETURN_POINTER(envelope_make_probe(family, tag));
}

/* Return what an index on the column itself is searched by for several texts */
Datum
hub_encrypted_probes(PG_FUNCTION_ARGS)
{
	Oid			type = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));

	PG_RETURN_ARRAYTYPE_P(map_array(PG_GETARG_ARRAYTYPE_P(0), type, probe_of_text,
									family_argument(type)));
}
