#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "foundation/catalog.h"
#include "foundation/errors.h"

#define HUB_SCHEMA "hub"

/* A relation that only this extension has: its presence is the extension's */
#define HUB_MARKER_RELATION "data_class_custom"

static Oid	schema_oid = InvalidOid;
static bool installed = false;
static bool cache_valid = false;

/*
 * Who wants to know of changed relations. A backend has ten places for such
 * callbacks, of which replication needs several, so the extension takes one.
 */
#define MAX_RELATION_WATCHERS 32
static RelcacheCallbackFunction watchers[MAX_RELATION_WATCHERS];
static int	watcher_count = 0;

/* Copies of catalogs that are watched */
static CatalogCopy *copies = NULL;

PG_FUNCTION_INFO_V1(hub_catalog_changed);

/* Forget what is cached when a schema comes or goes */
static void
forget_schema(Datum arg, int cacheid, uint32 hashvalue)
{
	cache_valid = false;
}

/* Tell everybody that a relation changed, or that any may have */
static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < watcher_count; i++)
		watchers[i] (arg, relid);
	for (CatalogCopy *copy = copies; copy != NULL; copy = copy->next)
	{
		if (!OidIsValid(relid) || !OidIsValid(copy->relid) || relid == copy->relid)
		{
			copy->valid = false;
			copy->changed = true;
		}
	}
}

/* Watch pg_namespace and relations; called once from _PG_init, before the rooms' own */
void
catalog_init(void)
{
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_schema, (Datum) 0);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/* Have a function called when a relation changes, as CacheRegisterRelcacheCallback() does */
void
catalog_watch_relations(RelcacheCallbackFunction watcher)
{
	if (watcher_count >= MAX_RELATION_WATCHERS)
		elog(FATAL, "out of customer_hub relation watchers");
	watchers[watcher_count++] = watcher;
}

/* Have a copy of a catalog forgotten when that changes; called once from _PG_init */
void
catalog_copy_watch(CatalogCopy *copy)
{
	copy->next = copies;
	copies = copy;
}

static void
fill_cache(void)
{
	if (cache_valid)
		return;
	schema_oid = get_namespace_oid(HUB_SCHEMA, true);
	installed = OidIsValid(schema_oid) &&
		OidIsValid(get_relname_relid(HUB_MARKER_RELATION, schema_oid));
	/* a schema without the marker is an install in progress: look again */
	cache_valid = installed || !OidIsValid(schema_oid);
}

/* Tell whether the current database has the extension; false outside a transaction */
bool
catalog_installed(void)
{
	if (!OidIsValid(MyDatabaseId) || !IsTransactionState())
		return false;
	fill_cache();
	return installed;
}

/* Return the oid of schema hub, or raise an error when the extension is absent */
Oid
catalog_schema(bool missing_ok)
{
	fill_cache();
	if (!OidIsValid(schema_oid) && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension customer_hub is not installed in this database"),
				 errhint("Run CREATE EXTENSION customer_hub.")));
	return schema_oid;
}

/* Return the oid of a relation (table, index or sequence) of schema hub, or InvalidOid */
Oid
catalog_relation_if_exists(const char *name)
{
	Oid			schema = catalog_schema(true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* Return the oid of a relation of schema hub; raises an error when it is absent */
Oid
catalog_relation(const char *name)
{
	Oid			relation = get_relname_relid(name, catalog_schema(false));

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation hub.%s does not exist", name),
				 errhint("The extension's catalogs are incomplete; recreate the extension or restore it from a backup.")));
	return relation;
}

/*
 * Fetch the row that an index of a hub catalog has under one key, and its
 * descriptor; copies, or NULL when there is none.
 */
HeapTuple
catalog_row(const char *relation_name, const char *index_name, AttrNumber attnum,
			RegProcedure equals, Datum key, TupleDesc *desc)
{
	Relation	relation = table_open(catalog_relation(relation_name), AccessShareLock);
	Oid			index = catalog_relation(index_name);
	ScanKeyData scan_key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&scan_key, attnum, BTEqualStrategyNumber, equals, key);
	scan = systable_beginscan(relation, index, true, NULL, 1, &scan_key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		*desc = CreateTupleDescCopy(RelationGetDescr(relation));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return tuple;
}

/*
 * Read all rows of a catalog into its copy; false outside a transaction.
 *
 * Where the extension is absent there are no rows, until any relation comes.
 */
bool
catalog_copy_read(CatalogCopy *copy, CatalogRowReader read_row, void *state)
{
	if (!IsTransactionState())
		return false;
	copy->relid = catalog_relation_if_exists(copy->relation_name);
	copy->changed = false;
	if (OidIsValid(copy->relid))
	{
		Relation	relation = table_open(copy->relid, AccessShareLock);
		SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
		HeapTuple	tuple;

		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
			read_row(tuple, RelationGetDescr(relation), state);
		systable_endscan(scan);
		table_close(relation, AccessShareLock);
	}
	copy->valid = !copy->changed;
	return true;
}

/* Trigger: tell every backend, at commit, to forget what it cached of this catalog */
Datum
hub_catalog_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hub.catalog_changed must be called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
