/*
 * word_search.c: hub.matches(), and the GIN operator class that serves it.
 *
 * An index finds values by the tokens they carry, and needs no key for that; who
 * may ask is decided before the first value is looked at, so that neither rows nor
 * an error tell more. Only hub.matches() can ask an index: its planner support
 * makes the condition, and what computes the tokens answers to no other caller.
 */
#include "postgres.h"

#include "access/gin.h"
#include "access/stratnum.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"
#include "types/data_class.h"
#include "types/disclosure.h"
#include "types/encrypted.h"
#include "types/words.h"

/* Strategy of "holds all tokens" in the operator class */
#define HOLDS_STRATEGY 1

/* What is guessed of words: they are looked for because they are rare */
#define MATCH_SELECTIVITY 0.005

PG_FUNCTION_INFO_V1(hub_matches);
PG_FUNCTION_INFO_V1(hub_matches_support);
PG_FUNCTION_INFO_V1(hub_word_query);
PG_FUNCTION_INFO_V1(hub_encrypted_text_holds);
PG_FUNCTION_INFO_V1(hub_words_extract_value);
PG_FUNCTION_INFO_V1(hub_words_extract_query);
PG_FUNCTION_INFO_V1(hub_words_consistent);
PG_FUNCTION_INFO_V1(hub_words_triconsistent);

/* What a call of hub.matches() looks for, kept while text and class stay the same */
typedef struct WordQuery
{
	text	   *input;
	uint16		class_id;
	EnvelopeWords words;
} WordQuery;

/*
 * Raise an error unless the current identity may search a class: CH205 without
 * mask clearance, CH103 when the class is not searched by word. The search is on
 * record then, whatever it finds.
 */
static void
begin_search(uint16 class_id)
{
	static const pg_uuid_t nobody;
	const char *class_name = data_class_name(class_id);
	Disclosure	disclosure = disclosure_of(class_id);

	if (disclosure != DISCLOSURE_MASK && disclosure != DISCLOSURE_REVEAL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_PERMITTED),
				 errmsg("no clearance to search data of class \"%s\" by word",
						class_name ? class_name : "unclassified"),
				 errhint("A search needs mask clearance. hub.whoami() shows the identity in force; hub.set_clearance() changes what its role may see.")));
	if (!data_class_word_searchable(class_id))
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_SEARCHABLE),
				 errmsg("data of class \"%s\" is not searched by word",
						class_name ? class_name : "unclassified"),
				 errhint("hub.set_word_search() lets a class be searched; values that were there before have to be sealed anew.")));
	disclosure_record(&nobody, class_id, REVEAL_PARTIAL);
}

/* Read a token as the key that an index holds */
static Datum
token_key(const uint8 *token)
{
	uint64		bits;

	memcpy(&bits, token, sizeof(bits));
	return Int64GetDatum((int64) pg_ntoh64(bits));
}

