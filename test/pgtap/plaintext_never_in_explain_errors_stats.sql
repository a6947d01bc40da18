-- A member who may read a value in full still finds it nowhere but in the rows
-- sent to the client: not in plans, errors, statistics, copies or functions.
SELECT plan(48);

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
-- the plan of a statement, in each format and with each option; and undone, as ANALYZE runs it
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	options text;
	line text;
	lines text := '';
BEGIN
	FOREACH options IN ARRAY ARRAY['', 'ANALYZE, VERBOSE, BUFFERS, SETTINGS, WAL, FORMAT text', 'ANALYZE, VERBOSE, BUFFERS, SETTINGS, FORMAT json',
		'ANALYZE, VERBOSE, BUFFERS, FORMAT xml', 'ANALYZE, VERBOSE, TIMING off, SUMMARY, FORMAT yaml', 'VERBOSE, COSTS off']
		|| CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ARRAY['GENERIC_PLAN, VERBOSE'] ELSE '{}' END
		|| CASE WHEN current_setting('server_version_num')::int >= 170000 THEN ARRAY['ANALYZE, VERBOSE, SERIALIZE text, MEMORY', 'ANALYZE, SERIALIZE binary'] ELSE '{}' END
	LOOP
		BEGIN
			FOR line IN EXECUTE format('EXPLAIN (%s) %s', coalesce(nullif(options, ''), 'COSTS'), statement) LOOP
				lines := lines || line || E'\n';
			END LOOP;
			RAISE EXCEPTION USING ERRCODE = 'ZZ001';
		EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
		END;
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

SET customer_hub.allow_explain_analyze = on;
SET SESSION AUTHORIZATION sam;
SELECT name AS seen FROM person LIMIT 1 \gset
SELECT is(:'seen'::text, 'Secretive Person', 'the member reads the value');
SELECT string_agg(name::text, ',') AS all_names FROM (SELECT name FROM person LIMIT 2) s \gset
SELECT is(:'all_names'::text, 'Secretive Person,Secretive Person', 'in a list built for the client too');

SELECT unalike(pg_temp.plan_of('SELECT name::text, email FROM person ORDER BY name::text'), '%Secretive%', 'EXPLAIN ANALYZE VERBOSE shows no value');
SELECT unalike(pg_temp.plan_of($$SELECT * FROM person WHERE email = 'secret7@example.com'$$), '%secret7%', 'nor the literal of a look-up');
SELECT unalike(pg_temp.plan_of($$SELECT * FROM person WHERE email IN ('secret7@example.com', 'secret8@example.com') OR later = ANY ('{secret9@example.com}')$$),
	'%@example%', 'nor those of a list');
SELECT unalike(pg_temp.plan_of($$INSERT INTO person SELECT gen_random_uuid(), 'DE', 1, 'secret0@example.com', NULL, 'Secretive Person'$$), '%secret%', 'nor what is inserted');
SELECT unalike(pg_temp.plan_of($$UPDATE person SET name = 'Secretive Person', email = 'secret7@example.com' WHERE email = 'secret7@example.com' RETURNING name$$), '%secret7%', 'or updated');
PREPARE look_up AS SELECT name FROM person WHERE email = $1;
SELECT unalike(pg_temp.plan_of($$EXECUTE look_up('secret7@example.com')$$), '%secret7%', 'nor a parameter');

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

-- errors of a query of the client's own, where a cast has plaintext
CREATE FUNCTION pg_temp.without_noise(said text) RETURNS text LANGUAGE sql AS $$SELECT regexp_replace(said, '\s+', ' ', 'g')$$;
\set said `psql -XU sam -d "$DB" -c "SELECT name::text::int FROM person" 2>&1`
SELECT is(pg_temp.without_noise(:'said'::text),
	'ERROR: invalid input syntax for type …: "…" DETAIL: Values are left out: the query had an encrypted value as text, and the error may quote it.',
	'an error of a cast leaves the value out');
