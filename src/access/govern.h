/*
 * govern.h: put relations under the rules.
 */
#ifndef CUSTOMER_HUB_GOVERN_H
#define CUSTOMER_HUB_GOVERN_H

#include "postgres.h"

#include "fmgr.h"

/* The sealing trigger: last in the order of names, so that nothing changes a value after it */
#define GOVERN_SEAL_TRIGGER "zz_hub_seal"

/* The trigger of the audit room, which hub.install_audit() makes */
#define GOVERN_AUDIT_TRIGGER "hub_audit"

/* for entry points of this room: who may call, and as whom the work is done */
extern Oid	govern_relation_argument(FunctionCallInfo fcinfo, int number);
extern void govern_require_owner(Oid relid);
extern char *govern_run_engine(const char *statement, int nargs, Oid *types, Datum *values,
							   const char *nulls);
extern void govern_become_owner(Oid relid, int flags, Oid *user, int *sec_context);

/* Extend the rules of a governed table to one that has become a partition of it */
extern void govern_partition(Oid relid);

/* Follow the renaming of a column in the registry */
extern void govern_column_renamed(Oid relid, const char *old_name, const char *new_name);

#endif							/* CUSTOMER_HUB_GOVERN_H */
