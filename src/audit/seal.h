/* seal.h: blocks of the audit trail. */
#ifndef CUSTOMER_HUB_SEAL_H
#define CUSTOMER_HUB_SEAL_H

#include "postgres.h"

#include "audit/slot.h"

typedef enum SealResult
{
	SEAL_DONE,
	SEAL_AGAIN,					/* there is another block to make, in another transaction */
	SEAL_EXTENSION_GONE
} SealResult;

/* Seal what has become visible since the last block, within the current transaction */
extern SealResult seal_run(void);

/* Call after that transaction's commit */
extern void seal_committed(AuditSlot *slot);

#endif							/* CUSTOMER_HUB_SEAL_H */
