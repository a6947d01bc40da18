/*
 * verify.c: does the trail hold what was written and sealed?
 *
 * Events, transaction rows and blocks are read once each, in the order of xid
 * and of block number. Which block an event belongs to follows from its xid and
 * from the snapshots that the blocks keep, so nothing here depends on what the
 * server is doing meanwhile, or on which server this is.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/slot.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

#define FETCH_ROWS 1000

/* Before the digest of a transaction's events; see transaction.c */
#define DIGEST_DOMAIN 0x02

/* Rows that a query gives, one at a time */
typedef struct Stream
{
	Portal		portal;
	SPITupleTable *rows;
	uint64		count;
	uint64		next;
} Stream;

/* A block that may still get events */
typedef struct OpenBlock
{
	struct OpenBlock *next;
	MemoryContext context;
	AuditBlock	block;
	bool		broken;			/* something in it is reported already */
	bool		retired;		/* only the header is left */
	MerkleRange events;
	MerkleRange transactions;
} OpenBlock;

typedef struct Verification
{
	ReturnSetInfo *result;
	MemoryContext row_context;

	Stream		blocks;
	OpenBlock  *first_open;
	OpenBlock  *last_open;
	bool		blocks_done;
	MerkleRange log;
	bool		log_broken;
	MerkleHash	previous;		/* leaf hash of the last header, zeros before */
	uint64		previous_base;
	char	   *origin;
	int64		witness_block;
	uint8		witness_header[MERKLE_HASH_BYTES];
} Verification;

/* What is found of one transaction */
typedef struct Found
{
	int64		events;
	int32		last_ordinal;
	uint8		digest[EVENT_TAG_BYTES];
	bool		broken;
} Found;

static SPIPlanPtr blocks_plan = NULL;
static SPIPlanPtr events_plan = NULL;
static SPIPlanPtr transactions_plan = NULL;
static SPIPlanPtr retired_plan = NULL;
static SPIPlanPtr retirements_plan = NULL;

PG_FUNCTION_INFO_V1(hub_verify_audit);

/* Report a break; -1 for a block, 0 for an xid or an ordinal means none */
static void
report(Verification *v, const char *kind, int64 block, uint64 xid, int32 ordinal,
	   const char *detail)
{
	Datum		values[5];
	bool		nulls[5] = {false, block < 0, xid == 0, ordinal == 0, false};

	values[0] = CStringGetTextDatum(kind);
	values[1] = Int64GetDatum(block);
	values[2] = UInt64GetDatum(xid);
	values[3] = Int32GetDatum(ordinal);
	values[4] = CStringGetTextDatum(detail);
	tuplestore_putvalues(v->result->setResult, v->result->setDesc, values, nulls);
}

/* Begin to read what a plan gives */
static void
stream_open(Stream *stream, SPIPlanPtr plan)
{
	memset(stream, 0, sizeof(*stream));
	stream->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
}

/* Return the current row; NULL when there are no more */
static HeapTuple
stream_row(Stream *stream)
{
	if (stream->portal == NULL)
		return NULL;
	if (stream->next >= stream->count)
	{
		CHECK_FOR_INTERRUPTS();
		if (stream->rows)
			SPI_freetuptable(stream->rows);
		SPI_cursor_fetch(stream->portal, true, FETCH_ROWS);
		stream->rows = SPI_tuptable;
		stream->count = SPI_processed;
		stream->next = 0;
		if (stream->count == 0)
		{
			SPI_freetuptable(stream->rows);
			SPI_cursor_close(stream->portal);
			memset(stream, 0, sizeof(*stream));
			return NULL;
		}
	}
	return stream->rows->vals[stream->next];
}

/* Return the xid of the current row, its first column; the highest there is after the last row */
static uint64
stream_xid(Stream *stream)
{
	HeapTuple	tuple = stream_row(stream);
	bool		isnull;

	if (tuple == NULL)
		return PG_UINT64_MAX;
	return DatumGetUInt64(SPI_getbinval(tuple, stream->rows->tupdesc, 1, &isnull));
}

