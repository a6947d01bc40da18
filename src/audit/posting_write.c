/*
 * posting_write.c: postings of what was sealed. Runs in the audit worker.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/posting.h"
#include "audit/table_writer.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

/* Events that one transaction takes at most: what is revealed meanwhile waits in the ring */
#define RUN_EVENTS (8 * POSTING_CHUNK_EVENTS)

/* A posting before it is stored */
typedef struct Posting
{
	uint64		hash;
	uint64		xid;
	int32		ordinal;
} Posting;

/* The chunk that is being filled */
typedef struct Filling
{
	PostingChunk chunk;
	int64		events;
	uint64		first_xid;
	uint64		last_xid;
	Posting    *postings;
	int			used;
	int			size;
} Filling;

/* Events that are sealed and in no chunk; -1 when that is not known */
static int64 sealed_events = -1;
static Oid	posting_relid = InvalidOid;

/* Something failed: not again until the tables have changed */
static bool given_up = false;

static SPIPlanPtr last_plan = NULL;
static SPIPlanPtr sealed_plan = NULL;
static SPIPlanPtr insert_plan = NULL;

/* Count anew when the tables change, as when hub.rebuild_audit_postings() has emptied them */
static void
forget_count(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == posting_relid)
	{
		sealed_events = -1;
		given_up = false;
	}
}

/* Watch the tables; called once from _PG_init */
void
posting_init(void)
{
	catalog_watch_relations(forget_count);
}

/* Count events as they are sealed */
void
posting_note_sealed(int64 events)
{
	if (sealed_events >= 0)
		sealed_events += events;
}

/* Order postings by bucket, hash and place */
static int
compare_postings(const void *a, const void *b)
{
	const Posting *one = a;
	const Posting *other = b;
	int			bucket_one = posting_bucket(one->hash);
	int			bucket_other = posting_bucket(other->hash);

	if (bucket_one != bucket_other)
		return bucket_one - bucket_other;
	if ((uint32) one->hash != (uint32) other->hash)
		return (uint32) one->hash < (uint32) other->hash ? -1 : 1;
	if (one->xid != other->xid)
		return one->xid < other->xid ? -1 : 1;
	return one->ordinal < other->ordinal ? -1 : one->ordinal > other->ordinal;
}

/* Make the stored bytes of the postings of one bucket, which begin at one and end before another */
static Datum
bucket_bytes(const Filling *filling, int32 bucket, int from, int to)
{
	Size		len = sizeof(PostingHead) + sizeof(PostingEntry) * (to - from);
	bytea	   *bytes = palloc(VARHDRSZ + len + EVENT_TAG_BYTES);
	PostingHead head = {filling->first_xid, to - from};
	char	   *at = VARDATA(bytes);

	SET_VARSIZE(bytes, VARHDRSZ + len + EVENT_TAG_BYTES);
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	for (int i = from; i < to; i++)
	{
		const Posting *posting = &filling->postings[i];
		PostingEntry entry = {(uint32) posting->hash, (uint32) (posting->xid - filling->first_xid),
		posting->ordinal};

		memcpy(at, &entry, sizeof(entry));
		at += sizeof(entry);
	}
	posting_bucket_tag(filling->chunk.number, bucket, VARDATA(bytes), len, (uint8 *) at);
	return PointerGetDatum(bytes);
}

/* Write a row for each bucket, those without postings too: none can be taken away unnoticed */
static void
write_buckets(Filling *filling, Relation relation)
{
	TupleTableSlot *rows[POSTING_BUCKETS];
	int			from = 0;

	qsort(filling->postings, filling->used, sizeof(Posting), compare_postings);
	for (int bucket = 0; bucket < POSTING_BUCKETS; bucket++)
	{
		TupleTableSlot *row = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
		int			to = from;

		while (to < filling->used && posting_bucket(filling->postings[to].hash) == bucket)
			to++;
		row->tts_values[0] = Int32GetDatum(bucket);
		row->tts_values[1] = Int64GetDatum(filling->chunk.number);
		row->tts_values[2] = bucket_bytes(filling, bucket, from, to);
		memset(row->tts_isnull, 0, 3);
		rows[bucket] = ExecStoreVirtualTuple(row);
		from = to;
	}
	table_writer_insert(relation, rows, POSTING_BUCKETS);
	for (int bucket = 0; bucket < POSTING_BUCKETS; bucket++)
		ExecDropSingleTupleTableSlot(rows[bucket]);
}

