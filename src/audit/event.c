/*
 * event.c: canonical bytes of an event, and reading them back from the table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_enum.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/xid8.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/timestamp.h"

#include "audit/event.h"
#include "audit/event_table.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

static const char *const kind_labels[AUDIT_KINDS] = {
	[AUDIT_ROW] = "row",
	[AUDIT_REVEAL] = "reveal",
	[AUDIT_DENIED] = "denied",
	[AUDIT_EXPORT] = "export",
	[AUDIT_APPROVAL] = "approval",
	[AUDIT_ERASURE] = "erasure",
	[AUDIT_CONSENT] = "consent",
	[AUDIT_HOLD] = "hold",
	[AUDIT_CONFIG] = "config",
	[AUDIT_DDL] = "ddl",
	[AUDIT_AUTHENTICATION] = "authentication",
	[AUDIT_BREAK_GLASS] = "break_glass"
};

/* Labels of the enum type that kind_type names, by AuditKind */
static Oid	kind_type = InvalidOid;
static Oid	kind_oids[AUDIT_KINDS];

/* Columns of hub.audit_event, by their number in the root table */
static const char *const column_names[EVENT_COLUMNS] = {
	"xid", "ordinal", "recorded_at", "kind", "relation", "operation", "subject",
	"row_key", "changed", "sealed", "details", "tag"
};

PG_FUNCTION_INFO_V1(hub_audit_canonical);

/* Return the label of a kind */
const char *
event_kind_label(AuditKind kind)
{
	return kind_labels[kind];
}

/* Look the labels up once per incarnation of the type */
static void
load_kinds(Oid type)
{
	if (type == kind_type)
		return;
	for (int kind = 0; kind < AUDIT_KINDS; kind++)
	{
		kind_oids[kind] = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid,
										  ObjectIdGetDatum(type),
										  CStringGetDatum(kind_labels[kind]));
		if (!OidIsValid(kind_oids[kind]))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("type hub.audit_kind has no label \"%s\"", kind_labels[kind]),
					 errhint("Update the extension: ALTER EXTENSION customer_hub UPDATE.")));
	}
	kind_type = type;
}

/* Return the enum value of a kind; type is the type of column kind */
Oid
event_kind_oid(AuditKind kind, Oid type)
{
	load_kinds(type);
	return kind_oids[kind];
}

/* Return the kind of an enum value */
static AuditKind
kind_of_oid(Oid value, Oid type)
{
	load_kinds(type);
	for (int kind = 0; kind < AUDIT_KINDS; kind++)
	{
		if (kind_oids[kind] == value)
			return kind;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("audit event has an unknown kind")));
}

/* Write one field's number and length, and return where its value goes */
static char *
put_field(char *at, EventField field, Size len)
{
	uint32		length = pg_hton32((uint32) len);

	*at++ = (char) field;
	memcpy(at, &length, sizeof(length));
	return at + sizeof(length);
}

/* Write a field that has a value */
static char *
put_bytes(char *at, EventField field, const void *value, Size len)
{
	at = put_field(at, field, len);
	memcpy(at, value, len);
	return at + len;
}

#define FIELD_HEADER_BYTES (1 + sizeof(uint32))

/* Append the canonical bytes of an event */
void
event_encode(const AuditEvent *event, StringInfo buf)
{
	const char *kind = kind_labels[event->kind];
	Size		kind_len = strlen(kind);
	uint64		xid = pg_hton64(event->xid);
	uint32		ordinal = pg_hton32((uint32) event->ordinal);
	uint64		recorded_at = pg_hton64((uint64) event->recorded_at);
	Size		len = 1 + 4 * FIELD_HEADER_BYTES + sizeof(xid) + sizeof(ordinal) +
		sizeof(recorded_at) + kind_len;
	char	   *at;

	if (event->relation)
		len += FIELD_HEADER_BYTES + event->relation_len;
	if (event->operation)
		len += FIELD_HEADER_BYTES + event->operation_len;
	if (event->subject)
		len += FIELD_HEADER_BYTES + UUID_LEN;
	if (event->row_key)
		len += FIELD_HEADER_BYTES + VARSIZE_ANY_EXHDR(event->row_key);
	if (event->changed)
		len += FIELD_HEADER_BYTES + VARSIZE_ANY_EXHDR(event->changed);
	if (event->sealed)
		len += FIELD_HEADER_BYTES + VARSIZE_ANY_EXHDR(event->sealed);
	if (event->details)
		len += FIELD_HEADER_BYTES + VARSIZE_ANY_EXHDR(event->details);

	enlargeStringInfo(buf, (int) len);
	at = buf->data + buf->len;
	*at++ = EVENT_ENCODING_VERSION;
	at = put_bytes(at, EVENT_FIELD_XID, &xid, sizeof(xid));
	at = put_bytes(at, EVENT_FIELD_ORDINAL, &ordinal, sizeof(ordinal));
	at = put_bytes(at, EVENT_FIELD_RECORDED_AT, &recorded_at, sizeof(recorded_at));
	at = put_bytes(at, EVENT_FIELD_KIND, kind, kind_len);
	if (event->relation)
		at = put_bytes(at, EVENT_FIELD_RELATION, event->relation, event->relation_len);
	if (event->operation)
		at = put_bytes(at, EVENT_FIELD_OPERATION, event->operation, event->operation_len);
	if (event->subject)
		at = put_bytes(at, EVENT_FIELD_SUBJECT, event->subject->data, UUID_LEN);
	if (event->row_key)
		at = put_bytes(at, EVENT_FIELD_ROW_KEY, VARDATA_ANY(event->row_key),
					   VARSIZE_ANY_EXHDR(event->row_key));
	if (event->changed)
		at = put_bytes(at, EVENT_FIELD_CHANGED, VARDATA_ANY(event->changed),
					   VARSIZE_ANY_EXHDR(event->changed));
	if (event->sealed)
		at = put_bytes(at, EVENT_FIELD_SEALED, VARDATA_ANY(event->sealed),
					   VARSIZE_ANY_EXHDR(event->sealed));
	if (event->details)
		at = put_bytes(at, EVENT_FIELD_DETAILS, VARDATA_ANY(event->details),
					   VARSIZE_ANY_EXHDR(event->details));
	buf->len += (int) len;
	buf->data[buf->len] = '\0';
}

