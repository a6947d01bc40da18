-- Rows of governed relations do not leave in bulk, except by an approved export.
SELECT plan(52);
CREATE ROLE anna LOGIN;
CREATE ROLE bert LOGIN;
CREATE ROLE app LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.add_member('bert', 'hub_manager', 'bert', '{DE}', '{1}', '{1}') \g /dev/null
SELECT format('GRANT CREATE ON DATABASE %I TO anna', current_database()) \gexec
CREATE SCHEMA shop;
GRANT USAGE, CREATE ON SCHEMA shop TO anna;
GRANT USAGE ON SCHEMA shop TO bert;
CREATE TABLE shop.person (person_id uuid PRIMARY KEY, region hub.region, name hub.encrypted_text('basic'),
	email hub.encrypted_email('contact')) PARTITION BY HASH (person_id);
CREATE TABLE shop.person_0 PARTITION OF shop.person FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE shop.price (article text, price int);
INSERT INTO shop.price SELECT 'article ' || n, n FROM generate_series(1, 200) n;
SELECT hub.govern('shop.person', 'person_id', 'region') \g /dev/null
SELECT hub.set_export_ceiling('hub_agent', 100) \g /dev/null
INSERT INTO shop.person
	SELECT gen_random_uuid(), CASE WHEN n % 5 = 0 THEN 'FR' ELSE 'DE' END, 'person ' || n, 'p' || n || '@example.com'
	FROM generate_series(1, 150) n;
GRANT SELECT, INSERT, UPDATE ON shop.person, shop.person_0 TO hub_agent, hub_manager;
GRANT SELECT ON shop.price TO PUBLIC;
CREATE TABLE shop.seen (n int);
GRANT SELECT, INSERT ON shop.seen TO anna;
CREATE VIEW shop.names WITH (security_invoker) AS SELECT name FROM shop.person;
GRANT SELECT ON shop.names TO hub_agent;
CREATE FUNCTION shop.all_people() RETURNS SETOF shop.person LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM shop.person';

SET SESSION AUTHORIZATION anna;
SELECT is((SELECT count(*) FROM shop.person), 120::bigint, 'the rows of the region are there to work with');

-- What cannot run in a function shows its SQLSTATE in psql
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate
COPY shop.person TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'COPY table TO is refused');
COPY shop.person_0 TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'COPY partition TO is refused');
COPY (SELECT name FROM shop.person LIMIT 1) TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'COPY query TO is refused');
COPY (SELECT name FROM shop.names) TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'through a view');
COPY (UPDATE shop.person SET name = name RETURNING *) TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'through RETURNING');
COPY (SELECT 1 WHERE EXISTS (SELECT FROM shop.person)) TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'through a sub-select');
COPY (SELECT count(*) FROM shop.price) TO '/dev/null';
SELECT is(:'SQLSTATE'::text, '42501', 'a file of the server is for those PostgreSQL lets write one');
-- refused when the function runs: COPY has begun, and psql takes it for done
\setenv DATABASE :DBNAME
\set out `psql -XAtq -d "$DATABASE" -U anna -v VERBOSITY=sqlstate -c 'COPY (SELECT * FROM shop.all_people()) TO STDOUT' 2>&1`
SELECT is(:'out'::text, 'ERROR:  CH305', 'COPY TO through a SECURITY DEFINER function is refused before its first row');
\o /dev/null
COPY shop.price TO STDOUT;
\o
SELECT is(:'SQLSTATE'::text, '00000', 'COPY of other tables works');

