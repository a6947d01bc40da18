/*
 * session.c: what a session asks of the audit worker of its database, and the
 * commands that make the worker come and go.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "storage/ipc.h"
#include "utils/acl.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "audit/launcher.h"
#include "audit/worker.h"
#include "foundation/compat.h"
#include "foundation/errors.h"

/* A worker that has not left by then is told again, and then not politely */
#define HOLD_NUDGE_MS 1000
#define HOLD_PATIENCE_MS 15000

/* How often a worker may fail while a session waits for it */
#define WORKER_FAILURES 3

/* Why a database is wanted without its worker */
typedef enum HoldReason
{
	HOLD_DROP,
	HOLD_COPY,
	HOLD_CHANGE
} HoldReason;

/* To do when this transaction commits */
static bool start_on_commit = false;	/* CREATE EXTENSION */
static bool wake_on_commit = false; /* DROP EXTENSION */
static bool probe_on_commit = false;	/* CREATE DATABASE */

/* The slot whose worker this transaction keeps away, or NULL */
static AuditSlot *held_slot = NULL;
static bool held_for_drop = false;

PG_FUNCTION_INFO_V1(hub_start_audit_worker);
PG_FUNCTION_INFO_V1(hub_wait_for_audit);
PG_FUNCTION_INFO_V1(hub_seal_audit);
PG_FUNCTION_INFO_V1(hub_audit_worker_pid);

/* Say that no slot is left */
static void
report_no_slot(int level)
{
	ereport(level,
			(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
			 errmsg("no audit worker can be started for this database: all %d are in use",
					slot_count()),
			 errdetail("Without an audit worker no protected data is revealed."),
			 errhint("Increase customer_hub.audit_databases and restart the server.")));
}

/* Begin to wait for the worker of this database */
void
worker_wait_init(WorkerWait *wait)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
				 errmsg("the audit trail cannot be written on a standby"),
				 errhint("Run this on the primary.")));
	wait->absent_since = 0;
	wait->slot = slot_of_database(MyDatabaseId);
	if (wait->slot == NULL)
		wait->slot = slot_request(MyDatabaseId, false);
	if (wait->slot == NULL)
		report_no_slot(ERROR);
	wait->failures = wait->slot->failures;
}

/* Say that there is a worker now and then, but that it does not get on */
static void
report_failing_worker(void)
{
	ConditionVariableCancelSleep();
	ereport(ERROR,
			(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
			 errmsg("audit worker of this database keeps failing"),
			 errhint("See the server log for its error.")));
}

/* Wait for a change; see worker.h */
void
worker_wait(WorkerWait *wait)
{
	AuditSlot  *slot;
	bool		running = false;
	uint32		failures = 0;

	slot = slot_of_database(MyDatabaseId);
	if (slot)
	{
		LWLockAcquire(&slot->lock, LW_SHARED);
		running = slot->open && slot->database == MyDatabaseId;
		failures = slot->failures;
		LWLockRelease(&slot->lock);
		if (slot == wait->slot && failures - wait->failures > WORKER_FAILURES)
			report_failing_worker();
	}

	if (running)
		wait->absent_since = 0;
	else
	{
		TimestampTz now = GetCurrentTimestamp();

		slot = slot_request(MyDatabaseId, false);
		if (slot != wait->slot && slot != NULL)
			wait->failures = slot->failures;
		if (slot == NULL)
		{
			ConditionVariableCancelSleep();
			report_no_slot(ERROR);
		}
		if (wait->absent_since == 0)
			wait->absent_since = now;
		else if (TimestampDifferenceExceeds(wait->absent_since, now, WORKER_PATIENCE_MS))
		{
			ConditionVariableCancelSleep();
			ereport(ERROR,
					(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
					 errmsg("audit worker is not running"),
					 errdetail("Without an audit worker no protected data is revealed."),
					 errhint("See the server log for why it does not start; it needs a free background worker slot (max_worker_processes).")));
		}
	}
	wait->slot = slot;
	(void) ConditionVariableTimedSleep(&slot->changed, 200, PG_WAIT_EXTENSION);
}