/* Tag canonical bytes */
void
event_tag(const char *bytes, Size len, uint8 tag[EVENT_TAG_BYTES])
{
	keyring_siphash128(SERVICE_KEY_AUDIT_EVENT, bytes, len, tag);
}

/* Find the columns by name in a partition, or in the root, of hub.audit_event */
void
event_columns(TupleDesc tupdesc, EventColumns *columns)
{
	StaticAssertStmt(EVENT_COLUMNS == EVENT_COLUMN_COUNT, "every column has a place");
	for (int i = 0; i < EVENT_COLUMNS; i++)
	{
		columns->attnums[i] = InvalidAttrNumber;
		for (int j = 0; j < tupdesc->natts; j++)
		{
			if (!TupleDescAttr(tupdesc, j)->attisdropped &&
				strcmp(NameStr(TupleDescAttr(tupdesc, j)->attname), column_names[i]) == 0)
				columns->attnums[i] = j + 1;
		}
		if (columns->attnums[i] == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("audit table has no column \"%s\"", column_names[i])));
	}
	columns->kind_type = TupleDescAttr(tupdesc, columns->attnums[EVENT_KIND] - 1)->atttypid;
}

/* Make an event of a row's values */
void
event_from_values(const Datum *values, const bool *nulls, const EventColumns *columns,
				  AuditEvent *event)
{
#define VALUE(column) (values[columns->attnums[column] - 1])
#define HAS(column) (!nulls[columns->attnums[column] - 1])
	memset(event, 0, sizeof(*event));
	event->xid = HAS(EVENT_XID) ? DatumGetUInt64(VALUE(EVENT_XID)) : 0;
	event->ordinal = DatumGetInt32(VALUE(EVENT_ORDINAL));
	event->recorded_at = DatumGetTimestampTz(VALUE(EVENT_RECORDED_AT));
	event->kind = kind_of_oid(DatumGetObjectId(VALUE(EVENT_KIND)), columns->kind_type);
	if (HAS(EVENT_RELATION))
	{
		text	   *relation = DatumGetTextPP(VALUE(EVENT_RELATION));

		event->relation = VARDATA_ANY(relation);
		event->relation_len = VARSIZE_ANY_EXHDR(relation);
	}
	if (HAS(EVENT_OPERATION))
	{
		text	   *operation = DatumGetTextPP(VALUE(EVENT_OPERATION));

		event->operation = VARDATA_ANY(operation);
		event->operation_len = VARSIZE_ANY_EXHDR(operation);
	}
	if (HAS(EVENT_SUBJECT))
		event->subject = DatumGetUUIDP(VALUE(EVENT_SUBJECT));
	if (HAS(EVENT_ROW_KEY))
		event->row_key = (const Jsonb *) PG_DETOAST_DATUM_PACKED(VALUE(EVENT_ROW_KEY));
	if (HAS(EVENT_CHANGED))
		event->changed = (const Jsonb *) PG_DETOAST_DATUM_PACKED(VALUE(EVENT_CHANGED));
	if (HAS(EVENT_SEALED))
		event->sealed = PG_DETOAST_DATUM_PACKED(VALUE(EVENT_SEALED));
	if (HAS(EVENT_DETAILS))
		event->details = (const Jsonb *) PG_DETOAST_DATUM_PACKED(VALUE(EVENT_DETAILS));
	if (HAS(EVENT_TAG))
	{
		bytea	   *tag = DatumGetByteaPP(VALUE(EVENT_TAG));

		if (VARSIZE_ANY_EXHDR(tag) == EVENT_TAG_BYTES)
			memcpy(event->tag, VARDATA_ANY(tag), EVENT_TAG_BYTES);
	}
#undef VALUE
#undef HAS
}

/* Return the canonical bytes of a row of hub.audit_event */
Datum
hub_audit_canonical(PG_FUNCTION_ARGS)
{
	HeapTupleHeader header = PG_GETARG_HEAPTUPLEHEADER(0);
	TupleDesc	tupdesc;
	HeapTupleData tuple;
	EventColumns columns;
	Datum	   *values;
	bool	   *nulls;
	AuditEvent	event;
	StringInfoData buf;
	bytea	   *result;

	tupdesc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
									 HeapTupleHeaderGetTypMod(header));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	tuple.t_data = header;

	values = palloc(sizeof(Datum) * tupdesc->natts);
	nulls = palloc(sizeof(bool) * tupdesc->natts);
	heap_deform_tuple(&tuple, tupdesc, values, nulls);
	event_columns(tupdesc, &columns);
	event_from_values(values, nulls, &columns, &event);
	ReleaseTupleDesc(tupdesc);
	initStringInfo(&buf);
	event_encode(&event, &buf);
	result = palloc(VARHDRSZ + buf.len);
	SET_VARSIZE(result, VARHDRSZ + buf.len);
	memcpy(VARDATA(result), buf.data, buf.len);
	PG_RETURN_BYTEA_P(result);
}
