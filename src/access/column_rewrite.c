/*
 * column_rewrite.c: what a column's rewriting does per row.
 *
 * A copy stands beside the column. This file's trigger keeps the copy in step
 * with what is written; batches send the older rows through the same trigger.
 * What becomes of the copy is decided in column_rewrite.sql.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "access/column_rewrite.h"
#include "access/govern.h"
#include "access/governed.h"
#include "access/protect.h"
#include "access/seal.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "foundation/memory.h"
#include "keyring/envelope.h"
#include "keyring/keyring.h"
#include "types/encrypted.h"

PG_FUNCTION_INFO_V1(hub_column_rewrite_step);
PG_FUNCTION_INFO_V1(hub_finish_tag_rotation);
PG_FUNCTION_INFO_V1(hub_run_as_owner);
PG_FUNCTION_INFO_V1(hub_copy_column);
PG_FUNCTION_INFO_V1(hub_fits_encrypted);
PG_FUNCTION_INFO_V1(hub_same_when_opened);

/* What a copy is made of, kept for the duration of a statement */
typedef struct CopyPlan
{
	AttrNumber	source;
	AttrNumber	copy;
	Oid			source_type;
	Oid			copy_type;
	int32		source_length;	/* attlen */
	bool		source_byval;
	bool		source_encrypted;
	bool		copy_encrypted;
	EnvelopeFamily family;		/* of the copy when that is encrypted */
	uint16		class_id;
} CopyPlan;

/* Is the engine comparing copies with their sources? */
static bool comparing = false;

/* Do one step of a rewriting for the owner of the relation */
Datum
hub_column_rewrite_step(PG_FUNCTION_ARGS)
{
	Oid			types[] = {REGCLASSOID, NAMEOID, TEXTOID, JSONBOID};
	Datum		values[4];
	char	   *result;

	govern_require_owner(govern_relation_argument(fcinfo, 0));
	for (int i = 0; i < 4; i++)
		values[i] = PG_GETARG_DATUM(i);
	result = govern_run_engine("SELECT hub.do_column_rewrite_step($1, $2, $3, $4)", 4, types, values, NULL);
	PG_RETURN_TEXT_P(cstring_to_text(result ? result : ""));
}

/* Do the last step of a rotation of tag keys; the step itself looks who calls */
Datum
hub_finish_tag_rotation(PG_FUNCTION_ARGS)
{
	char	   *result = govern_run_engine("SELECT hub.do_finish_tag_rotation()", 0, NULL, NULL, NULL);

	PG_RETURN_TEXT_P(cstring_to_text(result ? result : ""));
}

/*
 * Run a statement of the engine on a relation as the relation's owner.
 *
 * Ordinary triggers do not fire: what they react to is a change of a value, and
 * there is none. Returns the first column of the first row.
 */
Datum
hub_run_as_owner(PG_FUNCTION_ARGS)
{
	char	   *statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
	MemoryContext caller_context = CurrentMemoryContext;
	char	   *volatile result = NULL;
	bool		saved_comparing = comparing;
	int			engine_depth;
	int			guc_level;
	Oid			user;
	int			sec_context;

	if (!protect_in_engine())
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_PERMITTED),
				 errmsg("hub.run_as_owner() can only be called by the engine")));
	guc_level = NewGUCNestLevel();
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	govern_become_owner(PG_GETARG_OID(0), SECURITY_NOFORCE_RLS, &user, &sec_context);
	engine_depth = protect_suspend_engine();
	comparing = PG_GETARG_BOOL(2);
	PG_TRY();
	{
		SPI_connect();
		if (SPI_execute(statement, comparing, 0) < 0)
			elog(ERROR, "could not execute \"%s\"", statement);
		if (SPI_processed > 0 && SPI_tuptable != NULL)
		{
			char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

			if (value != NULL)
				result = MemoryContextStrdup(caller_context, value);
		}
		SPI_finish();
	}
	PG_FINALLY();
	{
		comparing = saved_comparing;
		protect_resume_engine(engine_depth);
		SetUserIdAndSecContext(user, sec_context);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, guc_level);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* Print a plain value in the form that the encrypted types take, whatever the session's settings */
