-- channels/parsers: what a payload says that happened

CREATE TYPE hub.channel_event AS (
	kind text,
	external_id text,
	sender text,
	sender_kind text,
	recipient text,
	occurred_at timestamptz,
	text text,
	attachments jsonb,
	reply_to text,
	details jsonb,
	status text,
	reason text
);
COMMENT ON TYPE hub.channel_event IS 'One thing that happened on a channel, as a parser read it out of a webhook body';
COMMENT ON COLUMN hub.channel_event.kind IS 'message:TYPE, echo:TYPE (sent by the business elsewhere), status:STATE, edit, revoke, reaction, identify, user_id_update, or what an ignored event was';
COMMENT ON COLUMN hub.channel_event.external_id IS 'The platform''s id of the message; a receipt, edit or unsend carries the id of the message it is about, unless it has one of its own and reply_to names the message';
COMMENT ON COLUMN hub.channel_event.sender IS 'Address of whoever caused it; of a receipt the recipient of the message, since the receipt comes from there';
COMMENT ON COLUMN hub.channel_event.sender_kind IS 'What the sender is: phone, user_id, email, visitor, group; or business, agent when it was sent by our side';
COMMENT ON COLUMN hub.channel_event.recipient IS 'The address it was sent to; of an echo the customer';
COMMENT ON COLUMN hub.channel_event.occurred_at IS 'When it happened, by the platform; NULL when it does not say';
COMMENT ON COLUMN hub.channel_event.text IS 'What the message says: body, caption, title of the chosen button, emoji of a reaction';
COMMENT ON COLUMN hub.channel_event.attachments IS 'Array of files with type, id, mime_type, filename and what else the platform tells';
COMMENT ON COLUMN hub.channel_event.reply_to IS 'The platform''s id of the message that this one refers to';
COMMENT ON COLUMN hub.channel_event.details IS 'The rest: name, aliases, thread, subject, location, form fields… version tells apart events that share an id';
COMMENT ON COLUMN hub.channel_event.status IS 'new, ignored (nothing to keep) or rejected (not what the channel should send)';
COMMENT ON COLUMN hub.channel_event.reason IS 'Why it was ignored or rejected';

CREATE FUNCTION hub.parse_whatsapp(payload jsonb) RETURNS SETOF hub.channel_event
	AS 'MODULE_PATHNAME', 'hub_parse_whatsapp' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION hub.parse_whatsapp(jsonb) IS 'Every event in a webhook body of the WhatsApp Business Platform; never an error, whatever the body holds';

CREATE FUNCTION hub.parse_telegram(payload jsonb) RETURNS SETOF hub.channel_event
	AS 'MODULE_PATHNAME', 'hub_parse_telegram' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION hub.parse_telegram(jsonb) IS 'Every event in an update of the Telegram Bot API, or in the answer of getUpdates; external ids are chat_id:message_id';

CREATE FUNCTION hub.parse_email(payload jsonb) RETURNS SETOF hub.channel_event
	AS 'MODULE_PATHNAME', 'hub_parse_email' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION hub.parse_email(jsonb) IS 'E-mail in the JSON of an inbound service: Postmark, and the parsed forms of Mailgun, Mailjet, Mandrill, Resend and SendGrid';

CREATE FUNCTION hub.parse_web(payload jsonb) RETURNS SETOF hub.channel_event
	AS 'MODULE_PATHNAME', 'hub_parse_web' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION hub.parse_web(jsonb) IS 'A web form, a chat widget''s message or introduction, a Tally submission, or a Freshdesk chat transcript';

CREATE FUNCTION hub.parse_mixdesk(payload jsonb) RETURNS SETOF hub.channel_event
	AS 'MODULE_PATHNAME', 'hub_parse_mixdesk' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 4;
COMMENT ON FUNCTION hub.parse_mixdesk(jsonb) IS 'A push of Mixdesk: what an agent wrote to a client who is away';

GRANT EXECUTE ON FUNCTION hub.parse_whatsapp(jsonb), hub.parse_telegram(jsonb), hub.parse_email(jsonb), hub.parse_web(jsonb),
	hub.parse_mixdesk(jsonb) TO hub_connector;
