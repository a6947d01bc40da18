-- A member who may read a value in full still finds it nowhere but in the rows
-- sent to the client: not in plans, errors, statistics, copies or functions.
SELECT plan(21);

CREATE ROLE sam LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}', '{1}');
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact') UNIQUE,
	later hub.encrypted_email('contact') UNIQUE DEFERRABLE INITIALLY DEFERRED,
	name hub.encrypted_text('basic') NOT NULL,
	age int CHECK (age < 150)
);
SELECT hub.govern('person', 'id', 'region', 'line_id');
GRANT SELECT, INSERT, UPDATE ON person TO hub_sales;
-- row security keeps PostgreSQL from quoting rows at all; without it they are quoted sealed
CREATE TABLE loose (email hub.encrypted_email('contact') UNIQUE DEFERRABLE INITIALLY DEFERRED, age int CHECK (age < 150));
GRANT SELECT, INSERT ON loose TO hub_sales;
INSERT INTO loose VALUES ('later1@example.com');
INSERT INTO person
SELECT gen_random_uuid(), 'DE', 1, 'secret' || g || '@example.com', 'later' || g || '@example.com', 'Secretive Person', 30
FROM generate_series(1, 300) g;
ANALYZE person;

-- what an error says, all of it
CREATE FUNCTION pg_temp.error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	SET CONSTRAINTS ALL IMMEDIATE;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' / ', message, detail, hint);
END
$$;
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, BUFFERS) ' || statement LOOP
		lines := lines || line || E'\n';
	END LOOP;
	RETURN lines;
END
$$;
CREATE FUNCTION pg_temp.assigned(value hub.encrypted_text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	copied text;
BEGIN
	copied := value::text;
	RETURN copied;
END
$$;
GRANT USAGE ON SCHEMA public TO sam;
GRANT CREATE ON SCHEMA public TO sam;

SET SESSION AUTHORIZATION sam;
SELECT name AS seen FROM person LIMIT 1 \gset
SELECT is(:'seen'::text, 'Secretive Person', 'the member reads the value');
SELECT string_agg(name::text, ',') AS all_names FROM (SELECT name FROM person LIMIT 2) s \gset
SELECT is(:'all_names'::text, 'Secretive Person,Secretive Person', 'in a list built for the client too');

SELECT unalike(pg_temp.plan_of('SELECT name::text, email FROM person ORDER BY name::text'), '%Secretive%', 'EXPLAIN ANALYZE VERBOSE shows no value');
SELECT unalike(pg_temp.plan_of($$SELECT * FROM person WHERE email = 'secret7@example.com'$$), '%secret7%', 'nor the literal of a look-up');

SELECT unalike(pg_temp.error_of($$INSERT INTO person SELECT gen_random_uuid(), region, line_id, 'secret1@example.com', NULL, 'Another Name' FROM person LIMIT 1$$),
	'%secret1%', 'a unique violation quotes no value');
SELECT unalike(pg_temp.error_of($$INSERT INTO person SELECT gen_random_uuid(), region, line_id, 'fresh@example.com', NULL, 'Another Name', 200 FROM person LIMIT 1$$),
	'%Another Name%', 'nor does a check constraint''s failing row');
SELECT unalike(pg_temp.error_of($$INSERT INTO person SELECT gen_random_uuid(), region, line_id, 'fresh@example.com', NULL, NULL FROM person LIMIT 1$$),
	'%fresh@%', 'nor a not-null constraint''s');
SELECT unalike(pg_temp.error_of($$INSERT INTO person SELECT gen_random_uuid(), region, line_id, 'fresh@example.com', 'later1@example.com', 'Another Name' FROM person LIMIT 1$$),
	'%later1%', 'nor a deferred one''s');
SELECT alike(pg_temp.error_of($$INSERT INTO loose VALUES ('later1@example.com')$$), '%hub1:%', 'nor where rows are quoted: a unique violation');
SELECT alike(pg_temp.error_of($$INSERT INTO loose VALUES ('other@example.com', 200)$$), '%Failing row contains (hub1:%', 'a check constraint');
SELECT unalike(pg_temp.error_of('SELECT (name::text)::int FROM person'), '%Secretive%', 'nor a cast inside a function');
SELECT unalike(pg_temp.assigned(name), '%Secretive%', 'a variable of a function is sealed') FROM person LIMIT 1;
SELECT alike(pg_temp.error_of('INSERT INTO person (id, email) VALUES (gen_random_uuid(), ''no address at all'')'),
	'invalid input%', 'bad input is refused');
SELECT unalike(pg_temp.error_of('INSERT INTO person (id, email) VALUES (gen_random_uuid(), ''no address at all'')'),
	'%no address%', 'without quoting it');

-- a deferred constraint at commit, outside any statement
\setenv DB :DBNAME
\set said `psql -XU sam -d "$DB" -c "BEGIN" -c "INSERT INTO loose VALUES ('later1@example.com')" -c "COMMIT" 2>&1`
SELECT alike(:'said'::text, '%duplicate key%(email)=(hub1:%', 'a constraint checked at commit quotes the sealed value');

-- copies are sealed, for who can make them at all
RESET SESSION AUTHORIZATION;
CREATE TABLE copied AS SELECT email::text AS email, name::text AS name FROM person;
SELECT is((SELECT count(*) FROM copied WHERE email NOT LIKE 'hub1:%' OR name NOT LIKE 'hub1:%'), 0::bigint, 'CREATE TABLE AS copies sealed text');
CREATE MATERIALIZED VIEW frozen AS SELECT email::text AS email FROM person;
SELECT is((SELECT count(*) FROM frozen WHERE email NOT LIKE 'hub1:%'), 0::bigint, 'a materialised view holds sealed text');
INSERT INTO copied SELECT name::text, name::text FROM person;
SELECT is((SELECT count(*) FROM copied WHERE email NOT LIKE 'hub1:%'), 0::bigint, 'INSERT ... SELECT copies sealed text');

-- statistics
SELECT is((SELECT count(*) FROM pg_stats s WHERE s.tablename = 'person' AND s.*::text ~ 'secret|Secretive'), 0::bigint, 'pg_stats holds no value');
SELECT is((SELECT count(*) FROM pg_statistic s WHERE s.starelid = 'person'::regclass AND s.stavalues1 IS NOT NULL
		   AND s.staattnum IN (SELECT attnum FROM pg_attribute WHERE attrelid = 'person'::regclass AND attname IN ('email', 'later', 'name'))),
	0::bigint, 'pg_statistic holds none either, sealed or not');
SELECT is((SELECT n_distinct FROM pg_stats WHERE tablename = 'person' AND attname = 'email'), -1::real, 'but knows how many there are');

SELECT * FROM finish();
