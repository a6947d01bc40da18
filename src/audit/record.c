/*
 * record.c: events that rooms leave on purpose.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "audit/audit.h"
#include "audit/event_table.h"
#include "audit/record.h"
#include "audit/worker.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "identity/identity.h"

PG_FUNCTION_INFO_V1(hub_record_event);
PG_FUNCTION_INFO_V1(hub_record_relation_event);
PG_FUNCTION_INFO_V1(hub_record_surviving_event);
PG_FUNCTION_INFO_V1(hub_begin_audit_read);

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

/* Push a key with a text */
static void
push_pair(JsonbParseState **state, char *key, char *value)
{
	JsonbValue	item;

	item.type = jbvString;
	item.val.string.val = key;
	item.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &item);
	item.val.string.val = value;
	item.val.string.len = strlen(value);
	pushJsonbValue(state, WJB_VALUE, &item);
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

/* Record an event that stays when the transaction is rolled back; returns once it is committed */
Datum
hub_record_surviving_event(PG_FUNCTION_ARGS)
{
	Jsonb	   *details = PG_GETARG_JSONB_P(1);

	audit_record_surviving(kind_by_oid(PG_GETARG_OID(0)), NULL,
						   JsonbToCString(NULL, &details->root, VARSIZE(details)));
	worker_wait_all();
	PG_RETURN_VOID();
}

/* May the caller, who may stand outside a SECURITY DEFINER function, read the trail? */
static bool
caller_reads_audit(void)
{
	const Identity *identity = identity_current();

	if (identity == NULL)
		return superuser_arg(GetOuterUserId());
	return identity->base_role == HUB_ROLE_COMPLIANCE &&
		(GetOuterUserId() == identity->role ||
		 (!identity->by_token && GetOuterUserId() == GetSessionUserId()));
}

/* Let only those who may read the trail go on, and put on record that they read it */
Datum
hub_begin_audit_read(PG_FUNCTION_ARGS)
{
	const pg_uuid_t *subject = PG_ARGISNULL(1) ? NULL : PG_GETARG_UUID_P(1);
	JsonbParseState *state = NULL;
	Jsonb	   *details;

	if (!caller_reads_audit())
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_PERMITTED),
				 errmsg("permission denied to read the audit trail"),
				 errhint("Only a superuser, or a member whose role is hub_compliance or was made like it, may do this.")));

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_pair(&state, "action", "audit_read");
	push_pair(&state, "query", text_to_cstring(PG_GETARG_TEXT_PP(0)));
	details = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	audit_record_surviving(AUDIT_EXPORT, subject,
						   JsonbToCString(NULL, &details->root, VARSIZE(details)));

	/* what was revealed up to now is to be in the answer, and the question in the trail */
	worker_wait_all();
	PG_RETURN_VOID();
}
