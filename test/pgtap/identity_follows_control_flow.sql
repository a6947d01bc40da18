-- The identity goes where the transaction goes: exception blocks, procedures that commit, cursors; and cannot be laid down beforehand.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(32);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales TO pooled;
CREATE ROLE annas_own LOGIN;
CREATE ROLE mighty LOGIN CREATEROLE;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('anna', 'hub_agent', regions => '{DE}') AS anna \gset
SELECT hub.add_member('ben', 'hub_sales', regions => '{FR}') \g /dev/null
SELECT hub.add_member('own', 'hub_agent', 'annas_own', '{DE}') \g /dev/null
CREATE TABLE visit (id bigint PRIMARY KEY, region hub.region NOT NULL);
INSERT INTO visit SELECT n, (ARRAY['DE', 'FR', 'US'])[1 + n % 3]::hub.region FROM generate_series(1, 30) n;
SELECT hub.govern('visit', 'id', 'region') \g /dev/null
GRANT SELECT ON visit TO hub_agent, hub_sales, pooled;
CREATE FUNCTION sees() RETURNS text LANGUAGE sql RETURN coalesce((SELECT external_id FROM hub.whoami()), 'nobody')
	|| ' as ' || current_user || ': ' || coalesce((SELECT string_agg(DISTINCT v.region::text, ' ') FROM visit v), 'nothing');
