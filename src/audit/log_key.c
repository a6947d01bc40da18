/*
 * log_key.c: the keys that checkpoints are signed with, one after the other.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "audit/block.h"
#include "audit/checkpoint.h"
#include "audit/log_key.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "keyring/keyring.h"

static SPIPlanPtr changes_plan = NULL;

PG_FUNCTION_INFO_V1(hub_audit_public_key);
PG_FUNCTION_INFO_V1(hub_audit_key_name);
PG_FUNCTION_INFO_V1(hub_audit_keys);

/* Read the changes of the key; see log_key.h */
LogKeys *
log_keys_read(void)
{
	LogKeys    *keys = palloc0(sizeof(LogKeys));

	SPI_execute_plan(engine_prepare(&changes_plan,
									"SELECT k.generation, k.xid FROM hub.audit_key k "
									"ORDER BY k.generation", 0, NULL),
					 NULL, NULL, true, 0);
	keys->count = (int) SPI_processed;
	keys->changes = palloc(sizeof(LogKeyChange) * (keys->count + 1));
	for (int i = 0; i < keys->count; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	tupdesc = SPI_tuptable->tupdesc;
		bool		isnull;

		keys->changes[i].generation = DatumGetInt32(SPI_getbinval(tuple, tupdesc, 1, &isnull));
		keys->changes[i].xid = DatumGetUInt64(SPI_getbinval(tuple, tupdesc, 2, &isnull));
	}
	SPI_freetuptable(SPI_tuptable);
	return keys;
}

/* Say which key signs after a block: that of the last change it sees */
int
log_keys_after(const LogKeys *keys, const AuditBlock *block)
{
	if (block == NULL)
		return KEYRING_FIRST_GENERATION;
	for (int i = keys->count - 1; i >= 0; i--)
	{
		if (block_sees(block, keys->changes[i].xid))
			return keys->changes[i].generation;
	}
	return KEYRING_FIRST_GENERATION;
}

/* Say which keys sign the log of a size, which it has or had */
CheckpointKeys
log_keys_of_size(const LogKeys *keys, uint64 size)
{
	AuditBlock	block;
	CheckpointKeys signers = {KEYRING_FIRST_GENERATION, KEYRING_FIRST_GENERATION};

	if (size > 1 && block_by_number((int64) size - 2, &block))
		signers.before = log_keys_after(keys, &block);
	if (size > 0 && block_by_number((int64) size - 1, &block))
		signers.now = log_keys_after(keys, &block);
	return signers;
}

/* Return the public key of a generation; NULL before the log has a name */
Datum
hub_audit_key_name(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	int			generation = PG_GETARG_INT32(0);
	char	   *origin;
	text	   *result = NULL;

	SPI_connect();
	origin = checkpoint_origin();
	if (origin != NULL)
	{
		char	   *key = checkpoint_public_key(origin, generation);
		MemoryContext old_context = MemoryContextSwitchTo(caller);

		result = cstring_to_text(key);
		MemoryContextSwitchTo(old_context);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/* Return the public key that the last checkpoint is verified with */
Datum
hub_audit_public_key(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	AuditBlock	last;
	text	   *result = NULL;

	SPI_connect();
	if (block_last(&last))
	{
		char	   *key = checkpoint_public_key(checkpoint_origin(),
												log_keys_after(log_keys_read(), &last));
		MemoryContext old_context = MemoryContextSwitchTo(caller);

		result = cstring_to_text(key);
		MemoryContextSwitchTo(old_context);
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}

/* Return every key, and the checkpoint it began with */
Datum
hub_audit_keys(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AuditBlock	last;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	if (block_last(&last))
	{
		LogKeys    *keys = log_keys_read();
		char	   *origin = checkpoint_origin();

		for (int i = -1; i < keys->count; i++)
		{
			int			generation = i < 0 ? KEYRING_FIRST_GENERATION : keys->changes[i].generation;
			bool		nulls[4] = {false, false, false, i < 0};
			Datum		values[4] = {0};
			AuditBlock	block;

			values[0] = Int32GetDatum(generation);
			values[1] = CStringGetTextDatum(checkpoint_public_key(origin, generation));
			values[2] = Int64GetDatum(1);
			if (i >= 0)
			{
				nulls[2] = nulls[3] = !block_of_transaction(keys->changes[i].xid, last.number,
															&block);
				if (!nulls[2])
				{
					values[2] = Int64GetDatum(block.number + 1);
					values[3] = CStringGetTextDatum(block.checkpoint);
				}
			}
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	PopActiveSnapshot();
	SPI_finish();
	return (Datum) 0;
}
