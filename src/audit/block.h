/*
 * block.h: blocks of the audit trail, and the log of their headers.
 *
 * A block holds the events of all transactions that its snapshot sees and the
 * snapshot of the block before does not. That is a rule about transaction ids
 * alone, so which block an event belongs to is the same on every reading, in
 * every copy. Within a block events are ordered by (xid, ordinal).
 *
 * The header of a block is a text of 13 lines, each ended by a line feed:
 *
 *	customer_hub/block/v1
 *	block number, from 0
 *	origin (hub.audit_origin)
 *	xid base of that origin
 *	snapshot, xmin:xmax:xip,xip…, without the base
 *	first xid, 0 in a block without events
 *	last xid
 *	number of events
 *	root over the events, hexadecimal
 *	number of transactions
 *	root over the transactions
 *	leaf hash of the header before, 64 zeros in block 0
 *	time of sealing, microseconds since 2000-01-01 UTC
 *
 * Headers are the leaves of a log after RFC 6962. A block row keeps the nodes
 * that its header completes, from the leaf up: node (level, index) is the
 * level-th hash of block ((index + 1) << level) - 1.
 */
#ifndef CUSTOMER_HUB_BLOCK_H
#define CUSTOMER_HUB_BLOCK_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "audit/event.h"
#include "audit/merkle.h"

/* Highest xid of an origin, as base and snapshots count it */
#define BLOCK_ORIGIN_XIDS (UINT64CONST(1) << 40)

/* End of a closed origin's last snapshot; pg_snapshot takes no xid whose low half is 0 */
#define BLOCK_CLOSED_XMAX (BLOCK_ORIGIN_XIDS - 1)

typedef struct BlockSnapshot
{
	uint64		xmin;
	uint64		xmax;
	int			count;
	uint64	   *xip;			/* in progress, ascending */
} BlockSnapshot;

typedef struct AuditBlock
{
	int64		number;
	int32		origin;
	uint64		xid_base;
	char	   *snapshot_text;
	BlockSnapshot snapshot;
	uint64		first_xid;
	uint64		last_xid;
	int64		event_count;
	MerkleHash	event_root;
	int64		transaction_count;
	MerkleHash	transaction_root;
	MerkleHash	previous;
	TimestampTz sealed_at;
	int			node_count;
	MerkleHash *nodes;			/* nodes[0] is the leaf hash of the header */
	char	   *checkpoint;		/* signed note over the log that ends with this block */
} AuditBlock;

/* A row of hub.audit_transaction as it is read and hashed */
typedef struct TransactionRow
{
	uint64		xid;
	int32		member_id;		/* 0 when there was no identity */
	text	   *login;
	int32		event_count;
	bytea	   *digest;
} TransactionRow;

/* List of columns that block_read expects */
extern const char block_columns[];

extern bool block_read(HeapTuple tuple, TupleDesc tupdesc, AuditBlock *block);
extern bool block_last(AuditBlock *block);
extern bool block_by_number(int64 number, AuditBlock *block);

/* Read the block that holds a transaction: the first that sees it, as all after it do; false if none up to the last */
extern bool block_of_transaction(uint64 xid, int64 last_number, AuditBlock *block);

extern void block_header(const AuditBlock *block, StringInfo buf);

extern bool block_parse_snapshot(const char *text, BlockSnapshot *snapshot);
extern bool block_sees(const AuditBlock *block, uint64 xid);

/* Does a snapshot see a transaction id, without base? */
extern bool block_snapshot_sees(const BlockSnapshot *snapshot, uint64 xid);

/* Append the canonical bytes of a row of hub.audit_transaction, in the layout that events have */
extern void block_encode_transaction(const Datum *values, const bool *nulls, StringInfo buf,
									 TransactionRow *row);

/* MerkleNodeSource over the log */
extern void block_log_node(int level, uint64 index, MerkleHash *hash, void *arg);
extern void block_log_range(uint64 size, MerkleRange *range);

#endif							/* CUSTOMER_HUB_BLOCK_H */
