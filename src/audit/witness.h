/*
 * witness.h: what the server's memory knows of transactions that no block holds
 * yet. Who removes one with all its events, as if it had never been, removes no
 * memory of it.
 */
#ifndef CUSTOMER_HUB_WITNESS_H
#define CUSTOMER_HUB_WITNESS_H

#include "postgres.h"

/* Transactions of all databases that can wait for their blocks; more are not witnessed */
#define WITNESS_ENTRIES 16384
#define WITNESS_DIGEST_BYTES 8

/* A transaction that was noted; xid is without base */
typedef struct WitnessEntry
{
	Oid			database;
	Oid			relation;		/* another one after the extension was created anew */
	uint64		xid;
	uint8		digest[WITNESS_DIGEST_BYTES];
} WitnessEntry;

/* A row of hub.audit_transaction that has just been read; xid is with base */
typedef struct WitnessRow
{
	uint64		xid;
	uint8		digest[WITNESS_DIGEST_BYTES];
} WitnessRow;

/* Told of each transaction that was committed and whose row is not there; xid is without base */
typedef void (*WitnessSink) (uint64 xid, void *arg);

extern Size witness_shmem_size(void);
extern void witness_shmem_startup(void);

/* Note a transaction that is about to commit; relation is hub.audit_transaction */
extern void witness_note(Oid relation, uint64 xid, const uint8 *digest);

/*
 * What is noted of this database. To be read before the snapshot that it is held
 * against: then whatever is forgotten by now is in a block that the snapshot sees.
 */
typedef struct WitnessNotes
{
	Oid			relation;
	int			count;
	WitnessEntry *entries;
} WitnessNotes;

extern void witness_read(Oid relation, WitnessNotes *notes);

/*
 * Look for all that were noted and that the active snapshot sees: among rows, in
 * order of xid, that the caller has read, else in the table. With settle, those
 * that are there are known by their block once witness_settle() is told that it
 * was committed.
 */
extern void witness_check(const WitnessNotes *notes, uint64 xid_base, const WitnessRow *rows,
						  int row_count, bool settle, WitnessSink sink, void *arg);
extern void witness_settle(bool committed);

#endif							/* CUSTOMER_HUB_WITNESS_H */
