/*
 * seal.h: whose key a row's values are sealed under.
 */
#ifndef CUSTOMER_HUB_SEAL_H
#define CUSTOMER_HUB_SEAL_H

#include "postgres.h"

#include "access/htup.h"
#include "utils/relcache.h"
#include "utils/uuid.h"

#include "access/governed.h"

/* Data subject of a row of a governed relation; raises CH302 when it has none */
extern void seal_row_subject(const GovernedRelation *governed, Relation relation, HeapTuple tuple,
							 pg_uuid_t *subject);

#endif							/* CUSTOMER_HUB_SEAL_H */
