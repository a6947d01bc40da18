-- Texts of classes that ask for it are found by their words, by index, without plaintext in it; under the row
-- policies, from mask clearance on, and on record.
SELECT plan(57);

CREATE ROLE anna LOGIN;
CREATE ROLE mara LOGIN;
CREATE ROLE cora LOGIN;
CREATE ROLE otto LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.add_member('mara', 'hub_manager', 'mara', '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.add_member('cora', 'hub_compliance', 'cora', '{DE}', '{1}') \g /dev/null
SELECT hub.add_member('otto', 'hub_admin', 'otto', '{DE}', '{1}') \g /dev/null
CREATE TABLE letter (
	id int NOT NULL,
	customer_id uuid NOT NULL,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	body hub.encrypted_text('content'),
	name hub.encrypted_text('basic')
) PARTITION BY LIST (region);
CREATE TABLE letter_de PARTITION OF letter FOR VALUES IN ('DE');
CREATE TABLE letter_fr PARTITION OF letter FOR VALUES IN ('FR');
SELECT hub.govern('letter', 'customer_id', 'region', 'line_id') \g /dev/null
GRANT SELECT, INSERT, UPDATE ON letter TO hub_agent, hub_manager, hub_compliance;
INSERT INTO letter VALUES (0, md5('0')::uuid, 'DE', 1, 'sealed before', 'Early Bird');

SET SESSION AUTHORIZATION anna;
SELECT throws_ok($$SELECT id FROM letter WHERE hub.matches(body, 'sealed')$$, 'CH103', NULL, 'off by default');
SELECT throws_ok($$SELECT hub.set_word_search('content', true)$$, '42501', NULL, 'an agent cannot switch it on');
SET SESSION AUTHORIZATION otto;
SELECT lives_ok($$SELECT hub.set_word_search('content', true)$$, 'an administrator can');
SELECT throws_ok($$SELECT hub.set_word_search('nonsense', true)$$, 'CH105', NULL, 'for classes that there are');
RESET SESSION AUTHORIZATION;

INSERT INTO letter
SELECT i, md5(i::text)::uuid, CASE WHEN i % 2 = 0 THEN 'DE' ELSE 'FR' END::hub.region, 1,
	'Dear shop, lamp no. ' || i || ' broke. I''d like a REFUND, or a new lamp!', 'Person ' || i
FROM generate_series(1, 2000) i;
CREATE TABLE memo (body hub.encrypted_text('content'));
PREPARE write_memo (text) AS INSERT INTO memo VALUES ($1);
EXECUTE write_memo('through a parameter');
INSERT INTO memo VALUES ('as a literal'), ('as text'::text), ('as varchar'::varchar);
SELECT is((SELECT count(*) FROM memo WHERE (get_byte(decode(translate(substr(body::text, 6, 28), '-_', '+/'), 'base64'), 19) & 128) = 0),
	0::bigint, 'every way into a table that is not governed brings the tokens along');

INSERT INTO letter VALUES
	(3001, md5('3001')::uuid, 'DE', 1, 'Grüße aus Österreich, Straße 5. ΟΔΟΣ', 'Zoë Ångström'),
	(3002, md5('3002')::uuid, 'DE', 1, '東京都に住んでいます。返金してください', '東京 花子'),
	(3003, md5('3003')::uuid, 'DE', 1, 'ｆｕｌｌ　ｗｉｄｔｈ and cafe' || U&'\0301', 'N'),
	(3004, md5('3004')::uuid, 'DE', 1, '', 'Empty'),
	(3005, md5('3005')::uuid, 'DE', 1, NULL, 'Null'),
	(3006, md5('3006')::uuid, 'DE', 1, 'บริการลูกค้า 서울 고객', 'Thai'),
	(3007, md5('3007')::uuid, 'DE', 1, repeat('x', 100) || ' ' || repeat('many words ', 500), 'Long'),
	(3008, md5('3008')::uuid, 'DE', 1, (SELECT string_agg('word' || g, ' ') FROM generate_series(1, 3000) g), 'Toasted');
CREATE INDEX letter_words ON letter USING gin (body);
VACUUM ANALYZE letter;
CREATE FUNCTION found(words text) RETURNS text LANGUAGE sql AS
	$$SELECT string_agg(id::text, ' ' ORDER BY id) FROM letter WHERE hub.matches(body, words)$$;
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		lines := lines || line || E'\n';
	END LOOP;
	RETURN lines;
END
$$;

SET SESSION AUTHORIZATION anna;
SELECT matches(plan_of($$SELECT id FROM letter WHERE hub.matches(body, 'refund')$$),
	'Bitmap Index Scan on letter_de_body_idx', 'the index is used under the policies');
SELECT alike(plan_of($$SELECT id FROM letter WHERE hub.matches(body, 'refund')$$), '%hub.acts_as(%hub.matches(%', 'which are asked first, by each row');
PREPARE search(text) AS SELECT id FROM letter WHERE hub.matches(body, $1);
SET plan_cache_mode = force_generic_plan;
SELECT matches(plan_of($$EXECUTE search('refund')$$), 'Index Cond: \(body @> \(\$1\)', 'by a generic plan too');
SELECT results_eq($$EXECUTE search('refund 78')$$, 'VALUES (78)', 'which finds the row');
RESET plan_cache_mode;
SELECT is(found('refund 78'), '78', 'all words must be there');
SELECT is(found('78 REFUND lamp Lamp'), '78', 'in any order, case and number');
SELECT is(found('refund 78 bicycle'), NULL, 'none may be missing');
SELECT is(found('refun'), NULL, 'a word is whole');
SELECT is(found('77'), NULL, 'rows of others are not found');
SELECT is(found(''), NULL, 'no word finds nothing');
SELECT is(found(' ?! '), NULL, 'nor do marks');
SELECT is(found('GRÜSSE'), NULL, 'letters are not spelled out');
SELECT is(found('GRÜẞE österreich STRASSE'), NULL, 'in no word of several');
SELECT is(found('grüẞe ÖSTERREICH straße οδος'), '3001', 'case is that of Unicode, final sigma and all');
SELECT is(found('東京'), '3002', 'text without spaces is found by two characters');
SELECT is(found('東京都'), '3002', 'by more');
SELECT is(found('京東'), NULL, 'in their order');
SELECT is(found('東'), NULL, 'not by one');
SELECT is(found('full width café'), '3003', 'normal forms are one');
SELECT is(found('ลูกค้า'), '3006', 'Thai is found');
SELECT is(found('서울'), '3006', 'Korean by its words');
SELECT is(found(repeat('x', 100)), '3007', 'long words');
SELECT is(found('word2999 word1'), '3008', 'and long texts');
SELECT is(found('sealed'), NULL, 'what was sealed before has no tokens');
SET enable_bitmapscan = off;
SELECT is(found('refund 78'), '78', 'the same without the index');
SELECT is(found('77'), NULL, 'and no more');
RESET enable_bitmapscan;
SELECT is(hub.word_query('refund', 4::smallint), NULL, 'tokens are told to nobody');
SELECT is((SELECT count(*) FROM letter WHERE body @> hub.word_query('refund', 4::smallint)), 0::bigint, 'so nobody searches past the record');
SELECT throws_ok($$SELECT id FROM letter WHERE hub.matches(name, 'person')$$, 'CH103', NULL, 'other classes stay as they were');
SELECT is((SELECT count(*) FROM letter WHERE id = 78 AND body IS NOT NULL), 1::bigint, 'values read as ever');
SELECT id AS id, body AS body FROM letter WHERE id = 3001 \gset
SELECT is(:'body'::text, 'Grüße aus Österreich, Straße 5. ΟΔΟΣ', 'and open');
SELECT lives_ok('UPDATE letter SET body = body WHERE id = 78', 'are written back');
SELECT lives_ok($$UPDATE letter SET body = 'now about bicycles' WHERE id = 80$$, 'and changed');
SELECT is(found('bicycles') || coalesce(found('80'), ''), '80', 'to be found by what they hold now');

-- who may search
SET SESSION AUTHORIZATION cora;
SELECT is(found('refund 78'), '78', 'mask clearance is enough');
SET SESSION AUTHORIZATION mara;
SELECT throws_ok($$SELECT found('refund 78')$$, 'CH205', NULL, 'token clearance is not');
SELECT throws_ok($$SELECT found('nobodywrotethis')$$, 'CH205', NULL, 'whether there is something to find or not');
SET SESSION AUTHORIZATION otto;
SELECT throws_ok($$SELECT hub.matches('any text', 'any')$$, 'CH205', NULL, 'nor is deny');
RESET SESSION AUTHORIZATION;
SELECT throws_ok($$SELECT found('refund 78')$$, 'CH205', NULL, 'nor is no identity');

-- on record: who was found, and that there was a search
SELECT hub.wait_for_audit() \g /dev/null
SET SESSION AUTHORIZATION cora;
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', role, data_class, reveal), ', ') FROM hub.who_viewed(md5('78')::uuid)),
	'hub_agent content partial, hub_compliance content partial', 'who was found is on record');
