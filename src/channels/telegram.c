/*
 * telegram.c: updates of the Telegram Bot API.
 *
 * A body is one update, or the answer of getUpdates with many. A message's id
 * is unique within its chat only, so the external id is chat_id:message_id.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "channels/channel_event.h"

PG_FUNCTION_INFO_V1(hub_parse_telegram);

/* What a message can hold besides text, and how to keep it */
typedef enum TelegramContent
{
	CONTENT_FILE,				/* an object with a file_id */
	CONTENT_OBJECT,				/* an object worth keeping as it is */
	CONTENT_NOTICE				/* something happened in the chat */
} TelegramContent;

static const struct
{
	const char *key;
	TelegramContent content;
}			telegram_contents[] =
{
	/* an animation comes with a document that is the same file */
	{"animation", CONTENT_FILE},
	{"audio", CONTENT_FILE},
	{"document", CONTENT_FILE},
	{"photo", CONTENT_FILE},
	{"sticker", CONTENT_FILE},
	{"video", CONTENT_FILE},
	{"video_note", CONTENT_FILE},
	{"voice", CONTENT_FILE},
	{"paid_media", CONTENT_OBJECT},
	{"story", CONTENT_OBJECT},
	{"checklist", CONTENT_OBJECT},
	{"contact", CONTENT_OBJECT},
	{"dice", CONTENT_OBJECT},
	{"game", CONTENT_OBJECT},
	{"poll", CONTENT_OBJECT},
	/* a venue comes with its location */
	{"venue", CONTENT_OBJECT},
	{"location", CONTENT_OBJECT},
	{"invoice", CONTENT_OBJECT},
	{"successful_payment", CONTENT_OBJECT},
	{"refunded_payment", CONTENT_OBJECT},
	{"users_shared", CONTENT_OBJECT},
	{"chat_shared", CONTENT_OBJECT},
	{"gift", CONTENT_OBJECT},
	{"unique_gift", CONTENT_OBJECT},
	{"passport_data", CONTENT_OBJECT},
	{"web_app_data", CONTENT_OBJECT},
	{"write_access_allowed", CONTENT_NOTICE},
	{"new_chat_members", CONTENT_NOTICE},
	{"new_chat_member", CONTENT_NOTICE},
	{"left_chat_member", CONTENT_NOTICE},
	{"new_chat_title", CONTENT_NOTICE},
	{"new_chat_photo", CONTENT_NOTICE},
	{"delete_chat_photo", CONTENT_NOTICE},
	{"group_chat_created", CONTENT_NOTICE},
	{"supergroup_chat_created", CONTENT_NOTICE},
	{"channel_chat_created", CONTENT_NOTICE},
	{"message_auto_delete_timer_changed", CONTENT_NOTICE},
	{"migrate_to_chat_id", CONTENT_NOTICE},
	{"migrate_from_chat_id", CONTENT_NOTICE},
	{"pinned_message", CONTENT_NOTICE},
	{"connected_website", CONTENT_NOTICE},
	{"proximity_alert_triggered", CONTENT_NOTICE},
	{"boost_added", CONTENT_NOTICE},
	{"chat_background_set", CONTENT_NOTICE},
	{"forum_topic_created", CONTENT_NOTICE},
	{"forum_topic_edited", CONTENT_NOTICE},
	{"forum_topic_closed", CONTENT_NOTICE},
	{"forum_topic_reopened", CONTENT_NOTICE},
	{"general_forum_topic_hidden", CONTENT_NOTICE},
	{"general_forum_topic_unhidden", CONTENT_NOTICE},
	{"giveaway_created", CONTENT_NOTICE},
	{"giveaway", CONTENT_NOTICE},
	{"giveaway_winners", CONTENT_NOTICE},
	{"giveaway_completed", CONTENT_NOTICE},
	{"video_chat_scheduled", CONTENT_NOTICE},
	{"video_chat_started", CONTENT_NOTICE},
	{"video_chat_ended", CONTENT_NOTICE},
	{"video_chat_participants_invited", CONTENT_NOTICE}
};

