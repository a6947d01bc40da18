/*
 * verify_log.c: the log of block headers, read in order and by one process.
 *
 * What was checked comes down to the right edge of the log's tree and the last
 * header, so checking can stop anywhere and go on from there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "audit/checkpoint.h"
#include "audit/slot.h"
#include "audit/verify_log.h"
#include "foundation/catalog.h"
#include "foundation/engine.h"

#define FETCH_ROWS 1000

/* Nodes that a header completes, held against those of its block */
typedef struct NodeCheck
{
	const AuditBlock *block;
	int			count;
	bool		equal;
} NodeCheck;

static SPIPlanPtr blocks_plan = NULL;

/* Report a break of a header or of the log */
static void
report(LogCheck *check, const char *kind, int64 block, const char *detail)
{
	verify_report(check->sink, kind, block, 0, 0, detail);
}

/* Hash a header as the leaf that it is in the log */
void
verify_header_leaf(const AuditBlock *block, MerkleHash *leaf)
{
	StringInfoData header;

	initStringInfo(&header);
	appendStringInfoChar(&header, 0);
	block_header(block, &header);
	merkle_leaf(header.data, header.len, leaf);
	pfree(header.data);
}

/* MerkleNodeSink: compare with the node that the block keeps */
static void
compare_node(int level, uint64 index, const MerkleHash *hash, void *arg)
{
	NodeCheck  *nodes = arg;

	if (nodes->count >= nodes->block->node_count ||
		memcmp(hash, &nodes->block->nodes[nodes->count], sizeof(*hash)) != 0)
		nodes->equal = false;
	nodes->count++;
}

/* Add a block to what is to be checked of the blocks' contents */
static void
add_block(LogCheck *check, const AuditBlock *block)
{
	VerifyRange *last = check->range_count > 0 ? &check->ranges[check->range_count - 1] : NULL;

	check->events += block->event_count;
	if (last != NULL && last->first + last->count == block->number)
	{
		last->count++;
		return;
	}
	if (check->ranges == NULL)
		check->ranges = palloc(sizeof(VerifyRange));
	else
		check->ranges = repalloc_huge(check->ranges,
									  sizeof(VerifyRange) * ((Size) check->range_count + 1));
	check->ranges[check->range_count++] = (VerifyRange) {InvalidOid, block->number, 1};
}

/* Check that the checkpoint of a block is of the log up to it; its signature is checked with the block */
static void
check_checkpoint(LogCheck *check, const AuditBlock *block, const MerkleHash *leaf)
{
	LogState   *state = &check->state;
	NodeCheck	nodes = {block, 0, true};
	CheckpointKeys signers = {check->key, log_keys_after(check->keys, block)};
	MerkleHash	root;

	merkle_range_append(&state->log, leaf, compare_node, &nodes);
	merkle_range_root(&state->log, &root);
	if (memcmp(leaf, &block->nodes[0], sizeof(*leaf)) == 0 &&
		(!nodes.equal || nodes.count != block->node_count))
		report(check, "log", block->number, "the nodes of the log that it completes were changed");
	if (block->checkpoint == NULL || check->origin == NULL ||
		!checkpoint_is_of(block->checkpoint, check->origin, state->log.size, &root, signers))
	{
		report(check, "log", block->number, "the signed checkpoint is not of the log up to this block");
		state->broken = true;
	}
}

/* Check the header of a block, and that the log goes on with it */
static void
check_header(LogCheck *check, const AuditBlock *block, bool readable)
{
	LogState   *state = &check->state;
	int64		expected = (int64) state->log.size;
	MerkleHash	leaf;

	if (block->number < expected)
	{
		report(check, "log", -1, psprintf("block " INT64_FORMAT " is out of its turn", block->number));
		return;
	}
	if (block->number > expected)
	{
		report(check, "log", block->number,
			   block->number == expected + 1
			   ? psprintf("block " INT64_FORMAT " is missing", expected)
			   : psprintf("blocks " INT64_FORMAT " to " INT64_FORMAT " are missing",
						  expected, block->number - 1));
		state->broken = true;
		state->log.size = block->number;
		state->previous = block->previous;
	}

	verify_header_leaf(block, &leaf);
	if (!readable || memcmp(&leaf, &block->nodes[0], sizeof(leaf)) != 0)
		report(check, "header", block->number, "the header was changed");
	else if (memcmp(&block->previous, &state->previous, sizeof(state->previous)) != 0 ||
			 block->xid_base < state->previous_base)
		report(check, "header", block->number, "the header does not follow the one before");

	if (block->number == check->witness_block &&
		memcmp(&leaf, check->witness_header, sizeof(leaf)) != 0)
		report(check, "log", block->number, "this is not the block that was sealed last");

	/* with a gap before it the log cannot be computed any more */
	if (!state->broken && readable)
		check_checkpoint(check, block, &leaf);
	else
	{
		state->broken = true;
		state->log.size++;
	}
	state->previous = block->node_count > 0 ? block->nodes[0] : leaf;
	state->previous_base = block->xid_base;
	check->key = log_keys_after(check->keys, block);
	add_block(check, block);
}

