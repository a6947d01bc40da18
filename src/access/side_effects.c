/*
 * side_effects.c: find queries that would put values elsewhere than on the wire.
 *
 * SELECT pg_notify('c', email::text) sends plaintext to others and writes it to
 * disk on its way to the client. Functions of users may do so too; what they get
 * is for who writes them to decide, and for docs/threat-model.md to say.
 */
#include "postgres.h"

#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "utils/fmgroids.h"

#include "access/side_effects.h"
#include "foundation/compat.h"

/* Built-in functions that write their arguments to disk or show them to other sessions */
static const Oid writers[] = {
	F_PG_NOTIFY, F_SET_CONFIG, F_LO_FROM_BYTEA, F_LO_PUT, F_LOWRITE,
	COMPAT_F_EMIT_MESSAGE_TEXT, COMPAT_F_EMIT_MESSAGE_BYTEA
};

/* Is a function one of them? */
static bool
is_writer(Oid function, void *context)
{
	for (int i = 0; i < lengthof(writers); i++)
	{
		if (writers[i] == function)
			return true;
	}
	return false;
}

/* Does an expression call a writer? */
static bool
expression_writes(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return check_functions_in_node(node, is_writer, NULL) ||
		expression_tree_walker(node, expression_writes, NULL);
}

/* Does a node of a plan, or one below it, call a writer? */
static bool
plan_writes(PlanState *state, void *context)
{
	Plan	   *plan = state->plan;
	Node	   *more = NULL;

	switch (nodeTag(plan))
	{
		case T_FunctionScan:
			more = (Node *) ((FunctionScan *) plan)->functions;
			break;
		case T_ValuesScan:
			more = (Node *) ((ValuesScan *) plan)->values_lists;
			break;
		case T_Result:
			more = ((Result *) plan)->resconstantqual;
			break;
		case T_NestLoop:
		case T_MergeJoin:
		case T_HashJoin:
			more = (Node *) ((Join *) plan)->joinqual;
			break;
		default:
			break;
	}
	return expression_writes((Node *) plan->targetlist, NULL) ||
		expression_writes((Node *) plan->qual, NULL) ||
		expression_writes(more, NULL) ||
		planstate_tree_walker(state, plan_writes, NULL);
}

/* Does a started query call a writer? */
bool
side_effects_of_query(QueryDesc *query)
{
	return query->planstate != NULL && plan_writes(query->planstate, NULL);
}