/* Updates that hold no message traffic, and why they are not kept */
static const struct
{
	const char *key;
	const char *sender;			/* path to who caused it */
	const char *moment;			/* path to when, or NULL */
	const char *reason;
}			telegram_ignored[] =
{
	{"my_chat_member", "from.id", "date", "a change of the bot's own membership is no message"},
	{"chat_member", "from.id", "date", "a change of membership is no message"},
	{"chat_join_request", "from.id", "date", "a request to join a chat is no message"},
	{"chat_boost", "chat.id", "boost.add_date", "a boost of a chat is no message"},
	{"removed_chat_boost", "chat.id", "remove_date", "a boost of a chat is no message"},
	{"message_reaction_count", "chat.id", "date", "counted reactions name nobody"},
	{"inline_query", "from.id", NULL, "an inline query is no message to the business"},
	{"chosen_inline_result", "from.id", NULL, "an inline result is no message to the business"},
	{"shipping_query", "from.id", NULL, "the payment back end answers shipping queries"},
	{"pre_checkout_query", "from.id", NULL, "the payment back end answers checkout queries"},
	{"purchased_paid_media", "from.id", NULL, "a purchase of paid media is no message"},
	{"poll", NULL, NULL, "the state of a poll names nobody"},
	{"poll_answer", "user.id", NULL, "answers to polls are not collected"},
	{"business_connection", "user.id", "date", "a connection to a business account is no message"}
};

/* Make chat_id:message_id; NULL when either is missing. */
static char *
telegram_id(JsonbContainer *message)
{
	char	   *chat = reader_text(message, "chat.id");
	char	   *id = reader_text(message, "message_id");

	return chat && id ? psprintf("%s:%s", chat, id) : NULL;
}

/* Set who sent it, with the name that the profile shows. */
static void
telegram_sender(ChannelEvent *event, JsonbContainer *message, const char *user_key,
				const char *chat_key)
{
	JsonbContainer *user = reader_object(message, user_key);
	JsonbContainer *chat = user ? NULL : reader_object(message, chat_key);
	char	   *first;
	char	   *last;

	if (user == NULL && chat == NULL)
		chat = reader_object(message, "chat");
	if (user != NULL)
	{
		event->sender = reader_text(user, "id");
		event->sender_kind = SENDER_USER_ID;
	}
	else
	{
		event->sender = reader_text(chat, "id");
		event->sender_kind = SENDER_GROUP;
		builder_copy(&event->details, "name", chat, "title");
		return;
	}
	first = reader_text(user, "first_name");
	last = reader_text(user, "last_name");
	if (first != NULL && last != NULL)
		builder_text(&event->details, "name", psprintf("%s %s", first, last));
	else
		builder_text(&event->details, "name", first ? first : last);
	builder_copy(&event->details, "username", user, "username");
	builder_copy(&event->details, "locale", user, "language_code");
}

/* Describe a file as an attachment; a photo comes in sizes, the last is the largest. */
static void
telegram_file(ChannelEvent *event, JsonbContainer *message, const char *type)
{
	JsonbContainer *file = reader_object(message, type);
	JsonbContainer *sizes = reader_array(message, type);
	JsonbBuilder attachment;

	if (sizes != NULL)
		file = reader_element(sizes, reader_count(sizes) - 1);
	builder_start(&attachment, false);
	builder_text(&attachment, "type", type);
	builder_copy(&attachment, "id", file, "file_id");
	builder_copy(&attachment, "unique_id", file, "file_unique_id");
	builder_copy(&attachment, "mime_type", file, "mime_type");
	builder_copy(&attachment, "filename", file, "file_name");
	builder_copy(&attachment, "bytes", file, "file_size");
	builder_copy(&attachment, "seconds", file, "duration");
	builder_copy(&attachment, "emoji", file, "emoji");
	builder_nest(&event->attachments, NULL, &attachment);
}

/* Read what a message says; returns its type. */
static const char *
telegram_content(ChannelEvent *event, JsonbContainer *message)
{
	const char *type = NULL;

	event->text = reader_text(message, "text");
	if (event->text != NULL)
		type = "text";
	else
		event->text = reader_text(message, "caption");

	for (int i = 0; i < lengthof(telegram_contents); i++)
	{
		const char *key = telegram_contents[i].key;

		if (!reader_has(message, key))
			continue;
		/* the first that is there names the type; a file comes once */
		if (telegram_contents[i].content != CONTENT_FILE)
			builder_copy(&event->details, key, message, key);
		else if (type == NULL)
			telegram_file(event, message, key);
		if (type == NULL)
			type = key;
	}
	if (type == NULL)
		type = event->text ? "caption" : "unknown";
	return type;
}

