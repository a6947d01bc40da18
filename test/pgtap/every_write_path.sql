-- Whatever way a value comes into an encrypted column, it is stored sealed, in the column's class, in a
-- governed table for its data subject, and is found again; or the statement ends in a clear error.
\set SHOW_CONTEXT never
BEGIN;
SELECT plan(59);

CREATE ROLE sam LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}', '{1}');
CREATE TABLE plain (id int, e text, v varchar(60));
INSERT INTO plain VALUES (1, 'plain@example.com', 'varchar@example.com');
CREATE TABLE u (id int PRIMARY KEY, email hub.encrypted_email('contact') UNIQUE, note hub.encrypted_text('content'));
CREATE TABLE g (id uuid DEFAULT gen_random_uuid(), n int, region hub.region NOT NULL DEFAULT 'DE',
	email hub.encrypted_email('contact'), note hub.encrypted_text('content'), PRIMARY KEY (id, n), UNIQUE (n, email)) PARTITION BY RANGE (n);
CREATE TABLE g_low PARTITION OF g FOR VALUES FROM (0) TO (1000);
CREATE TABLE g_high PARTITION OF g FOR VALUES FROM (1000) TO (2000);
SELECT hub.govern('g', 'id', 'region');
GRANT SELECT, INSERT, UPDATE ON g, u, plain TO hub_sales;

-- what is stored for an address: sealed in its class, in g for the subject of the row
CREATE FUNCTION sealed_in_u(address text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) = 1 AND bool_and(hub.sealed_class(email) = 'contact' AND hub.sealed_subject(email) IS NULL AND email::text LIKE 'hub1:%')
	FROM public.u WHERE email = address $$;
CREATE FUNCTION sealed_in_g(address text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) = 1 AND bool_and(hub.sealed_class(email) = 'contact' AND hub.sealed_subject(email) = id AND email::text LIKE 'hub1:%')
	FROM public.g WHERE email = address $$;

-- literals, with and without types, and parameters
INSERT INTO u (id, email) VALUES (1, 'lit@example.com'), (2, 'txt@example.com'::text), (3, 'vc@example.com'::varchar), (4, 'own@example.com'::hub.encrypted_email);
INSERT INTO g (n, email) VALUES (1, 'lit@example.com'), (2, 'txt@example.com'::text), (3, 'vc@example.com'::varchar), (4, 'own@example.com'::hub.encrypted_email);
SELECT ok(sealed_in_u(a || '@example.com') AND sealed_in_g(a || '@example.com'), 'literal: ' || a) FROM unnest('{lit,txt,vc,own}'::text[]) a;
PREPARE pu (int, text) AS INSERT INTO u (id, email) VALUES ($1, $2);
PREPARE pg (int, varchar) AS INSERT INTO g (n, email) VALUES ($1, $2);
PREPARE pn AS INSERT INTO g (n, email) VALUES ($1, $2);
SET plan_cache_mode = force_generic_plan;
EXECUTE pu (5, 'gen@example.com');
EXECUTE pg (5, 'gen@example.com');
EXECUTE pn (6, 'untyped@example.com');
SET plan_cache_mode = force_custom_plan;
EXECUTE pu (6, 'cus@example.com');
EXECUTE pg (7, 'cus@example.com');
RESET plan_cache_mode;
SELECT ok(sealed_in_u(a || '@example.com') AND sealed_in_g(a || '@example.com'), 'prepared: ' || a) FROM unnest('{gen,cus}'::text[]) a;
SELECT ok(sealed_in_g('untyped@example.com'), 'a parameter whose type the column gives');

-- COPY, text and CSV; binary below
COPY u (id, email, note) FROM stdin;
10	copy@example.com	from copy
11	\N	\N
\.
COPY g (n, email) FROM stdin (FORMAT csv);
10,copy@example.com
\.
SELECT ok(sealed_in_u('copy@example.com') AND sealed_in_g('copy@example.com'), 'COPY');
SELECT ok(email IS NULL AND note IS NULL, 'NULL stays NULL') FROM u WHERE id = 11;

-- INSERT ... SELECT
INSERT INTO u (id, email) SELECT 20, e FROM plain UNION ALL SELECT 21, v FROM plain;
INSERT INTO g (n, email) SELECT 20, e FROM plain UNION ALL SELECT 21, v FROM plain;
SELECT ok(sealed_in_u(a) AND sealed_in_g(a), 'INSERT ... SELECT of ' || a) FROM unnest('{plain@example.com,varchar@example.com}'::text[]) a;
INSERT INTO g (n, email) SELECT 22, email FROM u WHERE id = 1;
SELECT is((SELECT hub.sealed_subject(email) = id FROM g WHERE n = 22), true, 'a value that is nobody''s is bound');
SELECT throws_ok($$INSERT INTO g (n, email) SELECT 23, email FROM g WHERE n = 1$$, 'CH102', NULL, 'one that is another person''s is refused');

