/*
 * lookup.c: have the planner find the indexes on encrypted columns.
 *
 * A user writes WHERE email = $1. An index on hub.equality_tag(email) is smaller
 * than one on the column and faster than one on plain text, but the planner sees
 * no relation between the two. So = is rewritten, to the same question asked of
 * tags: email = $1 becomes
 *
 *	 hub.equality_tag(email) = hub.equality_tag($1, 'hub.encrypted_email')
 *
 * where such an index exists. Where there is an index on the column itself, a text
 * is turned into a value with the same tag. The tag of a parameter is computed once
 * for each execution.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"

#include "foundation/catalog.h"
#include "types/encrypted.h"
#include "types/family.h"
#include "types/lookup.h"

PG_FUNCTION_INFO_V1(hub_encrypted_eq_support);

/* What a column is indexed by */
typedef enum ColumnIndex
{
	COLUMN_INDEX_NONE,
	COLUMN_INDEX_PLAIN,			/* the value itself */
	COLUMN_INDEX_TAG			/* its tag; preferred */
} ColumnIndex;

/* What to rewrite of the comparisons with arrays */
typedef struct ArrayRewrite
{
	PlannerInfo *root;
	Index		varno;
} ArrayRewrite;

/* Build a call of a function of schema hub */
static Expr *
make_call(const char *name, List *args)
{
	Oid			types[2];
	int			count = 0;
	ListCell   *cell;
	Oid			function;

	foreach(cell, args)
		types[count++] = exprType(lfirst(cell));
	function = LookupFuncName(list_make2(makeString("hub"), makeString(pstrdup(name))),
							  count, types, false);
	return (Expr *) makeFuncExpr(function, get_func_rettype(function), args, InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CALL);
}

/* Build the constant that names a type */
static Node *
make_type_constant(Oid type)
{
	return (Node *) makeConst(REGTYPEOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(type),
							  false, true);
}

/* Build the tag, or tags, that a comparison has on one side */
static Expr *
make_tags(Node *argument, Oid encrypted_type)
{
	bool		is_array = OidIsValid(get_element_type(exprType(argument)));
	Oid			element = is_array ? get_element_type(exprType(argument)) : exprType(argument);
	List	   *args = list_make1(argument);

	if (element == TEXTOID)
		args = lappend(args, make_type_constant(encrypted_type));
	return make_call(is_array ? "equality_tags" : "equality_tag", args);
}

/* Build the value, or values, that an index on the column is searched by for text */
static Expr *
make_probes(Node *argument, EnvelopeFamily family)
{
	bool		is_array = OidIsValid(get_element_type(exprType(argument)));

	return make_call(psprintf("%s_%s", family_name(family), is_array ? "probes" : "probe"),
					 list_make1(argument));
}

/* Look through coercions that change nothing */
static Node *
strip_relabel(Node *node)
{
	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* Is an expression of an index the tag of a column? */
static bool
is_tag_of(Node *expression, AttrNumber column)
{
	FuncExpr   *call = (FuncExpr *) expression;
	Node	   *argument;
	EnvelopeFamily family;

	if (!IsA(expression, FuncExpr) || list_length(call->args) != 1)
		return false;
	argument = linitial(call->args);
	if (!encrypted_type_family(exprType(argument), &family) ||
		get_func_namespace(call->funcid) != catalog_schema(true) ||
		strcmp(get_func_name(call->funcid), "equality_tag") != 0)
		return false;
	argument = strip_relabel(argument);
	return IsA(argument, Var) && ((Var *) argument)->varattno == column;
}

/* Tell what an index offers for a column */
static ColumnIndex
index_offers(Relation index, AttrNumber column)
{
	ColumnIndex offer = COLUMN_INDEX_NONE;
	bool		has_expressions = false;
	ListCell   *cell;

	if (!index->rd_index->indisvalid)
		return COLUMN_INDEX_NONE;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		if (index->rd_index->indkey.values[i] == column)
			offer = COLUMN_INDEX_PLAIN;
		else if (index->rd_index->indkey.values[i] == 0)
			has_expressions = true;
	}
	if (has_expressions)
	{
		foreach(cell, RelationGetIndexExpressions(index))
		{
			if (is_tag_of(lfirst(cell), column))
				return COLUMN_INDEX_TAG;
		}
	}
	return offer;
}

