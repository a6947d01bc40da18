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

/* Bytes of one ring */
static Size
ring_bytes(void)
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
	return add_size(table_bytes(), mul_size(ring_bytes(), settings_audit_databases()));
}

/* Tell how much shared memory the audit room needs */
Size
audit_shmem_size(void)
{
	return add_size(slots_bytes(), witness_shmem_size());
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
	slot->tail = slot->head;
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

/* Copy into the ring at a position, round its end */
static void
ring_write(AuditSlot *slot, uint64 position, const char *data, Size len)
{
	char	   *ring = rings + (slot - table->slots) * ring_bytes();
	Size		offset = position % ring_bytes();
	Size		first = Min(len, ring_bytes() - offset);

	memcpy(ring + offset, data, first);
	memcpy(ring, data + first, len - first);
}

/* Copy out of the ring at a position, round its end */
static void
ring_read(AuditSlot *slot, uint64 position, char *data, Size len)
{
	char	   *ring = rings + (slot - table->slots) * ring_bytes();
	Size		offset = position % ring_bytes();
	Size		first = Min(len, ring_bytes() - offset);

	memcpy(data, ring + offset, first);
	memcpy(data + first, ring, len - first);
}

/*
 * Hand a record to the worker of this database. It is in shared memory when
 * this returns SLOT_PUSHED; position tells what slot->tail has to reach for it
 * to be committed.
 */
SlotPush
slot_push(AuditSlot *slot, const char *record, Size len, bool even_without_worker,
		  uint64 *position)
{
	SlotPush	result = SLOT_PUSHED;
	uint32		prefix = (uint32) len;
	Latch	   *latch = NULL;

	Assert(len + sizeof(prefix) <= SLOT_RECORD_MAX);

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	if (slot->database != MyDatabaseId || (!slot->open && !even_without_worker))
		result = SLOT_ABSENT;
	else if (slot->head - slot->tail + len + sizeof(prefix) > ring_bytes())
		result = SLOT_FULL;
	else
	{
		ring_write(slot, slot->head, (const char *) &prefix, sizeof(prefix));
		ring_write(slot, slot->head + sizeof(prefix), record, len);
		slot->head += sizeof(prefix) + len;
		*position = slot->head;
	}
	if (slot->open)
		latch = slot->latch;
	LWLockRelease(&slot->lock);
	if (latch)
		SetLatch(latch);
	return result;
}

/*
 * Read whole records from the end of the ring, each after its length, without
 * taking them out. tail is where the ring would end without them. Only the
 * worker reads, and nothing between tail and head is ever overwritten.
 */
void
slot_peek(AuditSlot *slot, Size max_bytes, StringInfo records, uint64 *tail)
{
	uint64		head;

	LWLockAcquire(&slot->lock, LW_SHARED);
	head = slot->head;
	*tail = slot->tail;
	LWLockRelease(&slot->lock);

	while (*tail < head)
	{
		uint32		len;

		ring_read(slot, *tail, (char *) &len, sizeof(len));
		if (records->len > 0 && records->len + sizeof(len) + len > max_bytes)
			break;
		enlargeStringInfo(records, sizeof(len) + len);
		ring_read(slot, *tail, records->data + records->len, sizeof(len) + len);
		records->len += sizeof(len) + len;
		*tail += sizeof(len) + len;
	}
}

/* Take out of the ring what has been committed, and wake those who wait for room */
void
slot_advance(AuditSlot *slot, uint64 tail)
{
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->tail = tail;
	LWLockRelease(&slot->lock);
	ConditionVariableBroadcast(&slot->changed);
}
