/* clearance.h: start of the clearance cache; what it answers is in identity.h. */
#ifndef CUSTOMER_HUB_CLEARANCE_H
#define CUSTOMER_HUB_CLEARANCE_H

#include "postgres.h"

extern void clearance_init(void);

#endif							/* CUSTOMER_HUB_CLEARANCE_H */
