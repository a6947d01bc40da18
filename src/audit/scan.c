/*
 * scan.c: reading the trail in order, through the indexes that each of its
 * tables has on (xid, ordinal) or xid.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_index.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/event_table.h"
#include "audit/scan.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"

/* One table: hub.audit_transaction or a partition of hub.audit_event */
typedef struct ScanSource
{
	Relation	relation;
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	EventColumns columns;		/* of an event */
	bool		has_row;
	uint64		xid;			/* of the row in the slot */
	int32		ordinal;
} ScanSource;

struct TrailScan
{
	bool		of_events;
	const BlockSnapshot *before;
	const BlockSnapshot *snapshot;
	uint64		xid_base;
	int			listed;			/* how many of before's transactions in progress were looked up */
	bool		ranged;			/* what began later was looked up */
	uint64		after_xid;		/* what comes up to there is left out; 0: nothing */
	int32		after_ordinal;
	uint64		rest_to;		/* end of a range of which after_xid is done; 0: none */
	int			count;
	ScanSource *sources;
	ScanSource *current;
	MemoryContext row_context;
};

/* Does a block of these snapshots hold a transaction? */
static bool
holds(TrailScan *scan, uint64 xid)
{
	uint64		local = xid - scan->xid_base;

	if (xid < scan->xid_base)
		return true;			/* between two origins: nobody else's */
	if (scan->snapshot != NULL && !block_snapshot_sees(scan->snapshot, local))
		return false;
	return scan->before == NULL || !block_snapshot_sees(scan->before, local);
}

/* Open the index of a table that gives its rows in order; see scan.h */
Relation
scan_open_index(Relation relation, AttrNumber xid, AttrNumber ordinal)
{
	List	   *indexes = RelationGetIndexList(relation);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;

		if (index->rd_rel->relam == BTREE_AM_OID && form->indisvalid && form->indislive &&
			form->indkey.values[0] == xid &&
			(ordinal == InvalidAttrNumber ||
			 (form->indnkeyatts >= 2 && form->indkey.values[1] == ordinal)) &&
			RelationGetIndexPredicate(index) == NIL &&
			(index->rd_indoption[0] & INDOPTION_DESC) == 0)
		{
			list_free(indexes);
			return index;
		}
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" of the audit trail has no index that gives its order",
					RelationGetRelationName(relation)),
			 errhint("Create the index again: on (xid, ordinal) of a partition of hub.audit_event, on (xid) of hub.audit_transaction.")));
}

/* How many keys look_up() gives: of a scan that begins in the middle, the ordinal too */
static int
key_count(const TrailScan *scan)
{
	return scan->of_events && scan->after_xid > 0 ? 3 : 2;
}

/* Open one table */
static void
open_source(TrailScan *scan, ScanSource *source, Oid relid)
{
	AttrNumber	xid = SCAN_TRANSACTION_XID;
	AttrNumber	ordinal = InvalidAttrNumber;

	source->relation = table_open(relid, AccessShareLock);
	if (scan->of_events)
	{
		event_columns(RelationGetDescr(source->relation), &source->columns);
		xid = source->columns.attnums[EVENT_XID];
		ordinal = source->columns.attnums[EVENT_ORDINAL];
	}
	source->index = scan_open_index(source->relation, xid, ordinal);
	source->slot = table_slot_create(source->relation, NULL);
	source->scan = compat_index_beginscan(source->relation, source->index, GetActiveSnapshot(),
										  key_count(scan), 0);
}

/* Begin a scan */
static TrailScan *
begin_scan(bool of_events, const BlockSnapshot *before, const BlockSnapshot *snapshot,
		   uint64 xid_base, uint64 after_xid, int32 after_ordinal)
{
	TrailScan  *scan = palloc0(sizeof(TrailScan));

	scan->of_events = of_events;
	scan->before = before;
	scan->snapshot = snapshot;
	scan->xid_base = xid_base;
	scan->after_xid = after_xid;
	scan->after_ordinal = after_ordinal;
	scan->row_context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub trail row",
											  ALLOCSET_DEFAULT_SIZES);
	if (of_events)
	{
		Relation	root = table_open(catalog_relation("audit_event"), AccessShareLock);
		PartitionDesc partitions = RelationGetPartitionDesc(root, false);

		scan->count = partitions->nparts;
		scan->sources = palloc0(sizeof(ScanSource) * Max(scan->count, 1));
		for (int i = 0; i < scan->count; i++)
			open_source(scan, &scan->sources[i], partitions->oids[i]);
		table_close(root, AccessShareLock);
	}
	else
	{
		scan->count = 1;
		scan->sources = palloc0(sizeof(ScanSource));
		open_source(scan, &scan->sources[0], catalog_relation("audit_transaction"));
	}
	return scan;
}

/* Read the events of a block */
TrailScan *
scan_events(const BlockSnapshot *before, const BlockSnapshot *snapshot, uint64 xid_base)
{
	return begin_scan(true, before, snapshot, xid_base, 0, 0);
}

/* Read the events of a block that come after one of them */
TrailScan *
scan_events_after(const BlockSnapshot *before, const BlockSnapshot *snapshot, uint64 xid_base,
				  uint64 xid, int32 ordinal)
{
	return begin_scan(true, before, snapshot, xid_base, xid, ordinal);
}

/* Read the transaction rows of a block */
TrailScan *
scan_transactions(const BlockSnapshot *before, const BlockSnapshot *snapshot, uint64 xid_base)
{
	return begin_scan(false, before, snapshot, xid_base, 0, 0);
}

