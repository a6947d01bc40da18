-- access: govern, classify, row policies, approvals, exports, posture
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE ROLE shop_owner LOGIN;
CREATE ROLE anna LOGIN;
CREATE ROLE sven LOGIN;
CREATE ROLE mara LOGIN;
CREATE ROLE colin LOGIN;
CREATE ROLE robo LOGIN;
CREATE ROLE feed LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}') AS anna \gset
SELECT hub.add_member('sven', 'hub_sales', 'sven', '{DE,US}', '{1}', '{1,2}') AS sven \gset
SELECT hub.add_member('mara', 'hub_manager', 'mara', '{DE}', '{1,2}', '{1,2}') AS mara \gset
SELECT hub.add_member('colin', 'hub_compliance', 'colin', '{DE,US}', '{1,2}') AS colin \gset
SELECT hub.add_member('robo', 'hub_ai_agent', 'robo', '{DE}', '{1}') AS robo \gset
SELECT hub.add_member('feed', 'hub_connector', 'feed', '{DE}', '{1}') AS feed \gset

-- what cannot be governed, and why
CREATE SCHEMA shop AUTHORIZATION shop_owner;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE shop.odd (n int, id uuid, region text);
CREATE VIEW shop.look AS SELECT * FROM shop.odd;
CREATE TABLE shop.heir () INHERITS (shop.odd);
CREATE TEMP TABLE passing (id uuid);
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT hub.govern('shop.odd', 'id');
DROP TABLE shop.heir;
SELECT hub.govern('shop.odd', 'nobody');
SELECT hub.govern('shop.odd', 'n');
SELECT hub.govern('shop.odd', 'id', 'region');
SELECT hub.govern('shop.odd', 'id', line => 'id');
SELECT hub.govern('shop.look', 'id');
SELECT hub.govern('passing', 'id');
SELECT hub.govern('shop.odd', NULL);
SELECT hub.govern('hub.governed', 'relation');
SELECT hub.classify('shop.odd', 'nothing', 'basic');
SELECT hub.classify('shop.odd', 'n', 'nonsense');
RESET SESSION AUTHORIZATION;
SELECT hub.govern('hub.governed', 'relation');
SELECT hub.ungovern('shop.odd');
\set VERBOSITY terse

-- govern: existing values are bound, partitions are covered, later ones too
SET SESSION AUTHORIZATION shop_owner;
CREATE TABLE shop.person (person_id uuid NOT NULL, region hub.region, line int, team int, owner int,
	name text, email hub.encrypted_email('contact'), since date NOT NULL) PARTITION BY RANGE (since);
CREATE TABLE shop.person_2025 PARTITION OF shop.person FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO shop.person VALUES ('00000000-0000-4000-8000-000000000001', 'DE', 1, 1, NULL, 'Ada', 'ada@example.com', '2025-02-01');
SET client_min_messages = notice;
SELECT hub.govern('shop.person', 'person_id', 'region', 'line', 'team', 'owner');
SELECT hub.govern('shop.person', 'person_id', 'region', 'line', 'team', 'owner');
SET client_min_messages = warning;
CREATE TABLE shop.person_2026 PARTITION OF shop.person FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shop.person_2024 (LIKE shop.person);
ALTER TABLE shop.person ATTACH PARTITION shop.person_2024 FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
SELECT hub.classify('shop.person', 'name', 'basic');
SELECT hub.classify('shop.person', 'email', 'public');
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.person TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_ai_agent, hub_connector;
RESET SESSION AUTHORIZATION;

