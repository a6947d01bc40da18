/*
 * export_guard.c: what a member may not do to take rows away in bulk.
 *
 * A statement counts as reading governed relations when its plan, or that of a
 * query run inside it, names one. Rows are counted where they are sent: to the
 * client, or to a function or block of the member's own. Rows that a query folds
 * into one value (string_agg and its like) show as one row, so the persons whose
 * values are shown are counted too.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access/access.h"
#include "access/export_guard.h"
#include "access/export_limit.h"
#include "access/governed.h"
#include "access/protect.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/run_scope.h"
#include "foundation/settings.h"
#include "identity/identity.h"
#include "types/disclosure.h"

#define EXPLAIN_ANALYZE "EXPLAIN ANALYZE"

/*
 * A statement that sends rows, from its start to its end. It is the receiver of its
 * rows too, which counts them and passes them on.
 */
typedef struct GuardedRun
{
	DestReceiver pub;
	DestReceiver *inner;		/* NULL while rows are not counted one by one */
	QueryDesc  *query;
	Oid			touched;		/* governed relation that it reads, itself or in a query inside it */
	uint64		sent;
	uint64		kept;			/* rows that queries inside it have put into what is the member's own */
	struct GuardedRun *outer;	/* the one that this runs inside of, while it runs */
	struct GuardedRun *next;
} GuardedRun;

/* Persons whose values of one data class a statement has shown */
typedef struct ShownCount
{
	TimestampTz statement;
	pg_uuid_t	last;
	int64		persons;
	uint64		answer;			/* identity_answer() of whose ceiling it is, or 0 */
	int64		ceiling;
} ShownCount;

/* Classes beyond share the places of others, which errs on the safe side */
#define SHOWN_COUNTS 256
static ShownCount shown_counts[SHOWN_COUNTS];

/* Statements of this transaction, newest first: few at a time */
GuardedRun *export_guard_runs = NULL;

/* Those that are over, to be used again */
static GuardedRun *spare_runs = NULL;

static bool exporting = false;

/* Find the entry of a statement, or NULL */
static GuardedRun *
find_run(const QueryDesc *query)
{
	for (GuardedRun *run = export_guard_runs; run != NULL; run = run->next)
	{
		if (run->query == query)
			return run;
	}
	return NULL;
}

/* Forget a statement that is over */
static void
drop_run(const QueryDesc *query)
{
	for (GuardedRun **link = &export_guard_runs; *link != NULL; link = &(*link)->next)
	{
		if ((*link)->query == query)
		{
			GuardedRun *run = *link;

			/* one that still seems to run has ended in an error, with all inside it */
			for (GuardedRun *other = run_scope.guarded_run; other != NULL; other = other->outer)
			{
				if (other == run)
					run_scope.guarded_run = run->outer;
			}
			*link = run->next;
			run->next = spare_runs;
			spare_runs = run;
			return;
		}
	}
}

/* Forget the statements of a transaction that is over */
static void
forget_runs(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			while (export_guard_runs != NULL)
				drop_run(export_guard_runs->query);
			exporting = false;
			break;
		default:
			break;
	}
}

/* Set the guard up; called once from _PG_init */
void
export_guard_init(void)
{
	RegisterXactCallback(forget_runs, NULL);
}

/* Let rows that hub.export() reads not count; returns what was before */
bool
export_guard_set_exporting(bool new_value)
{
	bool		old_value = exporting;

	exporting = new_value;
	return old_value;
}

/* Tell whether hub.export() is reading */
bool
export_guard_exporting(void)
{
	return exporting;
}

/* Return the first governed relation that a plan names, or InvalidOid */
static Oid
governed_in_plan(PlannedStmt *plan)
{
	ListCell   *cell;

	foreach(cell, plan->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION && governed_is(entry->relid))
			return entry->relid;
	}
	return InvalidOid;
}

/* Name what a plan writes to when that is the member's own, or NULL */
static const char *
private_target(PlannedStmt *plan)
{
	ListCell   *cell;

	/* a SELECT may write too, in WITH */
	if (plan->resultRelations == NIL || superuser())
		return NULL;
	foreach(cell, plan->resultRelations)
	{
		RangeTblEntry *entry = list_nth_node(RangeTblEntry, plan->rtable, lfirst_int(cell) - 1);

		if (get_rel_persistence(entry->relid) == RELPERSISTENCE_TEMP)
			return "writing to a temporary table";
		if (entry->relkind == RELKIND_FOREIGN_TABLE)
			return "writing to a foreign table";
		if (!governed_is(entry->relid) && compat_owns_relation(entry->relid, GetUserId()))
			return "writing to a table of one's own";
	}
	return NULL;
}

