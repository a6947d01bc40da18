-- Roles of one's own, scopes from groups of regions, statistics without small groups, and what happens when a person leaves.
\i test/fixtures/desk.sql
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(40);
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
CREATE ROLE pooled LOGIN NOINHERIT;
CREATE ROLE trainee LOGIN;
CREATE ROLE ada LOGIN;
SELECT hub.add_member('ada', 'hub_admin', 'ada') \g /dev/null

-- groups of regions
SET SESSION AUTHORIZATION ada;
SELECT is(cardinality(hub.expand_regions('EU')), 27, 'the EU has 27 countries');
SELECT is(cardinality(hub.expand_regions('EEA', 'DE', 'US-CA')), 31, 'groups, countries and subdivisions add up, none twice');
SELECT ok(hub.expand_regions('EEA') @> hub.expand_regions('EU'), 'the EEA contains the EU');
SELECT throws_ok($$SELECT hub.expand_regions('XX')$$, '22023', NULL, 'an unknown name');
SELECT throws_ok($$SELECT hub.expand_regions('DE', NULL)$$, '22004', NULL, 'no name');
SELECT throws_ok($$SELECT 'EU'::hub.region$$, '22P02', NULL, 'a group is no region: no row can lie in it');
SELECT throws_ok($$SELECT hub.set_region_group('FR', '{DE}')$$, '42602', NULL, 'nor can a country be made a group');
SELECT lives_ok($$SELECT hub.set_region_group('HOME', '{DE,FR}', 'where we began')$$, 'groups of one''s own');
SELECT hub.set_region_group('EFTA', '{CH}') \g /dev/null
SELECT is(hub.expand_regions('HOME', 'EFTA')::text, '{CH,DE,FR}', 'go before those that come with the extension');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*)::int FROM hub.audit_event WHERE relation = 'hub.region_group_own'), 2, 'and are on record');

-- a role of one's own: what its like has, and another clearance
SET SESSION AUTHORIZATION ada;
SELECT throws_ok($$SELECT hub.create_role('hub_trainee', 'postgres')$$, '42704', NULL, 'only like a hub role');
SELECT lives_ok($$SELECT hub.create_role('hub_trainee', 'hub_agent')$$, 'an administrator makes a role');
SELECT lives_ok($$SELECT hub.set_clearance('hub_trainee', 'content', 'mask')$$, 'and takes some of it away');
SELECT throws_ok($$SELECT hub.set_clearance('hub_trainee', 'contact', 'reveal')$$, 'CH303', NULL, 'but gives none alone');
SELECT lives_ok(format($$SELECT hub.add_member('tara', 'hub_trainee', 'trainee', hub.expand_regions('HOME'), '{%s}', '{%s}')$$, :line, :team), 'regions by a group''s name');
RESET SESSION AUTHORIZATION;
GRANT hub_agent TO pooled;

SELECT hub.ingest(:whatsapp, public.whatsapp('491701110000' || n, 'wamid.' || n, 'where is lamp number ' || n)) FROM generate_series(1, 6) n \g /dev/null
SELECT hub.ingest(:french_whatsapp, public.whatsapp('33612345678', 'wamid.f', 'bonjour')) \g /dev/null
SET SESSION AUTHORIZATION trainee;
SELECT is((SELECT count(*)::int FROM crm.customer), 7, 'the role has the rows of its like');
SELECT body FROM crm.message LIMIT 1 \gset
SELECT ok(:'body' LIKE '%•%', 'and its own clearance');
RESET SESSION AUTHORIZATION;

-- statistics: for managers, of groups large enough
SET SESSION AUTHORIZATION annika;
SELECT throws_ok('SELECT * FROM hub.statistics', '42501', NULL, 'agents have no statistics');
SET SESSION AUTHORIZATION mara;
SELECT results_eq('SELECT region::text, follow_up::text, customers, conversations, unresolved, unassigned FROM hub.statistics',
	$$VALUES ('DE', 'new', 6::bigint, 6::bigint, 6::bigint, 6::bigint)$$, 'managers have, without the one customer in France');
SELECT is((SELECT count(*)::int FROM crm.customer), 7, 'who is there');
UPDATE crm.conversation SET status = 'resolved' WHERE conversation_id = (SELECT conversation_id FROM crm.conversation WHERE region = 'DE' ORDER BY 1 LIMIT 1);
SELECT results_eq('SELECT customers, conversations, unresolved, unassigned FROM hub.statistics',
	$$VALUES (6::bigint, 6::bigint, NULL::bigint, 6::bigint)$$, 'a count that tells about the one left over is not shown');
