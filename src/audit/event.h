/*
 * event.h: an audit event, its canonical bytes, and its way into the table.
 *
 * The canonical bytes are what the keyed tag, the Merkle leaf and every
 * verifier go by:
 *
 *	 byte 0		version of the encoding, 1
 *	 then, for each field that is not NULL, in ascending order of its number:
 *		1 byte	number (EventField)
 *		4 bytes	length, network order
 *		n bytes	value
 *
 * Integers are in network order, times are microseconds since 2000-01-01 UTC,
 * text is in the server's encoding, and jsonb is its stored form without the
 * length word: equal documents have equal bytes on machines of one byte order.
 * A column that is added later gets a number of its own and is NULL in older
 * events, so their bytes stay what they were. The tag is not part of the bytes.
 */
#ifndef CUSTOMER_HUB_EVENT_H
#define CUSTOMER_HUB_EVENT_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "audit/audit.h"
#include "identity/identity.h"

#define EVENT_ENCODING_VERSION 1
#define EVENT_TAG_BYTES 16

typedef enum EventField
{
	EVENT_FIELD_XID = 1,
	EVENT_FIELD_ORDINAL,
	EVENT_FIELD_RECORDED_AT,
	EVENT_FIELD_KIND,			/* the label */
	EVENT_FIELD_RELATION,
	EVENT_FIELD_OPERATION,
	EVENT_FIELD_SUBJECT,
	EVENT_FIELD_ROW_KEY,
	EVENT_FIELD_CHANGED,
	EVENT_FIELD_SEALED,
	EVENT_FIELD_DETAILS
} EventField;

/* One row of hub.audit_event. Strings and documents that are NULL are NULL there */
typedef struct AuditEvent
{
	uint64		xid;			/* see event_xid_base() */
	int32		ordinal;		/* 1, 2, … within the top-level transaction */
	TimestampTz recorded_at;
	AuditKind	kind;
	const char *relation;
	Size		relation_len;
	const char *operation;
	Size		operation_len;
	const pg_uuid_t *subject;
	const Jsonb *row_key;
	const Jsonb *changed;
	const struct varlena *sealed;
	const Jsonb *details;
	uint8		tag[EVENT_TAG_BYTES];
} AuditEvent;

/* Who is at work in this backend: fixed size, so that it fits into shared memory */
typedef struct AuditActor
{
	TimestampTz at;
	int32		member_id;		/* 0 when there is no identity */
	char		role[NAMEDATALEN];	/* hub role; empty when there is no identity */
	char		login[NAMEDATALEN]; /* session_user */
	char		application[NAMEDATALEN];
	char		client[64];		/* address; empty for a local socket */
	char		purpose[IDENTITY_PURPOSE_BYTES];
	bool		by_token;
	uint8		token_id[IDENTITY_TOKEN_ID_BYTES];
} AuditActor;

/* Labels of hub.audit_kind, in the order of AuditKind */
extern const char *event_kind_label(AuditKind kind);

/* Append the canonical bytes to buf */
extern void event_encode(const AuditEvent *event, StringInfo buf);

/* The keyed tag of canonical bytes */
extern void event_tag(const char *bytes, Size len, uint8 tag[EVENT_TAG_BYTES]);

/* Where the columns are in hub.audit_event or in one of its partitions, found by name */
#define EVENT_COLUMN_COUNT 12

typedef struct EventColumns
{
	AttrNumber	attnums[EVENT_COLUMN_COUNT];
	Oid			kind_type;
} EventColumns;

extern void event_columns(TupleDesc tupdesc, EventColumns *columns);

/*
 * Make an event of a row's values. Pointers lead into them, or into memory of the
 * current context where they were toasted.
 */
extern void event_from_values(const Datum *values, const bool *nulls, const EventColumns *columns,
							  AuditEvent *event);

/*
 * Complete an event (xid, ordinal, recorded_at, tag) and insert it within the
 * current transaction. The caller fills all other fields.
 */
extern void event_insert(AuditEvent *event);

/*
 * The xid column is the full transaction id plus this base. The base is zero
 * where the extension was created; a dump that is restored elsewhere continues
 * 2^40 higher (hub.audit_origin), so the order key never repeats. Compare with a
 * snapshot only after adding the base. Registers the database as an origin when
 * it is none yet, so not for read-only transactions.
 */
extern uint64 event_xid_base(void);

/* Is this database the current origin? False in one that has no events of its own yet */
extern bool event_origin_is_current(bool *has_origin);

/* Insert what is buffered, so that this transaction can read its own events */
extern void event_flush(void);

/* Who is at work, and the same as details: member, role, login, application, client, purpose, at */
extern void event_actor(AuditActor *actor);
extern void event_push_actor(JsonbParseState **state, const AuditActor *actor);

#endif							/* CUSTOMER_HUB_EVENT_H */