/* Name a relation as SQL does */
static char *
relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

pg_noreturn static void refuse_copy(const char *what, Oid relid);

/* Refuse to copy rows of a governed relation */
static void
refuse_copy(const char *what, Oid relid)
{
	char	   *name = relation_name(relid);

	access_record_attempt(what, relid);
	if (strcmp(what, EXPLAIN_ANALYZE) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_EXPORT_REFUSED),
				 errmsg("%s is refused: it would count rows of governed relation \"%s\" that no policy shows",
						what, name),
				 errhint("EXPLAIN without ANALYZE shows the plan; customer_hub.allow_explain_analyze lets a superuser allow it for a session.")));
	ereport(ERROR,
			(errcode(ERRCODE_CH_EXPORT_REFUSED),
			 errmsg("%s is refused: it would copy rows of governed relation \"%s\"", what, name),
			 errhint("Ask for an export: SELECT hub.request_approval('export', '{\"relation\": \"%s\", \"columns\": [...], \"max_rows\": ...}', 'why').",
					 name)));
}

/* Remember a statement that may send rows */
static void
add_run(QueryDesc *query, Oid touched)
{
	GuardedRun *run = spare_runs;

	if (run != NULL)
		spare_runs = run->next;
	else
		run = MemoryContextAlloc(TopMemoryContext, sizeof(GuardedRun));
	run->inner = NULL;
	run->query = query;
	run->touched = touched;
	run->sent = 0;
	run->kept = 0;
	run->outer = NULL;
	run->next = export_guard_runs;
	export_guard_runs = run;
}

static void check_ceiling(uint64 rows);

/* Executor start: refuse copies, and note which statements read governed relations */
void
export_guard_start(QueryDesc *query, int eflags, const Identity *identity)
{
	PlannedStmt *plan = query->plannedstmt;
	GuardedRun *current_run = run_scope.guarded_run;
	const char *target;
	Oid			relid;

	/* one that ended in an error may have left its address, and its entry, to this one */
	if (export_guard_runs != NULL)
		drop_run(query);
	if (identity == NULL || exporting || IsParallelWorker() ||
		(eflags & EXEC_FLAG_EXPLAIN_ONLY) != 0 || !governed_any())
		return;

	relid = governed_in_plan(plan);
	if (!OidIsValid(relid))
	{
		/* nor may a function that a query calls for each row keep more of them than it could send */
		if (current_run != NULL && OidIsValid(current_run->touched) && private_target(plan) != NULL)
			check_ceiling(++current_run->kept);
	}
	else
	{
		if (run_scope.refused_utility != NULL)
			refuse_copy(run_scope.refused_utility, relid);
		if ((target = private_target(plan)) != NULL)
			refuse_copy(target, relid);
		for (GuardedRun *run = current_run; run != NULL; run = run->outer)
			run->touched = relid;
	}

	/* what the engine reads for a member counts where it hands it on */
	if ((plan->commandType == CMD_SELECT || plan->hasReturning) && !superuser())
		add_run(query, relid);
}

/* Executor end: the statement sends nothing any more */
void
export_guard_end(QueryDesc *query)
{
	drop_run(query);
}

pg_noreturn static void refuse_above_ceiling(const char *what, int64 ceiling);

/* Refuse to show more than the ceiling */
static void
refuse_above_ceiling(const char *what, int64 ceiling)
{
	if (access_record_denied != NULL && !IsParallelWorker())
		access_record_denied(psprintf("{\"attempt\": \"over_ceiling\", \"what\": \"%s\", \"ceiling\": " INT64_FORMAT "}",
									  what, ceiling));
	ereport(ERROR,
			(errcode(ERRCODE_CH_EXPORT_REFUSED),
			 strcmp(what, "rows") == 0 ?
			 errmsg("query would send more than " INT64_FORMAT " rows of governed relations", ceiling) :
			 errmsg("query would show values of more than " INT64_FORMAT " persons", ceiling),
			 errhint("Narrow the query, or ask for an export with hub.request_approval('export', ...).")));
}

/* The same for rows, where they are counted elsewhere */
void
export_guard_refuse_rows(int64 ceiling)
{
	refuse_above_ceiling("rows", ceiling);
}

