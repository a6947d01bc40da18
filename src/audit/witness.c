/*
 * witness.c: transactions between their commit and the block that takes them.
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "foundation/compat.h"
#include "audit/block.h"
#include "audit/event.h"
#include "audit/scan.h"
#include "audit/slot.h"
#include "audit/witness.h"

typedef struct WitnessTable
{
	LWLock		lock;
	int			tranche;
	int			count;
	WitnessEntry entries[WITNESS_ENTRIES];
} WitnessTable;

static WitnessTable *table = NULL;

/* What the block holds that is about to be committed */
static Oid	settled_relation = InvalidOid;
static uint64 *settled = NULL;
static int	settled_count = 0;

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

/* Read what is noted of this database, and of this incarnation of the extension; see witness.h */
void
witness_read(Oid relation, WitnessNotes *notes)
{
	notes->relation = relation;
	notes->count = 0;
	LWLockAcquire(&table->lock, LW_SHARED);
	notes->entries = palloc(sizeof(WitnessEntry) * Max(table->count, 1));
	for (int i = 0; i < table->count; i++)
	{
		if (table->entries[i].database == MyDatabaseId && table->entries[i].relation == relation)
			notes->entries[notes->count++] = table->entries[i];
	}
	LWLockRelease(&table->lock);
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
witness_check(const WitnessNotes *notes, uint64 xid_base, const WitnessRow *rows, int row_count,
			  bool settle, WitnessSink sink, void *arg)
{
	if (settle)
	{
		witness_settle(false);
		settled_relation = notes->relation;
		settled = MemoryContextAlloc(TopMemoryContext, sizeof(uint64) * Max(notes->count, 1));
	}
	for (int i = 0; i < notes->count; i++)
	{
		const WitnessEntry *entry = &notes->entries[i];
		TransactionId xid = (TransactionId) entry->xid;

		CHECK_FOR_INTERRUPTS();
		if (XidInMVCCSnapshot(xid, GetActiveSnapshot()))
			continue;
		if ((row_count == 0 ||
			 !row_was_read(xid_base + entry->xid, entry->digest, rows, row_count)) &&
			TransactionIdDidCommit(xid) &&
			!row_is_there(entry->xid, xid_base, entry->digest))
			sink(entry->xid, arg);
		else if (settle)
			settled[settled_count++] = entry->xid;
	}
}

/* Forget what is known by its block from now on, if that was committed; see witness.h */
void
witness_settle(bool committed)
{
	if (settled != NULL)
	{
		if (committed)
			forget_entries(settled_relation, settled, settled_count);
		pfree(settled);
	}
	settled = NULL;
	settled_count = 0;
}
