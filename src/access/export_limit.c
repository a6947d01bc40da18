/*
 * export_limit.c: ceilings of statements, and what a member may have revealed in a
 * day.
 *
 * The day's count is in shared memory, where every backend sees it at once, and in
 * hub.reveal_usage, which the audit worker keeps together with the reveals
 * themselves. A server that has started anew goes on from there. Days are those
 * of UTC.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/access.h"
#include "access/export_limit.h"
#include "foundation/catalog.h"
#include "foundation/engine.h"
#include "foundation/errors.h"

/* Members of all databases that can be counted at a time; a power of two */
#define QUOTA_ENTRIES 16384

/* How far from its place an entry may lie */
#define QUOTA_PROBES 64

/* Attribute numbers of hub.reveal_usage */
#define USAGE_MEMBER 1
#define USAGE_DAY 2
#define USAGE_REVEALS 3

typedef struct QuotaEntry
{
	Oid			database;
	int32		member_id;
	DateADT		day;			/* that reveals is the count of */
	int64		reveals;
} QuotaEntry;

typedef struct QuotaTable
{
	LWLock		lock;
	QuotaEntry	entries[QUOTA_ENTRIES];
} QuotaTable;

static QuotaTable *quota_table = NULL;

/* Limits of the role that last asked */
static Oid	limit_role = InvalidOid;
static Oid	limit_table = InvalidOid;
static ExportLimit limit;

/* Who was charged last, and where the count is */
static struct
{
	QuotaEntry *entry;			/* NULL: nobody */
	uint64		answer;			/* identity_answer() then */
	Oid			role;
	int32		member_id;
	DateADT		day;
	TimestampTz at;				/* a time of that day */
	int64		quota;
}			last_charge;

/* Reveals of a batch, by member and day */
typedef struct StoredCount
{
	int32		member_id;
	DateADT		day;
	int64		reveals;
} StoredCount;

static StoredCount *stored = NULL;
static int	stored_count = 0;
static int	stored_size = 0;

/* Forget the limits when the table changes */
static void
forget_limit(Datum arg, Oid relid)
{
	if (relid == limit_table || !OidIsValid(relid))
		limit_role = InvalidOid;
}

/* Watch the table; called once from _PG_init */
void
export_limit_init(void)
{
	catalog_watch_relations(forget_limit);
}

/* Tell how much shared memory the counts need */
Size
export_limit_shmem_size(void)
{
	return MAXALIGN(sizeof(QuotaTable));
}

/* Set the counts up, under AddinShmemInitLock */
void
export_limit_shmem_startup(void)
{
	bool		found;

	quota_table = ShmemInitStruct("customer_hub reveal quota", export_limit_shmem_size(), &found);
	if (!found)
	{
		memset(quota_table, 0, sizeof(QuotaTable));
		LWLockInitialize(&quota_table->lock, LWLockNewTrancheId());
	}
	LWLockRegisterTranche(quota_table->lock.tranche, "customer_hub_quota");
}

/* Return the limits of the role of an identity */
const ExportLimit *
export_limit_of(const Identity *identity)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {NAMEOID};
	Datum		values[1];
	NameData	role;
	EngineScope scope;
	ExportLimit found = {0, 0};
	bool		own_snapshot = !ActiveSnapshotSet();

	if (limit_role == identity->role)
		return &limit;

	namestrcpy(&role, GetUserNameFromId(identity->role, false));
	values[0] = NameGetDatum(&role);
	limit_table = catalog_relation("export_ceiling");
	/* rows of RETURNING and of cursors are printed outside the executor */
	if (own_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	engine_begin(&scope);
	engine_prepare(&plan, "SELECT max_rows, reveals_per_day FROM hub.export_ceiling_of($1)", 1, types);
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read the export ceiling");
	for (int i = 0; i < 2; i++)
	{
		bool		isnull;
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);

		if (!isnull)
			*(i == 0 ? &found.max_rows : &found.reveals_per_day) = DatumGetInt64(value);
	}
	engine_end(&scope);
	if (own_snapshot)
		PopActiveSnapshot();
	limit = found;
	limit_role = identity->role;
	return &limit;
}

/* Give the day of a time */
static DateADT
day_of(TimestampTz at)
{
	return (DateADT) (at / USECS_PER_DAY) - (at % USECS_PER_DAY < 0 ? 1 : 0);
}

/* Find the entry of a member of this database, or else a place for one; the caller holds the lock */
static QuotaEntry *
find_entry(int32 member_id, DateADT day)
{
	uint32		hash = hash_combine(hash_uint32(MyDatabaseId), hash_uint32((uint32) member_id));
	QuotaEntry *place = NULL;

	for (uint32 i = 0; i < QUOTA_PROBES; i++)
	{
		QuotaEntry *entry = &quota_table->entries[(hash + i) & (QUOTA_ENTRIES - 1)];

		if (entry->database == MyDatabaseId && entry->member_id == member_id)
			return entry;
		/* counts of former days are in hub.reveal_usage and nobody asks for them */
		if (place == NULL && (!OidIsValid(entry->database) || entry->day < day))
			place = entry;
		if (!OidIsValid(entry->database))
			break;
	}
	return place;
}

