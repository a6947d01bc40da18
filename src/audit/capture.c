/*
 * capture.c: what a row trigger makes of a change.
 *
 * One builder serves all relations. Of a change it takes the changed columns:
 * values of public columns, the subject and readable keys in plain JSON, all
 * others in one image that is sealed under the data subject's key. The image is
 *
 *	 1 byte		version, 1
 *	 then for each column
 *		1 byte	flags: 1 old value follows, 2 new value follows, 4 old was NULL, 8 new is NULL
 *		1 byte	length, then the column's name
 *		1 byte	length, then the type's qualified name
 *		2 bytes data class, network order
 *		1 byte	ImageFormat
 *		for each value: 4 bytes length, network order, then the value
 *
 * A value of an encrypted type starts with its family and then stands in the
 * clear, inside the image: a copy of its envelope would carry the equality tag,
 * which outlives the key. Where there is no tag the family is 0, and the envelope
 * follows as it is.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "access/seal.h"
#include "audit/capture.h"
#include "audit/event.h"
#include "audit/row_plan.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/memory.h"
#include "keyring/envelope.h"
#include "keyring/keyring.h"
#include "types/data_class.h"

/* A change: either slot is NULL where there is no row */
typedef struct RowChange
{
	RowPlan    *plan;
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	bool	   *changed;		/* by attnum - 1; all columns unless both rows are there */
	int			changed_count;
} RowChange;

PG_FUNCTION_INFO_V1(hub_audit_row);
PG_FUNCTION_INFO_V1(hub_audit_config);

/* Tell whether a column has the same value in both rows */
static bool
same_value(const PlanColumn *column, Datum old_value, Datum new_value)
{
	if (column->byval)
		return old_value == new_value;
	if (column->length == -1)
	{
		struct varlena *old_varlena = (struct varlena *) DatumGetPointer(old_value);
		struct varlena *new_varlena = (struct varlena *) DatumGetPointer(new_value);

		/* an untouched toasted value is the same pointer in both */
		if (VARATT_IS_EXTERNAL_ONDISK(old_varlena) && VARATT_IS_EXTERNAL_ONDISK(new_varlena))
			return memcmp(old_varlena, new_varlena, VARSIZE_EXTERNAL(old_varlena)) == 0;
	}
	return datum_image_eq(old_value, new_value, false, column->length);
}

/* Find which columns changed */
static void
find_changed(RowChange *change)
{
	RowPlan    *plan = change->plan;

	change->changed = palloc(sizeof(bool) * Max(plan->natts, 1));
	change->changed_count = 0;
	if (change->old_row)
		slot_getallattrs(change->old_row);
	if (change->new_row)
		slot_getallattrs(change->new_row);
	for (int i = 0; i < plan->natts; i++)
	{
		bool		changed = plan->columns[i].use != COLUMN_DROPPED;

		if (changed && change->old_row && change->new_row)
		{
			bool		old_null = change->old_row->tts_isnull[i];
			bool		new_null = change->new_row->tts_isnull[i];

			changed = old_null != new_null ||
				(!old_null && !same_value(&plan->columns[i], change->old_row->tts_values[i],
										  change->new_row->tts_values[i]));
		}
		change->changed[i] = changed;
		if (changed)
			change->changed_count++;
	}
}

/* Make a JSON string of text that stays where it is */
static void
string_value(JsonbValue *item, const char *string, int len)
{
	item->type = jbvString;
	item->val.string.val = (char *) string;
	item->val.string.len = len;
}

