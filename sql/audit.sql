-- The audit trail: what a change leaves behind, and what keeps it there.
\set VERBOSITY terse
SET client_min_messages = warning;

CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region,
	stage text,
	score int,
	name text,
	born date,
	mail hub.encrypted_email('contact'),
	memo hub.encrypted_text('content'),
	notes jsonb
);
SELECT hub.govern('person', 'id', 'region');
SELECT hub.classify('person', c, 'public') FROM unnest('{stage,score}'::name[]) c;
SELECT hub.classify('person', 'name', 'basic'), hub.classify('person', 'born', 'basic'), hub.classify('person', 'notes', 'content');

CREATE VIEW trail AS
SELECT e.xid, e.ordinal, e.operation, right(e.subject::text, 2) AS subject,
	right(e.row_key ->> 'id', 2) AS key, e.changed, e.sealed IS NOT NULL AS sealed
FROM hub.audit_event e WHERE e.kind = 'row' AND e.operation <> 'BASELINE';
CREATE TABLE seen (xid xid8);
CREATE FUNCTION fresh() RETURNS TABLE (t bigint, n int, operation text, subject text, key text, changed jsonb, sealed bool)
LANGUAGE sql AS $$
	WITH rows AS (SELECT * FROM trail WHERE xid NOT IN (SELECT s.xid FROM seen s)),
		noted AS (INSERT INTO seen SELECT DISTINCT xid FROM rows)
	SELECT dense_rank() OVER (ORDER BY xid), ordinal, operation, subject, key, changed, sealed FROM rows ORDER BY xid, ordinal
$$;

-- insert, update, delete; an update that changes nothing leaves nothing
INSERT INTO person VALUES ('00000000-0000-0000-0000-0000000000a1', 'DE', 'lead', 1, 'Ann', '1999-01-02', 'ann@example.com', 'likes tea', '{"a": 1}');
UPDATE person SET score = 2;
UPDATE person SET score = score, mail = mail, memo = memo;
UPDATE person SET stage = NULL, name = 'Bea', mail = 'bea@example.com';
DELETE FROM person;
SELECT * FROM fresh();

-- a key that changes is a person who changes: each is left what is theirs
INSERT INTO person (id, region, score, name) VALUES ('00000000-0000-0000-0000-0000000000b1', 'DE', 1, 'Carl');
UPDATE person SET id = '00000000-0000-0000-0000-0000000000b2' WHERE id = '00000000-0000-0000-0000-0000000000b1';
SELECT * FROM fresh();

-- ON CONFLICT, MERGE, COPY
INSERT INTO person (id, region, score) VALUES ('00000000-0000-0000-0000-0000000000b2', 'DE', 5)
	ON CONFLICT (id) DO UPDATE SET score = excluded.score;
MERGE INTO person p USING (VALUES ('00000000-0000-0000-0000-0000000000b2'::uuid, 6), ('00000000-0000-0000-0000-0000000000b3', 7)) v (id, score)
	ON p.id = v.id
	WHEN MATCHED THEN UPDATE SET score = v.score
	WHEN NOT MATCHED THEN INSERT (id, region, score) VALUES (v.id, 'FR', v.score);
COPY person (id, region, score) FROM stdin;
00000000-0000-0000-0000-0000000000b4	IT	8
00000000-0000-0000-0000-0000000000b5	IT	9
\.
SELECT * FROM fresh();

-- what is rolled back has never been, and numbers have no gaps
BEGIN;
UPDATE person SET score = 10 WHERE region = 'IT';
SAVEPOINT one;
UPDATE person SET score = 11 WHERE region = 'FR';
SAVEPOINT two;
UPDATE person SET score = 12 WHERE region = 'FR';
ROLLBACK TO two;
UPDATE person SET score = 13 WHERE region = 'FR';
RELEASE one;
SAVEPOINT three;
DELETE FROM person;
ROLLBACK TO three;
UPDATE person SET score = 14 WHERE region = 'DE';
COMMIT;
SELECT * FROM fresh();
BEGIN;
DELETE FROM person;
ROLLBACK;
DO $$
BEGIN
	FOR i IN 20..23 LOOP
		BEGIN
			UPDATE person SET score = i WHERE region = 'DE';
			IF i % 2 = 1 THEN
				RAISE EXCEPTION 'odd';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END