SELECT throws_ok('CREATE TABLE shop.copy AS SELECT * FROM shop.person LIMIT 1', 'CH305', NULL, 'CREATE TABLE AS is refused');
SELECT throws_ok('CREATE TEMP TABLE copy AS SELECT * FROM shop.person LIMIT 1', 'CH305', NULL, 'temporary too');
SELECT throws_ok('CREATE TEMP TABLE copy AS SELECT * FROM shop.all_people() LIMIT 1', 'CH305', NULL, 'through a function too');
SELECT throws_ok('EXPLAIN ANALYZE CREATE TABLE shop.copy AS SELECT * FROM shop.person LIMIT 1', 'CH305', NULL, 'under EXPLAIN ANALYZE too');
RESET SESSION AUTHORIZATION;
SET customer_hub.allow_explain_analyze = on;
CREATE EXTENSION file_fdw;
CREATE SERVER away FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE shop.away (name text) SERVER away OPTIONS (filename '/dev/null');
GRANT INSERT ON shop.away TO anna;
SET SESSION AUTHORIZATION anna;
SELECT throws_ok('EXPLAIN ANALYZE CREATE TABLE shop.copy AS SELECT * FROM shop.person LIMIT 1', 'CH305', NULL, 'where EXPLAIN ANALYZE is allowed too');
SELECT lives_ok('EXPLAIN ANALYZE SELECT person_id FROM shop.person LIMIT 1', 'which it can be');
RESET SESSION AUTHORIZATION;
RESET customer_hub.allow_explain_analyze;
SET SESSION AUTHORIZATION anna;
SELECT throws_ok('INSERT INTO shop.away SELECT person_id FROM shop.person LIMIT 1', 'CH305', NULL, 'INSERT into a foreign table is refused');
SELECT throws_ok('CREATE MATERIALIZED VIEW shop.copy AS SELECT * FROM shop.person LIMIT 1', 'CH305', NULL, 'CREATE MATERIALIZED VIEW is refused');
CREATE MATERIALIZED VIEW shop.later AS SELECT name FROM shop.person LIMIT 1 WITH NO DATA;
SELECT throws_ok('REFRESH MATERIALIZED VIEW shop.later', 'CH305', NULL, 'REFRESH MATERIALIZED VIEW of one made without data is refused');
DROP MATERIALIZED VIEW shop.later;
SELECT name INTO TEMP copy FROM shop.person LIMIT 1;
SELECT is(:'SQLSTATE'::text, 'CH305', 'SELECT INTO is refused');
CREATE TEMP TABLE basket (person_id uuid);
SELECT throws_ok('INSERT INTO basket SELECT person_id FROM shop.person LIMIT 1', 'CH305', NULL, 'INSERT into a temporary table is refused');
SELECT throws_ok('INSERT INTO basket SELECT person_id FROM shop.all_people() LIMIT 1', 'CH305', NULL, 'through a function too');
SELECT throws_ok('WITH w AS (INSERT INTO basket SELECT person_id FROM shop.person LIMIT 1 RETURNING 1) SELECT count(*) FROM w', 'CH305', NULL,
	'and within a query that reads');
SELECT throws_ok('WITH w AS (INSERT INTO basket SELECT person_id FROM shop.all_people() LIMIT 1 RETURNING 1) SELECT count(*) FROM w', 'CH305', NULL,
	'that calls a function too');
RESET SESSION AUTHORIZATION;
CREATE TEMP TABLE passed_on (person_id uuid);
GRANT INSERT ON passed_on TO anna;
SET SESSION AUTHORIZATION anna;
SELECT throws_ok('INSERT INTO passed_on SELECT person_id FROM shop.person LIMIT 1', 'CH305', NULL, 'nor one that somebody else has left in the session');
CREATE TABLE shop.mine (person_id uuid);
SELECT throws_ok('INSERT INTO shop.mine SELECT person_id FROM shop.person LIMIT 1', 'CH305', NULL, 'and into a table of one''s own');
SELECT lives_ok('INSERT INTO shop.mine VALUES (gen_random_uuid())', 'which is there for other things');
SELECT throws_ok('DO $$DECLARE p record; BEGIN FOR p IN SELECT name FROM shop.person LOOP NULL; END LOOP; END$$', 'CH305', NULL,
	'a block reads no more rows than the ceiling either');
SELECT throws_ok('DO $$DECLARE p record; BEGIN FOR p IN SELECT name FROM shop.all_people() LOOP NULL; END LOOP; END$$', 'CH305', NULL,
	'nor through a function');
SELECT lives_ok('CREATE TEMP TABLE list AS SELECT * FROM shop.price', 'copies of other tables work');
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT name FROM shop.person LIMIT 1;
\set state :SQLSTATE
ROLLBACK;
SELECT is(:'state'::text, 'CH305', 'WITH HOLD is refused');

-- what a query that failed has read does not count for the next, which may stand at its place
\set ON_ERROR_STOP on
SELECT lives_ok($$DO $b$
BEGIN
	FOR i IN 1 .. 5 LOOP
		BEGIN
			PERFORM 1 / (n - n) FROM shop.person, generate_series(1, 1) n;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
		BEGIN
			INSERT INTO shop.seen SELECT price FROM shop.price;
		EXCEPTION WHEN division_by_zero THEN
			NULL;
		END;
	END LOOP;
END$b$ $$, 'a statement that reads nothing governed may write more rows than the ceiling, whatever failed before it');
\set ON_ERROR_STOP off

