/*
 * side_effects.h: which queries would put values elsewhere than on the wire.
 */
#ifndef CUSTOMER_HUB_SIDE_EFFECTS_H
#define CUSTOMER_HUB_SIDE_EFFECTS_H

#include "postgres.h"

#include "executor/execdesc.h"

/* Does a started query call a built-in function that keeps its arguments or shows them to others? */
extern bool side_effects_of_query(QueryDesc *query);

#endif							/* CUSTOMER_HUB_SIDE_EFFECTS_H */
