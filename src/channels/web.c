/*
 * web.c: forms and chat widgets of web sites.
 *
 * Read are a form of the business's own (id, submitted_at, visitor, name, email,
 * phone, message, any other member), a chat widget's message or introduction,
 * Tally's submissions, and Freshdesk's transcript of a chat.
 *
 * What a visitor typed as e-mail or phone names the sender, but proves nothing:
 * ingest never finds a customer by it. The id that the site gave its visitor does.
 */
#include "postgres.h"

#include "types/email.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "channels/channel_event.h"

PG_FUNCTION_INFO_V1(hub_parse_web);

/* Tell whether text is an e-mail address. */
static bool
web_is_email(const char *text)
{
	char		stored[EMAIL_MAX_BYTES + 1];
	Size		len;

	return text != NULL && email_normalize(text, strlen(text), stored, &len) == NULL;
}

/* Return the first of several paths that leads to text. */
static char *
web_first(JsonbContainer *from, const char *const *paths, int count)
{
	for (int i = 0; i < count; i++)
	{
		char	   *text = reader_text(from, paths[i]);

		if (text != NULL)
			return text;
	}
	return NULL;
}

/* Set who it was: by e-mail, else by phone, else by the visitor's id, which is kept in any case. */
static void
web_sender(ChannelEvent *event, char *email, char *phone, char *visitor)
{
	if (email != NULL)
	{
		event->sender = email;
		event->sender_kind = SENDER_EMAIL;
	}
	else if (phone != NULL)
	{
		event->sender = phone;
		event->sender_kind = SENDER_PHONE;
	}
	else
	{
		event->sender = visitor;
		event->sender_kind = SENDER_VISITOR;
		return;
	}
	if (visitor != NULL)
	{
		JsonbBuilder aliases;
		JsonbBuilder alias;

		builder_start(&aliases, true);
		builder_start(&alias, false);
		builder_text(&alias, "kind", SENDER_VISITOR);
		builder_text(&alias, "address", visitor);
		builder_nest(&aliases, NULL, &alias);
		builder_nest(&event->details, "aliases", &aliases);
	}
	builder_text(&event->details, "email", email);
	builder_text(&event->details, "phone", phone);
}

/* Set when it was, in whatever notation. */
static void
web_moment(ChannelEvent *event, const char *text)
{
	event->has_moment = text != NULL &&
		(moment_from_iso8601(text, &event->occurred_at) ||
		 moment_from_rfc2822(text, &event->occurred_at) ||
		 moment_from_epoch(text, &event->occurred_at));
}

/* Read a form of the business's own, or a widget's message or introduction. */
static void
web_form(EventSink *sink, JsonbContainer *payload)
{
	static const char *const ids[] = {"id", "submission_id", "message.id", "message.echo_id"};
	static const char *const moments[] = {"submitted_at", "created_at", "message.timestamp", "timestamp"};
	static const char *const visitors[] = {
		"visitor", "visitor_id", "contact.identifier", "contact.source_id", "identifier", "source_id"
	};
	static const char *const emails[] = {"email", "contact.email"};
	static const char *const phones[] = {
		"phone", "phone_number", "contact.phone", "contact.phone_number"
	};
	static const char *const names[] = {"name", "contact.name"};
	static const char *const texts[] = {"message.content", "message", "text", "comment"};
	static const char *const taken[] = {
		"id", "submission_id", "submitted_at", "created_at", "timestamp", "visitor", "visitor_id",
		"identifier", "source_id", "email", "phone", "phone_number", "name", "text", "comment",
		"contact", "website_token", "locale", "identifier_hash"
	};
	ChannelEvent event;
	JsonbBuilder fields;
	ReaderMembers members;
	bool		widget = reader_has(payload, "website_token");
	char	   *email = web_first(payload, emails, lengthof(emails));
	bool		no_email = email != NULL && !web_is_email(email);

	event_begin(&event);
	event.text = web_first(payload, texts, lengthof(texts));
	if (no_email && event.text != NULL)
	{
		/* a message is worth keeping even so, an introduction is not */
		builder_text(&event.details, "email_as_typed", email);
		event.reason = "what was typed as e-mail address is none";
		email = NULL;
	}
	event.external_id = web_first(payload, ids, lengthof(ids));
	web_moment(&event, web_first(payload, moments, lengthof(moments)));
	web_sender(&event, email, web_first(payload, phones, lengthof(phones)),
			   web_first(payload, visitors, lengthof(visitors)));
	builder_text(&event.details, "name", web_first(payload, names, lengthof(names)));
	builder_copy(&event.details, "locale", payload, "locale");
	builder_start(&fields, false);
	reader_members(&members, payload);
	while (reader_next_member(&members))
	{
		bool		known = strcmp(members.key, "message") == 0;

		for (int i = 0; i < lengthof(taken); i++)
			known = known || strcmp(members.key, taken[i]) == 0;
		if (!known && members.value.type != jbvNull)
			builder_value(&fields, members.key, &members.value);
	}
	if (event.text != NULL || fields.count > 0)
		event.kind = widget ? "message:widget" : "message:form";
	else
		event.kind = "identify";
	builder_nest(&event.details, "fields", &fields);

	if (no_email && event.text == NULL)
	{
		event.status = EVENT_IGNORED;
		event.reason = "what was typed as e-mail address is none";
	}
	else if (strcmp(event.kind, "identify") == 0 && event.sender == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "neither a message nor an address in it";
	}
	event_emit(sink, &event);
}

