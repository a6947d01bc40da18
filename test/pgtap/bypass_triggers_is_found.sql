-- Whoever gets round the triggers and policies of a governed relation is refused, or shows up in hub.posture().
BEGIN;
SELECT plan(46);
CREATE ROLE olga LOGIN;
CREATE ROLE anna LOGIN;
CREATE ROLE colin LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}') \g /dev/null
SELECT hub.add_member('colin', 'hub_compliance', 'colin', '{DE}') \g /dev/null
CREATE SCHEMA shop AUTHORIZATION olga;
SET SESSION AUTHORIZATION olga;
CREATE TABLE shop.person (person_id uuid NOT NULL, region hub.region, name hub.encrypted_text('basic')) PARTITION BY LIST (region);
CREATE TABLE shop.person_de PARTITION OF shop.person FOR VALUES IN ('DE');
CREATE INDEX ON shop.person (person_id);
CREATE INDEX ON shop.person (region);
SELECT hub.govern('shop.person', 'person_id', 'region') \g /dev/null
GRANT SELECT ON shop.person TO hub_agent;
CREATE TABLE shop.person_fr PARTITION OF shop.person FOR VALUES IN ('FR');
CREATE FUNCTION shop.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

-- the owner is refused
SELECT throws_ok('ALTER TABLE shop.person DISABLE TRIGGER zz_hub_seal', 'CH306', NULL, 'DISABLE TRIGGER');
SELECT throws_ok('ALTER TABLE shop.person_de DISABLE TRIGGER hub_audit', 'CH306', NULL, 'DISABLE TRIGGER of a partition');
SELECT throws_ok('ALTER TABLE shop.person DISABLE TRIGGER USER', 'CH306', NULL, 'DISABLE TRIGGER USER');
SELECT throws_ok('ALTER TABLE shop.person ENABLE REPLICA TRIGGER hub_audit', 'CH306', NULL, 'ENABLE REPLICA TRIGGER');
SELECT throws_ok('DROP TRIGGER hub_audit ON shop.person', 'CH306', NULL, 'DROP TRIGGER');
SELECT throws_ok('ALTER TRIGGER zz_hub_seal ON shop.person RENAME TO aa', 'CH306', NULL, 'ALTER TRIGGER RENAME');
SELECT throws_ok('CREATE OR REPLACE TRIGGER zz_hub_seal BEFORE INSERT ON shop.person FOR EACH ROW EXECUTE FUNCTION shop.nothing()', 'CH306', NULL, 'CREATE OR REPLACE TRIGGER');
SELECT throws_ok('CREATE TRIGGER zzz BEFORE INSERT ON shop.person FOR EACH ROW EXECUTE FUNCTION shop.nothing()', 'CH306', NULL, 'a trigger after the sealing trigger');
SELECT throws_ok('ALTER TABLE shop.person DISABLE ROW LEVEL SECURITY', 'CH306', NULL, 'DISABLE ROW LEVEL SECURITY');
SELECT throws_ok('ALTER TABLE shop.person_fr NO FORCE ROW LEVEL SECURITY', 'CH306', NULL, 'NO FORCE ROW LEVEL SECURITY of a partition made later');
SELECT throws_ok('DROP POLICY hub_agent_select ON shop.person', 'CH306', NULL, 'DROP POLICY');
SELECT throws_ok('ALTER POLICY hub_agent_select ON shop.person USING (true)', 'CH306', NULL, 'ALTER POLICY');
SELECT throws_ok('CREATE POLICY everything ON shop.person USING (true)', 'CH306', NULL, 'CREATE POLICY that shows more');
SELECT throws_ok('CREATE POLICY hub_admin_select ON shop.person USING (true)', 'CH306', NULL, 'by a name like those of customer_hub too');
SELECT throws_ok('ALTER POLICY hub_agent_select ON shop.person RENAME TO other', 'CH306', NULL, 'ALTER POLICY RENAME');
SELECT throws_ok('CREATE RULE less AS ON INSERT TO shop.person DO INSTEAD NOTHING', 'CH306', NULL, 'CREATE RULE');
CREATE TRIGGER aa BEFORE INSERT ON shop.person_de FOR EACH ROW EXECUTE FUNCTION shop.nothing();
SELECT throws_ok('ALTER TRIGGER aa ON shop.person_de RENAME TO zzz', 'CH306', NULL, 'a trigger renamed to run after the sealing trigger');
DROP TRIGGER aa ON shop.person_de;
SELECT throws_ok('ALTER TABLE shop.person ALTER person_id TYPE text', 'CH306', NULL, 'ALTER TYPE of the data subject');
SELECT throws_ok('ALTER TABLE shop.person ENABLE TRIGGER ALL', 'CH306', NULL, 'ENABLE TRIGGER ALL, which makes them fire less');
CREATE TABLE shop.loose (LIKE shop.person) PARTITION BY LIST (region);
CREATE TABLE shop.parent (person_id uuid NOT NULL, region hub.region, name hub.encrypted_text('basic'));
SELECT throws_ok('ALTER TABLE shop.person_de INHERIT shop.parent', 'CH306', NULL, 'INHERIT');
SELECT throws_ok('ALTER TABLE shop.loose ATTACH PARTITION shop.person FOR VALUES IN (''IT'')', 'CH306', NULL, 'ATTACH to a table that is not governed');
DROP TABLE shop.loose, shop.parent;
SELECT lives_ok('CREATE POLICY less ON shop.person AS RESTRICTIVE USING (region <> ''FR'')', 'one that shows less is the owner''s affair');
SELECT throws_ok('ALTER TABLE shop.person DETACH PARTITION shop.person_de', 'CH306', NULL, 'DETACH PARTITION');
SELECT throws_ok('CREATE TABLE shop.child () INHERITS (shop.person_de)', 'CH306', NULL, 'a child by inheritance');
SELECT throws_ok('TRUNCATE shop.person', 'CH306', NULL, 'TRUNCATE');
SELECT throws_ok('TRUNCATE shop.person_fr', 'CH306', NULL, 'TRUNCATE of a partition made later');
SELECT throws_ok('DROP TABLE shop.person_de', 'CH306', NULL, 'DROP TABLE of a partition');
SELECT throws_ok('DROP TABLE shop.person CASCADE', 'CH306', 'cannot drop governed relation "person"', 'DROP TABLE');
SELECT throws_ok('ALTER TABLE shop.person DROP COLUMN person_id CASCADE', 'CH306', NULL, 'DROP COLUMN of the data subject');
SELECT throws_ok('DROP OWNED BY olga CASCADE', 'CH306', NULL, 'DROP OWNED');
SELECT throws_ok('SELECT hub.ungovern(''shop.person'')', '42501', NULL, 'and hub.ungovern() is not the owner''s');

