/* clearance.h: start of the clearance cache; what it answers is in identity.h. */
#ifndef CUSTOMER_HUB_CLEARANCE_H
#define CUSTOMER_HUB_CLEARANCE_H

#include "postgres.h"

#include "types/disclosure.h"

extern void clearance_init(void);

/* The level that a word such as mask stands for; SEALED when it is none */
extern Disclosure clearance_level(const char *level);

#endif							/* CUSTOMER_HUB_CLEARANCE_H */
