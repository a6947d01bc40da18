/*
 * govern.h: put relations under the rules.
 */
#ifndef CUSTOMER_HUB_GOVERN_H
#define CUSTOMER_HUB_GOVERN_H

#include "postgres.h"

/* Prefixes of what hub.govern() creates on a relation */
#define GOVERN_POLICY_PREFIX "hub_"
#define GOVERN_TRIGGER_SCHEMA "hub"
#define GOVERN_SEAL_TRIGGER "zz_hub_seal"

/* Extend the rules of a governed table to one that has become a partition of it */
extern void govern_partition(Oid relid);

/* Follow the renaming of a column in the registry */
extern void govern_column_renamed(Oid relid, const char *old_name, const char *new_name);

#endif							/* CUSTOMER_HUB_GOVERN_H */
