-- An export hands its rows out as they are read, shows how far it is, and leaves its record whatever ends it.
SELECT plan(25);
CREATE ROLE anna LOGIN;
CREATE ROLE carla LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}') AS anna \gset
SELECT hub.add_member('carla', 'hub_compliance', 'carla', '{DE}') \g /dev/null
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.person (person_id bigint PRIMARY KEY, region hub.region, name hub.encrypted_text('basic'));
INSERT INTO shop.person SELECT n, 'DE', 'person ' || n FROM generate_series(1, 2500) n;
SELECT hub.govern('shop.person', 'person_id', 'region') \g /dev/null
GRANT SELECT, INSERT ON shop.person TO hub_agent;
SELECT hub.set_export_ceiling('hub_agent', 100) \g /dev/null
CREATE FUNCTION approved(most int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	request bigint;
BEGIN
	SET LOCAL SESSION AUTHORIZATION anna;
	request := hub.request_approval('export', format('{"relation": "shop.person", "columns": ["person_id", "name"], "max_rows": %s}', most)::jsonb, 'a letter');
	SET LOCAL SESSION AUTHORIZATION carla;
	PERFORM hub.approve(request);
	RETURN request;
END
$$;
\setenv DATABASE :DBNAME
CREATE FUNCTION steps(of bigint) RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg((details->>'step') || ' ' || (details->>'rows') ORDER BY xid, ordinal) FROM hub.audit_event
	WHERE kind = 'export' AND details->>'request' = of::text
$$;

-- all of it
SELECT approved(3000) AS request \gset
SET SESSION AUTHORIZATION anna;
SELECT is((SELECT count(*) FROM (SELECT hub.export(:request)) e), 2500::bigint, 'all rows come');
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH305', NULL, 'once');
RESET SESSION AUTHORIZATION;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(steps(:request), '{"started 0","progress 1000","progress 2000","finished 2500"}', 'begin, progress and end are on record');

-- more than approved: nothing leaves, and the approval is still good
SELECT approved(2000) AS request \gset
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH305', 'export has more than the 2000 rows that were approved', 'more rows than approved are refused before the first');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT status FROM hub.approval_request WHERE id = :request), 'approved', 'and the approval is still good');
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(steps(:request), NULL, 'nothing was handed out');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal' AND subject = (SELECT s FROM hub.audit_event e, unnest(ARRAY[e.subject]) s WHERE e.kind = 'reveal' LIMIT 1)), 1::bigint, 'nor revealed to count it');

-- bit by bit, with the progress to see
SELECT approved(3000) AS request \gset
SET SESSION AUTHORIZATION anna;
BEGIN;
DECLARE letters CURSOR FOR SELECT hub.export(:request) AS person;
FETCH 10 FROM letters \g /dev/null
SELECT is((SELECT rows_found FROM hub.export_progress WHERE request = :request), 2500::bigint, 'who exports sees what there is');
MOVE 1500 FROM letters;
SELECT pg_stat_clear_snapshot() \g /dev/null
SELECT is((SELECT rows_sent FROM hub.export_progress WHERE request = :request), 1000::bigint, 'and what was read');
FETCH 1 FROM letters \g /dev/null
CLOSE letters;
SELECT pg_stat_clear_snapshot() \g /dev/null
SELECT is((SELECT count(*) FROM hub.export_progress), 0::bigint, 'until it is closed');
ROLLBACK;
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH305', NULL, 'a rollback does not give it back');
RESET SESSION AUTHORIZATION;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(steps(:request), '{"started 0","progress 1000","finished 1511"}', 'and is no way to hide how many left');
SELECT is((SELECT count(*) FROM hub.exports e WHERE e.details->>'request' = :'request'), 1::bigint, 'the question of exports has one answer for each');

-- an error, and a cancel
SELECT approved(3000) AS request \gset
\setenv REQUEST :request
\set said `psql -XAtq -d "$DATABASE" -U anna -v VERBOSITY=sqlstate -c "SET statement_timeout = '1s'" -c "SELECT hub.export($REQUEST), CASE (row_number() OVER ()) WHEN 1 THEN 1 ELSE 1 END, pg_sleep(0.01)" 2>&1 | tail -1`
SELECT is(:'said'::text, 'ERROR:  57014', 'an export is cancelled');
SELECT hub.wait_for_audit() \g /dev/null
SELECT is((steps(:request))[1], 'started 0', 'it is on record');
SELECT is((SELECT status FROM hub.approval_request WHERE id = :request), 'approved', 'although its transaction never was');
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH305', NULL, 'and it is used up');
RESET SESSION AUTHORIZATION;
SELECT ok((SELECT count(*) FROM hub.exports e WHERE e.details->>'request' = :'request') = 1, 'the question of exports names it');

-- the first rows only
SELECT approved(3000) AS request \gset
SET SESSION AUTHORIZATION anna;
SELECT hub.export(:request) LIMIT 5 \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(steps(:request), '{"started 0","finished 5"}', 'an export that is not read to its end says how many rows left');

-- as a file of the client's
SELECT approved(3000) AS request \gset
\setenv REQUEST :request
\set lines `psql -XAtq -d "$DATABASE" -U anna -c "COPY (SELECT hub.export($REQUEST)) TO STDOUT" 2>&1 | grep -c '"name": "person'`
SELECT is(:'lines'::text, '2500', 'COPY of an export works');
SELECT is((SELECT status FROM hub.approval_request WHERE id = :request), 'used', 'and uses it up');

-- an approval that came too late
SELECT approved(3000) AS request \gset
UPDATE hub.approval_request SET expires_at = now() WHERE id = :request;
SET SESSION AUTHORIZATION anna;
SELECT throws_ok(format('SELECT hub.export(%s)', :request), 'CH303', NULL, 'an approval that has expired exports nothing');

-- one that is taken back
RESET SESSION AUTHORIZATION;
SELECT approved(3000) AS rejected \gset
SELECT approved(3000) AS withdrawn \gset
SET SESSION AUTHORIZATION carla;
SELECT hub.reject(:rejected) \g /dev/null
SET SESSION AUTHORIZATION anna;
SELECT hub.withdraw_approval(:withdrawn) \g /dev/null
SELECT throws_ok(format('SELECT hub.export(%s)', r), 'CH303', NULL, 'an approval that was taken back exports nothing') FROM unnest(ARRAY[:rejected, :withdrawn]) r;
RESET SESSION AUTHORIZATION;
SELECT is(array[to_regclass('hub.export_ticket_' || :rejected), to_regclass('hub.export_ticket_' || :withdrawn)], '{NULL,NULL}'::regclass[], 'and leaves no ticket');
SELECT * FROM finish();
