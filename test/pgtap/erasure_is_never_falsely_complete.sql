-- An erasure says that it is done only when it is: with an item that failed, a row
-- that stayed, a relation that came later or residue left, it does not.
\set QUIET on
\i test/fixtures/shop.sql
SELECT plan(29);

-- approved by two people, run by a third
SET SESSION AUTHORIZATION carl;
SELECT hub.plan_erasure(:ann) AS plan \gset
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan), 'CH303', NULL, 'without an approval nothing runs');
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'who asked cannot approve');
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan), 'CH303', NULL, 'nor run it then');
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT is(hub.subject_state(:ann), 'alive', 'the key is still there');

-- the graph is not what was approved any more
SELECT hub.set_subject_action('shop.bill', 'delete', 'not needed after all') \g /dev/null
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan), 'CH502', NULL, 'another action than planned: refused');
SELECT hub.set_subject_action('shop.bill', 'redact', 'sums stay for the accounts') \g /dev/null
UPDATE shop.person SET merged_into = :bob WHERE id = :ann;
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan), 'CH502', NULL, 'another person merged in: refused');
UPDATE shop.person SET merged_into = NULL WHERE id = :ann;
ALTER TABLE shop.bill ADD COLUMN memo text;
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan), 'CH502', NULL, 'another column: refused');
ALTER TABLE shop.bill DROP COLUMN memo;

-- personal data that the graph does not reach
CREATE TABLE shop.stray (person_id uuid, phone hub.encrypted_phone('contact'));
SELECT throws_ok(format('SELECT hub.erasure_step(%s)', :plan), 'CH503', NULL, 'a classified column out of reach: refused');
SELECT throws_ok('SELECT hub.plan_erasure(''00000000-0000-4000-8000-000000000003'')', 'CH503', NULL, 'nor can anything be planned');
DROP TABLE shop.stray;

-- rows that came after the plan go as well; an item that fails is not skipped
INSERT INTO shop.note VALUES (:ann, 21, 'DE', 'later', now());
CREATE TABLE shop.keepsake (person_id uuid REFERENCES shop.person);
INSERT INTO shop.keepsake VALUES (:ann);
SET SESSION AUTHORIZATION carl;
CALL hub.run_erasure(:plan);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'partial', 'a foreign key keeps a row: partial');
SELECT results_eq(format('SELECT relation_name, status, failure FROM hub.erasure_plan_item WHERE plan = %s AND action <> ''retain'' ORDER BY item', :plan),
	$$VALUES ('shop.bill', 'cleared', NULL), ('shop.note', 'cleared', NULL), ('shop.person', 'failed', '23503')$$, 'and which item failed');
SELECT is((SELECT cleared_rows - planned_rows FROM hub.erasure_plan_item WHERE plan = :plan AND relation_name = 'shop.note'),
	1::bigint, 'the row that came after the plan is gone');
SELECT throws_ok(format('SELECT hub.erasure_receipt(%s)', :plan), 'CH502', NULL, 'no receipt for a partial erasure');
RESET SESSION AUTHORIZATION;
SELECT is(hub.subject_state(:ann), 'erased', 'though the key is destroyed');
CALL hub.advance_erasures();
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'partial', 'partial does not advance');
CALL hub.run_erasure(:plan);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'partial', 'trying again changes nothing while the cause is there');
DROP TABLE shop.keepsake;

-- a trigger that keeps a row without a word
CREATE FUNCTION shop.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE DELETE ON shop.person FOR EACH ROW EXECUTE FUNCTION shop.keep();
CALL hub.run_erasure(:plan);
SELECT results_eq(format('SELECT p.status::text, i.failure FROM hub.erasure_plan p JOIN hub.erasure_plan_item i USING (plan) WHERE plan = %s AND i.status = ''failed''', :plan),
	$$VALUES ('partial', 'CH502')$$, 'a row that silently stays: partial');
DROP TRIGGER keep ON shop.person;

-- a relation that joined meanwhile
CREATE TABLE shop.wish (person_id uuid NOT NULL, wish text);
INSERT INTO shop.wish VALUES (:ann, 'a boat'), (:bob, 'a car');
SELECT hub.govern('shop.wish', 'person_id') \g /dev/null
CALL hub.run_erasure(:plan);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'with the causes gone: erased');
SELECT results_eq('SELECT person_id, wish FROM shop.wish', format('VALUES (%L::uuid, ''a car'')', :bob), 'relations that joined since included');

-- residue
SELECT is(hub.erasure_receipt(:plan)->>'status', 'erased', 'the receipt says erased');
SELECT is(hub.erasure_receipt(:plan)->'residue'->>'vacuumed_at', NULL, 'and that nothing is vacuumed yet');
-- until whatever else the server is doing has ended
SELECT unnest(ARRAY['CALL hub.advance_erasures()', 'DO $$BEGIN PERFORM pg_sleep(0.1); END$$']) FROM generate_series(1, 30) \gexec
SELECT is((SELECT vacuumed_at FROM hub.erasure_plan WHERE plan = :plan), NULL, 'without a vacuum it does not advance');
SELECT command FROM hub.erasure_maintenance() WHERE command LIKE 'VACUUM%' \gexec
CALL hub.advance_erasures();
SELECT isnt((SELECT vacuumed_at FROM hub.erasure_plan WHERE plan = :plan), NULL, 'with it, it does');
SELECT is((SELECT wal_recycled_at FROM hub.erasure_plan WHERE plan = :plan), NULL, 'WAL is not recycled by that');
SELECT throws_ok(format('SELECT hub.confirm_backups_expired(%s, '' '')', :plan), '22004', NULL, 'expiry of backups needs evidence');
SELECT hub.set_backup_retention('0') \g /dev/null
CALL hub.advance_erasures();
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'one rung that is missing is enough');
SELECT count(*) AS ahead FROM pg_ls_waldir() \gset
-- fill one segment after the other
CREATE TABLE public.filler (x int);
SELECT format('INSERT INTO public.filler VALUES (1); SELECT pg_switch_wal(); CHECKPOINT; CALL hub.advance_erasures();')
	FROM generate_series(1, 12) \gexec
SELECT isnt((SELECT wal_recycled_at FROM hub.erasure_plan WHERE plan = :plan), NULL, 'WAL goes once it is overwritten');
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'complete', 'then it is complete');
SELECT is((SELECT count(*) FROM hub.erasure_plan_subject), 0::bigint, 'and forgets the ids');
SELECT * FROM finish();
