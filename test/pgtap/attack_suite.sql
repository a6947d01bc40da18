-- What an attacker gets who can run any SQL over the pooled login of a back end, as through an injection: what the member
-- whose request it is may see, and nothing more. Hidden from her are the rows of FR, the contact data behind the masks and
-- the intents; each holds the word Mirabelle.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`
\set token `sh test/fixtures/make_token.sh "$KEY" idp zoe`
\set token_carla `sh test/fixtures/make_token.sh "$KEY" idp carla`
\set token_gone `sh test/fixtures/make_token.sh "$KEY" idp gone`
\set token_robot `sh test/fixtures/make_token.sh "$KEY" idp robot`
\set forged `sh test/fixtures/make_token.sh "$KEY" idp zoe | sed 's/.$/A/; s/\.[^.]*\./.eyJzdWIiOiJjYXJsYSIsImV4cCI6OTk5OTk5OTk5OX0./'`

\setenv DATABASE :DBNAME
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales, hub_manager, hub_compliance, hub_admin, hub_connector, hub_ai_agent TO pooled;
CREATE ROLE anna LOGIN;
CREATE ROLE olga LOGIN;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('zoe', 'hub_agent', regions => '{DE}', lines => '{1}', teams => '{1}') AS zoe \gset
SELECT hub.add_member('carla', 'hub_compliance', regions => '{DE,FR}') AS carla \gset
SELECT hub.add_member('gone', 'hub_manager', regions => '{DE,FR}') AS gone \gset
SELECT hub.add_member('robot', 'hub_ai_agent', regions => '{DE}') AS robot \gset
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}') AS anna \gset
SELECT hub.deactivate_member(:gone) \g /dev/null
CREATE SCHEMA shop AUTHORIZATION olga;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET ROLE olga;
CREATE TABLE shop.person (person_id uuid PRIMARY KEY, region hub.region, owner_id int, name hub.encrypted_text('basic'),
	email hub.encrypted_email('contact') UNIQUE, wish hub.encrypted_text('intent'), vip boolean);
SELECT hub.govern('shop.person', 'person_id', 'region', owner => 'owner_id') \g /dev/null
RESET ROLE;
INSERT INTO shop.person SELECT md5('de' || n)::uuid, 'DE', :zoe, 'Plum ' || n, 'mirabelle' || n || '@example.com', 'Mirabelle jam', false
	FROM generate_series(1, 20) n;
INSERT INTO shop.person SELECT md5('an' || n)::uuid, 'DE', :anna, 'Plum ' || n, 'mirabelle.an' || n || '@example.com', 'Mirabelle jam', false
	FROM generate_series(1, 5) n;
INSERT INTO shop.person SELECT md5('fr' || n)::uuid, 'FR', :zoe, 'Mirabelle ' || n, 'mirabelle.fr' || n || '@example.com', 'Mirabelle jam', true
	FROM generate_series(1, 20) n;
ANALYZE shop.person;
GRANT SELECT, INSERT, UPDATE ON shop.person TO hub_agent, hub_sales, hub_manager;
GRANT SELECT ON shop.person TO hub_compliance, hub_ai_agent;
SELECT hub.set_export_ceiling('hub_agent', 15) \g /dev/null
SELECT person_id AS hidden FROM shop.person WHERE region = 'FR' ORDER BY 1 LIMIT 1 \gset
SELECT ctid AS hidden_place FROM shop.person WHERE person_id = :'hidden' \gset
SELECT person_id AS own FROM shop.person WHERE region = 'DE' AND owner_id = :zoe ORDER BY 1 LIMIT 1 \gset

-- what the GRANTs let hub roles call and read, but not the role of the member: to be tried with SET ROLE
CREATE FUNCTION public.borrowed_rights(role name) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	item record;
	code text;
	found bool;
BEGIN
	FOR item IN
		SELECT CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT FROM' END || format(' hub.%I(%s)', p.proname, (
				SELECT string_agg(CASE WHEN p.provariadic <> 0 THEN 'VARIADIC ' ELSE '' END || format('%L::%s', CASE t::regtype::text WHEN 'text' THEN 'x' WHEN 'name' THEN 'hub_agent' WHEN 'uuid' THEN gen_random_uuid()::text
					WHEN 'integer' THEN '1' WHEN 'bigint' THEN '1' WHEN 'interval' THEN '1 day' WHEN 'jsonb' THEN '{}' WHEN 'regclass' THEN 'shop.person' WHEN 'bytea' THEN 'x'
					WHEN 'timestamp with time zone' THEN 'now' WHEN 'boolean' THEN 'true' WHEN 'xid8' THEN '1' WHEN 'hub.region' THEN 'DE' WHEN 'hub.channel' THEN 'web'
					WHEN 'text[]' THEN '{DE}' WHEN 'hub.region[]' THEN '{DE}' ELSE (CASE WHEN t::regtype::text LIKE '%[]' THEN '{}' WHEN t = 'time'::regtype THEN '12:00' WHEN t = 'numeric'::regtype THEN '1'
						WHEN t = 'hub.erasure_action'::regtype THEN 'delete' END) END, t::regtype), ', ' ORDER BY o) FROM unnest(p.proargtypes) WITH ORDINALITY a (t, o))) AS statement
		FROM pg_proc p, aclexplode(p.proacl) a
		WHERE p.pronamespace = 'hub'::regnamespace AND a.grantee = role::regrole AND NOT has_function_privilege('hub_agent', p.oid, 'EXECUTE')
		UNION ALL
		SELECT format('SELECT FROM %s', c.oid::regclass) FROM pg_class c, aclexplode(c.relacl) a
		WHERE c.relnamespace = 'hub'::regnamespace AND a.grantee = role::regrole AND a.privilege_type = 'SELECT' AND NOT has_table_privilege('hub_agent', c.oid, 'SELECT')
	LOOP
		code := 'lives';
		BEGIN
			EXECUTE format('SET LOCAL ROLE %I', role);
			EXECUTE item.statement;
			GET DIAGNOSTICS found = ROW_COUNT;
			-- row policies show nothing
			IF NOT found AND item.statement ~ '\.(member|token_issuer|break_glass_grant|reveal_usage)$' THEN
				code := 'CH205';
			END IF;
			RAISE EXCEPTION SQLSTATE 'ZZ999';
		EXCEPTION WHEN OTHERS THEN
			IF SQLSTATE <> 'ZZ999' THEN
				code := SQLSTATE;
			END IF;
		END;
		IF code NOT IN ('CH205', 'CH203') THEN
			RETURN NEXT format('%s as %s: %s', item.statement, role, code);
		END IF;
	END LOOP;
END
$$;

-- from here on as the back end: a connection of its own, each line sent by itself
\c - pooled
SELECT plan(146);
\set ON_ERROR_ROLLBACK on
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate

------------------------------------------------------------------------------------------ without an identity
SELECT throws_ok('SELECT FROM shop.person', '42501', NULL, 'the pooled login by itself reads nothing');
SET ROLE hub_manager;
SELECT is((SELECT count(*) FROM shop.person), 0::bigint, 'nor with a role it may take on');
RESET ROLE;
SELECT is_empty($$SELECT b FROM unnest('{hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector,hub_ai_agent}'::name[]) r, public.borrowed_rights(r) b$$,
	'what roles were granted in schema hub is for members only');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'forged'), 'CH201', NULL, 'a token with other claims under its signature');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'token_gone'), 'CH201', NULL, 'a token of a member who has left');
SELECT throws_ok('SELECT hub.authenticate(''eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYXJsYSJ9.'')', 'CH201', NULL, 'a token without signature');
SELECT throws_ok('ALTER ROLE pooled SET customer_hub.identity = ''hubid1:00''', 'CH205', NULL, 'an identity by ALTER ROLE');

------------------------------------------------------------------------------------------ zoe, an agent of DE
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is((SELECT count(*) FROM shop.person), 20::bigint, 'the rows of the member are there');

-- to be somebody else
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'token_carla'), 'CH204', NULL, 'a second token in the transaction');
SELECT throws_ok(format('DO $x$BEGIN BEGIN PERFORM hub.authenticate(%L); EXCEPTION WHEN OTHERS THEN RAISE; END; END$x$', :'token_carla'), 'CH204', NULL, 'in a block with an exception handler too');
SELECT throws_ok('SET SESSION AUTHORIZATION postgres', '42501', NULL, 'SET SESSION AUTHORIZATION');
SELECT throws_ok('SET ROLE postgres', '42501', NULL, 'SET ROLE to a superuser');
SELECT throws_ok('SET ROLE hub_audit_owner', '42501', NULL, 'to the owner of the trail');
SELECT throws_ok('SET ROLE olga', '42501', NULL, 'to the owner of the table');
SELECT throws_ok('SELECT set_config(''customer_hub.identity'', ''hubid1:'' || repeat(''0'', 400), true)', 'CH205', NULL, 'a forged carrier');
SELECT is(current_setting('customer_hub.identity'), '', 'the carrier is not shown');
SELECT is((SELECT count(*) FROM pg_settings WHERE name = 'customer_hub.identity' AND setting <> ''), 0::bigint, 'nor among the settings');
SELECT throws_ok(format('SET LOCAL customer_hub.member = %s', :carla), '42602', NULL, 'a setting of another name') WHERE current_setting('server_version_num')::int >= 150000;
SET ROLE hub_compliance;
SELECT is((SELECT count(*) FROM shop.person), 0::bigint, 'SET ROLE to another hub role shows no rows');
SELECT throws_ok('SELECT count(*) FROM hub.who_viewed(gen_random_uuid())', NULL, NULL, 'nor the trail');
SET ROLE hub_admin;
SELECT throws_ok('SELECT hub.set_clearance(''hub_agent'', ''contact'', ''reveal'')', 'CH205', NULL, 'nor does the administrator''s configure');
SELECT throws_ok('SELECT hub.set_member_role(' || :zoe || ', ''hub_manager'')', 'CH205', NULL, 'or promote');
SELECT throws_ok('SELECT hub.set_export_ceiling(''hub_agent'', 1000000)', 'CH205', NULL, 'or lift a ceiling');
SELECT throws_ok('SELECT hub.set_approval_policy(''export'', 1, ''{hub_agent}'')', 'CH205', NULL, 'or make everybody an approver');
SET ROLE hub_agent;
SELECT set_config('role', 'hub_sales', true) \g /dev/null
SELECT is((SELECT count(*) FROM shop.person), 0::bigint, 'a role by set_config shows no rows');
SET ROLE hub_agent;
SELECT throws_ok('SET session_replication_role = replica', '42501', NULL, 'triggers cannot be switched off');
SELECT throws_ok('SET customer_hub.redact_log = off', '42501', NULL, 'nor can the redaction of the log');
SELECT throws_ok('SET log_statement = ''all''', '42501', NULL, 'nor logging be switched on');
SELECT throws_ok('GRANT hub_manager TO hub_agent', '42501', NULL, 'roles cannot be granted');
SELECT throws_ok('CREATE ROLE evil SUPERUSER', '42501', NULL, 'nor made');
SELECT throws_ok('ALTER ROLE hub_agent BYPASSRLS', '42501', NULL, 'nor lifted above row security');

-- rows of others
SELECT is_empty('SELECT FROM shop.person WHERE region = ''FR''', 'rows of another region');
SELECT is_empty(format('SELECT FROM shop.person WHERE person_id = %L', :'hidden'), 'by key');
SELECT is_empty(format('SELECT FROM shop.person WHERE ctid = %L', :'hidden_place'), 'by place');
SELECT is_empty('SELECT FROM shop.person WHERE email = ''mirabelle.fr1@example.com''', 'by a guessed value');
SELECT is_empty('SELECT FROM shop.person TABLESAMPLE SYSTEM (100) WHERE vip', 'by a sample');
SELECT is_empty('SELECT FROM shop.person WHERE vip FOR UPDATE', 'by a lock');
SELECT is_empty('SELECT FROM (SELECT * FROM shop.person OFFSET 0) p WHERE vip', 'behind a fence');
SELECT is((SELECT count(*) FROM shop.person p FULL JOIN shop.person q USING (person_id)), 20::bigint, 'by an outer join');
SELECT is((SELECT count(1 / (CASE WHEN vip THEN 0 ELSE 1 END)) FROM shop.person), 20::bigint, 'a division by zero on them does not happen');
SELECT lives_ok('SELECT sum((CASE WHEN vip THEN ''x'' ELSE ''1'' END)::int) FROM shop.person', 'nor a bad cast');
SET row_security = off;
SELECT throws_ok('SELECT FROM shop.person', '42501', NULL, 'row_security = off is an error');
RESET row_security;
SELECT is_empty('UPDATE shop.person SET vip = false WHERE vip RETURNING 1', 'UPDATE RETURNING');
SELECT throws_ok(format('UPDATE shop.person SET region = ''FR'' WHERE person_id = %L', :'own'), '42501', NULL, 'a row cannot be moved away');
SELECT throws_ok('INSERT INTO shop.person VALUES (gen_random_uuid(), ''FR'') RETURNING 1', '42501', NULL, 'nor put there');
SELECT throws_ok(format('INSERT INTO shop.person (person_id, region, name) VALUES (%L, ''DE'', ''x'') ON CONFLICT (person_id) DO UPDATE SET region = ''DE''', :'hidden'), '42501', NULL, 'ON CONFLICT takes no row of others');
SELECT throws_ok('INSERT INTO shop.person (person_id, region, owner_id, email) VALUES (gen_random_uuid(), ''DE'', hub.my_member_id(), ''mirabelle.fr1@example.com'')', '23505', NULL, 'a unique violation says that there is one');
DO $$
DECLARE
	said text;
BEGIN
	INSERT INTO shop.person (person_id, region, owner_id, email) VALUES (gen_random_uuid(), 'DE', hub.my_member_id(), 'mirabelle.fr1@example.com');
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
	PERFORM set_config('attack.said', said, true);
END
$$;
SELECT is(current_setting('attack.said'), '', 'and not which');
SELECT throws_ok('DELETE FROM shop.person', '42501', NULL, 'DELETE');
SELECT throws_ok('TRUNCATE shop.person', '42501', NULL, 'TRUNCATE');
SELECT throws_ok('MERGE INTO shop.person p USING (VALUES (true)) v (vip) ON p.vip = v.vip WHEN MATCHED THEN DELETE', '42501', NULL, 'MERGE with DELETE');

-- statistics
SELECT is_empty('SELECT FROM pg_stats WHERE schemaname = ''shop''', 'statistics of the table');
SELECT throws_ok('SELECT FROM pg_statistic', '42501', NULL, 'the statistics themselves');
SELECT throws_ok('EXPLAIN ANALYZE SELECT FROM shop.person', 'CH305', NULL, 'rows that a policy removed, by EXPLAIN ANALYZE');
SELECT throws_ok('EXPLAIN (ANALYZE, COSTS off) SELECT FROM shop.person WHERE email = ''mirabelle.fr1@example.com''', 'CH305', NULL, 'and so a guess at others');
SELECT lives_ok('EXPLAIN SELECT FROM shop.person', 'a plan is no secret');

-- values behind a mask: whatever makes text of them
SELECT email AS x FROM shop.person LIMIT 1 \gset
SELECT ok(:'x' NOT ILIKE '%mirabelle%' AND :'x' LIKE '%•%', 'a mask');
SELECT wish AS x FROM shop.person LIMIT 1 \gset
SELECT is(:'x'::text, '[restricted]', 'and what is denied');
SELECT concat(p, email, wish, format('%s %s', email, wish), quote_literal(email::text), array_agg(wish) OVER (),
	row_to_json(p), to_jsonb(p), json_build_object('e', email), ARRAY[email], (SELECT xmlforest(email, wish))) AS x
	FROM (SELECT * FROM shop.person LIMIT 5) p LIMIT 1 \gset
SELECT ok(:'x' NOT ILIKE '%mirabelle%' AND :'x' LIKE '%"Plum%', 'text, record, array, JSON and XML of them');
DECLARE rows CURSOR FOR SELECT email, wish FROM shop.person;
SELECT query_to_xml('SELECT email, wish FROM shop.person LIMIT 5', true, true, '')::text || cursor_to_xml('rows', 5, true, true, '')::text AS x \gset
SELECT ok(:'x' NOT ILIKE '%mirabelle%', 'whole queries as XML');
SELECT string_agg(encode(convert_to(email::text, 'UTF8'), 'escape'), ',') || max(wish::text) || string_agg(substr(email::text, 2, 5), '') AS x FROM (SELECT * FROM shop.person LIMIT 5) p \gset
SELECT ok(:'x' NOT ILIKE '%mirabelle%', 'parts and aggregates of them');
SELECT email::text::int FROM shop.person LIMIT 1;
SELECT ok(:'LAST_ERROR_MESSAGE' NOT ILIKE '%mirabelle%', 'an error that quotes them');
SELECT ('<a>' || email::text || wish::text)::xml FROM shop.person LIMIT 1;
SELECT ok(:'LAST_ERROR_MESSAGE' NOT ILIKE '%mirabelle%', 'or parses them');
SELECT throws_ok('SELECT hub.reveal(email) FROM shop.person', 'CH205', NULL, 'hub.reveal()');
SELECT throws_ok('SELECT hub.reveal(wish) FROM shop.person', 'CH205', NULL, 'of what is denied');
SELECT throws_ok('SELECT email::hub.encrypted_email(''public'') FROM shop.person', NULL, NULL, 'a cast to a harmless class');
SELECT throws_ok('SELECT email::text::hub.encrypted_email(''public'') FROM shop.person', NULL, NULL, 'by way of text too');
SELECT throws_ok('UPDATE shop.person SET name = email::text', NULL, NULL, 'a copy into a column that is revealed');
SELECT throws_ok('UPDATE shop.person SET name = wish', NULL, NULL, 'of the same type');
SELECT throws_ok('SELECT hub.encrypted_email_send(email) FROM shop.person', '42501', NULL, 'the binary output function');
SELECT hub.equality_tag(email) AS x FROM shop.person LIMIT 1 \gset
SELECT is(:'x'::text, '[restricted]', 'the tag that look-ups go by');
SELECT throws_ok('SELECT hub.same_when_opened(wish, ''Mirabelle jam''::text) FROM shop.person', 'CH205', NULL, 'a comparison of what is sealed');
SELECT throws_ok('SELECT FROM shop.person WHERE wish = ''Mirabelle jam''', 'CH103', NULL, 'a look-up where there is none');
SELECT lo_from_bytea(0, convert_to(string_agg(email::text || wish::text, ''), 'UTF8')) AS object FROM (SELECT * FROM shop.person LIMIT 5) p \gset
SELECT ok(convert_from(lo_get(:object), 'UTF8') NOT ILIKE '%mirabelle%', 'a large object keeps masks');

-- functions, operators, casts and types of one's own
SELECT throws_ok('CREATE FUNCTION public.leak(text) RETURNS bool LANGUAGE sql AS ''SELECT true''', '42501', NULL, 'functions cannot be made');
SELECT throws_ok('CREATE FUNCTION hub.in_regions(text) RETURNS bool LANGUAGE sql AS ''SELECT true''', '42501', NULL, 'nor in schema hub');
SELECT throws_ok('CREATE FUNCTION pg_temp.in_regions(hub.region) RETURNS bool LANGUAGE sql AS ''SELECT true''', 'CH205', NULL, 'nor among temporary objects, where the next member would call them');
SELECT throws_ok('CREATE OPERATOR pg_temp.= (LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_eq)', 'CH205', NULL, 'nor operators');
SELECT throws_ok('CREATE AGGREGATE pg_temp.leak(text) (SFUNC = textcat, STYPE = text)', 'CH205', NULL, 'nor aggregates');
SELECT throws_ok('CREATE DOMAIN pg_temp.leak AS text CHECK (VALUE <> ''x'')', 'CH205', NULL, 'nor domains');
SELECT throws_ok('CREATE TEMP VIEW person AS SELECT * FROM shop.person', 'CH205', NULL, 'nor views');
SELECT throws_ok('CREATE TEMP TABLE person (name text)', 'CH205', NULL, 'nor tables that stand before the real ones');
SELECT throws_ok('SELECT 1 AS x INTO TEMP person', 'CH205', NULL, 'by SELECT INTO too');
SELECT lives_ok('CREATE TEMP TABLE person (name text) ON COMMIT DROP', 'but those that go with the transaction');
SELECT throws_ok('INSERT INTO pg_temp.person SELECT person_id::text FROM shop.person', 'CH305', NULL, 'which take no copy');
SELECT throws_ok('CREATE CAST (hub.encrypted_email AS bytea) WITHOUT FUNCTION', '42501', NULL, 'casts cannot be made');
SELECT throws_ok('CREATE EVENT TRIGGER evil ON ddl_command_start EXECUTE FUNCTION hub.audit_row()', '42501', NULL, 'nor event triggers');
SELECT throws_ok('CREATE TRIGGER evil BEFORE INSERT ON shop.person FOR EACH ROW EXECUTE FUNCTION hub.audit_row()', '42501', NULL, 'nor triggers');
SELECT throws_ok('CREATE RULE evil AS ON INSERT TO shop.person DO NOTHING', 'CH306', NULL, 'nor rules');
SELECT throws_ok('CREATE POLICY evil ON shop.person USING (true)', 'CH306', NULL, 'nor policies');
SELECT throws_ok('ALTER TABLE shop.person DISABLE ROW LEVEL SECURITY', NULL, NULL, 'nor row security be disabled');
SELECT throws_ok('CREATE EXTENSION dblink', NULL, NULL, 'nor extensions be made');
SELECT throws_ok('CREATE SERVER evil FOREIGN DATA WRAPPER postgres_fdw', NULL, NULL, 'nor foreign servers');
SELECT throws_ok('CREATE PUBLICATION evil FOR TABLE shop.person', '42501', NULL, 'nor publications');
SELECT throws_ok('SELECT pg_create_logical_replication_slot(''evil'', ''pgoutput'')', '42501', NULL, 'nor slots');
SELECT throws_ok('CREATE TABLE public.mine (p uuid REFERENCES shop.person)', '42501', NULL, 'nor foreign keys that say what exists');

-- ways out of the server
SELECT throws_ok('COPY shop.person TO PROGRAM ''cat''', NULL, NULL, 'COPY TO PROGRAM');
SELECT throws_ok('COPY (SELECT 1) TO ''/tmp/x''', '42501', NULL, 'COPY TO a file');
SELECT throws_ok('COPY pg_temp.person FROM PROGRAM ''id''', '42501', NULL, 'COPY FROM PROGRAM');
SELECT throws_ok('SELECT pg_read_file(''postgresql.conf'')', '42501', NULL, 'pg_read_file()');
SELECT throws_ok('SELECT pg_ls_dir(''.'')', '42501', NULL, 'pg_ls_dir()');
SELECT throws_ok('SELECT lo_import(''/etc/passwd'')', '42501', NULL, 'lo_import()');
SELECT throws_ok(format('SELECT lo_export(%s, ''/tmp/x'')', :object), '42501', NULL, 'lo_export()');
COPY (SELECT person_id FROM shop.person) TO STDOUT;
SELECT is(:'SQLSTATE'::text, 'CH305', 'COPY TO STDOUT');
DECLARE held CURSOR WITH HOLD FOR SELECT person_id FROM shop.person;
SELECT is(:'SQLSTATE'::text, 'CH305', 'a cursor WITH HOLD');
\o /dev/null
SELECT person_id FROM shop.person;
\o
SELECT is(:'SQLSTATE'::text, 'CH305', 'more rows than the ceiling');
SELECT string_agg(name::text, ',') FROM shop.person \g /dev/null
SELECT is(:'SQLSTATE'::text, 'CH305', 'or persons, in one row');
SELECT throws_ok('DO $x$DECLARE p record; BEGIN FOR p IN SELECT person_id FROM shop.person LOOP RAISE NOTICE ''%'', p; END LOOP; END$x$', 'CH305', NULL, 'or through a block');
SELECT throws_ok(format('SELECT hub.export_query(%L)', '{}'), '42501', NULL, 'the query of an export');
SELECT throws_ok('SELECT hub.begin_export(1)', '42501', NULL, 'or its steps');

-- the hub's own tables and functions
SELECT is_empty($$SELECT c.oid::regclass, r FROM pg_class c, unnest('{hub_agent,hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector,hub_ai_agent,pooled}'::name[]) r
	WHERE c.relnamespace = 'hub'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND has_table_privilege(r, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
		AND NOT (r = 'hub_admin' AND c.relname = 'holiday')$$,
	'no hub role can write to a table of schema hub, but for the calendar');
SELECT is_empty($$SELECT p.oid::regprocedure, r FROM pg_proc p, unnest('{hub_agent,hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector,hub_ai_agent,pooled}'::name[]) r
	WHERE p.pronamespace = 'hub'::regnamespace AND obj_description(p.oid, 'pg_proc') LIKE '%engine only%' AND p.proname <> 'same_when_opened' AND has_function_privilege(r, p.oid, 'EXECUTE')$$,
	'nor call what is the engine''s only');
SELECT throws_ok('SELECT hub.same_when_opened(name, ''Ada''::text) FROM shop.person', 'CH205', NULL, 'nor have guesses compared with what is sealed');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'hub'::regnamespace AND p.prosecdef AND NOT EXISTS (
	SELECT FROM unnest(p.proconfig) c WHERE c LIKE 'search\_path=pg\_catalog%')$$, 'each function with the engine''s rights has a locked search_path');
SELECT is_empty($$SELECT b FROM unnest('{hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector,hub_ai_agent}'::name[]) r, public.borrowed_rights(r) b$$,
	'what other roles may call or read in schema hub, SET ROLE does not give');
SELECT throws_ok('INSERT INTO hub.audit_event DEFAULT VALUES', '42501', NULL, 'the trail takes no entry');
SELECT throws_ok('DELETE FROM hub.audit_event', '42501', NULL, 'and loses none');
SELECT throws_ok('SELECT hub.record_event(''config'', NULL, ''{}'')', '42501', NULL, 'an event cannot be forged');
SELECT throws_ok('SELECT hub.deny(''CH305'', ''x'', ''y'', ''{}'')', '42501', NULL, 'nor a refusal');
SELECT throws_ok('SELECT hub.use_approval(NULL)', '42501', NULL, 'an approval cannot be used up');
SELECT throws_ok('SELECT hub.govern_rows(''shop.person'')', '42501', NULL, 'nor the engine be made to work');
SELECT throws_ok('SELECT hub.govern(''shop.person'', ''person_id'')', NULL, NULL, 'nor a table be governed by others');
SELECT throws_ok('SELECT hub.ungovern(''shop.person'')', '42501', NULL, 'or released');
SELECT throws_ok('SELECT hub.classify(''shop.person'', ''vip'', ''public'')', NULL, NULL, 'or classified');
SELECT throws_ok('SELECT FROM hub.member', '42501', NULL, 'members');
SELECT throws_ok('SELECT FROM hub.subject_key', '42501', NULL, 'keys');
SELECT throws_ok('SELECT FROM hub.approval_request', '42501', NULL, 'requests of others');
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["email"], "max_rows": 40}', 'why not') AS request \gset
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'one''s own request cannot be approved');
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH303', NULL, 'nor used');
SELECT throws_ok(format('SELECT hub.export(%s)', :request + 1), 'CH303', NULL, 'and there is no other');

-- the identity given away, or the cursor kept
DECLARE kept CURSOR FOR SELECT name FROM shop.person;
SET LOCAL customer_hub.identity = '';
\set name nothing
FETCH 1 FROM kept \gset
SELECT ok(:'name' NOT LIKE 'Plum%', 'a cursor shows nothing without the identity');
SELECT is((SELECT count(*) FROM shop.person), 0::bigint, 'and no rows');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'token_carla'), 'CH204', NULL, 'and there is no way to another');
COMMIT;
SELECT is((SELECT count(*) FROM shop.person), 0::bigint, 'the next transaction has no rows, although a role was left behind');
RESET ROLE;

------------------------------------------------------------------------------------------ the same person, as somebody else
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT hub.request_approval('transfer', '{"to": "US"}', 'why not') AS request \gset
COMMIT;
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'a second token of the same person approves nothing');
COMMIT;

------------------------------------------------------------------------------------------ an AI agent that was told to
BEGIN;
SELECT hub.authenticate(:'token_robot') \g /dev/null
SELECT is((SELECT count(*) FROM shop.person), 0::bigint, 'an AI agent sees what is assigned to it');
SELECT throws_ok('UPDATE shop.person SET vip = true', '42501', NULL, 'and writes nothing');
SELECT throws_ok('SELECT hub.export(1)', '42501', NULL, 'nor exports');
SELECT throws_ok('SELECT hub.request_approval(''export'', ''{}'', ''x'')', '42501', NULL, 'nor asks for it');
SELECT throws_ok('SELECT hub.approve(1)', '42501', NULL, 'nor approves');
COMMIT;

------------------------------------------------------------------------------------------ a member who logs in, with functions of her own
SELECT set_config('attack.anna', $$
CREATE FUNCTION pg_temp.in_regions(hub.region) RETURNS bool LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION pg_temp.acts_as(name) RETURNS bool LANGUAGE sql AS 'SELECT true';
SET search_path = pg_temp, shop, hub, pg_catalog;
SELECT 'shadowed', count(*) FROM shop.person WHERE vip;
CREATE FUNCTION pg_temp.cheap(hub.region) RETURNS bool LANGUAGE plpgsql COST 0.0000001 AS 'BEGIN RAISE NOTICE ''seen %'', $1; RETURN true; END';
SELECT 'cheap', count(*) FROM shop.person WHERE pg_temp.cheap(region);
CREATE TEMP TABLE kept (person_id uuid);
CREATE FUNCTION pg_temp.keep(uuid) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO pg_temp.kept VALUES ($1); RETURN true; END';
SELECT count(pg_temp.keep(person_id)) FROM shop.person, generate_series(1, 4);
SELECT 'kept', count(*) FROM kept;
CREATE FUNCTION pg_temp.shout(text, text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''shouted %'', $2; END';
CREATE AGGREGATE pg_temp.shout(text) (SFUNC = pg_temp.shout, STYPE = text);
SELECT pg_temp.shout(email::text || wish::text) FROM shop.person;
CREATE DOMAIN pg_temp.guess AS text CHECK (VALUE NOT ILIKE 'mirabelle%');
SELECT 'guessed', count(email::text::pg_temp.guess) FROM shop.person;
CREATE VIEW pg_temp.barrier AS SELECT * FROM shop.person;
SELECT 'barrier', count(*) FROM pg_temp.barrier WHERE vip;
$$, false) AS script \gset
\setenv SCRIPT :script
\set anna `printf '%s' "$SCRIPT" | psql -XAtq -d "$DATABASE" -U anna -v ON_ERROR_STOP=0 2>&1`
SELECT ok(:'anna' LIKE '%shadowed|0%', 'functions that shadow those of the policies change nothing');
SELECT ok(:'anna' LIKE '%seen DE%cheap|5%' AND :'anna' NOT LIKE '%seen FR%', 'a function that costs nothing is called for no hidden row');
SELECT ok(:'anna' LIKE '%would send more than 15 rows%kept|0%', 'a function that keeps each row it is called for is refused');
SELECT ok(:'anna' LIKE '%message redacted (SQLSTATE P0001)%' AND :'anna' NOT ILIKE '%shouted mirabelle%', 'an aggregate that raises what it is given gets its error without values');
SELECT ok(:'anna' LIKE '%guessed|5%', 'and so is a domain that tests it');
SELECT ok(:'anna' LIKE '%barrier|0%', 'a view of one''s own shows what oneself may see');
SELECT * FROM finish();
\! rm -f "$KEY"
