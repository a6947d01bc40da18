/*
 * guard.c: what keeps the trail as it is, and records who changes the rules.
 *
 * Rows are kept by triggers; the tables themselves are kept here. A superuser who
 * writes to the system catalogs or replays rows with session_replication_role
 * gets past both, and is found by hub.verify_audit().
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "access/governed.h"
#include "access/protect.h"
#include "audit/audit.h"
#include "audit/capture.h"
#include "audit/event.h"
#include "audit/record.h"
#include "foundation/compat.h"
#include "foundation/catalog.h"
#include "foundation/errors.h"

#define EXTENSION_NAME "customer_hub"
#define AUDIT_OWNER "hub_audit_owner"

static const char *const trail_tables[] = {
	"audit_event", "audit_transaction", "audit_origin", "audit_block", "audit_log", "audit_key",
	"audit_retirement", "audit_retired_block", "audit_retired_event", "audit_verification_break"
};

/* Is a COPY FROM into a table of schema hub at work? */
static bool copying = false;

/* Is DROP EXTENSION at work? It takes the trail with it; access decides whether it may */
static bool dropping_extension = false;

/* The partition that hub.detach_audit_partition() takes off */
static Oid	detaching = InvalidOid;

PG_FUNCTION_INFO_V1(hub_take_off_audit_partition);

/* Is a relation a table of the trail, or a partition of one? */
static bool
is_trail(Oid relid)
{
	if (!OidIsValid(relid))
		return false;
	for (int i = 0; i < lengthof(trail_tables); i++)
	{
		if (catalog_relation_if_exists(trail_tables[i]) == relid)
			return true;
	}
	return get_rel_relispartition(relid) &&
		get_partition_parent(relid, true) == catalog_relation_if_exists("audit_event");
}

/* Resolve a relation that a statement names; it need not exist */
static Oid
range_var_oid(RangeVar *range)
{
	return range ? RangeVarGetRelid(range, NoLock, true) : InvalidOid;
}

pg_noreturn static void refuse(Oid relid);

/* Refuse to change a table of the trail */
static void
refuse(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_CH_AUDIT_IMMUTABLE),
			 errmsg("cannot change table \"%s\" of the audit trail", get_rel_name(relid)),
			 errhint("The audit trail is only ever added to.")));
}

/* Refuse ALTER TABLE on the trail, but for what a restore and new partitions need */
static void
check_alter_table(AlterTableStmt *statement)
{
	ListCell   *cell;
	Oid			relid = range_var_oid(statement->relation);

	if (!is_trail(relid))
		return;
	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		switch (command->subtype)
		{
			case AT_AttachPartition:
			case AT_SetStatistics:
			case AT_SetRelOptions:
			case AT_ResetRelOptions:
			case AT_SetTableSpace:
			case AT_ClusterOn:
			case AT_ReplicaIdentity:
				break;
			case AT_DetachPartition:
				if (OidIsValid(detaching) &&
					range_var_oid(((PartitionCmd *) command->def)->name) == detaching)
					break;
				refuse(relid);
			case AT_ChangeOwner:
				if (get_rolespec_oid(command->newowner, true) == get_role_oid(AUDIT_OWNER, true))
					break;
				refuse(relid);
			default:
				refuse(relid);
		}
	}
}

/* Start the details of an event */
static JsonbParseState *
begin_details(void)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	return state;
}

