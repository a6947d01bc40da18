/*
 * member.c: look up members, hub roles and token issuers.
 *
 * Each backend keeps the member it saw last. A trigger on the catalogs sends a
 * relcache invalidation with every change, so that all backends forget.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "foundation/compat.h"
#include "foundation/catalog.h"
#include "identity/member.h"

/* columns of hub.member */
#define MEMBER_ID 1
#define MEMBER_EXTERNAL_ID 2
#define MEMBER_ROLE 3
#define MEMBER_DB_ROLE 4
#define MEMBER_REGIONS 5
#define MEMBER_LINES 6
#define MEMBER_TEAMS 7
#define MEMBER_ACTIVE 8

/* columns of hub.break_glass_grant */
#define GRANT_MEMBER 1
#define GRANT_ENDS_AT 4

/* columns of hub.hub_role_custom */
#define ROLE_NAME 1
#define ROLE_LIKE 2
#define ROLE_BASE 3

/* columns of hub.token_issuer */
#define ISSUER_KID 1
#define ISSUER_PUBLIC_KEY 2
#define ISSUER_VALID_FROM 3
#define ISSUER_VALID_TO 4

/* in the order of HubRole, from 1 */
static const char *const default_roles[] = {
	"hub_agent", "hub_sales", "hub_manager", "hub_compliance", "hub_admin", "hub_connector",
	"hub_ai_agent"
};

/* The member seen last, in a memory context of its own */
static Member *cached_member = NULL;
static MemoryContext cached_context = NULL;

/* Whose login was asked about last; member_id 0 means nobody's */
static Oid	cached_login = InvalidOid;
static int32 cached_login_member = 0;

/* hub.member and hub.break_glass_grant as they were when the cache was filled */
static Oid	member_relid = InvalidOid;
static Oid	grant_relid = InvalidOid;

/* Grows with every invalidation, so that one which arrives while we read is noticed */
static uint64 generation = 0;

/* Forget members when hub.member or a grant changes; what is in use lives on until the transaction ends */
static void
forget_members(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != member_relid && relid != grant_relid)
		return;
	cached_login = InvalidOid;
	cached_member = NULL;
	generation++;
	identity_changes++;
}

/* Forget members when roles, their memberships or schemas change */
static void
forget_members_of_roles(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_members((Datum) 0, InvalidOid);
}

/* Watch what members are made from; called once from identity_init */
void
member_init(void)
{
	catalog_watch_relations(forget_members);
	CacheRegisterSyscacheCallback(AUTHOID, forget_members_of_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_members_of_roles, (Datum) 0);
	/* the extension's schema comes and goes */
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_members_of_roles, (Datum) 0);
}

/* Order two regions or two ids */
static int
compare_uint32(const void *a, const void *b)
{
	uint32		left = *(const uint32 *) a;
	uint32		right = *(const uint32 *) b;

	return left < right ? -1 : left > right ? 1 : 0;
}

/* Order two signed numbers */
static int
compare_int32(const void *a, const void *b)
{
	int32		left = *(const int32 *) a;
	int32		right = *(const int32 *) b;

	return left < right ? -1 : left > right ? 1 : 0;
}

/* Copy an array of four-byte values, sorted */
static const void *
read_scope_array(HeapTuple tuple, TupleDesc desc, AttrNumber attnum,
				 int (*compare) (const void *, const void *), int *count)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, attnum, desc, &isnull);
	ArrayType  *array;
	uint32	   *copy;

	*count = 0;
	if (isnull)
		return NULL;
	array = DatumGetArrayTypeP(value);
	if (ARR_NDIM(array) == 0 || ARR_HASNULL(array))
		return NULL;
	*count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	copy = palloc(*count * sizeof(uint32));
	memcpy(copy, ARR_DATA_PTR(array), *count * sizeof(uint32));
	qsort(copy, *count, sizeof(uint32), compare);
	return copy;
}

/* Read what a member may see */
static void
read_scope(HeapTuple tuple, TupleDesc desc, IdentityScope *scope)
{
	scope->regions = read_scope_array(tuple, desc, MEMBER_REGIONS, compare_uint32,
									  &scope->region_count);
	scope->lines = read_scope_array(tuple, desc, MEMBER_LINES, compare_int32, &scope->line_count);
	scope->teams = read_scope_array(tuple, desc, MEMBER_TEAMS, compare_int32, &scope->team_count);
	for (int i = 0; i < scope->region_count; i++)
	{
		if (region_is_country(scope->regions[i]))
		{
			uint32		country = region_country(scope->regions[i]);

			scope->country_bits[country / 64] |= UINT64CONST(1) << (country % 64);
		}
	}
}

/* Read until when a member has taken extra clearance; in the past when it has none */
static TimestampTz
read_break_glass(int32 member_id)
{
	TupleDesc	desc;
	bool		isnull;
	HeapTuple	tuple = catalog_row("break_glass_grant", "break_glass_grant_pkey", GRANT_MEMBER,
									F_INT4EQ, Int32GetDatum(member_id), &desc);

	if (!HeapTupleIsValid(tuple))
		return DT_NOBEGIN;
	return DatumGetTimestampTz(heap_getattr(tuple, GRANT_ENDS_AT, desc, &isnull));
}

/* Make a member from its row, in the current context */
static Member *
read_member(HeapTuple tuple, TupleDesc desc)
{
	Member	   *member = palloc0(sizeof(Member));
	NameData	like_role;
	bool		isnull;

	member->member_id = DatumGetInt32(heap_getattr(tuple, MEMBER_ID, desc, &isnull));
	member->external_id = TextDatumGetCString(heap_getattr(tuple, MEMBER_EXTERNAL_ID, desc, &isnull));
	namestrcpy(&member->role_name,
			   NameStr(*DatumGetName(heap_getattr(tuple, MEMBER_ROLE, desc, &isnull))));
	member->active = DatumGetBool(heap_getattr(tuple, MEMBER_ACTIVE, desc, &isnull));
	if (role_find(NameStr(member->role_name), &member->base_role, &like_role))
		member->role = get_role_oid(NameStr(member->role_name), true);
	read_scope(tuple, desc, &member->scope);
	member->break_glass_until = read_break_glass(member->member_id);
	return member;
}

