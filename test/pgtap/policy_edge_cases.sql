-- Row policies where values are missing, tables are partitioned, views stand between, and joins and encrypted look-ups are planned.
SELECT plan(44);
CREATE ROLE anna LOGIN;
CREATE ROLE sol LOGIN;
CREATE ROLE mara LOGIN;
CREATE ROLE nix LOGIN;
CREATE ROLE builder NOLOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{US,DE-BE}', '{1}', '{10}') AS anna \gset
SELECT hub.add_member('sol', 'hub_sales', 'sol', '{US,DE-BE}', '{1}', '{10}') AS sol \gset
SELECT hub.add_member('mara', 'hub_manager', 'mara', '{US,DE-BE}', '{1}', '{}') \g /dev/null
SELECT hub.add_member('nix', 'hub_agent', 'nix') \g /dev/null
SELECT throws_ok($$SELECT hub.add_member('x', 'hub_agent', regions => '{DE,NULL}')$$, '22004', NULL, 'no member has a region that is null');
SELECT throws_ok($$SELECT hub.add_member('x', 'hub_agent', regions => NULL)$$, '22004', NULL, 'nor null for regions');
SELECT throws_ok($$SELECT hub.add_member('x', 'hub_agent', teams => '{1,NULL}')$$, '22004', NULL, 'nor a team that is null');
SELECT throws_ok($$SELECT hub.set_member_scope(1, '{DE}', '{NULL}', '{}')$$, '22004', NULL, 'now or later');
SELECT lives_ok($$SELECT hub.add_member('twice', 'hub_agent', regions => '{DE,DE,US-CA,US}', lines => '{3,3}')$$, 'named twice is named once');

-- every column of the policy may be null; partitions of partitions
CREATE TABLE visit (id bigint NOT NULL, customer_id bigint NOT NULL, region hub.region, line_id int, team_id int, owner_id int,
	email hub.encrypted_email('contact'), seen_on date NOT NULL) PARTITION BY RANGE (seen_on);
