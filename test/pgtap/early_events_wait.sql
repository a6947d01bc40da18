-- Edits, unsends and receipts may come before their message; they wait for it and are applied in the order they happened.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(27);
SET SESSION AUTHORIZATION conny;

-- two edits of a message that is not there yet, the later one first
SELECT is(status, 'parked', 'an edit waits') FROM hub.ingest(:telegram, telegram(77, 1, 'third', 1767225603));
SELECT is(status, 'parked', 'an earlier one too') FROM hub.ingest(:telegram, telegram(77, 1, 'second', 1767225602));
SELECT is(status, 'duplicate', 'waiting twice is once') FROM hub.ingest(:telegram, telegram(77, 1, 'second', 1767225602));
SELECT is(status, 'new', 'the message comes') FROM hub.ingest(:telegram, telegram(77, 1, 'first'));
SELECT customer_id AS juno FROM hub.ingest(:telegram, telegram(77, 1, 'first')) \gset
SET SESSION AUTHORIZATION annika;
SELECT body AS shown FROM hub.timeline(:'juno') \gset
SELECT is(:'shown'::text, 'third', 'it says what the last edit says');
SELECT string_agg(hub.reveal(r.body), ',' ORDER BY r.occurred_at) AS shown FROM crm.message_revision r \gset
SELECT is(:'shown'::text, 'first,second', 'and what it said before is kept');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM crm.pending_ref WHERE settled_at IS NULL), 0::bigint, 'nothing waits any more');
SELECT is((SELECT count(*) FROM crm.pending_ref WHERE body IS NOT NULL), 0::bigint, 'no copy of the text is left behind');

-- edits out of order
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'new', 'an edit that was overtaken') FROM hub.ingest(:telegram, telegram(77, 1, 'late', 1767225601));
SET SESSION AUTHORIZATION annika;
SELECT body AS shown FROM hub.timeline(:'juno') \gset
SELECT is(:'shown'::text, 'third', 'changes nothing');
SELECT is((SELECT count(*) FROM crm.message_revision), 3::bigint, 'but is kept');

-- unsend before send
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'parked', 'an unsend waits')
FROM hub.ingest(:telegram, '{"update_id": 2, "deleted_business_messages": {"chat": {"id": 77, "type": "private"}, "message_ids": [2]}}');
SELECT is(status, 'new', 'its message comes') FROM hub.ingest(:telegram, telegram(77, 2, 'oops'));
SET SESSION AUTHORIZATION annika;
SELECT is((SELECT body IS NULL AND unsent_at IS NOT NULL FROM hub.timeline(:'juno') WHERE message_id IN (
	SELECT message_id FROM crm.message_revision WHERE kind = 'unsend')), true, 'and is unsent at once');

-- a receipt before mark_sent, through the outbox
SET SESSION AUTHORIZATION conny;
SELECT customer_id AS mara, conversation_id AS conversation
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello', name => 'Mara Quint')) \gset
SET SESSION AUTHORIZATION annika;
SELECT hub.queue_reply(:'conversation', 'Good morning!') AS reply \gset
SELECT throws_ok(format('SELECT hub.queue_reply(%L, %L)', :'conversation', '  '), '22023', NULL, 'an empty reply is refused');
SELECT throws_ok(format('SELECT * FROM hub.claim_outbox(%s)', :whatsapp), '42501', NULL, 'an agent claims nothing');
SET SESSION AUTHORIZATION conny;
SELECT address, body, attempts FROM hub.claim_outbox(:whatsapp) \gset
SELECT is(:'address'::text || ' ' || :'body', '4915550000001 Good morning!', 'a connector gets address and text');
SELECT is((SELECT count(*) FROM hub.claim_outbox(:whatsapp)), 0::bigint, 'once');
SELECT is(status, 'parked', 'its receipt is faster than its id') FROM hub.ingest(:whatsapp, receipt('4915550000001', 'wamid.out', 'read'));
SELECT is(status, 'parked', 'and comes in any order') FROM hub.ingest(:whatsapp, receipt('4915550000001', 'wamid.out', 'delivered', 1767225699));
SELECT hub.mark_sent(:'reply', 'wamid.out') \g /dev/null
SELECT lives_ok(format('SELECT hub.mark_sent(%L, %L)', :'reply', 'wamid.out'), 'reporting it twice does no harm');
SET SESSION AUTHORIZATION annika;
SELECT is((SELECT delivery FROM crm.message WHERE message_id = :'reply'), 'read', 'the message is read, as the furthest receipt says');
SELECT is((SELECT count(*) FROM crm.delivery_event WHERE message_id = :'reply'), 2::bigint, 'both receipts are kept');
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'duplicate', 'the channel''s echo of it is no second message')
FROM hub.ingest(:whatsapp, '{"entry": [{"changes": [{"field": "smb_message_echoes", "value": {"message_echoes": [{"from": "880011",
	"to": "4915550000001", "id": "wamid.out", "timestamp": "1767225650", "type": "text", "text": {"body": "Good morning!"}}]}}]}]}');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT state FROM crm.outbox), 'sent', 'the outbox is done with it');

-- an edit of a person nobody knows is that person's
SET SESSION AUTHORIZATION conny;
SELECT ok(status = 'parked' AND customer_id IS NOT NULL, 'an edit by somebody unknown is kept under a key of theirs')
FROM hub.ingest(:telegram, telegram(78, 1, 'edited', 1767225609));
SELECT ok(status = 'parked' AND customer_id IS NULL, 'a receipt of somebody unknown makes no customer')
FROM hub.ingest(:whatsapp, receipt('4915550000099', 'wamid.x', 'read'));
SELECT * FROM finish();
ROLLBACK;
