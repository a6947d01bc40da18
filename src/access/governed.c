/*
 * governed.c: the cache of hub.governed and hub.classification.
 *
 * Entries are made on first use, for relations that are not governed too, and
 * go stale through relcache invalidation: of the relation itself, or of the two
 * tables, whose catalog_changed triggers send it. What a caller holds stays valid until the end
 * of the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/column_rewrite.h"
#include "access/govern.h"
#include "access/governed.h"
#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"
#include "types/data_class.h"
#include "types/encrypted.h"

/* attribute numbers of the two tables */
#define GOVERNED_RELATION 1
#define GOVERNED_SUBJECT 2
#define GOVERNED_REGION 3
#define GOVERNED_LINE 4
#define GOVERNED_TEAM 5
#define GOVERNED_OWNER 6
#define GOVERNED_COLUMNS 6

#define CLASSIFICATION_RELATION 1
#define CLASSIFICATION_COLUMN 2
#define CLASSIFICATION_CLASS 3

typedef struct GovernedEntry
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;		/* holds governed; NULL for a relation that is not */
	GovernedRelation *governed;
} GovernedEntry;

static HTAB *entries = NULL;
static Oid	governed_table = InvalidOid;
static Oid	classification_table = InvalidOid;
static uint64 invalidations = 1;

/* What governed_is() said last of some relations, which holds while nothing is invalidated */
#define KNOWN_ANSWERS 256
static struct
{
	Oid			relid;
	bool		governed;
	uint64		invalidations;	/* then; 0 when there is no answer here */
}			known_answers[KNOWN_ANSWERS];

static bool any_valid = false;
static bool any = false;

/* Contexts of replaced entries, freed when no caller can hold them any more */
static List *retired = NIL;

/* Mark what an invalidation concerns as stale */
static void
forget_relation(Datum arg, Oid relid)
{
	GovernedEntry *entry;

	invalidations++;
	if (entries == NULL)
		return;
	if (OidIsValid(relid) && relid != governed_table && relid != classification_table)
	{
		entry = hash_search(entries, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->valid = false;
	}
	else
	{
		HASH_SEQ_STATUS status;

		any_valid = false;
		hash_seq_init(&status, entries);
		while ((entry = hash_seq_search(&status)) != NULL)
			entry->valid = false;
	}
}

/* Free replaced entries at the end of the transaction */
static void
free_retired(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (retired == NIL)
		return;
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			foreach(cell, retired)
				MemoryContextDelete(lfirst(cell));
			list_free(retired);
			retired = NIL;
			break;
		default:
			break;
	}
}

/* Set the cache up; called once from _PG_init */
void
governed_init(void)
{
	catalog_watch_relations(forget_relation);
	RegisterXactCallback(free_retired, NULL);
}

/* Find the two tables; false while the extension is being installed */
static bool
find_tables(void)
{
	governed_table = catalog_relation_if_exists("governed");
	classification_table = catalog_relation_if_exists("classification");
	return OidIsValid(governed_table) && OidIsValid(classification_table);
}

static void
make_entries(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(GovernedEntry);
	control.hcxt = CacheMemoryContext;
	entries = hash_create("customer_hub governed relations", 64, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/* Resolve a column that hub.governed names, by its name in this very relation */
static AttrNumber
resolve_column(Oid relid, const char *role, Datum name, bool isnull)
{
	AttrNumber	attnum;

	if (isnull)
		return InvalidAttrNumber;
	attnum = get_attnum(relid, NameStr(*DatumGetName(name)));
	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_SUBJECT_COLUMN),
				 errmsg("%s column \"%s\" of governed relation \"%s\" does not exist",
						role, NameStr(*DatumGetName(name)), get_rel_name(relid)),
				 errhint("Call hub.govern again with the columns that the relation has.")));
	return attnum;
}