/* Refuse rows beyond the ceiling of the current member */
static void
check_ceiling(uint64 rows)
{
	const Identity *identity = identity_current();
	int64		ceiling;

	if (identity == NULL)
		return;
	ceiling = export_limit_of(identity)->max_rows;
	if (rows > ceiling)
		refuse_above_ceiling("rows", ceiling);
}

/*
 * Count a value that is shown, whether in a row of its own or folded with others
 * into one. Values of a row mostly belong to one person, so a person counts again
 * only after another.
 */
void
export_guard_count_shown(const pg_uuid_t *subject, uint16 class_id, uint64 standing)
{
	ShownCount *count = &shown_counts[class_id % SHOWN_COUNTS];
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	uint64		answer;

	if (exporting)
		return;
	if (count->statement != statement)
	{
		count->statement = statement;
		count->persons = 0;
		count->answer = 0;
	}
	else if (memcmp(&count->last, subject, sizeof(pg_uuid_t)) == 0)
		return;
	count->last = *subject;
	if (++count->persons <= 1)
		return;
	answer = standing != 0 ? standing : identity_answer();
	if (count->answer != answer)
	{
		const Identity *identity = identity_current();

		count->ceiling = identity ? export_limit_of(identity)->max_rows : PG_INT64_MAX;
		count->answer = answer;
	}
	if (count->persons > count->ceiling)
		refuse_above_ceiling("persons", count->ceiling);
}

/* Pass a row on while the ceiling allows it */
static bool
guard_receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	GuardedRun *run = (GuardedRun *) self;
	bool		saved_sending = run_scope.sending;
	bool		go_on;

	run->sent++;
	if (OidIsValid(run->touched) && run->sent > 1)
		check_ceiling(run->sent);
	run_scope.sending = true;
	go_on = run->inner->receiveSlot(slot, run->inner);
	run_scope.sending = saved_sending;
	return go_on;
}

static void
guard_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	DestReceiver *inner = ((GuardedRun *) self)->inner;

	inner->rStartup(inner, operation, desc);
}

static void
guard_shutdown(DestReceiver *self)
{
	DestReceiver *inner = ((GuardedRun *) self)->inner;

	inner->rShutdown(inner);
}

static void
guard_destroy(DestReceiver *self)
{
}

/* Executor run: put the counting receiver in front of what goes to the client */
void
export_guard_begin_run(QueryDesc *query)
{
	GuardedRun *run;
	const char *target;

	/* queries inside this one may not feed what is the member's own either */
	if (run_scope.refused_utility == NULL && (target = private_target(query->plannedstmt)) != NULL)
		run_scope.refused_utility = target;

	run = find_run(query);
	if (run == NULL)
		return;
	run->outer = run_scope.guarded_run;
	run_scope.guarded_run = run;
	run->inner = NULL;
	/* rows that go elsewhere, to a cursor's FETCH too, are counted when the run is over */
	if (query->dest->mydest != DestRemote && query->dest->mydest != DestRemoteExecute)
		return;

	run->pub.receiveSlot = guard_receive_slot;
	run->pub.rStartup = guard_startup;
	run->pub.rShutdown = guard_shutdown;
	run->pub.rDestroy = guard_destroy;
	run->pub.mydest = query->dest->mydest;
	run->inner = query->dest;
	query->dest = &run->pub;
}

/* Executor run went well: count the rows that went to a function or block */
void
export_guard_count_run(QueryDesc *query)
{
	GuardedRun *run = run_scope.guarded_run;

	if (run == NULL || run->query != query)
		return;
	if (run->inner != NULL)
	{
		query->dest = run->inner;
		run->inner = NULL;
		return;
	}
	if (exporting || !OidIsValid(run->touched))
		return;
	run->sent += query->estate->es_processed;
	if (run->sent > 1)
		check_ceiling(run->sent);
}

