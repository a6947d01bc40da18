/*
 * service_keys.c: where hub-wide keys come from.
 *
 * A hub begins with keys derived from the root key of its first epoch. The first
 * rotation stores them in hub.service_key, wrapped like the keys of subjects, so
 * that the root key of the first epoch can go.
 */
#include "postgres.h"

#include <sodium.h>

#include "foundation/compat.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "keyring/epoch.h"
#include "keyring/locked_memory.h"
#include "keyring/root_keys.h"
#include "keyring/service_keys.h"
#include "keyring/wrap.h"

#define SIGNING_KEY_COUNT (SIGNING_KEY_RECEIPT + 1)

/* Columns of hub.service_key */
#define ANUM_PURPOSE 1
#define ANUM_GENERATION 2
#define ANUM_EPOCH 3
#define ANUM_WRAPPED 4

/* Authenticates tokens of the epoch that its generation names */
#define PURPOSE_TOKEN "token"

/* What a hub-wide key is called in hub.service_key, and how it is derived before it is there */
typedef struct Purpose
{
	const char *name;
	uint64		use;
} Purpose;

static const Purpose purposes[] = {
	{"tag_text", ROOT_USE_SERVICE + SERVICE_KEY_TAG_TEXT},
	{"tag_email", ROOT_USE_SERVICE + SERVICE_KEY_TAG_EMAIL},
	{"tag_phone", ROOT_USE_SERVICE + SERVICE_KEY_TAG_PHONE},
	{"tag_date", ROOT_USE_SERVICE + SERVICE_KEY_TAG_DATE},
	{"tag_jsonb", ROOT_USE_SERVICE + SERVICE_KEY_TAG_JSONB},
	{"pseudonym", ROOT_USE_SERVICE + SERVICE_KEY_PSEUDONYM},
	{"unbound", ROOT_USE_SERVICE + SERVICE_KEY_UNBOUND},
	{"audit_event", ROOT_USE_SERVICE + SERVICE_KEY_AUDIT_EVENT},
	{"suppression", ROOT_USE_SERVICE + SERVICE_KEY_SUPPRESSION},
	{"event", ROOT_USE_SERVICE + SERVICE_KEY_EVENT},
	{"checkpoint", ROOT_USE_SIGNING + SIGNING_KEY_CHECKPOINT},
	{"receipt", ROOT_USE_SIGNING + SIGNING_KEY_RECEIPT},
	{"word", ROOT_USE_SERVICE + SERVICE_KEY_WORD},
	{"verification", ROOT_USE_SERVICE + SERVICE_KEY_VERIFICATION},
};

/* Keys of this backend, in locked memory; found when first used */
typedef struct ServiceKeys
{
	bool		service_known[SERVICE_KEY_LAST + 1];
	uint8		service[SERVICE_KEY_LAST + 1][SERVICE_KEY_BYTES];
	int			tag_generation[SERVICE_KEY_LAST + 1];	/* of what is in tag, or 0 */
	uint8		tag[SERVICE_KEY_LAST + 1][SERVICE_KEY_BYTES];
	int			signing_generation[SIGNING_KEY_COUNT];	/* of what is below, or 0 */
	uint8		signing_seed[crypto_sign_SEEDBYTES];
	uint8		signing_secret[SIGNING_KEY_COUNT][crypto_sign_SECRETKEYBYTES];
	uint8		signing_public[SIGNING_KEY_COUNT][crypto_sign_PUBLICKEYBYTES];
} ServiceKeys;

static ServiceKeys *keys = NULL;
static int	keys_pid = 0;
static bool keys_stale = false;
static Oid	service_key_relid = InvalidOid;

PG_FUNCTION_INFO_V1(hub_service_key_purposes);
PG_FUNCTION_INFO_V1(hub_wrap_service_key);
PG_FUNCTION_INFO_V1(hub_new_service_key);

/* Look again when hub.service_key changes, here or on the primary of a standby */
static void
forget_relation(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || !OidIsValid(service_key_relid) || relid == service_key_relid)
		keys_stale = true;
}

/* Watch hub.service_key; called once from keyring_init */
void
service_keys_init(void)
{
	catalog_watch_relations(forget_relation);
}

/* Does a key depend on nothing but the running server? Then it needs no catalog */
static inline bool
is_ephemeral(ServiceKey key)
{
	return key == SERVICE_KEY_IDENTITY || key == SERVICE_KEY_TRANSIT;
}

