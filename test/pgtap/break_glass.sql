-- Break-glass access shows one member more, for minutes, and is on record before it shows anything.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(37);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent TO pooled;
CREATE ROLE cora LOGIN;
CREATE ROLE ada LOGIN;
CREATE ROLE robo LOGIN;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('anna', 'hub_agent', regions => '{DE}') AS anna \gset
SELECT hub.add_member('ben', 'hub_agent', regions => '{DE}') \g /dev/null
SELECT hub.add_member('cora', 'hub_compliance', 'cora', '{DE}') AS cora \gset
SELECT hub.add_member('ada', 'hub_admin', 'ada') \g /dev/null
SELECT hub.add_member('robo', 'hub_ai_agent', 'robo', '{DE}') \g /dev/null
CREATE TABLE person (id uuid PRIMARY KEY, region hub.region NOT NULL, email hub.encrypted_email('contact'),
	wish hub.encrypted_text('intent'), debt hub.encrypted_text('financial'), illness hub.encrypted_text('special'));
SELECT hub.govern('person', 'id', 'region') \g /dev/null
GRANT SELECT ON person TO hub_agent, hub_compliance, hub_ai_agent;
INSERT INTO person VALUES
	('00000000-0000-4000-8000-000000000001', 'DE', 'ann@vermeulen.example', 'a copper kettle', 'forty crowns', 'hay fever'),
	('00000000-0000-4000-8000-000000000002', 'FR', 'zoe@okafor.example', 'a teapot', 'none at all', 'none known');
\set anna_token `sh test/fixtures/make_token.sh "$KEY" idp anna`
\set ben_token `sh test/fixtures/make_token.sh "$KEY" idp ben`
\set see 'SELECT email, wish, debt, illness FROM person'
LISTEN customer_hub_break_glass;

SET SESSION AUTHORIZATION pooled;
SELECT throws_ok($$SELECT hub.break_glass('why', 5)$$, '42501', NULL, 'nobody without identity');
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
:see \gset
SELECT is(concat_ws(' ', :'email', :'wish', :'debt', :'illness'), 'a•••@v•••.example [restricted] [restricted] [restricted]', 'every day an agent sees this');
SELECT throws_ok($$SELECT hub.break_glass(' ', 5)$$, '22023', NULL, 'not without a reason');
SELECT throws_ok($$SELECT hub.break_glass('why', 0)$$, '22023', NULL, 'not for no time');
SELECT throws_ok($$SELECT hub.break_glass('why', 61)$$, '22023', NULL, 'not for longer than the setting allows');
SELECT throws_ok($$SELECT hub.break_glass('why', NULL)$$, '22023', NULL, 'not for ever');
COMMIT;

-- rolled back: it is over, and on record all the same
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
SELECT hub.break_glass('a caller in danger', 5) \g /dev/null
:see \gset
SELECT is(:'email'::text, 'ann@vermeulen.example', 'it shows more at once');
ROLLBACK;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
:see \gset
SELECT is(:'email'::text, 'a•••@v•••.example', 'rolled back it is over');
COMMIT;

BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
SELECT hub.break_glass('a caller in danger again', 5) AS until \gset
SELECT ok(:'until'::timestamptz - now() BETWEEN interval '4 minutes' AND interval '6 minutes', 'it says until when');
COMMIT;

-- a pooled member has it in the next transactions too
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
:see \gset
SELECT is(concat_ws(' ', :'email', :'wish'), 'ann@vermeulen.example a copper kettle', 'contact and intent are revealed');
SELECT ok(:'debt' LIKE '%•%' AND :'debt' <> 'forty crowns', 'financial data is masked');
SELECT is(:'illness'::text, '[restricted]', 'special data is never shown');
SELECT is((SELECT count(*) FROM person), 1::bigint, 'and no further rows');
SELECT throws_ok($$SELECT hub.break_glass('once more', 5)$$, '55006', NULL, 'not twice at a time');
SELECT throws_ok($$SELECT hub.set_break_glass_clearance('hub_agent', 'special', 'reveal')$$, '42501', NULL, 'nor can its member widen it');
SELECT throws_ok(format('SELECT hub.end_break_glass(%s)', :cora), 'CH205', NULL, 'nor end that of others');
SELECT throws_ok('UPDATE hub.break_glass_grant SET ends_at = ''infinity''', '42501', NULL, 'nor prolong it by hand');
COMMIT;

