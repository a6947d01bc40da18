-- Row policies are index conditions, exact ones: by index a member sees the rows that a scan shows, no more and no fewer.
SELECT plan(32);

CREATE ROLE anna LOGIN;
CREATE ROLE ben LOGIN;
CREATE ROLE ai LOGIN;
CREATE ROLE nobody LOGIN;
GRANT hub_agent TO nobody;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE,US}', '{1,2}', '{10}') \g /dev/null
SELECT hub.add_member('ben', 'hub_sales', 'ben', '{US-CA,JP}', '{1,3}', '{11}') \g /dev/null
SELECT hub.add_member('ai', 'hub_ai_agent', 'ai', '{DE,US,JP}', '{1,2,3,4,5}') \g /dev/null

CREATE TABLE visit (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, line_id int NOT NULL,
	team_id int, owner_id int, amount int NOT NULL DEFAULT 1);
INSERT INTO visit
SELECT i, md5(i::text)::uuid,
	(ARRAY['AT','BR','CH','DE','FR','GB','IN','IT','JP','KR','MX','NL','NO','NZ','PL','SE','US','US-CA','US-NY','ZA'])[1 + i % 20]::hub.region,
	1 + i / 20 % 25, CASE WHEN i / 500 % 4 > 0 THEN 9 + i / 500 % 4 END, i % 700
