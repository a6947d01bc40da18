/*
 * govern.c: the entry points that change what is governed.
 *
 * Who may call is checked here, as the caller. The work is done by functions of
 * govern.sql as the owner of the extension, except for the one step that fires
 * triggers of the table's owner: that one runs as the owner.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "access/govern.h"
#include "access/governed.h"
#include "access/protect.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "identity/identity.h"
#include "identity/member.h"
#include "keyring/envelope.h"
#include "types/encrypted.h"

PG_FUNCTION_INFO_V1(hub_govern);
PG_FUNCTION_INFO_V1(hub_change_as_owner);
PG_FUNCTION_INFO_V1(hub_ungovern);
PG_FUNCTION_INFO_V1(hub_classify);
PG_FUNCTION_INFO_V1(hub_acts_as);
PG_FUNCTION_INFO_V1(hub_is_unbound);
PG_FUNCTION_INFO_V1(hub_refuse_truncate);

/*
 * Run one statement of the engine as the owner of the extension. Returns its
 * first column as text in the caller's context, or NULL.
 */
char *
govern_run_engine(const char *statement, int nargs, Oid *types, Datum *values, const char *nulls)
{
	MemoryContext caller_context = CurrentMemoryContext;
	char	   *volatile result = NULL;
	EngineScope scope;

	protect_enter_engine();
	PG_TRY();
	{
		engine_begin(&scope);
		if (SPI_execute_with_args(statement, nargs, types, values, nulls, false, 0) < 0)
			elog(ERROR, "could not execute \"%s\"", statement);
		if (SPI_processed > 0 && SPI_tuptable != NULL)
		{
			char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

			if (text != NULL)
				result = MemoryContextStrdup(caller_context, text);
		}
		engine_end(&scope);
	}
	PG_FINALLY();
	{
		protect_leave_engine();
	}
	PG_END_TRY();
	return result;
}

/* Become the owner of a relation, in a restricted context; returns who it was before */
void
govern_become_owner(Oid relid, int flags, Oid *user, int *sec_context)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(user, sec_context);
	SetUserIdAndSecContext(owner, *sec_context | SECURITY_RESTRICTED_OPERATION | flags);
}

/*
 * Run one statement on a relation as its owner, in a restricted context; returns
 * the rows it touched. places, if there are any, are its first parameter.
 */
static uint64
run_as_owner(Oid relid, const char *statement, Datum places, int flags)
{
	volatile uint64 rows = 0;
	Oid			types[] = {TIDARRAYOID};
	Oid			user;
	int			sec_context;

	govern_become_owner(relid, flags, &user, &sec_context);
	PG_TRY();
	{
		SPI_connect();
		if (SPI_execute_with_args(statement, places != (Datum) 0 ? 1 : 0, types, &places, NULL, false, 0) < 0)
			elog(ERROR, "could not execute \"%s\"", statement);
		rows = SPI_processed;
		SPI_finish();
	}
	PG_FINALLY();
	{
		SetUserIdAndSecContext(user, sec_context);
	}
	PG_END_TRY();
	return rows;
}

/*
 * Have constraints and triggers that wait for the end of the transaction checked
 * at once from now on; those that wait already run with the rights of the caller.
 */
static void
hurry_constraints(void)
{
	Oid			user;
	int			sec_context;

	GetUserIdAndSecContext(&user, &sec_context);
	SetUserIdAndSecContext(GetOuterUserId(), sec_context | SECURITY_LOCAL_USERID_CHANGE);
	PG_TRY();
	{
		SPI_connect();
		if (SPI_execute("SET CONSTRAINTS ALL IMMEDIATE", false, 0) < 0)
			elog(ERROR, "could not have constraints checked at once");
		SPI_finish();
	}
	PG_FINALLY();
	{
		SetUserIdAndSecContext(user, sec_context);
	}
	PG_END_TRY();
}

/* Change rows of a user's table as its owner: its triggers and expressions are the owner's code */
Datum
hub_change_as_owner(PG_FUNCTION_ARGS)
{
	hurry_constraints();
	PG_RETURN_INT64((int64) run_as_owner(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1)),
										 PG_GETARG_DATUM(2), SECURITY_NOFORCE_RLS));
}

/* Is the caller a hub administrator, acting as such? */
static bool
caller_is_hub_admin(void)
{
	const Identity *identity = identity_effective();

	return identity != NULL && identity->base_role == HUB_ROLE_ADMIN;
}

/* Return a relation that an argument names; raises when there is none */
Oid
govern_relation_argument(FunctionCallInfo fcinfo, int number)
{
	Oid			relid = PG_GETARG_OID(number);

	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	return relid;
}

