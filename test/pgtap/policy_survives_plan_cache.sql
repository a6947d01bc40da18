-- A plan made for one identity serves the next one right: nothing of an identity is kept in it.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(27);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_manager TO pooled;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('anna', 'hub_agent', regions => '{DE}', lines => '{1}', teams => '{10}') \g /dev/null
SELECT hub.add_member('ben', 'hub_agent', regions => '{FR,US}', lines => '{1,2}', teams => '{10,11}') \g /dev/null
SELECT hub.add_member('mia', 'hub_manager', regions => '{DE,FR,US}', lines => '{1,2}', teams => '{10,11,12}') \g /dev/null
\set anna `sh test/fixtures/make_token.sh "$KEY" idp anna`
\set anna2 `sh test/fixtures/make_token.sh "$KEY" idp anna`
\set anna3 `sh test/fixtures/make_token.sh "$KEY" idp anna`
\set anna4 `sh test/fixtures/make_token.sh "$KEY" idp anna`
\set ben `sh test/fixtures/make_token.sh "$KEY" idp ben`
\set ben2 `sh test/fixtures/make_token.sh "$KEY" idp ben`
\set ben3 `sh test/fixtures/make_token.sh "$KEY" idp ben`
\set mia `sh test/fixtures/make_token.sh "$KEY" idp mia`

