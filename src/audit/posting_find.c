/*
 * posting_find.c: finding events by their postings. What it returns is where to
 * look; the caller looks whether the event is one that was asked for.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "audit/posting.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

PG_FUNCTION_INFO_V1(hub_audit_find);
PG_FUNCTION_INFO_V1(hub_audit_find_row);

/* Names of terms, as SQL has them */
static const struct
{
	const char *name;
	PostingTerm term;
}			term_names[] = {
	{"subject", POSTING_SUBJECT},
	{"member", POSTING_MEMBER},
	{"member_reveal", POSTING_MEMBER_REVEAL},
	{"login_reveal", POSTING_LOGIN_REVEAL},
	{"kind", POSTING_KIND}
};

/* A place where an event may be */
typedef struct Place
{
	uint64		xid;
	int32		ordinal;
	int32		chunk;			/* index of the chunk, for its times */
} Place;

/* What was found under one hash */
typedef struct Places
{
	uint64		hash;
	Place	   *places;
	int64		used;
	int64		size;
} Places;

/* One search */
typedef struct Search
{
	TimestampTz from;
	TimestampTz to;
	int			count;			/* of hashes */
	Places	   *found;
	bool		all;			/* an event has all of the hashes, not just one */
	PostingChunk *chunks;
	int			chunk_count;
	ReturnSetInfo *result;
} Search;

static SPIPlanPtr chunks_plan = NULL;

pg_noreturn static void damaged(int64 chunk);

/* Refuse to answer from postings that are not as they were written */
static void
damaged(int64 chunk)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the index of the audit trail was changed: chunk %lld is missing or not as it was written",
					(long long) chunk),
			 errhint("Find out who changed it, then have the trail indexed anew: SELECT hub.rebuild_audit_postings().")));
}

/* Read a position of a chunk */
static void
read_position(HeapTuple row, TupleDesc desc, int column, PostingPosition *position)
{
	bool		isnull;

	position->block = DatumGetInt64(SPI_getbinval(row, desc, column, &isnull));
	position->xid = DatumGetUInt64(SPI_getbinval(row, desc, column + 1, &isnull));
	position->ordinal = DatumGetInt64(SPI_getbinval(row, desc, column + 2, &isnull));
	position->done = DatumGetInt64(SPI_getbinval(row, desc, column + 3, &isnull));
}

/* Read the chunks, and see that they are those that were written, one after the other */
static void
read_chunks(Search *search)
{
	PostingPosition last = {0};

	SPI_execute_plan(engine_prepare(&chunks_plan,
									"SELECT c.* FROM hub.audit_posting_chunk c ORDER BY c.chunk", 0, NULL),
					 NULL, NULL, true, 0);
	search->chunk_count = (int) SPI_processed;
	search->chunks = palloc(sizeof(PostingChunk) * (search->chunk_count + 1));
	for (int i = 0; i < search->chunk_count; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		PostingChunk *chunk = &search->chunks[i];
		uint8		tag[EVENT_TAG_BYTES];
		bytea	   *stored;
		bool		isnull;

		chunk->number = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		read_position(row, desc, 2, &chunk->from);
		read_position(row, desc, 6, &chunk->to);
		chunk->first_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 10, &isnull));
		chunk->last_at = DatumGetTimestampTz(SPI_getbinval(row, desc, 11, &isnull));
		stored = DatumGetByteaPP(SPI_getbinval(row, desc, 12, &isnull));
		posting_chunk_tag(chunk, tag);
		if (chunk->number != i || memcmp(&chunk->from, &last, sizeof(last)) != 0 ||
			VARSIZE_ANY_EXHDR(stored) != EVENT_TAG_BYTES ||
			memcmp(VARDATA_ANY(stored), tag, EVENT_TAG_BYTES) != 0)
			damaged(i);
		last = chunk->to;
	}
}

/* May a chunk hold events of the time that is asked for? */
static bool
overlaps(const Search *search, const PostingChunk *chunk)
{
	return chunk->last_at >= search->from && chunk->first_at <= search->to;
}

/* Note a place */
static void
add_place(Places *places, uint64 xid, int32 ordinal, int chunk)
{
	Place	   *place;

	if (places->used >= places->size)
	{
		places->size = places->size == 0 ? 64 : places->size * 2;
		places->places = places->places == NULL ?
			MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Place) * places->size) :
			repalloc_huge(places->places, sizeof(Place) * places->size);
	}
	place = &places->places[places->used++];
	place->xid = xid;
	place->ordinal = ordinal;
	place->chunk = chunk;
}

