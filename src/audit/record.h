/* record.h: recording for the files of this room. */
#ifndef CUSTOMER_HUB_RECORD_H
#define CUSTOMER_HUB_RECORD_H

#include "postgres.h"

#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "audit/audit.h"

extern void record_relation_event(AuditKind kind, const pg_uuid_t *subject, const char *relation,
								  const char *operation, Jsonb *details);

#endif							/* CUSTOMER_HUB_RECORD_H */