-- ON CONFLICT and MERGE
INSERT INTO u (id, email) VALUES (30, 'LIT@example.com') ON CONFLICT (email) DO NOTHING;
SELECT is((SELECT count(*) FROM u WHERE id = 30), 0::bigint, 'ON CONFLICT DO NOTHING, by equality tag');
INSERT INTO u (id, email, note) VALUES (30, 'Lit@example.com', 'changed') ON CONFLICT (email) DO UPDATE SET note = excluded.note, email = excluded.email;
SELECT is(hub.sealed_class(note), 'content', 'ON CONFLICT DO UPDATE') FROM u WHERE id = 1;
INSERT INTO g (id, n, email, note) SELECT id, n, 'LIT@example.com', 'changed' FROM g WHERE n = 1
	ON CONFLICT (n, email) DO UPDATE SET note = excluded.note, email = excluded.email;
SELECT is(hub.sealed_subject(note), id, 'in a governed table, too') FROM g WHERE n = 1;
SELECT throws_ok($$INSERT INTO g (n, email, note) VALUES (1, 'lit@example.com', 'x') ON CONFLICT (n, email) DO UPDATE SET note = excluded.note$$,
	'CH102', NULL, 'but not into another person''s row');
MERGE INTO u USING (VALUES ('lit@example.com', 'm1'), ('merged@example.com', 'm2')) s (e, n) ON u.email = s.e
	WHEN MATCHED THEN UPDATE SET note = s.n WHEN NOT MATCHED THEN INSERT (id, email, note) VALUES (40, s.e, s.n);
MERGE INTO g USING (VALUES (1, 'lit2@example.com'), (40, 'merged@example.com')) s (n, e) ON g.n = s.n
	WHEN MATCHED THEN UPDATE SET email = s.e WHEN NOT MATCHED THEN INSERT (n, email) VALUES (s.n, s.e);
SELECT ok(sealed_in_u('merged@example.com') AND sealed_in_g('merged@example.com') AND sealed_in_g('lit2@example.com'), 'MERGE');

-- partitions
INSERT INTO g_high (n, email) VALUES (1001, 'direct@example.com');
UPDATE g SET n = 1002 WHERE n = 2;
SELECT ok(sealed_in_g('direct@example.com'), 'a partition by its name');
SELECT is((SELECT tableoid::regclass::text FROM g WHERE email = 'txt@example.com' AND hub.sealed_subject(email) = id), 'g_high', 'a row that moves to another');

-- the user's own triggers see sealed values, and what they write is sealed
CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.email = 'old@example.com' THEN NEW.email := 'byold@example.com'; END IF;
	IF NEW.note IS NOT NULL THEN NEW.note := 'seen ' || left(NEW.note::text, 5); END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER own BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION own();
CREATE TRIGGER own BEFORE INSERT ON g FOR EACH ROW EXECUTE FUNCTION own();
CREATE TABLE noted (t text);
CREATE FUNCTION after_own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO noted VALUES (NEW.email::text); RETURN NULL; END $$;
CREATE TRIGGER after_own AFTER INSERT ON g FOR EACH ROW EXECUTE FUNCTION after_own();
INSERT INTO u VALUES (50, 'old@example.com', 'secret');
INSERT INTO g (n, email, note) VALUES (50, 'old@example.com', 'secret');
SELECT ok(sealed_in_u('byold@example.com') AND sealed_in_g('byold@example.com'), 'a BEFORE trigger changes the column');
SELECT is((SELECT t LIKE 'hub1:%' FROM noted), true, 'an AFTER trigger sees the sealed value');
DROP TRIGGER own ON u;
DROP TRIGGER own ON g;
DROP TRIGGER after_own ON g;

-- domains
CREATE DOMAIN address AS hub.encrypted_email('contact') CHECK (VALUE IS NOT NULL);
CREATE TABLE d (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email address);
SELECT hub.govern('d', 'id');
INSERT INTO d (email) VALUES ('dom@example.com');
SELECT is((SELECT hub.sealed_subject(email) = id AND hub.sealed_class(email) = 'contact' FROM d WHERE email = 'dom@example.com'), true, 'a domain over the type is sealed for the data subject');
SELECT throws_ok($$INSERT INTO d (email) VALUES (NULL)$$, '23514', NULL, 'and checked');
SELECT is((SELECT sealed IS NOT NULL AND changed IS NULL FROM hub.audit_event WHERE relation = 'public.d' AND operation = 'INSERT'), true, 'and recorded sealed');
SELECT is((SELECT count(*) FROM hub.posture() WHERE object = 'public.d.email'), 0::bigint, 'and nothing is amiss with it');

