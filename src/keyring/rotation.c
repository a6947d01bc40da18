/*
 * rotation.c: what a rotation does with keys; its course is in rotation.sql.
 */
#include "postgres.h"

#include "foundation/compat.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "keyring/epoch.h"
#include "keyring/keyring.h"
#include "keyring/locked_memory.h"
#include "keyring/root_keys.h"
#include "keyring/service_keys.h"
#include "keyring/wrap.h"

PG_FUNCTION_INFO_V1(hub_current_epoch);
PG_FUNCTION_INFO_V1(hub_rewrap_subject_key);
PG_FUNCTION_INFO_V1(hub_wait_for_key_writers);
PG_FUNCTION_INFO_V1(hub_key_memory);

/* Return the epoch under which new keys are wrapped */
Datum
hub_current_epoch(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(epoch_current());
}

/* Wrap the key of a data subject under another epoch */
Datum
hub_rewrap_subject_key(PG_FUNCTION_ARGS)
{
	bytea	   *rewrapped = rewrap_key(ROOT_USE_WRAP_SUBJECT, PG_GETARG_UUID_P(0),
									   PG_GETARG_INT32(1), PG_GETARG_INT32(3),
									   PG_GETARG_BYTEA_PP(2));

	if (rewrapped == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_SEALED_VALUE_INVALID),
				 errmsg("the wrapped key of a data subject was altered"),
				 errhint("Restore hub.subject_key from a backup, or with hub.import_keyring().")));
	PG_RETURN_BYTEA_P(rewrapped);
}

/*
 * Wait for the transactions that may have made keys under an earlier epoch.
 *
 * Those that begin to make keys from now on go by the present one, so nobody is
 * kept from anything.
 */
Datum
hub_wait_for_key_writers(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, catalog_relation("subject_key"));
	WaitForLockers(tag, ShareLock, false);
	PG_RETURN_VOID();
}

/* Tell where the root keys come from, and whether this session's keys are in locked memory */
Datum
hub_key_memory(PG_FUNCTION_ARGS)
{
	TupleDesc	descriptor;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	const char *source = root_keys_source();

	if (get_call_result_type(fcinfo, NULL, &descriptor) != TYPEFUNC_COMPOSITE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("hub.key_memory must be called as a function that returns a row")));

	/* an answer needs an attempt */
	if (root_keys_any())
		(void) service_key(SERVICE_KEY_IDENTITY);
	nulls[0] = source == NULL;
	values[0] = source ? CStringGetTextDatum(source) : (Datum) 0;
	nulls[1] = !root_keys_any();
	values[1] = BoolGetDatum(locked_all());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(descriptor), values, nulls)));
}
