/*
 * record.c: events that rooms leave on purpose.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "audit/audit.h"
#include "audit/event_table.h"
#include "audit/record.h"
#include "foundation/errors.h"

PG_FUNCTION_INFO_V1(hub_record_event);
PG_FUNCTION_INFO_V1(hub_record_relation_event);

/* Find a kind by its label */
static AuditKind
kind_by_oid(Oid value)
{
	char	   *label = DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(value)));

	for (int kind = 0; kind < AUDIT_KINDS; kind++)
	{
		if (strcmp(label, event_kind_label(kind)) == 0)
			return kind;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("audit kind \"%s\" is not known to the loaded library", label)));
}

/* Record an event that is about a relation */
void
record_relation_event(AuditKind kind, const pg_uuid_t *subject, const char *relation,
					  const char *operation, Jsonb *details)
{
	AuditEvent	event = {0};

	event.kind = kind;
	event.subject = subject;
	event.relation = relation;
	event.relation_len = relation ? strlen(relation) : 0;
	event.operation = operation;
	event.operation_len = operation ? strlen(operation) : 0;
	event.details = details;
	event_insert(&event);
}

/* Record within the transaction */
void
audit_record(AuditKind kind, const pg_uuid_t *subject, const char *details)
{
	Jsonb	   *document = NULL;

	if (details != NULL)
		document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(details)));
	record_relation_event(kind, subject, NULL, NULL, document);
}

/* Record an event for a room's SQL */
Datum
hub_record_event(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the kind of an audit event must not be null")));
	record_relation_event(kind_by_oid(PG_GETARG_OID(0)),
						  PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1),
						  NULL, NULL,
						  PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2));
	PG_RETURN_VOID();
}

/* Record an event about a relation for this room's SQL */
Datum
hub_record_relation_event(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(1);
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	record_relation_event(kind_by_oid(PG_GETARG_OID(0)), NULL,
						  quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name),
						  text_to_cstring(PG_GETARG_TEXT_PP(2)), PG_GETARG_JSONB_P(3));
	PG_RETURN_VOID();
}
