/*
 * email.c: e-mail as inbound services hand it on, parsed into JSON.
 *
 * Postmark is read completely; Mailgun, Mailjet, Mandrill, Resend, SendGrid and
 * SES as far as their JSON holds the parsed message. A body that is a raw RFC
 * 5322 message is work for a MIME reader, and is rejected with that reason.
 */
#include "postgres.h"

#include "types/email.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "channels/channel_event.h"
#include "channels/email_text.h"

PG_FUNCTION_INFO_V1(hub_parse_email);

#define RAW_REASON "the message comes as raw MIME: let the service send the parsed form"

/* Find a header: [{"Name","Value"}], {"Name": "…"}, {"Name": ["…"]} or lines of text. */
static char *
email_header(JsonbContainer *payload, const char *path, const char *name)
{
	JsonbContainer *list = reader_array(payload, path);
	JsonbContainer *object = reader_object(payload, path);
	ReaderMembers members;

	for (int i = 0; i < reader_count(list); i++)
	{
		JsonbContainer *one = reader_element(list, i);
		char	   *key = reader_text(one, "Name");

		if (key == NULL)
			key = reader_text(one, "name");
		if (key != NULL && pg_strcasecmp(key, name) == 0)
		{
			char	   *value = reader_text(one, "Value");

			return value ? value : reader_text(one, "value");
		}
	}

	reader_members(&members, object);
	while (reader_next_member(&members))
	{
		if (pg_strcasecmp(members.key, name) != 0)
			continue;
		if (members.value.type == jbvBinary && reader_is_array(members.value.val.binary.data))
			return reader_element_text(members.value.val.binary.data, 0);
		return reader_scalar_text(&members.value);
	}
	return list || object ? NULL : email_text_header(reader_text(payload, path), name);
}

/* Set the id, brackets and all; a service's own id stands in when the header is missing. */
static void
email_id(ChannelEvent *event, const char *header, char *own_id)
{
	char	   *id = email_text_message_id(header);

	if (id == NULL && header != NULL)
		id = psprintf("<%s>", header);
	event->external_id = id ? id : own_id;
}

/* Set the sender from a mailbox. */
static void
email_sender(ChannelEvent *event, const char *mailbox)
{
	char	   *name;

	event->sender = email_text_address(mailbox, &name);
	event->sender_kind = SENDER_EMAIL;
	builder_text(&event->details, "name", name);
}

/* Set the text: plain when there is any, else what the HTML says. */
static void
email_body(ChannelEvent *event, char *plain, char *html)
{
	event->text = plain;
	if (event->text == NULL && html != NULL)
	{
		event->text = email_text_from_html(html);
		builder_bool(&event->details, "from_html", true);
	}
}

/* Keep what the headers say about the thread and about automatic mail. */
static void
email_headers(ChannelEvent *event, JsonbContainer *payload, const char *path)
{
	char	   *in_reply_to = email_header(payload, path, "In-Reply-To");
	char	   *references = email_header(payload, path, "References");
	char	   *automatic = email_header(payload, path, "Auto-Submitted");
	char	   *precedence = email_header(payload, path, "Precedence");

	event->reply_to = email_text_message_id(in_reply_to);
	if (references != NULL)
	{
		JsonbBuilder list;
		char	   *id;

		builder_start(&list, true);
		while ((id = email_text_message_id(references)) != NULL)
		{
			builder_text(&list, NULL, id);
			references = strchr(strchr(references, '<'), '>') + 1;
			if (event->reply_to == NULL && email_text_message_id(references) == NULL)
				event->reply_to = id;
		}
		builder_nest(&event->details, "references", &list);
	}
	if ((automatic != NULL && pg_strcasecmp(automatic, "no") != 0) ||
		(precedence != NULL && (pg_strcasecmp(precedence, "bulk") == 0 ||
								pg_strcasecmp(precedence, "auto_reply") == 0 ||
								pg_strcasecmp(precedence, "list") == 0)))
		builder_bool(&event->details, "automatic", true);
}

/* Keep the list of attachments, by the names that the service gives its members. */
static void
email_attachments(ChannelEvent *event, JsonbContainer *list, const char *const names[][2], int count)
{
	for (int i = 0; i < reader_count(list); i++)
	{
		JsonbContainer *one = reader_element(list, i);
		JsonbBuilder attachment;

		builder_start(&attachment, false);
		builder_text(&attachment, "type", "file");
		for (int j = 0; j < count; j++)
			builder_copy(&attachment, names[j][0], one, names[j][1]);
		builder_nest(&event->attachments, NULL, &attachment);
	}
}

