/*
 * transaction.c: what a transaction has recorded, and by whom.
 *
 * Events are numbered within their top-level transaction and chained by a
 * running digest over their tags. A subtransaction that is rolled back takes its
 * events, their numbers and their share of the digest with it: on its first
 * event the state before it is saved. At pre-commit one row of
 * hub.audit_transaction sums the transaction up.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/xid8.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/event_table.h"
#include "audit/table_writer.h"
#include "audit/witness.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

/* Space of transaction ids per origin: 256 times what 32 bits count */
#define ORIGIN_XID_BITS 40

#define DIGEST_DOMAIN 0x02		/* canonical bytes of an event start with 0x01 */

/* Columns of hub.audit_origin */
enum
{
	ORIGIN_NUMBER = 1,
	ORIGIN_SYSTEM,
	ORIGIN_DATABASE,
	ORIGIN_BASE,
	ORIGIN_SINCE,
	ORIGIN_COLUMNS = ORIGIN_SINCE
};

/* Columns of hub.audit_transaction */
enum
{
	TRANSACTION_XID,
	TRANSACTION_STARTED_AT,
	TRANSACTION_MEMBER,
	TRANSACTION_ROLE,
	TRANSACTION_LOGIN,
	TRANSACTION_PURPOSE,
	TRANSACTION_CLIENT,
	TRANSACTION_APPLICATION,
	TRANSACTION_TOKEN,
	TRANSACTION_COUNT,
	TRANSACTION_DIGEST,
	TRANSACTION_COLUMNS
};

/* What is undone when a subtransaction is rolled back */
typedef struct Progress
{
	int32		count;
	uint8		digest[EVENT_TAG_BYTES];
	bool		has_actor;
	AuditActor	actor;
} Progress;

typedef struct SavedProgress
{
	SubTransactionId sub_id;
	int			nest_level;
	Progress	before;
} SavedProgress;

static Progress progress;
static SavedProgress *saved = NULL;
static int	saved_used = 0;
static int	saved_size = 0;

/* Base of transaction ids, once this database is known to be the current origin */
static bool base_known = false;
static uint64 base_cached = 0;
static Oid	base_relation = InvalidOid;

/* Oid of hub.audit_transaction; InvalidOid until it is needed, or when it has changed */
static Oid	transaction_table = InvalidOid;

/* Position of the transaction in the trail, base included; 0 until it is needed */
static uint64 transaction_xid = 0;

/* Read the last row of hub.audit_origin; false when it has none */
static bool
last_origin(Relation origin, int32 *number, bool *is_ours)
{
	SysScanDesc scan = systable_beginscan(origin, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	*number = 0;
	*is_ours = false;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc	desc = RelationGetDescr(origin);
		bool		isnull;
		int32		this_number = DatumGetInt32(heap_getattr(tuple, ORIGIN_NUMBER, desc, &isnull));

		if (this_number <= *number)
			continue;
		*number = this_number;
		*is_ours =
			DatumGetInt64(heap_getattr(tuple, ORIGIN_SYSTEM, desc, &isnull)) == (int64) GetSystemIdentifier() &&
			DatumGetObjectId(heap_getattr(tuple, ORIGIN_DATABASE, desc, &isnull)) == MyDatabaseId;
	}
	systable_endscan(scan);
	return *number > 0;
}

/* Give the base of an origin's transaction ids */
static uint64
origin_base(int32 number)
{
	return (uint64) (number - 1) << ORIGIN_XID_BITS;
}

/* Tell whether this database is the current origin, and whether there is any */
bool
event_origin_is_current(bool *has_origin)
{
	Oid			relid = catalog_relation("audit_origin");
	Relation	origin;
	int32		number = 1;
	bool		is_ours;

	if (!base_known || base_relation != relid)
	{
		origin = table_open(relid, AccessShareLock);
		last_origin(origin, &number, &is_ours);
		table_close(origin, AccessShareLock);
		base_known = is_ours;
		base_cached = is_ours ? origin_base(number) : 0;
		base_relation = relid;
	}
	if (has_origin != NULL)
		*has_origin = number > 0;
	return base_known;
}

