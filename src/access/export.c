/*
 * export.c: hub.export(), the approved way out for many rows.
 *
 * Rows are read from a cursor, a batch at a time, as the caller takes them. That
 * the export was begun is on record, and its ticket taken, before the first row
 * leaves: neither a cancel nor a rollback takes that back.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/progress.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "access/access.h"
#include "access/export_guard.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

PG_FUNCTION_INFO_V1(hub_export);

#define ROWS_AT_A_TIME 1000

/* Longer parameters are found under the number of the request */
#define PARAMS_MAX 1500

/* Places of pg_stat_progress_copy that COPY leaves free; hub.export_progress reads them */
#define PROGRESS_EXPORT_FOUND 18
#define PROGRESS_EXPORT_REQUEST 19

typedef struct Export
{
	int64		request;
	int64		max_rows;
	int64		found;			/* rows there were when it began */
	int64		sent;
	int64		next_record;	/* put the progress on record when so many are sent */
	Oid			relation;
	char	   *query;
	char	   *params;			/* as JSON text */
	char	   *portal;			/* name of the cursor */
	bool		own_progress;	/* progress is reported as ours, not as an enclosing COPY's */
	bool		done;
	MemoryContext batch_context;
	Datum	   *batch;
	int			batch_size;
	int			batch_next;
} Export;

/* Have the request checked and marked as used; fills in what to read */
static void
begin_export(Export *export, char **count_query)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(export->request)};
	EngineScope scope;
	bool		isnull;

	engine_begin(&scope);
	if (SPI_execute_with_args("SELECT query, count_query, max_rows, relation, params FROM hub.begin_export($1)", 1, types, values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not begin the export");
	export->query = MemoryContextStrdup(caller_context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	*count_query = MemoryContextStrdup(caller_context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2));
	export->max_rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	export->relation = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4, &isnull));
	export->params = MemoryContextStrdup(caller_context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5));
	engine_end(&scope);
}

/* Count the rows as the caller, up to one more than were approved */
static void
count_rows(Export *export, const char *count_query)
{
	bool		isnull;

	SPI_connect();
	if (SPI_execute(count_query, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count the rows of the export");
	export->found = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	if (export->found > export->max_rows)
		ereport(ERROR,
				(errcode(ERRCODE_CH_EXPORT_REFUSED),
				 errmsg("export has more than the " INT64_FORMAT " rows that were approved", export->max_rows),
				 errhint("Nothing was handed out and the approval is still good; or ask for one with a larger max_rows.")));
}

/* Take the ticket, once and for all */
static void
take_ticket(const Export *export)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(export->request)};
	EngineScope scope;

	engine_begin(&scope);
	if (SPI_execute_with_args("SELECT hub.take_export_ticket($1)", 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not take the ticket of the export");
	engine_end(&scope);

	/* neither a crash nor a rollback may give the ticket back once rows have left */
	XLogFlush(GetXLogInsertRecPtr());
}

/* Put on record how far the export is, whatever becomes of the transaction */
static void
record_step(const Export *export, const char *step)
{
	if (access_record_export != NULL)
		access_record_export(psprintf("{\"step\": \"%s\", \"request\": " INT64_FORMAT ", \"rows_found\": " INT64_FORMAT ", \"rows\": " INT64_FORMAT ", \"params\": %s}",
									  step, export->request, export->found, export->sent,
									  strlen(export->params) <= PARAMS_MAX ? export->params : "null"));
}

/* Report the progress, unless this is inside a COPY, which reports its own */
static void
begin_progress(Export *export)
{
	export->own_progress = MyBEEntry != NULL && MyBEEntry->st_progress_command == PROGRESS_COMMAND_INVALID;
	if (!export->own_progress)
		return;
	pgstat_progress_start_command(PROGRESS_COMMAND_COPY, export->relation);
	pgstat_progress_update_param(PROGRESS_COPY_COMMAND, PROGRESS_COPY_COMMAND_TO);
	pgstat_progress_update_param(PROGRESS_COPY_TYPE, PROGRESS_COPY_TYPE_CALLBACK);
	pgstat_progress_update_param(PROGRESS_EXPORT_FOUND, export->found);
	pgstat_progress_update_param(PROGRESS_EXPORT_REQUEST, export->request);
}

/* Open the cursor */
static void
open_cursor(Export *export)
{
	MemoryContext caller_context = CurrentMemoryContext;
	SPIPlanPtr	plan;

	SPI_connect();
	plan = SPI_prepare(export->query, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare the export: %s", SPI_result_code_string(SPI_result));
	export->portal = MemoryContextStrdup(caller_context, SPI_cursor_open(NULL, plan, NULL, NULL, true)->name);
	SPI_finish();
}

/* Read the next batch; it has no rows when there are none left */
static void
read_batch(Export *export)
{
	Portal		portal;
	MemoryContext old_context;

	MemoryContextReset(export->batch_context);
	export->batch_size = export->batch_next = 0;
	SPI_connect();
	portal = SPI_cursor_find(export->portal);
	if (portal == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_CURSOR_STATE),
				 errmsg("the cursor of export " INT64_FORMAT " was closed", export->request),
				 errhint("Ask for another export.")));
	SPI_cursor_fetch(portal, true, Min(ROWS_AT_A_TIME, export->max_rows - export->sent));
	old_context = MemoryContextSwitchTo(export->batch_context);
	export->batch = palloc(Max(SPI_processed, 1) * sizeof(Datum));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		export->batch[export->batch_size++] = datumCopy(value, false, -1);
	}
	MemoryContextSwitchTo(old_context);
	SPI_freetuptable(SPI_tuptable);
	if (export->batch_size == 0)
		SPI_cursor_close(portal);
	SPI_finish();
}