/* Check the header of a block, and that the log goes on with it */
static void
check_header(Verification *v, OpenBlock *open, bool readable)
{
	AuditBlock *block = &open->block;
	int64		expected = (int64) v->log.size;
	StringInfoData header;
	MerkleHash	leaf;
	MerkleHash	root;

	if (block->number != expected)
	{
		report(v, "log", block->number, 0, 0,
			   block->number == expected + 1
			   ? psprintf("block " INT64_FORMAT " is missing", expected)
			   : psprintf("blocks " INT64_FORMAT " to " INT64_FORMAT " are missing",
						  expected, block->number - 1));
		open->broken = v->log_broken = true;
		v->log.size = block->number;
		v->previous = block->previous;
	}

	initStringInfo(&header);
	appendStringInfoChar(&header, 0);
	block_header(block, &header);
	merkle_leaf(header.data, header.len, &leaf);
	if (!readable || memcmp(&leaf, &block->nodes[0], sizeof(leaf)) != 0)
	{
		report(v, "header", block->number, 0, 0, "the header was changed");
		open->broken = true;
	}
	else if (memcmp(&block->previous, &v->previous, sizeof(v->previous)) != 0 ||
			 block->xid_base < v->previous_base)
	{
		report(v, "header", block->number, 0, 0, "the header does not follow the one before");
		open->broken = true;
	}

	if (block->number == v->witness_block &&
		memcmp(&leaf, v->witness_header, sizeof(leaf)) != 0)
	{
		report(v, "log", block->number, 0, 0, "this is not the block that was sealed last");
		open->broken = true;
	}

	/* with a gap before it the log cannot be computed any more */
	if (!v->log_broken)
	{
		merkle_range_append(&v->log, &leaf, NULL, NULL);
		merkle_range_root(&v->log, &root);
		if (block->checkpoint == NULL || v->origin == NULL ||
			!checkpoint_verify(block->checkpoint, v->origin, v->log.size, &root))
		{
			report(v, "log", block->number, 0, 0,
				   "the signed checkpoint is not of the log up to this block");
			v->log_broken = true;
		}
	}
	else
		v->log.size++;
	v->previous = block->node_count > 0 ? block->nodes[0] : leaf;
	v->previous_base = block->xid_base;
}

/* Read the next block; false when there are no more */
static bool
load_block(Verification *v)
{
	HeapTuple	tuple;
	MemoryContext context;
	MemoryContext old_context;
	OpenBlock  *open;
	bool		readable;
	bool		isnull;

	if (v->blocks_done)
		return false;
	tuple = stream_row(&v->blocks);
	if (tuple == NULL)
	{
		v->blocks_done = true;
		return false;
	}
	context = AllocSetContextCreate(MemoryContextGetParent(v->row_context), "customer_hub block",
									ALLOCSET_SMALL_SIZES);
	old_context = MemoryContextSwitchTo(context);
	open = palloc0(sizeof(OpenBlock));
	open->context = context;
	merkle_range_init(&open->events);
	merkle_range_init(&open->transactions);
	readable = block_read(tuple, v->blocks.rows->tupdesc, &open->block);
	open->retired = DatumGetBool(SPI_getbinval(tuple, v->blocks.rows->tupdesc,
											   v->blocks.rows->tupdesc->natts, &isnull));
	v->blocks.next++;
	check_header(v, open, readable);
	MemoryContextSwitchTo(old_context);

	if (v->last_open)
		v->last_open->next = open;
	else
		v->first_open = open;
	v->last_open = open;
	return true;
}

