/*
 * side_channels.h: keep values of encrypted columns out of what PostgreSQL
 * writes beside the table: statistics and the context of errors.
 */
#ifndef CUSTOMER_HUB_SIDE_CHANNELS_H
#define CUSTOMER_HUB_SIDE_CHANNELS_H

#include "postgres.h"

#include "nodes/nodes.h"

#include "foundation/compat.h"

/* Utility hook, dispatched by hub/. Raises an error for statistics on encrypted columns */
extern void side_channels_before_utility(Node *parsetree);

/* Does a statement read rows with encrypted values from a file or the client? */
extern bool side_channels_copies_in(Node *parsetree);

/*
 * Raise the current error of such a statement again, without the input line that
 * its context quotes. Call from PG_CATCH, with the context that was current before.
 */
pg_noreturn extern void side_channels_rethrow_copy_error(Node *parsetree, MemoryContext context);

#endif							/* CUSTOMER_HUB_SIDE_CHANNELS_H */
