#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/launcher.h"
#include "audit/slot.h"
#include "foundation/compat.h"

/* How many databases are looked at for the extension at a time */
#define PROBES_AT_A_TIME 2

/* A worker that has not come up by then is asked for again */
#define START_TIMEOUT_MS 30000

static BackgroundWorkerHandle **handles = NULL;
static TimestampTz *started_at = NULL;
static bool probes_delayed = false;

/* Register the launcher with the postmaster */
void
launcher_register(void)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), LAUNCHER_LIBRARY);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "audit_launcher_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "customer_hub audit launcher");
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), "customer_hub audit launcher");
	RegisterBackgroundWorker(&worker);
}

/* List the databases that can be connected to, except templates, in the current context */
static List *
list_databases(void)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *databases = NIL;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old_context;

		if (!database->datallowconn || database->datistemplate)
			continue;
		old_context = MemoryContextSwitchTo(context);
		databases = lappend_oid(databases, database->oid);
		MemoryContextSwitchTo(old_context);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return databases;
}

/* Ask the postmaster for the worker of a slot; false when it has no room for one */
static bool
start_worker(int number)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_library_name, sizeof(worker.bgw_library_name), LAUNCHER_LIBRARY);
	snprintf(worker.bgw_function_name, sizeof(worker.bgw_function_name), "audit_worker_main");
	snprintf(worker.bgw_name, sizeof(worker.bgw_name), "%s for database %u",
			 LAUNCHER_WORKER_TYPE, slot_number(number)->database);
	snprintf(worker.bgw_type, sizeof(worker.bgw_type), LAUNCHER_WORKER_TYPE);
	worker.bgw_main_arg = Int32GetDatum(number);
	worker.bgw_notify_pid = MyProcPid;

	if (handles[number])
	{
		pfree(handles[number]);
		handles[number] = NULL;
	}
	return RegisterDynamicBackgroundWorker(&worker, &handles[number]);
}

/* Did the postmaster start what we asked for, and is it gone without a word? */
static bool
start_failed(int number)
{
	pid_t		pid;

	if (handles[number] == NULL)
		return TimestampDifferenceExceeds(started_at[number], GetCurrentTimestamp(),
										  START_TIMEOUT_MS);
	return GetBackgroundWorkerPid(handles[number], &pid) == BGWH_STOPPED;
}

/* See to one slot; returns true when it has to be looked at again soon */
static bool
serve_slot(int number, List *databases)
{
	AuditSlot  *slot = slot_number(number);
	TimestampTz now = GetCurrentTimestamp();
	bool		start = false;
	bool		soon = false;

	LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
	if (slot->state == SLOT_STARTING && slot->pid == 0 && start_failed(number))
	{
		if (slot->probe)
			slot_release(slot);
		else
		{
			slot->state = SLOT_WANTED;
			slot->not_before = now + INT64CONST(1000000);
		}
	}
	if (slot->state == SLOT_WANTED && slot->holder == 0 && slot->not_before <= now)
	{
		if (list_member_oid(databases, slot->database))
		{
			slot->state = SLOT_STARTING;
			started_at[number] = now;
			start = true;
		}
		else
			slot_release(slot);
	}
	soon = slot->state == SLOT_WANTED || slot->state == SLOT_STARTING;
	LWLockRelease(slot_table_lock());

	if (start && !start_worker(number))
	{
		LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
		if (slot->state == SLOT_STARTING && slot->pid == 0)
		{
			slot->state = SLOT_WANTED;
			slot->not_before = now + INT64CONST(5000000);
		}
		LWLockRelease(slot_table_lock());
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("out of background worker slots for the customer_hub audit"),
				 errhint("You might need to increase max_worker_processes.")));
	}
	return soon;
}

/* Have databases looked at that may have the extension; returns those still to do */
static List *
probe_databases(List *unknown)
{
	int			probing = 0;

	for (int i = 0; i < slot_count(); i++)
	{
		AuditSlot  *slot = slot_number(i);

		LWLockAcquire(slot_table_lock(), LW_SHARED);
		if (slot->probe && (slot->state == SLOT_WANTED || slot->state == SLOT_STARTING))
			probing++;
		LWLockRelease(slot_table_lock());
	}

	while (unknown != NIL && probing < PROBES_AT_A_TIME)
	{
		if (slot_request(linitial_oid(unknown), true) == NULL)
		{
			if (!probes_delayed)
				ereport(LOG,
						(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
						 errmsg("no slot left to look for customer_hub in %d more databases",
								list_length(unknown)),
						 errhint("You might need to increase customer_hub.audit_databases.")));
			probes_delayed = true;
			return unknown;
		}
		unknown = list_delete_first(unknown);
		probing++;
	}
	probes_delayed = false;
	return unknown;
}

/* Leave no dangling latch behind */
static void
launcher_exit(int code, Datum arg)
{
	slot_set_launcher(NULL);
}

/* The launcher: starts a worker for each database that has or may have the extension */
void
audit_launcher_main(Datum arg)
{
	List	   *known = NIL;	/* databases looked at, in TopMemoryContext */
	List	   *unknown = NIL;	/* databases to look at */
	MemoryContext loop_context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	handles = MemoryContextAllocZero(TopMemoryContext, sizeof(*handles) * slot_count());
	started_at = MemoryContextAllocZero(TopMemoryContext, sizeof(*started_at) * slot_count());
	for (int i = 0; i < slot_count(); i++)
		started_at[i] = GetCurrentTimestamp();
	loop_context = AllocSetContextCreate(TopMemoryContext, "customer_hub audit launcher",
										 ALLOCSET_DEFAULT_SIZES);
	before_shmem_exit(launcher_exit, (Datum) 0);
	slot_set_launcher(MyLatch);
	slot_ask_probe();

	for (;;)
	{
		List	   *databases;
		bool		soon = false;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ShutdownRequestPending)
			proc_exit(1);		/* 0 would mean never to come back */
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		MemoryContextReset(loop_context);
		MemoryContextSwitchTo(loop_context);
		databases = list_databases();
		if (slot_take_probe())
		{
			ListCell   *cell;

			MemoryContextSwitchTo(TopMemoryContext);
			foreach(cell, databases)
			{
				if (!list_member_oid(known, lfirst_oid(cell)))
				{
					known = lappend_oid(known, lfirst_oid(cell));
					unknown = lappend_oid(unknown, lfirst_oid(cell));
				}
			}
			MemoryContextSwitchTo(loop_context);
		}
		unknown = probe_databases(unknown);
		for (int i = 0; i < slot_count(); i++)
			soon |= serve_slot(i, databases);

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 soon ? 200 : unknown != NIL ? 5000 : 60000, PG_WAIT_EXTENSION);
	}
}
