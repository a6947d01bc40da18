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

extern void export_guard_init(void);

/* hooks, dispatched by hub/; depth counts the executor runs that enclose this one */
extern void export_guard_executor_start(QueryDesc *query, int eflags, int depth);

/*
 * Give the receiver that a run must send its rows through, or NULL when it may
 * keep its own. At the end of the run, on error too, give it back.
 */
extern DestReceiver *export_guard_begin_run(QueryDesc *query, int depth);
extern void export_guard_end_run(QueryDesc *query, DestReceiver *original);

/* Returns what export_guard_after_utility() needs, on error too */
extern const char *export_guard_before_utility(Node *parsetree);
extern void export_guard_after_utility(const char *saved);

/* While hub.export() reads what was approved, its rows do not count; returns what was before */
extern bool export_guard_set_exporting(bool exporting);

#endif							/* CUSTOMER_HUB_EXPORT_GUARD_H */