CREATE TABLE visit (id int PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, line_id int NOT NULL, team_id int, owner_id int);
INSERT INTO visit SELECT i, md5(i::text)::uuid, (ARRAY['DE','FR','US-CA','JP'])[1 + i % 4]::hub.region, 1 + i / 4 % 2, 10 + i / 8 % 4, i / 32
FROM generate_series(0, 31999) i;
CREATE INDEX ON visit (region, line_id, team_id);
SELECT hub.govern('visit', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id') \g /dev/null
GRANT SELECT ON visit TO hub_agent, hub_manager;
VACUUM ANALYZE visit;

CREATE FUNCTION visits() RETURNS bigint LANGUAGE plpgsql STABLE AS 'BEGIN RETURN (SELECT count(*) FROM visit); END';
CREATE FUNCTION visits_sql() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM visit';
CREATE FUNCTION may_see(region hub.region) RETURNS bool LANGUAGE plpgsql STABLE AS 'BEGIN RETURN hub.in_regions(region); END';
CREATE FUNCTION owner_may_see(region hub.region) RETURNS bool LANGUAGE plpgsql STABLE SECURITY DEFINER AS 'BEGIN RETURN hub.in_regions(region); END';

-- by hand: id / 32 is the owner, of whom each member owns 32 rows of all kinds
SELECT count(*) AS anna_rows FROM visit WHERE region = 'DE' AND line_id = 1 AND (team_id = 10 OR owner_id = 1) \gset
SELECT count(*) AS ben_rows FROM visit WHERE region IN ('FR', 'US-CA') AND line_id IN (1, 2) AND (team_id IN (10, 11) OR owner_id = 2) \gset
SELECT count(*) AS mia_rows FROM visit WHERE region IN ('DE', 'FR', 'US-CA') AND (team_id IN (10, 11, 12) OR owner_id = 3) \gset
SELECT ok(:anna_rows > 0 AND :ben_rows > :anna_rows AND :mia_rows > :ben_rows, 'three members, three views');

SET SESSION AUTHORIZATION pooled;
SET plan_cache_mode = force_generic_plan;

BEGIN;
SELECT hub.authenticate(:'anna') \g /dev/null
PREPARE visits AS SELECT count(*) FROM visit;
PREPARE one AS SELECT count(*) FROM visit WHERE id = $1;
PREPARE scope AS SELECT format('%s %s %s', hub.my_regions(), hub.my_lines(), hub.in_regions('DE')) AS mine;
SELECT is(ARRAY[hub.in_regions('DE'), owner_may_see('DE'), hub.in_regions('DE'), owner_may_see('DE')], '{t,f,t,f}',
	'who is somebody else within a statement is nobody there');
EXECUTE scope \gset first_
SELECT is(:'first_mine'::text, '{DE} {1} t', 'a scope alone, prepared by one agent');
EXECUTE visits \gset first_
SELECT is(:first_count, :anna_rows::int, 'prepared and executed by one agent');
EXECUTE one (0) \gset first_one_
SELECT is(:first_one_count, 1, 'who sees a row of hers');
SELECT is(visits(), :anna_rows::bigint, 'the same in PL/pgSQL');
SELECT is(visits_sql(), :anna_rows::bigint, 'and in an SQL function');
SELECT ok(may_see('DE') AND NOT may_see('FR'), 'and in a simple expression of PL/pgSQL');
COMMIT;

BEGIN;
SELECT hub.authenticate(:'ben') \g /dev/null
EXECUTE scope \gset second_
SELECT is(:'second_mine'::text, '{FR,US,US-CA} {1,2} f', 'a scope, executed by another agent');
EXECUTE visits \gset second_
SELECT is(:second_count, :ben_rows::int, 'executed by another agent: his own rows');
EXECUTE one (0) \gset second_one_
SELECT is(:second_one_count, 0, 'and not hers');
SELECT is(visits(), :ben_rows::bigint, 'the same in PL/pgSQL');
SELECT is(visits_sql(), :ben_rows::bigint, 'and in an SQL function');
SELECT ok(may_see('FR') AND may_see('US-NY') AND NOT may_see('DE'), 'and in a simple expression');
SELECT ok(generic_plans >= 2 AND custom_plans = 0, 'from one and the same plan') FROM pg_prepared_statements WHERE name = 'visits';
COMMIT;

BEGIN;
SELECT hub.authenticate(:'mia') \g /dev/null
EXECUTE visits \gset third_
SELECT is(:third_count, :mia_rows::int, 'a manager after them: her own');
SELECT is(visits(), :mia_rows::bigint, 'in PL/pgSQL too');
COMMIT;

SELECT throws_ok('EXECUTE visits', '42501', NULL, 'and nobody nothing');
SELECT ok(NOT may_see('DE') AND NOT may_see('FR'), 'also in a simple expression');

-- a cursor outlives a change of the role, but shows no more rows
BEGIN;
SELECT hub.authenticate(:'anna2') \g /dev/null
DECLARE c CURSOR FOR SELECT id FROM visit ORDER BY region, line_id;
MOVE 1 IN c;
RESET ROLE;
SELECT is_empty('FETCH 10 FROM c', 'an open cursor is of no use without the role');
COMMIT;

-- a change of the member's scope counts at the next statement
BEGIN;
SELECT hub.authenticate(:'anna3') \g /dev/null
EXECUTE visits \gset before_
SELECT is(:before_count, :anna_rows::int, 'an agent as before');
COMMIT;
RESET SESSION AUTHORIZATION;
SELECT hub.set_member_scope(1, '{DE,JP}', '{1,2}', '{10,11,12,13}') \g /dev/null
SELECT count(*) AS anna_rows_now FROM visit WHERE region IN ('DE', 'JP') \gset
SET SESSION AUTHORIZATION pooled;
SET plan_cache_mode = force_generic_plan;
BEGIN;
SELECT hub.authenticate(:'anna4') \g /dev/null
EXECUTE visits \gset after_
SELECT is(:after_count, :anna_rows_now::int, 'is given more: the old plan shows it');
SELECT is(visits(), :anna_rows_now::bigint, 'in PL/pgSQL too');
COMMIT;

-- within one procedure that commits in between
BEGIN;
SELECT hub.authenticate(:'ben2') \g /dev/null
SELECT is(visits(), :ben_rows::bigint, 'another agent still sees his own');
ROLLBACK;
RESET SESSION AUTHORIZATION;
SELECT hub.deactivate_member(2) \g /dev/null
SET SESSION AUTHORIZATION pooled;
BEGIN;
SELECT throws_ok(format('SELECT hub.authenticate(%L)', :'ben3'), 'CH201', NULL, 'until he leaves');
ROLLBACK;

SELECT throws_ok('SELECT visits()', '42501', NULL, 'then nobody is left');
SELECT is(hub.my_regions()::text, '{}', 'with no regions');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
\! rm -f "$KEY"