/* Return the base of transaction ids, registering this database as an origin first if need be */
uint64
event_xid_base(void)
{
	Relation	origin;
	Datum		values[ORIGIN_COLUMNS];
	bool		nulls[ORIGIN_COLUMNS] = {false};
	HeapTuple	tuple;
	int32		number;
	bool		is_ours;

	if (event_origin_is_current(NULL))
		return base_cached;

	/* another transaction may do the same at this moment: the rows will be equal */
	origin = table_open(base_relation, RowExclusiveLock);
	last_origin(origin, &number, &is_ours);
	if (!is_ours)
	{
		number++;
		values[ORIGIN_NUMBER - 1] = Int32GetDatum(number);
		values[ORIGIN_SYSTEM - 1] = Int64GetDatum((int64) GetSystemIdentifier());
		values[ORIGIN_DATABASE - 1] = ObjectIdGetDatum(MyDatabaseId);
		values[ORIGIN_BASE - 1] = Int64GetDatum((int64) origin_base(number));
		values[ORIGIN_SINCE - 1] = TimestampTzGetDatum(GetCurrentTimestamp());
		tuple = heap_form_tuple(RelationGetDescr(origin), values, nulls);
		CatalogTupleInsert(origin, tuple);
		heap_freetuple(tuple);
	}
	table_close(origin, NoLock);
	base_cached = origin_base(number);
	base_known = true;
	return base_cached;
}

/* Return the client's address as inet, or zero for a local socket or a background worker */
static Datum
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	return fcinfo->isnull ? (Datum) 0 : address;
}

/* Return the position of this transaction in the trail */
static uint64
current_xid(void)
{
	if (transaction_xid == 0)
		transaction_xid = event_xid_base() + U64FromFullTransactionId(GetTopFullTransactionId());
	return transaction_xid;
}

/* Describe who is at work in this backend */
void
event_actor(AuditActor *actor)
{
	const Identity *identity = identity_of_record();
	char	   *login = GetUserNameFromId(GetSessionUserId(), true);
	char	   *role;
	Datum		address;

	memset(actor, 0, sizeof(*actor));
	actor->at = GetCurrentTimestamp();
	if (login != NULL)
		strlcpy(actor->login, login, sizeof(actor->login));
	if (application_name != NULL)
		strlcpy(actor->application, application_name, sizeof(actor->application));
	address = client_address();
	if (address != (Datum) 0)
		strlcpy(actor->client, DatumGetCString(DirectFunctionCall1(inet_out, address)),
				sizeof(actor->client));
	if (identity != NULL)
	{
		actor->member_id = identity->member_id;
		role = GetUserNameFromId(identity->role, true);
		if (role != NULL)
			strlcpy(actor->role, role, sizeof(actor->role));
		strlcpy(actor->purpose, identity->purpose, sizeof(actor->purpose));
		actor->by_token = identity->by_token;
		memcpy(actor->token_id, identity->token_id, sizeof(actor->token_id));
	}
}

/* Push a key and a text into an object that is being built */
static void
push_text(JsonbParseState **state, const char *key, const char *value)
{
	JsonbValue	item;

	if (value[0] == '\0')
		return;
	item.type = jbvString;
	item.val.string.val = (char *) key;
	item.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &item);
	item.val.string.val = (char *) value;
	item.val.string.len = strlen(value);
	pushJsonbValue(state, WJB_VALUE, &item);
}