/* Does a value carry a token? Its tokens are in order */
static bool
holds_token(const EnvelopeView *view, const uint8 *token)
{
	uint32		low = 0;
	uint32		high = view->word_count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;
		int			order = memcmp(view->words + (Size) middle * ENVELOPE_WORD_BYTES, token,
								   ENVELOPE_WORD_BYTES);

		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Return the tokens that a call looks for, made when text or class is another than before */
static const WordQuery *
word_query(FunctionCallInfo fcinfo, text *input, uint16 class_id)
{
	WordQuery  *query = fcinfo->flinfo->fn_extra;
	Size		len = VARSIZE_ANY_EXHDR(input);
	MemoryContext old_context;

	if (query != NULL && query->class_id == class_id &&
		VARSIZE_ANY_EXHDR(query->input) == len &&
		memcmp(VARDATA_ANY(query->input), VARDATA_ANY(input), len) == 0)
		return query;
	begin_search(class_id);
	old_context = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	if (query != NULL)
	{
		fcinfo->flinfo->fn_extra = NULL;
		words_free(&query->words);
		pfree(query->input);
		pfree(query);
	}
	query = palloc(sizeof(WordQuery));
	query->class_id = class_id;
	query->input = cstring_to_text_with_len(VARDATA_ANY(input), (int) len);
	words_tokenize(class_id, VARDATA_ANY(input), len, &query->words);
	fcinfo->flinfo->fn_extra = query;
	MemoryContextSwitchTo(old_context);
	return query;
}

/* Does a value hold all words of a text? Each person found is on record with a partial reveal */
Datum
hub_matches(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	EnvelopeView view;
	const WordQuery *query;

	envelope_view(value, &view);
	query = word_query(fcinfo, PG_GETARG_TEXT_PP(1), view.class_id);
	if (query->words.count == 0)
		PG_RETURN_BOOL(false);
	for (uint32 i = 0; i < query->words.count; i++)
	{
		if (!holds_token(&view, query->words.tokens + (Size) i * ENVELOPE_WORD_BYTES))
			PG_RETURN_BOOL(false);
	}
	if (!envelope_is_unbound(&view) && keyring_subject_is_erased(&view.subject))
		PG_RETURN_BOOL(false);
	disclosure_record(&view.subject, view.class_id, REVEAL_PARTIAL);
	PG_RETURN_BOOL(true);
}

/*
 * Return the tokens of a text, for an index condition; NULL when a statement calls
 * it by itself, past hub.matches() and so past the record of who was found.
 */
Datum
hub_word_query(PG_FUNCTION_ARGS)
{
	text	   *input = PG_GETARG_TEXT_PP(0);
	FuncExpr   *call = (FuncExpr *) fcinfo->flinfo->fn_expr;
	EnvelopeWords words;
	Datum	   *keys;

	if (call == NULL || !IsA(call, FuncExpr) || call->funcformat != COERCE_IMPLICIT_CAST)
		PG_RETURN_NULL();
	begin_search((uint16) PG_GETARG_INT16(1));
	words_tokenize((uint16) PG_GETARG_INT16(1), VARDATA_ANY(input), VARSIZE_ANY_EXHDR(input), &words);
	keys = palloc(Max(words.count, 1) * sizeof(Datum));
	for (uint32 i = 0; i < words.count; i++)
		keys[i] = token_key(words.tokens + (Size) i * ENVELOPE_WORD_BYTES);
	PG_RETURN_ARRAYTYPE_P(construct_array(keys, (int) words.count, INT8OID, sizeof(int64),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Build what an index on the column is asked instead of hub.matches(column, text) */
static Node *
index_condition(SupportRequestIndexCondition *request)
{
	FuncExpr   *matches = (FuncExpr *) request->node;
	Oid			argument_types[] = {TEXTOID, INT2OID};
	Node	   *column;
	Node	   *input;
	int32		class_id;
	Oid			operator;
	FuncExpr   *query;

	if (!IsA(matches, FuncExpr) || request->indexarg != 0 || request->index->relam != GIN_AM_OID)
		return NULL;
	column = linitial(matches->args);
	input = lsecond(matches->args);
	class_id = exprTypmod(column);
	operator = get_opfamily_member(request->opfamily, exprType(column), INT8ARRAYOID, HOLDS_STRATEGY);
	if (class_id < 0 || !OidIsValid(operator) ||
		!is_pseudo_constant_for_index(request->root, input, request->index))
		return NULL;
	query = makeFuncExpr(LookupFuncName(list_make2(makeString("hub"), makeString("word_query")),
										2, argument_types, false),
						 INT8ARRAYOID,
						 list_make2(input, makeConst(INT2OID, -1, InvalidOid, sizeof(int16),
													 Int16GetDatum((int16) class_id), false, true)),
						 InvalidOid, InvalidOid, COERCE_IMPLICIT_CAST);

	/* each row found is asked of hub.matches() again: that puts it on record */
	request->lossy = true;
	return (Node *) list_make1(make_opclause(operator, BOOLOID, false, (Expr *) column,
											 (Expr *) query, InvalidOid, InvalidOid));
}

/* Support function of hub.matches() */
Datum
hub_matches_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestIndexCondition))
		PG_RETURN_POINTER(index_condition((SupportRequestIndexCondition *) request));
	if (IsA(request, SupportRequestSelectivity))
	{
		((SupportRequestSelectivity *) request)->selectivity = MATCH_SELECTIVITY;
		PG_RETURN_POINTER(request);
	}
	PG_RETURN_POINTER(NULL);
}

/* Does a value hold all tokens? What an index condition is checked with */
Datum
hub_encrypted_text_holds(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	EnvelopeView view;
	Datum	   *keys;
	bool	   *nulls;
	int			count;

	envelope_view(value, &view);
	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &keys, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		uint64		bits;

		if (nulls[i])
			PG_RETURN_BOOL(false);
		bits = pg_hton64((uint64) DatumGetInt64(keys[i]));
		if (!holds_token(&view, (uint8 *) &bits))
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(count > 0);
}

/* Return the tokens that a value carries, for an index */
Datum
hub_words_extract_value(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	int32	   *count = (int32 *) PG_GETARG_POINTER(1);
	EnvelopeView view;
	Datum	   *keys;

	envelope_view(value, &view);
	*count = (int32) view.word_count;
	if (view.word_count == 0)
		PG_RETURN_POINTER(NULL);
	keys = palloc(view.word_count * sizeof(Datum));
	for (uint32 i = 0; i < view.word_count; i++)
		keys[i] = token_key(view.words + (Size) i * ENVELOPE_WORD_BYTES);
	PG_RETURN_POINTER(keys);
}

/* Return the tokens that an index is asked for */
Datum
hub_words_extract_query(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	int32	   *count = (int32 *) PG_GETARG_POINTER(1);
	bool	  **null_flags = (bool **) PG_GETARG_POINTER(5);
	Datum	   *keys;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &keys, null_flags, count);
	PG_RETURN_POINTER(keys);
}

/* Are all tokens there? */
Datum
hub_words_consistent(PG_FUNCTION_ARGS)
{
	bool	   *check = (bool *) PG_GETARG_POINTER(0);
	int32		count = PG_GETARG_INT32(3);
	bool	   *recheck = (bool *) PG_GETARG_POINTER(5);

	*recheck = false;
	for (int32 i = 0; i < count; i++)
	{
		if (!check[i])
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}

/* The same while not all of them are known */
Datum
hub_words_triconsistent(PG_FUNCTION_ARGS)
{
	GinTernaryValue *check = (GinTernaryValue *) PG_GETARG_POINTER(0);
	int32		count = PG_GETARG_INT32(3);
	GinTernaryValue result = GIN_TRUE;

	for (int32 i = 0; i < count; i++)
	{
		if (check[i] == GIN_FALSE)
			PG_RETURN_GIN_TERNARY_VALUE(GIN_FALSE);
		if (check[i] == GIN_MAYBE)
			result = GIN_MAYBE;
	}
	PG_RETURN_GIN_TERNARY_VALUE(result);
}