/* Make this backend's keys, or forget what may be out of date of them */
static pg_noinline ServiceKeys *
refresh_keys(void)
{
	if (keys_pid != MyProcPid)
	{
		/* what the parent has stays with the parent */
		keys = locked_alloc(sizeof(ServiceKeys));
		keys_pid = MyProcPid;
		keys_stale = false;
	}
	else if (keys_stale)
	{
		for (ServiceKey key = 0; key <= SERVICE_KEY_LAST; key++)
		{
			if (!is_ephemeral(key))
				keys->service_known[key] = false;
		}
		memset(keys->tag_generation, 0, sizeof(keys->tag_generation));
		memset(keys->signing_generation, 0, sizeof(keys->signing_generation));
		keys_stale = false;
	}
	return keys;
}

/* Return this backend's keys; asked for with each value that is sealed */
static inline ServiceKeys *
known_keys(void)
{
	if (likely(keys_pid == MyProcPid && !keys_stale))
		return keys;
	return refresh_keys();
}

/* Name a service key as what is bound to it when it is wrapped: purpose number and generation */
static void
fill_wrap_name(uint32 purpose, int generation, pg_uuid_t *name)
{
	uint32		words[4] = {0, 0, pg_hton32(purpose), pg_hton32((uint32) generation)};

	memcpy(name->data, words, UUID_LEN);
}

/* Return the number by which a purpose is bound; raises an error when there is no such purpose */
static uint32
purpose_number(const char *purpose)
{
	if (strcmp(purpose, PURPOSE_TOKEN) == 0)
		return ROOT_USE_SEALED_TOKEN;
	for (int i = 0; i < lengthof(purposes); i++)
	{
		if (strcmp(purpose, purposes[i].name) == 0)
			return (uint32) purposes[i].use;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no service key of purpose \"%s\"", purpose)));
}

/* Return the name of a derivation's purpose */
static const char *
purpose_name(uint64 use)
{
	for (int i = 0; i < lengthof(purposes); i++)
	{
		if (purposes[i].use == use)
			return purposes[i].name;
	}
	return PURPOSE_TOKEN;
}