/* Push who was at work into an object that is being built */
void
event_push_actor(JsonbParseState **state, const AuditActor *actor)
{
	JsonbValue	item;
	char		at[MAXDATELEN + 1];

	if (actor->member_id != 0)
	{
		item.type = jbvString;
		item.val.string.val = "member";
		item.val.string.len = strlen("member");
		pushJsonbValue(state, WJB_KEY, &item);
		item.type = jbvNumeric;
		item.val.numeric = int64_to_numeric(actor->member_id);
		pushJsonbValue(state, WJB_VALUE, &item);
	}
	push_text(state, "role", actor->role);
	push_text(state, "login", actor->login);
	push_text(state, "application", actor->application);
	push_text(state, "client", actor->client);
	push_text(state, "purpose", actor->purpose);
	JsonEncodeDateTime(at, TimestampTzGetDatum(actor->at), TIMESTAMPTZOID, NULL);
	/* values are not copied until the object is complete */
	push_text(state, "at", pstrdup(at));
}

/* Save what a rollback of the current subtransaction must bring back, on its first event */
static void
save_progress(void)
{
	int			nest_level = GetCurrentTransactionNestLevel();

	if (nest_level <= 1 ||
		(saved_used > 0 && saved[saved_used - 1].nest_level >= nest_level))
		return;
	if (saved_used >= saved_size)
	{
		int			size = saved_size == 0 ? 8 : saved_size * 2;

		if (saved == NULL)
			saved = MemoryContextAlloc(TopMemoryContext, sizeof(SavedProgress) * size);
		else
			saved = repalloc(saved, sizeof(SavedProgress) * size);
		saved_size = size;
	}
	saved[saved_used].sub_id = GetCurrentSubTransactionId();
	saved[saved_used].nest_level = nest_level;
	saved[saved_used].before = progress;
	saved_used++;
}

/* Complete an event and hand it to the buffer */
void
event_insert(AuditEvent *event)
{
	static StringInfoData canonical;
	uint8		link[1 + 2 * EVENT_TAG_BYTES];

	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot record an audit event during a parallel operation")));

	save_progress();
	if (!progress.has_actor || (progress.actor.member_id == 0 && identity_present()))
	{
		event_actor(&progress.actor);
		progress.has_actor = true;
	}

	event->xid = current_xid();
	event->ordinal = progress.count + 1;
	event->recorded_at = GetCurrentTimestamp();

	if (canonical.data == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&canonical);
		MemoryContextSwitchTo(old_context);
	}
	resetStringInfo(&canonical);
	event_encode(event, &canonical);
	event_tag(canonical.data, canonical.len, event->tag);
	if (canonical.maxlen > 64 * 1024)
	{
		pfree(canonical.data);
		canonical.data = NULL;
	}

	store_append(event);

	link[0] = DIGEST_DOMAIN;
	memcpy(link + 1, progress.digest, EVENT_TAG_BYTES);
	memcpy(link + 1 + EVENT_TAG_BYTES, event->tag, EVENT_TAG_BYTES);
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, link, sizeof(link), progress.digest);
	progress.count++;
}

/* Insert what is buffered */
void
event_flush(void)
{
	store_flush();
}

/* Return text as a datum, and say that it is NULL when it is empty */
static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text[0] == '\0';
	return *isnull ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Write the row that sums the transaction up */
