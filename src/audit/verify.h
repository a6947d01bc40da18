/* verify.h: what the files that verify the trail share. */
#ifndef CUSTOMER_HUB_VERIFY_H
#define CUSTOMER_HUB_VERIFY_H

#include "postgres.h"

#include "nodes/execnodes.h"

#include "audit/block.h"

/* Report a break; -1 for a block, 0 for an xid or an ordinal means none */
extern void verify_report(ReturnSetInfo *result, const char *kind, int64 block, uint64 xid,
						  int32 ordinal, const char *detail);

/* Hash a header as the leaf that it is in the log */
extern void verify_header_leaf(const AuditBlock *block, MerkleHash *leaf);

/* Check the events that no block holds yet; last is NULL where there are no blocks */
extern void verify_tail(ReturnSetInfo *result, const AuditBlock *last);

#endif							/* CUSTOMER_HUB_VERIFY_H */
