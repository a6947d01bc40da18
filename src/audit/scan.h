/*
 * scan.h: rows of the trail in the order of (xid, ordinal), straight from the
 * tables. A statement per block, and a tuple copied per row, would take longer
 * than hashing them.
 */
#ifndef CUSTOMER_HUB_SCAN_H
#define CUSTOMER_HUB_SCAN_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/relcache.h"

#include "audit/block.h"
#include "audit/event.h"

/* Column of hub.audit_transaction that orders it */
#define SCAN_TRANSACTION_XID 1

typedef struct TrailScan TrailScan;

/*
 * Read what a block of these snapshots holds; before is NULL where nothing came
 * before in its origin, snapshot is NULL for all that comes after. Rows are read
 * under the active snapshot.
 */
extern TrailScan *scan_events(const BlockSnapshot *before, const BlockSnapshot *snapshot,
							  uint64 xid_base);
extern TrailScan *scan_transactions(const BlockSnapshot *before, const BlockSnapshot *snapshot,
									uint64 xid_base);

/* The same, but for what comes up to and including an event; its transaction row is still read */
extern TrailScan *scan_events_after(const BlockSnapshot *before, const BlockSnapshot *snapshot,
									uint64 xid_base, uint64 xid, int32 ordinal);
extern TrailScan *scan_transactions_from(const BlockSnapshot *before, const BlockSnapshot *snapshot,
										 uint64 xid_base, uint64 xid);

/* Go on to the next row, whose contents stay until the one after is asked for */
extern bool scan_next_event(TrailScan *scan, AuditEvent *event);
extern bool scan_next_transaction(TrailScan *scan, TransactionRow *row, StringInfo bytes);
extern Oid	scan_table(const TrailScan *scan);	/* where the current row is */
extern void scan_end(TrailScan *scan);

/*
 * Open the index that gives the rows of one table in order; ordinal is
 * InvalidAttrNumber where the transaction alone is the key
 */
extern Relation scan_open_index(Relation relation, AttrNumber xid, AttrNumber ordinal);

#endif							/* CUSTOMER_HUB_SCAN_H */
