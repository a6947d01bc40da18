/*
 * reveal.c: what must be on record whatever becomes of the transaction.
 *
 * A session packs a record and puts it into the ring of its database before any
 * plaintext is handed out; the audit worker unpacks it and makes events of it. The
 * reveals of a statement share a record: it says once who reads, and then lists whose
 * values of which class are shown.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
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
#include "audit/withhold.h"
#include "audit/worker.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/run_scope.h"
#include "foundation/settings.h"
#include "keyring/keyring.h"
#include "types/data_class.h"

/* Details of a surviving record that are longer are left out */
#define DETAILS_MAX 2048
#define DETAILS_CUT "{\"details\": \"too long\"}"

/*
 * Bytes set aside for the list of a transaction's first record; those after it get
 * four times as many each. A record with one reveal takes little of the ring, and one
 * of a report is about what the worker would have to take apart otherwise.
 */
#define LIST_FIRST_ROOM 160
#define LIST_ROOM_GROWTH 4

/* Details of events that the worker keeps while it takes a list apart */
#define KNOWN_DETAILS 8

/* How long a refusal waits for room in the ring before it goes to the server log */
#define SURVIVING_PATIENCE_MS 2000

/*
 * A record in the ring: this, then the strings it counts, without terminators, then
 * the list of AUDIT_REVEAL
 */
typedef struct RevealRecord
{
	uint64		xid;			/* of the reader's transaction, 0 while it has none */
	TimestampTz at;
	pg_uuid_t	subject;		/* of other kinds than AUDIT_REVEAL */
	uint8		token_id[IDENTITY_TOKEN_ID_BYTES];
	int32		member_id;
	int32		pid;
	uint32		transaction;	/* tells the transactions of one backend apart */
	uint16		details_len;
	uint8		audit_kind;		/* AuditKind */
	bool		has_subject;
	bool		by_token;
	uint8		role_len;
	uint8		login_len;
	uint8		application_len;
	uint8		client_len;
	uint8		purpose_len;
} RevealRecord;

/*
 * An entry of a list is a byte of these, and what they say follows: 16 bytes of the
 * data subject, two of the class and one of the kind. What does not follow is as in
 * the entry before.
 */
#define ENTRY_SUBJECT	0x01
#define ENTRY_NOBODY	0x02
#define ENTRY_CLASS		0x04
#define ENTRY_CHARGED	0x08	/* counts against the day's quota */
#define ENTRY_MAX_BYTES (1 + UUID_LEN + sizeof(uint16) + sizeof(uint8))

/* What is revealed */
typedef struct RevealKey
{
	pg_uuid_t	subject;
	uint16		class_id;
	uint8		kind;			/* RevealKind */
	uint8		has_subject;
} RevealKey;

/* What a transaction has revealed already */
typedef struct Revealed
{
	RevealKey	key;
	uint8		status;			/* simplehash's own */
} Revealed;

/* Hash what is revealed; subjects are random as a rule, and classes few */
static inline uint32
reveal_key_hash(const RevealKey *key)
{
	uint64		words[3] = {0};

	memcpy(words, key, sizeof(*key));
	words[0] = (words[0] ^ words[2]) * UINT64CONST(0x9E3779B97F4A7C15);
	words[0] ^= words[0] >> 32;
	words[0] = (words[0] ^ words[1]) * UINT64CONST(0xD6E8FEB86659FD93);
	return (uint32) (words[0] >> 32);
}

#define SH_PREFIX revealed
#define SH_ELEMENT_TYPE Revealed
#define SH_KEY_TYPE RevealKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) reveal_key_hash(&(key))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(RevealKey)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define REVEALED_INITIAL_ENTRIES 128

static revealed_hash *revealed = NULL;

/* The list that was put into the ring last */
static struct
{
	AuditSlot  *slot;			/* NULL: none of this transaction */
	uint64		position;		/* of the ring's tail when it is committed */
	uint64		xid;			/* as in its record, and so the others */
	TimestampTz at;
	RevealKey	last;			/* what its last entry says */
	Size		room;			/* that the next one gets */
}			list;

static bool actor_known = false;
static uint64 actor_answer = 0; /* identity_answer() when it was looked at */
static AuditActor actor;

/* Number of this backend's current transaction, as far as it reveals anything */
static uint32 transaction_number = 0;

/*
 * The mark beside a subject's key tells what of the subject is on record: the number
 * of the transaction, and a bit for each class and kind that it has revealed of
 * anybody. Those that come when all bits are taken are in the table, and so is what a
 * reveal that took long has put on record: the key may have gone elsewhere meanwhile.
 */
#define MARK_BITS 32

static struct
{
	uint16		class_id;
	uint8		kind;
}			mark_meanings[MARK_BITS];
static int	mark_meanings_used = 0;

/* Forget what was revealed */
static void
forget_revealed(void)
{
	if (revealed)
		revealed_destroy(revealed);
	revealed = NULL;
	mark_meanings_used = 0;
	list.slot = NULL;
	list.room = LIST_FIRST_ROOM;
}

