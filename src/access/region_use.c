/*
 * region_use.c: which subdivisions occur in governed rows.
 *
 * hub.region_in_use is only ever added to, by the transaction whose rows are the
 * first to need an entry it can see, so whoever sees a row sees its entry too:
 * same transaction, same snapshot. Two transactions that come first at once both
 * add one. Duplicates do no harm, where a unique index would make an insert wait
 * for, and perhaps deadlock with, somebody else's.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "access/region_use.h"
#include "foundation/catalog.h"

PG_FUNCTION_INFO_V1(hub_note_region);

/* A sorted set of regions in TopMemoryContext */
typedef struct RegionSet
{
	int			count;
	int			capacity;
	Region	   *regions;
} RegionSet;

/*
 * What tells two snapshots of a backend apart. While xmax stays, no transaction
 * joins those in progress, so equal numbers of them are the same ones.
 */
typedef struct SnapshotMark
{
	TransactionId xmin;
	TransactionId xmax;
	uint32		xcnt;
	int32		subxcnt;
	uint32		suboverflowed;
	CommandId	curcid;
} SnapshotMark;

/* Subdivisions that rows of this backend need not note again */
static RegionSet noted;
static bool noted_in_transaction = false;

/* Subdivisions that the snapshot marked saw */
static RegionSet visible;
static SnapshotMark visible_mark;
static bool visible_valid = false;

/* hub.region_in_use as it was when the sets were filled */
static Oid	region_in_use_relid = InvalidOid;

/* Forget everything when the table is dropped or emptied */
static void
forget_relation(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != region_in_use_relid)
		return;
	noted.count = 0;
	visible_valid = false;
}

/* Forget what was noted when the transaction that noted it does not, or not yet, commit */
static void
forget_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (noted_in_transaction && event != XACT_EVENT_COMMIT)
		noted.count = 0;
	noted_in_transaction = false;
}

/* The same for a subtransaction */
static void
forget_subtransaction(SubXactEvent event, SubTransactionId sub_id, SubTransactionId parent_id,
					  void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && noted_in_transaction)
		noted.count = 0;
}

/* Watch what can undo a note; called once from _PG_init */
void
region_use_init(void)
{
	catalog_watch_relations(forget_relation);
	RegisterXactCallback(forget_transaction, NULL);
	RegisterSubXactCallback(forget_subtransaction, NULL);
}

/* Find a region in a set: its place, or where it belongs */
static bool
set_find(const RegionSet *set, Region region, int *place)
{
	int			low = 0;
	int			high = set->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (set->regions[middle] < region)
			low = middle + 1;
		else
			high = middle;
	}
	*place = low;
	return low < set->count && set->regions[low] == region;
}

/* Add a region to a set unless it is there */
static void
set_add(RegionSet *set, Region region)
{
	int			place;

	if (set_find(set, region, &place))
		return;
	if (set->count == set->capacity)
	{
		int			capacity = Max(64, set->capacity * 2);

		if (set->regions == NULL)
			set->regions = MemoryContextAlloc(TopMemoryContext, capacity * sizeof(Region));
		else
			set->regions = repalloc(set->regions, capacity * sizeof(Region));
		set->capacity = capacity;
	}
	memmove(set->regions + place + 1, set->regions + place,
			(set->count - place) * sizeof(Region));
	set->regions[place] = region;
	set->count++;
}

/* Add what a snapshot sees of hub.region_in_use to a set */
static void
set_read(RegionSet *set, Relation relation, Snapshot snapshot)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TableScanDesc scan = table_beginscan(relation, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		region = slot_getattr(slot, 1, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!isnull)
			set_add(set, DatumGetRegion(region));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/* Note that a governed row has this region */
void
region_note_use(Region region)
{
	int			place;
	Relation	relation;
	Snapshot	snapshot;
	HeapTuple	tuple;
	Datum		value = RegionGetDatum(region);
	bool		isnull = false;

	if (region_is_country(region) || set_find(&noted, region, &place))
		return;

	region_in_use_relid = catalog_relation("region_in_use");
	relation = table_open(region_in_use_relid, RowExclusiveLock);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	set_read(&noted, relation, snapshot);
	UnregisterSnapshot(snapshot);

	if (!set_find(&noted, region, &place))
	{
		tuple = heap_form_tuple(RelationGetDescr(relation), &value, &isnull);
		CatalogTupleInsert(relation, tuple);
		heap_freetuple(tuple);
		noted_in_transaction = true;
		set_add(&noted, region);
	}
	table_close(relation, NoLock);
}

/* Describe a snapshot */
static SnapshotMark
mark_snapshot(Snapshot snapshot)
{
	SnapshotMark mark = {
		.xmin = snapshot->xmin,
		.xmax = snapshot->xmax,
		.xcnt = snapshot->xcnt,
		.subxcnt = snapshot->subxcnt,
		.suboverflowed = snapshot->suboverflowed,
		.curcid = snapshot->curcid
	};

	return mark;
}

/* Return the subdivisions in use that the active snapshot sees */
const Region *
region_use_visible(int *count)
{
	Snapshot	snapshot = ActiveSnapshotSet() ? GetActiveSnapshot() : GetTransactionSnapshot();
	SnapshotMark mark = mark_snapshot(snapshot);

	if (!visible_valid || memcmp(&mark, &visible_mark, sizeof(mark)) != 0)
	{
		Relation	relation;

		visible_valid = false;
		visible.count = 0;
		region_in_use_relid = catalog_relation("region_in_use");
		relation = table_open(region_in_use_relid, AccessShareLock);
		snapshot = RegisterSnapshot(snapshot);
		set_read(&visible, relation, snapshot);
		UnregisterSnapshot(snapshot);
		table_close(relation, AccessShareLock);
		visible_mark = mark;
		visible_valid = true;
	}
	*count = visible.count;
	return visible.regions;
}

/* hub.note_region(hub.region) returns void: note a region that rows had before they were governed */
Datum
hub_note_region(PG_FUNCTION_ARGS)
{
	region_note_use(PG_GETARG_REGION(0));
	PG_RETURN_VOID();
}