\set anna_token `sh test/fixtures/make_token.sh "$KEY" idp anna`
\set ben_token `sh test/fixtures/make_token.sh "$KEY" idp ben`
CREATE FUNCTION attempt(token text, OUT inside text, OUT after text) LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM hub.authenticate(token);
		inside := sees();
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	after := sees();
END
$$;
CREATE FUNCTION keeps(token text, OUT inside text, OUT after text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hub.authenticate(token);
	BEGIN
		inside := sees();
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	after := sees();
END
$$;
CREATE PROCEDURE commits(token text, INOUT before text DEFAULT NULL, INOUT after text DEFAULT NULL, INOUT other text DEFAULT NULL, second text DEFAULT NULL)
	LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hub.authenticate(token);
	before := sees();
	COMMIT;
	after := sees();
	IF second IS NOT NULL THEN
		PERFORM hub.authenticate(second);
		other := sees();
		ROLLBACK;
		other := other || ', then ' || sees();
	END IF;
END
$$;

SET SESSION AUTHORIZATION pooled;
-- exception blocks are subtransactions
SELECT is(inside || ', then ' || after, 'anna as hub_agent: DE, then nobody as pooled: nothing', 'made within an exception block, it goes with the block')
FROM attempt(:'anna_token');
SELECT is(inside || ', then ' || after, 'anna as hub_agent: DE, then anna as hub_agent: DE', 'made before one, it stays') FROM keeps(:'anna_token');
SELECT is(sees(), 'nobody as pooled: nothing', 'gone with the transaction');

-- procedures that commit
CALL commits(:'anna_token', second => :'ben_token') \gset
SELECT is(:'before'::text, 'anna as hub_agent: DE', 'in a procedure');
SELECT is(:'after'::text, 'nobody as pooled: nothing', 'after its COMMIT nobody is left');
SELECT is(:'other'::text, 'ben as hub_sales: FR, then nobody as pooled: nothing', 'and somebody else can be next');

-- cursors see whom their rows are fetched for
BEGIN;
DECLARE c CURSOR FOR SELECT region FROM visit ORDER BY id;
SELECT hub.authenticate(:'anna_token') \g /dev/null
FETCH ALL FROM c \g /dev/null
SELECT is(:ROW_COUNT, 0, 'a cursor opened by nobody shows nobody''s rows to a member either');
COMMIT;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
DECLARE c CURSOR FOR SELECT region FROM visit ORDER BY id;
FETCH 2 FROM c \g /dev/null
SELECT is(:ROW_COUNT, 2, 'a cursor of a member''s');
RESET customer_hub.identity;
FETCH ALL FROM c \g /dev/null
SELECT is(:ROW_COUNT, 0, 'shows no more when the identity is given back');
ROLLBACK;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
DECLARE c CURSOR FOR SELECT region FROM visit ORDER BY id;
FETCH 2 FROM c \g /dev/null
RESET ROLE;
FETCH ALL FROM c \g /dev/null
SELECT is(:ROW_COUNT, 0, 'nor under another role');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT hub.authenticate(:'anna_token') \g /dev/null
DECLARE c CURSOR FOR SELECT region FROM visit ORDER BY id;
FETCH 2 FROM c \g /dev/null
ROLLBACK TO a;
SELECT throws_ok('FETCH c', '34000', NULL, 'a cursor goes with the savepoint of its identity');
ROLLBACK;

-- plans serve whoever comes next
SET plan_cache_mode = force_generic_plan;
PREPARE mine AS SELECT sees();
BEGIN; SELECT hub.authenticate(:'anna_token') \g /dev/null
EXECUTE mine \gset
COMMIT;
SELECT is(:'sees'::text, 'anna as hub_agent: DE', 'a prepared statement');
BEGIN; SELECT hub.authenticate(:'ben_token') \g /dev/null
EXECUTE mine \gset
COMMIT;
SELECT is(:'sees'::text, 'ben as hub_sales: FR', 'serves the next member');
EXECUTE mine \gset
SELECT is(:'sees'::text, 'nobody as pooled: nothing', 'and nobody');
RESET plan_cache_mode;

-- nothing that is set for later counts
\set carrier 'hubid1:' `printf '%0720d' 0`
SELECT throws_ok(format('SET customer_hub.identity = %L', :'carrier'), 'CH205', NULL, 'SET');
SELECT throws_ok(format('SET LOCAL customer_hub.identity = %L', :'carrier'), 'CH205', NULL, 'SET LOCAL');
SELECT throws_ok(format('SELECT set_config(%L, %L, true)', 'customer_hub.identity', :'carrier'), 'CH205', NULL, 'set_config');
SELECT is((SELECT count(*) FROM pg_settings WHERE name = 'customer_hub.identity'), 0::bigint, 'pg_settings has no such row');
SELECT throws_ok(format('CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SET customer_hub.identity = %L AS ''SELECT 1''', :'carrier'), 'CH205', NULL, 'SET of a function');
SELECT throws_ok(format('ALTER ROLE pooled SET customer_hub.identity = %L', :'carrier'), 'CH205', NULL, 'ALTER ROLE on oneself');
RESET SESSION AUTHORIZATION;
SELECT throws_ok(format('ALTER ROLE pooled SET customer_hub.identity = %L', :'carrier'), 'CH205', NULL, 'ALTER ROLE, superusers included');
SELECT throws_ok(format('ALTER DATABASE %I SET customer_hub.identity = %L', current_database(), :'carrier'), 'CH205', NULL, 'ALTER DATABASE');
SELECT throws_ok(format('ALTER SYSTEM SET customer_hub.identity = %L', :'carrier'), NULL, NULL, 'ALTER SYSTEM');
SELECT lives_ok(format('ALTER ROLE pooled SET role = %L', 'hub_agent'), 'a login may start in a hub role');
\setenv DATABASE :DBNAME
\set started `psql -XAtq -U pooled -d "$DATABASE" -c 'SELECT sees()'`
SELECT is(:'started'::text, 'nobody as hub_agent: nothing', 'where it is nobody');
ALTER ROLE pooled RESET role;

-- SET ROLE, SET SESSION AUTHORIZATION
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
SET ROLE hub_sales;
SELECT is(sees(), 'anna as hub_sales: nothing', 'under another hub role no rows');
SET ROLE pooled;
SELECT is(sees(), 'anna as pooled: nothing', 'nor under the login itself');
RESET SESSION AUTHORIZATION;
SET ROLE hub_agent;
SELECT is(sees(), 'anna as hub_agent: DE', 'only under the member''s own');
ROLLBACK;
RESET ROLE;
SET SESSION AUTHORIZATION annas_own;
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'anna_token'), 'CH204', NULL, 'a login of a member''s own takes no other identity');
RESET SESSION AUTHORIZATION;

-- no process of the server but the client's and its parallel workers has an identity
SELECT is((SELECT count(*)::int FROM pg_stat_activity a WHERE a.backend_type LIKE 'customer_hub%' AND a.usename = 'pooled'), 0, 'the workers of the hub run as nobody''s login');
SELECT is((SELECT count(*)::int FROM hub.audit_event e JOIN hub.audit_transaction t USING (xid) WHERE e.kind = 'authentication' AND t.login = 'pooled'
	AND t.member_id IS NOT NULL AND e.details ->> 'accepted' = 'false'), 0, 'and record nobody''s deeds as a member''s');
SELECT is(sees(), 'nobody as postgres: DE FR US', 'a superuser is nobody, and above the policies');
SELECT * FROM finish();
\! rm -f "$KEY"
