/* verify_log.h: checking the log of block headers, in one go or piece by piece. */
#ifndef CUSTOMER_HUB_VERIFY_LOG_H
#define CUSTOMER_HUB_VERIFY_LOG_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "audit/log_key.h"
#include "audit/merkle.h"
#include "audit/verify.h"
#include "audit/witness.h"

/* What it takes to go on after the blocks that were checked */
typedef struct LogState
{
	MerkleRange log;			/* over all of them */
	bool		broken;			/* headers are missing, or a checkpoint was not of the log */
	MerkleHash	previous;		/* leaf hash of the last header, zeros before the first */
	uint64		previous_base;
} LogState;

typedef struct LogCheck
{
	LogState	state;
	VerifySink *sink;
	char	   *origin;			/* name of the log, NULL before its first block */
	LogKeys    *keys;
	int			key;			/* generation of the one that signs after the block before */
	int64		witness_block;	/* what the worker remembers of the last one; -1: nothing */
	uint8		witness_header[MERKLE_HASH_BYTES];
	WitnessNotes notes;			/* what it remembers of transactions without a block */

	/* the block that was read last; until SPI_finish() */
	bool		has_last;
	AuditBlock	last;

	/* the blocks that were read, whose contents are to be checked */
	VerifyRange *ranges;
	int			range_count;
	int64		events;
} LogCheck;

extern void verify_log_init(LogState *state);

/* Read what the worker remembers; before the snapshot, which is to see that block */
extern void verify_log_witness(LogCheck *check);

/*
 * Check headers in order, from the first that is not in the state, until there
 * are no more or blocks with so many events were read. True when there may be
 * more. The last block of the state is looked at again.
 */
extern bool verify_log(LogCheck *check, int64 max_events);

/* Begin under a new snapshot, which the caller pops; verify_end() needs what is anchored */
extern void verify_begin(LogCheck *check, char **anchored);

/* Check what comes after the last block, and what is known from elsewhere */
extern void verify_end(LogCheck *check, const char *anchored);

/* List the tables that events and transactions are in, each with all its pages (VerifyRange *) */
extern List *verify_tables(void);

#endif							/* CUSTOMER_HUB_VERIFY_LOG_H */
