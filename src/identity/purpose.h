/* purpose.h: what purposes there are; what the identity's allows is in identity.h. */
#ifndef CUSTOMER_HUB_PURPOSE_H
#define CUSTOMER_HUB_PURPOSE_H

#include "postgres.h"

#include "identity/identity.h"

extern void purpose_init(void);

/*
 * What a purpose allows a member. Without a claim it is the one that is assumed
 * for the role, or NULL. An unknown one, or another role's, allows nothing.
 */
extern const Purpose *purpose_find(const char *claimed, Oid role, HubRole base_role);

#endif							/* CUSTOMER_HUB_PURPOSE_H */
