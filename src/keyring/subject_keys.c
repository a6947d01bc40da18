/*
 * subject_keys.c: one random key per data subject, wrapped under an epoch.
 *
 * Destroying the key is what erasure stands on. A destroyed key leaves its row
 * behind without the key, so that the subject cannot come back by accident.
 */
#include "postgres.h"

#include <sodium.h>

#include "foundation/compat.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "foundation/catalog.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "foundation/settings.h"
#include "keyring/epoch.h"
#include "keyring/keyring.h"
#include "keyring/locked_memory.h"
#include "keyring/read_ahead.h"
#include "keyring/root_keys.h"
#include "keyring/subject_keys.h"
#include "keyring/wrap.h"

/* A statement that has looked up so many keys is likely to want more */
#define READ_AHEAD_AFTER 4

#define CACHE_INITIAL_ENTRIES 256

/* How full the cache may get: probes stay short, and it holds three quarters of its size in keys */
#define CACHE_MAX_USED(entries) ((entries) / 4 * 3)

/* One cache line: among many subjects, a look-up costs one access to memory */
typedef struct CachedKey
{
	pg_uuid_t	subject;
	uint8		key[SUBJECT_KEY_BYTES];
	uint64		mark;			/* see subject_key_find() */
	uint8		state;			/* SubjectState; SUBJECT_UNKNOWN may have become known since */
	bool		used;			/* false marks a free entry */
	uint8		reserved[6];
} CachedKey;

StaticAssertDecl(sizeof(CachedKey) == 64, "CachedKey must fill a cache line");

/* Open-addressing table in locked memory; entries is a power of two */
static CachedKey *cache = NULL;
static uint32 cache_entries = 0;
static uint32 cache_used = 0;
static uint64 cache_generation = 0;	/* 0 is nobody's: look again */
static Oid	subject_key_relid = InvalidOid;
static int	cache_pid = 0;

/* The entry found last: the values of a row, and often of the next, are of one subject */
static CachedKey *cache_last = NULL;

/* Random, so that nobody can choose subjects that fall on one place */
static uint64 cache_seed[2];

/* Keys that the current statement has looked up in the table */
static TimestampTz looked_up_at = 0;
static int	looked_up = 0;

/* Did this transaction make or destroy keys? Then its end must drop caches */
static bool made_keys = false;
static bool destroyed_keys = false;

void		(*keyring_mark_lost) (const pg_uuid_t *subject, uint64 mark) = NULL;

PG_FUNCTION_INFO_V1(hub_destroy_subject_key);
PG_FUNCTION_INFO_V1(hub_subject_state);

/* Hand over what was remembered beside the keys */
static void
hand_over_marks(void)
{
	for (uint32 i = 0; i < cache_entries; i++)
	{
		if (cache[i].used && cache[i].mark != 0)
			keyring_mark_lost(&cache[i].subject, cache[i].mark);
	}
}

/* Drop every cached key */
static void
cache_wipe(void)
{
	if (cache != NULL && cache_pid == MyProcPid)
	{
		if (keyring_mark_lost != NULL && IsTransactionState())
			hand_over_marks();
		sodium_memzero(cache, sizeof(CachedKey) * cache_entries);
	}
	cache_used = 0;
	read_ahead_forget();
}

/* Compare two subjects, without a call */
static inline bool
same_subject(const pg_uuid_t *a, const pg_uuid_t *b)
{
	uint64		halves[4];

	memcpy(halves, a->data, UUID_LEN);
	memcpy(halves + 2, b->data, UUID_LEN);
	return halves[0] == halves[2] && halves[1] == halves[3];
}

