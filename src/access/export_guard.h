/*
 * export_guard.h: rows of governed relations leave in bulk through hub.export()
 * only.
 */
#ifndef CUSTOMER_HUB_EXPORT_GUARD_H
#define CUSTOMER_HUB_EXPORT_GUARD_H

#include "postgres.h"

#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "utils/uuid.h"

#include "foundation/compat.h"
#include "identity/identity.h"

extern void export_guard_init(void);

struct GuardedRun;

/* hooks, dispatched by hub/ */
extern struct GuardedRun *export_guard_runs;	/* statements that may send rows */
extern void export_guard_start(QueryDesc *query, int eflags, const Identity *identity);
extern void export_guard_end(QueryDesc *query);

/* Executor start; the identity is identity_current() */
static inline void
export_guard_executor_start(QueryDesc *query, int eflags, const Identity *identity)
{
	if (identity != NULL || export_guard_runs != NULL)
		export_guard_start(query, eflags, identity);
}

/* Executor end */
static inline void
export_guard_executor_end(QueryDesc *query)
{
	if (export_guard_runs != NULL)
		export_guard_end(query);
}

extern void export_guard_begin_run(QueryDesc *query);	/* when there is an identity */
extern void export_guard_count_run(QueryDesc *query);	/* after success, in the same scope */
extern void export_guard_before_utility(Node *parsetree);

/* Refuse to send more rows than the ceiling */
pg_noreturn extern void export_guard_refuse_rows(int64 ceiling);

/* disclosure_rule.count */
extern void export_guard_count_shown(const pg_uuid_t *subject, uint16 class_id, uint64 standing);

/* While hub.export() reads what was approved, its rows do not count; returns what was before */
extern bool export_guard_set_exporting(bool exporting);
extern bool export_guard_exporting(void);

#endif							/* CUSTOMER_HUB_EXPORT_GUARD_H */
