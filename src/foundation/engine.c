/*
 * engine.c: statements of the engine itself.
 *
 * Callers have no rights on the extension's catalogs. What the engine does for
 * them it does as the owner of schema hub, as foreign-key triggers do for the
 * owner of a table. An error restores the user with its (sub)transaction.
 */
#include "postgres.h"

#include "catalog/pg_namespace.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "foundation/catalog.h"
#include "foundation/engine.h"

/* Return the owner of schema hub */
static Oid
schema_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(catalog_schema(false)));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema hub does not exist")));
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Become the owner of schema hub and connect to SPI, with a snapshot even between statements */
void
engine_begin(EngineScope *scope)
{
	GetUserIdAndSecContext(&scope->saved_user, &scope->saved_security_context);
	SetUserIdAndSecContext(schema_owner(),
						   scope->saved_security_context |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	scope->own_snapshot = !ActiveSnapshotSet();
	if (scope->own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
}

/* Leave SPI and become the caller again */
void
engine_end(EngineScope *scope)
{
	SPI_finish();
	if (scope->own_snapshot)
		PopActiveSnapshot();
	SetUserIdAndSecContext(scope->saved_user, scope->saved_security_context);
}

/* Tell whether an SPI connection is open, by an SPI call that does nothing */
bool
engine_within_spi(void)
{
	return SPI_unregister_relation("") != SPI_ERROR_UNCONNECTED;
}

/*
 * Return the plan kept in slot, preparing it when first used.
 *
 * query must name every object with its schema, operators too: it is planned
 * under the caller's search_path.
 */
SPIPlanPtr
engine_prepare(SPIPlanPtr *slot, const char *query, int nargs, Oid *types)
{
	if (*slot == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(query, nargs, types);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not prepare a statement of the engine: %s",
							SPI_result_code_string(SPI_result))));
		*slot = plan;
	}
	return *slot;
}