UPDATE crm.conversation SET status = 'open' WHERE status = 'resolved';
SET SESSION AUTHORIZATION conny;
SELECT throws_ok('SELECT * FROM hub.statistics', '42501', NULL, 'connectors have none');

-- annika leaves: her work goes to sam, who may be given what his region and line allow
SET SESSION AUTHORIZATION mara;
SELECT hub.assign(conversation_id, :annika) FROM crm.conversation \g /dev/null
RESET SESSION AUTHORIZATION;
INSERT INTO crm.customer (region, line_id, team_id, owner_id, display_name) VALUES ('DE', :line, :team, :annika, 'Nobody Talked-To');
\set annika_token `sh test/fixtures/make_token.sh "$KEY" idp annika`
CREATE TABLE public.here (who text);
GRANT ALL ON public.here TO PUBLIC;
SET SESSION AUTHORIZATION mara;
SELECT throws_ok(format('SELECT hub.reassign_all(%s, %s)', :annika, :sam), 'CH205', NULL, 'not to somebody who does not work in France');
SELECT is((SELECT count(*)::int FROM crm.conversation WHERE owner_id = :annika), 7, 'then nothing moves');
SELECT throws_ok(format('SELECT hub.deactivate_member(%s)', :annika), '42501', NULL, 'nor does a manager end a membership');
RESET SESSION AUTHORIZATION;
SELECT hub.set_member_scope(:sam, '{DE,FR}', ARRAY[:line], ARRAY[:team]) \g /dev/null
SET SESSION AUTHORIZATION mara;
SELECT is(hub.reassign_all(:annika, :sam), 7, 'a manager hands everything over');
SELECT is((SELECT count(*)::int FROM crm.conversation WHERE owner_id = :annika), 0, 'nothing is left of conversations');
SELECT is((SELECT count(*)::int FROM crm.customer WHERE owner_id = :sam), 8, 'customers go with it, the one without conversation too');
SELECT is((SELECT count(*)::int FROM crm.message WHERE owner_id = :annika), 0, 'and messages');
SELECT is((SELECT count(*)::int FROM crm.assignment_log WHERE from_member = :annika AND to_member = :sam AND assigned_by IS NOT NULL), 7, 'it is written down');

SELECT format('psql -XAtq -U ada -d %s -c "SELECT hub.deactivate_member(%s)"', :'DBNAME', :annika) AS leave \gset
\setenv LEAVE :leave
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT hub.authenticate(:'annika_token') \g /dev/null
SELECT is((SELECT external_id FROM hub.whoami()), 'annika', 'her token was good');
SELECT is((SELECT count(*)::int FROM crm.customer), 8, 'and showed the team''s customers');
\! eval "$LEAVE" >/dev/null
\set ON_ERROR_STOP 0
SELECT count(*) FROM crm.customer;
\set after :LAST_ERROR_SQLSTATE
\set ON_ERROR_STOP 1
ROLLBACK;
SELECT is(:'after'::text, 'CH202', 'deactivated, the next statement fails, in the middle of a transaction');
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'annika_token'), 'CH201', 'token is not accepted', 'and the token is dead');
SET SESSION AUTHORIZATION annika;
SELECT is((SELECT count(*)::int FROM hub.whoami()), 0, 'her login is nobody''s');
SELECT throws_ok('SELECT FROM crm.customer', '42501', NULL, 'and has lost the role');
SET SESSION AUTHORIZATION mara;
SELECT throws_ok(format('SELECT hub.reassign_all(%s, %s)', :sam, :annika), 'CH205', NULL, 'nothing can be handed to who has left');

-- sam moves to another team
RESET SESSION AUTHORIZATION;
SELECT hub.add_team('Munich', 'DE', :line) AS munich \gset
SET SESSION AUTHORIZATION trainee;
SELECT is((SELECT count(*)::int FROM crm.customer), 8, 'a member of the team sees its customers');
RESET SESSION AUTHORIZATION;
SELECT hub.set_member_scope((SELECT member_id FROM hub.member WHERE external_id = 'tara'), '{DE,FR}', ARRAY[:line], ARRAY[:munich]) \g /dev/null
SET SESSION AUTHORIZATION trainee;
SELECT is((SELECT count(*)::int FROM crm.customer WHERE team_id = :team), 0, 'moved to another team, none of them');
SELECT is((SELECT count(*)::int FROM crm.customer), (SELECT count(*)::int FROM crm.customer WHERE team_id IS NULL), 'but the pool');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
\! rm -f "$KEY"