static char *
plain_text(Oid type, Datum value, Size *len)
{
	char	   *text;

	switch (getBaseType(type))
	{
		case TEXTOID:
		case VARCHAROID:
			{
				struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

				*len = VARSIZE_ANY_EXHDR(bytes);
				return VARDATA_ANY(bytes);
			}
		case DATEOID:
			{
				DateADT		date = DatumGetDateADT(value);
				struct pg_tm tm;

				text = palloc(MAXDATELEN + 1);
				if (DATE_NOT_FINITE(date))
					EncodeSpecialDate(date, text);
				else
				{
					j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
					EncodeDateOnly(&tm, USE_ISO_DATES, text);
				}
				break;
			}
		case JSONBOID:
			{
				Jsonb	   *document = DatumGetJsonbP(value);

				text = JsonbToCString(NULL, &document->root, VARSIZE(document));
				break;
			}
		default:
			{
				Oid			output;
				bool		is_varlena;

				getTypeOutputInfo(type, &output, &is_varlena);
				text = OidOutputFunctionCall(output, value);
			}
	}
	*len = strlen(text);
	return text;
}

/* Find a column by name; raises CH307 when it was renamed or dropped */
static AttrNumber
find_column(Relation relation, const char *name)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(relation), name);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_COLUMN_REWRITE),
				 errmsg("column \"%s\" of relation \"%s\", which is being rewritten, does not exist",
						name, RelationGetRelationName(relation)),
				 errhint("Give it its name back, or call hub.cancel_column_rewrite().")));
	return attnum;
}

/*
 * Is this copy one that the engine has asked for?
 *
 * Anybody can write CREATE TRIGGER, and the owner can rename columns or give the
 * copy another type: one in plain text is only made of the column that an
 * approval is for. The name of the copy has the number of its source in it.
 */
static bool
copy_is_registered(Oid relid, const char *source, AttrNumber source_number, const char *copy,
				   bool opens)
{
	Oid			types[] = {REGCLASSOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[] = {
		ObjectIdGetDatum(relid),
		CStringGetTextDatum(source),
		CStringGetTextDatum(copy),
		CStringGetTextDatum(psprintf("hub_rewrite_%d", source_number)),
		BoolGetDatum(opens)
	};
	EngineScope scope;
	bool		registered;

	engine_begin(&scope);
	if (SPI_execute_with_args("SELECT 1 FROM hub.column_rewrite r"
							  " WHERE r.column_name OPERATOR(pg_catalog.=) $2::pg_catalog.name"
							  " AND r.copy_name OPERATOR(pg_catalog.=) $3::pg_catalog.name"
							  " AND r.copy_name OPERATOR(pg_catalog.=) $4::pg_catalog.name"
							  " AND (NOT $5 OR r.action OPERATOR(pg_catalog.=) 'decrypt')"
							  " AND r.finished_at IS NULL"
							  " AND (r.relation OPERATOR(pg_catalog.=) $1"
							  " OR EXISTS (SELECT FROM pg_catalog.pg_partition_ancestors($1) a"
							  " WHERE a.relid OPERATOR(pg_catalog.=) r.relation))",
							  5, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read hub.column_rewrite");
	registered = SPI_processed > 0;
	engine_end(&scope);
	return registered;
}

/* Raise the error for a copy that no rewriting has asked for */
static void
unasked_copy(Relation relation, Trigger *trigger)
{
	ereport(ERROR,
			(errcode(ERRCODE_CH_COLUMN_REWRITE),
			 errmsg("trigger \"%s\" of relation \"%s\" belongs to no rewriting of a column",
					trigger->tgname, RelationGetRelationName(relation)),
			 errhint("Drop the trigger; hub.encrypt_column() makes its own.")));
}

/* Work out what to copy from what, once for a statement */
static CopyPlan *
copy_plan(FunctionCallInfo fcinfo, Relation relation, Trigger *trigger)
{
	CopyPlan   *plan = fcinfo->flinfo->fn_extra;
	Form_pg_attribute source;
	Form_pg_attribute copy;
	EnvelopeFamily family;

	if (plan != NULL)
		return plan;
	if (trigger->tgnargs != 2)
		unasked_copy(relation, trigger);
	plan = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(CopyPlan));
	plan->source = find_column(relation, trigger->tgargs[0]);
	plan->copy = find_column(relation, trigger->tgargs[1]);
	source = TupleDescAttr(RelationGetDescr(relation), plan->source - 1);
	copy = TupleDescAttr(RelationGetDescr(relation), plan->copy - 1);
	plan->source_type = source->atttypid;
	plan->source_length = source->attlen;
	plan->source_byval = source->attbyval;
	plan->copy_type = copy->atttypid;
	plan->source_encrypted = encrypted_type_family(getBaseType(source->atttypid), &family);
	plan->copy_encrypted = encrypted_column_family(copy->atttypid, copy->atttypmod, &plan->family, &plan->class_id);
	if (!copy_is_registered(RelationGetRelid(relation), trigger->tgargs[0], plan->source,
							trigger->tgargs[1], plan->source_encrypted && !plan->copy_encrypted) ||
		(plan->source_encrypted && plan->copy_encrypted &&
		 (getBaseType(source->atttypid) != getBaseType(copy->atttypid) || source->atttypmod != copy->atttypmod)))
		unasked_copy(relation, trigger);
	fcinfo->flinfo->fn_extra = plan;
	return plan;
}

/* Raise the error for a plain value that is not valid for the encrypted type */
static void
invalid_value(Relation relation, const CopyPlan *plan, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("value of column \"%s\" is no valid input for type %s",
					NameStr(TupleDescAttr(RelationGetDescr(relation), plan->source - 1)->attname),
					format_type_be(plan->copy_type)),
			 errdetail("%s", reason),
			 errhint("The column is being encrypted; see hub.column_rewrite_progress.")));
}