/* Read the transaction rows of a block from one on */
TrailScan *
scan_transactions_from(const BlockSnapshot *before, const BlockSnapshot *snapshot, uint64 xid_base,
					   uint64 xid)
{
	return begin_scan(false, before, snapshot, xid_base, xid, 0);
}

/* Go on in one table */
static void
advance(TrailScan *scan, ScanSource *source)
{
	bool		isnull;
	AttrNumber	xid = scan->of_events ? source->columns.attnums[EVENT_XID] : SCAN_TRANSACTION_XID;

	source->has_row = index_getnext_slot(source->scan, ForwardScanDirection, source->slot);
	if (!source->has_row)
		return;
	source->xid = DatumGetUInt64(slot_getattr(source->slot, xid, &isnull));
	if (scan->of_events)
		source->ordinal = DatumGetInt32(slot_getattr(source->slot,
													 source->columns.attnums[EVENT_ORDINAL],
													 &isnull));
}

/*
 * Look up transactions from one up to, but not including, another. The one that
 * the scan begins in the middle of is a range of its own.
 */
static void
look_up(TrailScan *scan, uint64 from, uint64 to)
{
	ScanKeyData keys[3];
	int32		after_ordinal = PG_INT32_MIN;

	from = Max(from, scan->after_xid);
	if (scan->of_events && scan->after_xid > 0 && from == scan->after_xid && from < to)
	{
		after_ordinal = scan->after_ordinal;
		scan->rest_to = to;
		to = from + 1;
	}
	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE, UInt64GetDatum(from));
	ScanKeyInit(&keys[1], 1, BTLessStrategyNumber, F_XID8LT, UInt64GetDatum(Max(from, to)));
	ScanKeyInit(&keys[2], 2, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(after_ordinal));
	for (int i = 0; i < scan->count; i++)
	{
		index_rescan(scan->sources[i].scan, keys, key_count(scan), NULL, 0);
		advance(scan, &scan->sources[i]);
	}
}

/*
 * Look up the next range. What the snapshot before does not see was in progress
 * then, or began later: a list and a range, however long a transaction holds
 * back xmin.
 */
static bool
next_range(TrailScan *scan)
{
	uint64		base = scan->xid_base;
	uint64		from;

	if (scan->rest_to > 0)
	{
		uint64		to = scan->rest_to;

		scan->rest_to = 0;
		look_up(scan, scan->after_xid + 1, to);
		return true;
	}
	while (scan->before != NULL && scan->listed < scan->before->count)
	{
		uint64		xid = scan->before->xip[scan->listed++];

		if (scan->snapshot == NULL || block_snapshot_sees(scan->snapshot, xid))
		{
			look_up(scan, base + xid, base + xid + 1);
			return true;
		}
	}
	if (scan->ranged)
		return false;
	scan->ranged = true;
	if (scan->before != NULL)
		from = base + scan->before->xmax;
	else
		from = base > 0 ? base - 1 : 0;
	look_up(scan, from, scan->snapshot ? base + scan->snapshot->xmax : PG_UINT64_MAX);
	return true;
}

/* Go on to the next row in order; NULL when there is none */
static ScanSource *
next_row(TrailScan *scan)
{
	MemoryContextReset(scan->row_context);
	CHECK_FOR_INTERRUPTS();
	if (scan->current != NULL)
		advance(scan, scan->current);
	else if (!next_range(scan))
		return NULL;
	for (;;)
	{
		ScanSource *first = NULL;

		for (int i = 0; i < scan->count; i++)
		{
			ScanSource *source = &scan->sources[i];

			if (source->has_row &&
				(first == NULL || source->xid < first->xid ||
				 (source->xid == first->xid && source->ordinal < first->ordinal)))
				first = source;
		}
		scan->current = first;
		if (first == NULL)
		{
			if (!next_range(scan))
				return NULL;
		}
		else if (holds(scan, first->xid))
			return first;
		else
			advance(scan, first);
	}
}

/* Go on to the next event */
bool
scan_next_event(TrailScan *scan, AuditEvent *event)
{
	ScanSource *source = next_row(scan);
	MemoryContext old_context;

	if (source == NULL)
		return false;
	old_context = MemoryContextSwitchTo(scan->row_context);
	slot_getallattrs(source->slot);
	event_from_values(source->slot->tts_values, source->slot->tts_isnull, &source->columns, event);
	MemoryContextSwitchTo(old_context);
	return true;
}

/* Go on to the next transaction row, and append its canonical bytes */
bool
scan_next_transaction(TrailScan *scan, TransactionRow *row, StringInfo bytes)
{
	ScanSource *source = next_row(scan);
	MemoryContext old_context;

	if (source == NULL)
		return false;
	old_context = MemoryContextSwitchTo(scan->row_context);
	slot_getallattrs(source->slot);
	block_encode_transaction(source->slot->tts_values, source->slot->tts_isnull, bytes, row);
	MemoryContextSwitchTo(old_context);
	return true;
}

/* Return the table that the current row is in */
Oid
scan_table(const TrailScan *scan)
{
	return RelationGetRelid(scan->current->relation);
}

/* End a scan */
void
scan_end(TrailScan *scan)
{
	for (int i = 0; i < scan->count; i++)
	{
		ScanSource *source = &scan->sources[i];

		index_endscan(source->scan);
		ExecDropSingleTupleTableSlot(source->slot);
		index_close(source->index, AccessShareLock);
		table_close(source->relation, AccessShareLock);
	}
	MemoryContextDelete(scan->row_context);
	pfree(scan->sources);
	pfree(scan);
}
