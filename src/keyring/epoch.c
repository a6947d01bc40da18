/*
 * epoch.c: which epochs the database has, and whether the loaded keys are theirs.
 */
#include "postgres.h"

#include <sodium.h>

#include "foundation/compat.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/builtins.h"

#include "foundation/catalog.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "keyring/epoch.h"
#include "keyring/keyring.h"
#include "keyring/locked_memory.h"
#include "keyring/root_keys.h"

/* Columns of hub.key_epoch */
#define ANUM_EPOCH 1
#define ANUM_FINGERPRINT 2
#define ANUM_RETIRED_AT 4

typedef struct KeyringShared
{
	pg_atomic_uint64 generation;
	pg_atomic_flag lock_refusal_told;
} KeyringShared;

static KeyringShared *shared = NULL;

/* What this backend knows of hub.key_epoch */
static CatalogCopy epochs = {.relation_name = "key_epoch"};
static int	current_epoch = 0;
static int	first_epoch = 0;
static bool any_registered = false;

/* What reading hub.key_epoch finds; 0 for none */
typedef struct EpochRange
{
	int			highest;		/* that is not retired */
	int			lowest;
} EpochRange;

PG_FUNCTION_INFO_V1(hub_open_keyring);
PG_FUNCTION_INFO_V1(hub_keyring_epochs);

/* Shared memory that the keyring needs */
Size
keyring_shmem_size(void)
{
	return MAXALIGN(sizeof(KeyringShared));
}

/* Set up or attach to the keyring's shared memory; the caller holds AddinShmemInitLock */
void
keyring_shmem_startup(void)
{
	bool		found;

	shared = ShmemInitStruct("customer_hub keyring", keyring_shmem_size(), &found);
	if (!found)
	{
		pg_atomic_init_u64(&shared->generation, 1);
		pg_atomic_init_flag(&shared->lock_refusal_told);
	}
	locked_share_warning(&shared->lock_refusal_told);
}

/* Return the counter that changes whenever cached keys may be stale */
uint64
epoch_generation(void)
{
	return pg_atomic_read_u64(&shared->generation);
}

/* Make every backend forget its cached keys */
void
epoch_bump_generation(void)
{
	pg_atomic_fetch_add_u64(&shared->generation, 1);
}

/* Raise CH001 unless the root key of an epoch is loaded */
void
epoch_require_root_key(int epoch)
{
	if (root_keys_loaded(epoch))
		return;
	if (root_keys_any())
		ereport(ERROR,
				(errcode(ERRCODE_CH_KEY_UNAVAILABLE),
				 errmsg("the encryption key of epoch %d is not loaded", epoch),
				 errhint("Put the key of epoch %d back in place and restart the server.", epoch)));
	ereport(ERROR,
			(errcode(root_keys_sqlstate()),
			 errmsg("%s", root_keys_problem()),
			 errhint("%s", root_keys_hint())));
}

/* Compute what identifies the root key of a loaded epoch without telling it */
static void
compute_fingerprint(int epoch, uint8 fingerprint[FINGERPRINT_BYTES])
{
	root_keys_derive(epoch, ROOT_USE_FINGERPRINT, fingerprint, FINGERPRINT_BYTES);
}

/* Raise CH002 when the loaded key of an epoch is another than the registered one */
static void
check_fingerprint(int epoch, const bytea *registered)
{
	uint8		fingerprint[FINGERPRINT_BYTES];

	if (!root_keys_loaded(epoch))
		return;
	compute_fingerprint(epoch, fingerprint);
	if (VARSIZE_ANY_EXHDR(registered) != FINGERPRINT_BYTES ||
		sodium_memcmp(fingerprint, VARDATA_ANY(registered), FINGERPRINT_BYTES) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_WRONG_KEY),
				 errmsg("the loaded key of epoch %d is not the key that this database was set up with",
						epoch),
				 errhint("Put the right key of epoch %d in place and restart the server; data sealed under it cannot be read otherwise.",
						 epoch)));
}

