/* wrap.h: inside the keyring only. Keys sealed under the root key of an epoch. */
#ifndef CUSTOMER_HUB_WRAP_H
#define CUSTOMER_HUB_WRAP_H

#include "postgres.h"

#include "utils/uuid.h"

#include "keyring/root_keys.h"

#define WRAPPED_KEY_BYTES 32

/*
 * Wrap a key under an epoch, whose root key must be loaded. use and name are
 * bound to it, so that a wrapped key fits no other place.
 */
extern bytea *wrap_key(RootKeyUse use, const pg_uuid_t *name, int epoch,
					   const uint8 key[WRAPPED_KEY_BYTES]);

/* Make a random key and wrap it; nobody gets to see it */
extern bytea *wrap_new_key(RootKeyUse use, const pg_uuid_t *name, int epoch);

/*
 * The reverse. Raises CH001 when the epoch's root key is not loaded; false when
 * the wrapped key was altered, and then key is left alone.
 */
extern bool unwrap_key(RootKeyUse use, const pg_uuid_t *name, int epoch, const bytea *wrapped,
					   uint8 key[WRAPPED_KEY_BYTES]);

/*
 * From one epoch to another; NULL when the wrapped key was altered. The key is
 * never outside this function.
 */
extern bytea *rewrap_key(RootKeyUse use, const pg_uuid_t *name, int from_epoch, int to_epoch,
						 const bytea *wrapped);

#endif							/* CUSTOMER_HUB_WRAP_H */
