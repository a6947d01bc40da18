-- Equality on an encrypted column is looked up by index, whatever index there is, however the statement
-- spells it, and under row policies too; and no index or statistic shows a member more than pseudonyms do.
SELECT plan(51);

SELECT ok(bool_and(amvalidate(c.oid)), 'all operator families are complete')
FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace WHERE n.nspname = 'hub';
SELECT is(count(*), 0::bigint, 'and no function is in two of their families') FROM (
	SELECT p.amproc FROM pg_amproc p JOIN pg_opfamily f ON f.oid = p.amprocfamily JOIN pg_am a ON a.oid = f.opfmethod
	WHERE f.opfnamespace = 'hub'::regnamespace AND p.amproc::text LIKE 'hub.%'
	GROUP BY p.amproc, a.amname HAVING count(*) > 1) s;

CREATE ROLE sam LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}') \g /dev/null
CREATE TABLE person (
	id bigint NOT NULL,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact'),
	phone hub.encrypted_phone('contact'),
	note hub.encrypted_text('content')
);
INSERT INTO person
SELECT i, (ARRAY['DE', 'FR'])[1 + i % 2]::hub.region, 1, 'person' || i || '@example.com', '+49301234' || 1000 + i, 'note'
FROM generate_series(1, 4000) i;
CREATE VIEW person_view AS SELECT * FROM person;
CREATE VIEW person_barrier WITH (security_barrier) AS SELECT * FROM person WHERE line_id = 1;
CREATE VIEW person_twice AS SELECT id, email FROM person UNION ALL SELECT id, email FROM person;
CREATE TABLE listed (address text);
INSERT INTO listed SELECT 'Person' || i || '@example.com' FROM generate_series(2, 40, 2) i;
INSERT INTO listed VALUES ('not an address'), (NULL);
SELECT hub.govern('person', 'id', 'region', 'line_id') \g /dev/null
GRANT SELECT, INSERT, UPDATE ON person, person_view, person_barrier, person_twice TO hub_sales;
GRANT SELECT ON listed TO hub_sales;
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
CREATE FUNCTION ids(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT string_agg(id::text, '' '' ORDER BY id) FROM (' || query || ') s' INTO result;
	RETURN result;
END
$$;

-- without an index: the right answer all the same
SELECT is(ids($$SELECT id FROM person WHERE email = 'PERSON7@example.com'::text$$), '7', 'a text is compared without an index');
SELECT is(ids($$SELECT id FROM person WHERE email = ANY ('{person7@example.com,bad,NULL}'::text[])$$), '7', 'several are too');
SELECT is(ids($$SELECT id FROM person WHERE email <> 'person1@example.com' AND id < 3$$), '2', 'a literal too');
SELECT is(ids($$SELECT id FROM person WHERE NOT email = 'bad'::text AND id < 3$$), '1 2', 'what is no address equals none');
SELECT throws_ok($$SELECT * FROM person WHERE note = 'note'::text$$, 'CH103', NULL, 'a class without tags is not compared');
SELECT throws_ok($$SELECT hub.equality_tag(note) FROM person$$, 'CH103', NULL, 'and has no tag to index');

-- on the tag
CREATE UNIQUE INDEX person_email ON person (hub.equality_tag(email));
CREATE INDEX person_phone ON person (hub.equality_tag(phone)) WHERE phone IS NOT NULL;
VACUUM ANALYZE person;
SELECT is(count(*), 0::bigint, 'statistics of the index hold no tag') FROM pg_stats
WHERE tablename IN ('person_email', 'person_phone', 'person') AND attname IN ('equality_tag', 'email', 'phone')
	AND (most_common_vals IS NOT NULL OR histogram_bounds IS NOT NULL);
SELECT is((SELECT n_distinct FROM pg_stats WHERE tablename = 'person_phone'), -1::real, 'but that they are all different');
SET SESSION AUTHORIZATION sam;
PREPARE untyped AS SELECT id FROM person WHERE email = $1;
PREPARE by_text(text) AS SELECT id FROM person WHERE email = $1;
PREPARE by_varchar(varchar) AS SELECT id FROM person WHERE email = $1;
PREPARE by_array(text[]) AS SELECT id FROM person WHERE email = ANY ($1);
PREPARE untyped_array AS SELECT id FROM person WHERE email = ANY ($1);
SELECT alike(plan_of($$EXECUTE untyped('person8@example.com')$$), '%Index Scan using person_email%', 'a parameter of no type finds the index');
SELECT alike(plan_of($$EXECUTE by_text('person8@example.com')$$), '%Index Scan using person_email%', 'text does');
SELECT alike(plan_of($$EXECUTE by_varchar('person8@example.com')$$), '%Index Scan using person_email%', 'varchar does');
SELECT alike(plan_of($$EXECUTE by_array('{person8@example.com}')$$), '%using person_email%', 'an array of text does');
SELECT alike(plan_of($$EXECUTE untyped_array('{person8@example.com}')$$), '%using person_email%', 'an array of no type does');
SELECT alike(plan_of($$SELECT id FROM person WHERE email = 'person8@example.com'$$), '%Index Scan using person_email%', 'a literal does');
SELECT alike(plan_of($$SELECT id FROM person WHERE 'person8@example.com'::text = email$$), '%Index Scan using person_email%', 'from the left too');
SELECT alike(plan_of($$SELECT id FROM person WHERE email IN ('person8@example.com', 'person10@example.com')$$), '%Index Cond: (hub.equality_tag(email) = ANY%', 'IN does');
SELECT alike(plan_of($$SELECT id FROM person WHERE email = 'a@b.example' OR phone = '+493012345000'$$), '%BitmapOr%person_email%person_phone%', 'OR uses two of them, one partial');
SELECT unalike(plan_of($$SELECT id FROM person WHERE email = 'person8@example.com'::text$$), '%Filter: %equality%', 'as an index condition beside the policy');
SET plan_cache_mode = force_generic_plan;
SELECT alike(plan_of($$EXECUTE by_text('person8@example.com')$$), '%Index Cond: (hub.equality_tag(email) = hub.equality_tag($1, %', 'generic plans find it');
SELECT alike(plan_of($$EXECUTE by_array('{person8@example.com}')$$), '%Index Cond: (hub.equality_tag(email) = ANY%', 'also for arrays');
SELECT is(ids($$SELECT id FROM person WHERE email = 'Person8@example.com'::text$$), '8', 'it finds the row');
RESET plan_cache_mode;
SELECT is(ids($$SELECT id FROM person WHERE email IN ('person8@example.com', 'PERSON10@EXAMPLE.COM')$$), '8 10', 'it finds rows');
SELECT is(ids($$SELECT id FROM person WHERE email = ANY ('{person8@example.com,bad,NULL}'::text[])$$), '8', 'and skips what is no address');
SELECT is(ids($$SELECT id FROM person WHERE email = 'person7@example.com'::text$$), NULL, 'but no row that the policy hides');
SELECT is(ids($$SELECT id FROM person WHERE email = ''::text$$), NULL, 'an empty text finds nothing');
SELECT alike(plan_of($$SELECT id FROM person_view WHERE email = 'person8@example.com'::text$$), '%using person_email%', 'through a view');
SELECT alike(plan_of($$SELECT id FROM person_barrier WHERE email = 'person8@example.com'::text$$), '%using person_email%', 'through a security barrier');
SELECT alike(plan_of($$SELECT id FROM person_twice WHERE email = 'person8@example.com'::text$$), '%using person_email%using person_email%', 'through UNION ALL');
SELECT alike(plan_of($$SELECT (SELECT id FROM person p WHERE p.email = l.address) FROM listed l$$), '%SubPlan%using person_email%', 'in a sub-select on an outer column');
SELECT is(ids($$SELECT p.id FROM listed l JOIN person p ON p.email = l.address WHERE l.address ~ 'Person2'$$), '2 20 22 24 26 28', 'a join finds them');
SELECT is((SELECT hub.equality_tag(email)::text FROM person LIMIT 1), '[restricted]', 'a member is not shown a tag');
SELECT throws_ok($$INSERT INTO person VALUES (9000, 'DE', 1, 'PERSON8@example.com')$$, '23505', NULL, 'UNIQUE on the tag is kept');
SELECT lives_ok($$INSERT INTO person VALUES (9000, 'DE', 1, 'PERSON8@example.com') ON CONFLICT (hub.equality_tag(email)) DO UPDATE SET line_id = 1$$, 'ON CONFLICT infers it');
SELECT is(ids($$SELECT id FROM person WHERE email = 'person8@example.com'$$), '8', 'and updates the row there was');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT length(hub.equality_tag(email)::text) FROM person LIMIT 1), 32, 'without identity a tag is what it is, like sealed text');

