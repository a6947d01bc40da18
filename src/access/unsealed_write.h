/*
 * unsealed_write.h: statements that write encrypted columns where no sealing
 * trigger looks at them.
 */
#ifndef CUSTOMER_HUB_UNSEALED_WRITE_H
#define CUSTOMER_HUB_UNSEALED_WRITE_H

#include "postgres.h"

/* Does nothing tell what a mask stands for where it gets the class of a column? */
extern bool unsealed_write_refuses_mask(void);

#endif							/* CUSTOMER_HUB_UNSEALED_WRITE_H */