static Jsonb *
end_details(JsonbParseState *state)
{
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Push a string as key, value or element */
static void
push_string(JsonbParseState **state, JsonbIteratorToken token, const char *string)
{
	JsonbValue	item;

	item.type = jbvString;
	item.val.string.val = (char *) string;
	item.val.string.len = strlen(string);
	pushJsonbValue(state, token, &item);
}

/* Push a key with a text */
static void
push_pair(JsonbParseState **state, const char *key, const char *value)
{
	push_string(state, WJB_KEY, key);
	push_string(state, WJB_VALUE, value);
}

/* Name a role of a statement */
static const char *
role_name(RoleSpec *role)
{
	switch (role->roletype)
	{
		case ROLESPEC_CSTRING:
			return role->rolename;
		case ROLESPEC_PUBLIC:
			return "PUBLIC";
		default:
			return GetUserNameFromId(role->roletype == ROLESPEC_SESSION_USER ?
									 GetSessionUserId() : GetUserId(), false);
	}
}

/* Push an array of roles */
static void
push_roles(JsonbParseState **state, const char *key, List *roles)
{
	ListCell   *cell;

	push_string(state, WJB_KEY, key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, roles)
		push_string(state, WJB_ELEM, role_name(lfirst_node(RoleSpec, cell)));
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Push the names of privileges, or of granted roles; none means all */
static void
push_privileges(JsonbParseState **state, const char *key, List *privileges)
{
	ListCell   *cell;

	push_string(state, WJB_KEY, key);
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, privileges)
	{
		AccessPriv *privilege = lfirst_node(AccessPriv, cell);

		push_string(state, WJB_ELEM, privilege->priv_name ? privilege->priv_name : "ALL");
	}
	if (privileges == NIL)
		push_string(state, WJB_ELEM, "ALL");
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

/* Does a GRANT touch a governed relation or anything of schema hub? */
static bool
grant_concerns_hub(GrantStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->objects)
	{
		Node	   *object = lfirst(cell);

		switch (statement->targtype == ACL_TARGET_OBJECT ? statement->objtype : OBJECT_SCHEMA)
		{
			case OBJECT_TABLE:
				{
					Oid			relid = range_var_oid(castNode(RangeVar, object));

					if (OidIsValid(relid) &&
						(governed_is(relid) || get_rel_namespace(relid) == catalog_schema(true)))
						return true;
					break;
				}
			case OBJECT_SCHEMA:
				/* GRANT ON SCHEMA, and GRANT ON ALL … IN SCHEMA: any schema may hold governed tables */
				return true;
			case OBJECT_FUNCTION:
			case OBJECT_PROCEDURE:
			case OBJECT_ROUTINE:
				{
					ObjectWithArgs *function = castNode(ObjectWithArgs, object);

					if (list_length(function->objname) > 1 &&
						strcmp(strVal(linitial(function->objname)), "hub") == 0)
						return true;
					break;
				}
			default:
				break;
		}
	}
	return false;
}

/* Record a GRANT or REVOKE of privileges */
static void
record_grant(GrantStmt *statement)
{
	JsonbParseState *state;
	ListCell   *cell;

	if (!grant_concerns_hub(statement))
		return;
	state = begin_details();
	push_pair(&state, "action", statement->is_grant ? "grant" : "revoke");
	push_privileges(&state, "privileges", statement->privileges);
	push_roles(&state, "roles", statement->grantees);
	push_string(&state, WJB_KEY, "objects");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	foreach(cell, statement->objects)
	{
		Node	   *object = lfirst(cell);

		if (IsA(object, RangeVar))
			push_string(&state, WJB_ELEM,
						quote_qualified_identifier(((RangeVar *) object)->schemaname,
												   ((RangeVar *) object)->relname));
		else if (IsA(object, ObjectWithArgs))
			push_string(&state, WJB_ELEM, NameListToString(((ObjectWithArgs *) object)->objname));
		else if (IsA(object, String))
			push_string(&state, WJB_ELEM, strVal(object));
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	record_relation_event(AUDIT_CONFIG, NULL, NULL, statement->is_grant ? "GRANT" : "REVOKE",
						  end_details(state));
}

/* Record a GRANT or REVOKE of roles */
static void
record_role_grant(GrantRoleStmt *statement)
{
	JsonbParseState *state = begin_details();

	push_pair(&state, "action", statement->is_grant ? "grant" : "revoke");
	push_privileges(&state, "granted", statement->granted_roles);
	push_roles(&state, "roles", statement->grantee_roles);
	record_relation_event(AUDIT_CONFIG, NULL, NULL,
						  statement->is_grant ? "GRANT ROLE" : "REVOKE ROLE", end_details(state));
}

/* Record CREATE ROLE, ALTER ROLE and the like: which options, but never a password */
static void
record_role_options(const char *operation, const char *role, List *options)
{
	JsonbParseState *state = begin_details();
	ListCell   *cell;

	push_pair(&state, "role", role);
	push_string(&state, WJB_KEY, "options");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (option->arg != NULL && IsA(option->arg, Boolean))
		{
			JsonbValue	item = {.type = jbvBool, .val.boolean = defGetBoolean(option)};

			push_string(&state, WJB_KEY, option->defname);
			pushJsonbValue(&state, WJB_VALUE, &item);
		}
		else
		{
			JsonbValue	item = {.type = jbvNull};

			push_string(&state, WJB_KEY, option->defname);
			pushJsonbValue(&state, WJB_VALUE, &item);
		}
	}
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	record_relation_event(AUDIT_CONFIG, NULL, NULL, operation, end_details(state));
}

/* Record a statement on a governed relation, without its text: that may quote values */
static void
record_ddl(Node *parsetree, RangeVar *range)
{
	Oid			relid = range_var_oid(range);

	if (!OidIsValid(relid) || !governed_is(relid))
		return;
	record_relation_event(AUDIT_DDL, NULL,
						  quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
													 get_rel_name(relid)),
						  GetCommandTagName(CreateCommandTag(parsetree)), NULL);
}

