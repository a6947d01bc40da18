/*
 * encrypted_compare.c: equality of sealed values, by tag and without a key.
 *
 * Order is the order of tags: good for an index, and without any meaning.
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/vacuum.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "types/encrypted.h"
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
PG_FUNCTION_INFO_V1(hub_encrypted_cmp_text);
PG_FUNCTION_INFO_V1(hub_text_cmp_encrypted);
PG_FUNCTION_INFO_V1(hub_encrypted_typanalyze);

/* Header and tag: all that a comparison reads of a value, toasted or not */
#define COMPARED_BYTES (ENVELOPE_HEADER_BYTES + ENVELOPE_NONCE_BYTES)

/* The tag of a text that many rows are compared with */
typedef struct TextTag
{
	text	   *input;			/* copy of the text that the tag is of */
	EnvelopeFamily family;
	bool		valid;			/* false: no value of this type can equal it */
	uint8		tag[ENVELOPE_TAG_BYTES];
} TextTag;

/* Read the equality tag of a value; raises CH103 when it has none */
static void
read_tag(Datum value, uint8 tag[ENVELOPE_TAG_BYTES], EnvelopeFamily *family)
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
	memcpy(tag, bytes + ENVELOPE_HEADER_BYTES, ENVELOPE_TAG_BYTES);
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

	read_tag(PG_GETARG_DATUM(0), left, NULL);
	read_tag(PG_GETARG_DATUM(1), right, NULL);
	return memcmp(left, right, ENVELOPE_TAG_BYTES);
}

/* Return the tag of a text, computed once for as long as the text stays the same */
static const TextTag *
text_tag(FunctionCallInfo fcinfo, text *input, EnvelopeFamily family)
{
	TextTag    *cached = fcinfo->flinfo->fn_extra;
	Size		len = VARSIZE_ANY_EXHDR(input);
	const char *reason;
	char	   *stored;
	Size		stored_len;

	if (cached != NULL && cached->family == family &&
		VARSIZE_ANY_EXHDR(cached->input) == len &&
		memcmp(VARDATA_ANY(cached->input), VARDATA_ANY(input), len) == 0)
		return cached;

	if (cached == NULL)
	{
		cached = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TextTag));
		fcinfo->flinfo->fn_extra = cached;
	}
	else
		pfree(cached->input);
	cached->input = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, VARHDRSZ + len);
	SET_VARSIZE(cached->input, VARHDRSZ + len);
	memcpy(VARDATA(cached->input), VARDATA_ANY(input), len);
	cached->family = family;

	/*
	 * A text that is no value of the type equals none: that is no error, and
	 * lets the operator be leakproof.
	 */
	stored = family_normalize(family, VARDATA_ANY(input), len, &stored_len, &reason);
	cached->valid = stored != NULL;
	if (stored != NULL)
	{
		family_tag(family, stored, stored_len, cached->tag);
		pfree(stored);
	}
	else
		memset(cached->tag, 0, ENVELOPE_TAG_BYTES);
	return cached;
}

/* Compare a value with a text by tag; a text that is no value of the type sorts first */
static int
compare_with_text(FunctionCallInfo fcinfo, Datum value, text *input)
{
	uint8		tag[ENVELOPE_TAG_BYTES];
	EnvelopeFamily family;
	const TextTag *other;

	read_tag(value, tag, &family);
	other = text_tag(fcinfo, input, family);
	if (!other->valid)
		return 1;
	return memcmp(tag, other->tag, ENVELOPE_TAG_BYTES);
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

	read_tag(PG_GETARG_DATUM(0), tag, NULL);
	return hash_any(tag, sizeof(tag));
}

/* Hash of the tag with a seed */
Datum
hub_encrypted_hash_extended(PG_FUNCTION_ARGS)
{
	uint8		tag[ENVELOPE_TAG_BYTES];

	read_tag(PG_GETARG_DATUM(0), tag, NULL);
	return hash_any_extended(tag, sizeof(tag), PG_GETARG_INT64(1));
}

/* value = text */
Datum
hub_encrypted_eq_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_with_text(fcinfo, PG_GETARG_DATUM(0), PG_GETARG_TEXT_PP(1)) == 0);
}

/* value <> text */
Datum
hub_encrypted_ne_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_with_text(fcinfo, PG_GETARG_DATUM(0), PG_GETARG_TEXT_PP(1)) != 0);
}

