/* memory.h: palloc for secrets, zeroed whenever their context goes away. */
#ifndef CUSTOMER_HUB_MEMORY_H
#define CUSTOMER_HUB_MEMORY_H

#include "postgres.h"

extern void *memory_alloc_secret(Size size);
extern void memory_free_secret(void *secret, Size size);
extern void memory_zero(void *ptr, Size size);

#endif							/* CUSTOMER_HUB_MEMORY_H */
