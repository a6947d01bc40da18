/*
 * seal.c: the sealer. Runs in the audit worker, the only process that writes
 * blocks, so that no session's isolation level or rollback can get in its way.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/anchor.h"
#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/log_key.h"
#include "audit/posting.h"
#include "audit/scan.h"
#include "audit/seal.h"
#include "audit/witness.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

/* A tree over the rows of a block */
typedef struct Leaves
{
	MerkleRange range;
	uint64		first_xid;
	uint64		last_xid;
} Leaves;

/* Nodes that a header completes */
typedef struct CompletedNodes
{
	int			count;
	MerkleHash	hashes[MERKLE_LEVELS];
} CompletedNodes;

/* Rows of transactions as they were read, for the witness: as many as it can have noted */
typedef struct ReadRows
{
	int			count;
	int			size;
	WitnessRow *rows;
} ReadRows;

static SPIPlanPtr insert_plan = NULL;

/* The block of this transaction, to be made the witness once it is committed */
static int64 new_block = -1;
static int64 new_events;
static MerkleHash new_header;
static char new_checkpoint[1024];
static Oid	new_relation;

/* Add the leaf whose bytes are in the buffer */
static void
add_leaf(Leaves *leaves, StringInfo bytes, uint64 xid)
{
	MerkleHash	hash;

	merkle_leaf(bytes->data, bytes->len, &hash);
	merkle_range_append(&leaves->range, &hash, NULL, NULL);
	if (leaves->first_xid == 0)
		leaves->first_xid = xid;
	leaves->last_xid = xid;
}

/* Begin a leaf: its first byte is the tree's */
static void
begin_leaf(StringInfo bytes)
{
	resetStringInfo(bytes);
	appendStringInfoChar(bytes, 0);
}

/* Make the tree over the events of a block */
static void
hash_events(const BlockSnapshot *before, const BlockSnapshot *snapshot, uint64 xid_base,
			Leaves *leaves)
{
	TrailScan  *scan = scan_events(before, snapshot, xid_base);
	AuditEvent	event;
	StringInfoData bytes;

	memset(leaves, 0, sizeof(*leaves));
	initStringInfo(&bytes);
	while (scan_next_event(scan, &event))
	{
		begin_leaf(&bytes);
		event_encode(&event, &bytes);
		add_leaf(leaves, &bytes, event.xid);
	}
	scan_end(scan);
}

/* Keep what the witness needs of a row */
static void
keep_row(ReadRows *read, const TransactionRow *row)
{
	WitnessRow *kept;

	if (read->count >= WITNESS_ENTRIES || row->digest == NULL ||
		VARSIZE_ANY_EXHDR(row->digest) != EVENT_TAG_BYTES)
		return;
	if (read->count >= read->size)
	{
		read->size = read->size == 0 ? 256 : read->size * 2;
		read->rows = read->rows == NULL ? palloc(read->size * sizeof(WitnessRow))
			: repalloc(read->rows, read->size * sizeof(WitnessRow));
	}
	kept = &read->rows[read->count++];
	kept->xid = row->xid;
	memcpy(kept->digest, VARDATA_ANY(row->digest), WITNESS_DIGEST_BYTES);
}

/* Make the tree over the transaction rows of a block */
static void
hash_transactions(const BlockSnapshot *before, const BlockSnapshot *snapshot, uint64 xid_base,
				  Leaves *leaves, ReadRows *read)
{
	TrailScan  *scan = scan_transactions(before, snapshot, xid_base);
	TransactionRow row;
	StringInfoData bytes;

	memset(leaves, 0, sizeof(*leaves));
	initStringInfo(&bytes);
	for (;;)
	{
		begin_leaf(&bytes);
		if (!scan_next_transaction(scan, &row, &bytes))
			break;
		add_leaf(leaves, &bytes, row.xid);
		keep_row(read, &row);
	}
	scan_end(scan);
}

/* MerkleNodeSink: keep what is completed */
static void
keep_node(int level, uint64 index, const MerkleHash *hash, void *arg)
{
	CompletedNodes *nodes = arg;

	Assert(level == nodes->count);
	nodes->hashes[nodes->count++] = *hash;
}

