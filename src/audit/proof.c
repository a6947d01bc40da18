/*
 * proof.c: proofs that verify without the database. Nothing in them is taken
 * from where it could be changed unnoticed: a proof of a changed event is made
 * all the same, and fails.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"

#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/scan.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

/* A tree that is collected, and the leaf that is to be proved */
typedef struct Wanted
{
	MerkleLeaves leaves;
	uint64		xid;
	int32		ordinal;		/* 0 for a transaction row */
	bool		found;
	uint64		index;
	SPITupleTable *retired;		/* leaves of events that are not there any more */
	uint64		retired_count;
	uint64		retired_next;
	StringInfoData bytes;		/* its canonical bytes */
	StringInfoData buf;
} Wanted;

PG_FUNCTION_INFO_V1(hub_audit_proof);
PG_FUNCTION_INFO_V1(hub_audit_consistency);
PG_FUNCTION_INFO_V1(hub_audit_xid);

static SPIPlanPtr retired_plan = NULL;

/* Begin to collect */
static void
begin_wanted(Wanted *wanted, uint64 xid, int32 ordinal)
{
	memset(wanted, 0, sizeof(*wanted));
	merkle_leaves_init(&wanted->leaves);
	wanted->xid = xid;
	wanted->ordinal = ordinal;
	initStringInfo(&wanted->bytes);
	initStringInfo(&wanted->buf);
}

/* Add the leaf whose bytes are in the buffer */
static void
collect_leaf(Wanted *wanted, bool is_wanted)
{
	MerkleHash	hash;

	merkle_leaf(wanted->buf.data, wanted->buf.len, &hash);
	if (is_wanted && !wanted->found)
	{
		wanted->found = true;
		wanted->index = wanted->leaves.count;
		appendBinaryStringInfo(&wanted->bytes, wanted->buf.data + 1, wanted->buf.len - 1);
	}
	merkle_leaves_append(&wanted->leaves, &hash);
}

/* Read what is left of the retired events of a block, in order */
static void
read_retired(Wanted *wanted, int64 block)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(block)};

	SPI_execute_plan(engine_prepare(&retired_plan,
									"SELECT r.xid, r.ordinal, r.leaf FROM hub.audit_retired_event r "
									"WHERE r.block_no = $1 ORDER BY r.xid, r.ordinal", 1, types),
					 values, NULL, true, 0);
	wanted->retired = SPI_tuptable;
	wanted->retired_count = SPI_processed;
	wanted->retired_next = 0;
}

/* Add the leaves of retired events that come before an event */
static void
collect_retired(Wanted *wanted, uint64 xid, int32 ordinal)
{
	while (wanted->retired_next < wanted->retired_count)
	{
		HeapTuple	tuple = wanted->retired->vals[wanted->retired_next];
		TupleDesc	tupdesc = wanted->retired->tupdesc;
		bool		isnull;
		uint64		this_xid = DatumGetUInt64(SPI_getbinval(tuple, tupdesc, 1, &isnull));
		int32		this_ordinal = DatumGetInt32(SPI_getbinval(tuple, tupdesc, 2, &isnull));
		bytea	   *leaf;
		MerkleHash	hash;

		if (this_xid > xid || (this_xid == xid && this_ordinal > ordinal))
			break;
		leaf = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 3, &isnull));
		memset(&hash, 0, sizeof(hash));
		memcpy(hash.bytes, VARDATA_ANY(leaf), Min(VARSIZE_ANY_EXHDR(leaf), MERKLE_HASH_BYTES));
		merkle_leaves_append(&wanted->leaves, &hash);
		wanted->retired_next++;
	}
}

/* Collect the events of a block */
static void
collect_events(Wanted *wanted, const BlockSnapshot *before, const AuditBlock *block)
{
	TrailScan  *scan = scan_events(before, &block->snapshot, block->xid_base);
	AuditEvent	event;

	while (scan_next_event(scan, &event))
	{
		resetStringInfo(&wanted->buf);
		appendStringInfoChar(&wanted->buf, 0);
		event_encode(&event, &wanted->buf);
		collect_retired(wanted, event.xid, event.ordinal);
		collect_leaf(wanted, event.xid == wanted->xid && event.ordinal == wanted->ordinal);
	}
	scan_end(scan);
	collect_retired(wanted, PG_UINT64_MAX, 0);
}

/* Collect the transaction rows of a block */
static void
collect_transactions(Wanted *wanted, const BlockSnapshot *before, const AuditBlock *block)
{
	TrailScan  *scan = scan_transactions(before, &block->snapshot, block->xid_base);
	TransactionRow row;

	for (;;)
	{
		resetStringInfo(&wanted->buf);
		appendStringInfoChar(&wanted->buf, 0);
		if (!scan_next_transaction(scan, &row, &wanted->buf))
			break;
		collect_leaf(wanted, row.xid == wanted->xid);
	}
	scan_end(scan);
}

/*
 * Find the block that holds a transaction: the first that sees it. Once a block
 * sees it all later ones do.
 */
static bool
find_block(uint64 xid, int64 last_number, AuditBlock *block)
{
	int64		low = 0;
	int64		high = last_number + 1;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		if (!block_by_number(middle, block))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("block %lld of the audit trail is missing", (long long) middle),
					 errhint("Call hub.verify_audit() for all that is wrong.")));
		if (block_sees(block, xid))
			high = middle;
		else
			low = middle + 1;
	}
	return low <= last_number && block_by_number(low, block);
}