/* Emit a message, channel post or edit of one. */
static void
telegram_message(EventSink *sink, JsonbContainer *message, const char *family, bool edited)
{
	ChannelEvent event;
	const char *type;
	char	   *chat_type = reader_text(message, "chat.type");

	event_begin(&event);
	event.external_id = telegram_id(message);
	event.recipient = reader_text(message, "chat.id");
	telegram_sender(&event, message, "from", "sender_chat");
	event.has_moment = moment_from_epoch(reader_text(message, edited ? "edit_date" : "date"),
										 &event.occurred_at);
	/* what an edit refers to is the message that it changes */
	if (!edited)
		event.reply_to = telegram_id(reader_object(message, "reply_to_message"));
	type = telegram_content(&event, message);
	event.kind = edited ? "edit" : psprintf("%s:%s", family, type);
	if (edited)
	{
		builder_text(&event.details, "type", type);
		builder_copy(&event.details, "version", message, "edit_date");
	}
	if (chat_type != NULL && strcmp(chat_type, "private") != 0)
	{
		char	   *topic = reader_text(message, "message_thread_id");

		builder_text(&event.details, "thread",
					 topic ? psprintf("%s:%s", event.recipient, topic) : event.recipient);
		builder_copy(&event.details, "chat_title", message, "chat.title");
	}
	builder_copy(&event.details, "author_signature", message, "author_signature");
	builder_copy(&event.details, "media_group_id", message, "media_group_id");
	builder_copy(&event.details, "entities", message, "entities");
	builder_copy(&event.details, "via_bot", message, "via_bot.username");
	builder_copy(&event.details, "business_connection", message, "business_connection_id");
	if (reader_has(message, "forward_origin"))
		builder_copy(&event.details, "forwarded", message, "forward_origin");
	else if (reader_has(message, "forward_date"))
		builder_bool(&event.details, "forwarded", true);

	if (event.external_id == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the message has no chat id and message id";
	}
	else if (event.sender == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = "the message names no sender";
	}
	event_emit(sink, &event);
}

/* Emit the press of a button under a message. */
static void
telegram_callback(EventSink *sink, JsonbContainer *query)
{
	ChannelEvent event;

	event_begin(&event);
	event.kind = "message:callback_query";
	event.external_id = reader_text(query, "id");
	telegram_sender(&event, query, "from", "sender_chat");
	event.text = reader_text(query, "data");
	event.reply_to = telegram_id(reader_object(query, "message"));
	event.recipient = reader_text(query, "message.chat.id");
	builder_copy(&event.details, "game", query, "game_short_name");
	if (event.external_id == NULL || event.sender == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = event.external_id == NULL ? "the callback has no id"
			: "the callback names no sender";
	}
	event_emit(sink, &event);
}

/* Emit who put which reaction on a message. */
static void
telegram_reaction(EventSink *sink, JsonbContainer *reaction)
{
	ChannelEvent event;
	JsonbContainer *emojis = reader_array(reaction, "new_reaction");
	char	   *date = reader_text(reaction, "date");

	event_begin(&event);
	event.kind = "reaction";
	event.external_id = telegram_id(reaction);
	event.reply_to = event.external_id;
	telegram_sender(&event, reaction, "user", "actor_chat");
	event.recipient = reader_text(reaction, "chat.id");
	event.has_moment = moment_from_epoch(date, &event.occurred_at);
	for (int i = 0; i < reader_count(emojis); i++)
	{
		JsonbContainer *one = reader_element(emojis, i);
		char	   *emoji = reader_text(one, "emoji");

		if (emoji == NULL)
			emoji = reader_text(one, "custom_emoji_id");
		if (emoji != NULL)
			event.text = event.text ? psprintf("%s%s", event.text, emoji) : emoji;
	}
	builder_copy(&event.details, "before", reaction, "old_reaction");

	/* every change of a reaction is an event of its own about the same message */
	builder_text(&event.details, "version",
				 psprintf("%s:%s", event.sender ? event.sender : "", date ? date : ""));
	if (event.external_id == NULL || event.sender == NULL)
	{
		event.status = EVENT_REJECTED;
		event.reason = event.external_id == NULL ? "the reaction names no message"
			: "the reaction names nobody";
	}
	event_emit(sink, &event);
}