-- on the column
DROP INDEX person_email;
CREATE INDEX person_email ON person (email);
ANALYZE person;
SET SESSION AUTHORIZATION sam;
SELECT alike(plan_of($$EXECUTE untyped('person8@example.com')$$), '%Index Scan using person_email%', 'btree on the column: a parameter of no type');
SELECT alike(plan_of($$EXECUTE by_text('person8@example.com')$$), '%Index Scan using person_email%', 'text');
SELECT alike(plan_of($$EXECUTE by_array('{person8@example.com}')$$), '%using person_email%', 'an array of text');
SELECT is(ids($$SELECT id FROM person WHERE email = ANY ('{person8@example.com,bad,NULL}'::text[])$$), '8', 'finds the row');
RESET SESSION AUTHORIZATION;
DROP INDEX person_email;
CREATE INDEX person_email ON person USING hash (email);
SET SESSION AUTHORIZATION sam;
SELECT alike(plan_of($$EXECUTE untyped('person8@example.com')$$), '%Index Scan using person_email%', 'hash on the column: a parameter of no type');
SELECT alike(plan_of($$EXECUTE by_text('person8@example.com')$$), '%Index Scan using person_email%', 'text');
SELECT alike(plan_of($$EXECUTE by_array('{person8@example.com}')$$), '%person_email%', 'an array of text');
SELECT is(ids($$SELECT id FROM person WHERE email = 'person8@example.com'::text$$), '8', 'finds the row');
RESET SESSION AUTHORIZATION;
SELECT throws_ok($$INSERT INTO person (id, region, line_id, email) VALUES (9001, 'DE', 1, hub.encrypted_email_probe('a@b.example'))$$,
	'CH003', NULL, 'what an index is searched by is not stored');

