/*
 * audit.h: how rooms and hooks leave a trace.
 */
#ifndef CUSTOMER_HUB_AUDIT_H
#define CUSTOMER_HUB_AUDIT_H

#include "postgres.h"

#include "catalog/objectaccess.h"
#include "nodes/nodes.h"
#include "utils/uuid.h"

#include "types/disclosure.h"

/* Kinds of events; the SQL enum hub.audit_kind has the same labels in the same order */
typedef enum AuditKind
{
	AUDIT_ROW,
	AUDIT_REVEAL,
	AUDIT_DENIED,
	AUDIT_EXPORT,
	AUDIT_APPROVAL,
	AUDIT_ERASURE,
	AUDIT_CONSENT,
	AUDIT_HOLD,
	AUDIT_CONFIG,
	AUDIT_DDL,
	AUDIT_AUTHENTICATION,
	AUDIT_BREAK_GLASS
} AuditKind;

extern void audit_init(void);
extern Size audit_shmem_size(void);
extern void audit_shmem_startup(void);

/* Record within the transaction: gone with a rollback. details is JSON text or NULL */
extern void audit_record(AuditKind kind, const pg_uuid_t *subject, const char *details);

/* Record through the ring: survives rollback, error and READ ONLY. For refusals */
extern void audit_record_surviving(AuditKind kind, const pg_uuid_t *subject, const char *details);

/* disclosure_rule.record */
extern void audit_record_reveal(const pg_uuid_t *subject, uint16 class_id, RevealKind kind,
								uint64 *mark, uint64 standing);

/* hooks, dispatched by hub/ */
extern void audit_before_utility(Node *parsetree);
extern void audit_after_utility(Node *parsetree);	/* also when it failed */
extern void audit_statement_end(void);	/* after each statement, at any depth */
extern void audit_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
								void *arg);

#endif							/* CUSTOMER_HUB_AUDIT_H */
