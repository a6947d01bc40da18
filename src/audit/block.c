/*
 * block.c: reading blocks and what they hold. All functions run inside an SPI
 * connection, under the active snapshot, with pg_catalog first in search_path.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "audit/block.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

const char	block_columns[] =
"b.block_no, b.origin, b.xid_base, b.snapshot::text, b.first_xid, b.last_xid, b.event_count, "
"b.event_root, b.transaction_count, b.transaction_root, b.previous, b.sealed_at, b.nodes, "
"b.checkpoint";

enum
{
	BLOCK_NUMBER = 1,
	BLOCK_ORIGIN,
	BLOCK_XID_BASE,
	BLOCK_SNAPSHOT,
	BLOCK_FIRST_XID,
	BLOCK_LAST_XID,
	BLOCK_EVENT_COUNT,
	BLOCK_EVENT_ROOT,
	BLOCK_TRANSACTION_COUNT,
	BLOCK_TRANSACTION_ROOT,
	BLOCK_PREVIOUS,
	BLOCK_SEALED_AT,
	BLOCK_NODES,
	BLOCK_CHECKPOINT
};

/* Column and, in the canonical bytes, field number */
enum
{
	TRANSACTION_XID = 1,
	TRANSACTION_STARTED_AT,
	TRANSACTION_MEMBER,
	TRANSACTION_ROLE,
	TRANSACTION_LOGIN,
	TRANSACTION_PURPOSE,
	TRANSACTION_CLIENT,
	TRANSACTION_APPLICATION,
	TRANSACTION_TOKEN,
	TRANSACTION_COUNT,
	TRANSACTION_DIGEST
};

/* First byte of a transaction's canonical bytes; those of an event start with 0x01 */
#define TRANSACTION_ENCODING 'T'

static SPIPlanPtr last_plan = NULL;
static SPIPlanPtr number_plan = NULL;
static SPIPlanPtr node_plan = NULL;
static SPIPlanPtr range_plan = NULL;

PG_FUNCTION_INFO_V1(hub_audit_blocks_of);

/* Read a bytea column that must be a hash; false when it is not */
static bool
read_hash(HeapTuple tuple, TupleDesc tupdesc, int column, MerkleHash *hash)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, tupdesc, column, &isnull);
	bytea	   *bytes;

	memset(hash, 0, sizeof(*hash));
	if (isnull)
		return false;
	bytes = DatumGetByteaPP(value);
	if (VARSIZE_ANY_EXHDR(bytes) != MERKLE_HASH_BYTES)
		return false;
	memcpy(hash->bytes, VARDATA_ANY(bytes), MERKLE_HASH_BYTES);
	return true;
}

/* Read an 8-byte column, 0 for NULL */
static uint64
read_uint64(HeapTuple tuple, TupleDesc tupdesc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetUInt64(value);
}

/* Parse xmin:xmax:xip,xip…; false when it is malformed */
bool
block_parse_snapshot(const char *text, BlockSnapshot *snapshot)
{
	char	   *end;
	uint64		last = 0;
	int			commas = 0;

	memset(snapshot, 0, sizeof(*snapshot));
	if (text == NULL)
		return false;
	snapshot->xmin = strtou64(text, &end, 10);
	if (*end != ':')
		return false;
	snapshot->xmax = strtou64(end + 1, &end, 10);
	if (*end != ':')
		return false;
	for (const char *c = end; *c; c++)
		commas += *c == ',';
	snapshot->xip = palloc(sizeof(uint64) * (commas + 1));
	end++;
	while (*end != '\0')
	{
		uint64		xid = strtou64(end, &end, 10);

		if ((*end != ',' && *end != '\0') || xid <= last)
			return false;
		snapshot->xip[snapshot->count++] = last = xid;
		if (*end == ',')
			end++;
	}
	return snapshot->xmin <= snapshot->xmax;
}

/* Does the snapshot see a transaction id, without base? */
bool
block_snapshot_sees(const BlockSnapshot *snapshot, uint64 xid)
{
	int			low = 0;
	int			high = snapshot->count;

	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (snapshot->xip[middle] == xid)
			return false;
		if (snapshot->xip[middle] < xid)
			low = middle + 1;
		else
			high = middle;
	}
	return true;
}

/* Does a block see an event's xid? Origins before its own are over: it sees all of them */
bool
block_sees(const AuditBlock *block, uint64 xid)
{
	if (xid < block->xid_base)
		return true;
	return block_snapshot_sees(&block->snapshot, xid - block->xid_base);
}