-- arrays and composites
CREATE TABLE a (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), emails hub.encrypted_email('contact')[]);
INSERT INTO a (emails) VALUES ('{one@example.com,two@example.com}'), (ARRAY['three@example.com']);
SELECT is((SELECT count(*) FROM a WHERE 'three@example.com' = ANY (emails) AND hub.sealed_class(emails[1]) = 'contact'), 1::bigint, 'an array of the type');
SELECT throws_ok($$SELECT hub.govern('a', 'id')$$, 'CH301', NULL, 'cannot be governed');
CREATE TYPE contact AS (email hub.encrypted_email('contact'), n int);
CREATE TABLE c (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), who contact);
INSERT INTO c (who) VALUES (ROW('comp@example.com', 1)), ('(lit@example.com,2)');
SELECT is((SELECT count(*) FROM c WHERE (who).email IN ('comp@example.com', 'lit@example.com') AND hub.sealed_class((who).email) = 'contact'), 2::bigint, 'a composite type');
SELECT throws_ok($$SELECT hub.govern('c', 'id')$$, 'CH301', NULL, 'cannot be governed');
ALTER TABLE d ADD more hub.encrypted_text[];
SELECT throws_ok($$INSERT INTO d (email, more) VALUES ('x@example.com', '{x}')$$, '0A000', NULL, 'nor be added to a governed table and filled');
SELECT is((SELECT count(*) FROM hub.posture() WHERE object = 'public.d.more' AND severity = 'high'), 1::bigint, 'and is found');

-- generated columns and defaults
SELECT throws_ok($$CREATE TABLE x (e text, s hub.encrypted_email('contact') GENERATED ALWAYS AS (e::hub.encrypted_email('contact')) STORED)$$,
	'42P17', NULL, 'no generated column of the type');
SELECT throws_ok($$CREATE TABLE x (s hub.encrypted_email('contact'), t text GENERATED ALWAYS AS (s::text) STORED)$$, '42P17', NULL, 'nor from it');
ALTER TABLE u ALTER email SET DEFAULT 'default@example.com'::text;
INSERT INTO u (id) VALUES (60);
SELECT ok(sealed_in_u('default@example.com'), 'a text as a default');
ALTER TABLE u ALTER email DROP DEFAULT;

-- ALTER TABLE, LIKE, inheritance, CREATE TABLE AS
ALTER TABLE plain ALTER e TYPE hub.encrypted_email('contact') USING e::hub.encrypted_email('contact'), ALTER v TYPE hub.encrypted_text('content');
SELECT is((SELECT hub.sealed_class(e) || hub.sealed_class(v) FROM plain WHERE e = 'plain@example.com'), 'contactcontent', 'ALTER COLUMN TYPE, with USING and without');
ALTER TABLE plain ALTER e TYPE text;
SELECT is((SELECT e LIKE 'hub1:%' FROM plain), true, 'and back gives the sealed value, not the plaintext');
CREATE TABLE alike (LIKE u INCLUDING ALL);
CREATE TABLE kid () INHERITS (u);
INSERT INTO alike (id, email) VALUES (1, 'like@example.com');
INSERT INTO kid (id, email) VALUES (70, 'kid@example.com');
SELECT is((SELECT hub.sealed_class(email) FROM alike WHERE email = 'like@example.com'), 'contact', 'LIKE');
SELECT ok(sealed_in_u('kid@example.com'), 'inheritance');
DROP TABLE kid;
CREATE TABLE copied AS SELECT * FROM u;
SELECT is((SELECT count(*) FROM copied c JOIN u ON u.id = c.id AND u.email = c.email AND hub.sealed_class(c.email) = 'contact'), (SELECT count(email) FROM u), 'CREATE TABLE AS copies what is sealed');

-- PL/pgSQL variables, RETURNING INTO, views
DO $$
DECLARE
	free hub.encrypted_email := 'plfree@example.com';
	typed u.email%TYPE := 'pltyped@example.com';
	whole u;
BEGIN
	INSERT INTO u (id, email) VALUES (80, free);
	INSERT INTO u (id, email) VALUES (81, typed) RETURNING * INTO whole;
	ASSERT whole.email = 'pltyped@example.com' AND whole.email::text LIKE 'hub1:%';
	whole.id := 82; whole.email := 'plrow@example.com';
	INSERT INTO u VALUES (whole.*);
	INSERT INTO g (n, email) VALUES (80, free);
	EXECUTE 'INSERT INTO g (n, email) VALUES (81, $1)' USING typed;
