/*
 * verify.c: does the trail hold what was written and sealed?
 *
 * The log of block headers is read in order, and by this process; what each
 * block holds is checked block by block (verify_block.c), which parallel workers
 * share. Nothing here depends on what the server is doing meanwhile, or on which
 * server this is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "audit/anchor.h"
#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/slot.h"
#include "audit/verify.h"
#include "audit/witness.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

#define FETCH_ROWS 1000

/* Rows that a query gives, one at a time */
typedef struct Stream
{
	Portal		portal;
	SPITupleTable *rows;
	uint64		count;
	uint64		next;
} Stream;

typedef struct Verification
{
	ReturnSetInfo *result;
	AuditBlock	last;			/* the one that was checked last, if log.size > 0 */
	MerkleRange log;
	bool		log_broken;
	MerkleHash	previous;		/* leaf hash of the last header, zeros before */
	uint64		previous_base;
	char	   *origin;
	int64		witness_block;
	uint8		witness_header[MERKLE_HASH_BYTES];
} Verification;

static SPIPlanPtr blocks_plan = NULL;
static SPIPlanPtr retirements_plan = NULL;

PG_FUNCTION_INFO_V1(hub_verify_audit);
PG_FUNCTION_INFO_V1(hub_verify_audit_anchor);

/* Report a break; -1 for a block, 0 for an xid or an ordinal means none */
void
verify_report(ReturnSetInfo *result, const char *kind, int64 block, uint64 xid, int32 ordinal,
			  const char *detail)
{
	Datum		values[5];
	bool		nulls[5] = {false, block < 0, xid == 0, ordinal == 0, false};

	values[0] = CStringGetTextDatum(kind);
	values[1] = Int64GetDatum(block);
	values[2] = UInt64GetDatum(xid);
	values[3] = Int32GetDatum(ordinal);
	values[4] = CStringGetTextDatum(detail);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Report a break of a header or of the log */
static void
report(Verification *v, const char *kind, int64 block, const char *detail)
{
	verify_report(v->result, kind, block, 0, 0, detail);
}

/* Hash a header as the leaf that it is in the log */
void
verify_header_leaf(const AuditBlock *block, MerkleHash *leaf)
{
	StringInfoData header;

	initStringInfo(&header);
	appendStringInfoChar(&header, 0);
	block_header(block, &header);
	merkle_leaf(header.data, header.len, leaf);
	pfree(header.data);
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
check_header(Verification *v, const AuditBlock *block, bool readable)
{
	int64		expected = (int64) v->log.size;
	MerkleHash	leaf;
	MerkleHash	root;

	if (block->number != expected)
	{
		report(v, "log", block->number,
			   block->number == expected + 1
			   ? psprintf("block " INT64_FORMAT " is missing", expected)
			   : psprintf("blocks " INT64_FORMAT " to " INT64_FORMAT " are missing",
						  expected, block->number - 1));
		v->log_broken = true;
		v->log.size = block->number;
		v->previous = block->previous;
	}

	verify_header_leaf(block, &leaf);
	if (!readable || memcmp(&leaf, &block->nodes[0], sizeof(leaf)) != 0)
		report(v, "header", block->number, "the header was changed");
	else if (memcmp(&block->previous, &v->previous, sizeof(v->previous)) != 0 ||
			 block->xid_base < v->previous_base)
		report(v, "header", block->number, "the header does not follow the one before");

	if (block->number == v->witness_block &&
		memcmp(&leaf, v->witness_header, sizeof(leaf)) != 0)
		report(v, "log", block->number, "this is not the block that was sealed last");

	/* with a gap before it the log cannot be computed any more */
	if (!v->log_broken)
	{
		merkle_range_append(&v->log, &leaf, NULL, NULL);
		merkle_range_root(&v->log, &root);
		if (block->checkpoint == NULL || v->origin == NULL ||
			!checkpoint_verify(block->checkpoint, v->origin, v->log.size, &root))
		{
			report(v, "log", block->number, "the signed checkpoint is not of the log up to this block");
			v->log_broken = true;
		}
	}
	else
		v->log.size++;
	v->previous = block->node_count > 0 ? block->nodes[0] : leaf;
	v->previous_base = block->xid_base;
}

/* Check the log, header after header */
static void
check_log(Verification *v)
{
	Stream		blocks;
	MemoryContext contexts[2];
	int			turn = 0;

	/* a block stays until the one after it was read: the last is the start of the tail */
	for (int i = 0; i < 2; i++)
		contexts[i] = AllocSetContextCreate(CurrentMemoryContext, "customer_hub block",
											ALLOCSET_DEFAULT_SIZES);
	stream_open(&blocks, blocks_plan);
	while (stream_row(&blocks) != NULL)
	{
		MemoryContext old_context;
		bool		readable;

		turn = 1 - turn;
		MemoryContextReset(contexts[turn]);
		old_context = MemoryContextSwitchTo(contexts[turn]);
		readable = block_read(stream_row(&blocks), blocks.rows->tupdesc, &v->last);
		check_header(v, &v->last, readable);
		MemoryContextSwitchTo(old_context);
		blocks.next++;
	}
}

/* Check what the blocks hold, with the help of parallel workers */
static void
check_blocks(Verification *v)
{
	SPI_execute("SELECT v.* FROM hub.audit_block b, LATERAL hub.verify_audit_block(b.block_no) v",
				true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(v->result->setResult, SPI_tuptable->vals[i]);
}

/* Check that the trail bears out what was retired */
static void
check_retirements(Verification *v)
{
	Stream		broken;

	stream_open(&broken, retirements_plan);
	while (stream_row(&broken) != NULL)
	{
		verify_report(v->result, "retirement", -1, stream_xid(&broken), 0,
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

/* WitnessSink: report a transaction that memory knows of and the tables do not */
static void
report_missing(uint64 xid, void *arg)
{
	Verification *v = arg;

	verify_report(v->result, "transaction", -1, event_xid_base() + xid, 0,
				  "was committed and not sealed yet, and its row is missing or another one");
}

/* Look for the transactions that were committed since the last block */
static void
check_witness(Verification *v)
{
	if (event_origin_is_current(NULL))
		witness_check(catalog_relation("audit_transaction"), event_xid_base(), false,
					  report_missing, v);
}

/* Hold the log against a checkpoint that was kept elsewhere */
static void
check_anchor(Verification *v, const char *note)
{
	const char *detail = anchor_check(note, v->origin ? v->origin : "", v->log.size);

	if (detail != NULL)
		report(v, "anchor", -1, detail);
}

/* Prepare the queries */
static void
prepare(void)
{
	char		query[1024];

	snprintf(query, sizeof(query), "SELECT %s FROM hub.audit_block b ORDER BY b.block_no",
			 block_columns);
	engine_prepare(&blocks_plan, query, 0, NULL);
	engine_prepare(&retirements_plan,
				   "SELECT r.xid, r.detail FROM hub.broken_audit_retirements() r", 0, NULL);
}

/* Return one row per break of the audit trail */
Datum
hub_verify_audit(PG_FUNCTION_ARGS)
{
	Verification v;
	char	   *anchored;

	InitMaterializedSRF(fcinfo, 0);
	keyring_require();
	event_flush();
	memset(&v, 0, sizeof(v));
	v.result = (ReturnSetInfo *) fcinfo->resultinfo;
	read_witness(&v);			/* before the snapshot, which is to see that block */

	SPI_connect();
	prepare();
	PushActiveSnapshot(GetLatestSnapshot());
	v.origin = checkpoint_origin();
	PopActiveSnapshot();
	anchored = v.origin ? anchor_last(v.origin) : NULL; /* before the snapshot, likewise */
	PushActiveSnapshot(GetLatestSnapshot());
	merkle_range_init(&v.log);
	check_log(&v);
	check_blocks(&v);
	verify_tail(v.result, v.log.size > 0 ? &v.last : NULL);
	check_witness(&v);
	check_retirements(&v);
	if (v.witness_block >= (int64) v.log.size)
		report(&v, "log", v.witness_block,
			   "this block was sealed, and is missing at the end of the log");
	if (anchored != NULL && !v.log_broken)
		check_anchor(&v, anchored);
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}

/* Return one row when the log is not one that this was a checkpoint of */
Datum
hub_verify_audit_anchor(PG_FUNCTION_ARGS)
{
	Verification v;
	AuditBlock	last;

	InitMaterializedSRF(fcinfo, 0);
	keyring_require();
	memset(&v, 0, sizeof(v));
	v.result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	v.origin = checkpoint_origin();
	merkle_range_init(&v.log);
	if (block_last(&last))
		v.log.size = last.number + 1;
	check_anchor(&v, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}