/* Write the row that says what a chunk covers */
static void
write_chunk_row(PostingChunk *chunk)
{
	Oid			types[12] = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,
	INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, BYTEAOID};
	Datum		values[12];
	const PostingPosition *positions[2] = {&chunk->from, &chunk->to};
	bytea	   *tag = palloc(VARHDRSZ + EVENT_TAG_BYTES);

	values[0] = Int64GetDatum(chunk->number);
	for (int i = 0; i < 2; i++)
	{
		values[1 + 4 * i] = Int64GetDatum(positions[i]->block);
		values[2 + 4 * i] = Int64GetDatum((int64) positions[i]->xid);
		values[3 + 4 * i] = Int64GetDatum(positions[i]->ordinal);
		values[4 + 4 * i] = Int64GetDatum(positions[i]->done);
	}
	values[9] = TimestampTzGetDatum(chunk->first_at);
	values[10] = TimestampTzGetDatum(chunk->last_at);
	posting_chunk_tag(chunk, chunk->tag);
	SET_VARSIZE(tag, VARHDRSZ + EVENT_TAG_BYTES);
	memcpy(VARDATA(tag), chunk->tag, EVENT_TAG_BYTES);
	values[11] = PointerGetDatum(tag);
	SPI_execute_plan(engine_prepare(&insert_plan,
									"INSERT INTO hub.audit_posting_chunk VALUES "
									"($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", 12, types),
					 values, NULL, false, 0);
}

/* Write the chunk, and begin the next where it ends */
static void
write_chunk(Filling *filling, Relation relation, const PostingPosition *to)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub posting chunk",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old_context = MemoryContextSwitchTo(context);

	filling->chunk.to = *to;
	write_buckets(filling, relation);
	write_chunk_row(&filling->chunk);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);

	filling->chunk.number++;
	filling->chunk.from = *to;
	filling->events = 0;
	filling->used = 0;
}

/* Would an event be too far from the others of the chunk to be counted from its first xid? */
static bool
too_far(const Filling *filling, uint64 xid)
{
	return filling->events > 0 &&
		Max(xid, filling->last_xid) - Min(xid, filling->first_xid) > PG_UINT32_MAX;
}

/* Add an event to the chunk */
static void
add_event(Filling *filling, const AuditEvent *event, const uint64 *hashes, int count)
{
	bool		first = filling->events++ == 0;

	if (filling->used + count > filling->size)
	{
		filling->size = filling->size * 2 + count;
		filling->postings = repalloc(filling->postings, sizeof(Posting) * filling->size);
	}
	for (int i = 0; i < count; i++)
	{
		Posting    *posting = &filling->postings[filling->used++];

		posting->hash = hashes[i];
		posting->xid = event->xid;
		posting->ordinal = event->ordinal;
	}
	filling->first_xid = first ? event->xid : Min(filling->first_xid, event->xid);
	filling->last_xid = first ? event->xid : Max(filling->last_xid, event->xid);
	filling->chunk.first_at = first ? event->recorded_at : Min(filling->chunk.first_at, event->recorded_at);
	filling->chunk.last_at = first ? event->recorded_at : Max(filling->chunk.last_at, event->recorded_at);
}

/* Put the rest of a block into chunks; at is where we are, and moves on */
static int64
fill_from_block(Filling *filling, Relation relation, PostingReader *reader, PostingPosition *at)
{
	AuditEvent	event;
	const uint64 *hashes;
	int			count;
	int64		taken = 0;

	while (taken < RUN_EVENTS && posting_next(reader, &event, &hashes, &count))
	{
		if (too_far(filling, event.xid))
			write_chunk(filling, relation, at);
		add_event(filling, &event, hashes, count);
		at->xid = event.xid;
		at->ordinal = event.ordinal;
		at->done++;
		taken++;
		if (filling->events >= POSTING_CHUNK_EVENTS)
			write_chunk(filling, relation, at);
	}
	return taken;
}

