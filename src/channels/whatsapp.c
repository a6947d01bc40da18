/*
 * whatsapp.c: webhooks of the WhatsApp Business Platform.
 *
 * entry[] → changes[] → value, and in it messages, statuses, echoes, changed
 * user ids and more, several at a time. A customer is known by phone number
 * (wa_id), by business-scoped user id (US.1234…), or by both.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "channels/channel_event.h"

PG_FUNCTION_INFO_V1(hub_parse_whatsapp);

/* Note the moment of an event. */
static void
whatsapp_moment(ChannelEvent *event, JsonbContainer *from)
{
	event->has_moment = moment_from_epoch(reader_text(from, "timestamp"), &event->occurred_at);
}

/* Find the contact card that belongs to a sender. */
static JsonbContainer *
whatsapp_contact(JsonbContainer *value, const char *phone, const char *user_id)
{
	JsonbContainer *contacts = reader_array(value, "contacts");

	for (int i = 0; i < reader_count(contacts); i++)
	{
		JsonbContainer *contact = reader_element(contacts, i);
		char	   *wa_id = reader_text(contact, "wa_id");
		char	   *contact_user = reader_text(contact, "user_id");

		if ((phone && wa_id && strcmp(phone, wa_id) == 0) ||
			(user_id && contact_user && strcmp(user_id, contact_user) == 0))
			return contact;
	}
	return NULL;
}

/* Set who the customer is, with the name and the other address of the contact card. */
static void
whatsapp_customer(ChannelEvent *event, JsonbContainer *value, char *phone, char *user_id)
{
	JsonbContainer *contact = whatsapp_contact(value, phone, user_id);
	JsonbBuilder aliases;

	if (user_id == NULL)
		user_id = reader_text(contact, "user_id");
	event->sender = phone ? phone : user_id;
	event->sender_kind = phone ? SENDER_PHONE : SENDER_USER_ID;
	builder_copy(&event->details, "name", contact, "profile.name");
	builder_copy(&event->details, "username", contact, "profile.username");
	if (phone != NULL && user_id != NULL)
	{
		JsonbBuilder alias;

		builder_start(&aliases, true);
		builder_start(&alias, false);
		builder_text(&alias, "kind", SENDER_USER_ID);
		builder_text(&alias, "address", user_id);
		builder_nest(&aliases, NULL, &alias);
		builder_nest(&event->details, "aliases", &aliases);
	}
}

/* Describe a media object as an attachment; returns its caption. */
static char *
whatsapp_media(ChannelEvent *event, JsonbContainer *media, const char *type)
{
	JsonbBuilder attachment;

	builder_start(&attachment, false);
	builder_text(&attachment, "type", type);
	builder_copy(&attachment, "id", media, "id");
	builder_copy(&attachment, "mime_type", media, "mime_type");
	builder_copy(&attachment, "sha256", media, "sha256");
	builder_copy(&attachment, "filename", media, "filename");
	builder_copy(&attachment, "url", media, "url");
	builder_copy(&attachment, "voice", media, "voice");
	builder_copy(&attachment, "animated", media, "animated");
	builder_nest(&event->attachments, NULL, &attachment);
	return reader_text(media, "caption");
}

/* Read what a message says, by its type. */
static void
whatsapp_content(ChannelEvent *event, JsonbContainer *message, const char *type)
{
	static const char *const media_types[] = {"image", "video", "audio", "document", "sticker"};
	JsonbContainer *content = reader_object(message, type);

	for (int i = 0; i < lengthof(media_types); i++)
	{
		if (strcmp(type, media_types[i]) == 0)
		{
			event->text = whatsapp_media(event, content, type);
			return;
		}
	}

	if (strcmp(type, "text") == 0)
	{
		event->text = reader_text(content, "body");
		return;
	}
	if (strcmp(type, "button") == 0)
		event->text = reader_text(content, "text");
	else if (strcmp(type, "interactive") == 0)
	{
		event->text = reader_text(content, "button_reply.title");
		if (event->text == NULL)
			event->text = reader_text(content, "list_reply.title");
	}
	else if (strcmp(type, "reaction") == 0)
	{
		event->text = reader_text(content, "emoji");
		event->reply_to = reader_text(content, "message_id");
		return;
	}
	else if (strcmp(type, "order") == 0)
		event->text = reader_text(content, "text");
	else if (strcmp(type, "system") == 0)
		event->text = reader_text(content, "body");

	/* the rest of it as it came: a place, contact cards, products, answers of a form */
	builder_copy(&event->details, type, message, type);
}

