-- Events of an erased person that come again are counted and not stored; what the person writes anew is of a new subject.
\set QUIET on
\i test/fixtures/desk.sql
SELECT plan(12);
CREATE ROLE carl LOGIN;
SELECT hub.add_member('carl', 'hub_compliance', 'carl', '{DE,FR}', ARRAY[:line]) \g /dev/null

SET SESSION AUTHORIZATION conny;
SELECT customer_id AS mara FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'forget me', name => 'Mara Quint')) \gset
SELECT hub.ingest(:whatsapp, whatsapp('4915550000002', 'wamid.2', 'not me')) \g /dev/null
SET SESSION AUTHORIZATION annika;
SELECT hub.assign(conversation_id, :annika) FROM crm.conversation WHERE customer_id = :'mara' \g /dev/null

SET SESSION AUTHORIZATION carl;
SELECT hub.plan_erasure(:'mara') AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
CALL hub.run_erasure(:plan);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'a customer is erased');

RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM crm.customer WHERE customer_id = :'mara'), 0::bigint, 'the customer is gone');
SELECT is((SELECT count(*) FROM crm.message), 1::bigint, 'the message too');
SELECT is((SELECT count(*) FROM crm.identity WHERE address = '4915550000001'), 0::bigint, 'the address finds nobody');

SET SESSION AUTHORIZATION conny;
SELECT is(status, 'suppressed', 'the same event again is suppressed')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'forget me', name => 'Mara Quint'));
SELECT is(status, 'suppressed', 'and so is another one from before')
FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.0', 'even older', 1767225500));
SELECT is(status, 'suppressed', 'and a receipt of hers')
FROM hub.ingest(:whatsapp, receipt('4915550000001', 'wamid.1', 'read'));
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM crm.customer), 1::bigint, 'none of them makes a customer');
SELECT is((SELECT deliveries FROM crm.event_ledger WHERE customer_id = :'mara'), 2, 'the ledger counts them');

SET SESSION AUTHORIZATION conny;
SELECT status AS status, customer_id AS anew FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.9', 'me again',
	extract(epoch FROM now())::bigint + 60)) \gset
SELECT is(:'status'::text, 'new', 'what she writes anew is taken in');
SELECT isnt(:'anew'::uuid, :'mara'::uuid, 'as of a new subject');
SELECT is(status, 'duplicate', 'other people''s events are as before')
FROM hub.ingest(:whatsapp, whatsapp('4915550000002', 'wamid.2', 'not me'));
SELECT * FROM finish();