/* Find the first entry of a hash; entries need not be aligned */
static int64
first_entry(const char *entries, int64 count, uint32 hash)
{
	int64		low = 0;
	int64		high = count;

	while (low < high)
	{
		int64		middle = (low + high) / 2;
		PostingEntry entry;

		memcpy(&entry, entries + middle * sizeof(entry), sizeof(entry));
		if (entry.hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Take what a bucket of a chunk has under a hash */
static void
take_bucket(const Search *search, Places *places, int chunk, bytea *bytes)
{
	const char *data = VARDATA_ANY(bytes);
	Size		len = VARSIZE_ANY_EXHDR(bytes);
	uint8		tag[EVENT_TAG_BYTES];
	PostingHead head;
	PostingEntry entry;

	if (len < sizeof(head) + EVENT_TAG_BYTES)
		damaged(chunk);
	len -= EVENT_TAG_BYTES;
	posting_bucket_tag(chunk, posting_bucket(places->hash), data, len, tag);
	memcpy(&head, data, sizeof(head));
	if (memcmp(data + len, tag, EVENT_TAG_BYTES) != 0 ||
		len != sizeof(head) + head.count * sizeof(entry))
		damaged(chunk);

	data += sizeof(head);
	for (int64 i = first_entry(data, head.count, (uint32) places->hash); i < (int64) head.count; i++)
	{
		memcpy(&entry, data + i * sizeof(entry), sizeof(entry));
		if (entry.hash != (uint32) places->hash)
			break;
		add_place(places, head.first_xid + entry.xid_offset, entry.ordinal, chunk);
	}
}

/* Read the bucket of a hash in all chunks of the time, by the index: both in the order of chunks */
static void
read_buckets(const Search *search, Places *places, Relation table, Relation index)
{
	TupleDesc	desc = RelationGetDescr(table);
	ScanKeyData keys[2];
	SysScanDesc scan;
	int			next = 0;
	int			last = search->chunk_count - 1;

	while (last >= 0 && !overlaps(search, &search->chunks[last]))
		last--;
	while (next < last && !overlaps(search, &search->chunks[next]))
		next++;
	if (last < 0)
		return;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(posting_bucket(places->hash)));
	ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(next));
	scan = systable_beginscan_ordered(table, index, GetActiveSnapshot(), 2, keys);
	for (; next <= last; next++)
	{
		HeapTuple	row = systable_getnext_ordered(scan, ForwardScanDirection);
		bool		isnull;
		bytea	   *bytes;

		CHECK_FOR_INTERRUPTS();
		if (!HeapTupleIsValid(row) || DatumGetInt64(heap_getattr(row, 2, desc, &isnull)) != next)
			damaged(next);
		if (!overlaps(search, &search->chunks[next]))
			continue;
		bytes = DatumGetByteaPP(heap_getattr(row, 3, desc, &isnull));
		take_bucket(search, places, next, bytes);
	}
	systable_endscan_ordered(scan);
}

/* Return a place, with the times between which its event was recorded */
static void
put_place(Search *search, uint64 xid, int32 ordinal, TimestampTz first_at, TimestampTz last_at)
{
	Datum		values[4] = {UInt64GetDatum(xid), Int32GetDatum(ordinal),
	TimestampTzGetDatum(first_at), TimestampTzGetDatum(last_at)};
	bool		nulls[4] = {false};

	tuplestore_putvalues(search->result->setResult, search->result->setDesc, values, nulls);
}

/* Return the places of one hash, with the times of their chunks */
static void
return_found(Search *search, const Places *found)
{
	for (int64 i = 0; i < found->used; i++)
	{
		Place	   *place = &found->places[i];
		PostingChunk *chunk = &search->chunks[place->chunk];

		put_place(search, place->xid, place->ordinal, chunk->first_at, chunk->last_at);
	}
}

/* Return what the postings have: where all hashes must be met, that of which there are fewest */
static void
return_places(Search *search)
{
	Relation	table = table_open(catalog_relation("audit_posting"), AccessShareLock);
	Relation	index = index_open(catalog_relation("audit_posting_pkey"), AccessShareLock);
	Places	   *fewest = &search->found[0];

	for (int i = 0; i < search->count; i++)
	{
		read_buckets(search, &search->found[i], table, index);
		if (!search->all)
			return_found(search, &search->found[i]);
		else if (search->found[i].used < fewest->used)
			fewest = &search->found[i];
	}
	if (search->all)
		return_found(search, fewest);
	index_close(index, AccessShareLock);
	table_close(table, AccessShareLock);
}

/* Does an event have what is asked for? */
static bool
meets(const Search *search, const uint64 *hashes, int count)
{
	for (int i = 0; i < search->count; i++)
	{
		bool		met = false;

		for (int j = 0; j < count && !met; j++)
			met = hashes[j] == search->found[i].hash;
		if (met != search->all)
			return met;
	}
	return search->all;
}

/* Return what comes after the last chunk and has what is asked for */
static void
return_tail(Search *search)
{
	static const PostingPosition beginning = {0};
	PostingReader *reader = posting_open_tail(search->chunk_count == 0 ? &beginning :
											  &search->chunks[search->chunk_count - 1].to);
	AuditEvent	event;
	const uint64 *hashes;
	int			count;

	while (posting_next(reader, &event, &hashes, &count))
	{
		if (event.recorded_at >= search->from && event.recorded_at <= search->to &&
			meets(search, hashes, count))
			put_place(search, event.xid, event.ordinal, event.recorded_at, event.recorded_at);
	}
	posting_close(reader);
}

/* Search, with the hashes that are set */
static void
run_search(FunctionCallInfo fcinfo, Search *search)
{
	InitMaterializedSRF(fcinfo, 0);
	search->result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	read_chunks(search);
	return_places(search);
	return_tail(search);
	SPI_finish();
}

/* Return the term of a name */
static PostingTerm
term_of(const char *name)
{
	for (int i = 0; i < lengthof(term_names); i++)
	{
		if (strcmp(term_names[i].name, name) == 0)
			return term_names[i].term;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("events are not indexed by \"%s\"", name)));
}

