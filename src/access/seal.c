/*
 * seal.c: the BEFORE ROW trigger that binds what is written to its data subject.
 *
 * It is what makes the type and not the caller protect: whatever way a row comes
 * in, its encrypted values leave this function sealed under the subject's key.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/executor.h"
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

/* Take the data subject of a row from its column; raises CH302 when it has none */
static void
require_subject(const GovernedRelation *governed, Relation relation, Datum value, bool isnull,
				pg_uuid_t *subject)
{
	if (!governed_row_subject(governed, value, isnull, subject))
		ereport(ERROR,
				(errcode(ERRCODE_CH_SUBJECT_COLUMN),
				 errmsg("a row of governed table \"%s\" must name its data subject",
						RelationGetRelationName(relation)),
				 errhint("Give column \"%s\" a value.",
						 NameStr(TupleDescAttr(RelationGetDescr(relation),
											   governed->subject - 1)->attname))));
}

/* Return the data subject of a row; raises CH302 when it has none */
void
seal_row_subject(const GovernedRelation *governed, Relation relation, HeapTuple tuple,
				 pg_uuid_t *subject)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, governed->subject, RelationGetDescr(relation), &isnull);

	require_subject(governed, relation, value, isnull, subject);
}

/* Let the policies know of a subdivision that occurs for the first time */
static void
note_region(Datum value, bool isnull)
{
	if (!isnull && !region_is_country(DatumGetRegion(value)))
		region_note_use(DatumGetRegion(value));
}

/*
 * Leave the sealing trigger out where it has nothing to seal: a BEFORE trigger
 * has each row locked before it is changed, which is written to the WAL. The
 * triggers of a running statement are its own copy, made when it started.
 */
void
seal_leave_out(QueryDesc *query_desc)
{
	ModifyTableState *state;

	if (query_desc->planstate == NULL || !IsA(query_desc->planstate, ModifyTableState))
		return;
	state = castNode(ModifyTableState, query_desc->planstate);
	for (int i = 0; i < state->mt_nrels; i++)
	{
		ResultRelInfo *target = &state->resultRelInfo[i];
		const GovernedRelation *governed;

		if (target->ri_TrigDesc == NULL || !target->ri_TrigDesc->trig_update_before_row)
			continue;
		governed = governed_lookup(RelationGetRelid(target->ri_RelationDesc));
		if (governed != NULL && !governed->update_seals)
			target->ri_TrigDesc->trig_update_before_row = false;
	}
}

/* Look at a row that was written without the sealing trigger; see seal.h */
void
seal_check_row(const GovernedRelation *governed, Relation relation, TupleTableSlot *row)
{
	bool		isnull;
	Datum		value = slot_getattr(row, governed->subject, &isnull);
	pg_uuid_t	subject;

	require_subject(governed, relation, value, isnull, &subject);
	if (governed->region == 0)
		return;
	value = slot_getattr(row, governed->region, &isnull);
	note_region(value, isnull);
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
	if (governed->region > 0)
	{
		bool		isnull;
		Datum		region = heap_getattr(new_tuple, governed->region, RelationGetDescr(relation), &isnull);

		note_region(region, isnull);
	}
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
