-- A payload says who wrote and what about; it cannot say for whom it speaks. A connector keeps to its scope, where
-- there is a secret the raw bytes count, typed addresses link nobody, and late receipts undo nothing.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(19);
SELECT hub.add_business_line('Chairs') AS chairs \gset
CREATE ROLE chairs LOGIN;
SELECT hub.add_member('chairs', 'hub_connector', 'chairs', '{DE,FR}', ARRAY[:chairs]) \g /dev/null
GRANT EXECUTE ON FUNCTION hub.ingest(int, jsonb, bytea, text) TO hub_agent;

-- scope
SET SESSION AUTHORIZATION chairs;
SELECT throws_ok(format('SELECT hub.ingest(%s, %L)', :whatsapp, '{}'), 'CH205', NULL, 'a connector of another line of business');
SET SESSION AUTHORIZATION annika;
SELECT throws_ok(format('SELECT hub.ingest(%s, %L)', :whatsapp, '{}'), 'CH205', NULL,
	'an agent of the right region and line, even where somebody has granted the function');

-- what the secret vouches for is what is read
RESET SESSION AUTHORIZATION;
SELECT hub.set_channel_account(:telegram, secret => 'token-1') \g /dev/null
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'new', 'a delivery with its secret')
FROM hub.ingest(:telegram, telegram(78, 1, 'slipped in'), convert_to(telegram(77, 1, 'vouched for')::text, 'UTF8'), 'token-1');
RESET SESSION AUTHORIZATION;
SELECT hub.set_channel_account(:telegram, secret => '') \g /dev/null
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'duplicate', 'the raw bytes were read') FROM hub.ingest(:telegram, telegram(77, 1, 'vouched for'));
SELECT is(status, 'new', 'not what came beside them') FROM hub.ingest(:telegram, telegram(78, 1, 'slipped in'));

-- a typed address is a claim
SELECT customer_id AS victim FROM hub.ingest(:email, '{"FromFull": {"Email": "vera@post.example", "Name": "Vera Lindqvist"}, "MessageID": "1",
	"TextBody": "It came.", "Headers": [{"Name": "Message-ID", "Value": "<1@post.example>"}]}') \gset
RESET SESSION AUTHORIZATION;
SELECT hub.add_channel_account('web', 'contact', 'DE', :line, :team) AS web \gset
SET SESSION AUTHORIZATION conny;
SELECT array_agg(customer_id) AS typists FROM hub.ingest(:web, '{"eventId": "e1", "eventType": "FORM_RESPONSE", "createdAt": "2026-01-01T08:00:00Z", "data":
	{"responseId": "r1", "submissionId": "s1", "formId": "contact", "createdAt": "2026-01-01T08:00:00Z", "fields":
	[{"key": "q1", "label": "E-mail", "type": "INPUT_EMAIL", "value": "vera@post.example"}]}}') \gset
SELECT array_agg(customer_id) AS again FROM hub.ingest(:web, '{"eventId": "e2", "eventType": "FORM_RESPONSE", "createdAt": "2026-01-01T09:00:00Z", "data":
	{"responseId": "r2", "submissionId": "s2", "formId": "contact", "createdAt": "2026-01-01T09:00:00Z", "fields":
	[{"key": "q1", "label": "E-mail", "type": "INPUT_EMAIL", "value": "vera@post.example"}]}}') \gset
SELECT ok(cardinality(:'typists'::uuid[]) = 1 AND NOT :'victim'::uuid = ANY (:'typists'), 'who types somebody''s address does not become that person');
SELECT ok(cardinality(:'again'::uuid[]) = 1 AND NOT :'again'::uuid[] && (:'typists'::uuid[] || :'victim'::uuid), 'nor the one who typed it before');
RESET SESSION AUTHORIZATION;
SELECT is((hub.find_customer((hub.connector_account(:web)).scope, 'email', 'vera@post.example')).customer_id, NULL, 'nobody is found by what was typed');
SET SESSION AUTHORIZATION conny;