/* Emit one message or echo of a message that the business sent elsewhere. */
static void
whatsapp_message(EventSink *sink, JsonbContainer *value, JsonbContainer *message, bool echo)
{
	ChannelEvent event;
	char	   *type = reader_text(message, "type");
	char	   *from = reader_text(message, "from");
	char	   *from_user = reader_text(message, "from_user_id");

	event_begin(&event);
	if (!reader_is_object(message))
	{
		event.kind = "message:unknown";
		event.status = EVENT_REJECTED;
		event.reason = "a message is not an object";
		event_emit(sink, &event);
		return;
	}
	if (type == NULL)
		type = "unknown";
	event.kind = psprintf("%s:%s", echo ? "echo" : "message", type);
	event.external_id = reader_text(message, "id");
	event.reply_to = reader_text(message, "context.id");
	whatsapp_moment(&event, message);
	if (echo)
	{
		event.sender = from;
		event.sender_kind = SENDER_BUSINESS;
		event.recipient = reader_text(message, "to");
		if (event.recipient == NULL)
			event.recipient = reader_text(message, "to_user_id");
	}
	else
	{
		whatsapp_customer(&event, value, from, from_user);
		event.recipient = reader_text(value, "metadata.phone_number_id");
	}
	builder_copy(&event.details, "thread", message, "group_id");
	builder_copy(&event.details, "forwarded", message, "context.forwarded");
	builder_copy(&event.details, "referred_product", message, "context.referred_product");
	builder_copy(&event.details, "referral", message, "referral");
	builder_copy(&event.details, "errors", message, "errors");
	builder_copy(&event.details, "identity", message, "identity");

	if (strcmp(type, "revoke") == 0)
	{
		event.kind = echo ? "echo:revoke" : "revoke";
		event.reply_to = reader_text(message, "revoke.original_message_id");
	}
	else if (strcmp(type, "edit") == 0)
	{
		JsonbContainer *edited = reader_object(message, "edit.message");
		char	   *edited_type = reader_text(edited, "type");

		event.kind = echo ? "echo:edit" : "edit";
		event.reply_to = reader_text(message, "edit.original_message_id");
		if (edited_type != NULL)
			whatsapp_content(&event, edited, edited_type);
	}
	else
	{
		if (strcmp(type, "reaction") == 0)
			event.kind = echo ? "echo:reaction" : "reaction";
		whatsapp_content(&event, message, type);
	}

	if (event.external_id == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the message has no id";
	}
	else if (event.sender == NULL)
	{
		/* a notice about a user of whom it gives no address to find a customer by */
		event.status = strcmp(type, "system") == 0 ? EVENT_IGNORED : EVENT_REJECTED;
		event.reason = "the message names no sender";
	}
	else if (echo && event.recipient == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the echo names no recipient";
	}
	event_emit(sink, &event);
}

/* Emit one receipt: sent, delivered, read, played, failed, deleted. */
static void
whatsapp_status(EventSink *sink, JsonbContainer *value, JsonbContainer *status)
{
	ChannelEvent event;
	char	   *state = reader_text(status, "status");
	char	   *recipient = reader_text(status, "recipient_id");
	char	   *recipient_user = reader_text(status, "recipient_user_id");
	char	   *type = reader_text(status, "recipient_type");

	event_begin(&event);
	event.kind = psprintf("status:%s", state ? state : "unknown");
	event.external_id = reader_text(status, "id");
	whatsapp_moment(&event, status);
	if (type != NULL && strcmp(type, "group") == 0)
	{
		event.sender = recipient;
		event.sender_kind = SENDER_GROUP;
		builder_copy(&event.details, "version", status, "recipient_participant_id");
	}
	else
		whatsapp_customer(&event, value, recipient, recipient_user);
	event.recipient = reader_text(value, "metadata.phone_number_id");
	builder_copy(&event.details, "errors", status, "errors");
	builder_copy(&event.details, "pricing", status, "pricing");
	builder_copy(&event.details, "conversation", status, "conversation");
	builder_copy(&event.details, "callback_data", status, "biz_opaque_callback_data");
	if (event.external_id == NULL || state == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = event.external_id == NULL ? "the status names no message"
			: "the status does not say which";
	}
	event_emit(sink, &event);
}

