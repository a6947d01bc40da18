/*
 * audit.c: start of the audit room.
 */
#include "postgres.h"

#include "audit/audit.h"
#include "audit/event_table.h"
#include "audit/posting.h"
#include "audit/row_plan.h"

/* Watch transactions and catalogs; called once from _PG_init */
void
audit_init(void)
{
	transaction_init();
	store_init();
	posting_init();
	row_plan_init();
}