-- so is a superuser
RESET SESSION AUTHORIZATION;
SELECT throws_ok('DROP SCHEMA shop CASCADE', 'CH306', NULL, 'DROP SCHEMA');
SELECT throws_ok('DROP EXTENSION customer_hub CASCADE', 'CH306', NULL, 'DROP EXTENSION');
SELECT throws_ok('ALTER EXTENSION customer_hub DROP FUNCTION hub.seal_row()', 'CH306', NULL, 'ALTER EXTENSION DROP');
SET session_replication_role = replica;
SET SESSION AUTHORIZATION anna;
RESET SESSION AUTHORIZATION;
INSERT INTO shop.person VALUES ('22222222-2222-4222-8222-222222222222', 'DE', 'Bianca');
SELECT is((SELECT count(*) FROM shop.person WHERE hub.is_unbound(name)), 0::bigint, 'session_replication_role leaves the sealing trigger on');
RESET session_replication_role;

-- who writes to the catalogs is found
SET SESSION AUTHORIZATION colin;
SELECT is_empty('SELECT * FROM hub.posture() WHERE object LIKE ''shop.%''', 'nothing is found while all is well');
RESET SESSION AUTHORIZATION;
CREATE FUNCTION pg_temp.found(what text) RETURNS bigint LANGUAGE sql AS
	'SELECT count(*) FROM hub.posture() WHERE severity = ''critical'' AND finding LIKE what';
UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'hub_audit' AND tgrelid = 'shop.person_de'::regclass;
SELECT is(pg_temp.found('trigger hub_audit is disabled'), 1::bigint, 'a disabled trigger');
UPDATE pg_trigger SET tgenabled = 'O' WHERE tgname = 'zz_hub_seal' AND tgrelid = 'shop.person_de'::regclass;
SELECT is(pg_temp.found('trigger zz_hub_seal does not fire always'), 1::bigint, 'a trigger that replication skips');
UPDATE pg_trigger SET tgfoid = 'shop.nothing'::regproc WHERE tgname = 'zz_hub_seal' AND tgrelid = 'shop.person_fr'::regclass;
SELECT is(pg_temp.found('trigger zz_hub_seal calls another function'), 1::bigint, 'a trigger that does something else');
DELETE FROM pg_trigger WHERE tgname = 'hub_refuse_truncate' AND tgrelid = 'shop.person'::regclass;
SELECT is(pg_temp.found('trigger hub_refuse_truncate is missing'), 1::bigint, 'a missing trigger');
UPDATE pg_class SET relforcerowsecurity = false WHERE oid = 'shop.person_fr'::regclass;
SELECT is(pg_temp.found('row security is not forced%'), 1::bigint, 'row security that spares the owner');
UPDATE pg_class SET relrowsecurity = false WHERE oid = 'shop.person'::regclass;
SELECT is(pg_temp.found('row security is disabled'), 1::bigint, 'row security that is off');
UPDATE pg_policy SET polroles = '{0}' WHERE polname = 'hub_agent_select' AND polrelid = 'shop.person'::regclass;
SELECT is(pg_temp.found('row policy hub_agent_select was changed'), 1::bigint, 'a changed policy');
UPDATE pg_policy SET polpermissive = true WHERE polname = 'less';
SELECT is(pg_temp.found('permissive policy less%'), 1::bigint, 'a policy of somebody else''s');
CREATE VIEW shop.window AS SELECT * FROM shop.person;
SELECT is(pg_temp.found('view reads governed rows past the row policies%'), 1::bigint, 'a view with a superuser''s rights');
ALTER ROLE anna BYPASSRLS;
SELECT is((SELECT count(*) FROM hub.posture() WHERE object = 'anna' AND severity = 'critical'), 1::bigint, 'a member above row security');
SELECT * FROM finish();
ROLLBACK;
