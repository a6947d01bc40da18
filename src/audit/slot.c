#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "audit/audit.h"
#include "audit/slot.h"
#include "audit/witness.h"
#include "foundation/settings.h"

typedef struct SlotTable
{
	LWLock		lock;
	Latch	   *launcher;
	bool		probe;			/* look for databases that nobody has looked at */
	int			tranche;
	AuditSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} SlotTable;

static SlotTable *table = NULL;
static char *rings = NULL;

/* Tell how many bytes one ring has */
Size
slot_ring_bytes(void)
{
	return (Size) settings_reveal_ring_size() * SLOT_ENTRY_BYTES;
}

/* Bytes of the slot table without the rings */
static Size
table_bytes(void)
{
	return MAXALIGN(add_size(offsetof(SlotTable, slots),
							 mul_size(sizeof(AuditSlot), settings_audit_databases())));
}

/* Bytes of the slot table with the rings */
static Size
slots_bytes(void)
{
	return add_size(table_bytes(), mul_size(slot_ring_bytes(), settings_audit_databases()));
}

/* Tell how much shared memory the audit room needs */
Size
audit_shmem_size(void)
{
	return add_size(add_size(slots_bytes(), ring_shmem_size()), witness_shmem_size());
}

/* Set up the slots, under AddinShmemInitLock; again after a crash, which nothing in them outlives */
void
audit_shmem_startup(void)
{
	bool		found;

	table = ShmemInitStruct("customer_hub audit", slots_bytes(), &found);
	rings = (char *) table + table_bytes();
	if (!found)
	{
		memset(table, 0, table_bytes());
		table->tranche = LWLockNewTrancheId();
		LWLockInitialize(&table->lock, table->tranche);
		for (int i = 0; i < settings_audit_databases(); i++)
		{
			LWLockInitialize(&table->slots[i].lock, table->tranche);
			ConditionVariableInit(&table->slots[i].changed);
			table->slots[i].last_block = -1;
		}
	}
	LWLockRegisterTranche(table->tranche, "customer_hub_audit");
	ring_shmem_startup(table->tranche);
	witness_shmem_startup();
}

/* Return the number of slots */
int
slot_count(void)
{
	return settings_audit_databases();
}

/* Return a slot by its number */
AuditSlot *
slot_number(int number)
{
	Assert(number >= 0 && number < settings_audit_databases());
	return &table->slots[number];
}

/* Return the ring of a slot */
char *
slot_ring(AuditSlot *slot)
{
	return rings + (slot - table->slots) * slot_ring_bytes();
}

/* Return the lock on the states of all slots */
LWLock *
slot_table_lock(void)
{
	return &table->lock;
}

/* Find the slot of a database; the caller holds the table's lock */
static AuditSlot *
find_locked(Oid database)
{
	for (int i = 0; i < settings_audit_databases(); i++)
	{
		if (table->slots[i].state != SLOT_FREE && table->slots[i].database == database)
			return &table->slots[i];
	}
	return NULL;
}

/* Find the slot of a database, or NULL; what it holds may change at any time */
AuditSlot *
slot_of_database(Oid database)
{
	AuditSlot  *slot;

	LWLockAcquire(&table->lock, LW_SHARED);
	slot = find_locked(database);
	LWLockRelease(&table->lock);
	return slot;
}

/* Say whose latch wakes the launcher; NULL when there is none */
void
slot_set_launcher(Latch *latch)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	table->launcher = latch;
	LWLockRelease(&table->lock);
}

/* Wake the launcher, when there is one */
void
slot_wake_launcher(void)
{
	Latch	   *latch;

	LWLockAcquire(&table->lock, LW_SHARED);
	latch = table->launcher;
	LWLockRelease(&table->lock);
	if (latch)
		SetLatch(latch);
}

/* Ask the launcher to look at databases it does not know */
void
slot_ask_probe(void)
{
	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	table->probe = true;
	LWLockRelease(&table->lock);
	slot_wake_launcher();
}

/* Has somebody asked for that? Asking is over with the answer */
bool
slot_take_probe(void)
{
	bool		probe;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	probe = table->probe;
	table->probe = false;
	LWLockRelease(&table->lock);
	return probe;
}

/* Give a slot to a database; the caller holds the table's lock */
void
slot_assign(AuditSlot *slot, Oid database)
{
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->database = database;
	slot->open = false;
	ring_close_lists(slot);
	slot->tail = slot->wanted = slot->head;
	slot->seal_done = slot->seal_wanted;
	slot->last_block = -1;
	LWLockRelease(&slot->lock);
}

/* Have a worker started for a database; NULL when no slot is left */
AuditSlot *
slot_request(Oid database, bool probe)
{
	AuditSlot  *slot;

	LWLockAcquire(&table->lock, LW_EXCLUSIVE);
	slot = find_locked(database);
	for (int i = 0; slot == NULL && i < settings_audit_databases(); i++)
	{
		if (table->slots[i].state == SLOT_FREE)
		{
			slot = &table->slots[i];
			slot_assign(slot, database);
			slot->state = SLOT_WANTED;
			slot->probe = probe;
			slot->holder = 0;
			slot->not_before = 0;
		}
	}
	if (slot && !probe)
		slot->probe = false;
	LWLockRelease(&table->lock);
	slot_wake_launcher();
	return slot;
}

/* Give a slot back; the caller holds the table's lock */
void
slot_release(AuditSlot *slot)
{
	slot_assign(slot, InvalidOid);
	slot->state = SLOT_FREE;
	slot->holder = 0;
	slot->pid = 0;
	slot->latch = NULL;
	ConditionVariableBroadcast(&slot->changed);
}
