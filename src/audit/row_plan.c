/*
 * row_plan.c: how the rows of one relation are recorded.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit/row_plan.h"
#include "foundation/catalog.h"
#include "types/data_class.h"

/* Types below this oid have the same oid everywhere, and so has what they send */
#define FIRST_UNPINNED_TYPE 10000

static HTAB *plans = NULL;
static Oid	governed_table = InvalidOid;
static Oid	classification_table = InvalidOid;
static uint64 invalidations = 0;

/* Mark plans as stale that a relation's change concerns */
static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	RowPlan    *plan;
	bool		all = !OidIsValid(relid) || relid == governed_table || relid == classification_table;

	invalidations++;
	if (plans == NULL)
		return;
	hash_seq_init(&status, plans);
	while ((plan = hash_seq_search(&status)) != NULL)
	{
		if (all || plan->relid == relid || plan->root == relid)
			plan->valid = false;
	}
}

/* Mark all plans as stale: a schema or a type was changed */
static void
forget_names(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_relation(arg, InvalidOid);
}

/* Watch what plans depend on; called once from _PG_init */
void
row_plan_init(void)
{
	catalog_watch_relations(forget_relation);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_names, (Datum) 0);
}

/* Choose how a type's values become JSON */
static JsonForm
json_form(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return JSON_FORM_INT;
		case BOOLOID:
			return JSON_FORM_BOOL;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return JSON_FORM_TEXT;
		case UUIDOID:
			return JSON_FORM_UUID;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return JSON_FORM_TIME;
		case JSONBOID:
			return JSON_FORM_JSONB;
		default:
			return JSON_FORM_OUTPUT;
	}
}

/* Choose how a type's values are laid down in the image, and by which function */
static ImageFormat
image_format(Oid type, bool encrypted, Oid *function)
{
	bool		is_varlena;

	*function = InvalidOid;
	if (encrypted)
		return IMAGE_ENCRYPTED;
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case JSONOID:
		case JSONBOID:
		case UUIDOID:
			return IMAGE_BYTES;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case BOOLOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
		case DATEOID:
		case TIMEOID:
		case TIMETZOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case INTERVALOID:
		case INETOID:
		case CIDROID:
			getTypeBinaryOutputInfo(type, function, &is_varlena);
			return IMAGE_SEND;
		default:
			getTypeOutputInfo(type, function, &is_varlena);
			return IMAGE_TEXT;
	}
}

/* Append a length-prefixed string of at most 255 bytes */
static void
append_short_string(StringInfo buf, const char *string)
{
	int			len = Min(strlen(string), 255);

	appendStringInfoChar(buf, (char) len);
	appendBinaryStringInfo(buf, string, len);
}

/* Fill in what one column needs */
static void
plan_column(PlanColumn *column, Form_pg_attribute attribute, ColumnUse use, bool encrypted,
			uint16 class_id, MemoryContext context)
{
	StringInfoData prefix;
	Oid			function;
	uint16		class_order = pg_hton16(class_id);
	bool		is_varlena;

	column->use = use;
	column->byval = attribute->attbyval;
	column->length = attribute->attlen;
	column->type = getBaseType(attribute->atttypid);
	column->name = MemoryContextStrdup(context, NameStr(attribute->attname));
	column->name_len = strlen(column->name);
	column->json = json_form(column->type);
	column->format = image_format(column->type, encrypted, &function);
	if (use == COLUMN_PLAIN && column->json == JSON_FORM_OUTPUT)
		getTypeOutputInfo(column->type, &function, &is_varlena);
	if (OidIsValid(function))
	{
		fmgr_info_cxt(function, &column->function, context);
		column->has_function = true;
	}
	if (use == COLUMN_SEALED)
	{
		initStringInfo(&prefix);
		append_short_string(&prefix, column->name);
		append_short_string(&prefix, format_type_extended(encrypted ? column->type : attribute->atttypid, -1,
														  FORMAT_TYPE_FORCE_QUALIFY));
		appendBinaryStringInfo(&prefix, (char *) &class_order, sizeof(class_order));
		appendStringInfoChar(&prefix, (char) column->format);
		column->image_prefix = prefix.data;
		column->image_prefix_len = prefix.len;
	}
}

