-- hub.reseal() and hub.rotate_tag_keys(): new ciphertext, new tags, the same values, UNIQUE all the time.
\set SHOW_CONTEXT never
\set ON_ERROR_STOP 0
SET client_min_messages = warning;
SELECT plan(19);

CREATE ROLE keeper LOGIN;
GRANT CREATE ON SCHEMA public TO keeper;
SET ROLE keeper;
CREATE TABLE person (
	id int PRIMARY KEY,
	email hub.encrypted_email('contact') UNIQUE NOT NULL DEFAULT 'none@example.com'::text,
	note hub.encrypted_text('content')
);
CREATE INDEX person_tag ON person (hub.equality_tag(email)) WHERE email IS NOT NULL;
INSERT INTO person SELECT i, 'p' || i || '@example.com', 'note ' || i FROM generate_series(1, 300) i;
CREATE TABLE before AS SELECT id, email::text, note::text FROM person;
CALL hub.reseal('person', 70);
SELECT is((SELECT count(*) FROM person p JOIN before b USING (id) WHERE p.email::text = b.email OR p.note::text = b.note), 0::bigint,
	'every value is sealed anew');
SELECT is((SELECT count(*) FROM generate_series(1, 300) i JOIN person p ON p.id = i AND p.email = 'p' || i || '@example.com'), 300::bigint, 'and found as before');
SELECT bag_eq($$SELECT indexname::text FROM pg_indexes WHERE tablename = 'person'$$, ARRAY['person_pkey', 'person_email_key', 'person_tag'], 'indexes are there');
SELECT throws_ok($$CALL hub.rotate_tag_keys()$$, '42501', NULL, 'whoever owns a table cannot rotate the tag keys of all');
RESET ROLE;
CREATE ROLE stranger LOGIN;
SET ROLE stranger;
SELECT throws_ok($$CALL hub.reseal('person')$$, '42501', NULL, 'nor can a stranger reseal it') ;
RESET ROLE;

CREATE TABLE customer (id uuid PRIMARY KEY, email hub.encrypted_email('contact') UNIQUE, note hub.encrypted_text('content'));
SELECT hub.govern('customer', 'id');
INSERT INTO customer SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'c' || i || '@example.com', 'n' FROM generate_series(1, 100) i;
CREATE TABLE events AS SELECT count(*) FROM hub.audit_event WHERE kind = 'row';
-- as far as the copies of one table: writes go on under the old keys
SELECT is(hub.open_tag_generation(), 2, 'a generation of tag keys is open');
CALL hub.reseal('person');
SELECT is((SELECT status FROM hub.column_rewrite_progress WHERE column_name = 'email' AND finished_at IS NULL), 'swapping', 'copies wait for those of the other tables');
SELECT throws_ok($$INSERT INTO person (id, email) VALUES (301, 'P7@example.com')$$, '23505', NULL, 'UNIQUE holds');
SELECT lives_ok($$INSERT INTO person (id, email) VALUES (301, 'p301@example.com')$$, 'rows are written');
SELECT lives_ok($$UPDATE person SET email = 'q2@example.com' WHERE email = 'p2@example.com'$$, 'and changed');
SELECT throws_ok($$SELECT hub.switch_tag_generation()$$, 'CH106', NULL, 'tag keys do not change while a column is left');
CALL hub.rotate_tag_keys(50);
SELECT is((SELECT array_agg(DISTINCT hub.tag_generation_of(email)) FROM person), '{2}', 'then all columns go over at once');
SELECT is((SELECT array_agg(DISTINCT hub.tag_generation_of(email)) FROM customer), '{2}', 'governed ones, too');
SELECT is((SELECT count(*) FROM customer WHERE hub.sealed_subject(email) = id AND hub.sealed_class(email) = 'contact'), 100::bigint, 'and stay sealed for their data subjects');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'row'), (SELECT count FROM events), 'the audit sees no change of a row');
SELECT is((SELECT array_agg(id ORDER BY id) FROM person WHERE email IN ('q2@example.com', 'p301@example.com', 'p7@example.com', 'p2@example.com')), '{2,7,301}',
	'values are found, those written meanwhile too');
SELECT throws_ok($$INSERT INTO person (id, email) VALUES (302, 'P7@example.com')$$, '23505', NULL, 'UNIQUE holds under the new keys');
INSERT INTO person (id) VALUES (303);
SELECT is((SELECT id FROM person WHERE email = 'none@example.com'), 303, 'the default is kept');
SELECT is_empty($$SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attname ~ 'hub_rewrite' AND c.relkind IN ('r', 'p') AND NOT a.attisdropped$$, 'nothing of it is left');
SELECT * FROM finish();