\set said `psql -XU sam -d "$DB" -c "SELECT name::text::json FROM person" -c "SELECT format('%s', name)::uuid FROM person" -c "SELECT (email::text)::date FROM person" -c "SELECT concat(name)::int[] FROM person" -c "SELECT (email::text)::xml, array_to_string(ARRAY[name], '')::inet FROM person" -c "SELECT (person.*)::text::hub.phone FROM person" 2>&1`
SELECT unalike(:'said'::text, '%ecret%', 'of every type');
SELECT is((SELECT count(*) FROM regexp_matches(:'said'::text, 'ERROR', 'g')), 6::bigint, 'each of them an error');
\set said `psql -XU sam -d "$DB" -c "SELECT 'not hidden'::text::int" -c "SELECT name, region::text::int FROM person" 2>&1`
SELECT alike(:'said'::text, '%"not hidden"%"DE"%', 'errors that have nothing to hide keep their values');

-- what a row's way to the client passes: others, and the disk
\set said `psql -XAtU sam -d "$DB" -c "LISTEN news" -c "SELECT pg_notify('news', name::text), name FROM person LIMIT 1" 2>&1`
SELECT alike(:'said'::text, '%|Secretive Person%Asynchronous notification "news" with payload "hub1:%', 'NOTIFY sends the sealed value');
\set said `psql -XAtU sam -d "$DB" -c "SELECT set_config('application_name', email::text, false) FROM person LIMIT 1" -c "SHOW application_name" 2>/dev/null`
SELECT is(:'said'::text ~ '^hub1:\S+\s+hub1:\S+$', true, 'a setting is given the sealed value');
\set said `psql -XAtU sam -d "$DB" -c "SELECT lo_from_bytea(0, name::text::bytea), pg_logical_emit_message(true, 'p', name::text) IS NULL, name FROM person LIMIT 1" 2>&1`
SELECT alike(:'said'::text, '%|Secretive Person', 'large objects and messages in WAL are made, and the client gets its value');

-- COPY quotes its input in the context of errors, also in a column or line of its own
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM pg_largeobject WHERE convert_from(data, 'UTF8') LIKE 'hub1:%'), 1::bigint, 'a large object holds the sealed value');
\set said `printf 'ann@secret\tx\n' | psql -XU postgres -d "$DB" -c "COPY loose FROM STDIN" 2>&1`
SELECT unalike(:'said'::text, '%ann@%', 'COPY quotes no line');
SELECT alike(:'said'::text, '%CONTEXT:  COPY loose, line 1, column age%', 'but says where it was');
\set said `printf 'ann at secret\t1\n' | psql -XU postgres -d "$DB" -c "COPY loose FROM STDIN" 2>&1`
SELECT is(pg_temp.without_noise(:'said'::text), 'ERROR: invalid input for type encrypted_email DETAIL: It has no "@". CONTEXT: COPY loose, line 1, column email',
	'nor the value of a column');
\set said `printf 'later1@example.com\t1\n' | psql -XU postgres -d "$DB" -c "COPY loose FROM STDIN" 2>&1; printf 'ann@secret\t1\t2\n' | psql -XU postgres -d "$DB" -c "COPY loose FROM STDIN" 2>&1; printf 'ann@secret\t200\n' | psql -XU postgres -d "$DB" -c "COPY loose FROM STDIN" 2>&1; printf '"ann@secret","x\n' | psql -XU postgres -d "$DB" -c "COPY loose FROM STDIN CSV" 2>&1`
SELECT unalike(:'said'::text, '%ann@%', 'nor the line of a constraint, of a column too many, of a quote unclosed');
SELECT is((SELECT count(*) FROM regexp_matches(:'said'::text, 'ERROR', 'g')), 4::bigint, 'each of them an error');

-- copies are sealed, for who can make them at all
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

SELECT throws_ok($$CREATE STATISTICS s (mcv) ON email, age FROM person$$, '0A000', 'extended statistics cannot be kept on encrypted columns of relation "person"',
	'extended statistics, which keep common values, are refused');
SELECT throws_ok(format('CREATE STATISTICS s ON %s FROM person', e), '0A000', NULL, 'of expressions too: ' || e)
FROM unnest(ARRAY['(name::text), age', '(hub.email_domain(email))', '(hub.reveal(name)), (age + 1)', '(person.*::text)']) e;
SELECT lives_ok('CREATE STATISTICS s ON age, line_id FROM person', 'but not of other columns');

