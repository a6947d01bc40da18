/*
 * posting.c: what an event can be asked for, and reading events with that.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

#include "audit/posting.h"
#include "foundation/compat.h"
#include "keyring/keyring.h"

/* First bytes of what is tagged; 0x01 and 0x02 are events and digests */
#define BUCKET_DOMAIN 0x03
#define CHUNK_DOMAIN 0x04

/* Action of a question to the trail, see hub_begin_audit_read */
#define AUDIT_READ "audit_read"

/* Subject, member, login or kind, and a row's key */
#define TERMS_MAX (4 + POSTING_KEY_COLUMNS)

struct PostingReader
{
	TrailScan  *events;
	TrailScan  *transactions;
	bool		has_transaction;
	TransactionRow transaction; /* the first that does not come before the event */
	StringInfoData bytes;
	AuditBlock	before;			/* the scans lead to the snapshots of these */
	AuditBlock	block;
	bool		has_rest;		/* what comes after block is read next */
	MemoryContext context;		/* of one event's terms */
	uint64		hashes[TERMS_MAX];
};

/* Hash what is asked for */
uint64
posting_hash(PostingTerm term, const char *key, Size len)
{
	return hash_bytes_extended((const unsigned char *) key, (int) len, term);
}

/* Return the bucket that a hash is in */
int
posting_bucket(uint64 hash)
{
	return (int) ((hash >> 32) % POSTING_BUCKETS);
}

/* Give the text of a scalar that may be part of a key; equal numbers have equal texts */
static const char *
scalar_text(const JsonbValue *value, Size *len)
{
	const char *text;

	if (value->type == jbvString)
	{
		*len = value->val.string.len;
		return value->val.string.val;
	}
	if (value->type != jbvNumeric)
		return NULL;
	text = numeric_normalize(value->val.numeric);
	*len = strlen(text);
	return text;
}

/* Hash the columns of a row's key; see posting.h */
int
posting_row_hashes(const char *relation, Size relation_len, const Jsonb *row_key, uint64 *hashes,
				   int max)
{
	Jsonb	   *document = DatumGetJsonbP(PointerGetDatum(row_key));
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	StringInfoData key;
	int			count = 0;

	if (!JB_ROOT_IS_OBJECT(document))
		return 0;
	initStringInfo(&key);
	iterator = JsonbIteratorInit(&document->root);
	(void) JsonbIteratorNext(&iterator, &value, true);	/* the object itself */
	while (count < max && (token = JsonbIteratorNext(&iterator, &value, true)) == WJB_KEY)
	{
		const char *text;
		Size		len;

		resetStringInfo(&key);
		appendBinaryStringInfo(&key, relation, (int) relation_len);
		appendStringInfoChar(&key, '\0');
		appendBinaryStringInfo(&key, value.val.string.val, value.val.string.len);
		appendStringInfoChar(&key, '\0');
		(void) JsonbIteratorNext(&iterator, &value, true);
		text = scalar_text(&value, &len);
		if (text == NULL)
			continue;
		appendBinaryStringInfo(&key, text, (int) len);
		hashes[count++] = posting_hash(POSTING_ROW, key.data, key.len);
	}
	return count;
}

/* Find a scalar of an event's details */
static const char *
detail(Jsonb *details, const char *key, Size *len)
{
	JsonbValue	value;

	if (getKeyJsonValueFromContainer(&details->root, key, (int) strlen(key), &value) == NULL)
		return NULL;
	return scalar_text(&value, len);
}

/* See who was at work, as view hub.audit_entry does */
static void
find_actor(PostingReader *reader, const AuditEvent *event, const char **member, Size *member_len,
		   const char **login, Size *login_len)
{
	*member = *login = NULL;
	if (event->details != NULL)
	{
		Jsonb	   *details = DatumGetJsonbP(PointerGetDatum(event->details));
		Size		ignored;

		if (JB_ROOT_IS_OBJECT(details) &&
			detail(details, "session", &ignored) != NULL && detail(details, "at", &ignored) != NULL &&
			(*login = detail(details, "login", login_len)) != NULL)
		{
			*member = detail(details, "member", member_len);
			return;
		}
	}
	while (reader->has_transaction && reader->transaction.xid < event->xid)
	{
		resetStringInfo(&reader->bytes);
		reader->has_transaction = scan_next_transaction(reader->transactions, &reader->transaction,
														&reader->bytes);
	}
	if (!reader->has_transaction || reader->transaction.xid != event->xid)
		return;
	if (reader->transaction.member_id != 0)
	{
		*member = psprintf("%d", reader->transaction.member_id);
		*member_len = strlen(*member);
	}
	if (reader->transaction.login != NULL)
	{
		*login = VARDATA_ANY(reader->transaction.login);
		*login_len = VARSIZE_ANY_EXHDR(reader->transaction.login);
	}
}

/* Is an event a question to the trail? There are more of them than of what left in bulk */
static bool
is_audit_read(const AuditEvent *event)
{
	const char *action = NULL;
	Size		len;

	if (event->kind == AUDIT_EXPORT && event->details != NULL)
	{
		Jsonb	   *details = DatumGetJsonbP(PointerGetDatum(event->details));

		if (JB_ROOT_IS_OBJECT(details))
			action = detail(details, "action", &len);
	}
	return action != NULL && len == strlen(AUDIT_READ) && memcmp(action, AUDIT_READ, len) == 0;
}

