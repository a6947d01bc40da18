/* event_table.h: columns of hub.audit_event, for the files of this room that write it. */
#ifndef CUSTOMER_HUB_EVENT_TABLE_H
#define CUSTOMER_HUB_EVENT_TABLE_H

#include "postgres.h"

#include "access/xact.h"

#include "audit/event.h"

#define AUDIT_KINDS (AUDIT_BREAK_GLASS + 1)

enum
{
	EVENT_XID,
	EVENT_ORDINAL,
	EVENT_RECORDED_AT,
	EVENT_KIND,
	EVENT_RELATION,
	EVENT_OPERATION,
	EVENT_SUBJECT,
	EVENT_ROW_KEY,
	EVENT_CHANGED,
	EVENT_SEALED,
	EVENT_DETAILS,
	EVENT_TAG,
	EVENT_COLUMNS
};

extern Oid	event_kind_oid(AuditKind kind, Oid type);

/* store.c: the buffer in front of the table */
extern void store_init(void);
extern void store_append(const AuditEvent *event);
extern void store_flush(void);
extern void store_forget_subtransaction(SubTransactionId sub_id);
extern void store_keep_subtransaction(SubTransactionId sub_id, SubTransactionId parent_id);
extern void store_forget(void);

/* transaction.c */
extern void transaction_init(void);

#endif							/* CUSTOMER_HUB_EVENT_TABLE_H */