/* Name a utility statement that must not read governed relations, or NULL */
static const char *
refused_by_guard(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CopyStmt:
			return ((CopyStmt *) parsetree)->is_from ? NULL : "COPY TO";
		case T_CreateTableAsStmt:
			return ((CreateTableAsStmt *) parsetree)->objtype == OBJECT_MATVIEW ?
				"CREATE MATERIALIZED VIEW" : "CREATE TABLE AS";
		case T_RefreshMatViewStmt:
			return "REFRESH MATERIALIZED VIEW";
		case T_DeclareCursorStmt:
			return (((DeclareCursorStmt *) parsetree)->options & CURSOR_OPT_HOLD) != 0 ?
				"DECLARE CURSOR WITH HOLD" : NULL;
		case T_ExplainStmt:
			{
				Node	   *query = ((ExplainStmt *) parsetree)->query;
				ListCell   *cell;

				/* rows removed by a policy are rows of somebody else's */
				foreach(cell, ((ExplainStmt *) parsetree)->options)
				{
					DefElem    *option = lfirst_node(DefElem, cell);

					if (strcmp(option->defname, "analyze") == 0 && defGetBoolean(option) &&
						!settings_allow_explain_analyze())
						return EXPLAIN_ANALYZE;
				}
				if (IsA(query, Query) && ((Query *) query)->commandType == CMD_UTILITY)
					return refused_by_guard(((Query *) query)->utilityStmt);
				return NULL;
			}
		default:
			return NULL;
	}
}

/* Would a relation that a statement makes be a temporary one? */
static bool
is_temporary(RangeVar *range)
{
	return range != NULL && (range->relpersistence == RELPERSISTENCE_TEMP ||
							 isTempNamespace(RangeVarGetCreationNamespace(range)));
}

/* Would an object that a statement makes stand in the schema of temporary objects? */
static bool
is_temporary_name(List *name)
{
	char	   *object;

	return isTempNamespace(QualifiedNameGetCreationNamespace(name, &object));
}

/* Does a statement make a temporary object that stays after its transaction? */
static bool
leaves_temporary_object(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_CreateStmt:
			return ((CreateStmt *) parsetree)->oncommit != ONCOMMIT_DROP &&
				is_temporary(((CreateStmt *) parsetree)->relation);
		case T_CreateTableAsStmt:
			return ((CreateTableAsStmt *) parsetree)->into->onCommit != ONCOMMIT_DROP &&
				is_temporary(((CreateTableAsStmt *) parsetree)->into->rel);
		case T_ViewStmt:
			return is_temporary(((ViewStmt *) parsetree)->view);
		case T_CreateSeqStmt:
			return is_temporary(((CreateSeqStmt *) parsetree)->sequence);
		case T_CompositeTypeStmt:
			return is_temporary(((CompositeTypeStmt *) parsetree)->typevar);
		case T_CreateFunctionStmt:
			return is_temporary_name(((CreateFunctionStmt *) parsetree)->funcname);
		case T_DefineStmt:
			return is_temporary_name(((DefineStmt *) parsetree)->defnames);
		case T_CreateDomainStmt:
			return is_temporary_name(((CreateDomainStmt *) parsetree)->domainname);
		case T_CreateEnumStmt:
			return is_temporary_name(((CreateEnumStmt *) parsetree)->typeName);
		case T_CreateRangeStmt:
			return is_temporary_name(((CreateRangeStmt *) parsetree)->typeName);
		default:
			return false;
	}
}

/*
 * Refuse temporary objects that outlive a token's identity: the next one on this
 * connection would find them before its own tables, or call them.
 */
static void
check_temporary_objects(Node *parsetree)
{
	const Identity *identity;

	if (!identity_present() || superuser() || !leaves_temporary_object(parsetree))
		return;
	identity = identity_current();
	if (identity == NULL || !identity->by_token)
		return;
	if (access_record_denied != NULL)
		access_record_denied("{\"attempt\": \"temporary_object\"}");
	ereport(ERROR,
			(errcode(ERRCODE_CH_NOT_PERMITTED),
			 errmsg("permission denied to create a temporary object that outlives the identity"),
			 errhint("The next transaction of this connection may be another member's. CREATE TEMP TABLE ... ON COMMIT DROP ends with this one.")));
}

/* Before a utility statement: from here on a copy is refused where it reads */
void
export_guard_before_utility(Node *parsetree)
{
	const char *what;

	check_temporary_objects(parsetree);

	/* what the engine does for a member is its own affair */
	if (run_scope.refused_utility != NULL || !identity_present() || (what = refused_by_guard(parsetree)) == NULL ||
		superuser() || !governed_any())
		return;

	/* without row security COPY reads the table past the executor */
	if (IsA(parsetree, CopyStmt) && ((CopyStmt *) parsetree)->relation != NULL)
	{
		Oid			relid = RangeVarGetRelid(((CopyStmt *) parsetree)->relation, NoLock, true);

		if (OidIsValid(relid) && governed_is(relid) && identity_current() != NULL)
			refuse_copy(what, relid);
	}
	run_scope.refused_utility = what;
}
