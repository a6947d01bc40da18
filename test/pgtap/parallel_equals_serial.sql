-- A query in parallel shows what the same query shows in one process, by login and by token, on every kind of scan.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(26);
CREATE ROLE anna LOGIN;
CREATE ROLE nobody LOGIN;
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent TO nobody;
GRANT hub_manager TO pooled;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE,US}', '{1,2}', '{10}') \g /dev/null
SELECT hub.add_member('mia', 'hub_manager', regions => '{FR,US}', lines => '{1,2,3}', teams => '{10,11}') \g /dev/null
\set token `sh test/fixtures/make_token.sh "$KEY" idp mia`

CREATE TABLE visit (id int PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, line_id int NOT NULL, team_id int, owner_id int);
INSERT INTO visit SELECT i, md5(i::text)::uuid, (ARRAY['DE','FR','US-CA','JP'])[1 + i % 4]::hub.region, 1 + i / 4 % 5, nullif(9 + i / 20 % 4, 9), i % 97
FROM generate_series(1, 40000) i;
CREATE INDEX ON visit (region, line_id);
ALTER TABLE visit SET (parallel_workers = 2);
SELECT hub.govern('visit', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id') \g /dev/null
GRANT SELECT, INSERT ON visit TO hub_agent, hub_manager;
VACUUM ANALYZE visit;

SELECT count(*) || ' ' || sum(id) AS anna FROM visit
WHERE region IN ('DE', 'US-CA') AND line_id IN (1, 2) AND (team_id = 10 OR team_id IS NULL OR owner_id = 1) \gset
SELECT count(*) || ' ' || sum(id) AS mia FROM visit
WHERE region IN ('FR', 'US-CA') AND line_id IN (1, 2, 3) AND (team_id IN (10, 11) OR team_id IS NULL OR owner_id = 2) \gset

CREATE FUNCTION plan_of(query text, options text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (' || options || ') ' || query LOOP
		lines := lines || line || E'\n';
	END LOOP;
	RETURN lines;
END
$$;
-- what is seen by workers alone, or by this process alone
CREATE FUNCTION seen(workers int, scan text, query text DEFAULT 'SELECT count(*) || '' '' || sum(id) FROM visit') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	plan text;
BEGIN
	PERFORM set_config('parallel_setup_cost', '0', true), set_config('parallel_tuple_cost', '0', true),
		set_config('min_parallel_table_scan_size', '0', true), set_config('min_parallel_index_scan_size', '0', true),
		set_config('parallel_leader_participation', 'off', true),
		set_config('max_parallel_workers_per_gather', workers::text, true),
		set_config('enable_seqscan', (scan = 'Seq Scan')::text, true),
		set_config('enable_indexscan', (scan = 'Index Scan')::text, true),
		set_config('enable_indexonlyscan', 'off', true),
		set_config('enable_bitmapscan', (scan = 'Bitmap Heap Scan')::text, true);
	plan := plan_of(query, 'ANALYZE, COSTS OFF, TIMING OFF');
	IF plan NOT LIKE ('%' || CASE WHEN workers > 0 THEN 'Parallel ' ELSE '' END || scan || '%')
		OR (workers > 0) <> (plan LIKE '%Workers Launched: 2%') THEN
		RETURN plan;
	END IF;
	EXECUTE query INTO result;
	RETURN result;
END
$$;

-- plans are looked at as they ran
SET customer_hub.allow_explain_analyze = on;
SET SESSION AUTHORIZATION anna;
SELECT is(seen(0, 'Seq Scan'), :'anna', 'a member by login, in one process, by a scan');
SELECT is(seen(2, 'Seq Scan'), :'anna', 'in parallel, by a scan');
SELECT is(seen(0, 'Index Scan'), :'anna', 'in one process, by index');
SELECT is(seen(2, 'Index Scan'), :'anna', 'in parallel, by index');
SELECT is(seen(0, 'Bitmap Heap Scan'), :'anna', 'in one process, by bitmap');
SELECT is(seen(2, 'Bitmap Heap Scan'), :'anna', 'in parallel, by bitmap');
SELECT is(seen(2, 'Seq Scan', 'SELECT string_agg(DISTINCT hub.my_member_id()::text, '','') FROM visit WHERE id > 0'), '1', 'workers know who asks');

-- rows of this very transaction, and a subdivision that nobody else knows of
BEGIN;
INSERT INTO visit VALUES (0, gen_random_uuid(), 'US-AK', 1, 10);
SELECT is(seen(0, 'Index Scan', 'SELECT string_agg(region::text, '' '') FROM visit WHERE id = 0 AND region >= ''US'''), 'US-AK', 'a row of this transaction, in one process');
SELECT is(seen(2, 'Seq Scan'), seen(0, 'Seq Scan'), 'in parallel, by a scan');
SELECT is(seen(2, 'Index Scan'), seen(0, 'Seq Scan'), 'in parallel, by index');
SELECT is(seen(2, 'Bitmap Heap Scan'), seen(0, 'Seq Scan'), 'in parallel, by bitmap');
ROLLBACK;
SELECT is(seen(2, 'Index Scan'), :'anna', 'none of it is left after ROLLBACK');

SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is(seen(0, 'Seq Scan'), :'mia', 'a member by token, in one process, by a scan');
SELECT is(seen(2, 'Seq Scan'), :'mia', 'in parallel, by a scan');
SELECT is(seen(0, 'Index Scan'), :'mia', 'in one process, by index');
SELECT is(seen(2, 'Index Scan'), :'mia', 'in parallel, by index');
SELECT is(seen(0, 'Bitmap Heap Scan'), :'mia', 'in one process, by bitmap');
SELECT is(seen(2, 'Bitmap Heap Scan'), :'mia', 'in parallel, by bitmap');
SELECT is(seen(2, 'Seq Scan', 'SELECT string_agg(DISTINCT hub.my_member_id()::text, '','') FROM visit WHERE id > 0'), '2', 'workers know who asks');
SAVEPOINT a;
SELECT is(seen(2, 'Seq Scan'), :'mia', 'also within a savepoint');
COMMIT;

-- and without identity there is nothing to be shown
SET SESSION AUTHORIZATION nobody;
SELECT is(seen(0, 'Seq Scan', 'SELECT count(*)::text FROM visit'), '0', 'nobody, in one process, by a scan');
SELECT is(seen(2, 'Seq Scan', 'SELECT count(*)::text FROM visit'), '0', 'in parallel, by a scan');
SELECT is(seen(0, 'Index Scan', 'SELECT count(*)::text FROM visit'), '0', 'in one process, by index');
SELECT is(seen(2, 'Index Scan', 'SELECT count(*)::text FROM visit'), '0', 'in parallel, by index');
SELECT is(seen(0, 'Bitmap Heap Scan', 'SELECT count(*)::text FROM visit'), '0', 'in one process, by bitmap');
SELECT is(seen(2, 'Bitmap Heap Scan', 'SELECT count(*)::text FROM visit'), '0', 'in parallel, by bitmap');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
\! rm -f "$KEY"