/* Return the bit of a class and kind, or 0 when it has none */
static inline uint32
mark_bit(uint16 class_id, RevealKind kind)
{
	int			i = 0;

	while (i < mark_meanings_used &&
		   (mark_meanings[i].class_id != class_id || mark_meanings[i].kind != (uint8) kind))
		i++;
	if (i == MARK_BITS)
		return 0;
	if (i == mark_meanings_used)
	{
		mark_meanings[i].class_id = class_id;
		mark_meanings[i].kind = (uint8) kind;
		mark_meanings_used++;
	}
	return (uint32) 1 << i;
}

/* Return the bits of a mark, if this transaction has set them */
static inline uint32
bits_of_mark(uint64 mark)
{
	return mark >> MARK_BITS == transaction_number ? (uint32) mark : 0;
}

/* Has this transaction revealed that already? */
static inline bool
already_revealed(const RevealKey *key, uint32 hash)
{
	return revealed != NULL && revealed_lookup_hash(revealed, *key, hash) != NULL;
}

/* Note that it has */
static void
note_revealed(const RevealKey *key, uint32 hash)
{
	bool		found;

	if (revealed == NULL)
		revealed = revealed_create(TopMemoryContext, REVEALED_INITIAL_ENTRIES, NULL);
	(void) revealed_insert_hash(revealed, *key, hash, &found);
}

