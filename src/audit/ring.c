/*
 * ring.c: the ring of a slot. Records go in under the slot's lock; the audit
 * worker takes them out when it has committed what they say.
 *
 * A record may be a list that its backend still appends to. Where that is, and how
 * far it has come, stands in the backend's own entry of a table, under a lock that
 * nobody else wants but the worker, which ends the list when it gets there. An
 * entry that has no list leads nowhere: so nobody writes where the ring has moved on,
 * and a list that was left behind, by whomever, is a record like any other.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "audit/slot.h"
#include "foundation/compat.h"

/* Stands before each record, at a multiple of its size */
typedef struct RingHead
{
	uint32		size;			/* bytes behind this that are set aside */
	uint32		used;			/* and used, once there is no writer */
	int32		writer;			/* number of the entry that says so until then, or -1 */
	int32		reserved;
} RingHead;

StaticAssertDecl(sizeof(RingHead) == SLOT_RECORD_HEAD, "SLOT_RECORD_HEAD must tell the size of RingHead");
StaticAssertDecl(SLOT_ENTRY_BYTES % sizeof(RingHead) == 0, "no head may lie across the ring's end");

/* The list that a backend appends to */
typedef struct RingList
{
	LWLock		lock;
	AuditSlot  *slot;			/* NULL while there is none */
	uint64		position;		/* of its head */
	uint32		size;
	uint32		used;
} RingList;

typedef union PaddedRingList
{
	RingList	list;
	char		padding[128];	/* backends do not share cache lines */
} PaddedRingList;

static PaddedRingList *lists = NULL;

/* Tell how much shared memory the lists need */
Size
ring_shmem_size(void)
{
	return mul_size(sizeof(PaddedRingList), MaxBackends);
}

/* Set up the lists, under AddinShmemInitLock */
void
ring_shmem_startup(int tranche)
{
	bool		found;

	lists = ShmemInitStruct("customer_hub reveal lists", ring_shmem_size(), &found);
	if (found)
		return;
	memset(lists, 0, ring_shmem_size());
	for (int i = 0; i < MaxBackends; i++)
		LWLockInitialize(&lists[i].list.lock, tranche);
}

/* Copy into the ring at a position, round its end */
static void
ring_write(AuditSlot *slot, uint64 position, const void *data, Size len)
{
	char	   *ring = slot_ring(slot);
	Size		offset = position % slot_ring_bytes();
	Size		first = Min(len, slot_ring_bytes() - offset);

	memcpy(ring + offset, data, first);
	memcpy(ring, (const char *) data + first, len - first);
}

/* Copy out of the ring at a position, round its end */
static void
ring_read(AuditSlot *slot, uint64 position, void *data, Size len)
{
	char	   *ring = slot_ring(slot);
	Size		offset = position % slot_ring_bytes();
	Size		first = Min(len, slot_ring_bytes() - offset);

	memcpy(data, ring + offset, first);
	memcpy((char *) data + first, ring, len - first);
}

/* End a list, so that its record stands by itself; the caller holds its lock */
static void
close_list(RingList *list)
{
	RingHead	head = {list->size, list->used, -1, 0};

	ring_write(list->slot, list->position, &head, sizeof(head));
	list->slot = NULL;
}

/* End all lists in the ring of a slot: nobody may append to it any more */
void
ring_close_lists(AuditSlot *slot)
{
	for (int i = 0; i < MaxBackends; i++)
	{
		RingList   *list = &lists[i].list;

		LWLockAcquire(&list->lock, LW_EXCLUSIVE);
		if (list->slot == slot)
			close_list(list);
		LWLockRelease(&list->lock);
	}
}

/* Is so much in the ring that the worker must not let more gather? The caller holds the slot's lock */
bool
slot_is_filling(AuditSlot *slot)
{
	return slot->head - slot->tail > slot_ring_bytes() / 4;
}

/*
 * Hand a record to the worker of this database. It is in shared memory when
 * this returns SLOT_PUSHED; position tells what slot->tail has to reach for it,
 * and for what is appended within room, to be committed.
 */