/* Emit a customer's choice about marketing messages. */
static void
whatsapp_preference(EventSink *sink, JsonbContainer *value, JsonbContainer *preference)
{
	ChannelEvent event;
	char	   *choice = reader_text(preference, "value");

	event_begin(&event);
	event.kind = psprintf("user_preference:%s", choice ? choice : "unknown");
	whatsapp_moment(&event, preference);
	whatsapp_customer(&event, value, reader_text(preference, "wa_id"),
					  reader_text(preference, "user_id"));
	event.text = reader_text(preference, "detail");
	builder_copy(&event.details, "category", preference, "category");
	if (event.sender == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the preference names no user";
	}
	event_emit(sink, &event);
}

/* Emit the news that a customer's user id has changed. */
static void
whatsapp_user_id_update(EventSink *sink, JsonbContainer *value, JsonbContainer *update)
{
	ChannelEvent event;
	char	   *phone = reader_text(update, "wa_id");
	char	   *previous = reader_text(update, "user_id.previous");
	char	   *current = reader_text(update, "user_id.current");
	JsonbContainer *contact = whatsapp_contact(value, phone, previous);

	event_begin(&event);
	event.kind = "user_id_update";
	whatsapp_moment(&event, update);
	event.sender = phone ? phone : previous;
	event.sender_kind = phone ? SENDER_PHONE : SENDER_USER_ID;
	builder_copy(&event.details, "name", contact, "profile.name");
	builder_text(&event.details, "previous", previous);
	builder_text(&event.details, "current", current);
	if (event.sender == NULL || current == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the update does not say whose id became which";
	}
	event_emit(sink, &event);
}

/* Emit the events of one change. */
static void
whatsapp_change(EventSink *sink, JsonbContainer *change)
{
	JsonbContainer *value = reader_object(change, "value");
	JsonbContainer *array;
	char	   *field = reader_text(change, "field");
	int			before = sink->count;

	if (value == NULL)
	{
		event_emit_bare(sink, "change", EVENT_REJECTED, "a change has no value object");
		return;
	}

	array = reader_array(value, "messages");
	for (int i = 0; i < reader_count(array); i++)
		whatsapp_message(sink, value, reader_element(array, i), false);

	array = reader_array(value, "message_echoes");
	for (int i = 0; i < reader_count(array); i++)
		whatsapp_message(sink, value, reader_element(array, i), true);

	array = reader_array(value, "statuses");
	for (int i = 0; i < reader_count(array); i++)
		whatsapp_status(sink, value, reader_element(array, i));

	array = reader_array(value, "user_preferences");
	for (int i = 0; i < reader_count(array); i++)
		whatsapp_preference(sink, value, reader_element(array, i));

	array = reader_array(value, "user_id_update");
	for (int i = 0; i < reader_count(array); i++)
		whatsapp_user_id_update(sink, value, reader_element(array, i));

	array = reader_array(value, "calls");
	for (int i = 0; i < reader_count(array); i++)
		event_emit_bare(sink, "call", EVENT_IGNORED, "calls are not collected");

	array = reader_array(value, "errors");
	for (int i = 0; i < reader_count(array); i++)
	{
		char	   *code = reader_text(reader_element(array, i), "code");

		event_emit_bare(sink, "error", EVENT_IGNORED,
						psprintf("the platform reports error %s", code ? code : "without a code"));
	}

	if (sink->count == before)
		event_emit_bare(sink, psprintf("other:%s", field ? field : "unknown"), EVENT_IGNORED,
						"this kind of change carries no message traffic");
}

/* Read a webhook body of WhatsApp. */
static void
whatsapp_parse(EventSink *sink, JsonbContainer *payload)
{
	JsonbContainer *entries = reader_array(payload, "entry");

	if (entries == NULL)
	{
		event_emit_bare(sink, "payload", EVENT_REJECTED,
						"not a WhatsApp webhook: it has no array \"entry\"");
		return;
	}
	for (int i = 0; i < reader_count(entries); i++)
	{
		JsonbContainer *changes = reader_array(reader_element(entries, i), "changes");

		if (changes == NULL)
			event_emit_bare(sink, "entry", EVENT_REJECTED, "an entry has no array \"changes\"");
		for (int j = 0; j < reader_count(changes); j++)
			whatsapp_change(sink, reader_element(changes, j));
	}
}

/* hub.parse_whatsapp(payload jsonb) */
Datum
hub_parse_whatsapp(PG_FUNCTION_ARGS)
{
	return event_parse(fcinfo, whatsapp_parse);
}
