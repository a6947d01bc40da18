/*
 * predicates.c: what row policies are made of.
 *
 * hub.in_regions(region) and its kin ask about the identity of the transaction,
 * so they are STABLE and never folded into a plan. What an index needs to know
 * they tell through a support function: in_regions(x) is x = ANY (my_regions()).
 */
#include "postgres.h"

#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "foundation/compat.h"
#include "access/region_use.h"
#include "identity/identity.h"
#include "types/region.h"

/* Below this, looking at each is faster than halving */
#define LINEAR_SEARCH_MAX 8

PG_FUNCTION_INFO_V1(hub_in_regions);
PG_FUNCTION_INFO_V1(hub_in_lines);
PG_FUNCTION_INFO_V1(hub_in_teams);
PG_FUNCTION_INFO_V1(hub_is_me);
PG_FUNCTION_INFO_V1(hub_my_regions);
PG_FUNCTION_INFO_V1(hub_my_lines);
PG_FUNCTION_INFO_V1(hub_my_teams);
PG_FUNCTION_INFO_V1(hub_my_member_id);
PG_FUNCTION_INFO_V1(hub_in_regions_support);
PG_FUNCTION_INFO_V1(hub_in_lines_support);
PG_FUNCTION_INFO_V1(hub_in_teams_support);
PG_FUNCTION_INFO_V1(hub_is_me_support);
PG_FUNCTION_INFO_V1(hub_acts_as_support);

/* Is a value in a sorted array? */
static inline bool
array_has(const int32 *values, int count, int32 value)
{
	int			low = 0;
	int			high = count;

	while (high - low > LINEAR_SEARCH_MAX)
	{
		int			middle = (low + high) / 2;

		if (values[middle] <= value)
			low = middle;
		else
			high = middle;
	}
	for (; low < high; low++)
	{
		if (values[low] == value)
			return true;
	}
	return false;
}

/* Is a region, or the country it lies in, granted? */
static inline bool
scope_has_region(const IdentityScope *scope, Region region)
{
	uint32		country = region_country(region);

	if (country < REGION_COUNTRIES &&
		(scope->country_bits[country / 64] >> (country % 64) & 1))
		return true;
	return !region_is_country(region) &&
		array_has((const int32 *) scope->regions, scope->region_count, (int32) region);
}

/* Does the identity's scope contain this region? */
Datum
hub_in_regions(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(scope_has_region(identity_scope(), PG_GETARG_REGION(0)));
}

/* Does the identity's scope contain this business line? */
Datum
hub_in_lines(PG_FUNCTION_ARGS)
{
	const IdentityScope *scope;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	scope = identity_scope();
	PG_RETURN_BOOL(array_has(scope->lines, scope->line_count, PG_GETARG_INT32(0)));
}

/* May the identity see rows of no team? */
static bool
sees_unassigned(void)
{
	const Identity *identity = identity_effective();

	return identity != NULL &&
		(identity->base_role == HUB_ROLE_AGENT || identity->base_role == HUB_ROLE_MANAGER);
}

/* Does the identity's scope contain this team, or the pool of unassigned rows? */
Datum
hub_in_teams(PG_FUNCTION_ARGS)
{
	const IdentityScope *scope;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(sees_unassigned());
	scope = identity_scope();
	PG_RETURN_BOOL(array_has(scope->teams, scope->team_count, PG_GETARG_INT32(0)));
}

/* Is this the identity's member? */
Datum
hub_is_me(PG_FUNCTION_ARGS)
{
	const Identity *identity;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	identity = identity_effective();
	PG_RETURN_BOOL(identity != NULL && identity->member_id == PG_GETARG_INT32(0));
}

/* Make an array of four-byte values that has room for count of them; values may be NULL */
static ArrayType *
make_array(Oid element_type, const void *values, int count)
{
	Size		size = count * sizeof(int32);
	ArrayType  *array;

	if (count == 0)
		return construct_empty_array(element_type);
	size += ARR_OVERHEAD_NONULLS(1);
	array = palloc0(size);
	SET_VARSIZE(array, size);
	array->ndim = 1;
	array->elemtype = element_type;
	ARR_DIMS(array)[0] = count;
	ARR_LBOUND(array)[0] = 1;
	memcpy(ARR_DATA_PTR(array), values, count * sizeof(int32));
	return array;
}

/* The element type of the array that a function returns, looked up once per call site */
static Oid
result_element_type(FunctionCallInfo fcinfo)
{
	if (fcinfo->flinfo->fn_extra == NULL)
	{
		Oid		   *element_type = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(Oid));

		*element_type = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));
		fcinfo->flinfo->fn_extra = element_type;
	}
	return *(Oid *) fcinfo->flinfo->fn_extra;
}

/*
 * Return the regions of the identity: what was granted, and of granted countries
 * every subdivision that occurs in governed rows
 */
Datum
hub_my_regions(PG_FUNCTION_ARGS)
{
	const IdentityScope *scope = identity_scope();
	int			in_use_count = 0;
	const Region *in_use = NULL;
	Region	   *regions;
	int			count = scope->region_count;

	for (int i = 0; i < count && in_use == NULL; i++)
	{
		if (region_is_country(scope->regions[i]))
			in_use = region_use_visible(&in_use_count);
	}

	regions = palloc((count + in_use_count) * sizeof(Region));
	if (count > 0)
		memcpy(regions, scope->regions, count * sizeof(Region));
	for (int i = 0; i < in_use_count; i++)
	{
		if (scope_has_region(scope, region_country_of(in_use[i])))
			regions[count++] = in_use[i];
	}
	PG_RETURN_ARRAYTYPE_P(make_array(result_element_type(fcinfo), regions, count));
}

