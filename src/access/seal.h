/*
 * seal.h: whose key a row's values are sealed under.
 */
#ifndef CUSTOMER_HUB_SEAL_H
#define CUSTOMER_HUB_SEAL_H

#include "postgres.h"

#include "access/htup.h"
#include "executor/execdesc.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"
#include "utils/uuid.h"

#include "access/governed.h"

/* Data subject of a row of a governed relation; raises CH302 when it has none */
extern void seal_row_subject(const GovernedRelation *governed, Relation relation, HeapTuple tuple,
							 pg_uuid_t *subject);

/* Leave the sealing trigger out of an UPDATE, just started, that has nothing to seal */
extern void seal_leave_out(QueryDesc *query_desc);

/* Look at a row that such an UPDATE has written: at what the trigger looks at besides */
extern void seal_check_row(const GovernedRelation *governed, Relation relation,
						   TupleTableSlot *row);

#endif							/* CUSTOMER_HUB_SEAL_H */