-- receipts come in any order
SELECT customer_id AS mara, conversation_id AS conversation
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello', name => 'Mara Quint')) \gset
SET SESSION AUTHORIZATION annika;
SELECT hub.queue_reply(:'conversation', 'Good morning!') AS reply \gset
SET SESSION AUTHORIZATION conny;
SELECT count(*) FROM hub.claim_outbox(:whatsapp) \g /dev/null
SELECT hub.mark_sent(:'reply', 'wamid.out') \g /dev/null
SELECT is(status, 'new', 'it is read') FROM hub.ingest(:whatsapp, receipt('4915550000001', 'wamid.out', 'read', 1767225700));
SELECT is(status, 'new', 'and delivered, as is heard later') FROM hub.ingest(:whatsapp, receipt('4915550000001', 'wamid.out', 'delivered', 1767225710));
SET SESSION AUTHORIZATION annika;
SELECT is((SELECT delivery FROM crm.message WHERE message_id = :'reply'), 'read', 'it stays read');

-- what is not an answer goes out with consent only
SET SESSION AUTHORIZATION annika;
SELECT hub.queue_reply(:'conversation', 'Ten per cent off!') AS offer \gset
SELECT hub.queue_reply(:'conversation', 'Twenty per cent off!') AS better_offer \gset
RESET SESSION AUTHORIZATION;
UPDATE crm.outbox SET purpose = 'marketing' WHERE state = 'queued';
UPDATE crm.outbox SET queued_at = now() + interval '1 minute' WHERE message_id = :'better_offer';
SET SESSION AUTHORIZATION conny;
SELECT is((SELECT count(*) FROM hub.claim_outbox(:whatsapp, 1)), 0::bigint, 'an offer is not handed out without consent');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT state FROM crm.outbox WHERE message_id = :'offer'), 'refused', 'but refused for good');
SELECT hub.record_consent(:'mara', 'marketing', 'form 3') \g /dev/null
SET SESSION AUTHORIZATION conny;
SELECT is((SELECT message_id FROM hub.claim_outbox(:whatsapp)), :'better_offer', 'one that is due after the consent is');

-- an answer to somebody else's message does not join that conversation
SET SESSION AUTHORIZATION conny;
SELECT conversation_id AS mail_of_vera, message_id AS message_of_vera FROM hub.ingest(:email, '{"FromFull": {"Email": "vera@post.example"}, "MessageID": "2",
	"TextBody": "Where is it?", "Headers": [{"Name": "Message-ID", "Value": "<2@post.example>"}]}') \gset
SELECT conversation_id AS mail_of_nora, message_id AS message_of_nora FROM hub.ingest(:email, '{"FromFull": {"Email": "nora@port.example"}, "MessageID": "3",
	"TextBody": "Same here.", "Headers": [{"Name": "Message-ID", "Value": "<3@port.example>"}, {"Name": "References", "Value": "<2@post.example>"}]}') \gset
RESET SESSION AUTHORIZATION;
SELECT isnt(:'mail_of_nora'::text, :'mail_of_vera', 'a mail that names another person''s opens a conversation of its own');
SELECT is((SELECT reply_to_id FROM crm.message WHERE message_id = :'message_of_nora'), NULL, 'and is no reply to it');

-- a person who was erased and writes anew is a new customer
SELECT hub.plan_erasure(:'victim') AS plan \gset
SELECT hub.destroy_subjects(:plan, ARRAY[:'victim'::uuid], now()) \g /dev/null
SET SESSION AUTHORIZATION conny;
SELECT status, customer_id AS newcomer FROM hub.ingest(:email, format('{"FromFull": {"Email": "vera@post.example"}, "MessageID": "4", "TextBody": "Me again.",
	"Date": %s, "Headers": [{"Name": "Message-ID", "Value": "<4@post.example>"}]}', to_json(to_char(now() + interval '1 day', 'Dy, DD Mon YYYY HH24:MI:SS +0000')))::jsonb) \gset
SELECT is(:'status'::text, 'new', 'who was erased may write again');
SELECT isnt(:'newcomer'::text, :'victim', 'as somebody else');

-- claims of others are not marked as sent
SET SESSION AUTHORIZATION chairs;
SELECT throws_ok(format('SELECT hub.mark_sent(%L, %L)', :'reply', 'wamid.forged'), 'CH205', NULL, 'a connector reports only what is of its accounts');
SELECT * FROM finish();
ROLLBACK;