/* Compare what was found of a block with what was sealed */
static void
finish_block(Verification *v, OpenBlock *open)
{
	AuditBlock *block = &open->block;
	MerkleHash	root;

	if (open->broken)
		return;
	if (open->retired)
	{
		if (open->events.size > 0 || open->transactions.size > 0)
			report(v, "block", block->number, 0, 0, "is retired, and holds events all the same");
	}
	else
	{
		merkle_range_root(&open->events, &root);
		if ((int64) open->events.size != block->event_count)
			report(v, "block", block->number, 0, 0,
				   psprintf("holds %lld events, %lld were sealed",
							(long long) open->events.size, (long long) block->event_count));
		else if (memcmp(&root, &block->event_root, sizeof(root)) != 0)
			report(v, "block", block->number, 0, 0, "holds other events than were sealed");
		merkle_range_root(&open->transactions, &root);
		if ((int64) open->transactions.size != block->transaction_count)
			report(v, "block", block->number, 0, 0,
				   psprintf("holds %lld transactions, %lld were sealed",
							(long long) open->transactions.size,
							(long long) block->transaction_count));
		else if (memcmp(&root, &block->transaction_root, sizeof(root)) != 0)
			report(v, "block", block->number, 0, 0, "holds other transactions than were sealed");
	}
}

/* Finish the blocks that cannot get anything from this xid on */
static void
finish_blocks(Verification *v, uint64 xid)
{
	OpenBlock **link = &v->first_open;

	v->last_open = NULL;
	while (*link)
	{
		OpenBlock  *open = *link;

		if (open->block.snapshot.xmax + open->block.xid_base <= xid)
		{
			finish_block(v, open);
			*link = open->next;
			MemoryContextDelete(open->context);
		}
		else
		{
			v->last_open = open;
			link = &open->next;
		}
	}
}

/* Find the block of a transaction; NULL when it is not sealed yet */
static OpenBlock *
block_of(Verification *v, uint64 xid)
{
	OpenBlock  *open;

	for (open = v->first_open; open; open = open->next)
	{
		if (block_sees(&open->block, xid))
			return open;
	}
	while (load_block(v))
	{
		if (block_sees(&v->last_open->block, xid))
			return v->last_open;
	}
	return NULL;
}

/* Add an event to its block and to the digest of its transaction */
static void
add_event(Verification *v, OpenBlock *open, uint64 xid, int32 ordinal, const uint8 *tag,
		  const MerkleHash *leaf, Found *found)
{
	int64		number = open ? open->block.number : -1;
	uint8		link[1 + 2 * EVENT_TAG_BYTES];

	if (ordinal == found->last_ordinal)
	{
		report(v, "event", number, xid, ordinal, "is there twice");
		found->broken = true;
	}
	for (int32 missing = found->last_ordinal + 1; missing < ordinal; missing++)
	{
		CHECK_FOR_INTERRUPTS();
		report(v, "event", number, xid, missing, "is missing");
		found->broken = true;
	}
	found->last_ordinal = ordinal;
	found->events++;

	link[0] = DIGEST_DOMAIN;
	memcpy(link + 1, found->digest, EVENT_TAG_BYTES);
	memcpy(link + 1 + EVENT_TAG_BYTES, tag, EVENT_TAG_BYTES);
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, link, sizeof(link), found->digest);

	if (open)
		merkle_range_append(&open->events, leaf, NULL, NULL);
}

/* Take in what is left of retired events of a transaction that come before an ordinal */
static void
take_retired(Verification *v, OpenBlock *open, Stream *retired, uint64 xid, int32 ordinal,
			 Found *found)
{
	while (stream_xid(retired) == xid)
	{
		HeapTuple	tuple = stream_row(retired);
		TupleDesc	tupdesc = retired->rows->tupdesc;
		bool		isnull;
		int32		this_ordinal = DatumGetInt32(SPI_getbinval(tuple, tupdesc, 2, &isnull));
		bytea	   *leaf = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 3, &isnull));
		bytea	   *tag = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 4, &isnull));
		MerkleHash	hash = {{0}};
		uint8		tag_bytes[EVENT_TAG_BYTES] = {0};

		if (this_ordinal >= ordinal)
			break;
		memcpy(hash.bytes, VARDATA_ANY(leaf), Min(VARSIZE_ANY_EXHDR(leaf), MERKLE_HASH_BYTES));
		memcpy(tag_bytes, VARDATA_ANY(tag), Min(VARSIZE_ANY_EXHDR(tag), EVENT_TAG_BYTES));
		if (open == NULL || !open->retired)
			add_event(v, open, xid, this_ordinal, tag_bytes, &hash, found);
		retired->next++;
	}
}

