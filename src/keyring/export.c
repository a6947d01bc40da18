/*
 * export.c: what an exported keyring is authenticated and compared with.
 */
#include "postgres.h"

#include <sodium.h>

#include "foundation/compat.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/rel.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "foundation/engine.h"
#include "foundation/errors.h"
#include "keyring/epoch.h"
#include "keyring/root_keys.h"
#include "keyring/wrap.h"

#define MAC_BYTES 32
#define MAC_MEMBER "mac"

PG_FUNCTION_INFO_V1(hub_keyring_mac);
PG_FUNCTION_INFO_V1(hub_same_subject_key);
PG_FUNCTION_INFO_V1(hub_keep_present_key);

/* Compute the MAC of a part of an exported keyring: jsonb prints equal values alike */
Datum
hub_keyring_mac(PG_FUNCTION_ARGS)
{
	int			epoch = PG_GETARG_INT32(1);
	Datum		bare = DirectFunctionCall2(jsonb_delete, PG_GETARG_DATUM(0),
										   CStringGetTextDatum(MAC_MEMBER));
	Jsonb	   *document = DatumGetJsonbP(bare);
	char	   *message = JsonbToCString(NULL, &document->root, VARSIZE(document));
	bytea	   *mac = palloc(VARHDRSZ + MAC_BYTES);
	uint8		key[crypto_generichash_KEYBYTES];

	epoch_check();
	epoch_require_root_key(epoch);
	SET_VARSIZE(mac, VARHDRSZ + MAC_BYTES);
	root_keys_derive(epoch, ROOT_USE_KEYRING_EXPORT, key, sizeof(key));
	crypto_generichash((uint8 *) VARDATA(mac), MAC_BYTES, (const uint8 *) message, strlen(message),
					   key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	PG_RETURN_BYTEA_P(mac);
}

/* Are two wrapped keys of a data subject the same key? NULL when one cannot be unwrapped */
Datum
hub_same_subject_key(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *subject = PG_GETARG_UUID_P(0);
	uint8		keys[2][WRAPPED_KEY_BYTES] = {0};
	bool		intact = true;
	bool		same;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	for (int i = 0; i < 2; i++)
	{
		if (PG_ARGISNULL(1 + 2 * i) || PG_ARGISNULL(2 + 2 * i) ||
			!root_keys_loaded(PG_GETARG_INT32(1 + 2 * i)))
			PG_RETURN_NULL();
	}
	for (int i = 0; i < 2; i++)
		intact = unwrap_key(ROOT_USE_WRAP_SUBJECT, subject, PG_GETARG_INT32(1 + 2 * i),
							PG_GETARG_BYTEA_PP(2 + 2 * i), keys[i]) && intact;
	same = sodium_memcmp(keys[0], keys[1], WRAPPED_KEY_BYTES) == 0;
	sodium_memzero(keys, sizeof(keys));
	if (!intact)
		PG_RETURN_NULL();
	PG_RETURN_BOOL(same);
}

/* Is there a key of that name already, in hub.subject_key or in hub.service_key? */
static bool
key_is_present(TriggerData *trigger)
{
	static SPIPlanPtr subject_plan = NULL;
	static SPIPlanPtr service_plan = NULL;
	Oid			types[2] = {UUIDOID, INT4OID};
	Datum		values[2];
	TupleDesc	descriptor = RelationGetDescr(trigger->tg_relation);
	bool		of_subject = TupleDescAttr(descriptor, 0)->atttypid == UUIDOID;
	bool		isnull;
	bool		present;
	EngineScope scope;

	for (int i = 0; i < 2; i++)
		values[i] = heap_getattr(trigger->tg_trigtuple, i + 1, descriptor, &isnull);
	engine_begin(&scope);
	if (of_subject)
		SPI_execute_plan(engine_prepare(&subject_plan,
										"SELECT FROM hub.subject_key k "
										"WHERE k.subject OPERATOR(pg_catalog.=) $1", 1, types),
						 values, NULL, false, 1);
	else
	{
		types[0] = TEXTOID;
		SPI_execute_plan(engine_prepare(&service_plan,
										"SELECT FROM hub.service_key k "
										"WHERE k.purpose OPERATOR(pg_catalog.=) $1 COLLATE \"C\" "
										"AND k.generation OPERATOR(pg_catalog.=) $2", 2, types),
						 values, NULL, false, 1);
	}
	present = SPI_processed > 0;
	engine_end(&scope);
	return present;
}

/*
 * Trigger: leave a key as it is when a dump is restored over an imported keyring.
 *
 * What the engine writes comes through SPI, and knows what it does; a restore
 * does not.
 */
Datum
hub_keep_present_key(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hub.keep_present_key must be called as a trigger BEFORE INSERT FOR EACH ROW")));
	if (!engine_within_spi() && key_is_present(trigger))
		return PointerGetDatum(NULL);
	return PointerGetDatum(trigger->tg_trigtuple);
}
