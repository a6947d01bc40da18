/*
 * verify_run.c: verification in pieces, each a transaction of its own.
 *
 * How far a verification has come is a row of hub.audit_verification_run: bytes,
 * and a MAC over them under a key of the keyring. So the row says what this code
 * has checked, or nothing; the breaks that it found are chained into it. What it
 * says holds for the time when it was checked: a later change is found by the
 * verification after. What is worth knowing goes into the trail itself, too,
 * where an old row put back does not reach.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "audit/audit.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/verify.h"
#include "audit/verify_log.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "keyring/keyring.h"

#define RECORD_VERSION 1
#define MAC_BYTES 32

/* First byte of what a MAC is made of */
#define MAC_OF_RECORD 0x01
#define MAC_OF_BREAK 0x02

/* Events that take as long to check as one page of a table against its index */
#define EVENTS_PER_PAGE 25

/* Breaks of a verification that are kept; all are counted */
#define KEPT_BREAKS 10000

#define MAX_WORKERS 1024

/* How far a verification has come, as it is stored: read only where it was written */
typedef struct RunRecord
{
	uint32		version;
	Oid			database;
	uint64		system_identifier;
	Oid			block_relation; /* another one after the extension was created anew */
	int64		verification;
	TimestampTz started_at;
	TimestampTz last_at;
	TimestampTz finished_at;	/* 0 while it goes on */
	int64		busy;			/* microseconds */
	int64		events;
	LogState	log;
	Oid			table;			/* after the log: the table that is next, and its page */
	int64		page;
	int64		breaks;
	int64		kept_breaks;
	uint8		break_chain[MAC_BYTES];
} RunRecord;

/* A sink that keeps breaks in memory, since none can be written while workers are at work */
typedef struct ListSink
{
	VerifySink	sink;
	MemoryContext context;
	List	   *breaks;
	int64		room;
	int64		count;
} ListSink;

static SPIPlanPtr last_plan = NULL;
static SPIPlanPtr all_plan = NULL;
static SPIPlanPtr breaks_plan = NULL;
static SPIPlanPtr break_plan = NULL;
static SPIPlanPtr store_plan = NULL;

PG_FUNCTION_INFO_V1(hub_verify_audit_step);
PG_FUNCTION_INFO_V1(hub_audit_verifications);

/* Keep a break */
static void
keep_break(VerifySink *sink, const VerifyBreak *found)
{
	ListSink   *list = (ListSink *) sink;
	MemoryContext old_context;
	VerifyBreak *copy;

	if (list->count++ >= list->room)
		return;
	old_context = MemoryContextSwitchTo(list->context);
	copy = palloc(sizeof(VerifyBreak));
	*copy = *found;
	copy->kind = pstrdup(found->kind);
	copy->detail = pstrdup(found->detail);
	list->breaks = lappend(list->breaks, copy);
	MemoryContextSwitchTo(old_context);
}

/* Compute the MAC of a stored record */
static void
record_mac(const void *bytes, Size len, uint8 *mac)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoChar(&message, MAC_OF_RECORD);
	appendBinaryStringInfo(&message, bytes, (int) len);
	keyring_mac(SERVICE_KEY_VERIFICATION, message.data, message.len, mac, MAC_BYTES);
	pfree(message.data);
}

/* Chain a break to those before it */
static void
chain_break(uint8 *chain, int64 verification, TimestampTz found_at, const VerifyBreak *found)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfoChar(&message, MAC_OF_BREAK);
	appendBinaryStringInfo(&message, (char *) chain, MAC_BYTES);
	pq_sendint64(&message, verification);
	pq_sendint64(&message, found_at);
	pq_sendint64(&message, found->block);
	pq_sendint64(&message, found->xid);
	pq_sendint32(&message, found->ordinal);
	appendBinaryStringInfo(&message, found->kind, strlen(found->kind) + 1);
	appendBinaryStringInfo(&message, found->detail, strlen(found->detail) + 1);
	keyring_mac(SERVICE_KEY_VERIFICATION, message.data, message.len, chain, MAC_BYTES);
	pfree(message.data);
}

