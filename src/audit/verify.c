/*
 * verify.c: does the trail hold what was written and sealed?
 *
 * The log of block headers is read in order (verify_log.c). What blocks hold
 * (verify_block.c), and whether the indexes that blocks are read by name every
 * row (verify_pages.c), is checked part by part, by several processes
 * (verify_share.c). Nothing here depends on what the server is doing meanwhile,
 * or on which server this is.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "audit/anchor.h"
#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/verify.h"
#include "audit/verify_log.h"
#include "audit/witness.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "keyring/keyring.h"

/* A sink that makes breaks rows of a function's result */
typedef struct RowSink
{
	VerifySink	sink;
	ReturnSetInfo *result;
} RowSink;

static SPIPlanPtr retirements_plan = NULL;
static SPIPlanPtr keys_plan = NULL;

PG_FUNCTION_INFO_V1(hub_verify_audit);
PG_FUNCTION_INFO_V1(hub_verify_audit_anchor);

/* Report a break; see verify.h */
void
verify_report(VerifySink *sink, const char *kind, int64 block, uint64 xid, int32 ordinal,
			  const char *detail)
{
	VerifyBreak found = {kind, block, xid, ordinal, detail};

	sink->take(sink, &found);
}

/* Make a break a row */
static void
put_row(VerifySink *sink, const VerifyBreak *found)
{
	ReturnSetInfo *result = ((RowSink *) sink)->result;
	Datum		values[5];
	bool		nulls[5] = {false, found->block < 0, found->xid == 0, found->ordinal == 0, false};

	values[0] = CStringGetTextDatum(found->kind);
	values[1] = Int64GetDatum(found->block);
	values[2] = UInt64GetDatum(found->xid);
	values[3] = Int32GetDatum(found->ordinal);
	values[4] = CStringGetTextDatum(found->detail);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Add a table to what is to be checked */
static void
add_table(List **tables, Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);
	VerifyRange *range = palloc(sizeof(VerifyRange));

	*range = (VerifyRange) {relid, 0, RelationGetNumberOfBlocks(relation)};
	*tables = lappend(*tables, range);
	table_close(relation, AccessShareLock);
}

/* List the tables that events and transactions are in; see verify_log.h */
List *
verify_tables(void)
{
	List	   *tables = NIL;
	Relation	root = table_open(catalog_relation("audit_event"), AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(root, false);

	add_table(&tables, catalog_relation("audit_transaction"));
	for (int i = 0; i < partitions->nparts; i++)
		add_table(&tables, partitions->oids[i]);
	table_close(root, AccessShareLock);
	return tables;
}

/* Check what the blocks hold, and all rows of the tables, with parallel workers */
static void
check_contents(LogCheck *check)
{
	List	   *tables = verify_tables();
	VerifyRange *ranges = palloc_extended(sizeof(VerifyRange) *
										  ((Size) check->range_count + list_length(tables)),
										  MCXT_ALLOC_HUGE);
	int			count = check->range_count;
	ListCell   *cell;

	memcpy(ranges, check->ranges, sizeof(VerifyRange) * count);
	foreach(cell, tables)
		ranges[count++] = *(VerifyRange *) lfirst(cell);
	verify_share(ranges, count, max_parallel_workers_per_gather, check->sink);
}

/* Report what a query finds that the trail does not bear out: xid and what is wrong */
static void
check_borne_out(VerifySink *sink, const char *kind, SPIPlanPtr *plan, const char *query)
{
	SPI_execute_plan(engine_prepare(plan, query, 0, NULL), NULL, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;

		verify_report(sink, kind, -1,
					  DatumGetUInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull)), 0,
					  SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2));
	}
}

/* WitnessSink: report a transaction that memory knows of and the tables do not */
static void
report_missing(uint64 xid, void *arg)
{
	verify_report(arg, "transaction", -1, event_xid_base() + xid, 0,
				  "was committed and not sealed yet, and its row is missing or another one");
}

/* Hold the log against a checkpoint that was kept elsewhere */
static void
check_anchor(VerifySink *sink, const char *note, const char *origin, uint64 size)
{
	const char *detail = anchor_check(note, origin ? origin : "", size);

	if (detail != NULL)
		verify_report(sink, "anchor", -1, 0, 0, detail);
}

/* Begin under a new snapshot; see verify_log.h */
void
verify_begin(LogCheck *check, char **anchored)
{
	/* until the end: a partition that is detached is gone for older snapshots, too */
	LockRelationOid(catalog_relation("audit_event"), AccessShareLock);
	/* before the snapshot, which is to see the block that they tell of */
	verify_log_witness(check);
	witness_read(catalog_relation("audit_transaction"), &check->notes);
	PushActiveSnapshot(GetLatestSnapshot());
	check->origin = checkpoint_origin();
	PopActiveSnapshot();
	*anchored = check->origin ? anchor_last(check->origin) : NULL; /* before the snapshot, likewise */
	PushActiveSnapshot(GetLatestSnapshot());
	check->keys = log_keys_read();
	check->key = log_keys_after(check->keys, NULL);
}

/* Check what comes after the last block, and what is known from elsewhere; see verify_log.h */
void
verify_end(LogCheck *check, const char *anchored)
{
	uint64		size = check->state.log.size;

	verify_tail(check->sink, check->has_last ? &check->last : NULL);
	if (event_origin_is_current(NULL))
		witness_check(&check->notes, event_xid_base(), NULL, 0, false, report_missing, check->sink);
	check_borne_out(check->sink, "retirement", &retirements_plan,
					"SELECT r.xid, r.detail FROM hub.broken_audit_retirements() r");
	check_borne_out(check->sink, "key", &keys_plan,
					"SELECT k.xid, k.detail FROM hub.broken_audit_keys() k");
	if (check->witness_block >= (int64) size)
		verify_report(check->sink, "log", check->witness_block, 0, 0,
					  "this block was sealed, and is missing at the end of the log");
	if (anchored != NULL && !check->state.broken)
		check_anchor(check->sink, anchored, check->origin, size);
}

/* Return one row per break of the audit trail */
Datum
hub_verify_audit(PG_FUNCTION_ARGS)
{
	RowSink		rows = {{put_row}};
	LogCheck	check = {0};
	char	   *anchored;

	InitMaterializedSRF(fcinfo, 0);
	rows.result = (ReturnSetInfo *) fcinfo->resultinfo;
	keyring_require();
	event_flush();
	SPI_connect();
	check.sink = &rows.sink;
	verify_log_init(&check.state);
	verify_begin(&check, &anchored);
	while (verify_log(&check, PG_INT64_MAX))
		;
	check_contents(&check);
	verify_end(&check, anchored);
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}

/* Return one row when the log is not one that this was a checkpoint of */
Datum
hub_verify_audit_anchor(PG_FUNCTION_ARGS)
{
	RowSink		rows = {{put_row}};
	AuditBlock	last;
	char	   *origin;

	InitMaterializedSRF(fcinfo, 0);
	rows.result = (ReturnSetInfo *) fcinfo->resultinfo;
	keyring_require();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	origin = checkpoint_origin();
	check_anchor(&rows.sink, text_to_cstring(PG_GETARG_TEXT_PP(0)), origin,
				 block_last(&last) ? last.number + 1 : 0);
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}
