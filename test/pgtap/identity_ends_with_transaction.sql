-- hub.authenticate counts for its transaction and not a statement longer, and it follows savepoints.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(33);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales TO pooled;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('zoë', 'hub_agent', regions => '{DE,US-CA,DE}', lines => '{3,-1}', teams => '{2}') \g /dev/null
SELECT hub.add_member('bob', 'hub_sales') \g /dev/null
CREATE FUNCTION who() RETURNS text LANGUAGE sql RETURN (
	SELECT format('%s as %s', (SELECT external_id FROM hub.whoami()), current_user));
\set token `sh test/fixtures/make_token.sh "$KEY" idp zoë 300 service`
\set other `sh test/fixtures/make_token.sh "$KEY" idp bob`

SET SESSION AUTHORIZATION pooled;
SELECT is(who(), ' as pooled', 'nobody at first');

BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is(who(), 'zoë as hub_agent', 'authenticated');
SELECT results_eq('SELECT external_id, role, regions::text, lines, teams, purpose FROM hub.whoami()',
	$$VALUES ('zoë', 'hub_agent'::name, '{DE,DE,US-CA}', '{-1,3}'::int[], '{2}'::int[], 'service')$$, 'whoami tells all');
SELECT ok(expires_at BETWEEN now() + interval '4 minutes' AND now() + interval '6 minutes', 'and until when') FROM hub.whoami();
SELECT is(current_setting('customer_hub.identity'), '', 'the carrier is not shown');
SELECT is((SELECT count(*) FROM pg_settings WHERE name = 'customer_hub.identity'), 0::bigint, 'nor listed');
COMMIT;
SELECT is(who(), ' as pooled', 'gone with COMMIT');

BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
ROLLBACK;
SELECT is(who(), ' as pooled', 'gone with ROLLBACK');

SELECT hub.authenticate(:'token') \g /dev/null
SELECT is(who(), ' as pooled', 'on its own it is gone with its statement');

BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
COMMIT AND CHAIN;
SELECT is(who(), ' as pooled', 'gone with COMMIT AND CHAIN');
COMMIT;

BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SAVEPOINT a;
SELECT is(who(), 'zoë as hub_agent', 'still there after SAVEPOINT');
ROLLBACK TO a;
SELECT is(who(), 'zoë as hub_agent', 'still there after ROLLBACK TO');
RELEASE a;
SELECT is(who(), 'zoë as hub_agent', 'still there after RELEASE');
ROLLBACK;

BEGIN;
SAVEPOINT a;
SELECT hub.authenticate(:'token') \g /dev/null
RELEASE a;
SELECT is(who(), 'zoë as hub_agent', 'outlives the savepoint it was made in');
COMMIT;

BEGIN;
SAVEPOINT a;
SELECT hub.authenticate(:'token') \g /dev/null
ROLLBACK TO a;
SELECT is(who(), ' as pooled', 'rolled back with its savepoint');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'other'), 'CH204', NULL, 'which makes no room for somebody else');
SELECT lives_ok(format('SELECT hub.authenticate(%L)', :'token'), 'but for the same member');
SELECT is(who(), 'zoë as hub_agent', 'who is back');
COMMIT;

-- one identity per transaction
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'other'), 'CH204', NULL, 'no second member');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'token'), 'CH204', NULL, 'nor the same one twice');
SELECT is(who(), 'zoë as hub_agent', 'the first one stays');
RESET ALL;
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'other'), 'CH204', NULL, 'RESET ALL makes no room either');
COMMIT;

-- what a pooler may do between two clients
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
RESET customer_hub.identity;
SELECT is((SELECT count(*) FROM hub.whoami()), 0::bigint, 'RESET gives it back');
RESET ROLE;
SELECT is(who(), ' as pooled', 'and RESET ROLE the role');
COMMIT;
SELECT is(who(), ' as pooled', 'nothing comes back afterwards');

-- another way round: keep the setting past the transaction
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT set_config('customer_hub.identity', current_setting('customer_hub.identity'), false) \g /dev/null
COMMIT;
SELECT is(who(), ' as pooled', 'what SHOW prints is of no use');

-- within functions
BEGIN;
RESET SESSION AUTHORIZATION;
CREATE FUNCTION definer(token text) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT hub.authenticate(token)';
CREATE FUNCTION narrow(token text) RETURNS void LANGUAGE sql SET search_path = pg_catalog AS 'SELECT hub.authenticate(token)';
SET SESSION AUTHORIZATION pooled;
SELECT throws_ok(format('SELECT definer(%L)', :'token'), '42501', 'cannot authenticate within a security-definer function', 'not in a SECURITY DEFINER function');
SELECT lives_ok(format('SELECT narrow(%L)', :'token'), 'in one with a SET clause');
SELECT is(who(), 'zoë as hub_agent', 'from which it comes out again');
ROLLBACK;
SELECT is(who(), ' as pooled', 'gone at last');

-- when its time is over, the next statement fails, though the transaction goes on; exp is reached, the clock skew is not
\set token `TOKEN_CLAIMS='{"sub":"zoë","exp":@NOW-27@}' sh test/fixtures/make_token.sh "$KEY" idp zoë`
BEGIN;
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is(who(), 'zoë as hub_agent', 'in time');
DECLARE c CURSOR FOR SELECT who() FROM generate_series(1, 3);
FETCH c \g /dev/null
SELECT pg_sleep(4) \g /dev/null
\set ON_ERROR_STOP 0
SAVEPOINT a;
SELECT 1;
\set first :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
FETCH c;
\set second :LAST_ERROR_SQLSTATE
\set ON_ERROR_STOP 1
ROLLBACK;
SELECT is(:'first'::text, 'CH202', 'expired');
SELECT is(:'second'::text, 'CH202', 'and a cursor opened before reads no further');

RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
\! rm -f "$KEY"