/* Take one field of a Tally form into account. */
static void
web_tally_field(JsonbValue *value, const char *label, const char *type,
				JsonbBuilder *fields, char **email, char **phone, char **text)
{
	char	   *answer = reader_scalar_text(value);

	/* an address is no content: it stands apart from the other answers */
	if (answer != NULL && *email == NULL && web_is_email(answer))
	{
		*email = answer;
		return;
	}
	if (answer != NULL && *phone == NULL && type != NULL && strcmp(type, "INPUT_PHONE_NUMBER") == 0)
	{
		*phone = answer;
		return;
	}
	if (value->type != jbvNull)
		builder_value(fields, label, value);
	if (answer != NULL && *text == NULL && type != NULL && strcmp(type, "TEXTAREA") == 0)
		*text = answer;
}

/* Read a submission of a Tally form, native or flattened. */
static void
web_tally(EventSink *sink, JsonbContainer *payload)
{
	JsonbContainer *data = reader_object(payload, "data");
	JsonbContainer *list = reader_array(data, "fields");
	char	   *type = reader_text(payload, "eventType");
	char	   *created = reader_text(data, "createdAt");
	char	   *email = NULL;
	char	   *phone = NULL;
	char	   *text = NULL;
	ReaderMembers members;
	JsonbBuilder fields;
	ChannelEvent event;

	/* it may be an array, an object or empty */
	if (type == NULL || strcmp(type, "FORM_RESPONSE") != 0)
	{
		event_emit_bare(sink, psprintf("other:%s", type ? type : "unknown"), EVENT_IGNORED,
						"this kind of event is no submission");
		return;
	}
	event_begin(&event);
	event.kind = "message:form";
	event.external_id = reader_text(data, "submissionId");
	if (event.external_id == NULL)
		event.external_id = reader_text(data, "responseId");
	web_moment(&event, created ? created : reader_text(payload, "createdAt"));
	builder_start(&fields, false);
	for (int i = 0; i < reader_count(list); i++)
	{
		JsonbContainer *field = reader_element(list, i);
		char	   *label = reader_text(field, "label");
		JsonbValue *value = reader_value(field, "value");

		if (label == NULL)
			label = reader_text(field, "key");
		if (label != NULL && value != NULL)
			web_tally_field(value, label, reader_text(field, "type"), &fields,
							&email, &phone, &text);
	}
	reader_members(&members, reader_object(data, "fields"));
	while (reader_next_member(&members))
		web_tally_field(&members.value, members.key, NULL, &fields, &email, &phone, &text);
	web_sender(&event, email, phone, NULL);
	event.text = text;
	builder_nest(&event.details, "fields", &fields);
	builder_copy(&event.details, "form", data, "formName");
	builder_copy(&event.details, "form_id", data, "formId");
	if (event.external_id == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the submission has no id";
	}
	event_emit(sink, &event);
}

/* Read a Freshdesk ticket with what was said in its chat. */
static void
web_freshdesk(EventSink *sink, JsonbContainer *payload)
{
	JsonbContainer *ticket = reader_object(payload, "ticket");
	JsonbContainer *entries = reader_array(payload, "conversations");
	char	   *requester = reader_text(ticket, "requester_id");

	for (int i = 0; i < reader_count(entries); i++)
	{
		JsonbContainer *entry = reader_element(entries, i);
		char	   *incoming = reader_text(entry, "incoming");
		char	   *private = reader_text(entry, "private");
		char	   *author = reader_text(entry, "user_id");
		ChannelEvent event;

		event_begin(&event);
		event.external_id = reader_text(entry, "id");
		web_moment(&event, reader_text(entry, "created_at"));
		event.text = reader_text(entry, "body_text");
		if (incoming != NULL && strcmp(incoming, "true") == 0)
		{
			event.kind = "message:chat";
			event.sender = author ? author : requester;
			event.sender_kind = SENDER_VISITOR;
			builder_copy(&event.details, "name", ticket, "requester.name");
			builder_copy(&event.details, "email", ticket, "requester.email");
			builder_copy(&event.details, "phone", ticket, "requester.phone");
		}
		else
		{
			event.kind = "echo:chat";
			event.sender = author;
			event.sender_kind = SENDER_AGENT;
			event.recipient = requester;
		}
		builder_copy(&event.details, "thread", ticket, "id");
		builder_copy(&event.details, "subject", ticket, "subject");
		if (private != NULL && strcmp(private, "true") == 0)
		{
			event.status = EVENT_IGNORED;
			event.reason = "a private note among agents";
		}
		else if (event.external_id == NULL)
		{
			event.status = EVENT_REJECTED;
			event.reason = "the entry has no id";
		}
		event_emit(sink, &event);
	}
}

/* Find out whose shape it is. */
static void
web_parse(EventSink *sink, JsonbContainer *payload)
{
	if (!reader_is_object(payload))
		event_emit_bare(sink, "payload", EVENT_REJECTED, "not a form: no object");
	else if (reader_has(payload, "eventType") && reader_object(payload, "data") != NULL)
		web_tally(sink, payload);
	else if (reader_object(payload, "ticket") != NULL && reader_array(payload, "conversations") != NULL)
		web_freshdesk(sink, payload);
	else
		web_form(sink, payload);
}

/* hub.parse_web(payload jsonb) */
Datum
hub_parse_web(PG_FUNCTION_ARGS)
{
	return event_parse(fcinfo, web_parse);
}
