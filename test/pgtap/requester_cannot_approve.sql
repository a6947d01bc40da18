-- Nobody approves what they asked for, in whatever way they come back; and an approval is for exactly what was approved.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`
\set token_carla `sh test/fixtures/make_token.sh "$KEY" idp carla`
\set token_bert `sh test/fixtures/make_token.sh "$KEY" idp bert`
\set token_dora `sh test/fixtures/make_token.sh "$KEY" idp dora`

SELECT plan(35);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_compliance, hub_manager TO pooled;
CREATE ROLE anna LOGIN;
CREATE ROLE bert LOGIN;
CREATE ROLE carla LOGIN;
CREATE ROLE tom LOGIN;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}') AS anna \gset
SELECT hub.add_member('bert', 'hub_manager', 'bert', '{DE}', '{1}', '{1}') AS bert \gset
SELECT hub.add_member('carla', 'hub_compliance', 'carla', '{DE}', '{1}', '{2}') AS carla \gset
SELECT hub.add_member('dora', 'hub_compliance', NULL, '{DE}', '{1}', '{3}') AS dora \gset

-- the person, by login
SET SESSION AUTHORIZATION carla;
SELECT hub.request_approval('transfer', '{"n": 1}', 'asked by carla') AS request \gset
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'the requester cannot approve');
SELECT throws_ok(format('SELECT hub.reject(%s)', :request), 'CH304', NULL, 'nor reject');
SELECT is((SELECT count(*) FROM hub.approval_queue WHERE mine), 1::bigint, 'but sees the request in the queue');
SELECT throws_ok('UPDATE hub.approval_request SET status = ''approved''', '42501', NULL, 'and cannot write to the table');
SELECT throws_ok('INSERT INTO hub.approval_vote VALUES (1, 2, ''bert'', true, true, ''\x00'')', '42501', NULL, 'nor forge a vote');
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', '42501', NULL, 'nor use up an approval');

-- the same person, by token over a login that others share
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token_carla') \g /dev/null
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'not with a token either');
ROLLBACK;

-- another person who has the login now
RESET SESSION AUTHORIZATION;
SELECT hub.deactivate_member(:carla) \g /dev/null
SELECT hub.add_member('carla the second', 'hub_compliance', 'carla', '{DE}', '{1}', '{2}') AS carla2 \gset
SET SESSION AUTHORIZATION carla;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'nor under another name by the same login');

-- the other way round: asked with a token over a shared login, approved by the login that was hers
RESET SESSION AUTHORIZATION;
CREATE ROLE eva LOGIN;
SELECT hub.add_member('eva', 'hub_compliance', 'eva', '{DE}') AS eva \gset
\set token_eva `sh test/fixtures/make_token.sh "$KEY" idp eva`
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token_eva') \g /dev/null
SELECT hub.request_approval('transfer', '{"n": 9}', 'asked by eva') AS request_eva \gset
COMMIT;
SET SESSION AUTHORIZATION eva;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request_eva), 'CH304', NULL, 'a request made with a token cannot be approved by the same person''s login');
RESET SESSION AUTHORIZATION;
SELECT hub.deactivate_member(:eva) \g /dev/null
SELECT hub.add_member('eva the second', 'hub_compliance', 'eva', '{DE}') AS eva2 \gset
SET SESSION AUTHORIZATION eva;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request_eva), 'CH304', NULL, 'nor by a second member of that login');
SELECT is((SELECT may_decide FROM hub.approval_queue WHERE request = :request_eva), false, 'as the queue says');

-- one without a login of their own, with a token each time
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'token_dora') \g /dev/null
SELECT hub.request_approval('transfer', '{"n": 10}', 'asked by dora') AS request_dora \gset
COMMIT;
BEGIN;
SELECT hub.authenticate(:'token_dora') \g /dev/null
SELECT throws_ok(format('SELECT hub.approve(%s)', :request_dora), 'CH304', NULL, 'a person whose login others share cannot approve their own request');
ROLLBACK;
BEGIN;
SELECT hub.authenticate(:'token_bert') \g /dev/null
SELECT is(hub.approve(:request_dora), 'approved', 'but another person over that login can');
COMMIT;

-- one who asks as a superuser, and is a member later
RESET SESSION AUTHORIZATION;
CREATE ROLE owner LOGIN SUPERUSER;
\setenv DATABASE :DBNAME
\set request_owner `psql -XAtq -d "$DATABASE" -U owner -c "SELECT hub.request_approval('transfer', '{\"n\": 11}', 'asked by the owner')"`
SELECT throws_ok(format('SELECT hub.approve(%s)', :request_owner), 'CH203', NULL, 'a superuser who is no member decides nothing');
ALTER ROLE owner NOSUPERUSER;
SELECT hub.add_member('owner', 'hub_compliance', 'owner') \g /dev/null
SET SESSION AUTHORIZATION owner;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request_owner), 'CH304', NULL, 'who asked before being a member cannot approve as one');

-- who has not the role
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH205', NULL, 'an agent is no approver');
SELECT is((SELECT count(*) FROM hub.approval_queue), 0::bigint, 'and does not see other people''s requests');
SET SESSION AUTHORIZATION tom;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), '42501', NULL, 'an outsider is nobody');
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA hub TO tom;
GRANT EXECUTE ON FUNCTION hub.request_approval(text, jsonb, text) TO tom;
SET SESSION AUTHORIZATION tom;
SELECT throws_ok('SELECT hub.request_approval(''transfer'', ''{}'', ''why'')', 'CH203', NULL, 'whatever functions were granted to him');
SET SESSION AUTHORIZATION pooled;
SET ROLE hub_compliance;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH203', NULL, 'nor is the bare role');
SELECT throws_ok('SELECT hub.request_approval(''transfer'', ''{}'', ''why'')', 'CH203', NULL, 'which cannot ask either');
RESET ROLE;

-- somebody else, over the same shared login
BEGIN;
SELECT hub.authenticate(:'token_dora') \g /dev/null
SELECT is(hub.approve(:request, 'fine'), 'approved', 'another person approves');
COMMIT;

-- an approval is for exactly what was approved, and for once
RESET SESSION AUTHORIZATION;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 2}'')', 'CH303', NULL, 'other parameters are not approved');
SELECT throws_ok('SELECT hub.require_approval(''export'', ''{"n": 1}'')', 'CH303', NULL, 'another action is not approved');
SELECT is(hub.require_approval('transfer', '{"n": 1}'), :request::bigint, 'what was approved is');
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 1}'')', 'CH303', NULL, 'but once only');

SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 3}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION bert;
SELECT is(hub.approve(:request), 'approved', 'approved for 3');
RESET SESSION AUTHORIZATION;
UPDATE hub.approval_request SET params = '{"n": 4}' WHERE id = :request;
SELECT throws_ok('SELECT hub.require_approval(''transfer'', ''{"n": 4}'')', 'CH303', NULL, 'a request changed after the vote has no votes');

-- two approvals are two persons
SELECT hub.set_approval_policy('transfer', 2, '{hub_manager,hub_compliance}') \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 5}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION bert;
SELECT is(hub.approve(:request), 'pending', 'one of two');
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'the same person does not count twice');
SET SESSION AUTHORIZATION carla;
SELECT is(hub.approve(:request), 'approved', 'two of two');

-- and neither do two members of one login
RESET SESSION AUTHORIZATION;
SELECT hub.set_approval_policy('transfer', 2, '{hub_manager,hub_compliance}') \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 7}', 'asked by anna') AS request \gset
SET SESSION AUTHORIZATION eva;
SELECT hub.approve(:request) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT hub.deactivate_member(:eva2) \g /dev/null
SELECT hub.add_member('eva the third', 'hub_compliance', 'eva', '{DE}') \g /dev/null
SET SESSION AUTHORIZATION eva;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'two members of one login are one person');

-- a request does not wait for ever
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('transfer', '{"n": 6}', 'asked by anna') AS request \gset
RESET SESSION AUTHORIZATION;
UPDATE hub.approval_request SET expires_at = now() WHERE id = :request;
SET SESSION AUTHORIZATION bert;
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH303', NULL, 'an expired request cannot be approved');

-- the attempts are on record although each ended in an error
RESET SESSION AUTHORIZATION;
DO $$
BEGIN
	FOR i IN 1 .. 100 LOOP
		EXIT WHEN (SELECT count(*) FROM hub.audit_event WHERE kind = 'denied' AND details->>'attempt' = 'self_approval') >= 8;
		PERFORM pg_sleep(0.1);
		COMMIT;
	END LOOP;
END
$$;
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'denied' AND details->>'attempt' = 'self_approval'), 8::bigint,
	'each attempt of the requester is in the audit');
SELECT is((SELECT array_agg(details->>'step' ORDER BY xid, ordinal) FROM hub.audit_event WHERE kind = 'approval' AND details->>'request' = '1'),
	'{requested,approved,used}', 'and so is what became of the first request');
SELECT * FROM finish();