/* Are the kept breaks of a verification those that were found? */
static bool
breaks_are_authentic(const RunRecord *run)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(run->verification)};
	uint8		chain[MAC_BYTES] = {0};

	engine_prepare(&breaks_plan,
				   "SELECT b.found_at, coalesce(b.block_no, -1), coalesce(b.xid, '0'::pg_catalog.xid8), "
				   "coalesce(b.ordinal, 0), b.kind, b.detail FROM hub.audit_verification_break b "
				   "WHERE b.verification OPERATOR(pg_catalog.=) $1 ORDER BY b.break_no", 1, types);
	SPI_execute_plan(breaks_plan, values, NULL, true, 0);
	if ((int64) SPI_processed != run->kept_breaks)
		return false;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	tupdesc = SPI_tuptable->tupdesc;
		VerifyBreak found;
		TimestampTz found_at;
		bool		isnull;

		found_at = DatumGetTimestampTz(SPI_getbinval(tuple, tupdesc, 1, &isnull));
		found.block = DatumGetInt64(SPI_getbinval(tuple, tupdesc, 2, &isnull));
		found.xid = DatumGetUInt64(SPI_getbinval(tuple, tupdesc, 3, &isnull));
		found.ordinal = DatumGetInt32(SPI_getbinval(tuple, tupdesc, 4, &isnull));
		found.kind = SPI_getvalue(tuple, tupdesc, 5);
		found.detail = SPI_getvalue(tuple, tupdesc, 6);
		chain_break(chain, run->verification, found_at, &found);
	}
	return keyring_equal(chain, run->break_chain, MAC_BYTES);
}

/* Read a stored record, of columns verification, record and mac; false when it is not this code's */
static bool
read_record(HeapTuple tuple, TupleDesc tupdesc, RunRecord *run)
{
	bool		isnull;
	int64		verification = DatumGetInt64(SPI_getbinval(tuple, tupdesc, 1, &isnull));
	bytea	   *record = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 2, &isnull));
	bytea	   *mac = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 3, &isnull));
	uint8		expected[MAC_BYTES];

	memset(run, 0, sizeof(*run));
	run->verification = verification;
	if (VARSIZE_ANY_EXHDR(record) != sizeof(RunRecord) || VARSIZE_ANY_EXHDR(mac) != MAC_BYTES)
		return false;
	record_mac(VARDATA_ANY(record), sizeof(RunRecord), expected);
	if (!keyring_equal(expected, VARDATA_ANY(mac), MAC_BYTES))
		return false;
	memcpy(run, VARDATA_ANY(record), sizeof(*run));
	if (run->version != RECORD_VERSION || run->verification != verification ||
		run->database != MyDatabaseId || run->system_identifier != GetSystemIdentifier() ||
		run->block_relation != catalog_relation("audit_block") || !breaks_are_authentic(run))
	{
		memset(run, 0, sizeof(*run));
		run->verification = verification;
		return false;
	}
	return true;
}

/* Begin a verification */
static void
begin_run(RunRecord *run, int64 verification)
{
	memset(run, 0, sizeof(*run));
	run->version = RECORD_VERSION;
	run->database = MyDatabaseId;
	run->system_identifier = GetSystemIdentifier();
	run->block_relation = catalog_relation("audit_block");
	run->verification = verification;
	run->started_at = GetCurrentTimestamp();
	verify_log_init(&run->log);
	audit_record(AUDIT_CONFIG, NULL,
				 psprintf("{\"action\": \"audit_verification\", \"state\": \"begun\", \"verification\": "
						  INT64_FORMAT "}", verification));
}

/* Go on with the last verification, or begin one; see hub.continue_audit_verification() */
static void
resume_run(RunRecord *run, bool from_start, VerifySink *sink)
{
	bool		authentic;

	engine_prepare(&last_plan, "SELECT r.verification, r.record, r.mac FROM hub.audit_verification_run r "
				   "ORDER BY r.verification DESC LIMIT 1", 0, NULL);
	SPI_execute_plan(last_plan, NULL, NULL, true, 1);
	if (SPI_processed == 0)
	{
		begin_run(run, 1);
		return;
	}
	authentic = read_record(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, run);
	if (!authentic || from_start || run->finished_at != 0)
	{
		int64		last = run->verification;

		begin_run(run, last + 1);
		if (!authentic)
			verify_report(sink, "verification", -1, 0, 0,
						  psprintf("what is stored of verification " INT64_FORMAT " was changed; all begins anew", last));
	}
}

/* Compare tables by oid, for list_sort */
static int
compare_tables(const ListCell *a, const ListCell *b)
{
	Oid			left = ((VerifyRange *) lfirst(a))->relid;
	Oid			right = ((VerifyRange *) lfirst(b))->relid;

	return left < right ? -1 : left > right;
}

