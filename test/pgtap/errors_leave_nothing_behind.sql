-- An error in a query inside another one, or in one before it, changes nothing of what the next may show, copy or send.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`
\setenv DATABASE :DBNAME

SELECT plan(26);
CREATE ROLE anna LOGIN;
CREATE ROLE carl LOGIN;
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_sales TO pooled;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('anna', 'hub_sales', 'anna', '{DE}') \g /dev/null
SELECT hub.add_member('zoe', 'hub_sales', regions => '{DE}') \g /dev/null
\set token `sh test/fixtures/make_token.sh "$KEY" idp zoe`
CREATE SCHEMA shop;
GRANT USAGE, CREATE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.person (person_id bigint PRIMARY KEY, region hub.region, email hub.encrypted_email('contact'));
SELECT hub.govern('shop.person', 'person_id', 'region') \g /dev/null
INSERT INTO shop.person SELECT n, 'DE', 'p' || n || '@example.com' FROM generate_series(1, 3) n;
CREATE TABLE shop.note (note text);
CREATE TABLE shop.strict (n int);
CREATE TABLE shop.loose (email hub.encrypted_email('contact'));
INSERT INTO shop.loose VALUES ('bob@example.com');
GRANT SELECT ON shop.person TO hub_sales, carl;
GRANT INSERT, SELECT ON shop.note, shop.strict TO hub_sales;
GRANT SELECT ON shop.loose TO pooled, hub_sales;
CREATE FUNCTION shop.fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM 1 / (n - n) FROM generate_series(1, 1) n; RETURN NULL; END$$;
CREATE TRIGGER fail AFTER INSERT ON shop.strict FOR EACH ROW EXECUTE FUNCTION shop.fail();

-- Ways to end in an error and catch it, each within a query
CREATE FUNCTION shop.survive(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'no error';
EXCEPTION WHEN division_by_zero THEN
	RETURN 'survived ';
END$$;
\set division 'SELECT 1 / (n - n) FROM generate_series(1, 1) n'
\set block 'DO $d$BEGIN PERFORM 1 / (n - n) FROM generate_series(1, 1) n; END$d$'
\set copy 'CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1 / (n - n) FROM generate_series(1, 1) n'
\set triggered 'INSERT INTO shop.strict VALUES (1)'
\set nested 'SELECT shop.survive($s$SELECT 1 / (n - n) FROM generate_series(1, 1) n$s$), 1 / (n - n) FROM generate_series(1, 1) n'
CREATE FUNCTION shop.read_after(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM shop.survive(statement);
	RETURN (SELECT count(*) FROM shop.person);
END$$;

SET SESSION AUTHORIZATION anna;
SELECT email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'email'::text, 'p1@example.com', 'the values are there to be shown');

-- what is shown
SELECT shop.survive(:'division') AS said, email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'said'::text || :'email'::text, 'survived p1@example.com', 'after an error in a query inside, values are still shown');
SELECT shop.survive(:'block') AS said, email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'said'::text || :'email'::text, 'survived p1@example.com', 'in a block inside');
SELECT shop.survive(:'copy') AS said, email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'said'::text || :'email'::text, 'survived p1@example.com', 'in a utility statement inside');
SELECT shop.survive(:'triggered') AS said, email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'said'::text || :'email'::text, 'survived p1@example.com', 'in a trigger');
SELECT shop.survive(:'nested') AS said, email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'said'::text || :'email'::text, 'survived p1@example.com', 'in one and the one around it');
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate
BEGIN;
SAVEPOINT before;
SELECT 1 / (n - n) FROM generate_series(1, 1) n;
ROLLBACK TO before;
SELECT email FROM shop.person WHERE person_id = 1 \gset
COMMIT;
SELECT is(:'email'::text, 'p1@example.com', 'after ROLLBACK TO SAVEPOINT');
SELECT shop.survive('SELECT 1'), 1 / (n - n) FROM generate_series(1, 1) n;
SELECT email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'email'::text, 'p1@example.com', 'after an error that ended the transaction');
INSERT INTO shop.strict VALUES (1);
SELECT email FROM shop.person WHERE person_id = 1 \gset
SELECT is(:'email'::text, 'p1@example.com', 'after one in a trigger');

-- what is written
\set ON_ERROR_STOP on
INSERT INTO shop.note SELECT shop.survive(:'division') || email::text FROM shop.person;
INSERT INTO shop.note SELECT shop.survive(:'block') || email::text FROM shop.person;
INSERT INTO shop.note SELECT shop.survive(:'triggered') || email::text FROM shop.person;
SELECT is((SELECT count(*) FROM shop.note), 9::bigint, 'queries that write go on after an error too');
SELECT is((SELECT count(*) FROM shop.note WHERE note LIKE 'survived hub1:%'), 9::bigint, 'and still write sealed values');

-- what may be copied
CREATE TABLE shop.mine (n bigint);
SELECT throws_ok(format('INSERT INTO shop.mine SELECT shop.read_after(%L)', :'division'), 'CH305', NULL,
	'a table of one''s own gets nothing after an error either');
SELECT throws_ok(format('INSERT INTO shop.mine SELECT shop.read_after(%L)', :'block'), 'CH305', NULL, 'nor after one in a block');
SELECT throws_ok(format('CREATE TABLE shop.copied AS SELECT shop.read_after(%L)', :'division'), 'CH305', NULL, 'nor does a new one');
SELECT is(shop.read_after('INSERT INTO shop.mine SELECT 1 / (n - n) FROM generate_series(1, 1) n'), 3::bigint,
	'and what could not be copied to can be read past');
SELECT is(shop.read_after(:'copy'), 3::bigint, 'after CREATE TABLE AS too');

-- how many rows are sent
RESET SESSION AUTHORIZATION;
SELECT hub.set_export_ceiling('hub_sales', 3) \g /dev/null
SET SESSION AUTHORIZATION anna;
\set ON_ERROR_STOP off
SELECT shop.read_after(:'division') FROM generate_series(1, 3) \g /dev/null
SELECT is(:'SQLSTATE'::text, '00000', 'as many rows as the ceiling');
SELECT shop.read_after(:'division') FROM generate_series(1, 4) \g /dev/null
SELECT is(:'SQLSTATE'::text, 'CH305', 'not one more, after an error');
SELECT shop.read_after(:'block') FROM generate_series(1, 4) \g /dev/null
SELECT is(:'SQLSTATE'::text, 'CH305', 'nor after one in a block');

-- a block that commits is a utility statement still
DO $$DECLARE email hub.encrypted_email('contact'); BEGIN email := 'j•••@e•••.com'; END$$;
\set before :SQLSTATE
DO $$DECLARE email hub.encrypted_email('contact'); BEGIN COMMIT; email := 'j•••@e•••.com'; END$$;
\set after :SQLSTATE
SELECT isnt(:'before'::text, '00000', 'a mask is no value for a variable');
SELECT is(:'after'::text, :'before'::text, 'nor after COMMIT');
DO $$DECLARE email hub.encrypted_email('contact'); BEGIN ROLLBACK; email := 'j•••@e•••.com'; END$$;
SELECT is(:'SQLSTATE'::text, :'before'::text, 'nor after ROLLBACK');

-- an identity that a query gives itself: nothing catches its errors, so it gets no plaintext to quote
SET SESSION AUTHORIZATION pooled;
SELECT hub.authenticate(:'token'), email::text::int FROM shop.loose;
SELECT is(:'LAST_ERROR_SQLSTATE'::text, '22P02', 'a query that authenticates can fail');
SELECT unalike(:'LAST_ERROR_MESSAGE'::text, '%bob@%', 'and its error quotes no plaintext');

-- nor does somebody become a member while queries have begun without guards
SET SESSION AUTHORIZATION carl;
BEGIN;
SELECT count(*) AS before FROM shop.person \gset
\! psql -XAtq -d "$DATABASE" -U postgres -c "SELECT hub.add_member('carl', 'hub_sales', 'carl', '{DE}')" >/dev/null
SELECT count(*) AS after FROM shop.person \gset
COMMIT;
SELECT is(:before + :after, 0, 'who is made a member sees nothing in the same transaction');
SELECT is((SELECT count(*) FROM shop.person), 3::bigint, 'but in the next');
SELECT * FROM finish();
