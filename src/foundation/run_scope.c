/*
 * run_scope.c: puts the scope of a run back when it ended in an error.
 *
 * Whoever catches an error in PostgreSQL rolls a subtransaction back, or the
 * transaction. The scope then becomes what it was when that began.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "foundation/run_scope.h"

RunScope	run_scope = {.to_client = true};

/* Between transactions: that of the utility statement that runs them, if there is one */
static RunScope outermost = {.to_client = true};

typedef struct SubtransactionScope
{
	SubTransactionId id;
	RunScope	scope;
} SubtransactionScope;

/* Those that are open, innermost last */
static SubtransactionScope *begun = NULL;
static int	begun_count = 0;
static int	begun_size = 0;

/* Nothing but utility statements goes past the end of a transaction */
static void
end_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			run_scope = outermost;
			begun_count = 0;
			break;
		default:
			break;
	}
}

/* Remember the scope in which a subtransaction begins */
static void
begin_subtransaction(SubTransactionId id)
{
	if (begun_count == begun_size)
	{
		int			size = Max(16, begun_size * 2);

		begun = begun == NULL ? MemoryContextAlloc(TopMemoryContext, size * sizeof(SubtransactionScope)) :
			repalloc(begun, size * sizeof(SubtransactionScope));
		begun_size = size;
	}
	begun[begun_count].id = id;
	begun[begun_count].scope = run_scope;
	begun_count++;
}

/* Follow subtransactions */
static void
change_subtransaction(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_START_SUB)
		begin_subtransaction(id);
	else if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB)
	{
		while (begun_count > 0 && begun[begun_count - 1].id >= id)
		{
			begun_count--;
			if (event == SUBXACT_EVENT_ABORT_SUB)
				run_scope = begun[begun_count].scope;
		}
	}
}

/* Follow transactions; called once from _PG_init */
void
run_scope_init(void)
{
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(change_subtransaction, NULL);
}

/* Make the current scope what transactions end in, if no query encloses it */
void
run_scope_enter_utility(RunScope *outer)
{
	*outer = outermost;
	if (run_scope.depth == 0)
		outermost = run_scope;
}

/* Put back the scope before a utility statement, and what transactions ended in */
void
run_scope_leave_utility(const RunScope *saved, const RunScope *outer)
{
	run_scope = *saved;
	outermost = *outer;
}
