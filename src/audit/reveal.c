/*
 * reveal.c: what must be on record whatever becomes of the transaction.
 *
 * A session packs a record and puts it into the ring of its database before any
 * plaintext is handed out; the audit worker unpacks it and makes an event of it.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "access/export_guard.h"
#include "access/export_limit.h"
#include "audit/audit.h"
#include "audit/event.h"
#include "audit/reveal.h"
#include "audit/worker.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/settings.h"
#include "types/data_class.h"

/* Details of a surviving record that are longer are left out */
#define DETAILS_MAX 2048
#define DETAILS_CUT "{\"details\": \"too long\"}"

/* How long a refusal waits for room in the ring before it goes to the server log */
#define SURVIVING_PATIENCE_MS 2000

/* A record in the ring: this, then the strings it counts, without terminators */
typedef struct RevealRecord
{
	uint64		xid;			/* of the reader's transaction, 0 while it has none */
	TimestampTz at;
	pg_uuid_t	subject;
	uint8		token_id[IDENTITY_TOKEN_ID_BYTES];
	int32		member_id;
	int32		pid;
	uint32		transaction;	/* tells the transactions of one backend apart */
	uint16		class_id;
	uint16		details_len;
	uint8		audit_kind;		/* AuditKind */
	uint8		reveal_kind;	/* RevealKind of AUDIT_REVEAL */
	bool		has_subject;
	bool		by_token;
	bool		charged;		/* counts against the day's quota */
	uint8		role_len;
	uint8		login_len;
	uint8		application_len;
	uint8		client_len;
	uint8		purpose_len;
} RevealRecord;

/* What a transaction has revealed already */
typedef struct RevealKey
{
	pg_uuid_t	subject;
	uint16		class_id;
	uint8		kind;
	uint8		has_subject;
} RevealKey;

static HTAB *revealed = NULL;

static bool actor_known = false;
static uint64 actor_answer = 0; /* identity_answer() when it was looked at */
static AuditActor actor;

/* Number of this backend's current transaction, as far as it reveals anything */
static uint32 transaction_number = 0;

/* Forget what was revealed */
static void
forget_revealed(void)
{
	if (revealed)
		hash_destroy(revealed);
	revealed = NULL;
}

/* Forget with the transaction what it has revealed and who it was */
static void
forget_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
		case XACT_EVENT_PREPARE:
			forget_revealed();
			actor_known = false;
			break;
		default:
			break;
	}
}

/* Watch transactions end; called once from _PG_init */
void
reveal_init(void)
{
	RegisterXactCallback(forget_transaction, NULL);
}

/* Has this transaction revealed that already? */
static bool
already_revealed(const RevealKey *key)
{
	return revealed != NULL && hash_search(revealed, key, HASH_FIND, NULL) != NULL;
}

/* The mark that a subject's key gets with a reveal: good for this transaction and reader only */
static inline uint64
mark_of(uint16 class_id, RevealKind kind)
{
	return (uint64) transaction_number << 24 | (uint64) class_id << 8 | (uint8) kind;
}

/* Note that it has */
static void
note_revealed(const RevealKey *key)
{
	if (revealed == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = control.entrysize = sizeof(RevealKey);
		control.hcxt = TopMemoryContext;
		revealed = hash_create("customer_hub reveals of a transaction", 64, &control,
							   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	(void) hash_search(revealed, key, HASH_ENTER, NULL);
}

/* Append a string of at most max bytes and return its length */
static int
pack_string(StringInfo record, const char *string, int max)
{
	int			len = Min((int) strlen(string), max);

	appendBinaryStringInfo(record, string, len);
	return len;
}

/* See who is at work; anew when an authentication, or its rollback, has changed it */
static void
refresh_actor(void)
{
	uint64		answer = identity_answer();
	const Identity *identity;
	int32		member_id;

	if (actor_known && actor_answer == answer)
		return;
	identity = identity_current();
	member_id = identity ? identity->member_id : 0;
	actor_answer = answer;
	if (actor_known && actor.member_id == member_id &&
		(identity == NULL ||
		 memcmp(actor.token_id, identity->token_id, IDENTITY_TOKEN_ID_BYTES) == 0))
		return;
	forget_revealed();
	event_actor(&actor);
	transaction_number++;
	actor_known = true;
}

/* Pack a record; subject and details may be NULL */
static void
pack(StringInfo buf, AuditKind audit_kind, const pg_uuid_t *subject, uint16 class_id,
	 uint8 reveal_kind, bool charged, const char *details)
{
	RevealRecord record;

	memset(&record, 0, sizeof(record));
	record.xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	record.at = GetCurrentStatementStartTimestamp();
	if (subject)
	{
		record.has_subject = true;
		record.subject = *subject;
	}
	memcpy(record.token_id, actor.token_id, sizeof(record.token_id));
	record.by_token = actor.by_token;
	record.charged = charged;
	record.member_id = actor.member_id;
	record.pid = MyProcPid;
	record.transaction = transaction_number;
	record.class_id = class_id;
	record.audit_kind = audit_kind;
	record.reveal_kind = reveal_kind;

	initStringInfo(buf);
	appendBinaryStringInfo(buf, (char *) &record, sizeof(record));
	record.role_len = pack_string(buf, actor.role, NAMEDATALEN);
	record.login_len = pack_string(buf, actor.login, NAMEDATALEN);
	record.application_len = pack_string(buf, actor.application, NAMEDATALEN);
	record.client_len = pack_string(buf, actor.client, sizeof(actor.client));
	record.purpose_len = pack_string(buf, actor.purpose, IDENTITY_PURPOSE_BYTES);
	if (details)
	{
		/* what the worker could not read would block the ring: find out here */
		(void) DirectFunctionCall1(jsonb_in, CStringGetDatum(details));
		record.details_len = pack_string(buf, strlen(details) <= DETAILS_MAX ? details : DETAILS_CUT,
										 DETAILS_MAX);
	}
	memcpy(buf->data, &record, sizeof(record));
}

/* On a standby there is no trail to write: refuse, or write to the server log */
static void
record_reveal_on_standby(const pg_uuid_t *subject, uint16 class_id, RevealKind kind)
{
	if (!settings_standby_reveal())
		ereport(ERROR,
				(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
				 errmsg("protected data is not revealed on a standby"),
				 errhint("Ask the primary, or set customer_hub.standby_reveal to have reveals written to the server log.")));
	ereport(LOG_SERVER_ONLY,
			(errmsg("customer_hub reveal on a standby: subject %s, class %s, kind %c, member %d, role %s, login %s, client %s",
					subject ? DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(subject))) : "none",
					data_class_name(class_id), (char) kind, actor.member_id, actor.role,
					actor.login, actor.client),
			 errhidestmt(true), errhidecontext(true)));
}

