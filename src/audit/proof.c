/*
 * proof.c: proofs that verify without the database. Nothing in them is taken
 * from where it could be changed unnoticed: a proof of a changed event is made
 * all the same, and fails.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/log_key.h"
#include "audit/scan.h"
#include "foundation/catalog.h"
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
PG_FUNCTION_INFO_V1(hub_audit_partition_lines);

/* Leaves on one line of an export */
#define EXPORT_LINE_LEAVES 500

/* Lines of an export, see docs/compliance.md */
typedef struct Export
{
	ReturnSetInfo *result;
	int64		lines;
	int64		events;			/* of the partition */
	int64		blocks;
	StringInfoData line;		/* leaves that are not a line yet */
	int			on_line;
	List	   *pending;		/* lines of a block that has none of the partition yet */
	bool		found;			/* the block has one */
} Export;

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

/* Give the leaf of the next retired event that comes before an event; false when there is none */
static bool
next_retired(Wanted *wanted, uint64 xid, int32 ordinal, MerkleHash *hash)
{
	HeapTuple	tuple;
	TupleDesc	tupdesc;
	bool		isnull;
	uint64		this_xid;
	bytea	   *leaf;

	if (wanted->retired_next >= wanted->retired_count)
		return false;
	tuple = wanted->retired->vals[wanted->retired_next];
	tupdesc = wanted->retired->tupdesc;
	this_xid = DatumGetUInt64(SPI_getbinval(tuple, tupdesc, 1, &isnull));
	if (this_xid > xid ||
		(this_xid == xid &&
		 DatumGetInt32(SPI_getbinval(tuple, tupdesc, 2, &isnull)) > ordinal))
		return false;
	leaf = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 3, &isnull));
	memset(hash, 0, sizeof(*hash));
	memcpy(hash->bytes, VARDATA_ANY(leaf), Min(VARSIZE_ANY_EXHDR(leaf), MERKLE_HASH_BYTES));
	wanted->retired_next++;
	return true;
}

/* Add the leaves of retired events that come before an event */
static void
collect_retired(Wanted *wanted, uint64 xid, int32 ordinal)
{
	MerkleHash	hash;

	while (next_retired(wanted, xid, ordinal, &hash))
		merkle_leaves_append(&wanted->leaves, &hash);
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

/* Append the checkpoints by which the key of the log has changed, up to a block; nothing if never */
static void
append_key_changes(StringInfo json, int64 last_number)
{
	LogKeys    *keys = log_keys_read();
	bool		first = true;

	for (int i = 0; i < keys->count; i++)
	{
		AuditBlock	block;

		if (!block_of_transaction(keys->changes[i].xid, last_number, &block))
			break;
		appendStringInfoString(json, first ? ", \"key_changes\": [" : ", ");
		escape_json(json, block.checkpoint);
		first = false;
	}
	if (!first)
		appendStringInfoChar(json, ']');
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
	if (!block_last(&last) || !block_of_transaction(xid, last.number, &block))
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
	append_key_changes(&json, last.number);
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
	append_key_changes(&json, new_block.number);
	appendStringInfoChar(&json, '}');
	result = finish_json(&json, caller);
	SPI_finish();
	PopActiveSnapshot();
	return result;
}

/* Write a line, or keep it until it is known whether the block is of interest */
static void
export_line(Export *export, char *line)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (!export->found)
	{
		export->pending = lappend(export->pending, line);
		return;
	}
	values[0] = Int64GetDatum(++export->lines);
	values[1] = CStringGetTextDatum(line);
	tuplestore_putvalues(export->result->setResult, export->result->setDesc, values, nulls);
	pfree(DatumGetPointer(values[1]));
	pfree(line);
}

/* Write what was kept: the block is of interest */
static void
export_pending(Export *export)
{
	List	   *pending = export->pending;
	ListCell   *cell;

	export->pending = NIL;
	export->found = true;
	foreach(cell, pending)
		export_line(export, lfirst(cell));
	list_free(pending);
}

/* End a line of leaves */
static void
export_flush(Export *export)
{
	if (export->on_line > 0)
	{
		appendStringInfoString(&export->line, "]}");
		export_line(export, pstrdup(export->line.data));
	}
	resetStringInfo(&export->line);
	export->on_line = 0;
}

/* Write a leaf: its bytes as a string, or its hash in an object */
static void
export_leaf(Export *export, const char *name, const void *bytes, Size len, bool is_hash)
{
	char	   *text = checkpoint_base64(bytes, len);

	if (export->on_line == 0)
		appendStringInfo(&export->line, "{\"%s\": [", name);
	else
		appendStringInfoString(&export->line, ", ");
	appendStringInfo(&export->line, is_hash ? "{\"hash\": \"%s\"}" : "\"%s\"", text);
	pfree(text);
	if (++export->on_line >= EXPORT_LINE_LEAVES)
		export_flush(export);
}

