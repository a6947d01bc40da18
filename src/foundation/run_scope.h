/*
 * run_scope.h: what is known of the code that runs now: how deep it is in executor
 * runs, where its output goes, what it may not read.
 *
 * Hooks change it and put it back. An error leaves that to the end of the
 * subtransaction or transaction, without which nothing catches an error in
 * PostgreSQL: so no run needs a PG_TRY for it.
 */
#ifndef CUSTOMER_HUB_RUN_SCOPE_H
#define CUSTOMER_HUB_RUN_SCOPE_H

#include "postgres.h"

#include "nodes/nodes.h"

struct QueryDesc;
struct GuardedRun;

typedef enum SideEffects
{
	SIDE_EFFECTS_UNKNOWN,
	SIDE_EFFECTS_NONE,
	SIDE_EFFECTS_SOME
} SideEffects;

typedef struct RunScope
{
	int			depth;			/* executor runs that enclose this; a top-level query runs at 1 */

	/*
	 * Rows are on their way to the client. Also between executor and utility runs:
	 * rows of RETURNING, FETCH and held cursors are sent from a store there.
	 */
	bool		to_client;

	bool		sending;		/* a receiver sends a row: output is for the wire, not an expression */
	bool		in_expression;	/* an expression of the query got plaintext; an error may quote it */
	bool		catches_errors; /* errors of the query that sends rows come past us */
	SideEffects side_effects;	/* of that query */
	struct QueryDesc *sending_query;	/* that query; NULL outside of runs */

	/* what runs: a query, or else a utility statement */
	struct QueryDesc *query;
	Node	   *utility;

	const char *refused_utility;	/* that may not read governed relations, as its user knows it */
	struct GuardedRun *guarded_run; /* the innermost whose rows are counted; NULL between them */
} RunScope;

extern RunScope run_scope;

extern void run_scope_init(void);

/*
 * A utility statement may outlive transactions: they leave the scope that it has
 * made. The two are paired by PG_TRY and PG_FINALLY.
 */
extern void run_scope_enter_utility(RunScope *outer);
extern void run_scope_leave_utility(const RunScope *saved, const RunScope *outer);

#endif							/* CUSTOMER_HUB_RUN_SCOPE_H */
