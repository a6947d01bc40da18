/*
 * verify_block.c: does a block hold what was sealed?
 *
 * Which block an event belongs to follows from its xid and from the snapshots
 * that blocks keep, and a transaction is in one block as a whole. So each block
 * is checked by itself: by any process, in any order, on any server.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/event.h"
#include "audit/scan.h"
#include "audit/verify.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

/* Before the digest of a transaction's events; see transaction.c */
#define DIGEST_DOMAIN 0x02

/* The contents of one block, or of the tail */
typedef struct Contents
{
	VerifySink *sink;
	int64		number;			/* -1 for the tail */
	uint64		own_xid;		/* the caller's transaction, whose row is written at its commit */
	bool		retired;		/* only the header is left */
	bool		broken;			/* something in it is reported already */
	MerkleRange events;
	MerkleRange transactions;

	TrailScan  *event_scan;
	bool		has_event;
	AuditEvent	event;

	TrailScan  *transaction_scan;
	bool		has_transaction;
	TransactionRow transaction;
	StringInfoData transaction_leaf;

	SPITupleTable *left;		/* what is left of retired events, in order */
	uint64		left_count;
	uint64		left_next;

	StringInfoData leaf;
} Contents;

/* What is found of one transaction */
typedef struct Found
{
	uint64		xid;
	int64		events;
	int32		last_ordinal;
	uint8		digest[EVENT_TAG_BYTES];
	bool		broken;
} Found;

static SPIPlanPtr block_plan = NULL;
static SPIPlanPtr left_plan = NULL;

/* Report a break of a transaction */
static void
report(Contents *contents, const char *kind, Found *found, int32 ordinal, const char *detail)
{
	verify_report(contents->sink, kind, contents->number, found->xid, ordinal, detail);
	found->broken = true;
}

/* Go on to the next event */
static void
next_event(Contents *contents)
{
	contents->has_event = scan_next_event(contents->event_scan, &contents->event);
}

/* Go on to the next transaction row */
static void
next_transaction(Contents *contents)
{
	resetStringInfo(&contents->transaction_leaf);
	appendStringInfoChar(&contents->transaction_leaf, 0);
	contents->has_transaction = scan_next_transaction(contents->transaction_scan,
													  &contents->transaction,
													  &contents->transaction_leaf);
}

/* Read what is left of the retired events of a block, in order */
static void
read_left(Contents *contents)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(contents->number)};

	SPI_execute_plan(engine_prepare(&left_plan,
									"SELECT r.xid, r.ordinal, r.leaf, r.tag FROM hub.audit_retired_event r "
									"WHERE r.block_no = $1 ORDER BY r.xid, r.ordinal", 1, types),
					 values, NULL, true, 0);
	contents->left = SPI_tuptable;
	contents->left_count = SPI_processed;
}

/* Return the xid of the next retired event; the highest there is after the last */
static uint64
left_xid(Contents *contents)
{
	bool		isnull;

	if (contents->left_next >= contents->left_count)
		return PG_UINT64_MAX;
	return DatumGetUInt64(SPI_getbinval(contents->left->vals[contents->left_next],
										contents->left->tupdesc, 1, &isnull));
}

/* Add an event to the block and to the digest of its transaction */
static void
add_event(Contents *contents, int32 ordinal, const uint8 *tag, const MerkleHash *leaf,
		  Found *found)
{
	uint8		link[1 + 2 * EVENT_TAG_BYTES];

	if (ordinal == found->last_ordinal)
		report(contents, "event", found, ordinal, "is there twice");
	for (int32 missing = found->last_ordinal + 1; missing < ordinal; missing++)
	{
		CHECK_FOR_INTERRUPTS();
		report(contents, "event", found, missing, "is missing");
	}
	found->last_ordinal = ordinal;
	found->events++;

	link[0] = DIGEST_DOMAIN;
	memcpy(link + 1, found->digest, EVENT_TAG_BYTES);
	memcpy(link + 1 + EVENT_TAG_BYTES, tag, EVENT_TAG_BYTES);
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, link, sizeof(link), found->digest);
	merkle_range_append(&contents->events, leaf, NULL, NULL);
}