-- partitions, joins of tables without an index, and none at all
CREATE TABLE visit (id bigint, region hub.region, email hub.encrypted_email('contact')) PARTITION BY LIST (region);
CREATE TABLE visit_de PARTITION OF visit FOR VALUES IN ('DE');
CREATE TABLE visit_fr PARTITION OF visit FOR VALUES IN ('FR');
INSERT INTO visit SELECT id, region, email FROM person;
CREATE INDEX visit_email ON visit (hub.equality_tag(email));
ANALYZE visit;
SELECT matches(plan_of($$SELECT id FROM visit WHERE email = 'person8@example.com'::text$$), 'Index Scan using visit_de.*Index Scan using visit_fr', 'partitions are searched by their index');
SELECT ok(plan_of($$SELECT id FROM visit WHERE email = ANY ('{person8@example.com}'::text[])$$) !~ 'Seq Scan', 'by several texts too');
SELECT is(ids($$SELECT v.id FROM visit v JOIN person p ON p.email = v.email WHERE p.id = 8$$), '8', 'tags of two tables meet');
DROP INDEX visit_email;
SELECT alike(plan_of($$SELECT count(*) FROM visit v JOIN listed l ON v.email = l.address$$), '%Cond: (%hub.equality_tag(v.email)%', 'a join with text needs no index to be fast');
SELECT is((SELECT count(*) FROM visit v JOIN listed l ON v.email = l.address), 20::bigint, 'and is right');
SELECT * FROM finish();