SELECT is((SELECT count(*) FROM hub.who_viewed(md5('77')::uuid)), 0::bigint, 'who was hidden was not found');
SELECT cmp_ok((SELECT count(*) FROM hub.audit_trail() WHERE kind = 'reveal' AND subject IS NULL AND role = 'hub_compliance'), '>', 0::bigint, 'a search itself is on record');
RESET SESSION AUTHORIZATION;

-- what lies on disk: tokens that are a key's, sorted, and gone with the value
SELECT decode(translate(substr(body::text, 6), '-_', '+/') || repeat('=', -length(substr(body::text, 6)) & 3), 'base64') AS raw FROM letter WHERE id = 80 \gset
SELECT is(get_byte(:'raw'::bytea, length(:'raw'::bytea) - 1), 3, 'a value carries a token for each of its words');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE position(substr(:'raw'::bytea, length(:'raw'::bytea) - 27, 8) IN sealed) > 0), 0::bigint, 'the audit has none');
CREATE CAST (bytea AS hub.encrypted_text) WITHOUT FUNCTION;
CREATE TABLE forged AS SELECT substr(:'raw'::bytea, 19)::hub.encrypted_text AS body,
	set_byte(substr(:'raw'::bytea, 19), length(:'raw'::bytea) - 18 - 10, get_byte(:'raw'::bytea, length(:'raw'::bytea) - 10) # 1)::hub.encrypted_text AS altered;
GRANT SELECT ON forged TO hub_agent;
SET SESSION AUTHORIZATION anna;
SELECT is((SELECT hub.reveal(body) FROM forged), 'now about bicycles', 'a copy opens');
SELECT throws_ok('SELECT hub.reveal(altered) FROM forged', 'CH003', NULL, 'but not with another token');
RESET SESSION AUTHORIZATION;
SELECT hub.destroy_subject_key(md5('78')::uuid) \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT is(found('refund 78'), NULL, 'an erased person is found no more');
RESET SESSION AUTHORIZATION;

-- normalizing takes the square of a run of marks: whoever writes them must not hold up a session
SET statement_timeout = '120s';
SELECT lives_ok($$INSERT INTO letter VALUES (3009, md5('3009')::uuid, 'DE', 1,
	'dark ' || repeat(U&'\0301\0323', 200000) || ' lantern', 'Marks')$$, 'a long run of combining marks is sealed in no time');
RESET statement_timeout;
SET SESSION AUTHORIZATION anna;
SELECT is(found('lantern'), '3009', 'and found');
RESET SESSION AUTHORIZATION;

-- sealed anew, old values get what their class has now
DROP INDEX letter_words;
CALL hub.reseal('letter');
CREATE INDEX letter_words ON letter USING gin (body);
SET SESSION AUTHORIZATION anna;
SELECT is(found('before'), '0', 'what was there before is found once it is sealed anew');
RESET SESSION AUTHORIZATION;
SELECT hub.set_word_search('content', false) \g /dev/null
DROP INDEX letter_words;
CALL hub.reseal('letter');
SELECT is((SELECT count(*) FROM letter l WHERE (get_byte(decode(translate(substr(body::text, 6, 28), '-_', '+/'), 'base64'), 19) & 128) <> 0
	AND hub.subject_state(l.customer_id) = 'alive'), 0::bigint, 'and no tokens are left after switching it off and sealing anew');
SET SESSION AUTHORIZATION anna;
SELECT throws_ok($$SELECT found('refund')$$, 'CH103', NULL, 'nor a search');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
