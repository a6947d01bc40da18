/* epoch.h: inside the keyring only. Epochs as the database knows them. */
#ifndef CUSTOMER_HUB_EPOCH_H
#define CUSTOMER_HUB_EPOCH_H

#include "postgres.h"

extern int	epoch_current(void);
extern void epoch_check(void);

/* Counter in shared memory: changes whenever cached keys may be stale */
extern uint64 epoch_generation(void);
extern void epoch_bump_generation(void);

#endif							/* CUSTOMER_HUB_EPOCH_H */
