/*
 * verify_pages.c: does the index know every row?
 *
 * Blocks are read through the index on (xid, ordinal). A row that it does not
 * name would be in no block, and questions that read the table itself would have
 * it in their answers all the same. Pages are read as they lie; their rows, put
 * into order, are held against the index, which is read along.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/event.h"
#include "audit/event_table.h"
#include "audit/scan.h"
#include "audit/verify.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"

/* Entries to pass before the index is searched anew: of rows that are not visible, or elsewhere */
#define PASSED_ENTRIES 32

/* A row of the table, by its place in the order and on disk */
typedef struct Place
{
	uint64		xid;
	int32		ordinal;
	ItemPointerData tid;
} Place;

/* A table, and how far its index was read */
typedef struct Checked
{
	Relation	relation;
	Relation	index;
	AttrNumber	xid;
	AttrNumber	ordinal;		/* InvalidAttrNumber in hub.audit_transaction */
	IndexScanDesc scan;
	bool		within;			/* the scan is of one transaction: go on with the next */
	uint64		within_xid;
	bool		ended;
} Checked;

/* Compare places in the order of the index, for qsort */
static int
compare_places(const void *a, const void *b)
{
	const Place *left = a;
	const Place *right = b;

	if (left->xid != right->xid)
		return left->xid < right->xid ? -1 : 1;
	if (left->ordinal != right->ordinal)
		return left->ordinal < right->ordinal ? -1 : 1;
	return ItemPointerCompare((ItemPointer) &left->tid, (ItemPointer) &right->tid);
}

/* Search the index for a place and what follows it in its transaction */
static void
search_place(Checked *checked, const Place *place)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_XID8EQ, UInt64GetDatum(place->xid));
	if (checked->ordinal != InvalidAttrNumber)
		ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT4GE,
					Int32GetDatum(place->ordinal));
	else
		ScanKeyInit(&keys[1], 1, BTEqualStrategyNumber, F_XID8EQ, UInt64GetDatum(place->xid));
	index_rescan(checked->scan, keys, 2, NULL, 0);
	checked->within = true;
	checked->within_xid = place->xid;
	checked->ended = false;
}

/* Read the next entry of the index; NULL at its end */
static ItemPointer
next_entry(Checked *checked)
{
	ItemPointer tid;

	if (checked->ended)
		return NULL;
	tid = index_getnext_tid(checked->scan, ForwardScanDirection);
	if (tid == NULL && checked->within)
	{
		ScanKeyData keys[2];

		ScanKeyInit(&keys[0], 1, BTGreaterStrategyNumber, F_XID8GT,
					UInt64GetDatum(checked->within_xid));
		ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_XID8LE, UInt64GetDatum(PG_UINT64_MAX));
		index_rescan(checked->scan, keys, 2, NULL, 0);
		checked->within = false;
		tid = index_getnext_tid(checked->scan, ForwardScanDirection);
	}
	checked->ended = tid == NULL;
	return tid;
}

/* Does the index lead to a row, be it by the first of a chain of its versions? */
static bool
index_leads(Checked *checked, const Place *place)
{
	IndexScanDesc scan = compat_index_beginscan(checked->relation, checked->index,
												GetActiveSnapshot(), 1, 0);
	TupleTableSlot *slot = table_slot_create(checked->relation, NULL);
	ScanKeyData key;
	bool		found = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_XID8EQ, UInt64GetDatum(place->xid));
	index_rescan(scan, &key, 1, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		found = ItemPointerEquals(&slot->tts_tid, (ItemPointer) &place->tid);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

/* Check one row against the index, which is read along with the rows */
static bool
is_named(Checked *checked, const Place *place)
{
	for (int turn = 0; turn < 2; turn++)
	{
		for (int passed = 0; passed < PASSED_ENTRIES; passed++)
		{
			ItemPointer tid = next_entry(checked);

			if (tid == NULL)
				break;
			if (ItemPointerEquals(tid, (ItemPointer) &place->tid))
				return true;
		}
		if (turn == 0)
			search_place(checked, place);
	}
	return index_leads(checked, place);
}

/* Read the places of all rows of some pages */
static Place *
read_places(Checked *checked, BlockNumber first, BlockNumber pages, int *count)
{
	TupleTableSlot *slot = table_slot_create(checked->relation, NULL);
	TableScanDesc scan = table_beginscan_strat(checked->relation, GetActiveSnapshot(), 0, NULL,
											   true, false);
	int			room = 1024;
	Place	   *places = palloc(sizeof(Place) * room);

	*count = 0;
	heap_setscanlimits(scan, first, pages);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Place	   *place;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (*count == room)
			places = repalloc_huge(places, sizeof(Place) * (room *= 2));
		place = &places[(*count)++];
		place->xid = DatumGetUInt64(slot_getattr(slot, checked->xid, &isnull));
		place->ordinal = 0;
		if (checked->ordinal != InvalidAttrNumber)
			place->ordinal = DatumGetInt32(slot_getattr(slot, checked->ordinal, &isnull));
		place->tid = slot->tts_tid;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return places;
}

/* Check that the index names every row of some pages; see verify.h */
void
verify_pages(Oid relid, BlockNumber first, BlockNumber pages, VerifySink *sink)
{
	Checked		checked = {0};
	bool		of_events = relid != catalog_relation("audit_transaction");
	BlockNumber end;
	Place	   *places;
	int			count;

	/* a partition may have been taken off meanwhile */
	checked.relation = try_table_open(relid, AccessShareLock);
	if (checked.relation == NULL)
		return;
	checked.xid = SCAN_TRANSACTION_XID;
	if (of_events)
	{
		EventColumns columns;

		event_columns(RelationGetDescr(checked.relation), &columns);
		checked.xid = columns.attnums[EVENT_XID];
		checked.ordinal = columns.attnums[EVENT_ORDINAL];
	}
	end = Min(first + pages, RelationGetNumberOfBlocks(checked.relation));
	if (first < end)
	{
		places = read_places(&checked, first, end - first, &count);
		qsort(places, count, sizeof(Place), compare_places);
		checked.index = scan_open_index(checked.relation, checked.xid, checked.ordinal);
		checked.scan = compat_index_beginscan(checked.relation, checked.index, GetActiveSnapshot(),
											  2, 0);
		checked.ended = true;
		for (int i = 0; i < count; i++)
		{
			const char *kind = of_events ? "event" : "transaction";

			CHECK_FOR_INTERRUPTS();
			if (!is_named(&checked, &places[i]))
				verify_report(sink, kind, -1, places[i].xid, places[i].ordinal,
							  "is in the table and not in its index: it was put there past the index, or the index is damaged");
			else if (places[i].xid == PG_UINT64_MAX)
				verify_report(sink, kind, -1, places[i].xid, places[i].ordinal,
							  "was inserted where no block reaches");
		}
		index_endscan(checked.scan);
		index_close(checked.index, AccessShareLock);
		pfree(places);
	}
	table_close(checked.relation, AccessShareLock);
}
