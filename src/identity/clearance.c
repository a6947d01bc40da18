/*
 * clearance.c: what a hub role may see of a data class.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "identity/clearance.h"
#include "identity/identity.h"
#include "identity/member.h"
#include "types/data_class.h"

PG_FUNCTION_INFO_V1(hub_clearance_of);
PG_FUNCTION_INFO_V1(hub_break_glass_clearance_of);

/* A created role made like a created role made like ...: no longer chain than this counts */
#define MAX_LIKE_ROLES 16

typedef struct ClearanceKey
{
	Oid			role;
	uint32		class_id;
} ClearanceKey;

typedef struct ClearanceEntry
{
	ClearanceKey key;
	Disclosure	level;
} ClearanceEntry;

/* What was asked before, or NULL */
static HTAB *cache = NULL;

/* With extra clearance a class counts as another one */
#define BREAK_GLASS_CLASS 0x10000

/* A table of levels that can be set, and the one that it goes before */
typedef struct LevelTables
{
	const char *own;
	const char *own_index;
	const char *preset;
	const char *preset_index;
} LevelTables;

static const LevelTables ordinary = {
	"clearance", "clearance_pkey", "clearance_default", "clearance_default_pkey"
};
static const LevelTables extra = {
	"break_glass_clearance", "break_glass_clearance_pkey",
	"break_glass_clearance_default", "break_glass_clearance_default_pkey"
};

/* The catalogs as they were when the cache was filled */
static Oid	clearance_relid = InvalidOid;
static Oid	extra_relid = InvalidOid;
static Oid	role_relid = InvalidOid;

/* Grows with every invalidation, so that one which arrives while we read is noticed */
static uint64 generation = 0;

/* The last answer: a query asks for the same role and class row after row */
static struct
{
	bool		known;
	ClearanceKey key;
	Disclosure	level;
}			last_answer;

/* Forget clearances when one of the catalogs they come from changes */
static void
forget_clearances(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != clearance_relid && relid != extra_relid && relid != role_relid)
		return;
	generation++;
	last_answer.known = false;
	if (cache != NULL)
	{
		hash_destroy(cache);
		cache = NULL;
	}
}

/* Watch the catalogs; called once from identity_init */
void
clearance_init(void)
{
	catalog_watch_relations(forget_clearances);
}

/* Return the level a word stands for; SEALED when it is none */
Disclosure
clearance_level(const char *level)
{
	if (strcmp(level, "reveal") == 0)
		return DISCLOSURE_REVEAL;
	if (strcmp(level, "mask") == 0)
		return DISCLOSURE_MASK;
	if (strcmp(level, "token") == 0)
		return DISCLOSURE_TOKEN;
	if (strcmp(level, "deny") == 0)
		return DISCLOSURE_DENY;
	return DISCLOSURE_SEALED;
}

/* Return the word for a level */
static const char *
level_to_text(Disclosure level)
{
	switch (level)
	{
		case DISCLOSURE_REVEAL:
			return "reveal";
		case DISCLOSURE_MASK:
			return "mask";
		case DISCLOSURE_TOKEN:
			return "token";
		case DISCLOSURE_SEALED:
		case DISCLOSURE_DENY:
			break;
	}
	return "deny";
}

/*
 * Look up (role, data_class) in one of the tables of levels, which all
 * have the columns role, data_class, level; SEALED when there is no row.
 */
static Disclosure
fetch_level(const char *relation_name, const char *index_name, const char *role,
			const char *data_class)
{
	Relation	relation = table_open(catalog_relation(relation_name), AccessShareLock);
	Oid			index = catalog_relation(index_name);
	Disclosure	level = DISCLOSURE_SEALED;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	NameData	role_key;
	NameData	class_key;

	namestrcpy(&role_key, role);
	namestrcpy(&class_key, data_class);
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&role_key));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_NAMEEQ, NameGetDatum(&class_key));
	scan = systable_beginscan(relation, index, true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, 3, RelationGetDescr(relation), &isnull);

		if (!isnull)
			level = clearance_level(TextDatumGetCString(value));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return level;
}

/*
 * Find what is set for the role itself, else for the role it was made like, and
 * so on; else the preset of the default role at the end. SEALED when none of
 * them says anything; false when there is no such role.
 */
static bool
find_level(const char *role, const char *data_class, const LevelTables *tables,
		   HubRole *base, Disclosure *level)
{
	NameData	name;
	NameData	like_role;

	namestrcpy(&name, role);
	for (int i = 0; i < MAX_LIKE_ROLES; i++)
	{
		if (!role_find(NameStr(name), base, &like_role))
			return false;
		*level = fetch_level(tables->own, tables->own_index, NameStr(name), data_class);
		if (*level != DISCLOSURE_SEALED)
			return true;
		if (NameStr(like_role)[0] == '\0')
			break;
		name = like_role;
	}
	*level = fetch_level(tables->preset, tables->preset_index, role_default_name(*base), data_class);
	return true;
}