/* Put a reveal on record, once per transaction; raises CH401 when that is not possible */
void
audit_record_reveal(const pg_uuid_t *subject, uint16 class_id, RevealKind kind, uint64 *mark,
					uint64 standing)
{
	RevealKey	key;
	StringInfoData record;
	WorkerWait	wait;
	uint64		position;
	bool		charged;

	/* the mark is the keyring's, and whatever takes longer may have moved it */
	if (actor_known && actor_answer == (standing != 0 ? standing : identity_answer()))
	{
		if (mark != NULL && *mark == mark_of(class_id, kind))
			return;
	}
	else
	{
		refresh_actor();
		mark = NULL;
	}

	memset(&key, 0, sizeof(key));
	if (subject && memcmp(subject, &key.subject, sizeof(key.subject)) == 0)
		subject = NULL;			/* a value that belongs to nobody yet */
	if (subject)
	{
		key.subject = *subject;
		key.has_subject = true;
	}
	key.class_id = class_id;
	key.kind = (uint8) kind;
	if (already_revealed(&key))
	{
		if (mark != NULL)
			*mark = mark_of(class_id, kind);
		return;
	}
	charged = kind != REVEAL_PARTIAL && actor.member_id != 0 && !export_guard_exporting();
	if (charged)
		export_limit_charge(actor.member_id, GetCurrentStatementStartTimestamp());

	if (RecoveryInProgress())
	{
		record_reveal_on_standby(subject, class_id, kind);
		note_revealed(&key);
		return;
	}

	pack(&record, AUDIT_REVEAL, subject, class_id, (uint8) kind, charged, NULL);
	worker_wait_init(&wait);
	while (slot_push(wait.slot, record.data, record.len, false, &position) != SLOT_PUSHED)
		worker_wait(&wait);
	ConditionVariableCancelSleep();
	pfree(record.data);
	if (settings_durable_reveal())
		worker_wait_committed(wait.slot, position);
	note_revealed(&key);
}

/* Write to the server log what could not go into the trail */
static void
log_instead(AuditKind kind, const pg_uuid_t *subject, const char *details)
{
	ereport(LOG_SERVER_ONLY,
			(errmsg("customer_hub audit event of kind %s: member %d, role %s, login %s, client %s, subject %s, details %s",
					event_kind_label(kind), actor.member_id, actor.role, actor.login, actor.client,
					subject ? DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(subject))) : "none",
					details ? details : "none"),
			 errhidestmt(true), errhidecontext(true)));
}

/*
 * Put a refusal on record. It is going to raise an error anyway, so where the
 * ring cannot take it the server log does, rather than another error.
 */
void
audit_record_surviving(AuditKind kind, const pg_uuid_t *subject, const char *details)
{
	StringInfoData record;
	AuditSlot  *slot;
	uint64		position;
	TimestampTz begun = GetCurrentTimestamp();

	if (!IsTransactionState() || RecoveryInProgress())
	{
		if (!actor_known)
			memset(&actor, 0, sizeof(actor));
		log_instead(kind, subject, details);
		return;
	}

	refresh_actor();
	pack(&record, kind, subject, 0, 0, false, details);
	slot = slot_of_database(MyDatabaseId);
	if (slot == NULL)
		slot = slot_request(MyDatabaseId, false);
	for (;;)
	{
		if (slot && slot_push(slot, record.data, record.len, true, &position) == SLOT_PUSHED)
			break;
		if (slot == NULL ||
			TimestampDifferenceExceeds(begun, GetCurrentTimestamp(), SURVIVING_PATIENCE_MS))
		{
			log_instead(kind, subject, details);
			break;
		}
		(void) ConditionVariableTimedSleep(&slot->changed, 100, PG_WAIT_EXTENSION);
		slot = slot_of_database(MyDatabaseId);
	}
	ConditionVariableCancelSleep();
	pfree(record.data);
}

