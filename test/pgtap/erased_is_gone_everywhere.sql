-- After an erasure nothing that can be read is left of the person: not in a
-- table, a view, the audit, the statistics or a copy that somebody made before.
\set QUIET on
SELECT hub.set_word_search('basic', true) \g /dev/null
\i test/fixtures/shop.sql
SELECT plan(27);

CREATE VIEW shop.names AS SELECT id, name, nick, address FROM shop.person;
GRANT SELECT ON shop.names TO hub_sales;
UPDATE shop.person SET nick = 'vermeulina', name = 'Ann Vermeulen-Smit' WHERE id = :ann;
ANALYZE shop.person, shop.note, shop.bill;

SET SESSION AUTHORIZATION sam;
SELECT name = 'Ann Vermeulen-Smit' AS seen FROM (SELECT name::text FROM shop.names WHERE id = :ann) s \gset
SELECT name AS ann_name, address AS ann_address FROM shop.names WHERE id = :ann \gset
SELECT is(:'ann_name'::text, 'Ann Vermeulen-Smit', 'before: a member with clearance reads the name');
SELECT is(:'ann_address'::text, 'ann@vermeulen.example', 'and the address');
RESET SESSION AUTHORIZATION;
SELECT isnt((SELECT count(*) FROM pg_stats s WHERE s.*::text ~ 'vermeulin'), 0::bigint, 'before: statistics hold a plain value');
SELECT name::text AS token FROM shop.person WHERE id = :ann \gset

-- indexes: on equality tags, and on the tokens of the words of names
CREATE EXTENSION pageinspect;
CREATE INDEX person_tag ON shop.person (hub.equality_tag(address));
CREATE INDEX person_words ON shop.person USING gin (name);
SELECT hub.equality_tag(address)::text AS ann_tag FROM shop.person WHERE id = :ann \gset
SELECT right(encode(substr(raw, length(raw) - 11, 8), 'hex'), 16) AS ann_word FROM (
	SELECT decode(translate(substr(t, 6), '-_', '+/') || repeat('=', -length(substr(t, 6)) & 3), 'base64') AS raw
	FROM (VALUES (:'token')) v (t)) s \gset
-- is a tag among the entries of an index, or a word's token in its file?
CREATE FUNCTION pg_temp.indexed_tag(tag text) RETURNS boolean LANGUAGE sql AS
	$$SELECT EXISTS (SELECT FROM bt_page_items('shop.person_tag', 1) WHERE replace(data, ' ', '') = tag)$$;
CREATE FUNCTION pg_temp.indexed_word(word text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	CHECKPOINT;
	RETURN position((SELECT string_agg(substr(decode(word, 'hex'), 9 - i, 1), '' ORDER BY i) FROM generate_series(1, 8) i)
		IN pg_read_binary_file(pg_relation_filepath('shop.person_words'))) > 0;
END
$$;
SELECT ok(pg_temp.indexed_tag(:'ann_tag'), 'before: the tag of the address is in its index');
SELECT ok(pg_temp.indexed_word(:'ann_word'), 'before: the token of a name is in its index');
SET SESSION AUTHORIZATION sam;
SELECT is((SELECT count(*) FROM shop.person WHERE hub.matches(name, 'smit')), 1::bigint, 'before: the name is found by its words');
RESET SESSION AUTHORIZATION;

SET SESSION AUTHORIZATION carl;
SELECT hub.plan_erasure(:annie) AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
CALL hub.run_erasure(:plan, 7);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'the erasure runs');

SET SESSION AUTHORIZATION sam;
SELECT count(*) AS rows FROM shop.names WHERE id IN (:ann, :annie) \gset
SELECT is(:rows, 0, 'after: no row in the view');
SELECT count(*) AS rows FROM shop.note WHERE person_id IN (:ann, :annie) \gset
SELECT is(:rows, 0, 'none in the partitions');
SELECT :'token'::hub.encrypted_text('basic') AS name \gset
SELECT is(:'name'::text, '[erased]', 'a copy that was made before opens no more');
SELECT throws_ok($$INSERT INTO shop.note VALUES ('00000000-0000-4000-8000-000000000001', 99, 'DE', 'new', now())$$, 'CH004', NULL,
	'nothing can be written for the person');
