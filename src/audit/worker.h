/* worker.h: the audit worker of one database, and how sessions ask things of it. */
#ifndef CUSTOMER_HUB_WORKER_H
#define CUSTOMER_HUB_WORKER_H

#include "postgres.h"

#include "audit/slot.h"

/* How long a session waits for a worker to come up before it gives up */
#define WORKER_PATIENCE_MS 10000

/*
 * For a session that needs the worker of this database. Call in a loop around
 * the attempt: waits for a change of the slot, has the worker started when it
 * is absent, and raises CH401 when it stays away. Returns the slot to try next.
 * ConditionVariableCancelSleep() ends the loop.
 */
typedef struct WorkerWait
{
	AuditSlot  *slot;
	TimestampTz absent_since;	/* 0 while a worker is there */
	uint32		failures;		/* of workers of this slot before we began to wait */
} WorkerWait;

extern void worker_wait_init(WorkerWait *wait);
extern void worker_wait(WorkerWait *wait);

/* Wait until everything up to a ring position is committed */
extern void worker_wait_committed(AuditSlot *slot, uint64 position);

/* Wait until everything that is in the ring now is committed */
extern void worker_wait_all(void);

#endif							/* CUSTOMER_HUB_WORKER_H */