/* Take a string of a record */
static const char *
unpack_string(const char *at, int len, char *out, int size)
{
	len = Min(len, size - 1);
	memcpy(out, at, len);
	out[len] = '\0';
	return out;
}

/* Push a pair with a text value */
static void
push_text(JsonbParseState **state, const char *key, const char *value)
{
	JsonbValue	item;

	item.type = jbvString;
	item.val.string.val = unconstify(char *, key);
	item.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &item);
	item.val.string.val = unconstify(char *, value);
	item.val.string.len = strlen(value);
	pushJsonbValue(state, WJB_VALUE, &item);
}

/* Push all pairs of what a caller gave as details */
static void
push_details(JsonbParseState **state, const char *details)
{
	Jsonb	   *document;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(details)));
	if (!JB_ROOT_IS_OBJECT(document))
	{
		push_text(state, "details", details);
		return;
	}
	iterator = JsonbIteratorInit(&document->root);
	(void) JsonbIteratorNext(&iterator, &value, true);	/* the object itself */
	while ((token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY)
	{
		pushJsonbValue(state, WJB_KEY, &value);
		token = JsonbIteratorNext(&iterator, &value, true);
		pushJsonbValue(state, token, &value);
	}
}

/* Name a kind of reveal */
static const char *
reveal_kind_name(RevealKind kind)
{
	switch (kind)
	{
		case REVEAL_FULL:
			return "full";
		case REVEAL_PARTIAL:
			return "partial";
		case REVEAL_RECLASS:
			return "reclass";
	}
	return "unknown";
}

/* Make an event of a record and insert it */
static void
store_record(const char *data)
{
	RevealRecord record;
	AuditActor	reader;
	AuditEvent	event;
	JsonbParseState *state = NULL;

	memcpy(&record, data, sizeof(record));
	data += sizeof(record);
	memset(&reader, 0, sizeof(reader));
	reader.at = record.at;
	reader.member_id = record.member_id;
	reader.by_token = record.by_token;
	memcpy(reader.token_id, record.token_id, sizeof(reader.token_id));
	unpack_string(data, record.role_len, reader.role, sizeof(reader.role));
	data += record.role_len;
	unpack_string(data, record.login_len, reader.login, sizeof(reader.login));
	data += record.login_len;
	unpack_string(data, record.application_len, reader.application, sizeof(reader.application));
	data += record.application_len;
	unpack_string(data, record.client_len, reader.client, sizeof(reader.client));
	data += record.client_len;
	unpack_string(data, record.purpose_len, reader.purpose, sizeof(reader.purpose));
	data += record.purpose_len;

	memset(&event, 0, sizeof(event));
	event.kind = (AuditKind) record.audit_kind;
	if (record.has_subject)
		event.subject = &record.subject;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (record.details_len > 0)
		push_details(&state, pnstrdup(data, record.details_len));
	if (event.kind == AUDIT_REVEAL)
	{
		push_text(&state, "class", data_class_name(record.class_id));
		push_text(&state, "reveal", reveal_kind_name(record.reveal_kind));
	}
	/* the last of equal keys wins, so nobody speaks for somebody else */
	event_push_actor(&state, &reader);
	/* values are copied at the end only: each needs memory of its own */
	push_text(&state, "session", psprintf("%d.%u", record.pid, record.transaction));
	if (record.xid != 0)
		push_text(&state, "xid", psprintf(UINT64_FORMAT, record.xid));
	event.details = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	event_insert(&event);
	if (record.charged)
		export_limit_note_stored(record.member_id, record.at);
}

/* Store records as they were taken out of the ring; see reveal.h */
bool
reveal_store(const char *records, Size len)
{
	Oid			relid = catalog_installed() ? catalog_relation_if_exists("audit_event") : InvalidOid;
	Relation	relation = OidIsValid(relid) ? try_relation_open(relid, RowExclusiveLock) : NULL;
	MemoryContext context;
	MemoryContext old_context;
	const char *end = records + len;

	if (relation == NULL)
		return false;

	PushActiveSnapshot(GetTransactionSnapshot());
	context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub record",
									ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(context);
	while (records < end)
	{
		uint32		record_len;

		CHECK_FOR_INTERRUPTS();
		memcpy(&record_len, records, sizeof(record_len));
		store_record(records + sizeof(record_len));
		records += sizeof(record_len) + record_len;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);
	export_limit_flush_stored();
	PopActiveSnapshot();
	relation_close(relation, NoLock);
	return true;
}
