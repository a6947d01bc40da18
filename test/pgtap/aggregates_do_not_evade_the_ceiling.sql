-- What is folded into one row counts like rows; what is revealed in a day counts however often a member comes back.
SELECT plan(43);
CREATE ROLE anna LOGIN;
CREATE ROLE bert LOGIN;
CREATE ROLE carla LOGIN;
CREATE ROLE boss LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}') AS anna \gset
SELECT hub.add_member('bert', 'hub_agent', 'bert', '{DE}') \g /dev/null
SELECT hub.add_member('carla', 'hub_compliance', 'carla', '{DE}') \g /dev/null
SELECT hub.add_member('boss', 'hub_admin', 'boss') \g /dev/null
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.person (person_id uuid PRIMARY KEY, region hub.region, name hub.encrypted_text('basic'),
	email hub.encrypted_email('contact'), second_email hub.encrypted_email('contact'));
SELECT hub.govern('shop.person', 'person_id', 'region') \g /dev/null
INSERT INTO shop.person
	SELECT md5(n::text)::uuid, 'DE', 'person ' || n, 'p' || n || '@example.com', 'q' || n || '@example.com' FROM generate_series(1, 60) n;
GRANT SELECT ON shop.person TO hub_agent, hub_compliance;
SELECT hub.set_export_ceiling('hub_agent', 50) \g /dev/null
SELECT hub.set_reveal_quota('hub_agent', 1000) \g /dev/null

SET SESSION AUTHORIZATION anna;
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate
\o /dev/null
SELECT string_agg(name::text, ',') FROM shop.person;
\set s1 :SQLSTATE
SELECT jsonb_agg(hub.reveal(name)) FROM shop.person;
\set s2 :SQLSTATE
SELECT array_agg(name) FROM shop.person;
\set s3 :SQLSTATE
SELECT jsonb_agg(to_jsonb(p)) FROM shop.person p;
\set s4 :SQLSTATE
SELECT count(*) FROM shop.person WHERE hub.reveal(name) LIKE '%x%';
\set s5 :SQLSTATE
SELECT string_agg(email::text, ',') FROM shop.person;
\set s6 :SQLSTATE
SELECT string_agg(name::text, ',' ORDER BY person_id) FROM (SELECT * FROM shop.person LIMIT 1) p;
\set s7 :SQLSTATE
SELECT email, second_email FROM shop.person LIMIT 50;
\set s8 :SQLSTATE
SELECT count(*) FROM shop.person;
\set s9 :SQLSTATE
\o
SELECT is(:'s1'::text, 'CH305', 'string_agg of more persons than the ceiling is refused');
SELECT is(:'s2'::text, 'CH305', 'jsonb_agg of what is revealed too');
SELECT is(:'s3'::text, 'CH305', 'an array too');
SELECT is(:'s4'::text, 'CH305', 'whole rows as one document too');
SELECT is(:'s5'::text, 'CH305', 'so is a condition that reveals everybody');
SELECT is(:'s6'::text, 'CH305', 'and masks in one row');
SELECT is(:'s7'::text, '00000', 'a few persons in one row are not');
SELECT is(:'s8'::text, '00000', 'nor several values of each person, in as many rows as the ceiling');
SELECT is(:'s9'::text, '00000', 'nor counting');

