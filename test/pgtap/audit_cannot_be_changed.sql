-- Nobody updates, deletes or truncates the audit trail: not an unprivileged role, not compliance staff, not a superuser
-- who goes by SQL. (One who goes past SQL is found: audit_tampering_is_found.)
BEGIN;
SELECT plan(27);

CREATE TABLE person (id uuid PRIMARY KEY, name text);
SELECT hub.govern('person', 'id');
INSERT INTO person VALUES ('00000000-0000-0000-0000-000000000001', 'Ann');
CREATE ROLE cora LOGIN;
SELECT hub.add_member('cora', 'hub_compliance', 'cora');
CREATE TEMP TABLE before AS SELECT count(*) AS events FROM hub.audit_event;

-- without rights
SET SESSION AUTHORIZATION cora;
SELECT throws_ok('SELECT * FROM hub.audit_event', '42501', NULL, 'compliance staff do not read the table itself');
SELECT throws_ok('INSERT INTO hub.audit_event (xid) VALUES (''1'')', '42501', NULL, 'nor write to it');
SELECT throws_ok('UPDATE hub.audit_event SET ordinal = 1', '42501', NULL, 'nor update it');
SELECT throws_ok('DELETE FROM hub.audit_event', '42501', NULL, 'nor delete from it');
SELECT throws_ok('TRUNCATE hub.audit_event', '42501', NULL, 'nor truncate it');
SELECT throws_ok('DELETE FROM hub.audit_transaction', '42501', NULL, 'nor delete transactions');
SELECT throws_ok($$SELECT hub.record_event('config', NULL, '{}')$$, '42501', NULL, 'nor record what they like');
SELECT throws_ok('SET ROLE hub_audit_owner', '42501', NULL, 'nor become its owner');
RESET SESSION AUTHORIZATION;

-- with all rights
SELECT throws_ok('UPDATE hub.audit_event SET ordinal = 1', 'CH402', NULL, 'a superuser cannot update it');
SELECT throws_ok('UPDATE hub.audit_event SET ordinal = 1 WHERE false', 'CH402', NULL, 'not even no row of it');
SELECT throws_ok('DELETE FROM hub.audit_event', 'CH402', NULL, 'nor delete from it');
SELECT throws_ok('DELETE FROM hub.audit_event_default', 'CH402', NULL, 'nor from a partition');
SELECT throws_ok('TRUNCATE hub.audit_event', 'CH402', NULL, 'nor truncate it');
SELECT throws_ok('TRUNCATE hub.audit_event_default', 'CH402', NULL, 'nor a partition');
SELECT throws_ok('UPDATE hub.audit_transaction SET event_count = 0', 'CH402', NULL, 'nor change transactions');
SELECT throws_ok('DELETE FROM hub.audit_origin', 'CH402', NULL, 'nor the origins');
SELECT throws_ok('ALTER TABLE hub.audit_event DISABLE TRIGGER ALL', 'CH402', NULL, 'nor disable its triggers');
SELECT throws_ok('ALTER TABLE hub.audit_event_default DISABLE TRIGGER refuse_change', 'CH402', NULL, 'nor one of them');
SELECT throws_ok('DROP TRIGGER refuse_change ON hub.audit_event', 'CH402', NULL, 'nor drop one');
SELECT throws_ok('ALTER TABLE hub.audit_event DETACH PARTITION hub.audit_event_default', 'CH402', NULL, 'nor detach a partition');
SELECT throws_ok('ALTER TABLE hub.audit_event OWNER TO postgres', 'CH402', NULL, 'nor take it over');
SELECT throws_ok('ALTER TABLE hub.audit_event RENAME TO mine', 'CH402', NULL, 'nor rename it');
SELECT throws_ok('ALTER TABLE hub.audit_event RENAME COLUMN tag TO mark', 'CH402', NULL, 'nor a column');
SELECT throws_ok('ALTER TABLE hub.audit_event SET SCHEMA public', 'CH402', NULL, 'nor move it away');
SELECT throws_ok('CREATE RULE r AS ON INSERT TO hub.audit_event_default DO INSTEAD NOTHING', 'CH402', NULL, 'nor divert what comes in');
SELECT is((SELECT count(*) FROM hub.audit_event), (SELECT events FROM before), 'all events are still there');

-- a partition of its own is no loophole
SELECT hub.ensure_audit_partitions();
SELECT throws_ok((SELECT format('DROP TABLE %s', inhrelid::regclass) FROM pg_inherits
	WHERE inhparent = 'hub.audit_event'::regclass AND inhrelid <> 'hub.audit_event_default'::regclass LIMIT 1),
	'CH402', NULL, 'nor drop a monthly partition');

SELECT * FROM finish();
ROLLBACK;