/* Record what a statement does to the rules */
static void
record_statement(Node *parsetree)
{
	switch (nodeTag(parsetree))
	{
		case T_GrantStmt:
			record_grant((GrantStmt *) parsetree);
			break;
		case T_GrantRoleStmt:
			record_role_grant((GrantRoleStmt *) parsetree);
			break;
		case T_CreateRoleStmt:
			record_role_options("CREATE ROLE", ((CreateRoleStmt *) parsetree)->role,
								((CreateRoleStmt *) parsetree)->options);
			break;
		case T_AlterRoleStmt:
			record_role_options("ALTER ROLE", role_name(((AlterRoleStmt *) parsetree)->role),
								((AlterRoleStmt *) parsetree)->options);
			break;
		case T_AlterTableStmt:
			record_ddl(parsetree, ((AlterTableStmt *) parsetree)->relation);
			break;
		case T_IndexStmt:
			/* CONCURRENTLY has transactions of its own, which must not have written before */
			if (!((IndexStmt *) parsetree)->concurrent)
				record_ddl(parsetree, ((IndexStmt *) parsetree)->relation);
			break;
		case T_CreateTrigStmt:
			record_ddl(parsetree, ((CreateTrigStmt *) parsetree)->relation);
			break;
		case T_RenameStmt:
			record_ddl(parsetree, ((RenameStmt *) parsetree)->relation);
			break;
		case T_AlterObjectSchemaStmt:
			record_ddl(parsetree, ((AlterObjectSchemaStmt *) parsetree)->relation);
			break;
		case T_CreatePolicyStmt:
			record_ddl(parsetree, ((CreatePolicyStmt *) parsetree)->table);
			break;
		case T_AlterPolicyStmt:
			record_ddl(parsetree, ((AlterPolicyStmt *) parsetree)->table);
			break;
		case T_RuleStmt:
			record_ddl(parsetree, ((RuleStmt *) parsetree)->relation);
			break;
		default:
			break;
	}
}

/* Refuse what would change the trail */
static void
check_statement(Node *parsetree)
{
	Oid			relid = InvalidOid;

	switch (nodeTag(parsetree))
	{
		case T_AlterTableStmt:
			check_alter_table((AlterTableStmt *) parsetree);
			break;
		case T_RenameStmt:
			relid = range_var_oid(((RenameStmt *) parsetree)->relation);
			break;
		case T_AlterObjectSchemaStmt:
			relid = range_var_oid(((AlterObjectSchemaStmt *) parsetree)->relation);
			break;
		case T_RuleStmt:
			relid = range_var_oid(((RuleStmt *) parsetree)->relation);
			break;
		default:
			break;
	}
	if (is_trail(relid))
		refuse(relid);
}