/* Return the business lines of the identity */
Datum
hub_my_lines(PG_FUNCTION_ARGS)
{
	const IdentityScope *scope = identity_scope();

	PG_RETURN_ARRAYTYPE_P(make_array(INT4OID, scope->lines, scope->line_count));
}

/* Return the teams of the identity */
Datum
hub_my_teams(PG_FUNCTION_ARGS)
{
	const IdentityScope *scope = identity_scope();

	PG_RETURN_ARRAYTYPE_P(make_array(INT4OID, scope->teams, scope->team_count));
}

/* Return the number of the identity's member; NULL without identity */
Datum
hub_my_member_id(PG_FUNCTION_ARGS)
{
	const Identity *identity = identity_effective();

	if (identity == NULL)
		PG_RETURN_NULL();
	PG_RETURN_INT32(identity->member_id);
}

/* Build a call of a function of schema hub without arguments */
static Expr *
make_call(const char *name)
{
	Oid			function = LookupFuncName(list_make2(makeString("hub"), makeString(pstrdup(name))),
										  0, NULL, false);

	return (Expr *) makeFuncExpr(function, get_func_rettype(function), NIL, InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CALL);
}

/* Build "argument = ANY (hub.function())" or "argument = hub.function()" */
static Node *
make_comparison(Oid operator, Node *argument, const char *function)
{
	Expr	   *value = make_call(function);
	ScalarArrayOpExpr *any;

	if (!OidIsValid(get_element_type(exprType((Node *) value))))
	{
		Expr	   *equals = make_opclause(operator, BOOLOID, false, (Expr *) argument, value,
										   InvalidOid, InvalidOid);

		set_opfuncid((OpExpr *) equals);
		return (Node *) equals;
	}

	any = makeNode(ScalarArrayOpExpr);
	any->opno = operator;
	any->opfuncid = get_opcode(operator);
	any->useOr = true;
	any->args = list_make2(argument, value);
	any->location = -1;
	return (Node *) any;
}

/* Offer an index on the argument the comparison that says the same */
static Node *
index_condition(SupportRequestIndexCondition *request, const char *function, bool is_array)
{
	Node	   *argument;
	Oid			type;
	StrategyNumber strategy;
	Oid			operator;

	if (!is_funcclause(request->node) || request->indexarg != 0)
		return NULL;
	if (request->index->relam == BTREE_AM_OID)
		strategy = BTEqualStrategyNumber;
	else if (request->index->relam == HASH_AM_OID)
		strategy = HTEqualStrategyNumber;
	else
		return NULL;
	if (is_array && !request->index->amsearcharray)
		return NULL;

	argument = linitial(((FuncExpr *) request->node)->args);
	type = exprType(argument);
	operator = get_opfamily_member(request->opfamily, type, type, strategy);
	if (!OidIsValid(operator))
		return NULL;
	request->lossy = false;
	return (Node *) list_make1(make_comparison(operator, argument, function));
}

/*
 * Estimate how many rows the current identity sees, from the statistics of the
 * argument. The plan may serve another identity later: an estimate only.
 */
static Node *
selectivity(SupportRequestSelectivity *request, const char *function, bool or_null)
{
	Node	   *argument;
	Node	   *comparison;

	if (request->is_join || list_length(request->args) != 1 || identity_effective() == NULL)
		return NULL;
	argument = linitial(request->args);
	comparison = make_comparison(lookup_type_cache(exprType(argument), TYPECACHE_EQ_OPR)->eq_opr,
								 argument, function);
	if (or_null && sees_unassigned())
	{
		NullTest   *is_null = makeNode(NullTest);

		is_null->arg = (Expr *) argument;
		is_null->nulltesttype = IS_NULL;
		is_null->location = -1;
		comparison = (Node *) make_orclause(list_make2(comparison, is_null));
	}
	request->selectivity = clause_selectivity(request->root, comparison, request->varRelid,
											  request->jointype, request->sjinfo);
	return (Node *) request;
}

/* Support function of hub.in_regions() */
Datum
hub_in_regions_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestIndexCondition))
		result = index_condition((SupportRequestIndexCondition *) request, "my_regions", true);
	else if (IsA(request, SupportRequestSelectivity))
		result = selectivity((SupportRequestSelectivity *) request, "my_regions", false);
	PG_RETURN_POINTER(result);
}

/* Support function of hub.in_lines() */
Datum
hub_in_lines_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestIndexCondition))
		result = index_condition((SupportRequestIndexCondition *) request, "my_lines", true);
	else if (IsA(request, SupportRequestSelectivity))
		result = selectivity((SupportRequestSelectivity *) request, "my_lines", false);
	PG_RETURN_POINTER(result);
}

/* Support function of hub.in_teams(): no index condition, since NULL may count as a team */
Datum
hub_in_teams_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSelectivity))
		result = selectivity((SupportRequestSelectivity *) request, "my_teams", true);
	PG_RETURN_POINTER(result);
}

/* Support function of hub.is_me() */
Datum
hub_is_me_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestIndexCondition))
		result = index_condition((SupportRequestIndexCondition *) request, "my_member_id", false);
	else if (IsA(request, SupportRequestSelectivity))
		result = selectivity((SupportRequestSelectivity *) request, "my_member_id", false);
	PG_RETURN_POINTER(result);
}

/* Support function of hub.acts_as(): whoever has rows to see is who the policy is for */
Datum
hub_acts_as_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (!IsA(request, SupportRequestSelectivity))
		PG_RETURN_POINTER(NULL);
	((SupportRequestSelectivity *) request)->selectivity = 1.0;
	PG_RETURN_POINTER(request);
}