/* Take over into the table what a mark says, as the keyring lets go of it */
static void
keep_mark(const pg_uuid_t *subject, uint64 mark)
{
	uint32		bits = actor_known ? bits_of_mark(mark) : 0;

	for (int i = 0; i < mark_meanings_used; i++)
	{
		RevealKey	key = {.subject = *subject,.class_id = mark_meanings[i].class_id,
		.kind = mark_meanings[i].kind,.has_subject = true};

		if (bits & (uint32) 1 << i)
			note_revealed(&key, reveal_key_hash(&key));
	}
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
	keyring_mark_lost = keep_mark;
	withhold_init();
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
pack(StringInfo buf, AuditKind audit_kind, const pg_uuid_t *subject, const char *details)
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
	record.member_id = actor.member_id;
	record.pid = MyProcPid;
	record.transaction = transaction_number;
	record.audit_kind = audit_kind;

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

/* Write an entry of a list; last is what the one before it says, or NULL; returns its length */
static Size
pack_entry(char *entry, const RevealKey *key, const RevealKey *last, bool charged)
{
	char	   *at = entry + 1;
	uint8		parts = charged ? ENTRY_CHARGED : 0;

	if (!key->has_subject)
		parts |= ENTRY_NOBODY;
	else if (last == NULL || !last->has_subject ||
			 memcmp(&last->subject, &key->subject, sizeof(key->subject)) != 0)
	{
		parts |= ENTRY_SUBJECT;
		memcpy(at, &key->subject, UUID_LEN);
		at += UUID_LEN;
	}
	if (last == NULL || last->class_id != key->class_id || last->kind != key->kind)
	{
		parts |= ENTRY_CLASS;
		memcpy(at, &key->class_id, sizeof(key->class_id));
		at += sizeof(key->class_id);
		*at++ = (char) key->kind;
	}
	*entry = (char) parts;
	return at - entry;
}

/* Append to the list in the ring, if it is one of this statement and the worker has not taken it */
static bool
append_to_list(const RevealKey *key, bool charged)
{
	char		entry[ENTRY_MAX_BYTES];

	return list.slot != NULL && list.at == GetCurrentStatementStartTimestamp() &&
		list.xid == U64FromFullTransactionId(GetTopFullTransactionIdIfAny()) &&
		slot_append(entry, pack_entry(entry, key, &list.last, charged));
}

/* Put a new list into the ring, with one entry; raises CH401 when that is not possible */
static void
start_list(const RevealKey *key, bool charged)
{
	StringInfoData record;
	WorkerWait	wait;
	char		entry[ENTRY_MAX_BYTES];
	Size		room;

	list.slot = NULL;
	pack(&record, AUDIT_REVEAL, NULL, NULL);
	appendBinaryStringInfo(&record, entry, pack_entry(entry, key, NULL, charged));
	room = Min(list.room, SLOT_RECORD_MAX - SLOT_RECORD_HEAD - record.len);
	worker_wait_init(&wait);
	while (slot_push(wait.slot, record.data, record.len, room, false, &list.position) != SLOT_PUSHED)
		worker_wait(&wait);
	ConditionVariableCancelSleep();
	pfree(record.data);
	list.slot = wait.slot;
	list.xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	list.at = GetCurrentStatementStartTimestamp();
	list.room = Min(list.room * LIST_ROOM_GROWTH, SLOT_RECORD_MAX);
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
	TimestampTz at = GetCurrentStatementStartTimestamp();
	RevealKey	key;
	uint32		hash;
	uint32		bit = 0;
	bool		charged;
	bool		quick;			/* nothing has happened that may have moved the mark */

	quick = mark != NULL && standing != 0 && actor_known && actor_answer == standing;
	if (standing == 0)
		standing = identity_answer();
	if (quick)
	{
		bit = mark_bit(class_id, kind);
		if (bits_of_mark(*mark) & bit)
			return;
	}
	else
		refresh_actor();

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
	hash = reveal_key_hash(&key);
	if (already_revealed(&key, hash))
		return;

	charged = kind != REVEAL_PARTIAL && actor.member_id != 0 && !export_guard_exporting();
	if (charged && !export_limit_charge_again(actor.member_id, at, standing))
	{
		export_limit_charge(actor.member_id, at);
		quick = false;
	}
	if (RecoveryInProgress())
	{
		record_reveal_on_standby(subject, class_id, kind);
		quick = false;
	}
	else
	{
		if (!append_to_list(&key, charged))
		{
			start_list(&key, charged);
			quick = false;
		}
		list.last = key;
		if (settings_durable_reveal())
		{
			/* a row waits as a whole, with others; code that gets plaintext could let it out at once */
			if (!run_scope.sending || !withhold_until(list.slot, list.position))
				worker_wait_committed(list.slot, list.position);
			quick = false;
		}
	}
	if (quick && bit != 0)
		*mark = (uint64) transaction_number << MARK_BITS | bits_of_mark(*mark) | bit;
	else
		note_revealed(&key, hash);
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
	pack(&record, kind, subject, details);
	slot = slot_of_database(MyDatabaseId);
	if (slot == NULL)
		slot = slot_request(MyDatabaseId, false);
	for (;;)
	{
		if (slot && slot_push(slot, record.data, record.len, 0, true, &position) == SLOT_PUSHED)
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

/* Make the details of an event; reveal may be NULL, and given is what the caller gave, or NULL */
static const Jsonb *
make_details(const RevealRecord *record, const AuditActor *reader, const RevealKey *reveal,
			 const char *given)
{
	JsonbParseState *state = NULL;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	if (given != NULL)
		push_details(&state, given);
	if (reveal != NULL)
	{
		const char *class_name = data_class_name(reveal->class_id);

		/* one that its reader's transaction has just added is not known here, or never will be */
		push_text(&state, "class", class_name ? class_name : psprintf("%u", reveal->class_id));
		push_text(&state, "reveal", reveal_kind_name(reveal->kind));
	}
	/* the last of equal keys wins, so nobody speaks for somebody else */
	event_push_actor(&state, reader);
	/* values are copied at the end only: each needs memory of its own */
	push_text(&state, "session", psprintf("%d.%u", record->pid, record->transaction));
	if (record->xid != 0)
		push_text(&state, "xid", psprintf(UINT64_FORMAT, record->xid));
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/* Read an entry of a list into what the one before it said; returns where the next one is */
static const char *
unpack_entry(const char *at, RevealKey *reveal, bool *charged)
{
	uint8		parts = (uint8) *at++;

	*charged = (parts & ENTRY_CHARGED) != 0;
	reveal->has_subject = (parts & ENTRY_NOBODY) == 0;
	if (parts & ENTRY_SUBJECT)
	{
		memcpy(&reveal->subject, at, UUID_LEN);
		at += UUID_LEN;
	}
	if (parts & ENTRY_CLASS)
	{
		memcpy(&reveal->class_id, at, sizeof(reveal->class_id));
		at += sizeof(reveal->class_id);
		reveal->kind = (uint8) *at++;
	}
	return at;
}

/* Make an event of each reveal of a list and insert it */
static void
store_list(const RevealRecord *record, const AuditActor *reader, const char *at, const char *end)
{
	AuditEvent	event = {.kind = AUDIT_REVEAL};
	RevealKey	reveal;
	bool		charged;

	/* details made already: a row shows values of a few classes, and so do those after it */
	struct
	{
		const Jsonb *details;
		uint16		class_id;
		uint8		kind;
	}			known[KNOWN_DETAILS] = {0};

	memset(&reveal, 0, sizeof(reveal));
	while (at < end)
	{
		int			place;

		CHECK_FOR_INTERRUPTS();
		at = unpack_entry(at, &reveal, &charged);
		place = (reveal.class_id + reveal.kind) % KNOWN_DETAILS;
		if (known[place].details == NULL || known[place].class_id != reveal.class_id ||
			known[place].kind != reveal.kind)
		{
			known[place].details = make_details(record, reader, &reveal, NULL);
			known[place].class_id = reveal.class_id;
			known[place].kind = reveal.kind;
		}
		event.subject = reveal.has_subject ? &reveal.subject : NULL;
		event.details = known[place].details;
		event_insert(&event);
		if (charged)
			export_limit_note_stored(record->member_id, record->at);
	}
}

/* Make events of a record and insert them */
static void
store_record(const char *data, Size len)
{
	const char *end = data + len;
	RevealRecord record;
	AuditActor	reader;
	AuditEvent	event;

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

	if (record.audit_kind == AUDIT_REVEAL)
	{
		store_list(&record, &reader, data, end);
		return;
	}
	memset(&event, 0, sizeof(event));
	event.kind = (AuditKind) record.audit_kind;
	if (record.has_subject)
		event.subject = &record.subject;
	event.details = make_details(&record, &reader, NULL,
								 record.details_len > 0 ? pnstrdup(data, record.details_len) : NULL);
	event_insert(&event);
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
		store_record(records + sizeof(record_len), record_len);
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