/* Read the row of hub.governed for exactly this relation into governed; false when there is none */
static bool
read_governed(Relation table, Oid index, Oid registered, GovernedRelation *governed)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, GOVERNED_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(registered));
	scan = systable_beginscan(table, index, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		Datum		values[GOVERNED_COLUMNS + 1];
		bool		nulls[GOVERNED_COLUMNS + 1];
		Oid			relid = governed->relid;

		for (int i = 1; i <= GOVERNED_COLUMNS; i++)
			values[i] = heap_getattr(tuple, i, RelationGetDescr(table), &nulls[i]);
		governed->root = registered;
		governed->subject = resolve_column(relid, "subject", values[GOVERNED_SUBJECT],
										   nulls[GOVERNED_SUBJECT]);
		governed->region = resolve_column(relid, "region", values[GOVERNED_REGION],
										  nulls[GOVERNED_REGION]);
		governed->line = resolve_column(relid, "line", values[GOVERNED_LINE],
										nulls[GOVERNED_LINE]);
		governed->team = resolve_column(relid, "team", values[GOVERNED_TEAM],
										nulls[GOVERNED_TEAM]);
		governed->owner = resolve_column(relid, "owner", values[GOVERNED_OWNER],
										 nulls[GOVERNED_OWNER]);
		found = true;
	}
	systable_endscan(scan);
	return found;
}

/* Give the columns their classes: an encrypted type states its own, others are classified */
static void
read_columns(GovernedRelation *governed, Relation relation, MemoryContext context)
{
	TupleDesc	desc = RelationGetDescr(relation);
	Relation	table;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	governed->natts = desc->natts;
	governed->columns = MemoryContextAllocZero(context, sizeof(GovernedColumn) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		EnvelopeFamily family;
		uint16		class_id;

		if (attribute->attisdropped)
			continue;
		if (!encrypted_column_family(attribute->atttypid, attribute->atttypmod, &family, &class_id))
		{
			governed->columns[i].nested = encrypted_type_held(attribute->atttypid);
			continue;
		}
		governed->columns[i].encrypted = true;
		governed->columns[i].family = family;
		governed->columns[i].class_id = class_id;
	}

	for (int i = 0; relation->trigdesc != NULL && i < relation->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &relation->trigdesc->triggers[i];

		if (strncmp(trigger->tgname, COLUMN_REWRITE_TRIGGER, strlen(COLUMN_REWRITE_TRIGGER)) == 0 &&
			trigger->tgnargs == 2)
		{
			AttrNumber	attnum = get_attnum(governed->relid, trigger->tgargs[1]);

			if (attnum > 0)
				governed->columns[attnum - 1].copy = true;
		}
	}

	table = table_open(classification_table, AccessShareLock);
	ScanKeyInit(&key, CLASSIFICATION_RELATION, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(governed->root));
	scan = systable_beginscan(table, catalog_relation("classification_pkey"), true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		name = heap_getattr(tuple, CLASSIFICATION_COLUMN, RelationGetDescr(table), &isnull);
		Datum		class = heap_getattr(tuple, CLASSIFICATION_CLASS, RelationGetDescr(table), &isnull);
		AttrNumber	attnum = get_attnum(governed->relid, NameStr(*DatumGetName(name)));
		uint16		class_id;

		/* a column that is gone, or a class that is, leaves it unclassified */
		if (attnum <= 0 || governed->columns[attnum - 1].class_id != DATA_CLASS_UNCLASSIFIED)
			continue;
		if (data_class_find(TextDatumGetCString(class), &class_id))
			governed->columns[attnum - 1].class_id = class_id;
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
}

/*
 * Tell whether an UPDATE has to go through the sealing trigger: not when nothing
 * is to be sealed, no other trigger is to run before the row is changed, and the
 * audit's trigger is there, which looks at the rest.
 */
static bool
update_seals(const GovernedRelation *governed, Relation relation)
{
	TriggerDesc *triggers = relation->trigdesc;
	bool		audited = false;

	for (int i = 0; i < governed->natts; i++)
	{
		if (governed->columns[i].encrypted || governed->columns[i].nested || governed->columns[i].copy)
			return true;
	}
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE,
								 TRIGGER_TYPE_UPDATE) &&
			strcmp(trigger->tgname, GOVERN_SEAL_TRIGGER) != 0)
			return true;
		if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_AFTER,
								 TRIGGER_TYPE_UPDATE) &&
			strcmp(trigger->tgname, GOVERN_AUDIT_TRIGGER) == 0 &&
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS)
			audited = true;
	}
	return !audited;
}