/* Tell what a column of a relation is indexed by */
static ColumnIndex
column_index(Oid relid, AttrNumber column)
{
	Relation	relation = table_open(relid, NoLock);	/* locked since it was parsed */
	ColumnIndex best = COLUMN_INDEX_NONE;
	List	   *indexes = RelationGetIndexList(relation);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		ColumnIndex offer = index_offers(index, column);

		index_close(index, NoLock);
		if (offer > best)
			best = offer;
		if (best == COLUMN_INDEX_TAG)
			break;
	}
	list_free(indexes);
	table_close(relation, NoLock);
	return best;
}

/* Tell what the column that an expression stands for is indexed by */
static ColumnIndex
expression_index(PlannerInfo *root, Node *expression)
{
	Var		   *var = (Var *) strip_relabel(expression);
	RangeTblEntry *entry;
	Index		up;

	if (!IsA(var, Var) || var->varattno <= 0)
		return COLUMN_INDEX_NONE;
	for (up = var->varlevelsup; up > 0 && root != NULL; up--)
		root = root->parent_root;
	if (root == NULL || IS_SPECIAL_VARNO(var->varno) ||
		var->varno > list_length(root->parse->rtable))
		return COLUMN_INDEX_NONE;
	entry = rt_fetch(var->varno, root->parse->rtable);
	if (entry->rtekind != RTE_RELATION)
		return COLUMN_INDEX_NONE;
	return column_index(entry->relid, var->varattno);
}

/* Build "left = right" of tags, or "left = ANY (right)" */
static Node *
make_tag_comparison(Expr *left, Expr *right, bool is_array)
{
	Oid			operator = lookup_type_cache(exprType((Node *) left), TYPECACHE_EQ_OPR)->eq_opr;
	ScalarArrayOpExpr *any;

	if (!is_array)
		return (Node *) make_opclause(operator, BOOLOID, false, left, right, InvalidOid, InvalidOid);
	any = makeNode(ScalarArrayOpExpr);
	any->opno = operator;
	any->useOr = true;
	any->args = list_make2(left, right);
	any->location = -1;
	return (Node *) any;
}

/*
 * Rewrite a comparison of a value with another, a text, or an array of either, to
 * what the column is indexed by. Returns NULL when it is good as it is.
 */
static Node *
rewrite_comparison(PlannerInfo *root, Node *value, Node *other, bool is_array)
{
	Oid			type = exprType(value);
	Oid			other_type = is_array ? get_element_type(exprType(other)) : exprType(other);
	EnvelopeFamily family;
	ColumnIndex index;
	Node	   *result;

	if (!encrypted_type_family(type, &family))
		return NULL;
	index = expression_index(root, value);
	if (other_type == type)
	{
		if (index != COLUMN_INDEX_TAG &&
			(is_array || expression_index(root, other) != COLUMN_INDEX_TAG))
			return NULL;
		result = make_tag_comparison(make_tags(value, type), make_tags(other, type), is_array);
	}
	else if (other_type != TEXTOID)
		return NULL;
	else if (index == COLUMN_INDEX_PLAIN)
		result = make_tag_comparison((Expr *) value, make_probes(other, family), is_array);

	/* tags of two tables can be joined by hash or merge, a value and a text cannot */
	else if (index == COLUMN_INDEX_TAG || contain_var_clause(other))
		result = make_tag_comparison(make_tags(value, type), make_tags(other, type), is_array);
	else
		return NULL;

	/* fills in the functions of operators, and computes what is constant */
	return eval_const_expressions(root, result);
}