SELECT name AS name FROM shop.names WHERE id = :bob \gset
SELECT is(:'name'::text, 'Bob Okafor', 'others are as they were');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT remark FROM shop.bill WHERE bill = 1), NULL, 'a redacted row is empty of the person');
SELECT is((SELECT amount FROM shop.bill WHERE bill = 1), 120::numeric, 'and keeps what is public');

-- what is left for others to do
-- until whatever else the server is doing has ended
SELECT unnest(ARRAY['CALL hub.advance_erasures()', 'DO $$BEGIN PERFORM pg_sleep(0.1); END$$']) FROM generate_series(1, 30) \gexec
SELECT command FROM hub.erasure_maintenance() WHERE command LIKE 'VACUUM%' \gexec
CALL hub.advance_erasures();
SELECT isnt((SELECT vacuumed_at FROM hub.erasure_plan WHERE plan = :plan), NULL, 'the vacuums are noticed');
SELECT is((SELECT count(*) FROM pg_stats s WHERE s.*::text ~ 'vermeulin'), 0::bigint, 'after: statistics hold nothing');
SELECT ok(NOT pg_temp.indexed_tag(:'ann_tag'), 'after: no entry of the index has the tag');
SELECT ok(NOT EXISTS (SELECT FROM pg_stats s WHERE s.*::text ~ :'ann_tag'), 'nor do its statistics');
SET SESSION AUTHORIZATION sam;
SET enable_seqscan = off;
SELECT is((SELECT count(*) FROM shop.person WHERE hub.matches(name, 'smit')), 0::bigint, 'after: no row is found by the words');
RESET SESSION AUTHORIZATION;
RESET enable_seqscan;
-- GIN keeps the keys that no row has any more; they name nobody
REINDEX INDEX shop.person_words;
SELECT ok(NOT pg_temp.indexed_word(:'ann_word'), 'and after REINDEX the token is nowhere in the file');

-- every table of the database, as its owner sees it
CREATE FUNCTION pg_temp.tables_with(needle text) RETURNS SETOF regclass LANGUAGE plpgsql AS $$
DECLARE
	t regclass;
	hit boolean;
BEGIN
	FOR t IN SELECT c.oid FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE t.*::text ILIKE %L)', t, '%' || needle || '%') INTO hit;
		IF hit THEN
			RETURN NEXT t;
		END IF;
	END LOOP;
END
$$;
SELECT results_eq($$SELECT pg_temp.tables_with('bobby')$$, $$VALUES ('shop.person'::regclass)$$, 'the search finds what is there');
SELECT is_empty($$SELECT pg_temp.tables_with('vermeulin')$$, 'no table has the nickname');
SELECT is_empty($$SELECT pg_temp.tables_with('vermeulen')$$, 'no table has the name');
SELECT is_empty($$SELECT pg_temp.tables_with('ann@')$$, 'no table has the address');
SELECT is_empty($$SELECT pg_temp.tables_with('15112345678')$$, 'no table has the phone number');

-- but who writes again with an old message is recognised
SELECT ok(hub.is_suppressed('email', 'ann@vermeulen.example', now() - interval '1 day')
	AND hub.is_suppressed('sms', '+4915112345678', now() - interval '1 day'), 'events from before are suppressed');
SELECT ok(NOT hub.is_suppressed('email', 'ann@vermeulen.example', now() + interval '1 day')
	AND NOT hub.is_suppressed('sms', '+14155550123', now() - interval '1 day'), 'later ones, and those of others, are not');
SELECT * FROM finish();