-- where row security does not apply, COPY reads past the executor
RESET SESSION AUTHORIZATION;
ALTER ROLE anna BYPASSRLS;
SET SESSION AUTHORIZATION anna;
COPY shop.person_0 TO STDOUT;
\set state :SQLSTATE
RESET SESSION AUTHORIZATION;
ALTER ROLE anna NOBYPASSRLS;
SET SESSION AUTHORIZATION anna;
SELECT is(:'state'::text, 'CH305', 'COPY TO is refused to a member above row security');

-- the ceiling of the role
\o /dev/null
SELECT name FROM shop.person LIMIT 100;
\o
SELECT is(:'SQLSTATE'::text, '00000', 'as many rows as the ceiling leave');
\o /dev/null
SELECT name FROM shop.person LIMIT 101;
\o
SELECT is(:'SQLSTATE'::text, 'CH305', 'one more is refused');
\o /dev/null
SELECT * FROM shop.all_people();
\o
SELECT is(:'SQLSTATE'::text, 'CH305', 'through a function too');
\o /dev/null
UPDATE shop.person SET name = name RETURNING person_id;
\o
SELECT is(:'SQLSTATE'::text, 'CH305', 'through RETURNING too');
BEGIN;
DECLARE cursor CURSOR FOR SELECT name FROM shop.person;
\o /dev/null
FETCH 60 FROM cursor;
FETCH 60 FROM cursor;
\set state :SQLSTATE
\o
ROLLBACK;
SELECT is(:'state'::text, 'CH305', 'bit by bit through a cursor too');
PREPARE reader AS SELECT name FROM shop.person;
\o /dev/null
EXECUTE reader;
\o
SELECT is(:'SQLSTATE'::text, 'CH305', 'through a prepared statement too');
\o /dev/null
SELECT * FROM shop.price;
\o
SELECT is(:'SQLSTATE'::text, '00000', 'other tables have no ceiling');

\set ON_ERROR_STOP on

-- the way out: an export that somebody else approves
SELECT hub.request_approval('export',
	'{"relation": "shop.person", "columns": ["person_id", "name", "email"], "max_rows": 200}', 'letter to all') AS request \gset
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH303', NULL, 'nothing leaves before the approval');
SET SESSION AUTHORIZATION bert;
SELECT is(hub.approve(:request), 'approved', 'a manager approves');
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH205', NULL, 'but cannot run it');
SET SESSION AUTHORIZATION anna;
BEGIN;
SELECT count(*) AS rows, count(*) FILTER (WHERE e->>'name' LIKE 'person %') AS readable,
	count(*) FILTER (WHERE e->>'email' LIKE '%•%') AS masked
FROM hub.export(:request) e \gset
SELECT is(:rows, 120, 'the export has the rows of the member''s region, above the ceiling');
SELECT is(:readable, 120, 'what the clearance reveals in plain text');
SELECT is(:masked, 120, 'and what it masks masked');
ROLLBACK;
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH305', NULL, 'once only, even when the transaction was rolled back');
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["person_id"], "max_rows": 50}', 'too few') AS request \gset
SET SESSION AUTHORIZATION bert;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH305', NULL, 'more rows than approved are refused');
SELECT throws_ok('SELECT hub.request_approval(''export'', ''{"relation": "shop.person", "columns": ["person_id"], "where": {"email": "p1@example.com"}, "max_rows": 50}'', ''x'')',
	'CH305', NULL, 'a request may not hold values of encrypted columns');
RESET SESSION AUTHORIZATION;
SELECT throws_ok('SELECT hub.request_approval(''export'', ''{"relation": "shop.price", "columns": ["price"], "max_rows": 50}'', ''x'')',
	'CH301', NULL, 'exports are for governed relations');

-- whoever tried is on record, and so is the export that was rolled back
DO $$
BEGIN
	FOR i IN 1 .. 100 LOOP
		EXIT WHEN (SELECT count(*) FROM hub.audit_event WHERE kind = 'denied' AND details->>'relation' = 'shop.person') >= 13;
		PERFORM pg_sleep(0.1);
		COMMIT;
	END LOOP;
END
$$;
SELECT cmp_ok((SELECT count(*) FROM hub.audit_event WHERE kind = 'denied' AND details->>'relation' LIKE 'shop.person%'), '>=', 13::bigint,
	'refused copies are in the audit');
SELECT is((SELECT details->>'rows' FROM hub.audit_event WHERE kind = 'export' AND details->'params'->>'max_rows' = '200' AND details->>'step' = 'finished'), '120', 'and the export, with its rows');
SELECT * FROM finish();