/* Is the extension among what a statement drops? */
static bool
drops_extension(Node *parsetree)
{
	DropStmt   *statement = (DropStmt *) parsetree;
	ListCell   *cell;

	if (!IsA(parsetree, DropStmt) || statement->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, statement->objects)
	{
		if (strcmp(strVal(lfirst(cell)), EXTENSION_NAME) == 0)
			return true;
	}
	return false;
}

/* Look at a utility statement before it runs */
void
audit_before_utility(Node *parsetree)
{
	Oid			relid;

	switch (nodeTag(parsetree))
	{
		case T_CopyStmt:
			if (((CopyStmt *) parsetree)->is_from && catalog_installed())
			{
				relid = range_var_oid(((CopyStmt *) parsetree)->relation);
				copying = OidIsValid(relid) && get_rel_namespace(relid) == catalog_schema(true);
			}
			break;
		case T_DropStmt:
			if (drops_extension(parsetree))
				dropping_extension = true;
			break;
		case T_GrantStmt:
		case T_GrantRoleStmt:
		case T_CreateRoleStmt:
		case T_AlterRoleStmt:
		case T_AlterTableStmt:
		case T_IndexStmt:
		case T_CreateTrigStmt:
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
		case T_CreatePolicyStmt:
		case T_AlterPolicyStmt:
		case T_RuleStmt:
			/* an install or upgrade script changes what it ships */
			if (creating_extension || !catalog_installed())
				break;
			check_statement(parsetree);

			/* what the engine does for hub.govern() and the like it records itself */
			if (protect_in_engine())
				break;
			if (!capture_is_restore())
				record_statement(parsetree);
			break;
		default:
			break;
	}
}

/* Look back at a utility statement, whether it ran or failed */
void
audit_after_utility(Node *parsetree)
{
	if (IsA(parsetree, CopyStmt))
		copying = false;
	else if (IsA(parsetree, DropStmt))
		dropping_extension = false;
}

/* Take a partition off the trail; hub.detach_audit_partition() has seen to what stays */
Datum
hub_take_off_audit_partition(PG_FUNCTION_ARGS)
{
	Oid			partition = PG_GETARG_OID(0);

	if (!superuser() || !get_rel_relispartition(partition) ||
		get_partition_parent(partition, true) != catalog_relation("audit_event"))
		refuse(partition);
	detaching = partition;
	PG_TRY();
	{
		SPI_connect();
		SPI_execute(psprintf("ALTER TABLE hub.audit_event DETACH PARTITION %s",
							 quote_qualified_identifier(get_namespace_name(get_rel_namespace(partition)),
														get_rel_name(partition))), false, 0);
		SPI_finish();
	}
	PG_FINALLY();
	{
		detaching = InvalidOid;
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}

/* Write what a statement has recorded */
void
audit_statement_end(void)
{
	event_flush();
}

/* Give the relation of a trigger */
static Oid
trigger_relation(Oid trigger)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			relid = InvalidOid;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return relid;
}

/* Refuse to drop a table of the trail, or a trigger that keeps it */
void
audit_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	Oid			relid;

	if (access != OAT_DROP || dropping_extension || creating_extension ||
		(class_id != RelationRelationId && class_id != TriggerRelationId) || !catalog_installed())
		return;
	relid = class_id == RelationRelationId ? object_id : trigger_relation(object_id);
	if (is_trail(relid))
		refuse(relid);
}

/*
 * Is what happens the loading of a dump into a database that has no trail of
 * its own yet? Then the hub's tables are filled by COPY, or relations are
 * governed although nothing was ever recorded here.
 */
bool
capture_is_restore(void)
{
	bool		has_origin;

	if (event_origin_is_current(&has_origin))
		return false;
	return copying || (!has_origin && governed_any());
}
