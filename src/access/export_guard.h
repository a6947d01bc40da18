/*
 * export_guard.h: rows of governed relations leave in bulk through hub.export()
 * only.
 */
#ifndef CUSTOMER_HUB_EXPORT_GUARD_H
#define CUSTOMER_HUB_EXPORT_GUARD_H

#include "postgres.h"

#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "tcop/dest.h"
#include "utils/uuid.h"

extern void export_guard_init(void);

/* What a run must put back at its end */
typedef struct GuardScope
{
	DestReceiver *original;		/* NULL when the receiver was left alone */
	const char *saved_refusal;
	struct GuardedRun *saved_run;
} GuardScope;

/* hooks, dispatched by hub/; depth counts the executor runs that enclose this one */
extern void export_guard_executor_start(QueryDesc *query, int eflags);
extern void export_guard_executor_end(QueryDesc *query);
extern void export_guard_begin_run(QueryDesc *query, int depth, GuardScope *scope);
extern void export_guard_count_run(QueryDesc *query, const GuardScope *scope);	/* after success */
extern void export_guard_end_run(QueryDesc *query, const GuardScope *scope);	/* on error too */

/* Returns what export_guard_after_utility() needs, on error too */
extern const char *export_guard_before_utility(Node *parsetree);
extern void export_guard_after_utility(const char *saved);

/* disclosure_rule.count */
extern void export_guard_count_shown(const pg_uuid_t *subject, uint16 class_id, uint64 standing);

/* While hub.export() reads what was approved, its rows do not count; returns what was before */
extern bool export_guard_set_exporting(bool exporting);
extern bool export_guard_exporting(void);

#endif							/* CUSTOMER_HUB_EXPORT_GUARD_H */