/* Run a step of the export; rows that it reads do not count, and an error leaves a record */
static void
run_step(Export *export, void (*step) (Export *export))
{
	bool		saved_exporting = export_guard_set_exporting(true);
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		step(export);
	}
	PG_CATCH();
	{
		export_guard_set_exporting(saved_exporting);
		MemoryContextSwitchTo(context);
		record_step(export, "interrupted");
		PG_RE_THROW();
	}
	PG_END_TRY();
	export_guard_set_exporting(saved_exporting);
}

/* The query is over: the caller may not have taken all rows */
static void
end_export(Datum argument)
{
	Export	   *export = (Export *) DatumGetPointer(argument);

	if (export->done)
		return;
	export->done = true;
	record_step(export, "finished");
	if (export->own_progress)
		pgstat_progress_end_command();
}

/* Check the request and begin */
static Export *
start_export(int64 request, ReturnSetInfo *result)
{
	Export	   *export = palloc0(sizeof(Export));
	char	   *count_query;
	bool		saved_exporting;

	export->request = request;
	begin_export(export, &count_query);
	saved_exporting = export_guard_set_exporting(true);
	PG_TRY();
	{
		count_rows(export, count_query);
	}
	PG_FINALLY();
	{
		export_guard_set_exporting(saved_exporting);
	}
	PG_END_TRY();
	take_ticket(export);
	record_step(export, "started");
	export->next_record = ROWS_AT_A_TIME;
	export->batch_context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub export", ALLOCSET_DEFAULT_SIZES);
	begin_progress(export);
	run_step(export, open_cursor);
	RegisterExprContextCallback(result->econtext, end_export, PointerGetDatum(export));
	return export;
}

/* Hand out the rows of an approved export, one per call */
Datum
hub_export(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	FuncCallContext *call;
	Export	   *export;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old_context;

		call = SRF_FIRSTCALL_INIT();
		old_context = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		call->user_fctx = start_export(PG_GETARG_INT64(0), result);
		MemoryContextSwitchTo(old_context);
	}
	call = SRF_PERCALL_SETUP();
	export = call->user_fctx;

	if (export->batch_next == export->batch_size)
	{
		if (export->sent > 0 && export->own_progress)
			pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED, export->sent);
		/* ever more rarely, and always before the rows that it counts up to are all taken */
		if (export->sent >= export->next_record)
		{
			record_step(export, "progress");
			export->next_record *= 2;
		}
		if (export->sent < export->max_rows)
			run_step(export, read_batch);
		else
			export->batch_size = export->batch_next = 0;
		if (export->batch_size == 0)
		{
			UnregisterExprContextCallback(result->econtext, end_export, PointerGetDatum(export));
			end_export(PointerGetDatum(export));
			SRF_RETURN_DONE(call);
		}
	}
	export->sent++;
	SRF_RETURN_NEXT(call, export->batch[export->batch_next++]);
}