SlotPush
slot_push(AuditSlot *slot, const char *record, Size len, Size room, bool even_without_worker,
		  uint64 *position)
{
	RingList   *list = &lists[compat_backend_number()].list;
	RingHead	head = {(uint32) TYPEALIGN(sizeof(RingHead), len + room), (uint32) len, -1, 0};
	SlotPush	result = SLOT_PUSHED;
	Latch	   *latch = NULL;

	Assert(len + room + sizeof(head) <= SLOT_RECORD_MAX);

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	if (slot->database != MyDatabaseId || (!slot->open && !even_without_worker))
		result = SLOT_ABSENT;
	else if (slot->head - slot->tail + sizeof(head) + head.size > slot_ring_bytes())
		result = SLOT_FULL;
	else
	{
		if (room > 0)
		{
			LWLockAcquire(&list->lock, LW_EXCLUSIVE);
			if (list->slot != NULL)
				close_list(list);
			list->slot = slot;
			list->position = slot->head;
			list->size = head.size;
			list->used = head.used;
			LWLockRelease(&list->lock);
			head.writer = compat_backend_number();
		}
		ring_write(slot, slot->head, &head, sizeof(head));
		ring_write(slot, slot->head + sizeof(head), record, len);
		slot->head += sizeof(head) + head.size;
		*position = slot->head;
	}
	if (slot->open && (!slot->napping || slot_is_filling(slot)))
		latch = slot->latch;
	LWLockRelease(&slot->lock);
	if (latch)
		SetLatch(latch);
	return result;
}

/* Append to the list that this backend pushed last; false when it has ended or is full */
bool
slot_append(const char *data, Size len)
{
	RingList   *list = &lists[compat_backend_number()].list;
	bool		appended = false;

	LWLockAcquire(&list->lock, LW_EXCLUSIVE);
	if (list->slot != NULL && list->used + len <= list->size)
	{
		ring_write(list->slot, list->position + sizeof(RingHead) + list->used, data, len);
		list->used += len;
		appended = true;
	}
	LWLockRelease(&list->lock);
	return appended;
}

/* Ask for what is in the ring up to a position not to be left there; returns whom to wake, or NULL */
Latch *
slot_want(AuditSlot *slot, uint64 position)
{
	Latch	   *latch = NULL;

	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	if (slot->database == MyDatabaseId && slot->tail < position)
	{
		slot->wanted = Max(slot->wanted, position);
		latch = slot->open ? slot->latch : NULL;
	}
	LWLockRelease(&slot->lock);
	return latch;
}

/* Read the head of a record, ending its list if it is one */
static void
read_head(AuditSlot *slot, uint64 position, RingHead *head)
{
	ring_read(slot, position, head, sizeof(*head));
	if (head->writer >= 0)
	{
		RingList   *list = &lists[head->writer].list;

		/* its backend may have gone on to another list by now: then it has ended this one */
		LWLockAcquire(&list->lock, LW_EXCLUSIVE);
		if (list->slot == slot && list->position == position)
			close_list(list);
		LWLockRelease(&list->lock);
		ring_read(slot, position, head, sizeof(*head));
		Assert(head->writer < 0);
	}
}

/*
 * Read whole records from the end of the ring, each after its length, without
 * taking them out. tail is where the ring would end without them. Only the
 * worker reads, and nothing between tail and head is ever overwritten.
 */
void
slot_peek(AuditSlot *slot, Size max_bytes, StringInfo records, uint64 *tail)
{
	uint64		end;

	LWLockAcquire(&slot->lock, LW_SHARED);
	end = slot->head;
	*tail = slot->tail;
	LWLockRelease(&slot->lock);

	while (*tail < end && (Size) records->len < max_bytes)
	{
		RingHead	head;

		read_head(slot, *tail, &head);
		enlargeStringInfo(records, sizeof(head.used) + head.used);
		appendBinaryStringInfo(records, (char *) &head.used, sizeof(head.used));
		ring_read(slot, *tail + sizeof(head), records->data + records->len, head.used);
		records->len += head.used;
		*tail += sizeof(head) + head.size;
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