SELECT * FROM hub.governed;
SELECT column_name, data_class FROM hub.classification ORDER BY 1;
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
	(SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
	(SELECT string_agg(t.tgname || ' ' || t.tgenabled::text, ', ' ORDER BY t.tgname) FROM pg_trigger t WHERE t.tgrelid = c.oid) AS triggers
FROM pg_class c WHERE c.relnamespace = 'shop'::regnamespace AND c.relname LIKE 'person%' ORDER BY 1;
SELECT policyname, cmd, coalesce(qual, with_check) AS condition FROM pg_policies
WHERE schemaname = 'shop' AND tablename = 'person' ORDER BY 1;

-- who sees what
INSERT INTO shop.person VALUES
	('00000000-0000-4000-8000-000000000002', 'DE', 1, 2, :anna, 'Bo', 'bo@example.com', '2026-02-01'),
	('00000000-0000-4000-8000-000000000003', 'DE', 1, NULL, NULL, 'Cy', 'cy@example.com', '2024-02-01'),
	('00000000-0000-4000-8000-000000000004', 'DE', 2, 2, NULL, 'Di', 'di@example.com', '2025-02-01'),
	('00000000-0000-4000-8000-000000000005', 'US-CA', 1, 2, NULL, 'Ed', 'ed@example.com', '2025-03-01'),
	('00000000-0000-4000-8000-000000000006', 'FR', 1, 1, NULL, 'Fe', 'fe@example.com', '2025-03-01'),
	('00000000-0000-4000-8000-000000000007', 'DE', 1, 2, :robo, 'Gil', 'gil@example.com', '2025-03-01');
CREATE FUNCTION shop.sees() RETURNS text LANGUAGE sql AS 'SELECT string_agg(name, '' '' ORDER BY name) FROM shop.person';
GRANT EXECUTE ON FUNCTION shop.sees() TO PUBLIC;
SELECT shop.sees() AS superuser;
SET SESSION AUTHORIZATION shop_owner;
SELECT shop.sees() AS owner;
SET SESSION AUTHORIZATION anna;
SELECT shop.sees() AS agent;
SET SESSION AUTHORIZATION sven;
SELECT shop.sees() AS sales;
SET SESSION AUTHORIZATION mara;
SELECT shop.sees() AS manager;
SET SESSION AUTHORIZATION colin;
SELECT shop.sees() AS compliance;
SET SESSION AUTHORIZATION robo;
SELECT shop.sees() AS ai_agent;
SET SESSION AUTHORIZATION feed;
SELECT shop.sees() AS connector;
INSERT INTO shop.person VALUES ('00000000-0000-4000-8000-000000000008', 'DE', 1, NULL, NULL, 'Hal', 'hal@example.com', '2025-03-01');
INSERT INTO shop.person VALUES ('00000000-0000-4000-8000-000000000009', 'FR', 1, NULL, NULL, 'Ike', 'ike@example.com', '2025-03-01');
SET SESSION AUTHORIZATION anna;
UPDATE shop.person SET name = 'Ada L.' WHERE name = 'Ada' RETURNING name, email;
UPDATE shop.person SET region = 'FR' WHERE name = 'Ada L.';
UPDATE shop.person SET name = 'Di X' WHERE name = 'Di' RETURNING name;
DELETE FROM shop.person RETURNING name;
-- another hub role that the login happens to have shows nothing
RESET SESSION AUTHORIZATION;
GRANT hub_compliance TO anna;
SET SESSION AUTHORIZATION anna;
SELECT shop.sees() AS agent;
SET ROLE hub_compliance;
SELECT shop.sees() AS bare_role;
RESET SESSION AUTHORIZATION;
REVOKE hub_compliance FROM anna;
-- a role made like another one works like it
SELECT hub.create_role('shop_desk', 'hub_agent');
CREATE ROLE dora LOGIN;
SELECT hub.add_member('dora', 'shop_desk', 'dora', '{DE}', '{1}', '{1}') AS dora \gset
SET SESSION AUTHORIZATION dora;
SELECT shop.sees() AS desk;
RESET SESSION AUTHORIZATION;

-- columns follow a renaming; those that policies go by stay
ALTER TABLE shop.person RENAME COLUMN line TO business_line;
SELECT line_column FROM hub.governed;
SELECT column_name FROM hub.classification WHERE column_name LIKE '%line';
ALTER TABLE shop.person DROP COLUMN team CASCADE;
ALTER TABLE shop.person ADD COLUMN shoe_size int;
SELECT severity, object, finding FROM hub.posture() WHERE object LIKE 'shop.%';

-- approvals
SET SESSION AUTHORIZATION anna;
SELECT hub.request_approval('paint_it_black', '{}', 'why not');
\set VERBOSITY default
SELECT hub.request_approval('export', '[]', 'why not');
SELECT hub.request_approval('export', '{}', ' ');
SELECT hub.request_approval('export', '{"relation": "shop.nothing"}', 'x');
SELECT hub.request_approval('export', '{"relation": "shop.odd", "columns": ["n"], "max_rows": 1}', 'x');
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["name"]}', 'x');
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["nam"], "max_rows": 1}', 'x');
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["name"], "where": {"name": "Ada"}, "max_rows": 1}', 'x');
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["name"], "max_rows": 1, "limit": 2}', 'x');
\set VERBOSITY terse
SELECT hub.request_approval('export',
	'{"relation": "shop.person", "columns": ["name", "email", "region"], "where": {"region": "DE", "owner": null}, "max_rows": 10}', 'birthday cards') AS request \gset
SELECT request - :request AS request, action, reason, requested_by, status, approvals, approvals_needed, mine FROM hub.approval_queue;
SELECT * FROM hub.export(:request);
SET SESSION AUTHORIZATION mara;
SELECT hub.approve(:request, 'as every year');
SET SESSION AUTHORIZATION anna;
SELECT * FROM hub.export(:request) e ORDER BY e->>'name';
SELECT * FROM hub.export(:request);
SELECT hub.request_approval('export', '{"relation": "shop.person", "columns": ["name"], "max_rows": 10}', 'changed my mind') AS request \gset
SET SESSION AUTHORIZATION mara;
SELECT hub.approve(:request);
SET SESSION AUTHORIZATION anna;
SELECT hub.withdraw_approval(:request);
SELECT hub.withdraw_approval(:request);
SELECT hub.export(:request);
SELECT hub.request_approval('transfer', '{}', 'changed my mind') AS request \gset
SET SESSION AUTHORIZATION mara;
SELECT hub.withdraw_approval(:request);
SET SESSION AUTHORIZATION anna;
SELECT hub.withdraw_approval(:request);
SET SESSION AUTHORIZATION mara;
SELECT hub.approve(:request);
SELECT hub.set_approval_policy('export', 1, '{hub_agent}');
RESET SESSION AUTHORIZATION;
SELECT hub.set_approval_policy('export', 1, '{hub_nobody}');
SELECT * FROM hub.approval_policy_effective WHERE action IN ('export', 'erase') ORDER BY action;
SELECT r.status, r.member_id = :anna AS by_anna, v.approved, v.member_id = :mara AS by_mara, v.comment
FROM hub.approval_request r LEFT JOIN hub.approval_vote v ON v.request_id = r.id ORDER BY r.id;

-- ungovern
SET SESSION AUTHORIZATION shop_owner;
SELECT hub.ungovern('shop.person');
RESET SESSION AUTHORIZATION;
SELECT hub.ungovern('shop.person_2025');
SELECT hub.ungovern('shop.person');
SELECT count(*) FROM pg_policies WHERE schemaname = 'shop';
SELECT count(*) FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'shop'::regnamespace) AND NOT tgisinternal;
SELECT relation, operation, row_key->>'relation' AS target, row_key->>'column_name' AS target_column, changed->'new'->>'data_class' AS data_class
FROM hub.audit_event WHERE kind = 'config' AND relation IN ('hub.governed', 'hub.classification') ORDER BY xid, ordinal;
DROP SCHEMA shop CASCADE;
