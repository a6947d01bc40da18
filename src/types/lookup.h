/*
 * lookup.h: what the planner's hook tells the types room.
 */
#ifndef CUSTOMER_HUB_LOOKUP_H
#define CUSTOMER_HUB_LOOKUP_H

#include "postgres.h"

#include "nodes/pathnodes.h"

extern void lookup_relation_planned(PlannerInfo *root, RelOptInfo *relation);

#endif							/* CUSTOMER_HUB_LOOKUP_H */
