/*
 * carrier.h: how a token's identity travels: a transaction-local GUC that only
 * hub.authenticate can give a value that counts.
 */
#ifndef CUSTOMER_HUB_CARRIER_H
#define CUSTOMER_HUB_CARRIER_H

#include "postgres.h"

#include "identity/identity.h"

extern void carrier_init(void);

/* The token identity of this transaction, or NULL; expiry is not looked at */
extern const Identity *carrier_identity(void);

/* Carry an identity until the end of the transaction, or of the subtransaction if that fails */
extern void carrier_set(const Identity *identity);

/* Whom this transaction authenticated, whatever became of the carrier since; or NULL */
extern const Identity *authenticated_identity(void);

#endif							/* CUSTOMER_HUB_CARRIER_H */