/* Emit a message, or say what it lacks. */
static void
email_emit(EventSink *sink, ChannelEvent *event)
{
	char		stored[EMAIL_MAX_BYTES + 1];
	Size		len;

	if (event->kind == NULL)
		event->kind = "message:email";
	if (strcmp(event->status, EVENT_NEW) == 0)
	{
		event->status = EVENT_REJECTED;
		if (event->external_id == NULL)
			event->reason = "the message has no Message-ID";
		else if (event->sender == NULL)
			event->reason = "the message names no sender";
		else if (email_normalize(event->sender, strlen(event->sender), stored, &len) != NULL)
			event->reason = "the sender is no e-mail address";
		else
			event->status = EVENT_NEW;
	}
	event_emit(sink, event);
}

/* Read what Postmark tells about mail that was sent. */
static void
email_postmark_record(EventSink *sink, JsonbContainer *payload, const char *record)
{
	static const struct
	{
		const char *record;
		const char *kind;
		const char *moment;
		const char *recipient;
	}			records[] = {
		{"Delivery", "status:delivered", "DeliveredAt", "Recipient"},
		{"Open", "status:read", "ReceivedAt", "Recipient"},
		{"Bounce", "status:failed", "BouncedAt", "Email"},
		{"SpamComplaint", "status:complained", "BouncedAt", "Email"}
	};

	for (int i = 0; i < lengthof(records); i++)
	{
		ChannelEvent event;

		if (strcmp(record, records[i].record) != 0)
			continue;
		event_begin(&event);
		event.kind = records[i].kind;
		event.external_id = reader_text(payload, "MessageID");
		event.sender = reader_text(payload, records[i].recipient);
		event.sender_kind = SENDER_EMAIL;
		event.has_moment = moment_from_iso8601(reader_text(payload, records[i].moment),
											   &event.occurred_at);
		builder_copy(&event.details, "type", payload, "Type");
		builder_copy(&event.details, "description", payload, "Description");
		if (event.external_id == NULL)
		{
			event.status = EVENT_REJECTED;
			event.reason = "the receipt names no message";
		}
		event_emit(sink, &event);
		return;
	}
	event_emit_bare(sink, psprintf("other:%s", record), EVENT_IGNORED,
					"this kind of record is neither a message nor a receipt");
}

/* Read an inbound message of Postmark. */
static void
email_postmark(EventSink *sink, JsonbContainer *payload)
{
	static const char *const attachment_names[][2] = {
		{"filename", "Name"}, {"mime_type", "ContentType"}, {"bytes", "ContentLength"},
		{"content_id", "ContentID"}, {"data", "Content"}
	};
	static const char *const old_attachment_names[][2] = {
		{"filename", "Name"}, {"mime_type", "ContentType"}, {"bytes", "ContentLength"},
		{"content_id", "ContentID"}, {"data", "Data"}
	};
	ChannelEvent event;
	JsonbContainer *attachments = reader_array(payload, "Attachments");
	char	   *name = reader_text(payload, "FromFull.Name");

	event_begin(&event);
	email_id(&event, email_header(payload, "Headers", "Message-ID"),
			 reader_text(payload, "MessageID"));
	event.sender = reader_text(payload, "FromFull.Email");
	event.sender_kind = SENDER_EMAIL;
	if (event.sender == NULL)
		email_sender(&event, reader_text(payload, "From"));
	else
		builder_text(&event.details, "name", name ? name : reader_text(payload, "FromName"));
	event.recipient = reader_text(payload, "OriginalRecipient");
	if (event.recipient == NULL)
		event.recipient = email_text_address(reader_text(payload, "To"), NULL);
	event.has_moment = moment_from_rfc2822(reader_text(payload, "Date"), &event.occurred_at);
	email_body(&event, reader_text(payload, "TextBody"), reader_text(payload, "HtmlBody"));
	email_headers(&event, payload, "Headers");
	email_attachments(&event, attachments,
					  reader_has(reader_element(attachments, 0), "Content")
					  ? attachment_names : old_attachment_names, lengthof(attachment_names));
	builder_copy(&event.details, "subject", payload, "Subject");
	builder_copy(&event.details, "reply", payload, "StrippedTextReply");
	builder_copy(&event.details, "answer_to", payload, "ReplyTo");
	builder_copy(&event.details, "to", payload, "To");
	builder_copy(&event.details, "cc", payload, "Cc");
	builder_copy(&event.details, "bcc", payload, "Bcc");
	builder_copy(&event.details, "mailbox_hash", payload, "MailboxHash");
	builder_copy(&event.details, "tag", payload, "Tag");
	builder_copy(&event.details, "service_id", payload, "MessageID");
	email_emit(sink, &event);
}