/* Hash a key of a term, as text */
static uint64
hash_key(PostingTerm term, const char *key)
{
	if (term == POSTING_SUBJECT)
		return posting_hash(term,
							(char *) DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(key)))->data,
							UUID_LEN);
	return posting_hash(term, key, strlen(key));
}

/* Take the elements of an array of text */
static int
array_texts(ArrayType *array, char ***texts)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			kept = 0;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	*texts = palloc(sizeof(char *) * (count + 1));
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			(*texts)[kept++] = TextDatumGetCString(elements[i]);
	}
	return kept;
}

/* Find where events are that have one of the keys as one of the terms */
Datum
hub_audit_find(PG_FUNCTION_ARGS)
{
	char	  **terms;
	char	  **keys;
	int			term_count = array_texts(PG_GETARG_ARRAYTYPE_P(0), &terms);
	int			key_count = array_texts(PG_GETARG_ARRAYTYPE_P(1), &keys);
	Search		search = {.from = PG_GETARG_TIMESTAMPTZ(2), .to = PG_GETARG_TIMESTAMPTZ(3)};

	search.found = palloc0(sizeof(Places) * (term_count * key_count + 1));
	for (int i = 0; i < term_count; i++)
	{
		for (int j = 0; j < key_count; j++)
			search.found[search.count++].hash = hash_key(term_of(terms[i]), keys[j]);
	}
	run_search(fcinfo, &search);
	return (Datum) 0;
}

/* Find where events about a row are, by columns of its key */
Datum
hub_audit_find_row(PG_FUNCTION_ARGS)
{
	text	   *relation = PG_GETARG_TEXT_PP(0);
	uint64		hashes[POSTING_KEY_COLUMNS];
	Search		search = {.from = DT_NOBEGIN, .to = DT_NOEND, .all = true};

	search.count = posting_row_hashes(VARDATA_ANY(relation), VARSIZE_ANY_EXHDR(relation), PG_GETARG_JSONB_P(1),
									  hashes, POSTING_KEY_COLUMNS);
	if (search.count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the key of a row names its columns and their values"),
				 errhint("For example '{\"customer_id\": \"…\"}'.")));
	search.found = palloc0(sizeof(Places) * search.count);
	for (int i = 0; i < search.count; i++)
		search.found[i].hash = hashes[i];
	run_search(fcinfo, &search);
	return (Datum) 0;
}