/* Return bytes as a datum */
static Datum
bytes_datum(const void *bytes, Size len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	return PointerGetDatum(value);
}

/* Append a header to the log and write its block after the last one, if there is one */
static void
write_block(AuditBlock *block, const AuditBlock *last)
{
	Oid			types[14] = {INT8OID, INT4OID, INT8OID, TEXTOID, XID8OID, XID8OID, INT8OID,
		BYTEAOID, INT8OID, BYTEAOID, BYTEAOID, TIMESTAMPTZOID, BYTEAOID, TEXTOID};
	Datum		values[14];
	StringInfoData header;
	MerkleRange log;
	MerkleHash	root;
	CompletedNodes nodes = {0};
	LogKeys    *keys = log_keys_read();
	CheckpointKeys signers = {log_keys_after(keys, last), log_keys_after(keys, block)};

	initStringInfo(&header);
	appendStringInfoChar(&header, 0);
	block_header(block, &header);
	block_log_range(block->number, &log);
	merkle_leaf(header.data, header.len, &new_header);
	merkle_range_append(&log, &new_header, keep_node, &nodes);
	merkle_range_root(&log, &root);
	block->checkpoint = checkpoint_sign(checkpoint_create_origin(), log.size, &root, signers);

	values[0] = Int64GetDatum(block->number);
	values[1] = Int32GetDatum(block->origin);
	values[2] = Int64GetDatum((int64) block->xid_base);
	values[3] = CStringGetTextDatum(block->snapshot_text);
	values[4] = UInt64GetDatum(block->first_xid);
	values[5] = UInt64GetDatum(block->last_xid);
	values[6] = Int64GetDatum(block->event_count);
	values[7] = bytes_datum(block->event_root.bytes, MERKLE_HASH_BYTES);
	values[8] = Int64GetDatum(block->transaction_count);
	values[9] = bytes_datum(block->transaction_root.bytes, MERKLE_HASH_BYTES);
	values[10] = bytes_datum(block->previous.bytes, MERKLE_HASH_BYTES);
	values[11] = TimestampTzGetDatum(block->sealed_at);
	values[12] = bytes_datum(nodes.hashes, nodes.count * MERKLE_HASH_BYTES);
	values[13] = CStringGetTextDatum(block->checkpoint);
	if (SPI_execute_plan(engine_prepare(&insert_plan,
										"INSERT INTO hub.audit_block (block_no, origin, xid_base, snapshot, "
										"first_xid, last_xid, event_count, event_root, transaction_count, "
										"transaction_root, previous, sealed_at, nodes, checkpoint) "
										"VALUES ($1, $2, $3, $4::pg_catalog.pg_snapshot, $5, $6, $7, $8, "
										"$9, $10, $11, $12, $13, $14)", 14, types),
						 values, NULL, false, 0) != SPI_OK_INSERT || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
				 errmsg("block %lld of the audit trail cannot be written", (long long) block->number),
				 errhint("A trigger or rule on hub.audit_block keeps the row from being inserted; drop it.")));
	Async_Notify(CHECKPOINT_CHANNEL, block->checkpoint);
	strlcpy(new_checkpoint, block->checkpoint, sizeof(new_checkpoint));
	new_block = block->number;
	new_events = block->event_count;
}

/*
 * Seal what snapshot sees and last (NULL: nothing) does not. Without events no
 * block is made, except to close an origin.
 */
static bool
seal_block(const AuditBlock *last, int32 origin, uint64 xid_base, char *snapshot_text, bool closing,
		   ReadRows *read)
{
	const BlockSnapshot *before = last && last->xid_base == xid_base ? &last->snapshot : NULL;
	AuditBlock	block;
	Leaves		events;
	Leaves		transactions;

	memset(&block, 0, sizeof(block));
	block.snapshot_text = snapshot_text;
	if (!block_parse_snapshot(snapshot_text, &block.snapshot))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("unexpected form of a snapshot: %s", snapshot_text)));

	hash_events(before, &block.snapshot, xid_base, &events);
	if (events.range.size == 0 && !closing)
		return false;
	hash_transactions(before, &block.snapshot, xid_base, &transactions, read);

	block.number = last ? last->number + 1 : 0;
	block.origin = origin;
	block.xid_base = xid_base;
	block.first_xid = events.first_xid;
	block.last_xid = events.last_xid;
	block.event_count = (int64) events.range.size;
	merkle_range_root(&events.range, &block.event_root);
	block.transaction_count = (int64) transactions.range.size;
	merkle_range_root(&transactions.range, &block.transaction_root);
	if (last)
		block.previous = last->nodes[0];
	block.sealed_at = GetCurrentTimestamp();
	write_block(&block, last);
	return true;
}