/* Add the pages that are next, up to some number; true when that were the last */
static bool
add_pages(RunRecord *run, VerifyRange *ranges, int *count, List *tables, int64 room)
{
	ListCell   *cell;

	list_sort(tables, compare_tables);
	foreach(cell, tables)
	{
		VerifyRange range = *(VerifyRange *) lfirst(cell);

		if (range.relid < run->table)
			continue;
		if (range.relid != run->table)
			run->page = 0;
		run->table = range.relid;
		range.first = run->page;
		range.count = Min(range.count - range.first, room);
		if (range.count > 0)
		{
			ranges[(*count)++] = range;
			run->page += range.count;
			room -= range.count;
		}
		if (room == 0)
			return false;
	}
	return true;
}

/* Check the next piece; true when the end is reached */
static bool
check_piece(RunRecord *run, LogCheck *check, const char *anchored, int workers, int64 batch_size)
{
	List	   *tables = verify_tables();
	VerifyRange *ranges;
	int			count;
	bool		ended = false;

	check->state = run->log;
	if (!verify_log(check, batch_size))
		ended = true;
	ranges = palloc_extended(sizeof(VerifyRange) * ((Size) check->range_count + list_length(tables)),
							 MCXT_ALLOC_HUGE);
	count = check->range_count;
	memcpy(ranges, check->ranges, sizeof(VerifyRange) * count);
	if (ended)
		ended = add_pages(run, ranges, &count, tables, (batch_size - 1) / EVENTS_PER_PAGE + 1);
	verify_share(ranges, count, workers, check->sink);
	if (ended)
		verify_end(check, anchored);
	run->log = check->state;
	run->events += check->events;
	return ended;
}

/* Store the breaks of a piece */
static void
store_breaks(RunRecord *run, ListSink *list)
{
	Oid			types[8] = {INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, INT8OID, XID8OID, INT4OID, TEXTOID};
	ListCell   *cell;

	if (list->count == 0)
		return;
	engine_prepare(&break_plan,
				   "INSERT INTO hub.audit_verification_break (verification, break_no, found_at, kind, "
				   "block_no, xid, ordinal, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", 8, types);
	foreach(cell, list->breaks)
	{
		VerifyBreak *found = lfirst(cell);
		Datum		values[8];
		char		nulls[9] = "        ";

		chain_break(run->break_chain, run->verification, run->last_at, found);
		values[0] = Int64GetDatum(run->verification);
		values[1] = Int64GetDatum(++run->kept_breaks);
		values[2] = TimestampTzGetDatum(run->last_at);
		values[3] = CStringGetTextDatum(found->kind);
		values[4] = Int64GetDatum(found->block);
		values[5] = UInt64GetDatum(found->xid);
		values[6] = Int32GetDatum(found->ordinal);
		values[7] = CStringGetTextDatum(found->detail);
		nulls[4] = found->block < 0 ? 'n' : ' ';
		nulls[5] = found->xid == 0 ? 'n' : ' ';
		nulls[6] = found->ordinal == 0 ? 'n' : ' ';
		SPI_execute_plan(break_plan, values, nulls, false, 0);
	}
	run->breaks += list->count;
	audit_record(AUDIT_CONFIG, NULL,
				 psprintf("{\"action\": \"audit_verification\", \"state\": \"broken\", \"verification\": "
						  INT64_FORMAT ", \"breaks\": " INT64_FORMAT "}", run->verification, run->breaks));
}

/* Store how far the verification has come */
static void
store_run(RunRecord *run)
{
	Oid			types[3] = {INT8OID, BYTEAOID, BYTEAOID};
	Datum		values[3];
	bytea	   *record = palloc(VARHDRSZ + sizeof(RunRecord));
	bytea	   *mac = palloc(VARHDRSZ + MAC_BYTES);

	SET_VARSIZE(record, VARHDRSZ + sizeof(RunRecord));
	memcpy(VARDATA(record), run, sizeof(RunRecord));
	SET_VARSIZE(mac, VARHDRSZ + MAC_BYTES);
	record_mac(run, sizeof(RunRecord), (uint8 *) VARDATA(mac));
	values[0] = Int64GetDatum(run->verification);
	values[1] = PointerGetDatum(record);
	values[2] = PointerGetDatum(mac);
	engine_prepare(&store_plan,
				   "INSERT INTO hub.audit_verification_run (verification, record, mac) VALUES ($1, $2, $3) "
				   "ON CONFLICT (verification) DO UPDATE SET record = excluded.record, mac = excluded.mac",
				   3, types);
	SPI_execute_plan(store_plan, values, NULL, false, 0);
	if (run->finished_at != 0)
		audit_record(AUDIT_CONFIG, NULL,
					 psprintf("{\"action\": \"audit_verification\", \"state\": \"complete\", \"verification\": "
							  INT64_FORMAT ", \"blocks\": " UINT64_FORMAT ", \"events\": " INT64_FORMAT
							  ", \"breaks\": " INT64_FORMAT "}", run->verification, run->log.log.size,
							  run->events, run->breaks));
}

