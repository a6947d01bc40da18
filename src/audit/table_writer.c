/*
 * table_writer.c: inserting rows with their index entries.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "audit/table_writer.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"

/* Tables in use at a time: the transactions, this month's partition, the default one */
#define WRITTEN_TABLES 4

typedef struct WrittenTable
{
	Oid			relid;			/* InvalidOid: not in use, or stale */
	MemoryContext context;
	int			index_count;
	Oid		   *indexes;
	IndexInfo **infos;
	TupleTableSlot *slot;		/* for a row that comes as a tuple */
} WrittenTable;

static WrittenTable tables[WRITTEN_TABLES];
static int	next_victim = 0;

/* Grows with every invalidation, so that one which comes while a table is learnt is noticed */
static uint64 forgotten = 0;

/* Forget what is known of a table that changed */
static void
forget_table(Datum arg, Oid relid)
{
	forgotten++;
	for (int i = 0; i < WRITTEN_TABLES; i++)
	{
		if (!OidIsValid(relid) || tables[i].relid == relid)
			tables[i].relid = InvalidOid;
	}
}

/* Watch tables; called once from _PG_init */
void
table_writer_init(void)
{
	catalog_watch_relations(forget_table);
}

/* Refuse an index that takes more than copying columns */
static void
check_index(Relation index, IndexInfo *info)
{
	if (info->ii_Expressions != NIL || info->ii_Predicate != NIL || info->ii_ExclusionOps != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("index \"%s\" on the audit trail is not a plain one",
						RelationGetRelationName(index)),
				 errhint("Drop the index; the audit trail takes indexes on columns only.")));
}

/* Learn the indexes of a table, which the caller has locked */
static WrittenTable *
find_table(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	WrittenTable *table;
	List	   *indexes;
	MemoryContext old_context;
	uint64		before = forgotten;

	for (int i = 0; i < WRITTEN_TABLES; i++)
	{
		if (tables[i].relid == relid)
			return &tables[i];
	}
	table = &tables[next_victim];
	next_victim = (next_victim + 1) % WRITTEN_TABLES;
	if (table->context == NULL)
		table->context = AllocSetContextCreate(TopMemoryContext, "customer_hub written table",
											   ALLOCSET_SMALL_SIZES);
	MemoryContextReset(table->context);
	table->relid = InvalidOid;	/* whoever is kept from learning all of it leaves nothing behind */
	indexes = RelationGetIndexList(relation);
	old_context = MemoryContextSwitchTo(table->context);
	table->index_count = list_length(indexes);
	table->indexes = palloc(sizeof(Oid) * Max(table->index_count, 1));
	table->infos = palloc(sizeof(IndexInfo *) * Max(table->index_count, 1));
	for (int i = 0; i < table->index_count; i++)
	{
		Relation	index = index_open(list_nth_oid(indexes, i), RowExclusiveLock);

		table->indexes[i] = RelationGetRelid(index);
		table->infos[i] = BuildIndexInfo(index);
		check_index(index, table->infos[i]);
		index_close(index, RowExclusiveLock);
	}
	table->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(RelationGetDescr(relation)),
										   &TTSOpsHeapTuple);
	MemoryContextSwitchTo(old_context);
	list_free(indexes);
	if (before == forgotten)
		table->relid = relid;
	return table;
}

/* Add rows to one index */
static void
insert_entries(Relation relation, Relation index, IndexInfo *info, TupleTableSlot **rows, int count)
{
	IndexUniqueCheck check = info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	if (!info->ii_ReadyForInserts)
		return;
	info->ii_Context = CurrentMemoryContext;
	info->ii_AmCache = NULL;
	for (int row = 0; row < count; row++)
	{
		FormIndexDatum(info, rows[row], NULL, values, nulls);
		index_insert(index, values, nulls, &rows[row]->tts_tid, relation, check, false, info);
	}
	compat_index_insert_cleanup(index, info);
	info->ii_AmCache = NULL;
}

/* Insert one row, which costs less than a batch of one */
static void
insert_row(Relation relation, TupleTableSlot *row)
{
	bool		should_free;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(row, true, &should_free);

	tuple->t_tableOid = RelationGetRelid(relation);
	heap_insert(relation, tuple, GetCurrentCommandId(true), 0, NULL);
	row->tts_tid = tuple->t_self;
	row->tts_tableOid = tuple->t_tableOid;
	if (should_free)
		pfree(tuple);
}

/* Insert rows into a table and its indexes */
static void
insert_rows(Relation relation, WrittenTable *table, TupleTableSlot **rows, int count)
{
	if (count == 1)
		insert_row(relation, rows[0]);
	else
		heap_multi_insert(relation, rows, count, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < table->index_count; i++)
	{
		Relation	index = index_open(table->indexes[i], RowExclusiveLock);

		insert_entries(relation, index, table->infos[i], rows, count);
		index_close(index, RowExclusiveLock);
	}
}

/*
 * Insert rows into a table that is open and locked, and into its indexes. Leaves
 * some memory behind in the current context.
 */
void
table_writer_insert(Relation relation, TupleTableSlot **rows, int count)
{
	insert_rows(relation, find_table(relation), rows, count);
}

/* The same for one row that is a tuple */
void
table_writer_insert_tuple(Relation relation, HeapTuple tuple)
{
	WrittenTable *table = find_table(relation);
	TupleTableSlot *row = ExecStoreHeapTuple(tuple, table->slot, false);

	insert_rows(relation, table, &row, 1);
	ExecClearTuple(row);
}