/* Wait until everything up to a ring position is committed */
void
worker_wait_committed(AuditSlot *slot, uint64 position)
{
	WorkerWait	wait;
	Latch	   *latch;

	worker_wait_init(&wait);
	latch = slot_want(slot, position);
	if (latch)
		SetLatch(latch);
	for (;;)
	{
		bool		done;

		LWLockAcquire(&slot->lock, LW_SHARED);
		done = slot->tail >= position || slot->database != MyDatabaseId;
		LWLockRelease(&slot->lock);
		if (done)
			break;
		worker_wait(&wait);
	}
	ConditionVariableCancelSleep();
}

/* Have the worker of this database started once CREATE EXTENSION commits */
Datum
hub_start_audit_worker(PG_FUNCTION_ARGS)
{
	start_on_commit = true;
	PG_RETURN_VOID();
}

/* Wait until every reveal made before the call, by any session, is in hub.audit_event */
void
worker_wait_all(void)
{
	AuditSlot  *slot = slot_of_database(MyDatabaseId);

	if (slot)
	{
		uint64		position;

		LWLockAcquire(&slot->lock, LW_SHARED);
		position = slot->head;
		LWLockRelease(&slot->lock);
		worker_wait_committed(slot, position);
	}
}

/* hub.wait_for_audit() returns void */
Datum
hub_wait_for_audit(PG_FUNCTION_ARGS)
{
	worker_wait_all();
	PG_RETURN_VOID();
}

/* Have the worker seal what is committed by now, and wait until it has */
Datum
hub_seal_audit(PG_FUNCTION_ARGS)
{
	WorkerWait	wait;
	AuditSlot  *asked = NULL;
	uint64		ticket = 0;

	worker_wait_all();
	worker_wait_init(&wait);
	for (;;)
	{
		AuditSlot  *slot = wait.slot;
		Latch	   *latch = NULL;
		bool		done = false;

		LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
		if (slot->database == MyDatabaseId && slot->open)
		{
			if (asked != slot || slot->seal_wanted < ticket)
			{
				asked = slot;
				ticket = ++slot->seal_wanted;
				latch = slot->latch;
			}
			done = slot->seal_done >= ticket;
		}
		LWLockRelease(&slot->lock);
		if (latch)
			SetLatch(latch);
		if (done)
			break;
		worker_wait(&wait);
	}
	ConditionVariableCancelSleep();
	PG_RETURN_VOID();
}