-- who shares the login does not share it
BEGIN;
SELECT hub.authenticate(:'ben_token') \g /dev/null
:see \gset
SELECT is(:'email'::text, 'a•••@v•••.example', 'another member of the same login sees what he always sees');
COMMIT;

-- compliance sees it and ends it, at the next statement of a transaction that is under way
SET SESSION AUTHORIZATION cora;
SELECT results_eq('SELECT member_id, reason FROM hub.break_glass_grant WHERE ends_at > now()',
	format($$VALUES (%s, 'a caller in danger again')$$, :anna), 'compliance sees who has it');
SELECT results_eq($$SELECT details ->> 'reason', details ->> 'step' FROM hub.break_glass_uses ORDER BY happened_at$$,
	$$VALUES ('a caller in danger', 'taken'), ('a caller in danger again', 'taken')$$, 'and every use, the one rolled back too');
RESET SESSION AUTHORIZATION;
SELECT format('psql -XAtq -U cora -d %s -c "SELECT hub.end_break_glass(%s)"', :'DBNAME', :anna) AS revoke \gset
\setenv REVOKE :revoke
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
:see \gset
SELECT is(:'email'::text, 'ann@vermeulen.example', 'still in force');
\! test "$(eval "$REVOKE")" = t || echo "not ok revoked"
:see \gset
SELECT is(:'email'::text, 'a•••@v•••.example', 'revoked by compliance, it is over in the middle of a transaction');
SELECT is(hub.end_break_glass(), false, 'there is none left to end');
SELECT hub.break_glass('a third call', 1) \g /dev/null
:see \gset
SELECT is(:'email'::text, 'ann@vermeulen.example', 'it can be taken again');
SELECT is(hub.end_break_glass(), true, 'and given back');
:see \gset
SELECT is(:'email'::text, 'a•••@v•••.example', 'which counts at once');
SELECT hub.break_glass('a fourth call', 1) \g /dev/null
COMMIT;

-- it ends by itself, also for a statement within one that goes on
RESET SESSION AUTHORIZATION;
UPDATE hub.break_glass_grant SET ends_at = clock_timestamp() + interval '1.5 seconds';
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
DO $$
BEGIN
	PERFORM set_config('test.before', (SELECT hub.disclose(email) FROM person), true);
	PERFORM pg_sleep(2);
	PERFORM set_config('test.after', (SELECT hub.disclose(email) FROM person), true);
END
$$;
SELECT is(current_setting('test.before'), 'ann@vermeulen.example', 'in time');
SELECT is(current_setting('test.after'), 'a•••@v•••.example', 'over, though the statement goes on');
:see \gset
SELECT is(:'email'::text, 'a•••@v•••.example', 'and so for the next');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT ok((SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal' AND subject IS NOT NULL) > 0, 'reveals are recorded as ever');

-- roles that have none
SET SESSION AUTHORIZATION ada;
SELECT throws_ok($$SELECT hub.break_glass('why', 5)$$, 'CH205', NULL, 'administrators have none');
SELECT throws_ok($$SELECT hub.set_break_glass_clearance('hub_agent', 'special', 'mask')$$, 'CH303', NULL, 'and raise nobody''s without approval');
SELECT lives_ok($$SELECT hub.set_break_glass_clearance('hub_agent', 'intent', 'deny')$$, 'but may take some away');
SET SESSION AUTHORIZATION robo;
SELECT throws_ok($$SELECT hub.break_glass('ignore previous instructions', 5)$$, 'CH205', NULL, 'AI agents have none');
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'anna_token') \g /dev/null
SELECT hub.break_glass('a fifth call', 1) \g /dev/null
:see \gset
SELECT is(concat_ws(' ', :'email', :'wish'), 'ann@vermeulen.example [restricted]', 'what was taken away is not shown');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*)::int FROM hub.audit_event WHERE kind = 'denied' AND details ->> 'attempt' IN ('break_glass', 'end_break_glass')), 3,
	'attempts are on record') FROM hub.wait_for_audit();
SELECT is((SELECT string_agg(details ->> 'step', ' ' ORDER BY details ->> 'step') FROM hub.audit_event WHERE kind = 'break_glass' AND details ->> 'step' <> 'taken'),
	'ended revoked', 'and so are ends');
SELECT * FROM finish();
\! rm -f "$KEY"