/* Read a block into memory of the current context; false when a column makes no sense */
bool
block_read(HeapTuple tuple, TupleDesc tupdesc, AuditBlock *block)
{
	bool		isnull;
	Datum		nodes;
	bool		good = true;

	memset(block, 0, sizeof(*block));
	block->number = (int64) read_uint64(tuple, tupdesc, BLOCK_NUMBER);
	block->origin = DatumGetInt32(SPI_getbinval(tuple, tupdesc, BLOCK_ORIGIN, &isnull));
	block->xid_base = read_uint64(tuple, tupdesc, BLOCK_XID_BASE);
	block->snapshot_text = SPI_getvalue(tuple, tupdesc, BLOCK_SNAPSHOT);
	block->first_xid = read_uint64(tuple, tupdesc, BLOCK_FIRST_XID);
	block->last_xid = read_uint64(tuple, tupdesc, BLOCK_LAST_XID);
	block->event_count = (int64) read_uint64(tuple, tupdesc, BLOCK_EVENT_COUNT);
	block->transaction_count = (int64) read_uint64(tuple, tupdesc, BLOCK_TRANSACTION_COUNT);
	block->sealed_at = (TimestampTz) read_uint64(tuple, tupdesc, BLOCK_SEALED_AT);
	block->checkpoint = SPI_getvalue(tuple, tupdesc, BLOCK_CHECKPOINT);
	good &= block_parse_snapshot(block->snapshot_text, &block->snapshot);
	good &= read_hash(tuple, tupdesc, BLOCK_EVENT_ROOT, &block->event_root);
	good &= read_hash(tuple, tupdesc, BLOCK_TRANSACTION_ROOT, &block->transaction_root);
	good &= read_hash(tuple, tupdesc, BLOCK_PREVIOUS, &block->previous);

	nodes = SPI_getbinval(tuple, tupdesc, BLOCK_NODES, &isnull);
	if (!isnull)
	{
		bytea	   *bytes = DatumGetByteaPP(nodes);

		block->node_count = VARSIZE_ANY_EXHDR(bytes) / MERKLE_HASH_BYTES;
		block->nodes = palloc(VARSIZE_ANY_EXHDR(bytes) + 1);
		memcpy(block->nodes, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
		good &= VARSIZE_ANY_EXHDR(bytes) % MERKLE_HASH_BYTES == 0;
	}
	return good && block->node_count > 0 && block->checkpoint != NULL;
}

/* Read the one block of a result; false when there is none */
static bool
read_result(AuditBlock *block)
{
	if (SPI_processed == 0)
		return false;
	if (!block_read(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, block))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("block %lld of the audit trail is damaged", (long long) block->number),
				 errhint("Call hub.verify_audit() for all that is wrong.")));
	return true;
}

/* Read the last block; false when there is none */
bool
block_last(AuditBlock *block)
{
	char		query[1024];

	snprintf(query, sizeof(query),
			 "SELECT %s FROM hub.audit_block b ORDER BY b.block_no DESC LIMIT 1", block_columns);
	SPI_execute_plan(engine_prepare(&last_plan, query, 0, NULL), NULL, NULL, true, 1);
	return read_result(block);
}

/* Read a block by its number; false when it does not exist */
bool
block_by_number(int64 number, AuditBlock *block)
{
	char		query[1024];
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(number)};

	snprintf(query, sizeof(query),
			 "SELECT %s FROM hub.audit_block b WHERE b.block_no = $1", block_columns);
	SPI_execute_plan(engine_prepare(&number_plan, query, 1, types), values, NULL, true, 1);
	return read_result(block);
}

/* Does a block come late enough for a search? */
typedef bool (*BlockTest) (const AuditBlock *block, uint64 xid);

/* Find the first block that passes a test which all after it pass too; one past the last if none */
static int64
first_block(BlockTest test, uint64 xid, int64 last_number, AuditBlock *block)
{
	int64		low = 0;
	int64		high = last_number + 1;

	while (low < high)
	{
		int64		middle = low + (high - low) / 2;

		CHECK_FOR_INTERRUPTS();
		if (!block_by_number(middle, block))
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("block %lld of the audit trail is missing", (long long) middle),
					 errhint("Call hub.verify_audit() for all that is wrong.")));
		if (test(block, xid))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Find the block that holds a transaction; see block.h */
bool
block_of_transaction(uint64 xid, int64 last_number, AuditBlock *block)
{
	int64		number = first_block(block_sees, xid, last_number, block);

	return number <= last_number && block_by_number(number, block);
}

/* BlockTest: may the block hold this transaction or a later one? */
static bool
may_hold(const AuditBlock *block, uint64 xid)
{
	return block->xid_base + block->snapshot.xmax > xid;
}

/* BlockTest: does the block see this transaction and all before it? */
static bool
sees_all(const AuditBlock *block, uint64 xid)
{
	return block->xid_base + block->snapshot.xmin > xid;
}