/* Read a key from hub.service_key into locked memory; false when it is not there */
static bool
read_stored(uint64 use, int generation, uint8 *key)
{
	const char *name = purpose_name(use);
	Relation	relation;
	ScanKeyData scan_keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;
	bool		intact = true;

	service_key_relid = catalog_relation_if_exists("service_key");
	if (!OidIsValid(service_key_relid))
		return false;
	relation = table_open(service_key_relid, AccessShareLock);
	ScanKeyInit(&scan_keys[0], ANUM_PURPOSE, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	ScanKeyInit(&scan_keys[1], ANUM_GENERATION, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(generation));
	scan = systable_beginscan(relation, catalog_relation("service_key_pkey"), true, NULL, 2,
							  scan_keys);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		TupleDesc	descriptor = RelationGetDescr(relation);
		bool		isnull;
		int			epoch = DatumGetInt32(heap_getattr(tuple, ANUM_EPOCH, descriptor, &isnull));
		Datum		wrapped = heap_getattr(tuple, ANUM_WRAPPED, descriptor, &isnull);
		pg_uuid_t	wrap_name;

		fill_wrap_name((uint32) use, generation, &wrap_name);
		intact = unwrap_key(ROOT_USE_WRAP_SERVICE, &wrap_name, epoch, DatumGetByteaPP(wrapped),
							key);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	if (!intact)
		ereport(ERROR,
				(errcode(ERRCODE_CH_SEALED_VALUE_INVALID),
				 errmsg("the wrapped service key \"%s\" was altered", name),
				 errhint("Restore hub.service_key from a backup, or with hub.import_keyring().")));
	return found;
}

/* Find a key where it is stored, or derive it as a hub does that has not rotated yet */
static void
find_key(uint64 use, int generation, uint8 *key)
{
	int			epoch;

	if (IsTransactionState() && read_stored(use, generation, key))
		return;
	if (generation != KEYRING_FIRST_GENERATION)
		ereport(ERROR,
				(errcode(ERRCODE_CH_KEY_UNAVAILABLE),
				 errmsg("service key \"%s\" of generation %d is missing from hub.service_key",
						purpose_name(use), generation),
				 errhint("Restore hub.service_key from a backup, or with hub.import_keyring().")));
	epoch = epoch_first();
	epoch_require_root_key(epoch);
	root_keys_derive(epoch, use, key, SERVICE_KEY_BYTES);
}

/* Return the key for tags of a generation */
const uint8 *
service_key_of_generation(ServiceKey key, int generation)
{
	ServiceKeys *known;

	epoch_check();
	known = known_keys();
	if (known->tag_generation[key] != generation)
	{
		known->tag_generation[key] = 0;
		find_key(ROOT_USE_SERVICE + key, generation, known->tag[key]);
		known->tag_generation[key] = generation;
	}
	return known->tag[key];
}

/* Return a hub-wide key, finding it when first used in this backend */
const uint8 *
service_key(ServiceKey key)
{
	ServiceKeys *known = known_keys();

	if (!is_ephemeral(key))
		epoch_check();
	if (!known->service_known[key])
	{
		if (key == SERVICE_KEY_TRANSIT)
			randombytes_buf(known->service[key], SERVICE_KEY_BYTES);
		else if (key == SERVICE_KEY_IDENTITY)
		{
			/* lives as long as a transaction, and is the server's: any epoch will do */
			int			epoch = root_keys_highest_epoch();

			epoch_require_root_key(epoch);
			root_keys_derive(epoch, ROOT_USE_SERVICE + key, known->service[key],
							 SERVICE_KEY_BYTES);
		}
		else
			find_key(ROOT_USE_SERVICE + key, KEYRING_FIRST_GENERATION, known->service[key]);
		known->service_known[key] = true;
	}
	return known->service[key];
}

/* Have the signing key pair of a generation ready */
static ServiceKeys *
with_signing_key(SigningKey key, int generation)
{
	ServiceKeys *known = known_keys();

	epoch_check();
	if (known->signing_generation[key] != generation)
	{
		known->signing_generation[key] = 0;
		find_key(ROOT_USE_SIGNING + key, generation, known->signing_seed);
		crypto_sign_seed_keypair(known->signing_public[key], known->signing_secret[key],
								 known->signing_seed);
		sodium_memzero(known->signing_seed, sizeof(known->signing_seed));
		known->signing_generation[key] = generation;
	}
	return known;
}

/* Return the secret part of a signing key pair */
const uint8 *
signing_key_secret(SigningKey key, int generation)
{
	return with_signing_key(key, generation)->signing_secret[key];
}

/* Return the public part of a signing key pair */
const uint8 *
signing_key_public(SigningKey key, int generation)
{
	return with_signing_key(key, generation)->signing_public[key];
}

/* Give the key of an epoch's tokens: derived, or as it was kept when the epoch was left */
bool
service_keys_token_key(int epoch, uint8 key[SERVICE_KEY_BYTES])
{
	if (root_keys_loaded(epoch))
	{
		root_keys_derive(epoch, ROOT_USE_SEALED_TOKEN, key, SERVICE_KEY_BYTES);
		return true;
	}
	return IsTransactionState() && read_stored(ROOT_USE_SEALED_TOKEN, epoch, key);
}

/* Return the purposes of all hub-wide keys that are stored in generations from 1 on */
Datum
hub_service_key_purposes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < lengthof(purposes); i++)
	{
		Datum		values[1] = {CStringGetTextDatum(purposes[i].name)};
		bool		nulls[1] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/* Wrap a hub-wide key, wherever it is now, under an epoch; NULL when there is none */
Datum
hub_wrap_service_key(PG_FUNCTION_ARGS)
{
	uint32		use = purpose_number(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	int			generation = PG_GETARG_INT32(1);
	int			epoch = PG_GETARG_INT32(2);
	bytea	   *volatile wrapped = NULL;
	pg_uuid_t	name;
	uint8	   *key;

	epoch_check();
	fill_wrap_name(use, generation, &name);
	key = locked_alloc(SERVICE_KEY_BYTES);
	PG_TRY();
	{
		bool		found = true;

		if (use == ROOT_USE_SEALED_TOKEN)
			found = service_keys_token_key(generation, key);
		else
			find_key(use, generation, key);
		if (found)
			wrapped = wrap_key(ROOT_USE_WRAP_SERVICE, &name, epoch, key);
	}
	PG_FINALLY();
	{
		sodium_free(key);
	}
	PG_END_TRY();
	if (wrapped == NULL)
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(wrapped);
}

/* Make a key for a new generation of a purpose, wrapped under an epoch */
Datum
hub_new_service_key(PG_FUNCTION_ARGS)
{
	pg_uuid_t	name;

	fill_wrap_name(purpose_number(text_to_cstring(PG_GETARG_TEXT_PP(0))), PG_GETARG_INT32(1),
				   &name);
	PG_RETURN_BYTEA_P(wrap_new_key(ROOT_USE_WRAP_SERVICE, &name, PG_GETARG_INT32(2)));
}
