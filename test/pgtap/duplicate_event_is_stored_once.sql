-- A webhook is delivered at least once; what it tells is stored once.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(22);
CREATE FUNCTION public.stored() RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
	SELECT format('%s customers, %s identities, %s conversations, %s messages', (SELECT count(*) FROM crm.customer),
		(SELECT count(*) FROM crm.identity), (SELECT count(*) FROM crm.conversation), (SELECT count(*) FROM crm.message))
$$;

SET SESSION AUTHORIZATION conny;
SELECT is(status, 'new', 'the first delivery is new')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello', name => 'Mara Quint'));
SELECT is(stored(), '1 customers, 1 identities, 1 conversations, 1 messages', 'and stored');
SELECT is(status, 'duplicate', 'the second is a duplicate')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello', name => 'Mara Quint'));
SELECT ok(message_id IS NOT NULL AND customer_id IS NOT NULL AND conversation_id IS NOT NULL, 'that says what it is a duplicate of')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello', name => 'Mara Quint'));
SELECT is(status, 'duplicate', 'a new profile name makes no other event of it')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello', name => 'Mara Q.'));
SELECT is(stored(), '1 customers, 1 identities, 1 conversations, 1 messages', 'nothing was added');
SELECT results_eq(format('SELECT status FROM hub.ingest(%1$s, batch(whatsapp(%2$L, %3$L, %4$L), whatsapp(%2$L, %3$L, %4$L)))', :whatsapp,
	'4915550000001', 'wamid.2', 'twice in one body'), ARRAY['new', 'duplicate'], 'also within one body');
SELECT is(stored(), '1 customers, 1 identities, 1 conversations, 2 messages', 'which adds one message');

-- the same id, another content
SELECT is(status, 'conflict', 'the same id with another text is a conflict')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'something else'));
SELECT is(status, 'conflict', 'each time it comes')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'something else'));
SELECT is(stored(), '1 customers, 1 identities, 1 conversations, 2 messages', 'that changes no message');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM crm.pending_ref WHERE waits_for = 'review' AND body IS NOT NULL), 1::bigint, 'and is kept once, for review');
SELECT is((SELECT array_agg(deliveries ORDER BY deliveries) FROM crm.event_ledger WHERE kind = 'message'), ARRAY[2, 6],
	'the ledger counts deliveries');

SET SESSION AUTHORIZATION conny;
SELECT is(status, 'new', 'the id means another message in another account')
FROM hub.ingest(:other_whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello'));
SELECT is(stored(), '1 customers, 1 identities, 2 conversations, 3 messages', 'of the same customer');
SELECT is(status, 'new', 'a customer of another region is another customer')
FROM hub.ingest(:french_whatsapp, whatsapp('4915550000001', 'wamid.1', 'hello'));
SELECT is(stored(), '2 customers, 2 identities, 3 conversations, 4 messages', 'even with the same address');

-- events about a message
SELECT is(string_agg(status, ' '), 'new duplicate', 'a receipt counts once')
FROM hub.ingest(:whatsapp, batch(receipt('4915550000001', 'wamid.2', 'read'), receipt('4915550000001', 'wamid.2', 'read')));
SELECT is(status, 'new', 'another state of it is another event')
FROM hub.ingest(:whatsapp, receipt('4915550000001', 'wamid.2', 'failed'));
SELECT is(string_agg(status, ' '), 'new new duplicate new duplicate', 'two edits of one message are two events')
FROM (VALUES (telegram(77, 1, 'a')), (telegram(77, 1, 'b', 1767225601)), (telegram(77, 1, 'b', 1767225601)),
	(telegram(77, 1, 'c', 1767225602)), (telegram(77, 1, 'c', 1767225602))) e (body), hub.ingest(:telegram, body);
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM crm.delivery_event), 2::bigint, 'two receipts are stored');
SELECT is((SELECT count(*) FROM crm.message_revision), 2::bigint, 'and two revisions');
SELECT * FROM finish();
ROLLBACK;