/* Find where the last chunk ends */
static void
begin_filling(Filling *filling)
{
	bool		isnull;

	memset(filling, 0, sizeof(*filling));
	filling->size = 4 * POSTING_CHUNK_EVENTS;
	filling->postings = palloc(sizeof(Posting) * filling->size);
	SPI_execute_plan(engine_prepare(&last_plan,
									"SELECT c.chunk, c.to_block, c.to_xid, c.to_ordinal, c.to_done "
									"FROM hub.audit_posting_chunk c ORDER BY c.chunk DESC LIMIT 1", 0, NULL),
					 NULL, NULL, true, 1);
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		filling->chunk.number = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull)) + 1;
		filling->chunk.from.block = DatumGetInt64(SPI_getbinval(row, desc, 2, &isnull));
		filling->chunk.from.xid = DatumGetUInt64(SPI_getbinval(row, desc, 3, &isnull));
		filling->chunk.from.ordinal = DatumGetInt64(SPI_getbinval(row, desc, 4, &isnull));
		filling->chunk.from.done = DatumGetInt64(SPI_getbinval(row, desc, 5, &isnull));
	}
}

/* Count the events that are sealed and in no chunk */
static int64
count_sealed(const PostingPosition *from)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(from->block)};
	bool		isnull;

	SPI_execute_plan(engine_prepare(&sealed_plan,
									"SELECT coalesce(pg_catalog.sum(b.event_count), 0)::int8 "
									"FROM hub.audit_block b WHERE b.block_no OPERATOR(pg_catalog.>=) $1", 1, types),
					 values, NULL, true, 1);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) -
		from->done;
}

/* Write chunks, within SPI, until there is nothing to fill one with */
static void
write_chunks(Relation relation)
{
	Filling		filling;
	PostingPosition at;
	PostingReader *reader;
	int64		sealed;
	int64		taken = 0;

	begin_filling(&filling);
	at = filling.chunk.from;
	sealed = count_sealed(&at);
	while (taken < RUN_EVENTS && sealed - taken + filling.events >= POSTING_CHUNK_EVENTS)
	{
		int64		of_block;

		if (!posting_open_block(&at, &reader))
		{
			/* events that were retired are counted, and not there */
			sealed = taken;
			break;
		}
		of_block = fill_from_block(&filling, relation, reader, &at);
		posting_close(reader);
		taken += of_block;
		if (of_block < RUN_EVENTS)
		{
			at.block++;
			at.xid = 0;
			at.ordinal = at.done = 0;
		}
	}
	sealed_events = sealed - taken + filling.events;
}

/* Is there anything to do? */
bool
posting_due(void)
{
	return !given_up && (sealed_events < 0 || sealed_events >= POSTING_CHUNK_EVENTS);
}

/* Write the chunks that are full, some at a time; true when it should go on at once */
bool
posting_run(void)
{
	Oid			relid = catalog_installed() ? catalog_relation_if_exists("audit_posting") : InvalidOid;
	Relation	relation;

	/* not while somebody empties the tables: what is revealed would wait, too */
	if (!OidIsValid(relid) || !event_origin_is_current(NULL) ||
		!ConditionalLockRelationOid(relid, ShareRowExclusiveLock))
		return false;
	posting_relid = relid;
	relation = try_relation_open(relid, NoLock);
	if (relation == NULL)
		return false;
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	write_chunks(relation);
	SPI_finish();
	PopActiveSnapshot();
	relation_close(relation, NoLock);
	return posting_due();
}

/* Say why there are no more postings; questions go on to be answered without them */
void
posting_give_up(const ErrorData *error)
{
	given_up = true;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("the audit trail is not indexed any further: %s", error->message),
			 errhint("SELECT hub.rebuild_audit_postings() has it indexed anew. Until then questions to the trail take longer.")));
}