/* Read an inbound message of Mailgun: form fields as members. */
static void
email_mailgun(EventSink *sink, JsonbContainer *payload)
{
	ChannelEvent event;
	char	   *from = reader_text(payload, "from");

	event_begin(&event);
	if (reader_has(payload, "body-mime"))
	{
		event.status = EVENT_REJECTED;
		event.reason = RAW_REASON;
	}
	email_id(&event, reader_text(payload, "Message-Id"), NULL);
	email_sender(&event, from ? from : reader_text(payload, "sender"));
	event.recipient = reader_text(payload, "recipient");
	event.has_moment = moment_from_epoch(reader_text(payload, "timestamp"), &event.occurred_at);
	email_body(&event, reader_text(payload, "body-plain"), reader_text(payload, "body-html"));
	event.reply_to = email_text_message_id(reader_text(payload, "In-Reply-To"));
	builder_copy(&event.details, "subject", payload, "subject");
	builder_copy(&event.details, "reply", payload, "stripped-text");
	email_emit(sink, &event);
}

/* Read an inbound message of Mailjet's Parse API. */
static void
email_mailjet(EventSink *sink, JsonbContainer *payload)
{
	ChannelEvent event;

	event_begin(&event);
	email_id(&event, email_header(payload, "Headers", "Message-ID"), NULL);
	email_sender(&event, reader_text(payload, "From"));
	event.recipient = reader_text(payload, "Recipient");
	event.has_moment = moment_from_rfc2822(email_header(payload, "Headers", "Date"),
										   &event.occurred_at) ||
		moment_from_iso8601(reader_text(payload, "Date"), &event.occurred_at);
	email_body(&event, reader_text(payload, "Text-part"), reader_text(payload, "Html-part"));
	email_headers(&event, payload, "Headers");
	builder_copy(&event.details, "subject", payload, "Subject");
	email_emit(sink, &event);
}

/* Read one event of Mandrill's inbound webhook. */
static void
email_mandrill(EventSink *sink, JsonbContainer *payload)
{
	JsonbContainer *message = reader_object(payload, "msg");
	char	   *kind = reader_text(payload, "event");
	ChannelEvent event;

	if (kind == NULL || strcmp(kind, "inbound") != 0)
	{
		event_emit_bare(sink, psprintf("other:%s", kind ? kind : "unknown"), EVENT_IGNORED,
						"not an inbound message");
		return;
	}
	event_begin(&event);
	event.has_moment = moment_from_epoch(reader_text(payload, "ts"), &event.occurred_at);
	event.recipient = reader_text(message, "email");
	if (!reader_has(message, "from_email"))
	{
		event.status = EVENT_REJECTED;
		event.reason = RAW_REASON;
	}
	else
	{
		email_id(&event, email_header(message, "headers", "Message-Id"), NULL);
		event.sender = reader_text(message, "from_email");
		event.sender_kind = SENDER_EMAIL;
		builder_copy(&event.details, "name", message, "from_name");
		email_body(&event, reader_text(message, "text"), reader_text(message, "html"));
		email_headers(&event, message, "headers");
		builder_copy(&event.details, "subject", message, "subject");
	}
	email_emit(sink, &event);
}

/* Read Resend's notice of a received message; it brings no body. */
static void
email_resend(EventSink *sink, JsonbContainer *payload, const char *type)
{
	static const char *const attachment_names[][2] = {
		{"filename", "filename"}, {"mime_type", "content_type"}, {"id", "id"},
		{"content_id", "content_id"}
	};
	JsonbContainer *data = reader_object(payload, "data");
	ChannelEvent event;

	if (strcmp(type, "email.received") != 0)
	{
		event_emit_bare(sink, psprintf("other:%s", type), EVENT_IGNORED,
						"not an inbound message");
		return;
	}
	event_begin(&event);
	email_id(&event, reader_text(data, "message_id"), reader_text(data, "email_id"));
	email_sender(&event, reader_text(data, "from"));
	event.recipient = reader_element_text(reader_array(data, "to"), 0);
	event.has_moment = moment_from_iso8601(reader_text(data, "created_at"), &event.occurred_at);
	email_body(&event, reader_text(data, "text"), reader_text(data, "html"));
	email_attachments(&event, reader_array(data, "attachments"), attachment_names,
					  lengthof(attachment_names));
	builder_copy(&event.details, "subject", data, "subject");
	email_emit(sink, &event);
}

