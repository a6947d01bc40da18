-- One portrait and one timeline, and each role sees its own of it; assignment moves who sees what.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(24);
SET SESSION AUTHORIZATION conny;
SELECT customer_id AS mara, conversation_id AS conversation
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'Is the lamp in stock?', name => 'Mara Quint')) \gset
SELECT customer_id AS vera, conversation_id AS mail_conversation FROM hub.ingest(:email, '{"FromFull": {"Email": "Vera@Post.Example", "Name": "Vera Lindqvist"}, "MessageID": "1",
	"Cc": "Nora <nora@port.example>", "ReplyTo": "vera@elsewhere.example", "Subject": "Broken", "StrippedTextReply": "It came.", "TextBody": "It came broken.", "Date": "Thu, 1 Jan 2026 09:30:00 +0100", "Headers": [{"Name": "Message-ID", "Value": "<1@post.example>"}]}') \gset

-- threading of mail: by what it answers
SELECT is(conversation_id, :'mail_conversation', 'a mail that answers one goes on in its conversation')
FROM hub.ingest(:email, '{"FromFull": {"Email": "vera@post.example"}, "MessageID": "2", "TextBody": "And another thing.", "Date": "Thu, 1 Jan 2026 09:40:00 +0100",
	"Headers": [{"Name": "Message-ID", "Value": "<2@post.example>"}, {"Name": "References", "Value": "<0@shop.example> <1@post.example>"}]}');
SELECT ok(customer_id = :'vera' AND conversation_id <> :'mail_conversation', 'one that answers none opens another, of the same customer')
FROM hub.ingest(:email, '{"FromFull": {"Email": "VERA@post.example"}, "MessageID": "3", "TextBody": "Something new.", "Headers": [{"Name": "Message-ID", "Value": "<3@post.example>"}]}');

SET SESSION AUTHORIZATION annika;
SELECT hub.customer_profile(:'mara') AS p, hub.customer_profile(:'vera') AS v \gset
SELECT is(:'p'::jsonb ->> 'name', 'Mara Quint', 'an agent reads the name');
SELECT is(:'p'::jsonb #>> '{identities,0,address}', '+49•••••01', 'and sees addresses masked');
SELECT is(:'v'::jsonb #>> '{identities,0,address}', 'v•••@p•••.example', 'each by its kind');
SELECT is(:'v'::jsonb #>> '{messages,inbound}', '3', 'messages are counted');
SELECT body AS shown FROM hub.timeline(:'mara') \gset
SELECT is(:'shown'::text, 'Is the lamp in stock?', 'the timeline is readable on its way to the client');

-- addresses inside a message are of class contact, whatever else it says is content
SELECT hub.disclose(m.details) AS details, hub.disclose(m.addressing) AS addressing FROM crm.message m
WHERE m.conversation_id = :'mail_conversation' AND m.subject IS NOT NULL \gset
SELECT ok(:'details' LIKE '%It came.%' AND :'details' NOT LIKE '%@%.example%', 'an agent reads what else a message says, without addresses');
SELECT ok(:'addressing' NOT LIKE '%nora%' AND :'addressing' LIKE '%•%', 'which are masked');

SET SESSION AUTHORIZATION sam;
SELECT hub.customer_profile(:'mara') AS p \gset
SELECT is(:'p'::jsonb #>> '{identities,0,address}', '+4915550000001', 'sales reads addresses');
SELECT is(:'p'::jsonb ->> 'name', 'Mara Quint', 'and names');

SET SESSION AUTHORIZATION mara;
SELECT hub.customer_profile(:'mara') AS p \gset
SELECT matches(:'p'::jsonb ->> 'name', '^tok_', 'a manager sees pseudonyms');
SELECT body AS shown FROM hub.timeline(:'mara') \gset
SELECT matches(:'shown'::text, '^tok_', 'of content too');

SET SESSION AUTHORIZATION cora;
SELECT hub.customer_profile(:'mara') AS p \gset
SELECT matches(:'p'::jsonb ->> 'name', '•', 'compliance sees masks');

SET SESSION AUTHORIZATION robo;
SELECT is(hub.customer_profile(:'mara'), NULL, 'an AI agent sees no customer it has no conversation of');

SET SESSION AUTHORIZATION annika;
SELECT hub.assign(:'conversation', :robo) \g /dev/null
SELECT hub.record_consent(:'mara', 'ai_assist', 'opt-in 3') \g /dev/null
SET SESSION AUTHORIZATION robo;
SELECT hub.customer_profile(:'mara') AS p \gset
SELECT matches(:'p'::jsonb #>> '{identities,0,address}', '^tok_', 'one that is assigned it sees, by pseudonym');
SELECT body AS shown FROM hub.timeline(:'mara') \gset
SELECT is(:'shown'::text, 'Is the lamp in stock?', 'and reads what was said');
SELECT is((SELECT count(*) FROM hub.timeline(:'vera')), 0::bigint, 'nothing of another customer');

SET SESSION AUTHORIZATION annika;
SELECT throws_ok(format('SELECT hub.assign(%L, 999)', :'conversation'), 'CH205', NULL, 'nobody gets what they could not work on');
SELECT is(hub.reassign_all(:robo, :annika), 1, 'everything of a member moves to another');
SET SESSION AUTHORIZATION robo;
SELECT is(hub.customer_profile(:'mara'), NULL, 'who sees it no more');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(to_member ORDER BY assigned_at, from_member NULLS FIRST) FROM crm.assignment_log), ARRAY[:robo, :annika], 'the log tells');

-- without an identity nothing is readable
SELECT is((hub.customer_profile(:'mara') ->> 'name') LIKE 'hub1:%', true, 'a superuser without identity sees sealed values');
SET SESSION AUTHORIZATION stray;
SELECT throws_ok(format('SELECT hub.customer_profile(%L)', :'mara'), '42501', NULL, 'others may not even ask');
SELECT * FROM finish();
ROLLBACK;
