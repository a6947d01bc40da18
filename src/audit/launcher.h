/* launcher.h: the process that starts the audit workers, and what makes them come and go. */
#ifndef CUSTOMER_HUB_LAUNCHER_H
#define CUSTOMER_HUB_LAUNCHER_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/nodes.h"

#define LAUNCHER_LIBRARY "customer_hub"
#define LAUNCHER_WORKER_TYPE "customer_hub audit worker"

extern void launcher_init(void);
extern void launcher_register(void);

/* Before a utility command: one that needs a database to itself gets the worker out of its way */
extern void launcher_before_utility(Node *parsetree);

PGDLLEXPORT void audit_launcher_main(Datum arg);
PGDLLEXPORT void audit_worker_main(Datum arg);

#endif							/* CUSTOMER_HUB_LAUNCHER_H */