/* text = value */
Datum
hub_text_eq_encrypted(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_with_text(fcinfo, PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(0)) == 0);
}

/* text <> value */
Datum
hub_text_ne_encrypted(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_with_text(fcinfo, PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(0)) != 0);
}

/* Order of a value and a text, for look-ups in a btree */
Datum
hub_encrypted_cmp_text(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_with_text(fcinfo, PG_GETARG_DATUM(0), PG_GETARG_TEXT_PP(1)));
}

/* Order of a text and a value, for look-ups in a btree */
Datum
hub_text_cmp_encrypted(PG_FUNCTION_ARGS)
{
	int			order = compare_with_text(fcinfo, PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(0));

	PG_RETURN_INT32(order < 0 ? 1 : (order > 0 ? -1 : 0));
}

/* Order of tags for qsort */
static int
compare_tag_pointers(const void *a, const void *b)
{
	return memcmp(a, b, ENVELOPE_TAG_BYTES);
}

/*
 * Collect statistics without values: nulls, width and the number of distinct
 * tags. No most common values and no histogram, since pg_statistic is neither
 * encrypted nor shredded.
 */
static void
compute_stats(VacAttrStats *stats, AnalyzeAttrFetchFunc fetch, int sample_rows, double total_rows)
{
	uint8	   *tags = palloc((Size) sample_rows * ENVELOPE_TAG_BYTES + 1);
	int			tag_count = 0;
	int			nulls = 0;
	double		width = 0;

	for (int row = 0; row < sample_rows; row++)
	{
		bool		isnull;
		Datum		value = fetch(stats, row, &isnull);
		struct varlena *head;
		const uint8 *bytes;

		compat_analyze_delay_point();
		if (isnull)
		{
			nulls++;
			continue;
		}
		width += VARSIZE_ANY(DatumGetPointer(value));
		head = PG_DETOAST_DATUM_SLICE(value, 0, COMPARED_BYTES);
		bytes = (const uint8 *) VARDATA_ANY(head);
		if (VARSIZE_ANY_EXHDR(head) >= COMPARED_BYTES &&
			(bytes[1] & ENVELOPE_FLAG_SEARCHABLE) != 0)
		{
			memcpy(tags + (Size) tag_count * ENVELOPE_TAG_BYTES, bytes + ENVELOPE_HEADER_BYTES,
				   ENVELOPE_TAG_BYTES);
			tag_count++;
		}
		pfree(head);
	}

	stats->stats_valid = sample_rows > 0;
	if (sample_rows == 0)
		return;
	stats->stanullfrac = (float4) ((double) nulls / sample_rows);
	stats->stawidth = nulls < sample_rows ? (int32) (width / (sample_rows - nulls)) : 0;

	/* without tags every value counts as another one */
	stats->stadistinct = -1.0 * (1.0 - stats->stanullfrac);
	if (tag_count > 0)
	{
		int			distinct = 0;
		int			singles = 0;
		double		sampled = tag_count;
		double		estimate;

		qsort(tags, tag_count, ENVELOPE_TAG_BYTES, compare_tag_pointers);
		for (int i = 0; i < tag_count;)
		{
			int			next = i + 1;

			while (next < tag_count &&
				   memcmp(tags + (Size) i * ENVELOPE_TAG_BYTES,
						  tags + (Size) next * ENVELOPE_TAG_BYTES, ENVELOPE_TAG_BYTES) == 0)
				next++;
			distinct++;
			if (next == i + 1)
				singles++;
			i = next;
		}
		if (singles < distinct)
		{
			/* Haas and Stokes (1998), estimator Duj1, as ANALYZE itself uses */
			double		rows = total_rows * (1.0 - stats->stanullfrac);

			estimate = (sampled * distinct) /
				((sampled - singles) + singles * sampled / Max(rows, sampled));
			estimate = Min(Max(estimate, distinct), Max(rows, sampled));
			stats->stadistinct = (float4) floor(estimate + 0.5);
			if (estimate > 0.1 * total_rows)
				stats->stadistinct = (float4) -(estimate / total_rows);
		}
	}
}

/* Have ANALYZE keep no value of an encrypted column */
Datum
hub_encrypted_typanalyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);
	int			target = compat_statistics_target(stats);

	if (target < 0)
		target = default_statistics_target;
	stats->compute_stats = compute_stats;
	stats->minrows = 300 * target;
	PG_RETURN_BOOL(true);
}