/* Support function of = of the encrypted types */
Datum
hub_encrypted_eq_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	SupportRequestSimplify *simplify = (SupportRequestSimplify *) request;
	Node	   *left;
	Node	   *right;
	EnvelopeFamily family;

	if (!IsA(request, SupportRequestSimplify) || simplify->root == NULL ||
		list_length(simplify->fcall->args) != 2)
		PG_RETURN_POINTER(NULL);
	left = linitial(simplify->fcall->args);
	right = lsecond(simplify->fcall->args);
	if (encrypted_type_family(exprType(left), &family))
		PG_RETURN_POINTER(rewrite_comparison(simplify->root, left, right, false));
	PG_RETURN_POINTER(rewrite_comparison(simplify->root, right, left, false));
}

/* Is an operator's function one that hub_encrypted_eq_support() supports? */
static bool
is_encrypted_equality(Oid function)
{
	Oid			support = get_func_support(function);

	return OidIsValid(support) && get_func_namespace(support) == catalog_schema(true) &&
		strcmp(get_func_name(support), "encrypted_eq_support") == 0;
}

/* Return the column of the relation at hand that an expression compares with an array, or NULL */
static Node *
compared_with_array(Node *node, const ArrayRewrite *rewrite)
{
	ScalarArrayOpExpr *any = (ScalarArrayOpExpr *) node;
	Node	   *value;
	EnvelopeFamily family;

	if (!IsA(node, ScalarArrayOpExpr) || !any->useOr)
		return NULL;
	value = strip_relabel(linitial(any->args));
	if (!IsA(value, Var) || ((Var *) value)->varno != rewrite->varno ||
		((Var *) value)->varlevelsup != 0 ||
		!encrypted_type_family(exprType(linitial(any->args)), &family) ||
		!is_encrypted_equality(get_opcode(any->opno)))
		return NULL;
	return linitial(any->args);
}

/* Does a tree compare a column of the relation at hand with an array? */
static bool
compares_with_array(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (compared_with_array(node, context) != NULL)
		return true;
	return expression_tree_walker(node, compares_with_array, context);
}

/* Copy an expression with its comparisons with arrays rewritten */
static Node *
rewrite_arrays(Node *node, void *context)
{
	Node	   *value;

	if (node == NULL)
		return NULL;
	value = compared_with_array(node, context);
	if (value != NULL)
	{
		Node	   *result = rewrite_comparison(((ArrayRewrite *) context)->root, value,
												lsecond(((ScalarArrayOpExpr *) node)->args), true);

		if (result != NULL)
			return result;
	}
	return expression_tree_mutator(node, rewrite_arrays, context);
}

/* Rewrite the conditions of a join tree in place */
static void
rewrite_join_tree(Node *node, ArrayRewrite *rewrite)
{
	Node	  **conditions;

	if (IsA(node, FromExpr))
	{
		ListCell   *cell;

		foreach(cell, ((FromExpr *) node)->fromlist)
			rewrite_join_tree(lfirst(cell), rewrite);
		conditions = &((FromExpr *) node)->quals;
	}
	else if (IsA(node, JoinExpr))
	{
		rewrite_join_tree(((JoinExpr *) node)->larg, rewrite);
		rewrite_join_tree(((JoinExpr *) node)->rarg, rewrite);
		conditions = &((JoinExpr *) node)->quals;
	}
	else
		return;
	if (compares_with_array(*conditions, rewrite))
		*conditions = rewrite_arrays(*conditions, rewrite);
}

/*
 * Rewrite comparisons of a relation's columns with arrays, as IN and = ANY make
 * them: the planner asks no support function about those. Called for each relation
 * of a query, when its conditions are still in the join tree.
 */
void
lookup_relation_planned(PlannerInfo *root, RelOptInfo *relation)
{
	ArrayRewrite rewrite = {root, relation->relid};

	if (relation->reloptkind == RELOPT_BASEREL && root->parse->jointree != NULL)
		rewrite_join_tree((Node *) root->parse->jointree, &rewrite);
}