/* Open a value for a copy in plain text; raises CH004 when its data subject is erased */
static Datum
open_for_copy(const CopyPlan *plan, struct varlena *value)
{
	Size		len;
	char	   *plaintext;
	Oid			input;
	Oid			parameter;
	Datum		opened;

	plaintext = envelope_open(value, &len);
	if (plaintext == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_SUBJECT_ERASED),
				 errmsg("the data subject has been erased"),
				 errhint("Set the column to NULL in rows of erased data subjects; nobody can open what it holds.")));
	getTypeInputInfo(plan->copy_type, &input, &parameter);
	opened = OidInputFunctionCall(input, plaintext, parameter, -1);
	memory_free_secret(plaintext, len);
	return opened;
}

/* Return the generation of tag keys that a copy of an encrypted column is made under */
static int
copy_generation(void)
{
	int			next = keyring_next_tag_generation();

	return next != 0 ? next : keyring_tag_generation();
}

/* Make the copy of a value */
static Datum
make_copy(const CopyPlan *plan, Relation relation, Datum value, const pg_uuid_t *subject)
{
	const char *reason = NULL;
	char	   *text;
	Size		len;
	struct varlena *sealed;

	if (!plan->copy_encrypted)
		return open_for_copy(plan, PG_DETOAST_DATUM_PACKED(value));
	if (plan->source_encrypted)
		return PointerGetDatum(encrypted_seal_anew(PG_DETOAST_DATUM_PACKED(value), copy_generation()));
	text = plain_text(plan->source_type, value, &len);
	sealed = encrypted_seal_plain(plan->family, text, len, plan->class_id, subject, &reason);
	if (sealed == NULL)
		invalid_value(relation, plan, reason);
	return PointerGetDatum(sealed);
}

/* Is a copy that was made before still right for a row that keeps its value? */
static bool
copy_still_stands(const CopyPlan *plan, Datum copy, const pg_uuid_t *subject)
{
	EnvelopeView view;

	if (!plan->copy_encrypted)
		return true;
	envelope_view(PG_DETOAST_DATUM_PACKED(copy), &view);
	if (plan->source_encrypted && (view.flags & ENVELOPE_FLAG_SEARCHABLE) != 0 &&
		envelope_tag_generation(&view) != copy_generation())
		return false;
	return subject == NULL || memcmp(&view.subject, subject, UUID_LEN) == 0;
}