/* Take a document apart, which an object of ours is to contain */
static void
document_value(JsonbValue *item, Jsonb *document)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue *whole = NULL;
	JsonbValue	part;

	if (JB_ROOT_IS_SCALAR(document))
	{
		JsonbExtractScalar(&document->root, item);
		return;
	}
	iterator = JsonbIteratorInit(&document->root);
	while ((token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
		whole = pushJsonbValue(&state, token, token < WJB_BEGIN_ARRAY ? &part : NULL);
	*item = *whole;
}

/* Make JSON of a column's value, which is not NULL */
static void
column_value(JsonbValue *item, PlanColumn *column, Datum value)
{
	char		space[MAXDATELEN + 1];
	struct varlena *varlena;
	char	   *string;

	switch (column->json)
	{
		case JSON_FORM_INT:
			item->type = jbvNumeric;
			item->val.numeric = int64_to_numeric(column->length == 2 ? DatumGetInt16(value) :
												 column->length == 4 ? DatumGetInt32(value) :
												 DatumGetInt64(value));
			break;
		case JSON_FORM_BOOL:
			item->type = jbvBool;
			item->val.boolean = DatumGetBool(value);
			break;
		case JSON_FORM_TEXT:
			varlena = PG_DETOAST_DATUM_PACKED(value);
			string_value(item, VARDATA_ANY(varlena), VARSIZE_ANY_EXHDR(varlena));
			break;
		case JSON_FORM_TIME:
			string = pstrdup(JsonEncodeDateTime(space, value, column->type, NULL));
			string_value(item, string, strlen(string));
			break;
		case JSON_FORM_UUID:
			string = DatumGetCString(DirectFunctionCall1(uuid_out, value));
			string_value(item, string, strlen(string));
			break;
		case JSON_FORM_JSONB:
			document_value(item, DatumGetJsonbP(value));
			break;
		case JSON_FORM_OUTPUT:
			string = OutputFunctionCall(&column->function, value);
			string_value(item, string, strlen(string));
			break;
	}
}

/* Make an object of pairs, whose keys are in the order of jsonb: by length, then by bytes */
static void
object_value(JsonbValue *item, JsonbPair *pairs, int count)
{
	item->type = jbvObject;
	item->val.object.pairs = pairs;
	item->val.object.nPairs = count;
}

/* Give the readable primary key of a row, or NULL when it has none */
static Jsonb *
build_key(RowPlan *plan, TupleTableSlot *row)
{
	JsonbPair  *pairs;
	JsonbValue	object;
	int			count = 0;

	if (plan->key_count == 0)
		return NULL;
	pairs = palloc(sizeof(JsonbPair) * plan->key_count);
	for (int i = 0; i < plan->natts; i++)
	{
		int			at = plan->json_order[i];
		PlanColumn *column = &plan->columns[at];

		if (!column->is_key || row->tts_isnull[at])
			continue;
		string_value(&pairs[count].key, column->name, column->name_len);
		column_value(&pairs[count].value, column, row->tts_values[at]);
		count++;
	}
	object_value(&object, pairs, count);
	return JsonbValueToJsonb(&object);
}

/* Make an object of the plain values of one row; false when there are none */
static bool
plain_values(JsonbValue *item, RowChange *change, TupleTableSlot *row, bool only_changed)
{
	RowPlan    *plan = change->plan;
	JsonbPair  *pairs = palloc(sizeof(JsonbPair) * plan->natts);
	int			count = 0;

	for (int i = 0; i < plan->natts; i++)
	{
		int			at = plan->json_order[i];
		PlanColumn *column = &plan->columns[at];

		if (column->use != COLUMN_PLAIN || !change->changed[at])
			continue;
		/* a new or removed row: leave out NULLs and what stands elsewhere in the event */
		if (!only_changed &&
			(row->tts_isnull[at] || at + 1 == plan->subject || column->is_key))
			continue;
		string_value(&pairs[count].key, column->name, column->name_len);
		if (row->tts_isnull[at])
			pairs[count].value.type = jbvNull;
		else
			column_value(&pairs[count].value, column, row->tts_values[at]);
		count++;
	}
	object_value(item, pairs, count);
	return count > 0;
}

/*
 * Make an array of the names of the changed columns; of a new or removed row, of
 * those that have a value which is left out. False when it is empty.
 */
static bool
changed_names(JsonbValue *item, RowChange *change)
{
	RowPlan    *plan = change->plan;
	TupleTableSlot *only_row = change->old_row && change->new_row ? NULL :
		change->new_row ? change->new_row : change->old_row;

	item->type = jbvArray;
	item->val.array.rawScalar = false;
	item->val.array.nElems = 0;
	item->val.array.elems = palloc(sizeof(JsonbValue) * plan->natts);
	for (int i = 0; i < plan->natts; i++)
	{
		if (change->changed[i] &&
			(only_row == NULL || (plan->columns[i].use == COLUMN_NAMED && !only_row->tts_isnull[i])))
			string_value(&item->val.array.elems[item->val.array.nElems++],
						 plan->columns[i].name, plan->columns[i].name_len);
	}
	return item->val.array.nElems > 0;
}

/*
 * Give the plain facts of a change, or NULL when there are none. What a dump makes
 * of the document, read back, must be the same bytes: hence the order of keys.
 */
static Jsonb *
build_changed(RowChange *change)
{
	bool		is_update = change->old_row && change->new_row;
	JsonbPair	pairs[3];
	JsonbValue	object;
	int			count = 0;

	if (change->new_row && plain_values(&pairs[count].value, change, change->new_row, is_update))
		string_value(&pairs[count++].key, "new", strlen("new"));
	if (change->old_row && plain_values(&pairs[count].value, change, change->old_row, is_update))
		string_value(&pairs[count++].key, "old", strlen("old"));
	if ((is_update || change->plan->has_named) && changed_names(&pairs[count].value, change))
		string_value(&pairs[count++].key, "columns", strlen("columns"));
	if (count == 0)
		return NULL;
	object_value(&object, pairs, count);
	return JsonbValueToJsonb(&object);
}

/* Append a length-prefixed value to an image */
static void
append_image_bytes(StringInfo image, const void *bytes, Size len)
{
	uint32		length = pg_hton32((uint32) len);

	appendBinaryStringInfo(image, (char *) &length, sizeof(length));
	appendBinaryStringInfo(image, bytes, (int) len);
}

/* Append a value of an encrypted type to an image, without its equality tag */
static void
append_encrypted(StringInfo image, struct varlena *value)
{
	EnvelopeView view;
	uint8		family = 0;
	const char *bytes = VARDATA_ANY(value);
	Size		len = VARSIZE_ANY_EXHDR(value);
	char	   *plaintext = NULL;
	uint32		length;

	envelope_view(value, &view);
	if ((view.flags & ENVELOPE_FLAG_SEARCHABLE) != 0)
	{
		plaintext = envelope_open(value, &len);
		family = (uint8) view.family;
		bytes = plaintext;
		if (plaintext == NULL)
			len = 0;
	}
	length = pg_hton32((uint32) len + 1);
	appendBinaryStringInfo(image, (char *) &length, sizeof(length));
	appendStringInfoChar(image, (char) family);
	if (len > 0)
		appendBinaryStringInfo(image, bytes, (int) len);
	if (plaintext != NULL)
		memory_free_secret(plaintext, len);
}

/* Append a value, which is not NULL, to an image */
static void
append_image_value(StringInfo image, PlanColumn *column, Datum value)
{
	struct varlena *varlena;
	char	   *string;

	switch (column->format)
	{
		case IMAGE_ENCRYPTED:
			append_encrypted(image, PG_DETOAST_DATUM_PACKED(value));
			break;
		case IMAGE_BYTES:
			if (column->length > 0)
				append_image_bytes(image, DatumGetPointer(value), column->length);
			else
			{
				varlena = PG_DETOAST_DATUM_PACKED(value);
				append_image_bytes(image, VARDATA_ANY(varlena), VARSIZE_ANY_EXHDR(varlena));
			}
			break;
		case IMAGE_SEND:
			varlena = SendFunctionCall(&column->function, value);
			append_image_bytes(image, VARDATA_ANY(varlena), VARSIZE_ANY_EXHDR(varlena));
			break;
		case IMAGE_TEXT:
			string = OutputFunctionCall(&column->function, value);
			append_image_bytes(image, string, strlen(string));
			break;
	}
}

/* Tell whether there are values that are to be sealed */
static bool
changes_sealed(RowChange *change)
{
	RowPlan    *plan = change->plan;

	for (int i = 0; i < plan->natts; i++)
	{
		if (plan->columns[i].use == COLUMN_SEALED && change->changed[i] &&
			((change->old_row && !change->old_row->tts_isnull[i]) ||
			 (change->new_row && !change->new_row->tts_isnull[i])))
			return true;
	}
	return false;
}

/* Lay down the old and new values that are to be sealed */
static void
build_image(RowChange *change, StringInfo image)
{
	RowPlan    *plan = change->plan;
	bool		is_update = change->old_row && change->new_row;

	appendStringInfoChar(image, IMAGE_VERSION);
	for (int i = 0; i < plan->natts; i++)
	{
		PlanColumn *column = &plan->columns[i];
		bool		old_null = change->old_row == NULL || change->old_row->tts_isnull[i];
		bool		new_null = change->new_row == NULL || change->new_row->tts_isnull[i];
		uint8		flags = 0;

		if (column->use != COLUMN_SEALED || !change->changed[i] || (old_null && new_null))
			continue;
		if (!old_null)
			flags |= IMAGE_HAS_OLD;
		else if (is_update)
			flags |= IMAGE_OLD_NULL;
		if (!new_null)
			flags |= IMAGE_HAS_NEW;
		else if (is_update)
			flags |= IMAGE_NEW_NULL;
		appendStringInfoChar(image, (char) flags);
		appendBinaryStringInfo(image, column->image_prefix, column->image_prefix_len);
		if (!old_null)
			append_image_value(image, column, change->old_row->tts_values[i]);
		if (!new_null)
			append_image_value(image, column, change->new_row->tts_values[i]);
	}
}

/* Seal the values that are not public; NULL when there are none or the subject is erased */
static struct varlena *
seal_values(RowChange *change, const pg_uuid_t *subject)
{
	StringInfoData image;
	struct varlena *sealed;

	if (!changes_sealed(change))
		return NULL;

	/* nothing can be sealed for an erased subject, and nothing needs to be */
	if (subject != NULL && keyring_subject_is_erased(subject))
		return NULL;
	initStringInfo(&image);
	build_image(change, &image);
	sealed = envelope_seal(ENVELOPE_AUDIT, 0, DATA_CLASS_UNCLASSIFIED, subject, NULL,
						   image.data, image.len);
	memory_zero(image.data, image.len);
	return sealed;
}

/* Give the data subject of a row */
static bool
row_subject(RowPlan *plan, TupleTableSlot *row, pg_uuid_t *subject)
{
	int			at = plan->subject - 1;

	if (plan->governed == NULL)
		return false;
	return governed_row_subject(plan->governed, row->tts_values[at], row->tts_isnull[at], subject);
}

/* Record one change as one event */
static void
record_change(RowChange *change, AuditKind kind, const char *operation)
{
	TupleTableSlot *row = change->old_row ? change->old_row : change->new_row;
	AuditEvent	event = {0};
	pg_uuid_t	subject;

	event.kind = kind;
	event.relation = change->plan->relation;
	event.relation_len = change->plan->relation_len;
	event.operation = operation;
	event.operation_len = strlen(operation);
	if (row_subject(change->plan, row, &subject))
		event.subject = &subject;
	event.row_key = build_key(change->plan, row);
	event.changed = build_changed(change);
	event.sealed = seal_values(change, event.subject);
	event_insert(&event);
}

/* Tell whether a row was moved from one data subject to another */
static bool
subject_changed(RowChange *change)
{
	return change->plan->subject > 0 && change->old_row && change->new_row &&
		change->changed[change->plan->subject - 1];
}

/* Record a change; a row that changes its subject leaves one event with each */
static void
record_row(RowPlan *plan, AuditKind kind, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	RowChange	change = {.plan = plan, .old_row = old_row, .new_row = new_row};

	find_changed(&change);
	if (change.changed_count == 0)
		return;
	if (subject_changed(&change))
	{
		RowChange	leaving = {.plan = plan, .old_row = old_row};
		RowChange	arriving = {.plan = plan, .new_row = new_row};

		/* what one subject leaves behind must not be sealed under the other's key */
		find_changed(&leaving);
		find_changed(&arriving);
		record_change(&leaving, kind, "UPDATE FROM");
		record_change(&arriving, kind, "UPDATE TO");
		return;
	}
	record_change(&change, kind,
				  old_row == NULL ? "INSERT" : new_row == NULL ? "DELETE" : "UPDATE");
}

/* Check how a trigger function is called, and give the rows of its change */
static void
trigger_rows(FunctionCallInfo fcinfo, const char *function, TupleTableSlot **old_row,
			 TupleTableSlot **new_row)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s can only be called as an AFTER ROW trigger", function)));
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
	{
		*old_row = NULL;
		*new_row = trigger->tg_trigslot;
	}
	else
	{
		*old_row = trigger->tg_trigslot;
		*new_row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newslot : NULL;
	}
}

