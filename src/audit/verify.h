/* verify.h: what the files that verify the trail share. */
#ifndef CUSTOMER_HUB_VERIFY_H
#define CUSTOMER_HUB_VERIFY_H

#include "postgres.h"

#include "fmgr.h"
#include "storage/dsm.h"
#include "storage/shm_toc.h"

#include "audit/block.h"
#include "audit/log_key.h"

/* Something that is not as it was written or sealed */
typedef struct VerifyBreak
{
	const char *kind;
	int64		block;			/* -1 for none */
	uint64		xid;			/* 0 for none */
	int32		ordinal;		/* 0 for none */
	const char *detail;
} VerifyBreak;

/* Takes breaks; what it is given lasts for the call */
typedef struct VerifySink VerifySink;
struct VerifySink
{
	void		(*take) (VerifySink *sink, const VerifyBreak *found);
};

/* Report a break */
extern void verify_report(VerifySink *sink, const char *kind, int64 block, uint64 xid,
						  int32 ordinal, const char *detail);

/* Hash a header as the leaf that it is in the log */
extern void verify_header_leaf(const AuditBlock *block, MerkleHash *leaf);

/* The log that blocks are of, and who signs it */
typedef struct VerifyLog
{
	char	   *origin;
	LogKeys    *keys;
} VerifyLog;

/* Check what a block holds, and who signed it; nothing when there is no such block */
extern void verify_block(const VerifyLog *log, int64 number, VerifySink *sink);

/* Check the events that no block holds yet; last is NULL where there are no blocks */
extern void verify_tail(VerifySink *sink, const AuditBlock *last);

/* Check that the index which gives a table its order names every row of some pages */
extern void verify_pages(Oid relid, BlockNumber first, BlockNumber count, VerifySink *sink);

/*
 * A piece of work whose parts can be checked in any order, each by itself:
 * consecutive blocks, or consecutive pages of one of the trail's tables
 */
typedef struct VerifyRange
{
	Oid			relid;			/* InvalidOid: blocks of the log */
	int64		first;
	int64		count;
} VerifyRange;

/* Check all ranges, shared with up to this number of parallel workers. Within SPI */
extern void verify_share(const VerifyRange *ranges, int count, int workers, VerifySink *sink);

/* Main function of such a worker */
PGDLLEXPORT void audit_verify_worker_main(dsm_segment *segment, shm_toc *toc);

#endif							/* CUSTOMER_HUB_VERIFY_H */