/* Prepare the query for blocks from a number on */
static SPIPlanPtr
prepare_blocks(void)
{
	char		query[1024];
	Oid			types[1] = {INT8OID};

	snprintf(query, sizeof(query), "SELECT %s FROM hub.audit_block b "
			 "WHERE b.block_no OPERATOR(pg_catalog.>=) $1 ORDER BY b.block_no", block_columns);
	return engine_prepare(&blocks_plan, query, 1, types);
}

/* Check that the block at which checking stopped is still the one that it was; NULL: it is gone */
static void
check_resumed(LogCheck *check, const AuditBlock *block)
{
	int64		number = (int64) check->state.log.size - 1;

	if (block == NULL || block->number != number)
		report(check, "log", number, "this block was verified before, and is missing");
	else if (block->node_count == 0 ||
			 memcmp(&block->nodes[0], &check->state.previous, MERKLE_HASH_BYTES) != 0)
		report(check, "header", number, "the header was changed after it was verified");
}

/* Check one block that was read; the first may be the one at which checking stopped */
static void
check_block(LogCheck *check, const AuditBlock *block, bool readable, bool *resumed)
{
	if (*resumed)
	{
		*resumed = false;
		check_resumed(check, block);
		if (block->number < (int64) check->state.log.size)
		{
			check->key = log_keys_after(check->keys, block);
			return;
		}
	}
	check_header(check, block, readable);
}

/* Check headers in order; see verify_log.h */
bool
verify_log(LogCheck *check, int64 max_events)
{
	bool		resumed = check->state.log.size > 0;
	Datum		values[1] = {Int64GetDatum(resumed ? (int64) check->state.log.size - 1 : PG_INT64_MIN)};
	Portal		portal = SPI_cursor_open(NULL, prepare_blocks(), values, NULL, true);
	MemoryContext contexts[2];
	int			turn = 0;
	bool		more = true;

	/* a block stays until the one after it was read: the last is the start of the tail */
	for (int i = 0; i < 2; i++)
		contexts[i] = AllocSetContextCreate(CurrentMemoryContext, "customer_hub block",
											ALLOCSET_DEFAULT_SIZES);
	while (more && check->events < max_events)
	{
		SPITupleTable *rows;

		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		rows = SPI_tuptable;
		more = rows->numvals > 0;
		for (uint64 i = 0; i < rows->numvals && check->events < max_events; i++)
		{
			MemoryContext old_context;
			bool		readable;

			turn = 1 - turn;
			MemoryContextReset(contexts[turn]);
			old_context = MemoryContextSwitchTo(contexts[turn]);
			readable = block_read(rows->vals[i], rows->tupdesc, &check->last);
			check->has_last = true;
			MemoryContextSwitchTo(old_context);
			check_block(check, &check->last, readable, &resumed);
		}
		SPI_freetuptable(rows);
	}
	if (resumed)
		check_resumed(check, NULL);
	SPI_cursor_close(portal);
	return more;
}

/* Begin with an empty log */
void
verify_log_init(LogState *state)
{
	memset(state, 0, sizeof(*state));
	merkle_range_init(&state->log);
}

/* Read what the worker remembers of the last block */
void
verify_log_witness(LogCheck *check)
{
	AuditSlot  *slot = slot_of_database(MyDatabaseId);

	check->witness_block = -1;
	if (slot == NULL)
		return;
	LWLockAcquire(&slot->lock, LW_SHARED);
	if (slot->database == MyDatabaseId &&
		slot->block_relation == catalog_relation_if_exists("audit_block"))
	{
		check->witness_block = slot->last_block;
		memcpy(check->witness_header, slot->last_header, MERKLE_HASH_BYTES);
	}
	LWLockRelease(&slot->lock);
}