FROM generate_series(1, 40000) i;
CREATE INDEX visit_scope ON visit (region, line_id);
CREATE INDEX visit_owner ON visit (owner_id);
CREATE INDEX visit_owner_hash ON visit USING hash (owner_id);
CREATE INDEX visit_amount ON visit USING brin (line_id);
SELECT hub.govern('visit', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id') \g /dev/null
VACUUM ANALYZE visit;
GRANT SELECT, INSERT, UPDATE ON visit TO hub_agent, hub_sales, hub_ai_agent;

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
-- rows that the planner expects of the only scan in a query
CREATE FUNCTION estimate_of(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END
$$;
-- ids of the rows seen, by index or by a scan of the whole table
CREATE FUNCTION seen(by_index bool, query text DEFAULT 'SELECT id FROM visit') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM set_config('enable_seqscan', (NOT by_index)::text, true), set_config('enable_indexscan', by_index::text, true),
		set_config('enable_bitmapscan', by_index::text, true), set_config('enable_indexonlyscan', by_index::text, true);
	EXECUTE 'SELECT count(*) || '' '' || md5(string_agg(id::text, '' '' ORDER BY id)) FROM (' || query || ') s' INTO result;
	RETURN result;
END
$$;

-- what each should see, told by the superuser with conditions written by hand
SELECT count(*) || ' ' || md5(string_agg(id::text, ' ' ORDER BY id)) AS anna, count(*) AS anna_count FROM visit
WHERE region IN ('DE', 'US', 'US-CA', 'US-NY') AND line_id IN (1, 2) AND (team_id = 10 OR team_id IS NULL OR owner_id = 1) \gset
SELECT count(*) || ' ' || md5(string_agg(id::text, ' ' ORDER BY id)) AS ben FROM visit
WHERE region IN ('US-CA', 'JP') AND line_id IN (1, 3) AND (team_id = 11 OR owner_id = 2) \gset
SELECT count(*) || ' ' || md5(string_agg(id::text, ' ' ORDER BY id)) AS ai FROM visit
WHERE region IN ('DE', 'US', 'US-CA', 'US-NY', 'JP') AND line_id BETWEEN 1 AND 5 AND owner_id = 3 \gset

SET SESSION AUTHORIZATION anna;
SELECT is(hub.my_regions()::text, '{DE,US,US-CA,US-NY}', 'a country stands for its subdivisions in use too');
SELECT unalike(plan_of('SELECT * FROM visit'), '%Seq Scan%', 'an agent''s rows are found by index');
SELECT alike(plan_of('SELECT * FROM visit'), '%Index Cond: ((region = ANY (hub.my_regions())) AND (line_id = ANY (hub.my_lines())))%',
	'regions and lines are index conditions');
SELECT unalike(plan_of('SELECT * FROM visit'), '%SubPlan%', 'and no sub-select');
SELECT unalike(plan_of('SELECT * FROM visit'), '%{DE,US%', 'the identity is no constant of the plan');
SELECT is(seen(true), :'anna', 'an agent sees by index what is hers');
SELECT is(seen(false), :'anna', 'and the same by a scan');
SELECT cmp_ok(estimate_of('SELECT * FROM visit'), '<', 2.0 * :anna_count, 'the estimate is not far above');
SELECT cmp_ok(estimate_of('SELECT * FROM visit'), '>', 0.5 * :anna_count, 'and not far below');
SELECT alike(plan_of('SELECT * FROM visit WHERE id = 4711'), '%Index Cond: (id = 4711)%', 'a primary key is still looked up by index');
SELECT is((SELECT count(*) FROM visit WHERE id = 7), 0::bigint, 'which shows no row of others');
SELECT is(seen(true, 'SELECT id FROM visit WHERE region = ''US-CA'''), seen(false, 'SELECT id FROM visit WHERE region = ''US-CA'''),
	'a query''s own condition on the region is met together with the policy');

-- one more subdivision, seen as soon as its row is
BEGIN;
INSERT INTO visit VALUES (100001, gen_random_uuid(), 'US-TX', 1, 10);
SELECT ok('US-TX' = ANY (hub.my_regions()), 'a new subdivision counts at once');
SELECT is(seen(true), seen(false), 'its row is found by index in the same transaction');
SAVEPOINT a;
INSERT INTO visit VALUES (100002, gen_random_uuid(), 'US-WA', 1, 10);
ROLLBACK TO a;
SELECT ok(NOT 'US-WA' = ANY (hub.my_regions()), 'and is gone with its savepoint');
INSERT INTO visit VALUES (100003, gen_random_uuid(), 'US-WA', 1, 10);
SELECT is(seen(true), seen(false), 'but back with the next row');
ROLLBACK;
SELECT is(hub.my_regions()::text, '{DE,US,US-CA,US-NY}', 'all gone with ROLLBACK');
INSERT INTO visit VALUES (100004, gen_random_uuid(), 'US-TX', 1, 10), (100005, gen_random_uuid(), 'US-TX', 2, 10);
SELECT is(seen(true), seen(false), 'a committed one stays');
UPDATE visit SET region = 'DE-BE' WHERE id = 100005;
SELECT is(seen(true), seen(false), 'an update notes it too');
SELECT throws_ok($$INSERT INTO visit VALUES (100006, gen_random_uuid(), 'FR', 1, 10)$$, '42501', NULL, 'no row for another region is let in');
SELECT throws_ok($$INSERT INTO visit VALUES (100006, gen_random_uuid(), 'DE', 3, 10)$$, '42501', NULL, 'nor for another line');
SELECT lives_ok($$INSERT INTO visit VALUES (100006, gen_random_uuid(), 'DE', 1, NULL)$$, 'an agent may write to the pool of no team');

SET SESSION AUTHORIZATION ben;
SELECT is(seen(true), :'ben', 'sales, granted a subdivision, sees by index what is its own');
SELECT is(seen(false), :'ben', 'and the same by a scan; no pool of no team');
SELECT throws_ok($$INSERT INTO visit VALUES (100007, gen_random_uuid(), 'JP', 1, NULL)$$, '42501', NULL, 'nor may it write there');

SET SESSION AUTHORIZATION ai;
SELECT alike(plan_of('SELECT * FROM visit'), '%Index Cond: (owner_id = hub.my_member_id())%', 'an AI agent''s rows are found by their owner');
SELECT is(seen(true), :'ai', 'all of them');
SELECT is(seen(false), :'ai', 'as by a scan');

-- whoever is no member sees nothing, whatever the plan
SET SESSION AUTHORIZATION nobody;
SELECT is(seen(true), NULL, 'without identity no row by index');
SELECT is(seen(false), NULL, 'and none by a scan');
SELECT ok(hub.my_regions() = '{}' AND hub.my_lines() = '{}' AND hub.my_teams() = '{}' AND hub.my_member_id() IS NULL, 'no scope');
SELECT ok(NOT hub.in_regions('DE') AND NOT hub.in_lines(1) AND NOT hub.in_teams(10) AND NOT hub.in_teams(NULL) AND NOT hub.is_me(1)
	AND NOT hub.in_regions(NULL) AND NOT hub.in_lines(NULL) AND NOT hub.is_me(NULL), 'and every predicate is false');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
