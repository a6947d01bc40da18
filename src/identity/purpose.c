/*
 * purpose.c: what an identity may do with what its role may see.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "foundation/catalog.h"
#include "identity/clearance.h"
#include "identity/member.h"
#include "identity/purpose.h"

/* columns of hub.purpose_own and hub.purpose_default */
#define PURPOSE_NAME 1
#define PURPOSE_SHOWS 2
#define PURPOSE_NEEDS_CONSENT 3
#define PURPOSE_SERVES_RESTRICTED 4
#define PURPOSE_ROLES 5
#define PURPOSE_ASSUMED_FOR 6

/* The last answer: a session works for one purpose most of the time */
static struct
{
	bool		known;
	char		claimed[IDENTITY_PURPOSE_BYTES];
	Oid			role;
	bool		found;
	Purpose		purpose;
}			last_answer;

/* The catalog as it was when the answer was found; purpose_default never changes */
static Oid	purpose_relid = InvalidOid;

/* Grows with every invalidation, so that one which arrives while we read is noticed */
static uint64 generation = 0;

/* Forget the answer when the catalog changes */
static void
forget_purpose(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != purpose_relid)
		return;
	generation++;
	last_answer.known = false;
	identity_changes++;
}

/* Watch the catalog; called once from identity_init */
void
purpose_init(void)
{
	catalog_watch_relations(forget_purpose);
}

/* Does a list of roles name this role or the one that it behaves like? */
static bool
lists_role(Datum list, Oid role, HubRole base_role)
{
	char	   *name = GetUserNameFromId(role, true);
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(list), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		const char *listed = nulls[i] ? "" : NameStr(*DatumGetName(elements[i]));

		if ((name != NULL && strcmp(listed, name) == 0) ||
			strcmp(listed, role_default_name(base_role)) == 0)
			return true;
	}
	return false;
}

/* Has a purpose that comes with the extension been set anew? */
static bool
is_set_anew(const char *name)
{
	TupleDesc	desc;

	return HeapTupleIsValid(catalog_row("purpose_own", "purpose_own_pkey", PURPOSE_NAME, F_TEXTEQ,
										CStringGetTextDatum(name), &desc));
}

/* Is this row about the purpose that is claimed, or assumed for want of a claim? */
static bool
row_matches(HeapTuple tuple, TupleDesc desc, const char *claimed, Oid role, HubRole base_role)
{
	bool		isnull;
	Datum		value;

	if (claimed[0] != '\0')
		return strcmp(TextDatumGetCString(heap_getattr(tuple, PURPOSE_NAME, desc, &isnull)),
					  claimed) == 0;
	value = heap_getattr(tuple, PURPOSE_ASSUMED_FOR, desc, &isnull);
	return !isnull && lists_role(value, role, base_role);
}

/* Look a purpose up in one of its two tables; false when it has none that matches */
static bool
search_table(const char *relation_name, bool is_default, const char *claimed, Oid role,
			 HubRole base_role, Purpose *purpose)
{
	Relation	relation = table_open(catalog_relation(relation_name), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	bool		found = false;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		roles;

		if (!row_matches(tuple, desc, claimed, role, base_role))
			continue;
		strlcpy(purpose->name,
				TextDatumGetCString(heap_getattr(tuple, PURPOSE_NAME, desc, &isnull)),
				sizeof(purpose->name));
		if (claimed[0] == '\0' && is_default && is_set_anew(purpose->name))
			continue;
		found = true;
		roles = heap_getattr(tuple, PURPOSE_ROLES, desc, &isnull);
		if (!isnull && !lists_role(roles, role, base_role))
			break;
		purpose->ceiling = clearance_level(
			TextDatumGetCString(heap_getattr(tuple, PURPOSE_SHOWS, desc, &isnull)));
		purpose->needs_consent =
			DatumGetBool(heap_getattr(tuple, PURPOSE_NEEDS_CONSENT, desc, &isnull));
		purpose->serves_restricted =
			DatumGetBool(heap_getattr(tuple, PURPOSE_SERVES_RESTRICTED, desc, &isnull));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return found;
}

/* Find what a purpose allows a member */
const Purpose *
purpose_find(const char *claimed, Oid role, HubRole base_role)
{
	Purpose		purpose;
	uint64		before;
	MemoryContext scratch;
	MemoryContext caller;
	bool		found;

	if (last_answer.known && last_answer.role == role &&
		strcmp(last_answer.claimed, claimed) == 0)
		return last_answer.found ? &last_answer.purpose : NULL;

	scratch = AllocSetContextCreate(CurrentMemoryContext, "customer_hub purpose",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(scratch);
	memset(&purpose, 0, sizeof(Purpose));
	purpose.ceiling = DISCLOSURE_DENY;
	purpose_relid = catalog_relation("purpose_own");
	before = generation;
	found = search_table("purpose_own", false, claimed, role, base_role, &purpose) ||
		search_table("purpose_default", true, claimed, role, base_role, &purpose) ||
		claimed[0] != '\0';
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(scratch);

	last_answer.purpose = purpose;
	last_answer.found = found;
	last_answer.role = role;
	strlcpy(last_answer.claimed, claimed, sizeof(last_answer.claimed));
	last_answer.known = before == generation;
	return found ? &last_answer.purpose : NULL;
}