/* Tell where the search for a subject begins: both halves mixed with the seed */
static inline uint32
cache_position(const pg_uuid_t *subject)
{
	uint64		halves[2];
	uint64		mixed;

	memcpy(halves, subject->data, UUID_LEN);
	mixed = (halves[0] ^ cache_seed[0]) * UINT64CONST(0x9E3779B97F4A7C15);
	mixed ^= mixed >> 32;
	mixed = (mixed ^ halves[1] ^ cache_seed[1]) * UINT64CONST(0xD6E8FEB86659FD93);
	return (uint32) (mixed >> 32) & (cache_entries - 1);
}

/* Return the entry of a subject, or the free entry where it belongs */
static inline CachedKey *
cache_slot(const pg_uuid_t *subject)
{
	uint32		position;

	if (cache_last->used && same_subject(&cache_last->subject, subject))
		return cache_last;
	position = cache_position(subject);
	while (cache[position].used && !same_subject(&cache[position].subject, subject))
		position = (position + 1) & (cache_entries - 1);
	cache_last = &cache[position];
	return cache_last;
}

/* Allocate an empty table; locked memory ends with a page, so that entries begin with cache lines */
static void
cache_allocate(uint32 entries)
{
	CachedKey  *table = locked_alloc(sizeof(CachedKey) * entries);

	if (cache_pid != MyProcPid)
		randombytes_buf(cache_seed, sizeof(cache_seed));
	cache = cache_last = table;
	cache_entries = entries;
	cache_used = 0;
	cache_pid = MyProcPid;
}

/* Make room for one more key; beyond the largest size start over */
static void
cache_make_room(void)
{
	CachedKey  *old_cache = cache;
	uint32		old_entries = cache_entries;

	if (cache_used < CACHE_MAX_USED(cache_entries))
		return;
	if (cache_entries * 2 * sizeof(CachedKey) > (Size) settings_key_cache_size() * 1024)
	{
		cache_wipe();
		return;
	}
	cache_allocate(cache_entries * 2);
	for (uint32 i = 0; i < old_entries; i++)
	{
		if (!old_cache[i].used)
			continue;
		memcpy(cache_slot(&old_cache[i].subject), &old_cache[i], sizeof(CachedKey));
		cache_used++;
	}
	sodium_free(old_cache);		/* zeroes it */
}

/* Bring the cache up to date with the other backends */
static inline void
cache_validate(void)
{
	uint64		generation = epoch_generation();

	if (likely(cache_generation == generation && cache_pid == MyProcPid))
		return;
	if (cache_pid != MyProcPid)
	{
		cache_allocate(CACHE_INITIAL_ENTRIES);
		cache_generation = generation;
	}
	else
	{
		cache_wipe();
		cache_generation = generation;
	}
}

/* Unwrap a subject key; raises CH001 or CH003 */
static void
unwrap_subject_key(const bytea *wrapped, const pg_uuid_t *subject, int epoch, uint8 *key)
{
	if (!unwrap_key(ROOT_USE_WRAP_SUBJECT, subject, epoch, wrapped, key))
		ereport(ERROR,
				(errcode(ERRCODE_CH_SEALED_VALUE_INVALID),
				 errmsg("the wrapped key of a data subject was altered"),
				 errhint("Restore hub.subject_key from a backup.")));
}

/* Fill in a cache entry, whose key is in place already */
static void
fill_entry(CachedKey *entry, const pg_uuid_t *subject, SubjectState state)
{
	if (!entry->used)
	{
		cache_used++;
		entry->mark = 0;
	}
	entry->subject = *subject;
	entry->used = true;
	entry->state = (uint8) state;
}

/* Has this statement looked up several keys already? Then it reads a table of many people */
static bool
looks_up_many(void)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();

	if (looked_up_at != statement)
	{
		looked_up_at = statement;
		looked_up = 0;
	}
	return ++looked_up > READ_AHEAD_AFTER;
}

/*
 * Read a subject's row into the cache entry that belongs to it.
 *
 * Goes by the newest committed state, not by the statement's snapshot: a key
 * that was destroyed a moment ago must not be used any more.
 */