/* Hash all that an event can be asked for */
static int
event_hashes(PostingReader *reader, const AuditEvent *event)
{
	uint64	   *hashes = reader->hashes;
	bool		reveal = event->kind == AUDIT_REVEAL;
	int			count = 0;
	const char *member;
	const char *login;
	Size		member_len;
	Size		login_len;

	find_actor(reader, event, &member, &member_len, &login, &login_len);
	if (event->subject != NULL)
		hashes[count++] = posting_hash(POSTING_SUBJECT, (const char *) event->subject->data, UUID_LEN);
	if (member != NULL)
		hashes[count++] = posting_hash(reveal ? POSTING_MEMBER_REVEAL : POSTING_MEMBER, member, member_len);
	if (reveal && login != NULL)
		hashes[count++] = posting_hash(POSTING_LOGIN_REVEAL, login, login_len);
	if (!reveal && event->kind != AUDIT_ROW)
	{
		const char *kind = is_audit_read(event) ? AUDIT_READ : event_kind_label(event->kind);

		hashes[count++] = posting_hash(POSTING_KIND, kind, strlen(kind));
	}
	if (event->relation != NULL && event->row_key != NULL)
		count += posting_row_hashes(event->relation, event->relation_len, event->row_key,
									hashes + count, POSTING_KEY_COLUMNS);
	return count;
}

/* Begin to read what snapshot sees and before does not, from the middle if so asked */
static void
open_scans(PostingReader *reader, const BlockSnapshot *before, const BlockSnapshot *snapshot,
		   uint64 xid_base, const PostingPosition *from)
{
	reader->events = scan_events_after(before, snapshot, xid_base, from->xid, (int32) from->ordinal);
	reader->transactions = scan_transactions_from(before, snapshot, xid_base, from->xid);
	resetStringInfo(&reader->bytes);
	reader->has_transaction = scan_next_transaction(reader->transactions, &reader->transaction,
													&reader->bytes);
}

/* Make a reader that reads nothing yet */
static PostingReader *
new_reader(void)
{
	PostingReader *reader = palloc0(sizeof(PostingReader));

	initStringInfo(&reader->bytes);
	reader->context = AllocSetContextCreate(CurrentMemoryContext, "customer_hub posting terms",
											ALLOCSET_DEFAULT_SIZES);
	return reader;
}

/* Read what a block holds after a position in it; see posting.h */
bool
posting_open_block(const PostingPosition *from, PostingReader **opened)
{
	PostingReader *reader = new_reader();
	bool		continues;

	*opened = reader;
	if (!block_by_number(from->block, &reader->block))
		return false;
	continues = block_by_number(from->block - 1, &reader->before) &&
		reader->before.xid_base == reader->block.xid_base;
	open_scans(reader, continues ? &reader->before.snapshot : NULL, &reader->block.snapshot,
			   reader->block.xid_base, from);
	return true;
}

/*
 * Read all there is after a position, sealed or not. What a block has left is read
 * by itself: positions in it say nothing about the blocks that come later.
 */
PostingReader *
posting_open_tail(const PostingPosition *from)
{
	static const PostingPosition beginning = {0};
	PostingReader *reader;

	if (from->xid > 0 && posting_open_block(from, &reader))
	{
		reader->has_rest = true;
		return reader;
	}
	reader = new_reader();
	if (block_by_number(from->block - 1, &reader->before))
		open_scans(reader, &reader->before.snapshot, NULL, reader->before.xid_base, &beginning);
	else
		open_scans(reader, NULL, NULL, 0, &beginning);
	return reader;
}

/* End the scans */
static void
close_scans(PostingReader *reader)
{
	scan_end(reader->events);
	scan_end(reader->transactions);
}

/* Go on to the next event */
bool
posting_next(PostingReader *reader, AuditEvent *event, const uint64 **hashes, int *count)
{
	static const PostingPosition beginning = {0};
	MemoryContext old_context;

	while (!scan_next_event(reader->events, event))
	{
		if (!reader->has_rest)
			return false;
		reader->has_rest = false;
		close_scans(reader);
		open_scans(reader, &reader->block.snapshot, NULL, reader->block.xid_base, &beginning);
	}
	MemoryContextReset(reader->context);
	old_context = MemoryContextSwitchTo(reader->context);
	*count = event_hashes(reader, event);
	*hashes = reader->hashes;
	MemoryContextSwitchTo(old_context);
	return true;
}

/* End reading */
void
posting_close(PostingReader *reader)
{
	close_scans(reader);
	MemoryContextDelete(reader->context);
	pfree(reader);
}

/* Tag the postings of a bucket */
void
posting_bucket_tag(int64 chunk, int32 bucket, const char *bytes, Size len,
				   uint8 tag[EVENT_TAG_BYTES])
{
	char	   *message = palloc(1 + sizeof(chunk) + sizeof(bucket) + len);
	char	   *at = message;

	*at++ = BUCKET_DOMAIN;
	memcpy(at, &chunk, sizeof(chunk));
	at += sizeof(chunk);
	memcpy(at, &bucket, sizeof(bucket));
	at += sizeof(bucket);
	memcpy(at, bytes, len);
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, message, at + len - message, tag);
	pfree(message);
}

/* Tag a chunk: what is in it, and what comes before it */
void
posting_chunk_tag(const PostingChunk *chunk, uint8 tag[EVENT_TAG_BYTES])
{
	struct
	{
		char		domain[8];
		int64		number;
		PostingPosition from;
		PostingPosition to;
		TimestampTz first_at;
		TimestampTz last_at;
	}			message;

	memset(&message, 0, sizeof(message));
	message.domain[0] = CHUNK_DOMAIN;
	message.number = chunk->number;
	message.from = chunk->from;
	message.to = chunk->to;
	message.first_at = chunk->first_at;
	message.last_at = chunk->last_at;
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, &message, sizeof(message), tag);
}
