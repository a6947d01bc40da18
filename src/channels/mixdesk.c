/*
 * mixdesk.c: pushes of Mixdesk.
 *
 * A push tells the business's own server what an agent wrote to a client who is
 * away: an outbound message, whose recipient is the customer.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "channels/channel_event.h"

PG_FUNCTION_INFO_V1(hub_parse_mixdesk);

/* Emit one pushed message. */
static void
mixdesk_push(EventSink *sink, JsonbContainer *push)
{
	ChannelEvent event;
	char	   *type = reader_text(push, "type");
	char	   *content_type = reader_text(push, "contentType");

	if (type == NULL || !reader_has(push, "messageId"))
	{
		event_emit_bare(sink, "payload", EVENT_REJECTED,
						"not a Mixdesk push: it has no \"type\" or no \"messageId\"");
		return;
	}
	if (strcmp(type, "message") != 0)
	{
		event_emit_bare(sink, psprintf("other:%s", type), EVENT_IGNORED,
						"this kind of push is no message");
		return;
	}
	event_begin(&event);
	event.kind = psprintf("echo:%s", content_type ? content_type : "unknown");
	event.external_id = reader_text(push, "messageId");
	event.sender = reader_text(push, "fromName");
	event.sender_kind = SENDER_AGENT;
	event.recipient = reader_text(push, "clientId");
	event.has_moment = moment_from_iso8601(reader_text(push, "messageTime"), &event.occurred_at);
	event.text = reader_text(push, "content");
	if (content_type != NULL && strcmp(content_type, "text") != 0)
	{
		JsonbBuilder attachment;

		builder_start(&attachment, false);
		builder_text(&attachment, "type", content_type);
		builder_text(&attachment, "url", event.text);
		builder_nest(&event.attachments, NULL, &attachment);
		event.text = NULL;
	}
	builder_copy(&event.details, "name", push, "customizedData.name");
	builder_copy(&event.details, "phone", push, "customizedData.tel");
	builder_copy(&event.details, "email", push, "customizedData.email");
	builder_copy(&event.details, "customer", push, "customizedData");
	builder_copy(&event.details, "customized_id", push, "customizedId");
	builder_copy(&event.details, "device", push, "deviceOS");
	builder_copy(&event.details, "push_id", push, "id");
	if (event.recipient == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the push names no client";
	}
	event_emit(sink, &event);
}

/* Read one push, or a list of them. */
static void
mixdesk_parse(EventSink *sink, JsonbContainer *payload)
{
	if (!reader_is_array(payload))
	{
		mixdesk_push(sink, payload);
		return;
	}
	for (int i = 0; i < reader_count(payload); i++)
		mixdesk_push(sink, reader_element(payload, i));
}

/* hub.parse_mixdesk(payload jsonb) */
Datum
hub_parse_mixdesk(PG_FUNCTION_ARGS)
{
	return event_parse(fcinfo, mixdesk_parse);
}
