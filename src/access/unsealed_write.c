/*
 * unsealed_write.c: statements that write encrypted columns where no sealing
 * trigger looks at them.
 *
 * An ORM writes back what it has read, masks too. The sealing trigger knows what
 * they stand for; a table that is not governed has none, and would keep them for
 * values.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "access/governed.h"
#include "foundation/run_scope.h"
#include "access/unsealed_write.h"
#include "types/data_class.h"
#include "types/disclosure.h"
#include "types/encrypted.h"

/* Is a relation one with encrypted columns that nobody governs? */
static bool
is_unsealed(Oid relid)
{
	Relation	relation;
	bool		found = false;

	if (governed_is(relid))
		return false;
	relation = table_open(relid, AccessShareLock);
	for (int i = 0; i < RelationGetNumberOfAttributes(relation) && !found; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), i);

		found = !attribute->attisdropped && encrypted_type_held(attribute->atttypid);
	}
	table_close(relation, AccessShareLock);
	return found;
}

/*
 * Does nothing tell what a mask stands for where it gets the class of a column?
 *
 * What writes nothing gives it to a variable, of which nobody knows the use.
 * Without identity nothing is ever printed so.
 */
bool
unsealed_write_refuses_mask(void)
{
	ListCell   *cell;

	if (disclosure_of(DATA_CLASS_UNCLASSIFIED) == DISCLOSURE_SEALED)
		return false;
	if (run_scope.query != NULL)
	{
		PlannedStmt *statement = run_scope.query->plannedstmt;

		foreach(cell, statement->resultRelations)
		{
			if (is_unsealed(rt_fetch(lfirst_int(cell), statement->rtable)->relid))
				return true;
		}
		return statement->resultRelations == NIL;
	}
	if (run_scope.utility != NULL && IsA(run_scope.utility, CopyStmt) &&
		((CopyStmt *) run_scope.utility)->is_from)
	{
		Oid			relid = RangeVarGetRelid(((CopyStmt *) run_scope.utility)->relation, NoLock, true);

		return OidIsValid(relid) && is_unsealed(relid);
	}
	return run_scope.utility != NULL;
}