static void
cache_load(CachedKey *entry, const pg_uuid_t *subject)
{
	Relation	relation;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	SubjectState state;
	const bytea *ahead;
	int			ahead_epoch;

	ahead = read_ahead_find(subject, &ahead_epoch);
	if (ahead != NULL)
	{
		unwrap_subject_key(ahead, subject, ahead_epoch, entry->key);
		fill_entry(entry, subject, SUBJECT_ALIVE);
		return;
	}

	subject_key_relid = catalog_relation("subject_key");
	relation = table_open(subject_key_relid, AccessShareLock);
	ScanKeyInit(&key, ANUM_SUBJECT, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(subject));
	scan = systable_beginscan(relation, catalog_relation("subject_key_pkey"), true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	state = SUBJECT_UNKNOWN;
	if (HeapTupleIsValid(tuple))
	{
		TupleDesc	descriptor = RelationGetDescr(relation);
		bool		isnull;
		int			epoch = DatumGetInt32(heap_getattr(tuple, ANUM_EPOCH, descriptor, &isnull));
		Datum		wrapped = heap_getattr(tuple, ANUM_WRAPPED, descriptor, &isnull);

		if (!isnull)
			unwrap_subject_key(DatumGetByteaPP(wrapped), subject, epoch, entry->key);
		state = isnull ? SUBJECT_ERASED : SUBJECT_ALIVE;
		/* what a rollback takes back must go from the cache with it, whoever made it */
		if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data)))
			made_keys = true;
		if (looks_up_many())
			read_ahead_page(relation, ItemPointerGetBlockNumber(&tuple->t_self), scan->snapshot);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	fill_entry(entry, subject, state);
}

/* Have the processor fetch a subject's entry while its caller does something else */
void
subject_key_prefetch(const pg_uuid_t *subject)
{
	if (cache_pid == MyProcPid)
		__builtin_prefetch(&cache[cache_position(subject)]);
}

/* Find a subject's entry, making one when it is not cached */
static CachedKey *
find_entry(const pg_uuid_t *subject)
{
	CachedKey  *entry;

	cache_validate();
	entry = cache_slot(subject);
	if (unlikely(!entry->used))
	{
		epoch_check();
		cache_make_room();
		entry = cache_slot(subject);
		cache_load(entry, subject);
	}
	return entry;
}

/* Find a subject's entry as of now: another session may have made its key since */
static CachedKey *
find_current_entry(const pg_uuid_t *subject)
{
	CachedKey  *entry = find_entry(subject);

	if (entry->state == SUBJECT_UNKNOWN)
		cache_load(entry, subject);
	return entry;
}

/* Return the key of a living subject, or NULL */
const uint8 *
subject_key_find(const pg_uuid_t *subject, SubjectState *state, uint64 **mark)
{
	CachedKey  *entry = find_current_entry(subject);

	if (state != NULL)
		*state = entry->state;
	if (mark != NULL)
		*mark = &entry->mark;
	return entry->state == SUBJECT_ALIVE ? entry->key : NULL;
}

/* Tell whether a subject has a key, had one, or never had one */
SubjectState
keyring_subject_state(const pg_uuid_t *subject)
{
	return find_current_entry(subject)->state;
}

/*
 * Tell whether a subject is erased, cheaply for one that has no key yet.
 *
 * A key that another session makes leaves the answer as it is, and one that is
 * destroyed empties every cache.
 */
bool
keyring_subject_is_erased(const pg_uuid_t *subject)
{
	return find_entry(subject)->state == SUBJECT_ERASED;
}