/* Decide from the catalogs; what they leave open depends on the default role */
static Disclosure
decide_level(const char *role, const char *data_class)
{
	HubRole		base;
	Disclosure	level;

	if (!find_level(role, data_class, &ordinary, &base, &level))
		return DISCLOSURE_DENY;
	if (level != DISCLOSURE_SEALED)
		return level;
	switch (base)
	{
		case HUB_ROLE_MANAGER:
		case HUB_ROLE_AI_AGENT:
			return DISCLOSURE_TOKEN;
		case HUB_ROLE_COMPLIANCE:
			return DISCLOSURE_MASK;
		case HUB_ROLE_AGENT:
		case HUB_ROLE_SALES:
		case HUB_ROLE_ADMIN:
		case HUB_ROLE_CONNECTOR:
			break;
	}
	return DISCLOSURE_DENY;
}

/* The same for one who has taken extra clearance, which never takes any away */
static Disclosure
decide_extra_level(const char *role, const char *data_class)
{
	Disclosure	level = decide_level(role, data_class);
	Disclosure	more;
	HubRole		base;

	return find_level(role, data_class, &extra, &base, &more) ? Max(level, more) : level;
}

/* Decide for a role by oid and name, from the cache when it was asked before */
static Disclosure
clearance_lookup(Oid role, const char *role_name, uint16 class_id, bool breaks_glass)
{
	ClearanceKey key = {role, class_id | (breaks_glass ? BREAK_GLASS_CLASS : 0)};
	ClearanceEntry *entry;
	Disclosure	level;
	uint64		before;
	const char *data_class;

	if (cache != NULL)
	{
		entry = hash_search(cache, &key, HASH_FIND, NULL);
		if (entry != NULL)
		{
			last_answer.key = key;
			last_answer.level = entry->level;
			last_answer.known = true;
			return entry->level;
		}
	}

	clearance_relid = catalog_relation("clearance");
	extra_relid = catalog_relation("break_glass_clearance");
	role_relid = catalog_relation("hub_role_custom");
	before = generation;
	data_class = data_class_name(class_id);
	if (data_class == NULL)
		return DISCLOSURE_DENY;
	level = breaks_glass ? decide_extra_level(role_name, data_class) :
		decide_level(role_name, data_class);

	/* an answer that may be out of date already is not kept */
	if (before == generation)
	{
		if (cache == NULL)
		{
			HASHCTL		info = {
				.keysize = sizeof(ClearanceKey),
				.entrysize = sizeof(ClearanceEntry),
				.hcxt = CacheMemoryContext
			};

			cache = hash_create("customer_hub clearances", 64, &info,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		}
		entry = hash_search(cache, &key, HASH_ENTER, NULL);
		entry->level = level;
	}
	return level;
}

/* Decide what the current identity may see of a class */
Disclosure
identity_clearance(uint16 class_id)
{
	const Identity *identity = identity_effective();
	const Member *member;
	bool		breaks_glass;
	uint32		key_class = class_id;

	if (identity == NULL)
		return identity_current() == NULL ? DISCLOSURE_SEALED : DISCLOSURE_DENY;
	if (class_id == DATA_CLASS_UNCLASSIFIED)
		return DISCLOSURE_DENY;
	breaks_glass = identity_breaks_glass();
	if (breaks_glass)
		key_class |= BREAK_GLASS_CLASS;
	if (last_answer.known && last_answer.key.role == identity->role &&
		last_answer.key.class_id == key_class)
		return last_answer.level;
	member = member_by_id(identity->member_id);
	if (member == NULL)
		return DISCLOSURE_DENY;
	return clearance_lookup(member->role, NameStr(member->role_name), class_id, breaks_glass);
}

/* Answer hub.clearance_of() and hub.break_glass_clearance_of() */
static Datum
clearance_of(FunctionCallInfo fcinfo, Disclosure (*decide) (const char *, const char *))
{
	Name		role = PG_GETARG_NAME(0);
	char	   *data_class = text_to_cstring(PG_GETARG_TEXT_PP(1));
	NameData	like_role;
	HubRole		base;

	if (!role_find(NameStr(*role), &base, &like_role))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" is not a hub role", NameStr(*role)),
				 errhint("hub.hub_role lists the hub roles; hub.create_role makes more.")));
	data_class_by_name(data_class);
	PG_RETURN_TEXT_P(cstring_to_text(level_to_text(decide(NameStr(*role), data_class))));
}

/* hub.clearance_of(role name, data_class text) returns text */
Datum
hub_clearance_of(PG_FUNCTION_ARGS)
{
	return clearance_of(fcinfo, decide_level);
}

/* hub.break_glass_clearance_of(role name, data_class text) returns text */
Datum
hub_break_glass_clearance_of(PG_FUNCTION_ARGS)
{
	return clearance_of(fcinfo, decide_extra_level);
}
