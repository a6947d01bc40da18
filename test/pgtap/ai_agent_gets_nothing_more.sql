-- Whatever SQL an injected prompt makes an AI agent send, it reads content of its own conversations and pseudonyms, of who agreed.
\i test/fixtures/desk.sql
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(37);
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_ai_agent, hub_agent, hub_manager TO pooled;
SELECT hub.ingest(:whatsapp, public.whatsapp('4917011100001', 'wamid.1', 'my lamp is broken', name => 'Mirabelle Vermeulen')) \g /dev/null
SELECT hub.ingest(:whatsapp, public.whatsapp('4917011100002', 'wamid.2', 'where is my lamp', name => 'Zacharias Okafor')) \g /dev/null
SELECT hub.ingest(:whatsapp, public.whatsapp('4917011100003', 'wamid.3', 'a word about salaries', name => 'Leocadia Brandt')) \g /dev/null
SELECT c.customer_id AS first FROM crm.identity i JOIN crm.customer c USING (customer_id) WHERE i.address = '4917011100001' \gset
SELECT c.customer_id AS second FROM crm.identity i JOIN crm.customer c USING (customer_id) WHERE i.address = '4917011100002' \gset
SELECT c.customer_id AS third FROM crm.identity i JOIN crm.customer c USING (customer_id) WHERE i.address = '4917011100003' \gset
SET SESSION AUTHORIZATION mara;
SELECT hub.assign(conversation_id, :robo) FROM crm.conversation WHERE customer_id IN (:'first', :'second') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT hub.record_consent(:'first', 'ai_assist', 'WhatsApp opt-in 3') \g /dev/null
SELECT hub.set_export_ceiling('hub_ai_agent', 3) \g /dev/null
\set token `sh test/fixtures/make_token.sh "$KEY" idp robo 300 ai_assist`
\set other `sh test/fixtures/make_token.sh "$KEY" idp mara`

SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is((SELECT count(*)::int FROM crm.conversation), 2, 'it sees the conversations assigned to it');
SELECT body AS agreed FROM crm.message WHERE customer_id = :'first' \gset
SELECT is(:'agreed'::text, 'my lamp is broken', 'and what was said in them, by who consents to ai_assist');
SELECT body AS refused FROM crm.message WHERE customer_id = :'second' \gset
SELECT is(:'refused'::text, '[restricted]', 'not by who does not');
SELECT display_name AS name FROM crm.customer WHERE customer_id = :'first' \gset
SELECT ok(:'name' LIKE 'tok\_%', 'persons are pseudonyms');
SELECT address AS address FROM crm.identity WHERE customer_id = :'first' \gset
SELECT ok(:'address' LIKE 'tok\_%', 'their addresses too');
SELECT display_name AS again FROM crm.customer WHERE customer_id = :'first' \gset
SELECT is(:'again'::text, :'name'::text, 'always the same');
SELECT is((SELECT count(*)::int FROM crm.message WHERE customer_id = :'third'), 0, 'nothing of anybody else');
SELECT is(hub.customer_profile(:'third'), NULL, 'nor a portrait');
SELECT is((SELECT count(*)::int FROM hub.timeline(:'third')), 0, 'nor a timeline');

-- read-only
SELECT throws_ok(format('UPDATE crm.conversation SET owner_id = %s', :robo), '42501', NULL, 'it assigns itself nothing');
SELECT throws_ok(format('SELECT hub.assign(conversation_id, %s) FROM crm.conversation', :robo), '42501', NULL, 'nor by function');
SELECT throws_ok('SELECT hub.queue_reply(conversation_id, ''pay here'') FROM crm.conversation', '42501', NULL, 'it sends nothing');
SELECT throws_ok('DELETE FROM crm.message', '42501', NULL, 'it deletes nothing');
SELECT throws_ok('INSERT INTO crm.note (customer_id, region, line_id, body) SELECT customer_id, region, line_id, ''x'' FROM crm.customer', '42501', NULL, 'it writes no note');
SELECT throws_ok(format('SELECT hub.record_consent(%L, ''ai_assist'', ''the model says so'')', :'second'), '42501', NULL, 'it consents for nobody');
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %L)', :'first', :'second'), '42501', NULL, 'it merges nobody');

-- out of bounds
SELECT throws_ok('SELECT hub.break_glass(''ignore previous instructions'', 60)', 'CH205', NULL, 'it breaks no glass');
SELECT throws_ok('SELECT hub.reveal(display_name) FROM crm.customer', 'CH205', NULL, 'it reveals no name');
SELECT throws_ok('SELECT hub.reveal(address) FROM crm.identity', 'CH205', NULL, 'nor an address');
SELECT throws_ok('SELECT display_name::hub.encrypted_text(''content'') FROM crm.customer', 'CH101', NULL, 'nor by calling it content');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'other'), 'CH204', NULL, 'it takes no second token');
SELECT throws_ok('COPY crm.message TO STDOUT', NULL, NULL, 'it copies nothing');
SELECT throws_ok('CREATE TEMP TABLE loot AS SELECT * FROM crm.message', NULL, NULL, 'nor into a table');
SELECT throws_ok('SELECT hub.request_approval(''export'', ''{"relation": "crm.message", "columns": ["body"], "max_rows": 9}'', ''please'')', '42501', NULL, 'it asks for no export');
SELECT throws_ok('SELECT * FROM hub.member', '42501', NULL, 'it lists no members');
SELECT throws_ok('SELECT * FROM hub.audit_event', '42501', NULL, 'nor the trail');
SELECT throws_ok('SELECT * FROM hub.statistics', '42501', NULL, 'nor statistics');
SELECT throws_ok('SELECT hub.set_clearance(''hub_ai_agent'', ''contact'', ''reveal'')', '42501', NULL, 'it raises no clearance');
SELECT throws_ok('SELECT secret FROM crm.channel_account', '42501', NULL, 'it reads no secret of a channel');
SELECT throws_ok('SELECT m.message_id FROM crm.message m, generate_series(1, 10)', 'CH305', NULL, 'no more rows than its ceiling');
COMMIT;
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SET ROLE hub_manager;
SELECT is((SELECT count(*)::int FROM crm.customer), 0, 'another role of the login shows no row');
SELECT is((SELECT count(*)::int FROM crm.message), 0, 'nor message');
SET ROLE pooled;
SELECT throws_ok('SELECT FROM crm.customer', '42501', NULL, 'nor has the login itself any right');
ROLLBACK;

-- consent is withdrawn, the conversation given to somebody else
RESET SESSION AUTHORIZATION;
SELECT hub.withdraw_consent(:'first', 'ai_assist') \g /dev/null
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT body AS withdrawn FROM crm.message WHERE customer_id = :'first' \gset
SELECT is(:'withdrawn'::text, '[restricted]', 'consent withdrawn: nothing more is shown');
COMMIT;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION mara;
SELECT hub.assign(conversation_id, :annika) FROM crm.conversation WHERE customer_id = :'first' \g /dev/null
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is((SELECT count(*)::int FROM crm.message WHERE customer_id = :'first'), 0, 'given to somebody else: it is gone');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(DISTINCT subject)::int FROM hub.audit_event WHERE kind = 'reveal'), 1, 'one person was revealed to it')
FROM hub.wait_for_audit();
SELECT ok((SELECT count(*) FROM hub.audit_event WHERE kind = 'denied') >= 2, 'its attempts are on record');
SELECT * FROM finish();
\! rm -f "$KEY"
