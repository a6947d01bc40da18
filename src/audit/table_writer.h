/*
 * table_writer.h: rows into a table of the trail and into its indexes. What the
 * catalogs say of the indexes is kept until the table changes: looked up for each
 * statement, it took as long as writing the row.
 */
#ifndef CUSTOMER_HUB_TABLE_WRITER_H
#define CUSTOMER_HUB_TABLE_WRITER_H

#include "postgres.h"

#include "access/htup.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

extern void table_writer_init(void);
extern void table_writer_insert(Relation relation, TupleTableSlot **rows, int count);
extern void table_writer_insert_tuple(Relation relation, HeapTuple tuple);

#endif							/* CUSTOMER_HUB_TABLE_WRITER_H */
