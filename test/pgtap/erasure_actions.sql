-- What each action of the subject graph leaves of a row.
\set QUIET on
\i test/fixtures/shop.sql
SELECT plan(9);
SELECT hub.set_subject_action('shop.person', 'null_tags', 'statistics'), hub.set_subject_action('shop.note', 'redact', 'statistics') \g /dev/null

SET SESSION AUTHORIZATION mara;
SELECT hub.plan_erasure(:ann) AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SET SESSION AUTHORIZATION carl;
SELECT hub.approve(:request) \g /dev/null
SELECT is(hub.erasure_step(:plan) || ', ' || hub.erasure_step(:plan), 'approved, key destroyed', 'a caller without CALL goes step by step');
CALL hub.run_erasure(:plan, 3);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'or has the rest done');

SET SESSION AUTHORIZATION sam;
SELECT string_agg(concat_ws('/', name, nick, channel, address), ' ' ORDER BY id) AS person FROM (
	SELECT id, hub.disclose(name) AS name, nick, channel, hub.disclose(address) AS address FROM shop.person WHERE id <> :bob) p \gset
SELECT is(:'person'::text, '[erased]/email [erased]/sms', 'null_tags: what can be searched or read is gone, the rest cannot be opened');
SELECT count(*) AS rows, count(body) AS bodies FROM shop.note WHERE person_id <> :bob \gset
SELECT is(:rows || '/' || :bodies, '40/0', 'redact: the rows stay, empty');
SELECT count(body) AS bodies FROM shop.note WHERE person_id = :bob \gset
SELECT is(:bodies, 20, 'those of others as they were');
RESET SESSION AUTHORIZATION;
SELECT is_empty(format('SELECT FROM hub.uncleared_items(%s)', :plan), 'nothing is left to clear');
SELECT is((SELECT count(*) FROM hub.audit_event e WHERE e::text ~ 'vermeulin'), 0::bigint, 'the audit of the redaction quotes nothing');
SELECT throws_ok($$UPDATE shop.person SET name = 'Ann' WHERE id = '00000000-0000-4000-8000-000000000001'$$, 'CH004', NULL, 'no value can be put back');
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan + 1), 'P0002', NULL, 'an unknown plan');
SELECT * FROM finish();