CREATE TABLE visit_old PARTITION OF visit FOR VALUES FROM (MINVALUE) TO ('2025-01-01') PARTITION BY LIST (line_id);
CREATE TABLE visit_old_1 PARTITION OF visit_old FOR VALUES IN (1);
CREATE TABLE visit_old_rest PARTITION OF visit_old DEFAULT;
CREATE TABLE visit_new PARTITION OF visit FOR VALUES FROM ('2025-01-01') TO (MAXVALUE);
CREATE INDEX ON visit (region, line_id);
CREATE INDEX ON visit (email);
CREATE INDEX ON visit (customer_id);
SELECT hub.govern('visit', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id') \g /dev/null
INSERT INTO visit (id, customer_id, region, line_id, team_id, owner_id, seen_on) VALUES
	(1, 1, NULL, 1, 10, NULL, '2024-01-01'), (2, 2, 'US', NULL, 10, NULL, '2024-01-01'), (3, 3, 'US', 1, NULL, NULL, '2024-01-01'),
	(4, 4, 'US', 1, 11, NULL, '2026-01-01'), (5, 5, 'US', 1, 11, :anna, '2026-01-01'), (6, 6, 'US-CA', 1, 10, NULL, '2026-01-01'),
	(7, 7, 'DE', 1, 10, NULL, '2026-01-01'), (8, 8, 'DE-BE', 1, 10, NULL, '2026-01-01'), (9, 9, 'DE-BY', 1, 10, NULL, '2026-01-01'),
	(10, 10, NULL, NULL, NULL, :anna, '2026-01-01'), (11, 11, 'US', 2, 10, :anna, '2026-01-01');
GRANT SELECT ON ALL TABLES IN SCHEMA public TO hub_agent, hub_sales, hub_manager;
CREATE FUNCTION ids(query text DEFAULT 'SELECT id FROM visit') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE 'SELECT string_agg(id::text, '' '' ORDER BY id) FROM (' || query || ') q' INTO result;
	RETURN coalesce(result, 'none');
END
$$;
CREATE FUNCTION plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		lines := lines || line || E'\n';
	END LOOP;
	RETURN lines;
END
$$;
SET SESSION AUTHORIZATION anna;
SELECT is(ids(), '3 5 6 8', 'a missing region or line is nobody''s, a missing team the pool''s; US brings US-CA, DE-BE not DE');
SELECT is(ids('SELECT id FROM visit_old'), '3', 'the same through a partition');
SELECT is(ids('SELECT id FROM visit_old_1'), '3', 'of a partition');
SELECT is(ids('SELECT id FROM visit_old_rest'), 'none', 'none through another');
SELECT is(ids('SELECT id FROM visit_new'), '5 6 8', 'nor more through a third');
SELECT is(ids('SELECT id FROM visit WHERE region IS NULL'), 'none', 'asking for what is missing finds nothing');
SELECT is(ids('SELECT id FROM visit WHERE team_id IS NULL'), '3', 'but the pool');
SELECT is(ids('SELECT id FROM visit WHERE NOT hub.in_regions(region)'), 'none', 'asking for the contrary neither');
SELECT is(ids('SELECT id FROM visit WHERE hub.in_regions(region) IS NULL'), 'none', 'a predicate is never unknown');
SELECT is(ids('SELECT id FROM visit WHERE region = ANY (NULL::hub.region[])'), 'none', 'no array, no row');
SELECT is(ids('SELECT id FROM visit WHERE region = ANY (ARRAY[NULL, ''US''::hub.region])'), '3 5', 'a null within one is nothing');
SELECT is(ids('SELECT v.id FROM visit v JOIN visit w ON w.customer_id = v.customer_id - 1'), '6', 'a join sees what both sides may');
SELECT is(ids('SELECT v.id FROM visit v LEFT JOIN visit w ON w.customer_id = v.customer_id - 1 WHERE w.id IS NULL'), '3 5 8', 'an outer join tells of no row that is not there');
SELECT is(ids('SELECT id FROM visit v WHERE EXISTS (SELECT FROM visit w WHERE w.customer_id = v.customer_id + 1)'), '5', 'nor a sub-select');
SELECT is(ids('SELECT id FROM visit WHERE seen_on < ''2025-01-01'''), '3', 'partitions are pruned and governed');
SELECT unalike(plan_of('SELECT id FROM visit WHERE seen_on > ''2025-06-01'''), '%visit_old%', 'the plan leaves the others out');
SET SESSION AUTHORIZATION sol;
SELECT is(ids(), '6 8', 'sales sees no pool');
SET SESSION AUTHORIZATION mara;
SELECT is(ids(), '3', 'a manager without a team sees the pool alone');
SELECT is(hub.my_teams()::text, '{}', 'an empty scope is an empty array');
SET SESSION AUTHORIZATION nix;
SELECT is(ids(), 'none', 'without a scope nothing');
RESET SESSION AUTHORIZATION;

-- a partition that comes later
CREATE TABLE visit_future (LIKE visit INCLUDING ALL);
INSERT INTO visit_future (id, customer_id, region, line_id, team_id, seen_on) VALUES (20, 20, 'FR', 1, 10, '2030-01-01'), (21, 21, 'US', 1, 10, '2030-01-01');
CREATE TABLE visit_late (LIKE visit) PARTITION BY RANGE (seen_on);
SELECT throws_ok('ALTER TABLE visit DETACH PARTITION visit_new', 'CH306', NULL, 'a partition is not detached');
GRANT SELECT ON visit_future TO hub_agent;
CREATE TABLE trip (LIKE visit) PARTITION BY RANGE (seen_on);
SELECT hub.govern('trip', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id') \g /dev/null
ALTER TABLE trip ATTACH PARTITION visit_future FOR VALUES FROM ('2030-01-01') TO (MAXVALUE);
GRANT SELECT ON trip TO hub_agent;
SET SESSION AUTHORIZATION anna;
SELECT is(ids('SELECT id FROM trip'), '21', 'one that is attached is governed');
SELECT is(ids('SELECT id FROM visit_future'), '21', 'by its own name too');
RESET SESSION AUTHORIZATION;

-- views
GRANT SELECT ON visit TO builder;
GRANT CREATE ON SCHEMA public TO builder;
CREATE VIEW as_invoker WITH (security_invoker = true) AS SELECT id, region, email FROM visit;
CREATE VIEW as_owner AS SELECT id, region, email FROM visit;
CREATE VIEW over_view WITH (security_invoker = true) AS SELECT id FROM as_owner;
SET ROLE builder;
CREATE VIEW as_builder AS SELECT id, region FROM visit;
RESET ROLE;
GRANT SELECT ON as_invoker, as_owner, as_builder, over_view TO hub_agent;
SET SESSION AUTHORIZATION anna;
SELECT is(ids('SELECT id FROM as_invoker'), '3 5 6 8', 'a view with security_invoker shows what the member sees');
SELECT is(ids('SELECT id FROM as_builder'), 'none', 'one of an ordinary owner shows nothing');
SELECT alike(plan_of('SELECT id FROM as_invoker WHERE region = ''US'''), '%my_regions%', 'the policy reaches through the view');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$SELECT object, severity FROM hub.posture() WHERE finding LIKE 'view reads governed%' ORDER BY 1$$,
	$$VALUES ('public.as_builder', 'medium'), ('public.as_owner', 'critical')$$, 'posture finds those without');
ALTER VIEW as_owner SET (security_invoker = true);
ALTER VIEW as_builder SET (security_invoker = true);
SELECT is_empty($$SELECT * FROM hub.posture() WHERE finding LIKE 'view reads governed%'$$, 'until its hint is taken');
SET SESSION AUTHORIZATION anna;
SELECT is(ids('SELECT id FROM over_view'), '3 5 6 8', 'a view over a view');
RESET SESSION AUTHORIZATION;

-- look-ups of encrypted values keep their index
CREATE TABLE person (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), region hub.region NOT NULL, email hub.encrypted_email('contact'));
CREATE INDEX person_email ON person (email);
SELECT hub.govern('person', 'id', 'region') \g /dev/null
INSERT INTO person (region, email) SELECT (ARRAY['US-CA', 'FR'])[1 + n % 2]::hub.region, 'somebody' || n || '@example.com' FROM generate_series(1, 3000) n;
ANALYZE person;
GRANT SELECT ON person TO hub_agent;
SET SESSION AUTHORIZATION anna;
SELECT alike(plan_of('SELECT id FROM person WHERE email = ''somebody2000@example.com'''), '%Index%person_email%Index Cond%', 'an encrypted address is found by its index');
SELECT is((SELECT count(*)::int FROM person WHERE email = 'somebody2000@example.com'), 1, 'of whom the member sees');
SELECT is((SELECT count(*)::int FROM person WHERE email = 'somebody2001@example.com'), 0, 'and nobody else');
SELECT alike(plan_of($$SELECT p.id FROM person p JOIN (VALUES ('somebody4@example.com'), ('somebody5@example.com')) l (e) ON p.email = l.e$$), '%person_email%', 'also by a join');
SELECT is((SELECT count(*)::int FROM person p JOIN (VALUES ('somebody4@example.com'), ('somebody5@example.com')) l (e) ON p.email = l.e), 1, 'which finds the one');
RESET SESSION AUTHORIZATION;
-- an UPDATE passes the sealing trigger by where there is nothing to seal, and only there
CREATE TABLE stock (id int PRIMARY KEY, customer_id uuid, region hub.region, amount int);
SELECT hub.govern('stock', 'customer_id', 'region') \g /dev/null
INSERT INTO stock VALUES (1, gen_random_uuid(), 'DE', 1);
SELECT throws_ok('UPDATE stock SET customer_id = NULL', 'CH302', NULL, 'a row without a data subject is refused, sealed or not');
SELECT throws_ok($$INSERT INTO stock VALUES (1, gen_random_uuid(), 'DE', 1) ON CONFLICT (id) DO UPDATE SET customer_id = NULL$$, 'CH302', NULL, 'on conflict too');
UPDATE stock SET region = 'DE-SH';
SELECT is((SELECT count(*) FROM hub.region_in_use WHERE region = 'DE-SH'), 1::bigint, 'a subdivision that an UPDATE brings is known to the policies');
CREATE FUNCTION double_amount() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.amount := 2 * NEW.amount; RETURN NEW; END$$;
CREATE TRIGGER double_amount BEFORE UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION double_amount();
UPDATE stock SET amount = 4;
SELECT is((SELECT amount FROM stock), 8, 'other triggers fire as before');
DROP TRIGGER double_amount ON stock;
ALTER TABLE stock ADD COLUMN email hub.encrypted_email('contact');
UPDATE stock SET email = 'ada@example.com';
SELECT ok(NOT hub.is_unbound(email), 'an encrypted column that is added is sealed by UPDATE at once') FROM stock;

SELECT * FROM finish();
