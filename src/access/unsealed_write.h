/*
 * unsealed_write.h: statements that write encrypted columns where no sealing
 * trigger looks at them.
 */
#ifndef CUSTOMER_HUB_UNSEALED_WRITE_H
#define CUSTOMER_HUB_UNSEALED_WRITE_H

#include "postgres.h"

#include "executor/execdesc.h"
#include "nodes/nodes.h"

/* What runs: a query, or else a utility statement */
typedef struct WriteScope
{
	QueryDesc  *query;
	Node	   *utility;
} WriteScope;

/* Say what runs; pair the two with PG_TRY and PG_FINALLY */
extern void unsealed_write_begin(QueryDesc *query, Node *utility, WriteScope *saved);
extern void unsealed_write_end(const WriteScope *saved);

/* Does nothing tell what a mask stands for where it gets the class of a column? */
extern bool unsealed_write_refuses_mask(void);

#endif							/* CUSTOMER_HUB_UNSEALED_WRITE_H */