/* Append a list of hashes in base64 */
static void
append_path(StringInfo json, const MerkleHash *path, int count)
{
	appendStringInfoChar(json, '[');
	for (int i = 0; i < count; i++)
		appendStringInfo(json, "%s\"%s\"", i > 0 ? ", " : "",
						 checkpoint_base64(path[i].bytes, MERKLE_HASH_BYTES));
	appendStringInfoChar(json, ']');
}

/* Append a proof that a leaf is in a block */
static void
append_leaf(StringInfo json, const char *name, Wanted *wanted)
{
	MerkleHash	path[MERKLE_LEVELS];
	int			count = merkle_inclusion_path(wanted->index, wanted->leaves.count,
											  merkle_leaves_node, &wanted->leaves, path);

	appendStringInfo(json, "\"%s\": {\"bytes\": \"%s\", \"index\": " UINT64_FORMAT
					 ", \"size\": " UINT64_FORMAT ", \"path\": ",
					 name, checkpoint_base64(wanted->bytes.data, wanted->bytes.len),
					 wanted->index, wanted->leaves.count);
	append_path(json, path, count);
	appendStringInfoString(json, "}, ");
}

/* Append a pair with a string */
static void
append_text(StringInfo json, const char *name, const char *value)
{
	appendStringInfo(json, "\"%s\": ", name);
	escape_json(json, value);
}

/* Make jsonb of what was written, in the caller's context */
static Datum
finish_json(StringInfo json, MemoryContext caller)
{
	MemoryContext old_context = MemoryContextSwitchTo(caller);
	Datum		result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json->data));

	MemoryContextSwitchTo(old_context);
	return result;
}

/* Prove that an event is in the trail */
Datum
hub_audit_proof(PG_FUNCTION_ARGS)
{
	uint64		xid = DatumGetUInt64(PG_GETARG_DATUM(0));
	int32		ordinal = PG_GETARG_INT32(1);
	MemoryContext caller = CurrentMemoryContext;
	AuditBlock	last;
	AuditBlock	block;
	AuditBlock	before;
	const BlockSnapshot *before_snapshot = NULL;
	Wanted		event;
	Wanted		transaction;
	StringInfoData json;
	StringInfoData header;
	MerkleHash	path[MERKLE_LEVELS];
	int			count;
	Datum		result;

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	if (!block_last(&last) || !find_block(xid, last.number, &block))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("transaction " UINT64_FORMAT " is not sealed yet", xid),
				 errhint("Call hub.seal_audit() first.")));
	if (block.number > 0 && block_by_number(block.number - 1, &before) &&
		before.xid_base == block.xid_base)
		before_snapshot = &before.snapshot;

	begin_wanted(&event, xid, ordinal);
	read_retired(&event, block.number);
	collect_events(&event, before_snapshot, &block);
	begin_wanted(&transaction, xid, 0);
	collect_transactions(&transaction, before_snapshot, &block);
	if (!event.found)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the audit trail has no event " UINT64_FORMAT ", %d", xid, ordinal)));

	initStringInfo(&json);
	initStringInfo(&header);
	block_header(&block, &header);
	appendStringInfoChar(&json, '{');
	append_leaf(&json, "event", &event);
	if (transaction.found)
		append_leaf(&json, "transaction", &transaction);
	append_text(&json, "header", header.data);
	count = merkle_inclusion_path(block.number, last.number + 1, block_log_node, NULL, path);
	appendStringInfo(&json, ", \"log\": {\"index\": " INT64_FORMAT ", \"size\": " INT64_FORMAT
					 ", \"path\": ", block.number, last.number + 1);
	append_path(&json, path, count);
	appendStringInfoString(&json, "}, ");
	append_text(&json, "checkpoint", last.checkpoint);
	appendStringInfoChar(&json, '}');
	result = finish_json(&json, caller);
	SPI_finish();
	PopActiveSnapshot();
	return result;
}

/* Prove that the log has only grown */
Datum
hub_audit_consistency(PG_FUNCTION_ARGS)
{
	int64		old_size = PG_GETARG_INT64(0);
	int64		new_size = PG_GETARG_INT64(1);
	MemoryContext caller = CurrentMemoryContext;
	AuditBlock	old_block;
	AuditBlock	new_block;
	StringInfoData json;
	MerkleHash	path[MERKLE_LEVELS * 2];
	int			count;
	Datum		result;

	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	if (old_size < 1 || old_size > new_size || !block_by_number(new_size - 1, &new_block) ||
		!block_by_number(old_size - 1, &old_block))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there are no checkpoints of sizes %lld and %lld",
						(long long) old_size, (long long) new_size),
				 errhint("Sizes are numbers of blocks, the second line of a checkpoint; the old one is not larger than the new one.")));
	count = merkle_consistency_path(old_size, new_size, block_log_node, NULL, path);
	initStringInfo(&json);
	appendStringInfo(&json, "{\"old_size\": " INT64_FORMAT ", \"new_size\": " INT64_FORMAT
					 ", \"path\": ", old_size, new_size);
	append_path(&json, path, count);
	appendStringInfoString(&json, ", ");
	append_text(&json, "old_checkpoint", old_block.checkpoint);
	appendStringInfoString(&json, ", ");
	append_text(&json, "new_checkpoint", new_block.checkpoint);
	appendStringInfoChar(&json, '}');
	result = finish_json(&json, caller);
	SPI_finish();
	PopActiveSnapshot();
	return result;
}

/* Return the xid that events of this transaction have */
Datum
hub_audit_xid(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(UInt64GetDatum(event_xid_base() +
								   U64FromFullTransactionId(GetTopFullTransactionId())));
}