/* Write one block, unless it has no event of the partition */
static void
export_block(Export *export, Oid partition, const AuditBlock *block,
			 const BlockSnapshot *before, const AuditBlock *last)
{
	Wanted		wanted;
	StringInfoData json;
	StringInfoData header;
	MerkleHash	path[MERKLE_LEVELS];
	MerkleHash	hash;
	AuditEvent	event;
	TransactionRow row;
	TrailScan  *scan;
	int			count;

	export->found = false;
	export->pending = NIL;
	initStringInfo(&json);
	initStringInfo(&header);
	block_header(block, &header);
	appendStringInfo(&json, "{\"block\": " INT64_FORMAT ", ", block->number);
	append_text(&json, "header", header.data);
	count = merkle_inclusion_path(block->number, last->number + 1, block_log_node, NULL, path);
	appendStringInfo(&json, ", \"log\": {\"index\": " INT64_FORMAT ", \"size\": " INT64_FORMAT
					 ", \"path\": ", block->number, last->number + 1);
	append_path(&json, path, count);
	appendStringInfoString(&json, "}}");
	export_line(export, json.data);

	begin_wanted(&wanted, 0, 0);
	read_retired(&wanted, block->number);
	scan = scan_events(before, &block->snapshot, block->xid_base);
	while (scan_next_event(scan, &event))
	{
		while (next_retired(&wanted, event.xid, event.ordinal, &hash))
			export_leaf(export, "events", hash.bytes, MERKLE_HASH_BYTES, true);
		resetStringInfo(&wanted.buf);
		appendStringInfoChar(&wanted.buf, 0);
		event_encode(&event, &wanted.buf);
		if (scan_table(scan) == partition)
		{
			if (!export->found)
				export_pending(export);
			export->events++;
			export_leaf(export, "events", wanted.buf.data + 1, wanted.buf.len - 1, false);
		}
		else
		{
			merkle_leaf(wanted.buf.data, wanted.buf.len, &hash);
			export_leaf(export, "events", hash.bytes, MERKLE_HASH_BYTES, true);
		}
	}
	scan_end(scan);
	while (next_retired(&wanted, PG_UINT64_MAX, 0, &hash))
		export_leaf(export, "events", hash.bytes, MERKLE_HASH_BYTES, true);
	export_flush(export);
	if (!export->found)
		return;

	scan = scan_transactions(before, &block->snapshot, block->xid_base);
	for (;;)
	{
		resetStringInfo(&wanted.buf);
		if (!scan_next_transaction(scan, &row, &wanted.buf))
			break;
		export_leaf(export, "transactions", wanted.buf.data, wanted.buf.len, false);
	}
	scan_end(scan);
	export_flush(export);
	export_line(export, psprintf("{\"end\": " INT64_FORMAT "}", block->number));
	export->blocks++;
}

/* Read which blocks may hold events of a partition */
static uint64
export_candidates(Oid partition)
{
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(partition)),
												  get_rel_name(partition));
	int			result = SPI_execute(psprintf("SELECT b.block_no FROM "
											  "(SELECT e.xid FROM %1$s e ORDER BY e.xid LIMIT 1) f (xid), "
											  "(SELECT e.xid FROM %1$s e ORDER BY e.xid DESC LIMIT 1) l (xid), "
											  "LATERAL hub.audit_blocks_of(f.xid, l.xid) b (block_no) "
											  "ORDER BY b.block_no", name), true, 0);

	if (result != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not read the blocks of the audit trail")));
	return SPI_processed;
}

/* Refuse to go on while the partition has events that no block holds */
static void
require_sealed(Oid partition, const AuditBlock *last)
{
	TrailScan  *scan = scan_events(last ? &last->snapshot : NULL, NULL, last ? last->xid_base : 0);
	AuditEvent	event;

	while (scan_next_event(scan, &event))
	{
		if (scan_table(scan) == partition)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("partition \"%s\" of the audit trail has events that are not sealed yet",
							get_rel_name(partition)),
					 errhint("Call hub.seal_audit() first.")));
	}
	scan_end(scan);
}

/* Return a partition of the trail with what proves it, line by line */
Datum
hub_audit_partition_lines(PG_FUNCTION_ARGS)
{
	Oid			partition = PG_GETARG_OID(0);
	Export		export;
	AuditBlock	last;
	SPITupleTable *candidates;
	uint64		count;
	StringInfoData json;

	InitMaterializedSRF(fcinfo, 0);
	if (!get_rel_relispartition(partition) ||
		get_partition_parent(partition, true) != catalog_relation("audit_event"))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not a partition of the audit trail", partition)));
	memset(&export, 0, sizeof(export));
	export.result = (ReturnSetInfo *) fcinfo->resultinfo;
	export.found = true;
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	initStringInfo(&export.line);
	if (!block_last(&last))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the audit trail is not sealed yet"),
				 errhint("Call hub.seal_audit() first.")));
	require_sealed(partition, &last);

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"format\": \"customer_hub/audit-export/v1\", ");
	append_text(&json, "partition", get_rel_name(partition));
	appendStringInfoString(&json, ", ");
	append_text(&json, "checkpoint", last.checkpoint);
	append_key_changes(&json, last.number);
	appendStringInfoChar(&json, '}');
	export_line(&export, json.data);

	count = export_candidates(partition);
	candidates = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		int64		number = DatumGetInt64(SPI_getbinval(candidates->vals[i], candidates->tupdesc, 1,
														 &isnull));
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub export",
													  ALLOCSET_DEFAULT_SIZES);
		MemoryContext old_context = MemoryContextSwitchTo(context);
		AuditBlock	block;
		AuditBlock	before;
		bool		has_before;

		(void) block_by_number(number, &block);
		has_before = number > 0 && block_by_number(number - 1, &before) &&
			before.xid_base == block.xid_base;
		export_block(&export, partition, &block, has_before ? &before.snapshot : NULL, &last);
		MemoryContextSwitchTo(old_context);
		MemoryContextDelete(context);
	}
	export.found = true;
	export_line(&export, psprintf("{\"blocks\": " INT64_FORMAT ", \"events\": " INT64_FORMAT "}",
								  export.blocks, export.events));
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}

/* Return the xid that events of this transaction have */
Datum
hub_audit_xid(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(UInt64GetDatum(event_xid_base() +
								   U64FromFullTransactionId(GetTopFullTransactionId())));
}
