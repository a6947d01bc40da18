/*
 * side_channels.c: keep values of encrypted columns out of what PostgreSQL
 * writes beside the table: statistics and the context of errors.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "foundation/catalog.h"
#include "types/encrypted.h"
#include "types/side_channels.h"

/* Does a relation have an encrypted column, of the given name when there is one? */
static bool
has_encrypted_column(Oid relid, const char *name)
{
	Relation	relation = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	bool		found = false;

	for (int i = 0; i < desc->natts && !found; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		found = !attribute->attisdropped &&
			(name == NULL || strcmp(NameStr(attribute->attname), name) == 0) &&
			encrypted_type_held(attribute->atttypid);
	}
	relation_close(relation, AccessShareLock);
	return found;
}

/* Find the first encrypted column that an expression names */
static bool
names_encrypted_column(Node *node, Oid *relid)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		Node	   *last = llast(((ColumnRef *) node)->fields);

		/* a whole row holds every column */
		return has_encrypted_column(*relid, IsA(last, String) &&
									get_attnum(*relid, strVal(last)) != InvalidAttrNumber ?
									strVal(last) : NULL);
	}
	return raw_expression_tree_walker(node, names_encrypted_column, relid);
}

/*
 * Refuse extended statistics on encrypted columns.
 *
 * They would keep values with their equality tags, in a catalog that erasure
 * does not reach at once; and a class without tags cannot be compared, which
 * would end each ANALYZE of the table in an error.
 */
static void
check_create_statistics(CreateStatsStmt *statement)
{
	Oid			relid;
	ListCell   *cell;

	if (list_length(statement->relations) != 1 || !IsA(linitial(statement->relations), RangeVar))
		return;
	relid = RangeVarGetRelid(linitial_node(RangeVar, statement->relations), NoLock, true);
	if (!OidIsValid(relid))
		return;
	foreach(cell, statement->exprs)
	{
		StatsElem  *element = lfirst_node(StatsElem, cell);

		if (element->name != NULL ? has_encrypted_column(relid, element->name) :
			names_encrypted_column(element->expr, &relid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("extended statistics cannot be kept on encrypted columns of relation \"%s\"",
							get_rel_name(relid)),
					 errhint("Leave the encrypted columns out.")));
	}
}

/* Before a utility statement: refuse what would keep values beside the table */
void
side_channels_before_utility(Node *parsetree)
{
	if (IsA(parsetree, CreateStatsStmt) && catalog_installed())
		check_create_statistics((CreateStatsStmt *) parsetree);
}

/* Tell whether a COPY reads values for an encrypted column */
bool
side_channels_copies_in(Node *parsetree)
{
	Oid			relid;

	if (!IsA(parsetree, CopyStmt) || !((CopyStmt *) parsetree)->is_from || !catalog_installed())
		return false;
	relid = RangeVarGetRelid(((CopyStmt *) parsetree)->relation, NoLock, true);
	return OidIsValid(relid) && has_encrypted_column(relid, NULL);
}

/*
 * Return what of an error's context tells where in a COPY it happened.
 *
 * COPY adds "COPY name, line 1, column x: "value"", or the whole line. The text
 * is translated and the value may span lines, so all after the first colon or
 * quote goes.
 */
static char *
context_without_values(const char *context, const char *relation)
{
	char	   *start = psprintf("COPY %s", relation);
	const char *found = strstr(context, start);
	Size		len;

	if (found == NULL || (found != context && found[-1] != '\n'))
		return NULL;
	len = found - context + strlen(start);
	len += strcspn(context + len, ":\"\n");
	return pnstrdup(context, len);
}

/* Raise the current error of a COPY again, without the input that it quotes */
void
side_channels_rethrow_copy_error(Node *parsetree, MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	if (error->context != NULL)
		error->context = context_without_values(error->context,
												((CopyStmt *) parsetree)->relation->relname);
	ReThrowError(error);
}
