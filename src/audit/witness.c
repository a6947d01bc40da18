/*
 * witness.c: transactions between their commit and the block that takes them.
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/snapmgr.h"

#include "foundation/compat.h"
#include "audit/block.h"
#include "audit/event.h"
#include "audit/scan.h"
#include "audit/slot.h"
#include "audit/witness.h"

typedef struct WitnessEntry
{
	Oid			database;
	Oid			relation;		/* another one after the extension was created anew */
	uint64		xid;
	uint8		digest[WITNESS_DIGEST_BYTES];
} WitnessEntry;

typedef struct WitnessTable
{
	LWLock		lock;
	int			tranche;
	int			count;
	WitnessEntry entries[WITNESS_ENTRIES];
} WitnessTable;

static WitnessTable *table = NULL;

/* Tell how much shared memory the witness needs */
Size
witness_shmem_size(void)
{
	return MAXALIGN(sizeof(WitnessTable));
}

/* Set the table up, under AddinShmemInitLock */
void
witness_shmem_startup(void)
{
	bool		found;

	table = ShmemInitStruct("customer_hub audit witness", sizeof(WitnessTable), &found);
	if (!found)
	{
		table->count = 0;
		table->tranche = LWLockNewTrancheId();
		LWLockInitialize(&table->lock, table->tranche);
	}
	LWLockRegisterTranche(table->tranche, "customer_hub_witness");
}

/* Note a transaction; see witness.h */
void
witness_note(Oid relation, uint64 xid, const uint8 *digest)
{
	/* without a worker nobody would ever forget it */
	if (slot_of_database(MyDatabaseId) == NULL)
		return;
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	if (table->count < WITNESS_ENTRIES)
	{
		WitnessEntry *entry = &table->entries[table->count++];

		entry->database = MyDatabaseId;
		entry->relation = relation;
		entry->xid = xid;
		memcpy(entry->digest, digest, WITNESS_DIGEST_BYTES);
	}
	LWLockRelease(&table->lock);
}

/* Compare xids, for qsort and bsearch */
static int
compare_xids(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/* Copy the entries of this database, and of this incarnation of the extension */
static int
copy_entries(Oid relation, WitnessEntry **entries)
{
	int			count = 0;

	LWLockAcquire(&table->lock, LW_SHARED);
	*entries = palloc(sizeof(WitnessEntry) * Max(table->count, 1));
	for (int i = 0; i < table->count; i++)
	{
		if (table->entries[i].database == MyDatabaseId && table->entries[i].relation == relation)
			(*entries)[count++] = table->entries[i];
	}
	LWLockRelease(&table->lock);
	return count;
}

/* Forget transactions, and those of an earlier incarnation of the extension */
static void
forget_entries(Oid relation, uint64 *xids, int count)
{
	int			kept = 0;

	qsort(xids, count, sizeof(uint64), compare_xids);
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < table->count; i++)
	{
		WitnessEntry *entry = &table->entries[i];

		if (entry->database == MyDatabaseId &&
			(entry->relation != relation ||
			 bsearch(&entry->xid, xids, count, sizeof(uint64), compare_xids) != NULL))
			continue;
		table->entries[kept++] = *entry;
	}
	table->count = kept;
	LWLockRelease(&table->lock);
}

/* Is the row of a transaction there, as it was written? */
static bool
row_is_there(uint64 xid, uint64 xid_base, const uint8 *digest)
{
	BlockSnapshot before = {.xmin = xid, .xmax = xid};
	BlockSnapshot snapshot = {.xmin = xid + 1, .xmax = xid + 1};
	TrailScan  *scan = scan_transactions(&before, &snapshot, xid_base);
	TransactionRow row;
	StringInfoData bytes;
	bool		there;

	initStringInfo(&bytes);
	there = scan_next_transaction(scan, &row, &bytes) && row.digest != NULL &&
		VARSIZE_ANY_EXHDR(row.digest) == EVENT_TAG_BYTES &&
		memcmp(VARDATA_ANY(row.digest), digest, WITNESS_DIGEST_BYTES) == 0;
	scan_end(scan);
	pfree(bytes.data);
	return there;
}

/* Is the row of a transaction among those that were read, as it was written? */
static bool
row_was_read(uint64 xid, const uint8 *digest, const WitnessRow *rows, int row_count)
{
	/* their first member is what is compared */
	const WitnessRow *row = bsearch(&xid, rows, row_count, sizeof(WitnessRow), compare_xids);

	return row != NULL && memcmp(row->digest, digest, WITNESS_DIGEST_BYTES) == 0;
}

/* Look for all that were noted; see witness.h */
void
witness_check(Oid relation, uint64 xid_base, const WitnessRow *rows, int row_count,
			  bool forget, WitnessSink sink, void *arg)
{
	WitnessEntry *entries;
	int			count = copy_entries(relation, &entries);
	uint64	   *settled = palloc(sizeof(uint64) * Max(count, 1));
	int			settled_count = 0;

	for (int i = 0; i < count; i++)
	{
		TransactionId xid = (TransactionId) entries[i].xid;

		CHECK_FOR_INTERRUPTS();
		if (XidInMVCCSnapshot(xid, GetActiveSnapshot()))
			continue;
		if ((row_count > 0 &&
			 row_was_read(xid_base + entries[i].xid, entries[i].digest, rows, row_count)) ||
			!TransactionIdDidCommit(xid) ||
			row_is_there(entries[i].xid, xid_base, entries[i].digest))
			settled[settled_count++] = entries[i].xid;
		else
			sink(entries[i].xid, arg);
	}
	if (forget)
		forget_entries(relation, settled, settled_count);
	pfree(settled);
	pfree(entries);
}