/* Read what is known of a relation; NULL when it is not governed */
static GovernedRelation *
read_relation(Oid relid, MemoryContext *context)
{
	GovernedRelation *governed = NULL;
	GovernedRelation found = {0};
	Relation	relation;
	Relation	table;
	Oid			index;
	bool		is_governed;

	*context = NULL;
	relation = try_relation_open(relid, AccessShareLock);
	if (relation == NULL)
		return NULL;

	found.relid = relid;
	table = table_open(governed_table, AccessShareLock);
	index = catalog_relation("governed_pkey");
	is_governed = read_governed(table, index, relid, &found);
	if (!is_governed && relation->rd_rel->relispartition)
	{
		List	   *ancestors = get_partition_ancestors(relid);
		ListCell   *cell;

		foreach(cell, ancestors)
		{
			if ((is_governed = read_governed(table, index, lfirst_oid(cell), &found)))
				break;
		}
	}
	table_close(table, AccessShareLock);

	if (is_governed)
	{
		*context = AllocSetContextCreate(CacheMemoryContext, "customer_hub governed relation",
										 ALLOCSET_SMALL_SIZES);
		found.subject_type = TupleDescAttr(RelationGetDescr(relation), found.subject - 1)->atttypid;
		read_columns(&found, relation, *context);
		found.update_seals = update_seals(&found, relation);
		governed = MemoryContextAlloc(*context, sizeof(GovernedRelation));
		*governed = found;
	}
	relation_close(relation, AccessShareLock);
	return governed;
}

/* Return what governs a relation, or NULL */
const GovernedRelation *
governed_lookup(Oid relid)
{
	GovernedEntry *entry;
	GovernedRelation *governed;
	MemoryContext context;
	uint64		before;
	bool		found;

	/* relations of the system are never governed, and reading ours needs them */
	if (relid < FirstNormalObjectId || !catalog_installed())
		return NULL;
	if (entries != NULL)
	{
		entry = hash_search(entries, &relid, HASH_FIND, NULL);
		if (entry != NULL && entry->valid)
			return entry->governed;
	}
	if (!find_tables() || relid == governed_table || relid == classification_table)
		return NULL;
	if (entries == NULL)
		make_entries();

	before = invalidations;
	governed = read_relation(relid, &context);

	entry = hash_search(entries, &relid, HASH_ENTER, &found);
	if (found && entry->context != NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(CacheMemoryContext);

		retired = lappend(retired, entry->context);
		MemoryContextSwitchTo(old_context);
	}
	entry->context = context;
	entry->governed = governed;
	entry->valid = (before == invalidations);
	return governed;
}

/* Find out whether a relation is governed, and remember it */
static pg_noinline bool
find_answer(Oid relid)
{
	int			place = relid % KNOWN_ANSWERS;
	uint64		before = invalidations;

	known_answers[place].invalidations = 0;
	known_answers[place].governed = governed_lookup(relid) != NULL;
	known_answers[place].relid = relid;
	known_answers[place].invalidations = before;
	return known_answers[place].governed;
}

/* Tell whether a relation is governed, itself or through the table it is a partition of */
bool
governed_is(Oid relid)
{
	int			place = relid % KNOWN_ANSWERS;

	if (relid < FirstNormalObjectId)
		return false;
	if (known_answers[place].relid == relid && known_answers[place].invalidations == invalidations)
		return known_answers[place].governed;
	return find_answer(relid);
}

/* Find out whether any relation of this database is governed */
static pg_noinline bool
find_any(void)
{
	Relation	table;
	SysScanDesc scan;
	uint64		before;

	if (!catalog_installed())
		return false;
	if (!find_tables())
		return false;
	if (entries == NULL)
		make_entries();

	before = invalidations;
	table = table_open(governed_table, AccessShareLock);
	scan = systable_beginscan(table, InvalidOid, false, NULL, 0, NULL);
	any = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	any_valid = (before == invalidations);
	return any;
}

/* Tell whether any relation of this database is governed */
bool
governed_any(void)
{
	/* when the extension goes, this is invalidated with its table */
	return any_valid ? any : find_any();
}

/* Give the data subject of a row from the value of its subject column; false when that is NULL */
bool
governed_row_subject(const GovernedRelation *governed, Datum value, bool isnull,
					 pg_uuid_t *subject)
{
	if (isnull)
		return false;
	if (governed->subject_type == INT8OID)
		keyring_subject_from_int8(DatumGetInt64(value), subject);
	else
		*subject = *DatumGetUUIDP(value);
	return true;
}