END $$;
SELECT ok(sealed_in_u(a), 'PL/pgSQL: ' || a) FROM unnest('{plfree@example.com,pltyped@example.com,plrow@example.com}'::text[]) a;
SELECT ok(sealed_in_g('plfree@example.com') AND sealed_in_g('pltyped@example.com'), 'PL/pgSQL into a governed table');
CREATE VIEW uv AS SELECT id, email, note FROM u WHERE id > 5 WITH CHECK OPTION;
CREATE VIEW gv WITH (security_invoker) AS SELECT * FROM g;
INSERT INTO uv VALUES (90, 'view@example.com');
INSERT INTO gv (n, email) VALUES (90, 'view@example.com');
UPDATE gv SET email = 'view2@example.com' WHERE n = 90;
SELECT ok(sealed_in_u('view@example.com') AND sealed_in_g('view2@example.com'), 'updatable views');

-- foreign keys go by equality tags
CREATE TABLE child (email hub.encrypted_email('contact') REFERENCES u (email) ON UPDATE CASCADE);
INSERT INTO child VALUES ('LIT@example.com');
SELECT throws_ok($$INSERT INTO child VALUES ('nobody@example.com')$$, '23503', NULL, 'a foreign key is checked by tag');
UPDATE u SET email = 'lit9@example.com' WHERE id = 1;
SELECT is((SELECT count(*) FROM child WHERE email = 'lit9@example.com'), 1::bigint, 'and cascades');

-- large and empty values, writes that change nothing
INSERT INTO u (id, note) VALUES (100, repeat('äx', 500000)), (101, '');
INSERT INTO g (n, note) VALUES (100, repeat('äx', 500000)), (101, '');
CREATE TEMP TABLE old AS SELECT n, note::text FROM g WHERE n IN (100, 101);
UPDATE g SET note = note WHERE n IN (100, 101);
SELECT is((SELECT count(*) FROM g JOIN old USING (n) WHERE g.note::text = old.note AND hub.sealed_subject(g.note) = g.id), 2::bigint, 'a megabyte and an empty string; UPDATE x = x changes nothing');
SELECT is((SELECT bool_and(note IS NOT NULL) FROM u WHERE id IN (100, 101)), true, 'in an ungoverned table, too');

-- wrong values
SELECT throws_ok($$INSERT INTO u (id, email) VALUES (110, 'wrongvalue')$$, '22P02', 'invalid input for type encrypted_email', 'a wrong value is not quoted');
SELECT throws_ok($$ALTER TABLE noted ALTER t TYPE hub.encrypted_phone('contact') USING 'wrongvalue'::text$$, '22P02', 'invalid input for type encrypted_phone', 'in ALTER TABLE neither');

-- under an identity: masks that are written back
UPDATE u SET email = 'uone@example.com', note = 'secret' WHERE id = 2;
SET SESSION AUTHORIZATION sam;
INSERT INTO g (n, email, note) VALUES (200, 'sam@example.com', 'by sam');
SELECT ok(sealed_in_g('sam@example.com'), 'a member writes');
SELECT throws_ok($$UPDATE u SET note = 's•••' WHERE id = 2$$, 'CH104', NULL, 'a mask is no value in a table that is not governed');
SELECT throws_ok($$INSERT INTO u (id, email) VALUES (201, 'u•••@e•••.com')$$, 'CH104', NULL, 'nor in INSERT');
PREPARE masked (text) AS UPDATE u SET email = $1 WHERE id = 2;
SELECT throws_ok($$EXECUTE masked ('u•••@e•••.com')$$, 'CH104', NULL, 'nor as a parameter');
SELECT throws_ok($$INSERT INTO u (id, note) VALUES (202, '[restricted]')$$, 'CH104', NULL, 'nor is a notice');
SELECT throws_ok($$DO 'DECLARE v u.email%TYPE := ''u•••@e•••.com''; BEGIN UPDATE u SET email = v WHERE id = 2; END'$$, 'CH104', NULL, 'nor in a variable');
RESET SESSION AUTHORIZATION;
SELECT ok(sealed_in_u('uone@example.com'), 'and what was there is there');
SELECT is((SELECT count(*) FROM hub.posture() WHERE object IN ('public.u', 'public.a', 'public.c') AND finding ~ 'not governed'), 3::bigint, 'tables that nobody governs are named');

SELECT * FROM finish();
ROLLBACK;