/* Make a key for a subject that has none; a subject that has or had one is left alone */
void
keyring_create_subject(const pg_uuid_t *subject)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[3] = {UUIDOID, INT4OID, BYTEAOID};
	Datum		values[3];
	EngineScope scope;
	int			epoch;

	if (keyring_subject_state(subject) != SUBJECT_UNKNOWN)
		return;
	keyring_register_epoch();
	made_keys = true;

	/* locked first, so that a rotation can wait for those who still go by the epoch before */
	LockRelationOid(catalog_relation("subject_key"), RowExclusiveLock);
	epoch = keyring_current_epoch();
	values[0] = UUIDPGetDatum(subject);
	values[1] = Int32GetDatum(epoch);
	values[2] = PointerGetDatum(wrap_new_key(ROOT_USE_WRAP_SUBJECT, subject, epoch));

	/* another session may make the key first: then theirs counts */
	engine_begin(&scope);
	SPI_execute_plan(engine_prepare(&plan,
									"INSERT INTO hub.subject_key (subject, epoch, wrapped) "
									"VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", 3, types),
					 values, NULL, false, 0);
	engine_end(&scope);
}

/*
 * Destroy a subject's key, or bar a subject that never had one.
 *
 * Every backend forgets the key when the transaction commits. Returns false
 * when it was destroyed already.
 */
bool
keyring_destroy_subject(const pg_uuid_t *subject)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[2] = {UUIDOID, INT4OID};
	Datum		values[2];
	bool		destroyed;
	EngineScope scope;

	keyring_require();
	destroyed_keys = true;
	values[0] = UUIDPGetDatum(subject);
	values[1] = Int32GetDatum(keyring_current_epoch());
	engine_begin(&scope);
	SPI_execute_plan(engine_prepare(&plan,
									"INSERT INTO hub.subject_key AS k (subject, epoch, wrapped, destroyed_at) "
									"VALUES ($1, $2, NULL, pg_catalog.clock_timestamp()) "
									"ON CONFLICT (subject) DO UPDATE "
									"SET wrapped = NULL, destroyed_at = pg_catalog.clock_timestamp() "
									"WHERE k.wrapped IS NOT NULL", 2, types),
					 values, NULL, false, 0);
	destroyed = SPI_processed > 0;
	engine_end(&scope);
	cache_wipe();
	/* standbys hear of it so */
	CacheInvalidateRelcacheByRelid(catalog_relation("subject_key"));
	return destroyed;
}

/* Drop cached keys that the end of a transaction makes stale, here or everywhere */
static void
forget_at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_PREPARE:
			if (destroyed_keys)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has destroyed the key of a data subject")));
			break;
		case XACT_EVENT_COMMIT:
			if (destroyed_keys)
				epoch_bump_generation();
			made_keys = destroyed_keys = false;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			if (made_keys || destroyed_keys)
				cache_wipe();
			made_keys = destroyed_keys = false;
			break;
		default:
			break;
	}
}

/* Drop keys of a subtransaction that was rolled back */
static void
forget_at_subtransaction_end(SubXactEvent event, SubTransactionId sub_id,
							 SubTransactionId parent_id, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && (made_keys || destroyed_keys))
		cache_wipe();
}

/* Drop the cache when a key was destroyed on the primary of this standby */
static void
forget_relation(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == subject_key_relid)
		cache_generation = 0;
}

/* Watch transaction ends and hub.subject_key; called once, before any fork */
void
subject_keys_init(void)
{
	catalog_watch_relations(forget_relation);
	RegisterXactCallback(forget_at_transaction_end, NULL);
	RegisterSubXactCallback(forget_at_subtransaction_end, NULL);
}

/* Destroy the key of a data subject; true when it existed until now */
Datum
hub_destroy_subject_key(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(keyring_destroy_subject(PG_GETARG_UUID_P(0)));
}

/* Tell the state of a data subject's key: unknown, alive or erased */
Datum
hub_subject_state(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		[SUBJECT_UNKNOWN] = "unknown",
		[SUBJECT_ALIVE] = "alive",
		[SUBJECT_ERASED] = "erased"
	};

	PG_RETURN_TEXT_P(cstring_to_text(names[keyring_subject_state(PG_GETARG_UUID_P(0))]));
}
