/*
 * seal.c: the BEFORE ROW trigger that binds what is written to its data subject.
 *
 * It is what makes the type and not the caller protect: whatever way a row comes
 * in, its encrypted values leave this function sealed under the subject's key.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "access/governed.h"
#include "access/region_use.h"
#include "access/seal.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"
#include "types/encrypted.h"
#include "types/region.h"

PG_FUNCTION_INFO_V1(hub_seal_row);

/* Return the data subject of a row; raises CH302 when it has none */
void
seal_row_subject(const GovernedRelation *governed, Relation relation, HeapTuple tuple,
				 pg_uuid_t *subject)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, governed->subject, RelationGetDescr(relation), &isnull);

	if (!governed_row_subject(governed, value, isnull, subject))
		ereport(ERROR,
				(errcode(ERRCODE_CH_SUBJECT_COLUMN),
				 errmsg("a row of governed table \"%s\" must name its data subject",
						RelationGetRelationName(relation)),
				 errhint("Give column \"%s\" a value.",
						 NameStr(TupleDescAttr(RelationGetDescr(relation),
											   governed->subject - 1)->attname))));
}

/* Let the policies know of a subdivision that occurs for the first time */
static void
note_region(const GovernedRelation *governed, Relation relation, HeapTuple tuple)
{
	bool		isnull;
	Datum		value;

	if (governed->region == 0)
		return;
	value = heap_getattr(tuple, governed->region, RelationGetDescr(relation), &isnull);
	if (!isnull && !region_is_country(DatumGetRegion(value)))
		region_note_use(DatumGetRegion(value));
}

/* Bind every encrypted value of a row to the row's data subject and the column's class */
Datum
hub_seal_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Relation	relation;
	TupleDesc	descriptor;
	const GovernedRelation *governed;
	HeapTuple	old_tuple = NULL;
	HeapTuple	new_tuple;
	pg_uuid_t	subject;
	int			column_count;
	GovernedColumn *governed_columns;
	int			changed = 0;
	int		   *columns;
	Datum	   *values;
	bool	   *nulls;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hub.seal_row must be called as a trigger BEFORE INSERT OR UPDATE FOR EACH ROW")));
	relation = trigger->tg_relation;
	governed = governed_lookup(RelationGetRelid(relation));
	if (governed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_GOVERNED),
				 errmsg("table \"%s\" is not governed", RelationGetRelationName(relation)),
				 errhint("Call hub.govern() on it, or drop trigger \"%s\".",
						 trigger->tg_trigger->tgname)));

	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		old_tuple = trigger->tg_trigtuple;
		new_tuple = trigger->tg_newtuple;
	}
	else
		new_tuple = trigger->tg_trigtuple;

	/* the entry may be gone once a region is noted or a key is made: keep what is needed */
	column_count = governed->natts;
	governed_columns = palloc(column_count * sizeof(GovernedColumn));
	memcpy(governed_columns, governed->columns, column_count * sizeof(GovernedColumn));
	seal_row_subject(governed, relation, new_tuple, &subject);
	note_region(governed, relation, new_tuple);
	if (old_tuple == NULL && keyring_subject_is_erased(&subject))
		ereport(ERROR,
				(errcode(ERRCODE_CH_SUBJECT_ERASED),
				 errmsg("the data subject has been erased"),
				 errhint("Nothing can be stored for an erased data subject; a person who returns is a new data subject.")));

	descriptor = RelationGetDescr(relation);
	columns = palloc(descriptor->natts * sizeof(int));
	values = palloc(descriptor->natts * sizeof(Datum));
	nulls = palloc0(descriptor->natts * sizeof(bool));
	for (int i = 0; i < column_count; i++)
	{
		const GovernedColumn *column = &governed_columns[i];
		bool		isnull;
		Datum		value;
		struct varlena *old_value = NULL;
		struct varlena *bound;

		if (!column->encrypted && !column->nested)
			continue;
		value = heap_getattr(new_tuple, i + 1, descriptor, &isnull);
		if (isnull)
			continue;
		if (column->nested)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of governed table \"%s\" holds encrypted values inside others",
							NameStr(TupleDescAttr(descriptor, i)->attname),
							RelationGetRelationName(relation)),
					 errhint("Values in arrays and composites cannot be sealed for a data subject; keep them in a table of their own.")));
		if (old_tuple != NULL)
		{
			Datum		old = heap_getattr(old_tuple, i + 1, descriptor, &isnull);

			if (!isnull)
				old_value = PG_DETOAST_DATUM_PACKED(old);
		}
		bound = encrypted_bind(PG_DETOAST_DATUM_PACKED(value), old_value, column->family,
							   column->class_id, &subject);
		if (PointerGetDatum(bound) == value)
			continue;
		columns[changed] = i + 1;
		values[changed] = PointerGetDatum(bound);
		changed++;
	}
	if (changed > 0)
		new_tuple = heap_modify_tuple_by_cols(new_tuple, descriptor, changed, columns, values, nulls);
	return PointerGetDatum(new_tuple);
}
