/*
 * channel_event.h: what a parser says that happened.
 */
#ifndef CUSTOMER_HUB_CHANNEL_EVENT_H
#define CUSTOMER_HUB_CHANNEL_EVENT_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/execnodes.h"

#include "channels/jsonb_reader.h"

#define EVENT_NEW "new"
#define EVENT_IGNORED "ignored"
#define EVENT_REJECTED "rejected"

/* kinds of sender: what the sender column holds */
#define SENDER_PHONE "phone"
#define SENDER_USER_ID "user_id"
#define SENDER_EMAIL "email"
#define SENDER_VISITOR "visitor"	/* an id that a web site made */
#define SENDER_GROUP "group"
#define SENDER_BUSINESS "business"	/* our own account: the event is outbound */
#define SENDER_AGENT "agent"		/* one of our people or bots: outbound too */

/* A jsonb object or array in the making */
typedef struct JsonbBuilder
{
	JsonbParseState *state;
	JsonbValue *result;
	bool		is_array;
	int			count;
} JsonbBuilder;

/* Members of hub.channel_event, in the order of the type */
typedef struct ChannelEvent
{
	const char *kind;
	const char *external_id;
	const char *sender;
	const char *sender_kind;
	const char *recipient;
	TimestampTz occurred_at;
	bool		has_moment;
	const char *text;
	JsonbBuilder attachments;
	const char *reply_to;
	JsonbBuilder details;
	const char *status;
	const char *reason;
} ChannelEvent;

/* Where a parser puts its events */
typedef struct EventSink
{
	ReturnSetInfo *result;
	int			count;
} EventSink;

typedef void (*EventParser) (EventSink *sink, JsonbContainer *payload);

extern Datum event_parse(FunctionCallInfo fcinfo, EventParser parser);
extern void event_begin(ChannelEvent *event);
extern void event_emit(EventSink *sink, ChannelEvent *event);
extern void event_emit_bare(EventSink *sink, const char *kind, const char *status,
							const char *reason);

extern void builder_start(JsonbBuilder *builder, bool is_array);
extern void builder_text(JsonbBuilder *builder, const char *key, const char *text);
extern void builder_bool(JsonbBuilder *builder, const char *key, bool flag);
extern void builder_value(JsonbBuilder *builder, const char *key, JsonbValue *value);
extern void builder_nest(JsonbBuilder *builder, const char *key, JsonbBuilder *inner);
extern void builder_copy(JsonbBuilder *builder, const char *key,
						 JsonbContainer *from, const char *path);

#endif							/* CUSTOMER_HUB_CHANNEL_EVENT_H */