/* Refuse unless the caller owns the relation */
void
govern_require_owner(Oid relid)
{
	if (!compat_owns_relation(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

/* Bind the encrypted values that were stored before the sealing trigger was there */
static void
bind_rows(Oid relid)
{
	Oid			types[] = {REGCLASSOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	char	   *statement = govern_run_engine("SELECT hub.binding_statement($1)", 1, types, values, NULL);
	uint64		rows;

	if (statement == NULL)
		return;
	rows = run_as_owner(relid, statement, (Datum) 0, 0);
	if (rows > 0)
		ereport(NOTICE,
				(errmsg("bound the encrypted values of " UINT64_FORMAT " existing rows of \"%s\" to their data subjects",
						rows, get_rel_name(relid))));
}

/* Put a relation under the rules */
Datum
hub_govern(PG_FUNCTION_ARGS)
{
	Oid			types[] = {REGCLASSOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID, NAMEOID};
	Datum		values[6];
	char		nulls[6];
	Oid			relid;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("hub.govern needs a relation and its subject column"),
				 errhint("The subject column is the uuid or bigint column that says whose data a row holds.")));
	relid = govern_relation_argument(fcinfo, 0);
	govern_require_owner(relid);

	for (int i = 0; i < 6; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	govern_run_engine("SELECT hub.govern_structure($1, $2, $3, $4, $5, $6)", 6, types, values, nulls);
	CommandCounterIncrement();
	bind_rows(relid);
	govern_run_engine("SELECT hub.govern_rows($1)", 1, types, values, NULL);
	PG_RETURN_VOID();
}

/* Take a relation out from under the rules */
Datum
hub_ungovern(PG_FUNCTION_ARGS)
{
	Oid			types[] = {REGCLASSOID, BOOLOID};
	Datum		values[2];
	Oid			relid = govern_relation_argument(fcinfo, 0);

	if (!superuser() && !caller_is_hub_admin())
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_PERMITTED),
				 errmsg("permission denied to take \"%s\" out of governance", get_rel_name(relid)),
				 errhint("Only a superuser, or a hub administrator with an approval of the action \"ungovern\", may do so.")));
	values[0] = ObjectIdGetDatum(relid);
	values[1] = BoolGetDatum(!superuser());
	govern_run_engine("SELECT hub.ungovern_structure($1, $2)", 2, types, values, NULL);
	PG_RETURN_VOID();
}

/* Classify a column */
Datum
hub_classify(PG_FUNCTION_ARGS)
{
	Oid			types[] = {REGCLASSOID, NAMEOID, TEXTOID};
	Datum		values[3];
	Oid			relid = govern_relation_argument(fcinfo, 0);

	if (!caller_is_hub_admin())
		govern_require_owner(relid);
	for (int i = 0; i < 3; i++)
		values[i] = PG_GETARG_DATUM(i);
	govern_run_engine("SELECT hub.classify_column($1, $2, $3)", 3, types, values, NULL);
	PG_RETURN_VOID();
}

/* Extend the rules of a governed table to one that has become a partition of it */
void
govern_partition(Oid relid)
{
	Oid			types[] = {REGCLASSOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	CommandCounterIncrement();
	bind_rows(relid);
	govern_run_engine("SELECT hub.govern_rows($1)", 1, types, values, NULL);
}

/* Follow the renaming of a column in the registry */
void
govern_column_renamed(Oid relid, const char *old_name, const char *new_name)
{
	Oid			types[] = {REGCLASSOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(relid),
		CStringGetTextDatum(old_name),
		CStringGetTextDatum(new_name)
	};

	CommandCounterIncrement();
	govern_run_engine("SELECT hub.rename_governed_column($1, $2, $3)", 3, types, values, NULL);
}

/* Does the current user act under an identity that behaves like this default role? */
Datum
hub_acts_as(PG_FUNCTION_ARGS)
{
	const Identity *identity = identity_effective();

	PG_RETURN_BOOL(identity != NULL &&
				   strcmp(role_default_name(identity->base_role), NameStr(*PG_GETARG_NAME(0))) == 0);
}

/* Is an encrypted value not bound to a data subject yet? */
Datum
hub_is_unbound(PG_FUNCTION_ARGS)
{
	static const pg_uuid_t nobody;
	EnvelopeFamily family;
	EnvelopeView view;

	if (!encrypted_type_family(getBaseType(get_fn_expr_argtype(fcinfo->flinfo, 0)), &family))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("hub.is_unbound() takes a value of an encrypted type")));
	envelope_view(PG_GETARG_VARLENA_P(0), &view);
	PG_RETURN_BOOL(memcmp(&view.subject, &nobody, sizeof(nobody)) == 0);
}

/* Trigger: a governed relation is emptied by erasure and retention, row by row */
Datum
hub_refuse_truncate(PG_FUNCTION_ARGS)
{
	ereport(ERROR,
			(errcode(ERRCODE_CH_PROTECTED_OBJECT),
			 errmsg("cannot truncate a governed relation"),
			 errhint("Rows of governed relations go through erasure or retention; hub.ungovern() releases the relation.")));
	PG_RETURN_NULL();
}
