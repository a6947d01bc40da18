-- Data goes when its time is over: by relation and by class, by jurisdiction and
-- purpose, in batches, and never more than the rules say.
\set QUIET on
\i test/fixtures/shop.sql
SELECT plan(27);

-- what cannot be a rule
SELECT throws_ok($$SELECT hub.set_retention('shop.nothing', 'service', '*', '1 day', 'delete', 'g')$$, '42704', NULL, 'an unknown target');
SELECT throws_ok($$SELECT hub.set_retention('hub.key_epoch', 'service', '*', '1 day', 'delete', 'g')$$, 'CH301', NULL, 'a relation that is not governed');
SELECT throws_ok($$SELECT hub.set_retention('content', 'service', '*', '1 day', 'delete', 'g')$$, '22023', NULL, 'a class whose rows are to be deleted');
SELECT throws_ok($$SELECT hub.set_retention('shop.note', 'service', '*', '1 day', 'retain', 'g')$$, '22023', NULL, 'an unknown action');
SELECT throws_ok($$SELECT hub.set_retention('shop.note', 'service', 'Atlantis', '1 day', 'delete', 'g')$$, '22P02', NULL, 'an unknown jurisdiction');
SELECT throws_ok($$SELECT hub.set_retention('shop.note', 'service', '*', '-1 day', 'delete', 'g')$$, '22023', NULL, 'a negative time');
SELECT throws_ok($$SELECT hub.set_retention('shop.note', 'service', '*', '1 day', 'delete', ' ')$$, '22004', NULL, 'no ground');
SELECT throws_ok($$SELECT hub.set_retention('shop.bill', 'service', '*', '1 day', 'delete', 'g')$$, '42703', NULL, 'a relation without a clock');
SET SESSION AUTHORIZATION sam;
SELECT throws_ok($$SELECT hub.set_retention('shop.note', 'service', '*', '1 day', 'delete', 'g')$$, '42501', NULL, 'who may not');
SET SESSION AUTHORIZATION carl;
SELECT throws_ok($$SELECT hub.set_retention('shop.note', 'service', '*', '1 day', 'delete', 'g')$$, 'CH303', NULL, 'a member without an approval');

-- a member with one
SELECT hub.request_approval('change_retention', '{"target": "shop.note", "purpose": "service", "jurisdiction": "*", "keep": "1000 days",
	"action": "delete", "ground": "no need"}', 'policy of 2026') AS request \gset
SET SESSION AUTHORIZATION mara;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION carl;
SELECT lives_ok($$SELECT hub.set_retention('shop.note', 'service', '*', '1000 days', 'delete', 'no need')$$, 'a member with an approval');
RESET SESSION AUTHORIZATION;

-- the narrowest jurisdiction counts for a purpose, the longest time among purposes
UPDATE shop.note SET received_at = now() - make_interval(days => 2 * number) WHERE true;
INSERT INTO shop.note (person_id, number, region, body, received_at)
	SELECT id, 100 + n, region, 'x', now() - make_interval(days => 1100) FROM shop.person, generate_series(1, 2) n;
SELECT results_eq('SELECT due_rows FROM hub.preview_retention()', 'VALUES (6::bigint)', 'one rule for all');
SELECT hub.set_retention('shop.note', 'service', 'US', '10 years', 'delete', 'other law') \g /dev/null
SELECT results_eq('SELECT due_rows FROM hub.preview_retention() ORDER BY rule', 'VALUES (4::bigint), (0)', 'a country of its own');
SELECT hub.set_retention('shop.note', 'service', 'US-CA', '10 days', 'delete', 'state law') \g /dev/null
SELECT results_eq('SELECT due_rows FROM hub.preview_retention() ORDER BY rule', 'VALUES (4::bigint), (0), (18)', 'a subdivision of its own');
SELECT hub.set_retention('shop.note', 'claims', 'DE', '1200 days', 'delete', 'limitation') \g /dev/null
SELECT results_eq('SELECT due_rows FROM hub.preview_retention() ORDER BY rule', 'VALUES (0::bigint), (0), (18), (0)', 'another purpose needs them longer');
SELECT hub.set_retention('shop.note', 'claims', 'DE', '1050 days', 'delete', 'limitation') \g /dev/null
SELECT results_eq('SELECT due_rows FROM hub.preview_retention() ORDER BY rule', 'VALUES (0::bigint), (0), (18), (4)', 'a rule that is set again replaces the old one');
SELECT results_eq('SELECT count(*), count(ended_at) FROM hub.retention_rule', 'VALUES (5::bigint, 1::bigint)', 'which stays on record');
SELECT is((SELECT count(*) FROM shop.note), 66::bigint, 'a preview deletes nothing');

CALL hub.run_retention(3);
SELECT results_eq('SELECT region::text, count(*) FROM shop.note GROUP BY 1 ORDER BY 1', $$VALUES ('DE', 40::bigint), ('US-CA', 4)$$, 'the run deletes what the preview said');
SELECT results_eq('SELECT state, cleared_rows FROM hub.retention_health WHERE relation = ''shop.note''::regclass ORDER BY rule',
	$$VALUES ('ok', 0::bigint), ('ok', 0), ('ok', 18), ('ok', 4)$$, 'and the health view counts it');
SELECT results_eq('SELECT relation::text, state FROM hub.retention_health WHERE rule IS NULL ORDER BY 1',
	$$VALUES ('shop.bill', 'no rule'), ('shop.person', 'no rule')$$, 'and says what has no rule');

-- by class, in every relation that has columns of it
UPDATE shop.person SET created_at = now() - interval '30 days' WHERE id <> :bob;
SELECT hub.set_retention('basic', 'service', '*', '20 days', 'redact', 'no need') \g /dev/null
SELECT results_eq('SELECT relation::text, due_rows FROM hub.preview_retention() WHERE data_class = ''basic''', $$VALUES ('shop.person', 2::bigint)$$, 'columns of a class');
CALL hub.run_retention();
SELECT results_eq('SELECT count(*), count(name), count(nick), count(address) FROM shop.person', 'VALUES (3::bigint, 1::bigint, 3::bigint, 3::bigint)', 'only they are emptied');
CALL hub.run_retention();
SELECT is((SELECT cleared_rows FROM hub.retention_health WHERE data_class = 'basic'), 0::bigint, 'once');

-- what fails is reported and does not stop the rest
SELECT hub.set_retention('shop.person', 'service', '*', '25 days', 'delete', 'no need') \g /dev/null
CALL hub.run_retention();
SELECT results_eq('SELECT state, failure FROM hub.retention_health WHERE relation = ''shop.person''::regclass AND data_class IS NULL',
	$$VALUES ('failing', '23503')$$, 'rows that others refer to');
SELECT is((SELECT count(*) FROM shop.person), 3::bigint, 'stay');
DELETE FROM shop.note;
CALL hub.run_retention();
SELECT is((SELECT count(*) FROM shop.person), 1::bigint, 'until nothing refers to them');
SELECT * FROM finish();