$$;
SELECT * FROM fresh();

-- an exception block in a function that a bulk statement calls per row
CREATE FUNCTION fussy(i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE person SET stage = 'fussy ' || i WHERE region = 'FR';
	IF i % 2 = 0 THEN
		RAISE EXCEPTION 'even';
	END IF;
	RETURN i;
EXCEPTION WHEN raise_exception THEN
	RETURN -i;
END
$$;
INSERT INTO person (id, region, score)
	SELECT ('00000000-0000-0000-0000-0000000000c' || i)::uuid, 'ES', fussy(i) FROM generate_series(1, 4) i;
SELECT * FROM fresh();

-- a transaction sees its own events
BEGIN;
DELETE FROM person WHERE region = 'ES';
SELECT count(*) FROM trail WHERE xid = pg_current_xact_id();
SELECT * FROM fresh();
COMMIT;

-- one row sums each transaction up, and its count is what is there
SELECT count(*) AS transactions, bool_and(t.event_count = e.n AND e.last = e.n) AS complete,
	bool_and(t.login = current_user AND octet_length(t.digest) = 16) AS signed
FROM hub.audit_transaction t
JOIN (SELECT xid, count(*) AS n, max(ordinal) AS last FROM hub.audit_event GROUP BY xid) e USING (xid);
SELECT count(*) AS without_transaction FROM hub.audit_event e WHERE NOT EXISTS (SELECT FROM hub.audit_transaction t WHERE t.xid = e.xid);

-- prepared transactions
BEGIN;
UPDATE person SET score = 30 WHERE region = 'DE';
PREPARE TRANSACTION 'audited';
SELECT count(*) FROM fresh();
COMMIT PREPARED 'audited';
SELECT * FROM fresh();

-- partitions, and a row that moves from one to another
CREATE TABLE visit (person uuid, at date, page text, PRIMARY KEY (person, at)) PARTITION BY RANGE (at);
CREATE TABLE visit_1 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT hub.govern('visit', 'person');
CREATE TABLE visit_2 PARTITION OF visit FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO visit VALUES ('00000000-0000-0000-0000-0000000000d1', '2026-01-05', '/tea');
UPDATE visit SET at = '2026-02-05';
DELETE FROM visit_2;
SELECT e.relation, e.operation, right(e.row_key ->> 'person', 2) AS key, e.row_key ? 'at' AS date_is_readable, e.changed, e.sealed IS NOT NULL AS sealed
FROM hub.audit_event e WHERE e.relation = 'public.visit' ORDER BY e.xid, e.ordinal;

-- replication does not pass it by
SET session_replication_role = replica;
UPDATE person SET score = 31 WHERE region = 'DE';
RESET session_replication_role;
SELECT * FROM fresh();

-- values that are not public are not readable, and leave no equality tag
SELECT count(*) AS readable FROM hub.audit_event e
WHERE e::text ~ 'Ann|Bea|Carl|likes tea|example\.com|1999-01-02' OR encode(hub.audit_canonical(e), 'escape') ~ 'Carl|likes tea|example';
CREATE ROLE sam LOGIN;
CREATE ROLE cora LOGIN;
CREATE ROLE anna LOGIN;
CREATE ROLE eve LOGIN;
SELECT hub.add_member('sam', 'hub_sales', 'sam'), hub.add_member('cora', 'hub_compliance', 'cora');
SELECT v.column_name, v.data_class, v.old_value ~ '^hub1:' AS old_token, v.new_value ~ '^hub1:' AS new_token
FROM hub.audit_event e, hub.audit_values(e.sealed, NULL) v
WHERE e.relation = 'public.person' AND e.operation = 'UPDATE' AND right(e.subject::text, 2) = 'a1';

-- compliance staff read it by their clearance, others not at all
SET SESSION AUTHORIZATION cora;
SELECT operation, old_value, new_value FROM hub.field_history('person', '{"id": "00000000-0000-0000-0000-0000000000a1"}', 'mail');
SELECT operation, old_value, new_value FROM hub.field_history('person', '{"id": "00000000-0000-0000-0000-0000000000a1"}', 'born');
SELECT operation, old_value, new_value FROM hub.field_history('person', '{"id": "00000000-0000-0000-0000-0000000000a1"}', 'score');
SELECT count(*) > 0 AS some FROM hub.audit_trail();
SELECT relation, operation, row_key FROM hub.privilege_changes WHERE relation = 'hub.member';
SELECT * FROM hub.audit_event;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION sam;
SELECT * FROM hub.who_viewed('00000000-0000-0000-0000-0000000000a1');
RESET SESSION AUTHORIZATION;
GRANT hub_compliance TO eve;
SET SESSION AUTHORIZATION eve;
SELECT * FROM hub.who_viewed('00000000-0000-0000-0000-0000000000a1');
RESET SESSION AUTHORIZATION;

-- an erased person leaves facts, not values
SELECT hub.destroy_subject_key('00000000-0000-0000-0000-0000000000a1');
SET SESSION AUTHORIZATION cora;
SELECT operation, old_value, new_value FROM hub.field_history('person', '{"id": "00000000-0000-0000-0000-0000000000a1"}', 'mail');
SELECT operation, old_value, new_value FROM hub.field_history('person', '{"id": "00000000-0000-0000-0000-0000000000a1"}', 'score');
RESET SESSION AUTHORIZATION;

-- who was shown what
INSERT INTO person (id, region, mail) VALUES ('00000000-0000-0000-0000-0000000000f1', 'DE', 'fay@example.com');
GRANT SELECT ON person TO hub_sales;
SELECT hub.add_member('sara', 'hub_sales', 'anna', '{DE}');
SET SESSION AUTHORIZATION anna;
SELECT mail FROM person WHERE id = '00000000-0000-0000-0000-0000000000f1';
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION cora;
SELECT member_id, external_id, role, login, data_class, reveal FROM hub.who_viewed('00000000-0000-0000-0000-0000000000f1');
SELECT kind, right(subject::text, 2) AS subject, details ->> 'class' AS class FROM hub.activity_of(3);
SELECT right(subject::text, 2) AS subject, data_class, reveals FROM hub.breach_scope('anna');
SELECT query, count(*) FROM hub.audit_access GROUP BY query ORDER BY query;
RESET SESSION AUTHORIZATION;

-- who changes the rules is recorded, but no password
CREATE ROLE late LOGIN PASSWORD 'secret' BYPASSRLS;
ALTER ROLE late NOBYPASSRLS;
GRANT SELECT ON person TO late;
REVOKE SELECT ON person FROM late;
CREATE INDEX ON person (score);
ALTER TABLE person ADD COLUMN extra text DEFAULT 'very private';
ALTER TABLE person RENAME COLUMN extra TO extras;
UPDATE hub.member SET lines = '{7}' WHERE external_id = 'sam';
SELECT kind, relation, operation, changed, details FROM hub.audit_event
WHERE kind IN ('config', 'ddl') AND xid > (SELECT max(xid) FROM hub.audit_event WHERE row_key = '{"member_id": 3}')
ORDER BY xid, ordinal;

-- partitions are made ahead, and the month of installation stays where it is
SELECT hub.ensure_audit_partitions() BETWEEN 0 AND 3 AS made, hub.ensure_audit_partitions() AS again;
INSERT INTO person (id) VALUES ('00000000-0000-0000-0000-0000000000e1');
SELECT * FROM fresh();
CALL hub.seal_audit();
SELECT * FROM hub.verify_audit();