-- literals in definitions: the type seals them before they are stored
CREATE TABLE defined (
	email hub.encrypted_email('contact') DEFAULT 'secret.default@example.com',
	note text,
	CHECK (email <> 'secret.check@example.com')
);
CREATE INDEX defined_index ON defined (note) WHERE email = 'secret.index@example.com';
CREATE VIEW defined_view AS SELECT note, 'secret.column@example.com'::hub.encrypted_email AS other FROM defined WHERE email = 'secret.view@example.com';
CREATE MATERIALIZED VIEW defined_matview AS SELECT note FROM defined WHERE email IN ('secret.matview@example.com');
CREATE POLICY defined_policy ON defined USING (email = 'secret.policy@example.com') WITH CHECK (email <> 'secret.policy.check@example.com');
CREATE RULE defined_rule AS ON DELETE TO defined WHERE old.email = 'secret.rule@example.com' DO INSTEAD UPDATE defined SET email = 'secret.rule.action@example.com';
CREATE TRIGGER defined_trigger BEFORE UPDATE ON defined FOR EACH ROW WHEN (new.email = 'secret.trigger@example.com') EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE FUNCTION defined_function() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM defined WHERE email = 'secret.function@example.com'; END;
CREATE FUNCTION defined_argument(e hub.encrypted_email DEFAULT 'secret.argument@example.com') RETURNS int LANGUAGE sql RETURN 1;
CREATE DOMAIN defined_domain AS hub.encrypted_email('contact') DEFAULT 'secret.domain@example.com' CHECK (VALUE <> 'secret.domain.check@example.com');
CREATE TABLE defined_list (email hub.encrypted_email('contact')) PARTITION BY LIST (email);
CREATE TABLE defined_part PARTITION OF defined_list FOR VALUES IN ('secret.partition@example.com');
SELECT is((SELECT string_agg(what, ',') FROM (
		SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
		UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index UNION ALL SELECT pg_get_viewdef(oid) FROM pg_class WHERE relkind IN ('v', 'm')
		UNION ALL SELECT concat(qual, with_check) FROM pg_policies UNION ALL SELECT pg_get_ruledef(oid) FROM pg_rewrite
		UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'defined%'
		UNION ALL SELECT typdefault FROM pg_type UNION ALL SELECT pg_get_expr(relpartbound, oid) FROM pg_class) d (what)
	WHERE what LIKE '%secret.%'), NULL, 'no definition shows a literal');
-- the same where they are stored, with letters in octets, as node trees have them
SELECT is((SELECT count(*) FROM (
		SELECT adbin::text FROM pg_attrdef UNION ALL SELECT conbin::text FROM pg_constraint UNION ALL SELECT indpred::text FROM pg_index
		UNION ALL SELECT concat(ev_qual, ev_action) FROM pg_rewrite UNION ALL SELECT concat(polqual, polwithcheck) FROM pg_policy
		UNION ALL SELECT tgqual::text FROM pg_trigger UNION ALL SELECT concat(prosqlbody, proargdefaults, prosrc) FROM pg_proc WHERE proname LIKE 'defined%'
		UNION ALL SELECT concat(typdefault, typdefaultbin) FROM pg_type UNION ALL SELECT relpartbound::text FROM pg_class) d (what)
	WHERE what LIKE '%secret.%' OR what LIKE '%115 101 99 114 101 116 46%'), 0::bigint, 'nor holds one');
CREATE VIEW careless_view AS SELECT note FROM defined WHERE email = 'secret.text@example.com'::text;
SELECT alike(pg_get_viewdef('careless_view'), '%secret.text%', 'a literal that is cast to text is a text, as the threat model says');
SELECT is((SELECT count(*) FROM pg_rewrite WHERE ev_action::text LIKE '%115 101 99 114 101 116 46 116 101 120 116%'), 1::bigint, 'and the search for octets would find it');

SELECT * FROM finish();