\set ON_ERROR_STOP on
-- columns that are not encrypted: what keeps the rows it gets counts them, what says something about them does not
RESET SESSION AUTHORIZATION;
CREATE FUNCTION public.folds(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE query INTO result;
	RETURN 'sent';
EXCEPTION WHEN SQLSTATE 'CH305' THEN
	RETURN 'refused';
END
$$;
CREATE AGGREGATE public.keep(uuid) (SFUNC = array_append, STYPE = uuid[]);
SET SESSION AUTHORIZATION anna;
SELECT is(public.folds(q), 'refused', 'rows kept in one value count: ' || q) FROM unnest(ARRAY[
	'SELECT array_agg(person_id) FROM shop.person',
	'SELECT string_agg(person_id::text, '','') FROM shop.person',
	'SELECT json_agg(person_id) FROM shop.person',
	'SELECT jsonb_object_agg(person_id, region) FROM shop.person',
	'SELECT xmlagg(xmlelement(name p, person_id)) FROM shop.person',
	'SELECT public.keep(person_id) FROM shop.person',
	'SELECT array_agg(person_id) OVER () FROM shop.person LIMIT 1',
	'SELECT array_agg(person_id) FROM (SELECT person_id FROM shop.person ORDER BY region OFFSET 0) p',
	'SELECT array_agg(a) FROM (SELECT array_agg(person_id) AS a FROM shop.person GROUP BY person_id) p',
	'SELECT ARRAY(SELECT person_id FROM shop.person)',
	'SELECT ARRAY(SELECT person_id FROM shop.person WHERE region = o.r) FROM (VALUES (''DE''::hub.region)) o (r)',
	'WITH p AS MATERIALIZED (SELECT person_id FROM shop.person) SELECT array_agg(person_id) FROM p',
	'SELECT percentile_disc(ARRAY(SELECT n / 60.0 FROM generate_series(1, 60) n)) WITHIN GROUP (ORDER BY person_id) FROM shop.person',
	'WITH RECURSIVE r (id, list) AS (SELECT ''00000000-0000-0000-0000-000000000000''::uuid, '''' UNION ALL
		SELECT p.person_id, r.list || p.person_id FROM r, LATERAL (SELECT q.person_id FROM shop.person q WHERE q.person_id > r.id ORDER BY 1 LIMIT 1) p)
		SELECT list FROM r ORDER BY id DESC LIMIT 1']) q;
SELECT is(public.folds(q), 'sent', 'rows that make a figure do not: ' || q) FROM unnest(ARRAY[
	'SELECT count(*) FROM shop.person',
	'SELECT max(person_id::text) FROM shop.person',
	'SELECT avg(length(person_id::text)) FROM shop.person',
	'SELECT count(DISTINCT region) FROM shop.person',
	'SELECT array_agg(n) FROM generate_series(1, 1000) n']) q;
SELECT is(public.folds('SELECT array_agg(region) FROM (SELECT DISTINCT region FROM shop.person) d'), 'sent', 'nor do rows that were few before');
SELECT is(public.folds('SELECT array_agg(person_id) FROM (SELECT person_id FROM shop.person LIMIT 50) p'), 'sent', 'up to the ceiling they are sent');
SELECT is(public.folds('SELECT array_agg(a[1]) FROM (SELECT ARRAY(SELECT p.person_id FROM shop.person q WHERE q.person_id = p.person_id) AS a FROM shop.person p LIMIT 30) x'),
	'refused', 'which holds for all parts of a statement together');

-- the quota of the day: each of these statements is below the ceiling
\set ON_ERROR_STOP on
RESET SESSION AUTHORIZATION;
SELECT hub.wait_for_audit() \g /dev/null
SELECT reveals AS before FROM hub.reveal_usage WHERE member_id = :anna \gset
SELECT hub.set_reveal_quota('hub_agent', :before + 60) \g /dev/null
\setenv DATABASE :DBNAME
SET SESSION AUTHORIZATION anna;
\o /dev/null
SELECT name FROM shop.person ORDER BY person_id LIMIT 50;
\o
\set s1 `psql -XAtq -d "$DATABASE" -U anna -v VERBOSITY=sqlstate -c 'SELECT name FROM shop.person ORDER BY person_id LIMIT 10' 2>&1 | grep -c person`
\set s2 `psql -XAtq -d "$DATABASE" -U anna -v VERBOSITY=sqlstate -c 'SELECT name FROM shop.person ORDER BY person_id LIMIT 1' 2>&1`
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate
\o /dev/null
BEGIN;
SELECT name FROM shop.person ORDER BY person_id LIMIT 1;
\set s3 :SQLSTATE
ROLLBACK;
SELECT email FROM shop.person LIMIT 50;
\set s4 :SQLSTATE
SET SESSION AUTHORIZATION bert;
SELECT name FROM shop.person LIMIT 1;
\set s5 :SQLSTATE
\o
\set ON_ERROR_STOP on
SELECT is(:'s1'::text, '10', 'the quota is as large as it says');
SELECT is(:'s2'::text, 'ERROR:  CH305', 'and holds over a new connection');
SELECT is(:'s3'::text, 'CH305', 'and over transactions that are rolled back');
SELECT is(:'s4'::text, '00000', 'masks are no reveals');
SELECT is(:'s5'::text, '00000', 'each member has a quota of their own');

-- the way out does not count, and is not stopped by the quota
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["name"], "max_rows": 100}', 'a letter') AS request \gset
SET SESSION AUTHORIZATION carla;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT is((SELECT count(*) FROM hub.export(:request) e WHERE e->>'name' LIKE 'person%'), 60::bigint, 'an approved export reveals beyond the quota');
RESET SESSION AUTHORIZATION;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is((SELECT reveals FROM hub.reveal_usage WHERE member_id = :anna), :before::bigint + 60, 'and is not counted');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'denied' AND details->>'attempt' = 'over_quota'), 2::bigint, 'refusals are on record');

-- who may see and set it
SET SESSION AUTHORIZATION carla;
SELECT is((SELECT count(*) FROM hub.reveal_usage WHERE member_id = :anna), 1::bigint, 'compliance sees what was used');
SET SESSION AUTHORIZATION boss;
SELECT lives_ok('SELECT hub.set_reveal_quota(''hub_agent'', 10)', 'an administrator can lower the quota');
SELECT throws_ok('SELECT hub.set_reveal_quota(''hub_agent'', 1000)', 'CH303', NULL, 'but not raise it alone');
SELECT throws_ok('SELECT hub.set_export_ceiling(''hub_agent'', 1000)', 'CH303', NULL, 'nor the ceiling');
SELECT * FROM finish();
