-- Under an identity any other role than the member's own is nobody, whatever statement an attacker gets in.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

BEGIN;
SELECT plan(28);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales, hub_admin TO pooled;
CREATE ROLE anna LOGIN;
CREATE ROLE outsider LOGIN;
GRANT hub_agent, hub_manager TO anna;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('zoë', 'hub_agent', regions => '{DE}', lines => '{1}', teams => '{2}') AS zoe \gset
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{2}') \g /dev/null
SELECT hub.set_clearance('hub_sales', 'contact', 'token') \g /dev/null
CREATE TABLE person (email hub.encrypted_email('contact'), note hub.encrypted_text('content'), wish hub.encrypted_text('intent'));
GRANT SELECT ON person TO PUBLIC;
INSERT INTO person VALUES ('zoe.example@example.com', 'likes tea', 'a kettle');
CREATE TABLE seen (what text);
GRANT ALL ON seen TO PUBLIC;
CREATE FUNCTION may_see() RETURNS text LANGUAGE sql RETURN
	concat_ws(' ', hub.in_regions('DE'), hub.in_lines(1), hub.in_teams(2), hub.sees_configuration());
\set token `sh test/fixtures/make_token.sh "$KEY" idp zoë`

-- without an identity: sealed, and nothing seen
SET SESSION AUTHORIZATION pooled;
SELECT is(may_see(), 'f f f f', 'the pooled login sees nothing');
SET ROLE hub_agent;
SELECT is(may_see(), 'f f f f', 'nor does the bare role');
SELECT email AS shown FROM person \gset
SELECT ok(:'shown'::text LIKE 'hub1:%', 'and gets sealed values');
SET ROLE hub_admin;
SELECT is(may_see(), 'f f f f', 'the bare administrator sees no configuration');
SELECT is((SELECT count(*) FROM hub.member), 0::bigint, 'nor a member');
RESET ROLE;

-- a token's identity
SELECT hub.authenticate(:'token') \g /dev/null
SELECT is(may_see(), 't t t f', 'an agent sees what is in scope');
SELECT is(concat_ws(' ', hub.in_regions('FR'), hub.in_lines(3), hub.is_me(:zoe)), 'f f t', 'and not what is out of it');
SELECT email AS shown FROM person \gset
SELECT ok(:'shown'::text LIKE '%•%', 'contact is masked for agents');
SELECT note AS shown FROM person \gset
SELECT is(:'shown'::text, 'likes tea', 'content is revealed');
SELECT wish AS shown FROM person \gset
SELECT is(:'shown'::text, '[restricted]', 'intent is denied');
SET ROLE hub_sales;
SELECT is(may_see(), 'f f f f', 'SET ROLE to another hub role sees nothing');
SELECT email AS shown FROM person \gset
SELECT is(:'shown'::text, '[restricted]', 'and everything is denied');
SELECT throws_ok('SELECT hub.add_member(''x'', ''hub_agent'')', '42501', NULL, 'nor may it configure');
SET ROLE hub_admin;
SELECT is(may_see(), 'f f f f', 'nor does SET ROLE to the administrator');
SELECT throws_ok('SELECT hub.add_member(''x'', ''hub_agent'')', 'CH205', NULL, 'who may not configure either');
SELECT throws_ok('SELECT hub.set_clearance(''hub_agent'', ''intent'', ''reveal'')', 'CH205', NULL, 'nor lift a clearance');
RESET ROLE;
SELECT is(may_see(), 'f f f f', 'RESET ROLE sees nothing');
SELECT note AS shown FROM person \gset
SELECT is(:'shown'::text, '[restricted]', 'and everything is denied');
SET ROLE hub_agent;
SELECT is(may_see(), 't t t f', 'back in the member''s role all is as it was');
SELECT lives_ok('SET LOCAL customer_hub.identity = ''''', 'giving the identity away');
SELECT is(may_see(), 'f f f f', 'leaves nothing');
RESET SESSION AUTHORIZATION;

-- a login of the member's own
SET SESSION AUTHORIZATION anna;
SELECT is(may_see(), 't t t f', 'the login sees what is in scope');
SET ROLE hub_agent;
SELECT is(may_see(), 't t t f', 'so does its hub role');
SET ROLE hub_manager;
SELECT is(may_see(), 'f f f f', 'another role granted to the login does not');
SELECT note AS shown FROM person \gset
SELECT is(:'shown'::text, '[restricted]', 'and gets no pseudonym even');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION outsider;
SELECT is(may_see(), 'f f f f', 'a login that is nobody''s sees nothing');
RESET SESSION AUTHORIZATION;

-- superusers have no identity either: they see what is stored
SELECT is(may_see(), 'f f f f', 'a superuser is no member');
SELECT email AS shown FROM person \gset
SELECT ok(:'shown'::text LIKE 'hub1:%', 'and gets sealed values');
SELECT * FROM finish();
ROLLBACK;
\! rm -f "$KEY"
