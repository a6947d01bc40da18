/*
 * role_rights.c: what hub roles were granted in schema hub is for members who
 * act as one.
 *
 * A pooled login can take on each hub role that its members have, and so can a
 * statement that was injected into it. GRANTs alone would let an agent's
 * transaction run, after SET ROLE, what only compliance or a connector may.
 * Grants to roles that are no hub roles count as PostgreSQL has them.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "access/access.h"
#include "access/role_rights.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "identity/identity.h"
#include "identity/member.h"

Oid			role_rights_free_functions[ROLE_RIGHTS_PLACES];
Oid			role_rights_free_relations[ROLE_RIGHTS_PLACES];

/* Does the member's own hub role have what a hub role was granted? */
static bool
identity_has(Oid grantee)
{
	const Identity *identity = identity_effective();

	return identity != NULL && has_privs_of_role(identity->role, grantee);
}

/*
 * Tell whether a right comes from a hub role alone that is not the identity's;
 * *is_free says that everybody has it, so that nobody need ask again.
 */
static bool
borrowed(Acl *acl, AclMode rights, bool *is_free)
{
	Oid			user = GetUserId();
	AclItem    *items = ACL_DAT(acl);
	bool		from_hub_role = false;

	*is_free = false;
	for (int i = 0; i < ACL_NUM(acl); i++)
	{
		char	   *name;
		HubRole		base;
		NameData	like_role;

		if ((ACLITEM_GET_PRIVS(items[i]) & rights) == 0)
			continue;
		if (items[i].ai_grantee == ACL_ID_PUBLIC)
		{
			*is_free = true;
			return false;
		}
		if (!has_privs_of_role(user, items[i].ai_grantee))
			continue;
		name = GetUserNameFromId(items[i].ai_grantee, true);
		if (name == NULL || !role_find(name, &base, &like_role) ||
			identity_has(items[i].ai_grantee))
			return false;
		from_hub_role = true;
	}
	return from_hub_role;
}

pg_noreturn static void refuse(const char *object);

/* Refuse what the current role was granted for others */
static void
refuse(const char *object)
{
	StringInfoData details;

	initStringInfo(&details);
	appendStringInfoString(&details, "{\"attempt\": \"right of a hub role\", \"object\": ");
	escape_json(&details, object);
	appendStringInfoChar(&details, '}');
	if (access_record_denied != NULL)
		access_record_denied(details.data);
	ereport(ERROR,
			(errcode(identity_current() == NULL ? ERRCODE_CH_IDENTITY_REQUIRED : ERRCODE_CH_NOT_PERMITTED),
			 errmsg("permission denied for %s", object),
			 errhint("Rights of hub roles are for members, each in their own role: log in as one, or call hub.authenticate() and stay in the role that it sets.")));
}

/* Refuse a function that is not known to be free */
void
role_rights_look_at_function(Oid function)
{
	Oid		   *place = &role_rights_free_functions[function % ROLE_RIGHTS_PLACES];
	HeapTuple	tuple;
	Datum		acl;
	bool		isnull;
	bool		is_free;

	if (superuser())
		return;
	if (get_func_namespace(function) != catalog_schema(true))
	{
		*place = function;
		return;
	}
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return;
	acl = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_proacl, &isnull);
	if (!isnull && borrowed(DatumGetAclP(acl), ACL_EXECUTE, &is_free))
		refuse(psprintf("function %s", format_procedure(function)));
	ReleaseSysCache(tuple);
	if (isnull || is_free)
		*place = function;
}

/* Refuse a relation that is not known to be free */
void
role_rights_look_at_relation(Oid relation, uint32 rights)
{
	Oid		   *place = &role_rights_free_relations[relation % ROLE_RIGHTS_PLACES];
	HeapTuple	tuple;
	Datum		acl;
	bool		isnull;
	bool		is_free;

	if (superuser())
		return;
	if (get_rel_namespace(relation) != catalog_schema(true))
	{
		*place = relation;
		return;
	}
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	if (!HeapTupleIsValid(tuple))
		return;
	acl = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &isnull);
	/* row policies of their own show nothing to a role alone */
	if (!isnull && !((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity &&
		borrowed(DatumGetAclP(acl), rights, &is_free))
		refuse(psprintf("relation hub.%s", NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname)));
	ReleaseSysCache(tuple);
}