/* Read what the audit worker has counted */
static int64
read_usage(int32 member_id, DateADT day)
{
	Relation	relation = table_open(catalog_relation("reveal_usage"), AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		reveals = 0;

	ScanKeyInit(&keys[0], USAGE_MEMBER, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(member_id));
	ScanKeyInit(&keys[1], USAGE_DAY, BTEqualStrategyNumber, F_DATE_EQ, DateADTGetDatum(day));
	scan = systable_beginscan(relation, catalog_relation("reveal_usage_pkey"), true, NULL, 2, keys);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, USAGE_REVEALS, RelationGetDescr(relation), &isnull);

		if (!isnull)
			reveals = DatumGetInt64(value);
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return reveals;
}

/* Count a reveal if the quota has room for it; *known is false when the day was not counted yet */
static bool
count_reveal(int32 member_id, DateADT day, int64 quota, const int64 *base, bool *known)
{
	QuotaEntry *entry;
	bool		allowed = false;

	LWLockAcquire(&quota_table->lock, LW_EXCLUSIVE);
	entry = find_entry(member_id, day);
	*known = entry != NULL && entry->database == MyDatabaseId && entry->member_id == member_id &&
		entry->day >= day;
	if (!*known && base != NULL && entry != NULL)
	{
		entry->database = MyDatabaseId;
		entry->member_id = member_id;
		entry->day = day;
		entry->reveals = *base;
		*known = true;
	}
	if (*known && entry->reveals < quota)
	{
		entry->reveals++;
		allowed = true;
	}
	LWLockRelease(&quota_table->lock);
	last_charge.entry = allowed ? entry : NULL;
	last_charge.member_id = member_id;
	last_charge.day = day;
	last_charge.quota = quota;
	last_charge.role = limit_role;
	return allowed;
}

/* Count a reveal of the member who was charged last; see export_limit.h */
bool
export_limit_charge_again(int32 member_id, TimestampTz at, uint64 answer)
{
	QuotaEntry *entry = last_charge.entry;
	bool		charged = false;

	/* a role is forgotten when its quota may have changed */
	if (entry == NULL || last_charge.answer != answer || last_charge.member_id != member_id ||
		last_charge.role != limit_role)
		return false;
	if (last_charge.at != at)
	{
		if (day_of(at) != last_charge.day)
			return false;
		last_charge.at = at;
	}
	LWLockAcquire(&quota_table->lock, LW_EXCLUSIVE);
	if (entry->member_id == member_id && entry->database == MyDatabaseId &&
		entry->day == last_charge.day && entry->reveals < last_charge.quota)
	{
		entry->reveals++;
		charged = true;
	}
	LWLockRelease(&quota_table->lock);
	return charged;
}

/* Count a reveal against the day's quota of a member; see export_limit.h */
void
export_limit_charge(int32 member_id, TimestampTz at)
{
	const Identity *identity = identity_current();
	DateADT		day = day_of(at);
	int64		quota;
	bool		known;

	if (identity == NULL || identity->member_id != member_id)
		return;
	last_charge.entry = NULL;
	last_charge.answer = identity_answer();
	last_charge.at = at;
	quota = export_limit_of(identity)->reveals_per_day;
	if (count_reveal(member_id, day, quota, NULL, &known))
		return;
	if (!known)
	{
		int64		base = read_usage(member_id, day);

		if (count_reveal(member_id, day, quota, &base, &known))
			return;
		if (!known)
			ereport(ERROR,
					(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
					 errmsg("protected data is not revealed: too many members to count reveals for")));
	}
	if (access_record_denied != NULL)
		access_record_denied(psprintf("{\"attempt\": \"over_quota\", \"reveals_per_day\": " INT64_FORMAT "}", quota));
	ereport(ERROR,
			(errcode(ERRCODE_CH_EXPORT_REFUSED),
			 errmsg("the day's quota of " INT64_FORMAT " reveals is used up", quota),
			 errhint("It starts anew at midnight UTC; hub.set_reveal_quota() sets it, and hub.request_approval('export', ...) asks for what must leave today.")));
}

/* Note a reveal that the audit worker stores */
void
export_limit_note_stored(int32 member_id, TimestampTz at)
{
	DateADT		day = day_of(at);

	for (int i = stored_count - 1; i >= 0; i--)
	{
		if (stored[i].member_id == member_id && stored[i].day == day)
		{
			stored[i].reveals++;
			return;
		}
	}
	if (stored_count == stored_size)
	{
		stored_size = Max(16, stored_size * 2);
		stored = stored == NULL ? MemoryContextAlloc(TopMemoryContext, stored_size * sizeof(StoredCount)) :
			repalloc(stored, stored_size * sizeof(StoredCount));
	}
	stored[stored_count++] = (StoredCount) {member_id, day, 1};
}

/* Write what was noted into hub.reveal_usage, in the worker's transaction */
void
export_limit_flush_stored(void)
{
	int			count = stored_count;

	/* if this fails the worker ends, and the records are still in the ring */
	stored_count = 0;
	if (count == 0)
		return;
	SPI_connect();
	for (int i = 0; i < count; i++)
	{
		Oid			types[] = {INT4OID, DATEOID, INT8OID};
		Datum		values[] = {
			Int32GetDatum(stored[i].member_id),
			DateADTGetDatum(stored[i].day),
			Int64GetDatum(stored[i].reveals)
		};

		if (SPI_execute_with_args("INSERT INTO hub.reveal_usage AS u (member_id, day, reveals) VALUES ($1, $2, $3)"
								  " ON CONFLICT (member_id, day) DO UPDATE SET reveals = u.reveals OPERATOR(pg_catalog.+) excluded.reveals",
								  3, types, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not note how much was revealed");
	}
	SPI_finish();
}
