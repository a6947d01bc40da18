/* epoch.h: inside the keyring only. Epochs as the database knows them. */
#ifndef CUSTOMER_HUB_EPOCH_H
#define CUSTOMER_HUB_EPOCH_H

#include "postgres.h"

extern void epoch_init(void);
extern int	epoch_current(void);
extern int	epoch_first(void);
extern void epoch_check(void);

/* Raise CH001 unless the root key of an epoch is loaded */
extern void epoch_require_root_key(int epoch);

/* Counter in shared memory: changes whenever cached keys may be stale */
extern uint64 epoch_generation(void);
extern void epoch_bump_generation(void);

#endif							/* CUSTOMER_HUB_EPOCH_H */