/* Check the next piece of the trail and store how far that came; false when all is checked */
Datum
hub_verify_audit_step(PG_FUNCTION_ARGS)
{
	int			batch_size = PG_GETARG_INT32(0);
	int			workers = PG_GETARG_INT32(1);
	bool		from_start = PG_GETARG_BOOL(2);
	ListSink	list = {{keep_break}};
	LogCheck	check = {0};
	RunRecord  *run;
	TimestampTz started_at = GetCurrentTimestamp();
	char	   *anchored;
	bool		ended;

	if (batch_size < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch size must be greater than zero")));
	if (workers < 0 || workers > MAX_WORKERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("number of workers must be between 0 and %d", MAX_WORKERS)));
	keyring_require();
	/* sessions that verify at the same time take turns */
	LockRelationOid(catalog_relation("audit_verification_run"), ShareRowExclusiveLock);
	event_flush();
	SPI_connect();
	run = palloc0(sizeof(RunRecord));
	list.context = CurrentMemoryContext;
	list.room = KEPT_BREAKS;
	check.sink = &list.sink;
	verify_begin(&check, &anchored);
	resume_run(run, from_start, &list.sink);
	list.room = KEPT_BREAKS - run->kept_breaks;
	ended = check_piece(run, &check, anchored, workers, (int64) batch_size * (workers + 1));
	PopActiveSnapshot();

	run->last_at = GetCurrentTimestamp();
	run->busy += run->last_at - started_at;
	if (ended)
		run->finished_at = run->last_at;
	store_breaks(run, &list);
	store_run(run);
	SPI_finish();
	PG_RETURN_BOOL(!ended);
}

/* Put what a verification has reached into a row; of a record that was changed, that it was */
static void
put_run(ReturnSetInfo *result, const RunRecord *run, bool authentic)
{
	Datum		values[10];
	bool		nulls[10] = {false};
	MerkleHash	root;

	values[0] = Int64GetDatum(run->verification);
	values[1] = CStringGetTextDatum(!authentic ? "changed" :
									run->finished_at == 0 ? "running" : "complete");
	if (!authentic)
		memset(nulls + 2, true, sizeof(nulls) - 2 * sizeof(bool));
	values[2] = TimestampTzGetDatum(run->started_at);
	values[3] = TimestampTzGetDatum(run->last_at);
	values[4] = TimestampTzGetDatum(run->finished_at);
	nulls[4] |= run->finished_at == 0;
	values[5] = UInt64GetDatum(run->log.log.size);
	values[6] = Int64GetDatum(run->events);
	values[7] = Int64GetDatum(run->breaks);
	values[8] = Int64GetDatum(run->busy > 0 ? (int64) (run->events * 1e6 / run->busy) : 0);
	nulls[9] |= run->log.broken || run->log.log.size == 0;
	if (!nulls[9])
	{
		merkle_range_root(&run->log.log, &root);
		values[9] = CStringGetTextDatum(checkpoint_base64(root.bytes, MERKLE_HASH_BYTES));
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Return what is stored of each verification, as far as it is authentic */
Datum
hub_audit_verifications(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPITupleTable *rows;
	uint64		count;

	InitMaterializedSRF(fcinfo, 0);
	keyring_require();
	SPI_connect();
	engine_prepare(&all_plan, "SELECT r.verification, r.record, r.mac FROM hub.audit_verification_run r "
				   "ORDER BY r.verification", 0, NULL);
	SPI_execute_plan(all_plan, NULL, NULL, true, 0);
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
	{
		RunRecord	run;
		bool		authentic = read_record(rows->vals[i], rows->tupdesc, &run);

		put_run(result, &run, authentic);
	}
	SPI_finish();
	return (Datum) 0;
}