/* Trigger: keep the copy of a column in step with it */
Datum
hub_copy_column(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	relation;
	TupleDesc	descriptor;
	const GovernedRelation *governed;
	CopyPlan   *plan;
	HeapTuple	old_tuple = NULL;
	HeapTuple	new_tuple;
	pg_uuid_t	subject;
	const pg_uuid_t *owner = NULL;
	Datum		value;
	Datum		copy = (Datum) 0;
	bool		isnull;
	int			column;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hub.copy_column must be called as a trigger BEFORE INSERT OR UPDATE FOR EACH ROW")));
	relation = trigger->tg_relation;
	descriptor = RelationGetDescr(relation);
	plan = copy_plan(fcinfo, relation, trigger->tg_trigger);
	new_tuple = trigger->tg_trigtuple;
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		old_tuple = trigger->tg_trigtuple;
		new_tuple = trigger->tg_newtuple;
	}
	governed = governed_lookup(RelationGetRelid(relation));
	if (governed != NULL)
	{
		seal_row_subject(governed, relation, new_tuple, &subject);
		owner = &subject;
	}

	value = heap_getattr(new_tuple, plan->source, descriptor, &isnull);
	if (!isnull && old_tuple != NULL)
	{
		bool		old_null;
		bool		old_copy_null;
		Datum		old_value = heap_getattr(old_tuple, plan->source, descriptor, &old_null);
		Datum		old_copy = heap_getattr(old_tuple, plan->copy, descriptor, &old_copy_null);

		if (!old_null && !old_copy_null &&
			datum_image_eq(old_value, value, plan->source_byval, plan->source_length) &&
			copy_still_stands(plan, old_copy, owner))
			copy = old_copy;
	}
	if (!isnull && copy == (Datum) 0)
		copy = make_copy(plan, relation, value, owner);
	column = plan->copy;
	return PointerGetDatum(heap_modify_tuple_by_cols(new_tuple, descriptor, 1, &column, &copy, &isnull));
}

/* Is a plain value valid for an encrypted type? NULL is */
Datum
hub_fits_encrypted(PG_FUNCTION_ARGS)
{
	Oid			type = PG_GETARG_OID(1);
	EnvelopeFamily family;
	const char *reason;
	char	   *text;
	Size		len;
	struct varlena *sealed;

	if (!encrypted_type_family(type, &family))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not an encrypted type", format_type_be(type))));
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(true);
	text = plain_text(get_fn_expr_argtype(fcinfo->flinfo, 0), PG_GETARG_DATUM(0), &len);
	sealed = encrypted_seal_plain(family, text, len, 0, NULL, &reason);
	PG_RETURN_BOOL(sealed != NULL);
}

/*
 * Does a copy hold what its source holds?
 *
 * It would answer guesses about values that have no equality, so only the
 * engine may ask.
 */
Datum
hub_same_when_opened(PG_FUNCTION_ARGS)
{
	EnvelopeFamily family;
	Oid			source_type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, 0));
	Oid			copy_type = getBaseType(get_fn_expr_argtype(fcinfo->flinfo, 1));
	bool		source_encrypted = encrypted_type_family(source_type, &family);
	char	   *text;
	Size		len;

	if (!comparing)
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_PERMITTED),
				 errmsg("hub.same_when_opened() can only be called by the engine")));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(PG_ARGISNULL(0) && PG_ARGISNULL(1));
	if (source_encrypted && encrypted_type_family(copy_type, &family))
		PG_RETURN_BOOL(encrypted_same_content(PG_GETARG_VARLENA_PP(0), PG_GETARG_VARLENA_PP(1)));
	text = plain_text(source_encrypted ? copy_type : source_type,
					  PG_GETARG_DATUM(source_encrypted ? 1 : 0), &len);
	PG_RETURN_BOOL(encrypted_holds_plain(PG_GETARG_VARLENA_PP(source_encrypted ? 0 : 1), text, len));
}
