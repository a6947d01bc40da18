/*
 * tag_statistics.c: what ANALYZE learns of encrypted columns: how many values
 * differ, and not which.
 */
#include "postgres.h"

#include <math.h>

#include "commands/vacuum.h"
#include "fmgr.h"
#include "utils/datum.h"

#include "foundation/compat.h"
#include "types/equality.h"

PG_FUNCTION_INFO_V1(hub_encrypted_typanalyze);
PG_FUNCTION_INFO_V1(hub_equality_tag_typanalyze);

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
	bool		(*read_tag) (Datum value, uint8 *tag) = stats->extra_data;
	uint8	   *tags = palloc((Size) sample_rows * ENVELOPE_TAG_BYTES + 1);
	int			tag_count = 0;
	int			nulls = 0;
	double		width = 0;

	for (int row = 0; row < sample_rows; row++)
	{
		bool		isnull;
		Datum		value = fetch(stats, row, &isnull);

		compat_analyze_delay_point();
		if (isnull)
		{
			nulls++;
			continue;
		}
		width += datumGetSize(value, false, stats->attrtype->typlen);
		if (read_tag(value, tags + (Size) tag_count * ENVELOPE_TAG_BYTES))
			tag_count++;
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

/* Have ANALYZE collect these statistics, reading tags in a column's own way */
static void
use_tag_statistics(VacAttrStats *stats, bool (*read_tag) (Datum value, uint8 *tag))
{
	int			target = compat_statistics_target(stats);

	if (target < 0)
		target = default_statistics_target;
	stats->compute_stats = compute_stats;
	stats->extra_data = read_tag;
	stats->minrows = 300 * target;
}

/* Read the tag of a sealed value; false when it has none */
static bool
read_sealed_tag(Datum value, uint8 *tag)
{
	struct varlena *head = PG_DETOAST_DATUM_SLICE(value, 0, COMPARED_BYTES);
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(head);
	bool		found = VARSIZE_ANY_EXHDR(head) >= COMPARED_BYTES &&
		(bytes[1] & ENVELOPE_FLAG_SEARCHABLE) != 0;

	if (found)
		memcpy(tag, bytes + ENVELOPE_HEADER_BYTES, ENVELOPE_TAG_BYTES);
	pfree(head);
	return found;
}

/* Read a tag that is a value itself, as indexes hold them */
static bool
read_plain_tag(Datum value, uint8 *tag)
{
	memcpy(tag, DatumGetPointer(value), ENVELOPE_TAG_BYTES);
	return true;
}

/* Have ANALYZE keep no value of an encrypted column */
Datum
hub_encrypted_typanalyze(PG_FUNCTION_ARGS)
{
	use_tag_statistics((VacAttrStats *) PG_GETARG_POINTER(0), read_sealed_tag);
	PG_RETURN_BOOL(true);
}

/* Have ANALYZE keep no tag: pg_statistic is not shredded with its person */
Datum
hub_equality_tag_typanalyze(PG_FUNCTION_ARGS)
{
	use_tag_statistics((VacAttrStats *) PG_GETARG_POINTER(0), read_plain_tag);
	PG_RETURN_BOOL(true);
}
