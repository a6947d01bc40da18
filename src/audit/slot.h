/*
 * slot.h: the audit workers' shared memory. One slot per database that has the
 * extension: who its worker is, and the ring through which every backend of
 * that database hands over what must be recorded whatever becomes of its
 * transaction.
 */
#ifndef CUSTOMER_HUB_SLOT_H
#define CUSTOMER_HUB_SLOT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "storage/condition_variable.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#include "audit/merkle.h"

/* Ring space per entry of customer_hub.reveal_ring_size; a reveal takes less */
#define SLOT_ENTRY_BYTES 256

/* Longest record, with its head; must fit into the smallest ring several times over */
#define SLOT_RECORD_MAX 4096

/* What a record takes beside its bytes */
#define SLOT_RECORD_HEAD 16

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_WANTED,				/* the launcher is to start a worker */
	SLOT_STARTING,				/* it has asked the postmaster for one */
	SLOT_RUNNING
} SlotState;

typedef struct AuditSlot
{
	/* protected by the table's lock */
	SlotState	state;
	bool		probe;			/* start to see whether the extension is there */
	int			holder;			/* backend that keeps the worker away, or 0 */
	pid_t		pid;
	Latch	   *latch;
	TimestampTz not_before;		/* start no worker before */

	/* changed under both locks, readable under either */
	Oid			database;

	/* protected by the slot's own lock */
	LWLock		lock;
	bool		open;			/* a worker is there to take what is pushed */
	bool		look;			/* it is to look whether the extension is still there */
	TimestampTz heartbeat;
	uint32		failures;		/* how often a worker left with an error */
	uint64		head;			/* bytes ever pushed */
	uint64		tail;			/* bytes ever committed to the trail */
	uint64		wanted;			/* somebody waits for the tail to come that far */
	bool		napping;		/* the worker has seen that there is something and lets it gather */
	uint64		seal_wanted;	/* sealing runs asked for */
	uint64		seal_done;		/* and finished */

	/* the last block this server sealed there, as a witness outside the tables */
	int64		last_block;		/* -1 while there is none */
	Oid			block_relation; /* oid of hub.audit_block then */
	uint8		last_header[MERKLE_HASH_BYTES];

	/* any of the above changed */
	ConditionVariable changed;
} AuditSlot;

typedef enum SlotPush
{
	SLOT_PUSHED,
	SLOT_FULL,
	SLOT_ABSENT					/* no worker */
} SlotPush;

extern int	slot_count(void);
extern AuditSlot *slot_number(int number);
extern AuditSlot *slot_of_database(Oid database);

extern LWLock *slot_table_lock(void);
extern void slot_set_launcher(Latch *latch);
extern void slot_wake_launcher(void);
extern void slot_ask_probe(void);
extern bool slot_take_probe(void);

extern AuditSlot *slot_request(Oid database, bool probe);
extern void slot_assign(AuditSlot *slot, Oid database);
extern void slot_release(AuditSlot *slot);

/* the parts of a slot that the ring needs */
extern Size slot_ring_bytes(void);
extern char *slot_ring(AuditSlot *slot);

/*
 * ring.c. A record may be a list: room bytes are set aside behind it, and what its
 * backend appends there is in shared memory at once, without the slot's lock and
 * without waking anybody. The worker ends a list when it takes it out.
 */
extern Size ring_shmem_size(void);
extern void ring_shmem_startup(int tranche);
extern SlotPush slot_push(AuditSlot *slot, const char *record, Size len, Size room,
						  bool even_without_worker, uint64 *position);
extern bool slot_append(const char *data, Size len);
extern void ring_close_lists(AuditSlot *slot);
extern Latch *slot_want(AuditSlot *slot, uint64 position);
extern bool slot_is_filling(AuditSlot *slot);
extern void slot_peek(AuditSlot *slot, Size max_bytes, StringInfo records, uint64 *tail);
extern void slot_advance(AuditSlot *slot, uint64 tail);

#endif							/* CUSTOMER_HUB_SLOT_H */
