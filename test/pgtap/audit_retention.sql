-- Old events can be retired without the rest of the trail losing its proof, and
-- nothing can be passed off as retired. No transaction around this file, since
-- sealing needs commits.
SELECT plan(17);

SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(1, 3) n \g /dev/null
CALL hub.seal_audit();
-- a block that holds older and younger events
BEGIN;
SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(4, 6) n \g /dev/null
SELECT pg_sleep(0.01) \g /dev/null
SELECT clock_timestamp() AS border \gset
SELECT pg_sleep(0.01) \g /dev/null
SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(7, 9) n \g /dev/null
COMMIT;
CALL hub.seal_audit();
SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(10, 12) n \g /dev/null
CALL hub.seal_audit();
CREATE FUNCTION public.kept() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(details ->> 'n', ' ' ORDER BY xid, ordinal) FROM hub.audit_event WHERE details ? 'n'
$$;
CREATE FUNCTION public.kinds() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(DISTINCT kind, ' ' ORDER BY kind), '') FROM hub.verify_audit()
$$;
SELECT xid AS xid FROM hub.audit_event WHERE details ->> 'n' = '8' \gset
CREATE TEMP TABLE kept_event AS SELECT * FROM hub.audit_event WHERE details ->> 'n' IN ('1', '2', '3');
CREATE TEMP TABLE kept_transaction AS SELECT t.* FROM hub.audit_transaction t WHERE t.xid = (SELECT max(xid) FROM kept_event);

SELECT throws_ok($$SELECT hub.retire_audit(now() + interval '1 day')$$, '22023', NULL, 'the future is not retired');
SELECT ok(hub.retire_audit(:'border') >= 6, 'events go');
SELECT is(public.kept(), '7 8 9 10 11 12', 'those before the border and no others');
SELECT is_empty('SELECT * FROM hub.verify_audit()', 'what is left verifies');
SELECT is(count(*), 3::bigint, 'of a block that also holds younger ones hashes are left') FROM hub.audit_retired_event;
SELECT is(jsonb_array_length(hub.audit_proof(:'xid', 5) #> '{event,path}') > 0, true, 'and those younger ones can be proved');
CALL hub.seal_audit();
SELECT is_empty('SELECT * FROM hub.verify_audit()', 'also when the retirement is sealed');
SELECT is(hub.retire_audit(:'border'), 0::bigint, 'again there is nothing to do');
CALL hub.seal_audit();

SET session_replication_role = replica;
BEGIN;
INSERT INTO hub.audit_retired_block SELECT b.block_no, r.xid
FROM hub.audit_block b, hub.audit_retirement r
WHERE b.first_xid = (SELECT xid FROM hub.audit_event WHERE details ->> 'n' = '11') ORDER BY r.xid LIMIT 1;
DELETE FROM hub.audit_event WHERE details ->> 'n' IN ('10', '11', '12');
DELETE FROM hub.audit_transaction t WHERE NOT EXISTS (SELECT FROM hub.audit_event e WHERE e.xid = t.xid);
SELECT is(public.kinds(), 'retirement', 'a block passed off as retired is found');
ROLLBACK;

BEGIN;
INSERT INTO hub.audit_retired_event
SELECT e.xid, e.ordinal, r.block_no, sha256('\x00'::bytea || hub.audit_canonical(e)), e.tag, r.retirement
FROM hub.audit_event e, (SELECT DISTINCT block_no, retirement FROM hub.audit_retired_event) r WHERE e.details ->> 'n' = '8';
DELETE FROM hub.audit_event WHERE details ->> 'n' = '8';
SELECT is(public.kinds(), 'retirement', 'an event passed off as retired is found');
ROLLBACK;

BEGIN;
INSERT INTO hub.audit_retired_event
SELECT e.xid, e.ordinal, 1, sha256('\x00'::bytea || hub.audit_canonical(e)), e.tag, '1'
FROM hub.audit_event e WHERE e.details ->> 'n' = '8';
DELETE FROM hub.audit_event WHERE details ->> 'n' = '8';
SELECT is(public.kinds(), 'retirement', 'so is one of a retirement that never was');
ROLLBACK;

BEGIN;
INSERT INTO hub.audit_event SELECT * FROM kept_event;
INSERT INTO hub.audit_transaction SELECT * FROM kept_transaction;
SELECT is(public.kinds(), 'block', 'events that were retired and are back again are found');
ROLLBACK;

BEGIN;
UPDATE hub.audit_retired_event SET leaf = sha256('x') WHERE ordinal = 2;
SELECT is(public.kinds(), 'block retirement', 'a changed hash is found');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_retired_event WHERE ordinal = 2;
SELECT is(public.kinds(), 'event retirement', 'a deleted one too');
ROLLBACK;

BEGIN;
UPDATE hub.audit_retirement SET before = before + interval '1 hour';
SELECT is(public.kinds(), 'retirement', 'and another border');
ROLLBACK;
RESET session_replication_role;

SELECT throws_ok('DELETE FROM hub.audit_retired_block', 'CH402', NULL, 'what was retired is only ever added to');
SELECT is_empty('SELECT * FROM hub.verify_audit()', 'nothing is wrong after all');
SELECT * FROM finish();