/* Check one event, and add it */
static void
check_event(Verification *v, OpenBlock *open, uint64 xid, HeapTuple tuple, TupleDesc tupdesc,
			Stream *retired, Found *found)
{
	int64		number = open ? open->block.number : -1;
	AuditEvent	event;
	StringInfoData leaf;
	MerkleHash	hash;
	uint8		tag[EVENT_TAG_BYTES];

	initStringInfo(&leaf);
	appendStringInfoChar(&leaf, 0);
	event_read(tuple, tupdesc, &event);
	event_encode(&event, &leaf);

	event_tag(leaf.data + 1, leaf.len - 1, tag);
	if (!keyring_equal(tag, event.tag, EVENT_TAG_BYTES))
	{
		report(v, "event", number, xid, event.ordinal, "was changed or inserted: its tag is not of these contents");
		found->broken = true;
	}
	merkle_leaf(leaf.data, leaf.len, &hash);
	take_retired(v, open, retired, xid, event.ordinal, found);
	add_event(v, open, xid, event.ordinal, event.tag, &hash, found);
}

/* Check a transaction row against the events that were found of it */
static void
check_transaction(Verification *v, OpenBlock *open, uint64 xid, HeapTuple tuple,
				  TupleDesc tupdesc, Found *found)
{
	int64		number = open ? open->block.number : -1;
	TransactionRow row;
	StringInfoData leaf;
	MerkleHash	hash;

	memset(&row, 0, sizeof(row));
	initStringInfo(&leaf);
	appendStringInfoChar(&leaf, 0);
	block_encode_transaction(tuple, tupdesc, &leaf, &row);
	if (open)
	{
		merkle_leaf(leaf.data, leaf.len, &hash);
		merkle_range_append(&open->transactions, &hash, NULL, NULL);
	}

	if (found->events == 0)
	{
		report(v, "transaction", number, xid, 0,
			   psprintf("its %d events are missing", row.event_count));
		found->broken = true;
		return;
	}
	for (int32 missing = found->last_ordinal + 1; missing <= row.event_count; missing++)
	{
		CHECK_FOR_INTERRUPTS();
		report(v, "event", number, xid, missing, "is missing");
		found->broken = true;
	}
	if (!found->broken &&
		(found->events != row.event_count || row.digest == NULL ||
		 VARSIZE_ANY_EXHDR(row.digest) != EVENT_TAG_BYTES ||
		 !keyring_equal(VARDATA_ANY(row.digest), found->digest, EVENT_TAG_BYTES)))
	{
		report(v, "transaction", number, xid, 0,
			   "the number or the digest of its events is not what was committed");
		found->broken = true;
	}
}

/* Return the xid of what the caller itself has recorded, whose row is written at its commit */
static uint64
own_xid(void)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();

	if (!FullTransactionIdIsValid(xid) || !event_origin_is_current(NULL))
		return 0;
	return event_xid_base() + U64FromFullTransactionId(xid);
}

/* Go through all transactions in the order of xid */
static void
check_transactions(Verification *v)
{
	Stream		events;
	Stream		transactions;
	Stream		retired;
	uint64		own = own_xid();

	stream_open(&events, events_plan);
	stream_open(&transactions, transactions_plan);
	stream_open(&retired, retired_plan);
	for (;;)
	{
		uint64		xid = Min(stream_xid(&retired),
							  Min(stream_xid(&events), stream_xid(&transactions)));
		OpenBlock  *open;
		Found		found;
		HeapTuple	tuple;

		if (xid == PG_UINT64_MAX)
			break;
		finish_blocks(v, xid);
		open = xid == own ? NULL : block_of(v, xid);
		memset(&found, 0, sizeof(found));
		while (stream_xid(&events) == xid)
		{
			if (xid != own)
				check_event(v, open, xid, stream_row(&events), events.rows->tupdesc,
							&retired, &found);
			events.next++;
			MemoryContextReset(v->row_context);
		}
		take_retired(v, open, &retired, xid, PG_INT32_MAX, &found);
		if (stream_xid(&transactions) == xid)
		{
			while (stream_xid(&transactions) == xid)
			{
				tuple = stream_row(&transactions);
				if (xid != own)
					check_transaction(v, open, xid, tuple, transactions.rows->tupdesc, &found);
				transactions.next++;
				MemoryContextReset(v->row_context);
			}
		}
		else if (xid != own && !(open && open->retired && found.events == 0))
		{
			report(v, "transaction", open ? open->block.number : -1, xid, 0,
				   "its row is missing");
			found.broken = true;
		}
		if (open)
			open->broken |= found.broken;
	}

	while (load_block(v))
		CHECK_FOR_INTERRUPTS();
	finish_blocks(v, PG_UINT64_MAX);
}

