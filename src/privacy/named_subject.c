/*
 * named_subject.c: whom a caller may name. Functions of the engine run as
 * its owner, for whom no row policy holds; what the caller sees is asked as them.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(hub_caller_sees_row);

/* May the current user read this column at all? */
static bool
may_read(Oid relid, AttrNumber column)
{
	Datum		usage = CStringGetTextDatum("USAGE");
	Datum		select = CStringGetTextDatum("SELECT");

	return DatumGetBool(DirectFunctionCall2(has_schema_privilege_id,
											ObjectIdGetDatum(get_rel_namespace(relid)), usage)) &&
		DatumGetBool(DirectFunctionCall3(has_column_privilege_id_attnum,
										 ObjectIdGetDatum(relid), Int16GetDatum(column), select));
}

/* Does a row come to light that has one of the values in the column? */
static bool
finds_row(Oid relid, const char *column, Oid array_type, Datum values)
{
	char	   *query = psprintf("SELECT FROM %s t WHERE t.%s OPERATOR(pg_catalog.=) ANY ($1) LIMIT 1",
								 quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
															get_rel_name(relid)),
								 quote_identifier(column));
	bool		found;

	SPI_connect();
	if (SPI_execute_with_args(query, 1, &array_type, &values, NULL, false, 1) < 0)
		elog(ERROR, "could not execute \"%s\"", query);
	found = SPI_processed > 0;
	SPI_finish();
	return found;
}

/* hub.caller_sees_row(relation regclass, column_name name, subjects anyarray) returns bool */
Datum
hub_caller_sees_row(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	const char *column = NameStr(*PG_GETARG_NAME(1));
	volatile bool found = false;
	Oid			user;
	int			sec_context;

	GetUserIdAndSecContext(&user, &sec_context);
	/* in a SECURITY DEFINER function the outer user is who called */
	SetUserIdAndSecContext(GetOuterUserId(), (sec_context & ~SECURITY_NOFORCE_RLS) | SECURITY_LOCAL_USERID_CHANGE);
	PG_TRY();
	{
		if (may_read(relid, get_attnum(relid, column)))
			found = finds_row(relid, column, get_fn_expr_argtype(fcinfo->flinfo, 2), PG_GETARG_DATUM(2));
	}
	PG_FINALLY();
	{
		SetUserIdAndSecContext(user, sec_context);
	}
	PG_END_TRY();
	PG_RETURN_BOOL(found);
}