/* Read the member that an index of hub.member has under a key and remember it */
static const Member *
load_member(const char *index_name, AttrNumber attnum, RegProcedure equals, Datum key)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub member",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Member	   *member;
	uint64		before;

	do
	{
		TupleDesc	desc;
		HeapTuple	tuple;

		CHECK_FOR_INTERRUPTS();
		before = generation;
		member_relid = catalog_relation("member");
		grant_relid = catalog_relation_if_exists("break_glass_grant");
		tuple = catalog_row("member", index_name, attnum, equals, key, &desc);
		member = HeapTupleIsValid(tuple) ? read_member(tuple, desc) : NULL;
	} while (before != generation);
	MemoryContextSwitchTo(caller);

	if (member == NULL)
	{
		MemoryContextDelete(context);
		return NULL;
	}

	/* somebody up the stack may still be reading the old one */
	if (cached_context != NULL)
		MemoryContextSetParent(cached_context, TopTransactionContext);
	MemoryContextSetParent(context, CacheMemoryContext);
	cached_context = context;
	cached_member = member;
	return member;
}

/* Find a member by its number */
const Member *
member_by_id(int32 member_id)
{
	if (cached_member != NULL && cached_member->member_id == member_id)
		return cached_member;
	return load_member("member_pkey", MEMBER_ID, F_INT4EQ, Int32GetDatum(member_id));
}

/* Find a member by the name that tokens give it */
const Member *
member_by_external_id(const char *external_id)
{
	if (cached_member != NULL && strcmp(cached_member->external_id, external_id) == 0)
		return cached_member;
	return load_member("member_external_id_key", MEMBER_EXTERNAL_ID, F_TEXTEQ,
						CStringGetTextDatum(external_id));
}

/* Find the member whose own login this is */
const Member *
member_of_login(Oid login)
{
	const Member *member;
	uint64		before;
	char	   *name;
	NameData	key;

	if (cached_login == login)
		return cached_login_member == 0 ? NULL : member_by_id(cached_login_member);

	/* CREATE EXTENSION runs statements before the catalog is there */
	if (!OidIsValid(catalog_relation_if_exists("member_db_role_key")))
		return NULL;

	before = generation;
	name = GetUserNameFromId(login, true);
	if (name == NULL)
		return NULL;
	namestrcpy(&key, name);
	pfree(name);
	member = load_member("member_db_role_key", MEMBER_DB_ROLE, F_NAMEEQ, NameGetDatum(&key));
	if (member != NULL &&
		(!OidIsValid(member->role) || !is_member_of_role_nosuper(login, member->role)))
		member = NULL;
	if (before == generation)
	{
		cached_login = login;
		cached_login_member = member == NULL ? 0 : member->member_id;
	}
	return member;
}

/* Return the name of a default role */
const char *
role_default_name(HubRole base)
{
	return default_roles[base - HUB_ROLE_AGENT];
}

/* Find a hub role; like_role is empty for a default role */
bool
role_find(const char *name, HubRole *base, NameData *like_role)
{
	HeapTuple	tuple;
	TupleDesc	desc;
	NameData	key;
	bool		isnull;

	for (int i = 0; i < lengthof(default_roles); i++)
	{
		if (strcmp(default_roles[i], name) == 0)
		{
			*base = HUB_ROLE_AGENT + i;
			memset(like_role, 0, sizeof(NameData));
			return true;
		}
	}

	if (strlen(name) >= NAMEDATALEN)
		return false;
	namestrcpy(&key, name);
	tuple = catalog_row("hub_role_custom", "hub_role_custom_pkey", ROLE_NAME, F_NAMEEQ,
						NameGetDatum(&key), &desc);
	if (!HeapTupleIsValid(tuple))
		return false;
	*like_role = *DatumGetName(heap_getattr(tuple, ROLE_LIKE, desc, &isnull));
	/* the base of a created role is always a default role */
	return role_find(NameStr(*DatumGetName(heap_getattr(tuple, ROLE_BASE, desc, &isnull))),
					 base, &key);
}

/* Find the public key of an issuer that is valid at a time */
bool
issuer_find(const char *kid, TimestampTz at, uint8 public_key[KEYRING_PUBLIC_KEY_BYTES])
{
	TupleDesc	desc;
	HeapTuple	tuple;
	bytea	   *key;
	Datum		valid_to;
	bool		isnull;

	tuple = catalog_row("token_issuer", "token_issuer_pkey", ISSUER_KID, F_TEXTEQ,
						CStringGetTextDatum(kid), &desc);
	if (!HeapTupleIsValid(tuple))
		return false;
	if (at < DatumGetTimestampTz(heap_getattr(tuple, ISSUER_VALID_FROM, desc, &isnull)))
		return false;
	valid_to = heap_getattr(tuple, ISSUER_VALID_TO, desc, &isnull);
	if (!isnull && at >= DatumGetTimestampTz(valid_to))
		return false;
	key = DatumGetByteaPP(heap_getattr(tuple, ISSUER_PUBLIC_KEY, desc, &isnull));
	if (VARSIZE_ANY_EXHDR(key) != KEYRING_PUBLIC_KEY_BYTES)
		return false;
	memcpy(public_key, VARDATA_ANY(key), KEYRING_PUBLIC_KEY_BYTES);
	return true;
}