/* Take in what is left of retired events of a transaction that come before an ordinal */
static void
take_left(Contents *contents, int32 ordinal, Found *found)
{
	while (left_xid(contents) == found->xid)
	{
		HeapTuple	tuple = contents->left->vals[contents->left_next];
		TupleDesc	tupdesc = contents->left->tupdesc;
		bool		isnull;
		int32		this_ordinal = DatumGetInt32(SPI_getbinval(tuple, tupdesc, 2, &isnull));
		bytea	   *leaf = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 3, &isnull));
		bytea	   *tag = DatumGetByteaPP(SPI_getbinval(tuple, tupdesc, 4, &isnull));
		MerkleHash	hash = {{0}};
		uint8		tag_bytes[EVENT_TAG_BYTES] = {0};

		if (this_ordinal >= ordinal)
			break;
		memcpy(hash.bytes, VARDATA_ANY(leaf), Min(VARSIZE_ANY_EXHDR(leaf), MERKLE_HASH_BYTES));
		memcpy(tag_bytes, VARDATA_ANY(tag), Min(VARSIZE_ANY_EXHDR(tag), EVENT_TAG_BYTES));
		if (!contents->retired)
			add_event(contents, this_ordinal, tag_bytes, &hash, found);
		contents->left_next++;
	}
}

/* Check the current event, and add it */
static void
check_event(Contents *contents, Found *found)
{
	AuditEvent *event = &contents->event;
	StringInfo	leaf = &contents->leaf;
	MerkleHash	hash;
	uint8		tag[EVENT_TAG_BYTES];

	resetStringInfo(leaf);
	appendStringInfoChar(leaf, 0);
	event_encode(event, leaf);
	event_tag(leaf->data + 1, leaf->len - 1, tag);
	if (!keyring_equal(tag, event->tag, EVENT_TAG_BYTES))
		report(contents, "event", found, event->ordinal,
			   "was changed or inserted: its tag is not of these contents");
	merkle_leaf(leaf->data, leaf->len, &hash);
	take_left(contents, event->ordinal, found);
	add_event(contents, event->ordinal, event->tag, &hash, found);
}

/* Check the current transaction row against the events that were found of it */
static void
check_transaction(Contents *contents, Found *found)
{
	TransactionRow *row = &contents->transaction;
	MerkleHash	hash;

	merkle_leaf(contents->transaction_leaf.data, contents->transaction_leaf.len, &hash);
	merkle_range_append(&contents->transactions, &hash, NULL, NULL);
	if (found->events == 0)
	{
		report(contents, "transaction", found, 0,
			   psprintf("its %d events are missing", row->event_count));
		return;
	}
	for (int32 missing = found->last_ordinal + 1; missing <= row->event_count; missing++)
	{
		CHECK_FOR_INTERRUPTS();
		report(contents, "event", found, missing, "is missing");
	}
	if (!found->broken &&
		(found->events != row->event_count || row->digest == NULL ||
		 VARSIZE_ANY_EXHDR(row->digest) != EVENT_TAG_BYTES ||
		 !keyring_equal(VARDATA_ANY(row->digest), found->digest, EVENT_TAG_BYTES)))
		report(contents, "transaction", found, 0,
			   "the number or the digest of its events is not what was committed");
}

/* Check one transaction: its events, what is left of retired ones, and its row */
static void
check_one(Contents *contents, uint64 xid)
{
	Found		found = {.xid = xid};
	bool		own = xid == contents->own_xid;
	bool		has_row = false;

	while (contents->has_event && contents->event.xid == xid)
	{
		if (!own)
			check_event(contents, &found);
		next_event(contents);
	}
	take_left(contents, PG_INT32_MAX, &found);
	while (contents->has_transaction && contents->transaction.xid == xid)
	{
		has_row = true;
		if (!own)
			check_transaction(contents, &found);
		next_transaction(contents);
	}
	if (!has_row && !own && !(contents->retired && found.events == 0))
		report(contents, "transaction", &found, 0, "its row is missing");
	contents->broken |= found.broken;
}

/* Check what a block of these snapshots holds */
static void
check_contents(Contents *contents, const BlockSnapshot *before, const BlockSnapshot *snapshot,
			   uint64 xid_base)
{
	merkle_range_init(&contents->events);
	merkle_range_init(&contents->transactions);
	initStringInfo(&contents->leaf);
	initStringInfo(&contents->transaction_leaf);
	if (contents->number >= 0)
		read_left(contents);
	contents->event_scan = scan_events(before, snapshot, xid_base);
	contents->transaction_scan = scan_transactions(before, snapshot, xid_base);
	next_event(contents);
	next_transaction(contents);
	for (;;)
	{
		uint64		xid = left_xid(contents);

		if (contents->has_event)
			xid = Min(xid, contents->event.xid);
		if (contents->has_transaction)
			xid = Min(xid, contents->transaction.xid);
		if (xid == PG_UINT64_MAX)
			break;
		check_one(contents, xid);
	}
	scan_end(contents->event_scan);
	scan_end(contents->transaction_scan);
}

