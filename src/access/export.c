/*
 * export.c: hub.export(), the approved way out for many rows.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "access/access.h"
#include "access/export_guard.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

PG_FUNCTION_INFO_V1(hub_export);

#define ROWS_AT_A_TIME 1000

/* Have the request checked and marked as used; returns its query */
static char *
begin_export(Datum request, int64 *max_rows)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid			types[] = {INT8OID};
	EngineScope scope;
	char	   *query;
	bool		isnull;

	engine_begin(&scope);
	if (SPI_execute_with_args("SELECT query, max_rows FROM hub.begin_export($1)", 1, types, &request, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not begin the export");
	query = MemoryContextStrdup(caller_context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	*max_rows = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	engine_end(&scope);
	return query;
}

/* Take the ticket of the export and leave the trace that outlives the transaction */
static void
finish_export(Datum request, int64 rows)
{
	MemoryContext caller_context = CurrentMemoryContext;
	Oid			types[] = {INT8OID, INT8OID};
	Datum		values[] = {request, Int64GetDatum(rows)};
	EngineScope scope;
	char	   *details;

	engine_begin(&scope);
	if (SPI_execute_with_args("SELECT hub.finish_export($1, $2)", 2, types, values, NULL, false, 1) != SPI_OK_SELECT ||
		SPI_processed != 1)
		elog(ERROR, "could not finish the export");
	details = MemoryContextStrdup(caller_context, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	engine_end(&scope);

	/* neither a crash nor a rollback may give the ticket back once rows have left */
	XLogFlush(GetXLogInsertRecPtr());
	if (access_record_export != NULL)
		access_record_export(details);
}

/* Read the rows as the caller; returns their number */
static int64
read_rows(const char *query, int64 max_rows, ReturnSetInfo *result)
{
	SPIPlanPtr	plan;
	Portal		portal;
	int64		rows = 0;

	SPI_connect();
	plan = SPI_prepare(query, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare the export: %s", SPI_result_code_string(SPI_result));
	portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	for (;;)
	{
		SPI_cursor_fetch(portal, true, ROWS_AT_A_TIME);
		if (SPI_processed == 0)
			break;
		rows += SPI_processed;
		if (rows > max_rows)
			ereport(ERROR,
					(errcode(ERRCODE_CH_EXPORT_REFUSED),
					 errmsg("export has more than the " INT64_FORMAT " rows that were approved", max_rows),
					 errhint("Nothing was handed out and the approval is still good; or ask for one with a larger max_rows.")));
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;
			Datum		value = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

			tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
		}
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
	SPI_finish();
	return rows;
}

/* Hand out the rows of an approved export */
Datum
hub_export(PG_FUNCTION_ARGS)
{
	Datum		request = PG_GETARG_DATUM(0);
	int64		max_rows;
	volatile int64 rows = 0;
	char	   *query;
	volatile bool saved_exporting;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	query = begin_export(request, &max_rows);
	saved_exporting = export_guard_set_exporting(true);
	PG_TRY();
	{
		rows = read_rows(query, max_rows, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_FINALLY();
	{
		export_guard_set_exporting(saved_exporting);
	}
	PG_END_TRY();
	finish_export(request, rows);
	return (Datum) 0;
}
