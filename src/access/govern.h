/*
 * govern.h: put relations under the rules.
 */
#ifndef CUSTOMER_HUB_GOVERN_H
#define CUSTOMER_HUB_GOVERN_H

#include "postgres.h"

/* The sealing trigger: last in the order of names, so that nothing changes a value after it */
#define GOVERN_SEAL_TRIGGER "zz_hub_seal"

/* Extend the rules of a governed table to one that has become a partition of it */
extern void govern_partition(Oid relid);

/* Follow the renaming of a column in the registry */
extern void govern_column_renamed(Oid relid, const char *old_name, const char *new_name);

#endif							/* CUSTOMER_HUB_GOVERN_H */