/* Return the numbers of the blocks that may hold events of transactions in a range */
Datum
hub_audit_blocks_of(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			types[4] = {INT8OID, INT8OID, XID8OID, XID8OID};
	Datum		values[4] = {0, 0, PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	AuditBlock	block;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	if (block_last(&block))
	{
		int64		last_number = block.number;

		values[0] = Int64GetDatum(first_block(may_hold, DatumGetUInt64(values[2]), last_number,
											  &block));
		values[1] = Int64GetDatum(first_block(sees_all, DatumGetUInt64(values[3]), last_number,
											  &block));
		SPI_execute_plan(engine_prepare(&range_plan,
										"SELECT b.block_no FROM hub.audit_block b "
										"WHERE b.block_no OPERATOR(pg_catalog.>=) $1 "
										"AND b.block_no OPERATOR(pg_catalog.<=) $2 "
										"AND b.event_count OPERATOR(pg_catalog.>) 0 "
										"AND b.last_xid OPERATOR(pg_catalog.>=) $3 "
										"AND b.first_xid OPERATOR(pg_catalog.<=) $4", 4, types),
						 values, NULL, true, 0);
		for (uint64 i = 0; i < SPI_processed; i++)
			tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	}
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}

/* Append a hash in hexadecimal, and a line feed */
static void
append_hash(StringInfo buf, const MerkleHash *hash)
{
	enlargeStringInfo(buf, 2 * MERKLE_HASH_BYTES + 1);
	buf->len += hex_encode((const char *) hash->bytes, MERKLE_HASH_BYTES, buf->data + buf->len);
	appendStringInfoChar(buf, '\n');
}

/* Append the header of a block; see block.h */
void
block_header(const AuditBlock *block, StringInfo buf)
{
	appendStringInfo(buf, "customer_hub/block/v1\n" INT64_FORMAT "\n%d\n" UINT64_FORMAT "\n%s\n"
					 UINT64_FORMAT "\n" UINT64_FORMAT "\n" INT64_FORMAT "\n",
					 block->number, block->origin, block->xid_base,
					 block->snapshot_text ? block->snapshot_text : "",
					 block->first_xid, block->last_xid, block->event_count);
	append_hash(buf, &block->event_root);
	appendStringInfo(buf, INT64_FORMAT "\n", block->transaction_count);
	append_hash(buf, &block->transaction_root);
	append_hash(buf, &block->previous);
	appendStringInfo(buf, INT64_FORMAT "\n", (int64) block->sealed_at);
}

/* Append a field of canonical bytes */
static void
append_field(StringInfo buf, int field, const void *value, Size len)
{
	uint32		length = pg_hton32((uint32) len);

	appendStringInfoChar(buf, (char) field);
	appendBinaryStringInfo(buf, (char *) &length, sizeof(length));
	appendBinaryStringInfo(buf, value, len);
}

/* Append a row of hub.audit_transaction, in the layout that events have */
void
block_encode_transaction(const Datum *values, const bool *nulls, StringInfo buf,
						 TransactionRow *row)
{
	memset(row, 0, sizeof(*row));
	appendStringInfoChar(buf, TRANSACTION_ENCODING);
	for (int column = TRANSACTION_XID; column <= TRANSACTION_DIGEST; column++)
	{
		Datum		value = values[column - 1];
		struct varlena *bytes;
		uint64		wide;
		uint32		narrow;

		if (nulls[column - 1])
			continue;
		switch (column)
		{
			case TRANSACTION_XID:
			case TRANSACTION_STARTED_AT:
				if (column == TRANSACTION_XID)
					row->xid = DatumGetUInt64(value);
				wide = pg_hton64(DatumGetUInt64(value));
				append_field(buf, column, &wide, sizeof(wide));
				break;
			case TRANSACTION_MEMBER:
			case TRANSACTION_COUNT:
				if (column == TRANSACTION_COUNT)
					row->event_count = DatumGetInt32(value);
				else
					row->member_id = DatumGetInt32(value);
				narrow = pg_hton32(DatumGetUInt32(value));
				append_field(buf, column, &narrow, sizeof(narrow));
				break;
			case TRANSACTION_CLIENT:
				bytes = DatumGetTextPP(DirectFunctionCall1(network_show, value));
				append_field(buf, column, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
				break;
			default:
				bytes = PG_DETOAST_DATUM_PACKED(value);
				if (column == TRANSACTION_DIGEST)
					row->digest = bytes;
				else if (column == TRANSACTION_LOGIN)
					row->login = bytes;
				append_field(buf, column, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
				break;
		}
	}
}

/* Read a node of the log */
void
block_log_node(int level, uint64 index, MerkleHash *hash, void *arg)
{
	Oid			types[2] = {INT8OID, INT4OID};
	Datum		values[2];
	int64		number = (int64) (((index + 1) << level) - 1);

	values[0] = Int64GetDatum(number);
	values[1] = Int32GetDatum(level * MERKLE_HASH_BYTES + 1);
	SPI_execute_plan(engine_prepare(&node_plan,
									"SELECT pg_catalog.substr(b.nodes, $2, 32) "
									"FROM hub.audit_block b WHERE b.block_no = $1", 2, types),
					 values, NULL, true, 1);
	if (SPI_processed == 0 ||
		!read_hash(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, hash))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("block %lld of the audit trail is missing or damaged", (long long) number),
				 errhint("Call hub.verify_audit() for all that is wrong.")));
}

/* Read the right edge of the log as it was with size blocks */
void
block_log_range(uint64 size, MerkleRange *range)
{
	merkle_range_init(range);
	range->size = size;
	for (int level = 0; level < MERKLE_LEVELS; level++)
	{
		if ((size >> level) & 1)
			block_log_node(level, (size >> level) - 1, &range->roots[level], NULL);
	}
}