/* Read the current snapshot in the form that blocks keep */
static char *
current_snapshot(void)
{
	return DatumGetCString(DirectFunctionCall1(pg_snapshot_out,
											   OidFunctionCall0(F_PG_CURRENT_SNAPSHOT)));
}

/* WitnessSink: say in the server log, too, what hub.verify_audit() is going to find */
static void
log_missing(uint64 xid, void *arg)
{
	static uint64 logged = 0;

	if (xid > logged)
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("committed transaction " UINT64_FORMAT " is missing from the audit trail", xid),
				 errhint("Somebody removed it before it was sealed. Call hub.verify_audit().")));
	logged = Max(logged, xid);
}

/* Say which origin the next block is of, by its base */
static uint64
next_base(const AuditBlock *last)
{
	if (last == NULL)
		return 0;
	if (last->snapshot.xmax >= BLOCK_CLOSED_XMAX)
		return last->xid_base + BLOCK_ORIGIN_XIDS;	/* that one is closed */
	return last->xid_base;
}

/* Seal what has become visible since the last block; see seal.h */
SealResult
seal_run(void)
{
	Oid			relid = catalog_installed() ? catalog_relation_if_exists("audit_block") : InvalidOid;
	Relation	relation = NULL;
	SealResult	result = SEAL_DONE;

	new_block = -1;
	witness_settle(false);
	if (OidIsValid(relid))
		relation = try_relation_open(relid, ShareRowExclusiveLock);
	if (relation == NULL)
		return SEAL_EXTENSION_GONE;

	/* a restored database goes on once it has events of its own */
	if (event_origin_is_current(NULL))
	{
		uint64		current_base = event_xid_base();
		AuditBlock	last;
		bool		has_last;
		uint64		base;
		int32		origin;
		ReadRows	read = {0};
		WitnessNotes notes;

		PushActiveSnapshot(GetTransactionSnapshot());
		SPI_connect();
		has_last = block_last(&last);
		base = next_base(has_last ? &last : NULL);
		origin = (int32) (base / BLOCK_ORIGIN_XIDS) + 1;
		if (base < current_base)
		{
			/* everything of an origin that is over, whatever it left unsealed */
			seal_block(has_last ? &last : NULL, origin, base,
					   psprintf(UINT64_FORMAT ":" UINT64_FORMAT ":",
								BLOCK_CLOSED_XMAX, BLOCK_CLOSED_XMAX), true, &read);
			result = SEAL_AGAIN;
		}
		else
		{
			seal_block(has_last ? &last : NULL, origin, base, current_snapshot(), false, &read);
			witness_read(catalog_relation("audit_transaction"), &notes);
			witness_check(&notes, base, read.rows, read.count, true, log_missing, NULL);
		}
		SPI_finish();
		PopActiveSnapshot();
	}
	relation_close(relation, NoLock);
	new_relation = relid;
	return result;
}

/* Remember the block that was just committed where no SQL reaches it */
void
seal_committed(AuditSlot *slot)
{
	witness_settle(true);
	if (new_block < 0)
		return;
	LWLockAcquire(&slot->lock, LW_EXCLUSIVE);
	slot->last_block = new_block;
	slot->block_relation = new_relation;
	memcpy(slot->last_header, new_header.bytes, MERKLE_HASH_BYTES);
	LWLockRelease(&slot->lock);
	anchor_append(new_checkpoint);
	posting_note_sealed(new_events);
	new_block = -1;
}