/* Tell whether primary key columns of a type stay readable */
static bool
is_readable_key(Oid type)
{
	return type == UUIDOID || type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Is a column one of those that are only named? */
static bool
is_secret(const char *name, char **secret, int secret_count)
{
	for (int i = 0; i < secret_count; i++)
	{
		if (strcmp(name, secret[i]) == 0)
			return true;
	}
	return false;
}

/* Compare columns as jsonb does keys: by length, then by bytes; dropped ones come first */
static int
compare_names(const void *a, const void *b, void *columns)
{
	const PlanColumn *left = (PlanColumn *) columns + *(const int *) a;
	const PlanColumn *right = (PlanColumn *) columns + *(const int *) b;

	if (left->name_len != right->name_len)
		return left->name_len < right->name_len ? -1 : 1;
	return left->name_len == 0 ? 0 : memcmp(left->name, right->name, left->name_len);
}

/* Work out the plan of a relation in its own memory context */
static void
fill_plan(RowPlan *plan, Relation relation, const GovernedRelation *governed,
		  char **secret, int secret_count)
{
	TupleDesc	desc = RelationGetDescr(relation);
	Bitmapset  *key_columns = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	MemoryContext old_context = MemoryContextSwitchTo(plan->context);

	plan->governed = governed;
	plan->subject = governed ? governed->subject : InvalidAttrNumber;
	plan->root = governed ? governed->root : RelationGetRelid(relation);
	plan->relation = quote_qualified_identifier(get_namespace_name(get_rel_namespace(plan->root)),
												get_rel_name(plan->root));
	plan->relation_len = strlen(plan->relation);
	plan->natts = desc->natts;
	plan->columns = palloc0(sizeof(PlanColumn) * Max(desc->natts, 1));
	plan->json_order = palloc(sizeof(int) * Max(desc->natts, 1));
	plan->key_count = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		is_key = bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, key_columns);
		bool		encrypted = governed && governed->columns[i].encrypted;
		uint16		class_id = governed ? governed->columns[i].class_id : DATA_CLASS_PUBLIC;
		bool		readable_key = is_key && is_readable_key(attribute->atttypid);
		ColumnUse	use;

		/* what a copy holds is recorded as the value of its source */
		if (attribute->attisdropped || (governed && governed->columns[i].copy))
			continue;
		if (is_secret(NameStr(attribute->attname), secret, secret_count))
			use = COLUMN_NAMED;
		else if (!governed || readable_key || i + 1 == plan->subject ||
				 (class_id == DATA_CLASS_PUBLIC && !encrypted))
			use = COLUMN_PLAIN;
		else
			use = COLUMN_SEALED;
		plan->columns[i].is_key = readable_key || (is_key && !governed && use == COLUMN_PLAIN);
		if (plan->columns[i].is_key)
			plan->key_count++;
		plan->has_named |= use == COLUMN_NAMED;
		plan_column(&plan->columns[i], attribute, use, encrypted, class_id, plan->context);
	}
	for (int i = 0; i < desc->natts; i++)
		plan->json_order[i] = i;
	qsort_arg(plan->json_order, desc->natts, sizeof(int), compare_names, plan->columns);
	MemoryContextSwitchTo(old_context);
	bms_free(key_columns);
}

/* Return the plan of a relation, working it out when there is none or it is stale */
static RowPlan *
plan_for(Relation relation, const GovernedRelation *governed, char **secret, int secret_count)
{
	Oid			relid = RelationGetRelid(relation);
	RowPlan    *plan;
	uint64		before = invalidations;
	bool		found;

	if (plans == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(RowPlan);
		control.hcxt = CacheMemoryContext;
		plans = hash_create("customer_hub audit row plans", 64, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	plan = hash_search(plans, &relid, HASH_ENTER, &found);
	if (!found)
	{
		plan->valid = false;
		plan->context = NULL;
		plan->governed = NULL;
		plan->root = InvalidOid;
	}
	if (plan->valid && plan->governed == governed)
		return plan;

	/* a trigger call further up may still hold the old one */
	if (plan->context != NULL)
		MemoryContextSetParent(plan->context, TopTransactionContext);
	plan->context = AllocSetContextCreate(CacheMemoryContext, "customer_hub audit row plan",
										  ALLOCSET_SMALL_SIZES);
	governed_table = catalog_relation_if_exists("governed");
	classification_table = catalog_relation_if_exists("classification");
	fill_plan(plan, relation, governed, secret, secret_count);
	plan->valid = before == invalidations;
	return plan;
}

/* Return the plan for a governed relation, or NULL */
RowPlan *
row_plan_governed(Relation relation)
{
	const GovernedRelation *governed = governed_lookup(RelationGetRelid(relation));

	if (governed == NULL)
		return NULL;
	return plan_for(relation, governed, NULL, 0);
}

/* Return the plan for a table of the hub's own */
RowPlan *
row_plan_config(Relation relation, char **secret, int secret_count)
{
	return plan_for(relation, NULL, secret, secret_count);
}