/* Check that the trail bears out what was retired */
static void
check_retirements(Verification *v)
{
	Stream		broken;

	stream_open(&broken, retirements_plan);
	while (stream_row(&broken) != NULL)
	{
		report(v, "retirement", -1, stream_xid(&broken), 0,
			   SPI_getvalue(stream_row(&broken), broken.rows->tupdesc, 2));
		broken.next++;
	}
}

/* Read what the worker remembers of the last block */
static void
read_witness(Verification *v)
{
	AuditSlot  *slot = slot_of_database(MyDatabaseId);

	v->witness_block = -1;
	if (slot == NULL)
		return;
	LWLockAcquire(&slot->lock, LW_SHARED);
	if (slot->database == MyDatabaseId &&
		slot->block_relation == catalog_relation_if_exists("audit_block"))
	{
		v->witness_block = slot->last_block;
		memcpy(v->witness_header, slot->last_header, MERKLE_HASH_BYTES);
	}
	LWLockRelease(&slot->lock);
}

/* Prepare the queries */
static void
prepare(void)
{
	char		query[1024];

	snprintf(query, sizeof(query), "SELECT %s, EXISTS (SELECT FROM hub.audit_retired_block r "
			 "WHERE r.block_no = b.block_no) FROM hub.audit_block b ORDER BY b.block_no",
			 block_columns);
	engine_prepare(&retired_plan,
				   "SELECT r.xid, r.ordinal, r.leaf, r.tag FROM hub.audit_retired_event r "
				   "ORDER BY r.xid, r.ordinal", 0, NULL);
	engine_prepare(&retirements_plan,
				   "SELECT r.xid, r.detail FROM hub.broken_audit_retirements() r", 0, NULL);
	engine_prepare(&blocks_plan, query, 0, NULL);
	engine_prepare(&events_plan,
				   "SELECT e.* FROM hub.audit_event e ORDER BY e.xid, e.ordinal", 0, NULL);
	snprintf(query, sizeof(query), "SELECT %s FROM hub.audit_transaction t ORDER BY t.xid",
			 transaction_columns);
	engine_prepare(&transactions_plan, query, 0, NULL);
}

/* Return one row per break of the audit trail */
Datum
hub_verify_audit(PG_FUNCTION_ARGS)
{
	Verification v;
	MemoryContext old_context;

	InitMaterializedSRF(fcinfo, 0);
	keyring_require();
	event_flush();
	memset(&v, 0, sizeof(v));
	v.result = (ReturnSetInfo *) fcinfo->resultinfo;
	read_witness(&v);			/* before the snapshot, which is to see that block */

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	prepare();
	v.row_context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub verification row",
										  ALLOCSET_DEFAULT_SIZES);
	v.origin = checkpoint_origin();
	merkle_range_init(&v.log);
	stream_open(&v.blocks, blocks_plan);
	old_context = MemoryContextSwitchTo(v.row_context);
	check_transactions(&v);
	check_retirements(&v);
	if (v.witness_block >= (int64) v.log.size)
		report(&v, "log", v.witness_block, 0, 0,
			   "this block was sealed, and is missing at the end of the log");
	MemoryContextSwitchTo(old_context);
	SPI_finish();
	PopActiveSnapshot();
	return (Datum) 0;
}