/* Check the fingerprint of an epoch and take it in */
static void
read_epoch(HeapTuple tuple, TupleDesc desc, void *state)
{
	EpochRange *range = state;
	bool		isnull;
	int			epoch = DatumGetInt32(heap_getattr(tuple, ANUM_EPOCH, desc, &isnull));
	Datum		fingerprint = heap_getattr(tuple, ANUM_FINGERPRINT, desc, &isnull);
	bool		living;

	(void) heap_getattr(tuple, ANUM_RETIRED_AT, desc, &living);
	check_fingerprint(epoch, DatumGetByteaPP(fingerprint));
	if (living)
		range->highest = Max(range->highest, epoch);
	if (range->lowest == 0 || epoch < range->lowest)
		range->lowest = epoch;
}

/* Read hub.key_epoch: find the current epoch and check every fingerprint */
static void
read_epochs(void)
{
	EpochRange	range = {0};

	if (!catalog_copy_read(&epochs, read_epoch, &range))
		return;
	any_registered = range.highest > 0;
	current_epoch = any_registered ? range.highest : Max(root_keys_highest_epoch(), 1);
	first_epoch = any_registered ? range.lowest : current_epoch;
}

/* Raise CH002 unless the loaded keys are the database's; cheap after the first time */
void
epoch_check(void)
{
	if (unlikely(!epochs.valid))
		read_epochs();
}

/* Return the epoch under which new keys are wrapped */
int
epoch_current(void)
{
	epoch_check();
	return current_epoch;
}

/* Return the first epoch that the database had: what was never stored comes from its key */
int
epoch_first(void)
{
	epoch_check();
	return first_epoch > 0 ? first_epoch : Max(root_keys_highest_epoch(), 1);
}

/* Watch hub.key_epoch; called once from keyring_init */
void
epoch_init(void)
{
	catalog_copy_watch(&epochs);
}

/*
 * Register the first epoch's fingerprint, unless the database has one already.
 *
 * Called before the first key is made, so that no value is ever sealed under a
 * root key that the database does not know.
 */
void
keyring_register_epoch(void)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {INT4OID, BYTEAOID};
	Datum		values[2];
	bytea	   *fingerprint;
	EngineScope scope;

	keyring_require();
	if (any_registered)
		return;
	fingerprint = palloc(VARHDRSZ + FINGERPRINT_BYTES);
	SET_VARSIZE(fingerprint, VARHDRSZ + FINGERPRINT_BYTES);
	compute_fingerprint(current_epoch, (uint8 *) VARDATA(fingerprint));
	values[0] = Int32GetDatum(current_epoch);
	values[1] = PointerGetDatum(fingerprint);

	engine_begin(&scope);
	SPI_execute_plan(engine_prepare(&plan,
									"INSERT INTO hub.key_epoch (epoch, fingerprint) VALUES ($1, $2) "
									"ON CONFLICT DO NOTHING", 2, types),
					 values, NULL, false, 0);
	engine_end(&scope);
	epochs.valid = false;
	epoch_check();
}

/* Register the first epoch when a key is loaded; tell whether one is */
Datum
hub_open_keyring(PG_FUNCTION_ARGS)
{
	if (!keyring_available())
		PG_RETURN_BOOL(false);
	keyring_register_epoch();
	PG_RETURN_BOOL(true);
}

/* Return one row per loaded epoch: number and fingerprint */
Datum
hub_keyring_epochs(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int epoch = 1; epoch <= root_keys_highest_epoch(); epoch++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};
		bytea	   *fingerprint;

		if (!root_keys_loaded(epoch))
			continue;
		fingerprint = palloc(VARHDRSZ + FINGERPRINT_BYTES);
		SET_VARSIZE(fingerprint, VARHDRSZ + FINGERPRINT_BYTES);
		compute_fingerprint(epoch, (uint8 *) VARDATA(fingerprint));
		values[0] = Int32GetDatum(epoch);
		values[1] = PointerGetDatum(fingerprint);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
