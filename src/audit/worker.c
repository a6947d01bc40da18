#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/event.h"
#include "audit/launcher.h"
#include "audit/posting.h"
#include "audit/reveal.h"
#include "audit/seal.h"
#include "audit/worker.h"
#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "foundation/settings.h"

/* Records that one transaction takes out of the ring at most */
#define BATCH_BYTES (256 * 1024)

/*
 * What came into the ring may wait this long for more to come: then one transaction
 * takes many reveals, and the worker is not in the reader's way. Not when somebody
 * waits, or the ring fills.
 */
#define GATHER_MS 10

/* An idle worker looks this often whether the extension is still there */
#define IDLE_CHECK_MS 5000

/* And this often whether the trail has the partitions it will need */
#define PARTITIONS_MS (600 * 1000)

static AuditSlot *my_slot = NULL;

/* The extension is not in this database: there is nothing to come back for */
static bool extension_gone = false;

/* Take the first SIGTERM as a request, which leaves time to drain; the second as an order */
static void
handle_sigterm(SIGNAL_ARGS)
{
	int			saved_errno = errno;

	if (ShutdownRequestPending)
		die(postgres_signal_arg);
	else
		SignalHandlerForShutdownRequest(postgres_signal_arg);
	errno = saved_errno;
}

/* Sign the worker in; a slot that is not ours to take ends the process */
static void
attach(AuditSlot *slot)
{
	LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
	if (slot->state != SLOT_STARTING || slot->pid != 0)
	{
		LWLockRelease(slot_table_lock());
		proc_exit(0);
	}
	if (slot->holder != 0)
	{
		slot->state = SLOT_WANTED;
		LWLockRelease(slot_table_lock());
		ConditionVariableBroadcast(&slot->changed);
		proc_exit(0);
	}
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	my_slot = slot;
	LWLockRelease(slot_table_lock());
}

/* Take no more records */
static void
close_ring(void)
{
	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	my_slot->open = false;
	ring_close_lists(my_slot);
	LWLockRelease(&my_slot->lock);
}

/* Sign the worker out, on whichever way it leaves, and say whether to come back */
static void
detach(int code, Datum arg)
{
	AuditSlot  *slot = my_slot;

	LWLockReleaseAll();
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->open = false;
	slot->napping = false;
	ring_close_lists(slot);
	if (code != 0)
		slot->failures++;
	LWLockRelease(&slot->lock);
	LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
	slot->pid = 0;
	slot->latch = NULL;
	if (extension_gone || (slot->probe && slot->state == SLOT_STARTING))
		slot_release(slot);
	else
	{
		slot->state = SLOT_WANTED;
		/* after a failure, not at once again */
		slot->not_before = code == 0 ? 0 :
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 1000);
	}
	LWLockRelease(slot_table_lock());
	my_slot = NULL;
	ConditionVariableBroadcast(&slot->changed);
	slot_wake_launcher();
}

/* Begin a transaction of the worker's */
static void
begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* End it */
static void
commit(void)
{
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Look whether the database still has the extension; ends the process when not */
static void
check_extension(void)
{
	begin("looking for customer_hub");
	extension_gone = !catalog_installed();
	commit();
	if (extension_gone)
		proc_exit(0);
}

/* Tell whether it is time to take out of the ring what is there; *gather_until is 0 unless it gathers */
static bool
drain_is_due(TimestampTz now, TimestampTz *gather_until)
{
	bool		due;

	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	if (my_slot->head == my_slot->tail)
		*gather_until = 0;
	else if (*gather_until == 0)
		*gather_until = TimestampTzPlusMilliseconds(now, GATHER_MS);
	due = *gather_until != 0 &&
		(now >= *gather_until || ShutdownRequestPending || my_slot->wanted > my_slot->tail ||
		 slot_is_filling(my_slot));
	if (due)
		*gather_until = 0;
	my_slot->napping = *gather_until != 0;
	LWLockRelease(&my_slot->lock);
	return due;
}

/* Bring what is in the ring into the trail, one transaction per batch; true while there is more */
static bool
drain(MemoryContext context)
{
	StringInfoData records;
	uint64		tail;
	bool		there;

	MemoryContextReset(context);
	MemoryContextSwitchTo(context);
	initStringInfo(&records);
	slot_peek(my_slot, BATCH_BYTES, &records, &tail);
	if (records.len == 0)
		return false;

	begin("recording reveals");
	there = reveal_store(records.data, records.len);
	commit();
	if (!there)
	{
		check_extension();		/* exits, unless the extension was created anew meanwhile */
		return false;
	}
	slot_advance(my_slot, tail);
	return true;
}

/* Seal, and answer those who asked for it before we began */
static void
seal(MemoryContext context)
{
	uint64		wanted;
	SealResult	result;

	LWLockAcquire(&my_slot->lock, LW_SHARED);
	wanted = my_slot->seal_wanted;
	LWLockRelease(&my_slot->lock);

	do
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		begin("sealing the audit trail");
		result = seal_run();
		commit();
		seal_committed(my_slot);
		if (result == SEAL_EXTENSION_GONE)
			check_extension();
	} while (result == SEAL_AGAIN);

	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	my_slot->seal_done = wanted;
	LWLockRelease(&my_slot->lock);
	ConditionVariableBroadcast(&my_slot->changed);
}

