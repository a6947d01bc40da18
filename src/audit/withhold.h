/* withhold.h: rows that wait for the reveals in them to be committed. */
#ifndef CUSTOMER_HUB_WITHHOLD_H
#define CUSTOMER_HUB_WITHHOLD_H

#include "postgres.h"

#include "audit/slot.h"

extern void withhold_init(void);

/*
 * Keep the row that is being sent, and those after it, in this process until the ring
 * is committed up to a position. False when output does not go to a client: then the
 * caller has to wait itself.
 */
extern bool withhold_until(AuditSlot *slot, uint64 position);

/*
 * Wait, and send what was kept back. To be called before a query ends that may have
 * sent rows: from then on it could not fail any more.
 */
extern void withhold_end(void);

#endif							/* CUSTOMER_HUB_WITHHOLD_H */