/* Read SendGrid's Inbound Parse fields. */
static void
email_sendgrid(EventSink *sink, JsonbContainer *payload)
{
	ChannelEvent event;

	event_begin(&event);
	if (reader_has(payload, "email"))
	{
		event.status = EVENT_REJECTED;
		event.reason = RAW_REASON;
	}
	email_id(&event, email_header(payload, "headers", "Message-ID"), NULL);
	email_sender(&event, reader_text(payload, "from"));
	event.recipient = email_text_address(reader_text(payload, "to"), NULL);
	event.has_moment = moment_from_rfc2822(email_header(payload, "headers", "Date"),
										   &event.occurred_at);
	email_body(&event, reader_text(payload, "text"), reader_text(payload, "html"));
	email_headers(&event, payload, "headers");
	builder_copy(&event.details, "subject", payload, "subject");
	email_emit(sink, &event);
}

/* Read a notice of Amazon SES, with or without the envelope of SNS. */
static void
email_ses(EventSink *sink, JsonbContainer *payload)
{
	char	   *type = reader_text(payload, "notificationType");
	JsonbContainer *headers = reader_object(payload, "mail.commonHeaders");
	ChannelEvent event;

	if (type == NULL || strcmp(type, "Received") != 0)
	{
		event_emit_bare(sink, psprintf("other:%s", type ? type : "sns"), EVENT_IGNORED,
						"not a notice of a received message");
		return;
	}
	event_begin(&event);
	event.status = EVENT_REJECTED;
	event.reason = RAW_REASON;
	email_id(&event, reader_text(headers, "messageId"), reader_text(payload, "mail.messageId"));
	email_sender(&event, reader_element_text(reader_array(headers, "from"), 0));
	event.has_moment = moment_from_iso8601(reader_text(payload, "mail.timestamp"),
										   &event.occurred_at);
	builder_copy(&event.details, "subject", headers, "subject");
	email_emit(sink, &event);
}

/* Find out whose JSON it is, by the members that only they have. */
static void
email_one(EventSink *sink, JsonbContainer *payload)
{
	char	   *type = reader_text(payload, "type");
	char	   *record = reader_text(payload, "RecordType");

	if (!reader_is_object(payload))
		event_emit_bare(sink, "payload", EVENT_REJECTED, "not an e-mail: no object");
	else if (record != NULL)
		email_postmark_record(sink, payload, record);
	else if (reader_has(payload, "FromFull") || reader_has(payload, "TextBody") ||
			 reader_has(payload, "HtmlBody") || reader_has(payload, "MessageID"))
		email_postmark(sink, payload);
	else if (reader_has(payload, "msg") && reader_has(payload, "event"))
		email_mandrill(sink, payload);
	else if (reader_has(payload, "body-plain") || reader_has(payload, "body-mime") ||
			 reader_has(payload, "stripped-text") || reader_has(payload, "body-html"))
		email_mailgun(sink, payload);
	else if (reader_has(payload, "Text-part") || reader_has(payload, "Html-part") ||
			 reader_has(payload, "Parts"))
		email_mailjet(sink, payload);
	else if (type != NULL && strncmp(type, "email.", 6) == 0 && reader_has(payload, "data"))
		email_resend(sink, payload, type);
	else if (reader_has(payload, "notificationType"))
		email_ses(sink, payload);
	else if (reader_has(payload, "TopicArn"))
		event_emit_bare(sink, "other:sns", EVENT_REJECTED,
						"an SNS envelope: switch on raw message delivery of the subscription");
	else if (reader_has(payload, "envelope") && reader_has(payload, "from"))
		email_sendgrid(sink, payload);
	else
		event_emit_bare(sink, "payload", EVENT_REJECTED,
						"not the inbound message of a service that is known");
}

/* Read one inbound message, or Mandrill's list of them. */
static void
email_parse(EventSink *sink, JsonbContainer *payload)
{
	if (!reader_is_array(payload))
	{
		email_one(sink, payload);
		return;
	}
	for (int i = 0; i < reader_count(payload); i++)
		email_one(sink, reader_element(payload, i));
}

/* hub.parse_email(payload jsonb) */
Datum
hub_parse_email(PG_FUNCTION_ARGS)
{
	return event_parse(fcinfo, email_parse);
}