/* Index some of what was sealed; true while there is more. No failure may keep anybody from recording */
static bool
write_postings(MemoryContext context)
{
	volatile bool more = false;

	MemoryContextReset(context);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		begin("indexing the audit trail");
		more = posting_run();
		commit();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* an order to end is one */
		if (ProcDiePending)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		pgstat_report_activity(STATE_IDLE, NULL);
		posting_give_up(error);
		more = false;
	}
	PG_END_TRY();
	return more;
}

/*
 * Make the partitions that the trail will need. That wants a lock which writers
 * of a long transaction may hold, and others would queue behind us: rather try
 * again later.
 */
static void
make_partitions(MemoryContext context)
{
	MemoryContextReset(context);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		begin("making partitions of the audit trail");
		if (catalog_installed() && event_origin_is_current(NULL))
		{
			(void) set_config_option("lock_timeout", "50ms", PGC_SUSET, PGC_S_SESSION,
									 GUC_ACTION_LOCAL, true, 0, false);
			PushActiveSnapshot(GetTransactionSnapshot());
			SPI_connect();
			SPI_execute("SELECT hub.ensure_audit_partitions()", false, 0);
			SPI_finish();
			PopActiveSnapshot();
		}
		commit();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		FlushErrorState();
		AbortCurrentTransaction();
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	PG_END_TRY();
}

/* Settings of the role or the database must not change how the trail is written */
static void
fix_settings(void)
{
	static const char *const fixed[][2] = {
		{"application_name", LAUNCHER_WORKER_TYPE},
		{"search_path", "pg_catalog, pg_temp"},
		{"default_transaction_read_only", "off"},
		{"default_transaction_isolation", "read committed"},
		{"synchronous_commit", "on"},
		{"session_replication_role", "origin"},
		{"row_security", "on"},
		{"statement_timeout", "0"},
		{"lock_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"idle_session_timeout", "0"}
	};

	for (int i = 0; i < lengthof(fixed); i++)
		SetConfigOption(fixed[i][0], fixed[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	pgstat_report_appname(LAUNCHER_WORKER_TYPE);
}

/* Open the ring: from here on sessions may reveal */
static void
open_for_service(void)
{
	LWLockAcquire(slot_table_lock(), LW_EXCLUSIVE);
	my_slot->state = SLOT_RUNNING;
	my_slot->probe = false;
	LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
	my_slot->open = true;
	my_slot->heartbeat = GetCurrentTimestamp();
	LWLockRelease(&my_slot->lock);
	LWLockRelease(slot_table_lock());
	ConditionVariableBroadcast(&my_slot->changed);
}

/* The audit worker of one database */
void
audit_worker_main(Datum arg)
{
	AuditSlot  *slot = slot_number(DatumGetInt32(arg));
	MemoryContext context;
	TimestampTz next_seal;
	TimestampTz next_check;
	TimestampTz next_partitions;
	TimestampTz gather_until = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, handle_sigterm);
	BackgroundWorkerUnblockSignals();

	attach(slot);
	before_shmem_exit(detach, (Datum) 0);
	BackgroundWorkerInitializeConnectionByOid(slot->database, InvalidOid, 0);
	fix_settings();
	check_extension();
	open_for_service();

	context = AllocSetContextCreate(TopMemoryContext, "customer_hub audit worker",
									ALLOCSET_DEFAULT_SIZES);
	next_seal = GetCurrentTimestamp();
	next_check = TimestampTzPlusMilliseconds(next_seal, IDLE_CHECK_MS);
	next_partitions = next_seal;

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		more;
		bool		asked;
		bool		look;
		TimestampTz wake_at;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			next_seal = now;
		}
		if (ShutdownRequestPending)
			close_ring();

		LWLockAcquire(&my_slot->lock, LW_EXCLUSIVE);
		my_slot->heartbeat = now;
		asked = my_slot->seal_wanted != my_slot->seal_done;
		look = my_slot->look;
		my_slot->look = false;
		LWLockRelease(&my_slot->lock);

		more = drain_is_due(now, &gather_until) && drain(context);
		if (ShutdownRequestPending)
		{
			if (more)
				continue;
			proc_exit(0);
		}

		if (!look && (asked || now >= next_seal))
		{
			seal(context);
			next_seal = TimestampTzPlusMilliseconds(now, settings_seal_interval());
			next_check = TimestampTzPlusMilliseconds(now, IDLE_CHECK_MS);
		}
		else if (look || now >= next_check)
		{
			check_extension();
			next_check = TimestampTzPlusMilliseconds(now, IDLE_CHECK_MS);
		}
		if (posting_due() && !ShutdownRequestPending)
			more |= write_postings(context);
		if (more)
			continue;
		if (now >= next_partitions)
		{
			make_partitions(context);
			next_partitions = TimestampTzPlusMilliseconds(now, PARTITIONS_MS);
		}

		wake_at = Min(next_seal, next_check);
		if (gather_until != 0)
			wake_at = Min(wake_at, gather_until);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wake_at),
						 PG_WAIT_EXTENSION);
	}
}