/* Emit one unsend for each message that went. */
static void
telegram_deleted(EventSink *sink, JsonbContainer *deleted)
{
	JsonbContainer *ids = reader_array(deleted, "message_ids");
	char	   *chat = reader_text(deleted, "chat.id");
	char	   *chat_type = reader_text(deleted, "chat.type");

	for (int i = 0; i < reader_count(ids); i++)
	{
		ChannelEvent event;
		char	   *id = reader_element_text(ids, i);

		event_begin(&event);
		event.kind = "revoke";
		if (chat_type == NULL || strcmp(chat_type, "private") == 0)
		{
			/* a private chat bears the number of the person in it */
			event.sender = chat;
			event.sender_kind = SENDER_USER_ID;
		}
		if (chat != NULL && id != NULL)
			event.external_id = psprintf("%s:%s", chat, id);
		else
		{
			event.status = EVENT_REJECTED;
			event.reason = "the deletion names no message";
		}
		event_emit(sink, &event);
	}
	if (reader_count(ids) == 0)
		event_emit_bare(sink, "revoke", EVENT_REJECTED, "the deletion names no message");
}

/* Emit an update that is not kept, with the reason. */
static bool
telegram_ignore(EventSink *sink, JsonbContainer *update)
{
	for (int i = 0; i < lengthof(telegram_ignored); i++)
	{
		JsonbContainer *body = reader_object(update, telegram_ignored[i].key);
		ChannelEvent event;

		if (body == NULL)
			continue;
		event_begin(&event);
		event.kind = telegram_ignored[i].key;
		if (telegram_ignored[i].sender != NULL)
			event.sender = reader_text(body, telegram_ignored[i].sender);
		event.sender_kind = SENDER_USER_ID;
		if (telegram_ignored[i].moment != NULL)
			event.has_moment = moment_from_epoch(reader_text(body, telegram_ignored[i].moment),
												 &event.occurred_at);
		builder_copy(&event.details, "member_status", body, "new_chat_member.status");
		event.status = EVENT_IGNORED;
		event.reason = telegram_ignored[i].reason;
		event_emit(sink, &event);
		return true;
	}
	return false;
}

/* Emit what one update holds. */
static void
telegram_update(EventSink *sink, JsonbContainer *update)
{
	static const struct
	{
		const char *key;
		const char *family;
		bool		edited;
	}			messages[] = {
		{"message", "message", false},
		{"edited_message", "message", true},
		{"business_message", "message", false},
		{"edited_business_message", "message", true},
		{"channel_post", "channel_post", false},
		{"edited_channel_post", "channel_post", true}
	};
	JsonbContainer *body;

	for (int i = 0; i < lengthof(messages); i++)
	{
		body = reader_object(update, messages[i].key);
		if (body != NULL)
		{
			telegram_message(sink, body, messages[i].family, messages[i].edited);
			return;
		}
	}
	if ((body = reader_object(update, "callback_query")) != NULL)
		telegram_callback(sink, body);
	else if ((body = reader_object(update, "message_reaction")) != NULL)
		telegram_reaction(sink, body);
	else if ((body = reader_object(update, "deleted_business_messages")) != NULL)
		telegram_deleted(sink, body);
	else if (!telegram_ignore(sink, update))
	{
		ReaderMembers members;
		const char *name = "unknown";

		reader_members(&members, update);
		while (reader_next_member(&members))
		{
			if (members.value.type == jbvBinary)
				name = members.key;
		}
		event_emit_bare(sink, psprintf("other:%s", name), EVENT_IGNORED,
						"this kind of update is not known");
	}
}

/* Read an update, or the answer of getUpdates. */
static void
telegram_parse(EventSink *sink, JsonbContainer *payload)
{
	JsonbContainer *updates = reader_is_array(payload) ? payload : reader_array(payload, "result");

	if (updates != NULL)
	{
		for (int i = 0; i < reader_count(updates); i++)
		{
			JsonbContainer *update = reader_element(updates, i);

			if (reader_has(update, "update_id"))
				telegram_update(sink, update);
			else
				event_emit_bare(sink, "payload", EVENT_REJECTED,
								"not a Telegram update: it has no \"update_id\"");
		}
	}
	else if (reader_has(payload, "update_id"))
		telegram_update(sink, payload);
	else
		event_emit_bare(sink, "payload", EVENT_REJECTED,
						"not a Telegram update: it has no \"update_id\"");
}

/* hub.parse_telegram(payload jsonb) */
Datum
hub_parse_telegram(PG_FUNCTION_ARGS)
{
	return event_parse(fcinfo, telegram_parse);
}
