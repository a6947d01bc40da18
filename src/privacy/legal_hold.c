/*
 * legal_hold.c: the lowest point at which a legal hold is honoured.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "access/governed.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

PG_FUNCTION_INFO_V1(hub_refuse_if_held);
PG_FUNCTION_INFO_V1(hub_refuse_held_row);

/* Raise CH501 when a hold is in force on the subject */
static void
refuse_if_held(pg_uuid_t *subject)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[1] = {UUIDOID};
	Datum		values[1];
	uint64		holds;
	EngineScope scope;

	values[0] = UUIDPGetDatum(subject);
	engine_begin(&scope);
	SPI_execute_plan(engine_prepare(&plan,
									"SELECT FROM hub.held_subject h "
									"WHERE h.subject OPERATOR(pg_catalog.=) $1", 1, types),
					 values, NULL, false, 1);
	holds = SPI_processed;
	engine_end(&scope);
	if (holds > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_LEGAL_HOLD),
				 errmsg("the data subject is under a legal hold"),
				 errhint("Its data can go when hub.release_hold() has ended every hold on it.")));
}

/* Raise CH501 when the given subject is under a legal hold */
Datum
hub_refuse_if_held(PG_FUNCTION_ARGS)
{
	refuse_if_held(PG_GETARG_UUID_P(0));
	PG_RETURN_VOID();
}

/* Keep the rows of held subjects, whoever deletes and by whatever path */
Datum
hub_refuse_held_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	const GovernedRelation *governed;
	pg_uuid_t	subject;
	Datum		value;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hub.refuse_held_row() must be fired before a row is deleted")));

	governed = governed_lookup(RelationGetRelid(trigger->tg_relation));
	if (governed != NULL)
	{
		value = heap_getattr(trigger->tg_trigtuple, governed->subject,
							 RelationGetDescr(trigger->tg_relation), &isnull);
		if (governed_row_subject(governed, value, isnull, &subject))
			refuse_if_held(&subject);
	}
	PG_RETURN_POINTER(trigger->tg_trigtuple);
}
