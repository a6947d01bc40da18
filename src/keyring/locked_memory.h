/* locked_memory.h: inside the keyring only. Memory for keys, kept out of swap and core dumps. */
#ifndef CUSTOMER_HUB_LOCKED_MEMORY_H
#define CUSTOMER_HUB_LOCKED_MEMORY_H

#include "postgres.h"

#include "port/atomics.h"

/*
 * Zeroed memory that is guarded, left out of core dumps and, as far as the
 * kernel allows, locked; freed with sodium_free(), which zeroes it.
 */
extern void *locked_alloc(Size size);

/* Lock memory again that was allocated before a fork: locks are not inherited */
extern void locked_again(void *memory, Size size);

/* Has the kernel locked all that this process asked for? */
extern bool locked_all(void);

/* In shared memory: whether anybody was told that the kernel refused */
extern void locked_share_warning(pg_atomic_flag *warned);

#endif							/* CUSTOMER_HUB_LOCKED_MEMORY_H */
