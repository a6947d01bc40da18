/*
 * channel_event.c: hand the events of a parser to the executor.
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "channels/channel_event.h"
#include "foundation/compat.h"

#define EVENT_COLUMNS 12

/* Start an object or an array. */
void
builder_start(JsonbBuilder *builder, bool is_array)
{
	builder->state = NULL;
	builder->result = NULL;
	builder->is_array = is_array;
	builder->count = 0;
	(void) pushJsonbValue(&builder->state, is_array ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT, NULL);
}

/* Add a value; key is NULL in an array. A NULL value adds nothing. */
void
builder_value(JsonbBuilder *builder, const char *key, JsonbValue *value)
{
	if (value == NULL)
		return;
	if (key != NULL)
	{
		JsonbValue	name;

		name.type = jbvString;
		name.val.string.val = pstrdup(key);
		name.val.string.len = strlen(key);
		(void) pushJsonbValue(&builder->state, WJB_KEY, &name);
	}
	(void) pushJsonbValue(&builder->state, key != NULL ? WJB_VALUE : WJB_ELEM, value);
	builder->count++;
}

/* Add a string. */
void
builder_text(JsonbBuilder *builder, const char *key, const char *text)
{
	JsonbValue	value;

	if (text == NULL)
		return;
	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	builder_value(builder, key, &value);
}

/* Add a boolean. */
void
builder_bool(JsonbBuilder *builder, const char *key, bool flag)
{
	JsonbValue	value;

	value.type = jbvBool;
	value.val.boolean = flag;
	builder_value(builder, key, &value);
}

/* Finish what was built; NULL when nothing was added. */
static Jsonb *
builder_finish(JsonbBuilder *builder)
{
	if (builder->count == 0)
		return NULL;
	builder->result = pushJsonbValue(&builder->state,
									 builder->is_array ? WJB_END_ARRAY : WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(builder->result);
}

/* Add what another builder holds, unless it holds nothing. */
void
builder_nest(JsonbBuilder *builder, const char *key, JsonbBuilder *inner)
{
	Jsonb	   *finished = builder_finish(inner);
	JsonbValue	value;

	if (finished == NULL)
		return;
	value.type = jbvBinary;
	value.val.binary.data = &finished->root;
	value.val.binary.len = VARSIZE(finished) - VARHDRSZ;
	builder_value(builder, key, &value);
}

/* Copy a value of the payload as it stands. */
void
builder_copy(JsonbBuilder *builder, const char *key, JsonbContainer *from, const char *path)
{
	builder_value(builder, key, reader_value(from, path));
}

/* Start an event with nothing in it. */
void
event_begin(ChannelEvent *event)
{
	memset(event, 0, sizeof(ChannelEvent));
	event->status = EVENT_NEW;
	builder_start(&event->attachments, true);
	builder_start(&event->details, false);
}

/* Set one text column of a result row. */
static void
event_column(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	values[column] = text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

/* Add an event to the result. */
void
event_emit(EventSink *sink, ChannelEvent *event)
{
	Datum		values[EVENT_COLUMNS];
	bool		nulls[EVENT_COLUMNS];
	Jsonb	   *attachments = builder_finish(&event->attachments);
	Jsonb	   *details = builder_finish(&event->details);

	CHECK_FOR_INTERRUPTS();
	event_column(values, nulls, 0, event->kind);
	event_column(values, nulls, 1, event->external_id);
	event_column(values, nulls, 2, event->sender);
	event_column(values, nulls, 3, event->sender == NULL &&
				 event->sender_kind != NULL &&
				 strcmp(event->sender_kind, SENDER_BUSINESS) != 0 &&
				 strcmp(event->sender_kind, SENDER_AGENT) != 0 ? NULL : event->sender_kind);
	event_column(values, nulls, 4, event->recipient);
	nulls[5] = !event->has_moment;
	values[5] = TimestampTzGetDatum(event->occurred_at);
	event_column(values, nulls, 6, event->text);
	nulls[7] = attachments == NULL;
	values[7] = attachments == NULL ? (Datum) 0 : JsonbPGetDatum(attachments);
	event_column(values, nulls, 8, event->reply_to);
	nulls[9] = details == NULL;
	values[9] = details == NULL ? (Datum) 0 : JsonbPGetDatum(details);
	event_column(values, nulls, 10, event->status);
	event_column(values, nulls, 11, event->reason);
	tuplestore_putvalues(sink->result->setResult, sink->result->setDesc, values, nulls);
	sink->count++;
}

/* Add an event that says no more than why there is none. */
void
event_emit_bare(EventSink *sink, const char *kind, const char *status, const char *reason)
{
	ChannelEvent event;

	event_begin(&event);
	event.kind = kind;
	event.status = status;
	event.reason = reason;
	event_emit(sink, &event);
}

/* Run a parser as a set-returning function of (payload jsonb). */
Datum
event_parse(FunctionCallInfo fcinfo, EventParser parser)
{
	EventSink	sink;

	InitMaterializedSRF(fcinfo, 0);
	sink.result = (ReturnSetInfo *) fcinfo->resultinfo;
	sink.count = 0;
	parser(&sink, &PG_GETARG_JSONB_P(0)->root);

	/* an empty webhook is answered too: the caller sees that it was read */
	if (sink.count == 0)
		event_emit_bare(&sink, "empty", EVENT_IGNORED, "the payload holds no event");
	return (Datum) 0;
}