/* Trigger of governed relations: record the change of a row */
Datum
hub_audit_row(PG_FUNCTION_ARGS)
{
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	RowPlan    *plan;
	Relation	relation;

	trigger_rows(fcinfo, "hub.audit_row()", &old_row, &new_row);
	relation = ((TriggerData *) fcinfo->context)->tg_relation;
	plan = row_plan_governed(relation);
	if (plan == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_GOVERNED),
				 errmsg("relation \"%s\" is not governed, so its changes cannot be recorded",
						RelationGetRelationName(relation)),
				 errhint("Call hub.govern() on it, or drop trigger \"%s\".",
						 ((TriggerData *) fcinfo->context)->tg_trigger->tgname)));
	if (old_row != NULL && new_row != NULL && !plan->governed->update_seals)
		seal_check_row(plan->governed, relation, new_row);
	record_row(plan, AUDIT_ROW, old_row, new_row);
	return PointerGetDatum(NULL);
}

/*
 * Trigger of the hub's own tables: record who changed the configuration.
 *
 * Arguments name columns whose values are left out. A restore fills these
 * tables too, before the trail it brings along is there: that is no change.
 */
Datum
hub_audit_config(PG_FUNCTION_ARGS)
{
	Trigger    *trigger;
	TupleTableSlot *old_row;
	TupleTableSlot *new_row;
	RowPlan    *plan;

	trigger_rows(fcinfo, "hub.audit_config()", &old_row, &new_row);
	if (capture_is_restore())
		return PointerGetDatum(NULL);
	trigger = ((TriggerData *) fcinfo->context)->tg_trigger;
	plan = row_plan_config(((TriggerData *) fcinfo->context)->tg_relation,
						   trigger->tgargs, trigger->tgnargs);
	record_row(plan, AUDIT_CONFIG, old_row, new_row);
	return PointerGetDatum(NULL);
}