/* Return the process id of this database's audit worker, or NULL */
Datum
hub_audit_worker_pid(PG_FUNCTION_ARGS)
{
	AuditSlot  *slot = slot_of_database(MyDatabaseId);
	int			pid = 0;

	if (slot)
	{
		LWLockAcquire(slot_table_lock(), LW_SHARED);
		if (slot->database == MyDatabaseId && slot->state == SLOT_RUNNING)
			pid = slot->pid;
		LWLockRelease(slot_table_lock());
	}
	if (pid == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(pid);
}

/* Let the worker that this transaction kept away come back, unless its database is gone */
static void
let_go(bool committed)
{
	if (held_slot == NULL)
		return;
	LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
	if (held_slot->holder == MyProcPid)
	{
		held_slot->holder = 0;
		if (committed && held_for_drop && held_slot->pid == 0 && held_slot->state == SLOT_WANTED)
			slot_release(held_slot);
	}
	LWLockRelease(slot_table_lock());
	held_slot = NULL;
	held_for_drop = false;
	slot_wake_launcher();
}

/* Stop the worker of a database and keep it away until this transaction ends */
static void
hold_worker(Oid database, bool for_drop)
{
	AuditSlot  *slot = slot_of_database(database);
	TimestampTz begun = GetCurrentTimestamp();
	TimestampTz nudged = 0;

	if (slot == NULL)
		return;
	let_go(false);
	LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
	if (slot->database == database && slot->holder == 0)
	{
		slot->holder = MyProcPid;
		held_slot = slot;
		held_for_drop = for_drop;
	}
	LWLockRelease(slot_table_lock());
	if (held_slot == NULL)
		return;					/* another session sees to it */

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		gone;
		pid_t		pid;

		LWLockAcquire(slot_table_lock(), LW_SHARED);
		pid = slot->pid;
		gone = slot->database != database ||
			(pid == 0 && slot->state != SLOT_STARTING);
		LWLockRelease(slot_table_lock());
		if (gone || TimestampDifferenceExceeds(begun, now, HOLD_PATIENCE_MS))
			break;				/* if it stayed, the command itself says so */
		if (pid != 0 && TimestampDifferenceExceeds(nudged, now, HOLD_NUDGE_MS))
		{
			kill(pid, SIGTERM);
			nudged = now;
		}
		(void) ConditionVariableTimedSleep(&slot->changed, 200, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/* May the current user create databases? */
static bool
may_create_databases(void)
{
	HeapTuple	tuple;
	bool		may = false;

	if (superuser())
		return true;
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (HeapTupleIsValid(tuple))
	{
		may = ((Form_pg_authid) GETSTRUCT(tuple))->rolcreatedb;
		ReleaseSysCache(tuple);
	}
	return may;
}

/* Hold the worker of a database, if the user may do to it what the command does */
static void
hold_by_name(const char *name, HoldReason reason)
{
	Oid			database = get_database_oid(name, true);

	if (OidIsValid(database) &&
		(compat_database_owned(database, GetUserId()) || (reason == HOLD_COPY && may_create_databases())))
		hold_worker(database, reason == HOLD_DROP);
}

/* Get the worker out of the way of commands that need a database to themselves */
void
launcher_before_utility(Node *parsetree)
{
	ListCell   *cell;

	if (RecoveryInProgress())
		return;

	switch (nodeTag(parsetree))
	{
		case T_DropdbStmt:
			hold_by_name(((DropdbStmt *) parsetree)->dbname, HOLD_DROP);
			break;
		case T_CreatedbStmt:
			{
				const char *source = "template1";

				foreach(cell, ((CreatedbStmt *) parsetree)->options)
				{
					DefElem    *option = lfirst_node(DefElem, cell);

					if (strcmp(option->defname, "template") == 0 && option->arg)
						source = defGetString(option);
				}
				probe_on_commit = true;
				hold_by_name(source, HOLD_COPY);
				break;
			}
		case T_AlterDatabaseStmt:
			foreach(cell, ((AlterDatabaseStmt *) parsetree)->options)
			{
				if (strcmp(lfirst_node(DefElem, cell)->defname, "tablespace") == 0)
					hold_by_name(((AlterDatabaseStmt *) parsetree)->dbname, HOLD_CHANGE);
			}
			break;
		case T_RenameStmt:
			if (((RenameStmt *) parsetree)->renameType == OBJECT_DATABASE)
				hold_by_name(((RenameStmt *) parsetree)->subname, HOLD_CHANGE);
			break;
		case T_DropStmt:
			if (((DropStmt *) parsetree)->removeType == OBJECT_EXTENSION ||
				((DropStmt *) parsetree)->removeType == OBJECT_SCHEMA)
				wake_on_commit = true;
			break;
		default:
			break;
	}
}

/* Do what waits for the end of the transaction */
static void
end_transaction(XactEvent event, void *arg)
{
	AuditSlot  *slot;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (start_on_commit && slot_request(MyDatabaseId, false) == NULL)
				report_no_slot(WARNING);
			if (wake_on_commit && (slot = slot_of_database(MyDatabaseId)) != NULL)
			{
				Latch	   *latch;

				LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
				slot->look = true;
				latch = slot->open ? slot->latch : NULL;
				LWLockRelease(&slot->lock);
				if (latch)
					SetLatch(latch);
			}
			if (probe_on_commit)
				slot_ask_probe();
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			break;
		default:
			return;
	}
	start_on_commit = wake_on_commit = probe_on_commit = false;
	let_go(event == XACT_EVENT_COMMIT);
}

/* Register the launcher, and watch transactions end; called once from _PG_init */
void
launcher_init(void)
{
	launcher_register();
	RegisterXactCallback(end_transaction, NULL);
}
