/* read_ahead.h: inside the keyring only. Wrapped keys, a page of hub.subject_key at a time. */
#ifndef CUSTOMER_HUB_READ_AHEAD_H
#define CUSTOMER_HUB_READ_AHEAD_H

#include "postgres.h"

#include "storage/block.h"
#include "utils/rel.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

/* Columns of hub.subject_key */
#define ANUM_SUBJECT 1
#define ANUM_EPOCH 2
#define ANUM_WRAPPED 3

/* Copy the wrapped keys of a page of hub.subject_key, as a snapshot sees them */
extern void read_ahead_page(Relation relation, BlockNumber block, Snapshot snapshot);

/* The wrapped key of a subject, if it was read ahead; valid until the next page */
extern const bytea *read_ahead_find(const pg_uuid_t *subject, int *epoch);

/* Forget all of it: some may be out of date */
extern void read_ahead_forget(void);

#endif							/* CUSTOMER_HUB_READ_AHEAD_H */
