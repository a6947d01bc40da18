/* reveal.h: from the ring into the trail. */
#ifndef CUSTOMER_HUB_REVEAL_H
#define CUSTOMER_HUB_REVEAL_H

#include "postgres.h"

extern void reveal_init(void);

/*
 * Store records as they were taken out of the ring, within the current
 * transaction. False when the extension's tables are gone.
 */
extern bool reveal_store(const char *records, Size len);

#endif							/* CUSTOMER_HUB_REVEAL_H */
