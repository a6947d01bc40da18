/*
 * folded_rows.c: rows of governed relations that a query folds into one value
 * count as if they were sent.
 *
 * array_agg(customer_id) sends one row that holds them all. So what goes into an
 * aggregate that keeps its input, into ARRAY(SELECT ...) and round a recursive
 * query is counted on its way, against the ceiling. Aggregates that say something
 * of their input and do not hold it, such as count, sum and max, are free.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "access/export_guard.h"
#include "access/export_limit.h"
#include "access/folded_rows.h"
#include "access/governed.h"

/* What the statement of the client has folded so far, queries inside it included */
static TimestampTz statement = 0;
static uint64 folded = 0;
static int64 ceiling = 0;

/* Get a row of a watched node, as ExecProcNode would, and count it */
static TupleTableSlot *
count_row(PlanState *node)
{
	TupleTableSlot *slot;

	if (node->instrument)
		InstrStartNode(node->instrument);
	slot = node->ExecProcNodeReal(node);
	if (node->instrument)
		InstrStopNode(node->instrument, TupIsNull(slot) ? 0.0 : 1.0);
	if (!TupIsNull(slot) && ++folded > ceiling && !export_guard_exporting())
		export_guard_refuse_rows(ceiling);
	return slot;
}

/* Does a node, or one below it, read a governed relation? */
static bool
reads_governed(PlanState *node, void *context)
{
	switch (nodeTag(node->plan))
	{
			/* what they read was put together elsewhere in the statement */
		case T_CteScan:
		case T_WorkTableScan:
			return true;
		case T_SeqScan:
		case T_SampleScan:
		case T_IndexScan:
		case T_IndexOnlyScan:
		case T_BitmapHeapScan:
		case T_TidScan:
		case T_TidRangeScan:
		case T_ForeignScan:
		case T_CustomScan:
			{
				Index		relid = ((Scan *) node->plan)->scanrelid;

				if (relid > 0 && governed_is(exec_rt_fetch(relid, node->state)->relid))
					return true;
				break;
			}
		default:
			break;
	}
	return planstate_tree_walker(node, reads_governed, context);
}

/* Does the result of an aggregate hold the values that went in? */
static bool
keeps_input(Oid aggregate)
{
	Oid			result = get_func_rettype(aggregate);
	HeapTuple	tuple;
	bool		is_extreme;

	if (aggregate >= FirstNormalObjectId)
		return true;
	if (result == NUMERICOID || get_typlen(result) != -1)
		return false;
	/* of min and max one value stays */
	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggregate));
	if (!HeapTupleIsValid(tuple))
		return true;
	is_extreme = OidIsValid(((Form_pg_aggregate) GETSTRUCT(tuple))->aggsortop);
	ReleaseSysCache(tuple);
	return !is_extreme;
}

/* Does a node call an aggregate that keeps its input? */
static bool
node_keeps_input(PlanState *node)
{
	ListCell   *cell;

	if (IsA(node, AggState))
	{
		foreach(cell, ((AggState *) node)->aggs)
		{
			if (keeps_input(lfirst_node(Aggref, cell)->aggfnoid))
				return true;
		}
	}
	else if (IsA(node, WindowAggState))
	{
		foreach(cell, ((WindowAggState *) node)->funcs)
		{
			WindowFunc *function = lfirst_node(WindowFuncExprState, cell)->wfunc;

			if (function->winagg && keeps_input(function->winfnoid))
				return true;
		}
	}
	return false;
}

/* Count the rows of a node from now on, if they are of governed relations */
static void
watch_node(PlanState *node, const Identity *identity)
{
	if (node == NULL || !reads_governed(node, NULL))
		return;
	ceiling = export_limit_of(identity)->max_rows;
	node->ExecProcNode = count_row;
}

/* Watch those of a list of subqueries that make arrays */
static void
watch_arrays(List *subplans, const Identity *identity)
{
	ListCell   *cell;

	foreach(cell, subplans)
	{
		SubPlanState *subplan = lfirst_node(SubPlanState, cell);

		if (subplan->subplan->subLinkType == ARRAY_SUBLINK)
			watch_node(subplan->planstate, identity);
	}
}

/* Watch whatever folds rows in a node and below it */
static bool
watch_tree(PlanState *node, void *context)
{
	const Identity *identity = context;

	watch_arrays(node->initPlan, identity);
	watch_arrays(node->subPlan, identity);
	if (node_keeps_input(node))
		watch_node(outerPlanState(node), identity);
	if (IsA(node, RecursiveUnionState))
		watch_node(innerPlanState(node), identity);
	return planstate_tree_walker(node, watch_tree, context);
}

/* A statement under an identity has been started: watch what it folds */
void
folded_rows_watch(QueryDesc *query, int eflags, const Identity *identity)
{
	/* what the engine folds for a member counts where it hands it on */
	if ((eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0 || query->planstate == NULL || !governed_any() || superuser() ||
		export_guard_exporting())
		return;
	if (statement != GetCurrentStatementStartTimestamp())
	{
		statement = GetCurrentStatementStartTimestamp();
		folded = 0;
	}
	(void) watch_tree(query->planstate, unconstify(Identity *, identity));
}
