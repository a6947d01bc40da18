-- The keyring as a superuser sees it: epochs, subject keys, sealed tokens.
\set VERBOSITY terse

SELECT epoch, retired_at, loaded, matches, living_subjects FROM hub.keyring_status;

-- a subject has no key until something is sealed for it
CREATE TABLE person (id uuid PRIMARY KEY, email hub.encrypted_email('contact'), name hub.encrypted_text('basic'));
SELECT hub.govern('person', 'id');
SELECT hub.subject_state('11111111-1111-4111-8111-111111111111');
INSERT INTO person VALUES ('11111111-1111-4111-8111-111111111111', 'ann@example.com', 'Ann Example');
SELECT hub.subject_state('11111111-1111-4111-8111-111111111111');
SELECT living_subjects FROM hub.keyring_status;

-- a key that was made in a rolled-back transaction is gone with it
BEGIN;
INSERT INTO person VALUES ('22222222-2222-4222-8222-222222222222', 'ben@example.com', 'Ben Example');
SELECT hub.subject_state('22222222-2222-4222-8222-222222222222');
ROLLBACK;
SELECT hub.subject_state('22222222-2222-4222-8222-222222222222');
BEGIN;
SAVEPOINT s;
INSERT INTO person VALUES ('22222222-2222-4222-8222-222222222222', 'ben@example.com', 'Ben Example');
ROLLBACK TO s;
INSERT INTO person VALUES ('22222222-2222-4222-8222-222222222222', 'ben@example.com', 'Ben Example');
COMMIT;
SELECT hub.subject_state('22222222-2222-4222-8222-222222222222');

-- destroyed: nothing more can be stored, and it cannot come back
SELECT hub.destroy_subject_key('22222222-2222-4222-8222-222222222222');
SELECT hub.destroy_subject_key('22222222-2222-4222-8222-222222222222');
SELECT hub.subject_state('22222222-2222-4222-8222-222222222222');
UPDATE person SET name = 'Ben Again' WHERE id = '22222222-2222-4222-8222-222222222222';
SELECT hub.destroy_subject_key('33333333-3333-4333-8333-333333333333');
INSERT INTO person VALUES ('33333333-3333-4333-8333-333333333333', 'cyd@example.com', 'Cyd Example');

-- destroying is undone by a rollback, and cannot be prepared
BEGIN;
SELECT hub.destroy_subject_key('11111111-1111-4111-8111-111111111111');
SELECT hub.subject_state('11111111-1111-4111-8111-111111111111');
ROLLBACK;
SELECT hub.subject_state('11111111-1111-4111-8111-111111111111');
BEGIN;
SELECT hub.destroy_subject_key('11111111-1111-4111-8111-111111111111');
PREPARE TRANSACTION 'destroyed';

-- a bigint subject has a subject id of its own for every value
CREATE TABLE visitor (id bigint PRIMARY KEY, name hub.encrypted_text('basic'));
SELECT hub.govern('visitor', 'id');
INSERT INTO visitor VALUES (1, 'One'), (-1, 'Minus one'), (4611686018427387905, 'Far'), (9223372036854775807, 'Last');
SELECT id, hub.sealed_subject(name) FROM visitor ORDER BY id;

-- sealed tokens: exact in both directions, refused when altered
SELECT email::text::hub.encrypted_email::text = email::text AS exact FROM person ORDER BY id;
\set VERBOSITY sqlstate
SELECT 'hub1:'::hub.encrypted_email;
SELECT 'hub1:AAAA'::hub.encrypted_email;
SELECT 'hub1:!!!!'::hub.encrypted_email;
SELECT overlay(email::text PLACING CASE substr(email::text, 61, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 61)::hub.encrypted_email FROM person;
SELECT email::text::hub.encrypted_text FROM person;

-- another root key for a known epoch is refused
INSERT INTO hub.key_epoch (epoch, fingerprint) VALUES (1, decode(repeat('00', 16), 'hex'));
-- the same one is no news
INSERT INTO hub.key_epoch (epoch, fingerprint) SELECT epoch, fingerprint FROM hub.key_epoch;

-- nobody else may look or touch
CREATE ROLE nobody_special;
SET ROLE nobody_special;
SELECT * FROM hub.subject_key;
SELECT * FROM hub.keyring_status;
SELECT hub.destroy_subject_key('11111111-1111-4111-8111-111111111111');
SELECT hub.open_keyring();