/* Compare what was found of a block with what was sealed */
static void
compare_roots(Contents *contents, const AuditBlock *block)
{
	MerkleHash	root;

	if (contents->broken)
		return;
	if (contents->retired)
	{
		if (contents->events.size > 0 || contents->transactions.size > 0)
			verify_report(contents->sink, "block", block->number, 0, 0,
						  "is retired, and holds events all the same");
		return;
	}
	merkle_range_root(&contents->events, &root);
	if ((int64) contents->events.size != block->event_count)
		verify_report(contents->sink, "block", block->number, 0, 0,
					  psprintf("holds %lld events, %lld were sealed",
							   (long long) contents->events.size, (long long) block->event_count));
	else if (memcmp(&root, &block->event_root, sizeof(root)) != 0)
		verify_report(contents->sink, "block", block->number, 0, 0,
					  "holds other events than were sealed");
	merkle_range_root(&contents->transactions, &root);
	if ((int64) contents->transactions.size != block->transaction_count)
		verify_report(contents->sink, "block", block->number, 0, 0,
					  psprintf("holds %lld transactions, %lld were sealed",
							   (long long) contents->transactions.size,
							   (long long) block->transaction_count));
	else if (memcmp(&root, &block->transaction_root, sizeof(root)) != 0)
		verify_report(contents->sink, "block", block->number, 0, 0,
					  "holds other transactions than were sealed");
}

/* Return the xid of what the caller itself has recorded */
static uint64
own_xid(void)
{
	FullTransactionId xid = GetTopFullTransactionIdIfAny();

	if (!FullTransactionIdIsValid(xid) || !event_origin_is_current(NULL))
		return 0;
	return event_xid_base() + U64FromFullTransactionId(xid);
}

/* Check the events that no block holds yet */
void
verify_tail(VerifySink *sink, const AuditBlock *last)
{
	Contents	contents = {.sink = sink, .number = -1, .own_xid = own_xid()};

	check_contents(&contents, last ? &last->snapshot : NULL, NULL, last ? last->xid_base : 0);
}

/* Read a block and the one before it, as far as they can be read */
static int
read_blocks(int64 number, AuditBlock blocks[2], bool readable[2], bool *retired)
{
	char		query[1024];
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(number)};
	int			count;

	snprintf(query, sizeof(query), "SELECT %s, EXISTS (SELECT FROM hub.audit_retired_block r "
			 "WHERE r.block_no OPERATOR(pg_catalog.=) b.block_no) FROM hub.audit_block b "
			 "WHERE b.block_no OPERATOR(pg_catalog.<=) $1 ORDER BY b.block_no DESC LIMIT 2",
			 block_columns);
	SPI_execute_plan(engine_prepare(&block_plan, query, 1, types), values, NULL, true, 2);
	count = (int) SPI_processed;
	for (int i = 0; i < count; i++)
		readable[i] = block_read(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &blocks[i]);
	if (count > 0)
	{
		bool		isnull;

		*retired = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
											  SPI_tuptable->tupdesc->natts, &isnull));
	}
	return count;
}

/* Check who signed a block that is in its place */
static void
check_signature(const VerifyLog *log, const AuditBlock *before, const AuditBlock *block,
				VerifySink *sink)
{
	CheckpointKeys signers = {log_keys_after(log->keys, before), log_keys_after(log->keys, block)};

	if (log->origin != NULL &&
		!checkpoint_is_signed(block->checkpoint, log->origin, signers, false))
		verify_report(sink, "log", block->number, 0, 0, "the checkpoint is not signed by the key of its time");
}

/* Check what a block holds; see verify.h */
void
verify_block(const VerifyLog *log, int64 number, VerifySink *sink)
{
	AuditBlock	blocks[2];
	bool		readable[2] = {false, true};
	MerkleHash	leaf;
	Contents	contents = {.sink = sink, .number = number};
	int			count;

	SPI_connect();
	count = read_blocks(number, blocks, readable, &contents.retired);
	if (count > 0 && blocks[0].number == number)
	{
		AuditBlock *before = count > 1 ? &blocks[1] : NULL;

		/* the log of headers is checked elsewhere; where it breaks the border may be wrong, too */
		verify_header_leaf(&blocks[0], &leaf);
		contents.broken = !readable[0] || !readable[1] ||
			number != (before ? before->number + 1 : 0) ||
			memcmp(&leaf, &blocks[0].nodes[0], sizeof(leaf)) != 0 ||
			(before && memcmp(&blocks[0].previous, &before->nodes[0], sizeof(leaf)) != 0);
		if (!contents.broken)
			check_signature(log, before, &blocks[0], sink);
		check_contents(&contents,
					   before && before->xid_base == blocks[0].xid_base ? &before->snapshot : NULL,
					   &blocks[0].snapshot, blocks[0].xid_base);
		compare_roots(&contents, &blocks[0]);
	}
	SPI_finish();
}