static void
write_transaction(void)
{
	const AuditActor *actor = &progress.actor;
	Relation	relation;
	Datum		values[TRANSACTION_COLUMNS];
	bool		nulls[TRANSACTION_COLUMNS] = {false};
	bytea	   *token;
	bytea	   *digest;

	/* it is not there when the extension was dropped in this very transaction */
	if (!OidIsValid(transaction_table))
		transaction_table = catalog_relation_if_exists("audit_transaction");
	if (!OidIsValid(transaction_table))
		return;

	values[TRANSACTION_XID] = FullTransactionIdGetDatum(FullTransactionIdFromU64(current_xid()));
	values[TRANSACTION_STARTED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	values[TRANSACTION_MEMBER] = Int32GetDatum(actor->member_id);
	nulls[TRANSACTION_MEMBER] = actor->member_id == 0;
	values[TRANSACTION_ROLE] = text_or_null(actor->role, &nulls[TRANSACTION_ROLE]);
	values[TRANSACTION_LOGIN] = CStringGetTextDatum(actor->login);
	values[TRANSACTION_PURPOSE] = text_or_null(actor->purpose, &nulls[TRANSACTION_PURPOSE]);
	values[TRANSACTION_CLIENT] = client_address();
	nulls[TRANSACTION_CLIENT] = values[TRANSACTION_CLIENT] == (Datum) 0;
	values[TRANSACTION_APPLICATION] = text_or_null(actor->application,
												   &nulls[TRANSACTION_APPLICATION]);
	token = palloc(VARHDRSZ + IDENTITY_TOKEN_ID_BYTES);
	SET_VARSIZE(token, VARHDRSZ + IDENTITY_TOKEN_ID_BYTES);
	memcpy(VARDATA(token), actor->token_id, IDENTITY_TOKEN_ID_BYTES);
	values[TRANSACTION_TOKEN] = PointerGetDatum(token);
	nulls[TRANSACTION_TOKEN] = !actor->by_token;
	values[TRANSACTION_COUNT] = Int32GetDatum(progress.count);
	digest = palloc(VARHDRSZ + EVENT_TAG_BYTES);
	SET_VARSIZE(digest, VARHDRSZ + EVENT_TAG_BYTES);
	memcpy(VARDATA(digest), progress.digest, EVENT_TAG_BYTES);
	values[TRANSACTION_DIGEST] = PointerGetDatum(digest);

	relation = table_open(transaction_table, RowExclusiveLock);
	table_writer_insert_tuple(relation, heap_form_tuple(RelationGetDescr(relation), values, nulls));
	table_close(relation, NoLock);
	witness_note(transaction_table, U64FromFullTransactionId(GetTopFullTransactionId()), progress.digest);
}

/* Start anew for the next transaction */
static void
forget_progress(void)
{
	store_forget();
	saved_used = 0;
	transaction_xid = 0;
	if (progress.count > 0 || progress.has_actor)
		memset(&progress, 0, sizeof(progress));
}

/* Follow the top-level transaction */
static void
transaction_changed(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (progress.count > 0)
			{
				store_flush();
				write_transaction();
			}
			break;
		case XACT_EVENT_ABORT:
			/* the row of hub.audit_origin may have gone with it */
			base_known = false;
			forget_progress();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			forget_progress();
			break;
		default:
			break;
	}
}

/* Follow subtransactions */
static void
subtransaction_changed(SubXactEvent event, SubTransactionId sub_id, SubTransactionId parent_id,
					   void *arg)
{
	SavedProgress *top = saved_used > 0 ? &saved[saved_used - 1] : NULL;
	bool		has_events = top != NULL && top->sub_id == sub_id;

	switch (event)
	{
		case SUBXACT_EVENT_ABORT_SUB:
			base_known = false;
			transaction_xid = 0;
			if (has_events)
			{
				progress = top->before;
				saved_used--;
				store_forget_subtransaction(sub_id);
			}
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			if (!has_events)
				break;
			store_keep_subtransaction(sub_id, parent_id);

			/* its parent answers for its events now, unless that has a start of its own */
			if (top->nest_level <= 2 ||
				(saved_used > 1 && saved[saved_used - 2].nest_level == top->nest_level - 1))
				saved_used--;
			else
			{
				top->sub_id = parent_id;
				top->nest_level--;
			}
			break;
		default:
			break;
	}
}

/* Forget the table when it changes: it may be gone, or made anew */
static void
forget_relation(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == transaction_table)
		transaction_table = InvalidOid;
}

/* Watch transactions; called once from _PG_init */
void
transaction_init(void)
{
	catalog_watch_relations(forget_relation);
	RegisterXactCallback(transaction_changed, NULL);
	RegisterSubXactCallback(subtransaction_changed, NULL);
}
