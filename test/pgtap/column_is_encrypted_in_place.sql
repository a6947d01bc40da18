-- A plain column becomes an encrypted one, with all that belongs to it, and back only with an approval.
\set SHOW_CONTEXT never
\set ON_ERROR_STOP 0
SET client_min_messages = warning;
SELECT plan(47);

CREATE ROLE shopkeeper LOGIN;
CREATE ROLE clerk LOGIN;
CREATE ROLE vera LOGIN;
SELECT hub.add_member('vera', 'hub_compliance', 'vera');
CREATE SCHEMA shop AUTHORIZATION shopkeeper;
SET ROLE shopkeeper;
CREATE TABLE shop.customer (
	id int PRIMARY KEY,
	email text NOT NULL DEFAULT 'none@example.com',
	nick varchar(40),
	born date,
	doc jsonb,
	touched int DEFAULT 0
);
CREATE UNIQUE INDEX customer_email ON shop.customer (email);
ALTER TABLE shop.customer ADD CONSTRAINT customer_nick UNIQUE (nick, email) DEFERRABLE;
CREATE INDEX customer_id_email ON shop.customer (id DESC NULLS LAST) INCLUDE (email) WHERE id > 0;
COMMENT ON COLUMN shop.customer.email IS 'where letters go';
GRANT SELECT (email) ON shop.customer TO clerk WITH GRANT OPTION;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.touched := NEW.touched + 1; RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touch();
INSERT INTO shop.customer (id, email, nick, born, doc)
SELECT i, 'person' || i || '@example.com', nullif('nick' || i, 'nick7'), date '1970-01-01' + i, jsonb_build_object('n', i) FROM generate_series(1, 500) i;
CREATE TABLE shop.before AS SELECT * FROM shop.customer;

-- refusals, all before anything is done
SELECT throws_ok($$CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'content')$$, 'CH307', NULL,
	'a class that is not searchable cannot keep the indexes');
SELECT throws_ok($$CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'nonsense')$$, 'CH105', NULL, 'an unknown class');
SELECT throws_ok($$CALL hub.encrypt_column('shop.customer', 'born', 'hub.encrypted_email', 'contact')$$, 'CH307', NULL, 'a date is no address');
SELECT throws_ok($$CALL hub.encrypt_column('shop.customer', 'nothing', 'hub.encrypted_email', 'contact')$$, '42703', NULL, 'no such column');
RESET ROLE;
SET ROLE clerk;
SELECT throws_ok($$CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'contact')$$, '42501', NULL, 'only the owner may');
RESET ROLE;
SET ROLE shopkeeper;
CREATE VIEW shop.addresses AS SELECT email FROM shop.customer;
CREATE INDEX customer_like ON shop.customer (email text_pattern_ops);
CREATE INDEX customer_lower ON shop.customer (lower(email));
ALTER TABLE shop.customer ADD CONSTRAINT customer_at CHECK (email LIKE '%@%'), ADD upper_email text GENERATED ALWAYS AS (upper(email)) STORED;
SELECT throws_like($$CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'contact')$$, '%used by what cannot be kept',
	'views, checks, generated columns, pattern and expression indexes stand in the way');
RESET ROLE;
SELECT set_eq($$SELECT regexp_replace(o, '^default value for ', '') FROM hub.column_rewrite_obstacles('shop.customer', 'email', 'encrypt', true) o$$,
	ARRAY['constraint customer_at on table shop.customer', 'column upper_email of table shop.customer',
		'index shop.customer_like: its operator class is for patterns', 'index shop.customer_lower: the column is in its expression or condition',
		'rule _RETURN on view shop.addresses'], 'each is named');
SET ROLE shopkeeper;
DROP VIEW shop.addresses;
DROP INDEX shop.customer_like, shop.customer_lower;
ALTER TABLE shop.customer DROP CONSTRAINT customer_at, DROP upper_email;

-- values that are not valid: named by key, never quoted
UPDATE shop.customer SET email = 'no address ' || id WHERE id IN (3, 8);
CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'contact');
SELECT is(:'SQLSTATE'::text, '22P02', 'a value that is no address stops it');
SELECT unalike(:'LAST_ERROR_MESSAGE'::text, '%no address%', 'and is not quoted');
SELECT col_type_is('shop', 'customer', 'email', 'text', 'nothing was changed');
UPDATE shop.customer SET email = 'person' || id || '@example.com' WHERE id = 3;
UPDATE shop.customer SET email = 'PERSON3@EXAMPLE.com' WHERE id = 8;
CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'contact');
SELECT is(:'SQLSTATE'::text, '23505', 'addresses that differ in case only are equal');
SELECT is(status, 'indexing', 'that was found at the last but one step') FROM hub.column_rewrite_progress WHERE finished_at IS NULL;
SELECT lives_ok($$INSERT INTO shop.customer (id, email, nick) VALUES (501, 'person501@example.com', 'late')$$, 'the table is in use all the time');
SELECT throws_ok($$INSERT INTO shop.customer (id, email) VALUES (502, 'no address')$$, '22P02', NULL, 'and takes no more values that will not do');
CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_text', 'contact');
SELECT is(:'SQLSTATE'::text, 'CH307', 'no other rewriting of it can begin');
UPDATE shop.customer SET email = 'person8@example.com' WHERE id = 8;
CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'contact', 100, false);
SELECT is((SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = 'shop.customer'::regclass AND attname ~ 'rewrite' AND NOT attisdropped),
	'{hub_rewrite_2}', 'with build_indexes false it waits for the indexes');
CALL hub.encrypt_column('shop.customer', 'email', 'hub.encrypted_email', 'contact');
SELECT is(:'SQLSTATE'::text, '00000', 'after the repair it goes on to its end');

SELECT col_type_is('shop', 'customer', 'email', 'hub.encrypted_email(''contact'')', 'the column is encrypted');
SELECT col_not_null('shop', 'customer', 'email', 'NOT NULL is kept');
SELECT is(col_description('shop.customer'::regclass, attnum), 'where letters go', 'the comment is kept')
FROM pg_attribute WHERE attrelid = 'shop.customer'::regclass AND attname = 'email';
SELECT is(attacl::text, '{clerk=r*/shopkeeper}', 'grants are kept')
FROM pg_attribute WHERE attrelid = 'shop.customer'::regclass AND attname = 'email';
SELECT results_eq($$SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'shop.customer'::regclass ORDER BY 1$$,
	ARRAY['CREATE INDEX customer_id_email ON shop.customer USING btree (id DESC NULLS LAST) INCLUDE (email) WHERE (id > 0)',
		'CREATE UNIQUE INDEX customer_email ON shop.customer USING btree (email)',
		'CREATE UNIQUE INDEX customer_nick ON shop.customer USING btree (nick, email)',
		'CREATE UNIQUE INDEX customer_pkey ON shop.customer USING btree (id)'], 'indexes are kept, names too');
SELECT is(pg_get_constraintdef(oid), 'UNIQUE (nick, email) DEFERRABLE', 'and constraints') FROM pg_constraint WHERE conname = 'customer_nick';
SELECT is_empty($$SELECT FROM pg_trigger WHERE tgrelid = 'shop.customer'::regclass AND tgname <> 'touch' AND NOT tgisinternal$$, 'nothing of the machinery is left');
SELECT is((SELECT count(*) FROM shop.customer c JOIN shop.before b ON c.id = b.id AND c.email = b.email), 500::bigint, 'each value is found by equality');
SELECT is((SELECT count(*) FROM shop.customer WHERE touched > 0 AND id NOT IN (3, 8)), 0::bigint, 'triggers of the owner saw no change');
INSERT INTO shop.customer (id, nick) VALUES (600, 'default');
SELECT is((SELECT id FROM shop.customer WHERE email = 'none@example.com'), 600, 'the default is kept');
SELECT throws_ok($$INSERT INTO shop.customer (id, email) VALUES (601, 'Person9@example.com')$$, '23505', NULL, 'UNIQUE holds');

CALL hub.encrypt_column('shop.customer', 'born', 'hub.encrypted_date', 'basic');
CALL hub.encrypt_column('shop.customer', 'doc', 'hub.encrypted_jsonb', 'basic', 7);
SELECT is((SELECT count(*) FROM shop.customer WHERE hub.sealed_class(born) = 'basic' AND hub.sealed_class(doc) = 'basic'), 500::bigint, 'dates and documents, too');

-- what was there before stays in the files
RESET ROLE;
SELECT is((SELECT count(*) FROM hub.posture() WHERE object = 'shop.customer' AND finding ~ 'files still hold what column born, doc, email was'), 1::bigint,
	'posture names the table while its files hold plaintext');
VACUUM FULL shop.customer;
SELECT is((SELECT count(*) FROM hub.posture() WHERE object = 'shop.customer' AND finding ~ 'files still hold'), 0::bigint, 'until they are rewritten');
SELECT is((SELECT count(*) FROM hub.posture() WHERE object = 'shop.customer' AND finding ~ 'not governed: email, born, doc'), 1::bigint,
	'and that nobody governs it');

-- nobody but the engine opens values with the parts of the machinery
SET ROLE shopkeeper;
SELECT throws_ok($$SELECT hub.same_when_opened('x'::text, doc) FROM shop.customer$$, 'CH205', NULL, 'values cannot be guessed');
CREATE TABLE shop.thief (id int, doc hub.encrypted_jsonb('basic'), opened jsonb);
CREATE TRIGGER zz_hub_seal_copy_1 BEFORE INSERT ON shop.thief FOR EACH ROW EXECUTE FUNCTION hub.copy_column('doc', 'opened');
SELECT throws_ok($$INSERT INTO shop.thief SELECT id, doc FROM shop.customer$$, 'CH307', NULL, 'nor opened by a trigger of one''s own');
SELECT throws_ok($$SELECT hub.column_rewrite_step('shop.customer', 'doc', 'begin', '{"action": "encrypt", "type": "jsonb"}')$$, 'CH307', NULL,
	'nor by a step that skips the check');
SELECT throws_ok($$SELECT hub.column_rewrite_step('shop.customer', 'doc', 'begin', '{"action": "other", "type": "jsonb"}')$$, '22023', NULL,
	'or is asked for under another name');
DROP TRIGGER zz_hub_seal_copy_1 ON shop.thief;
DELETE FROM shop.thief;
SELECT hub.column_rewrite_step('shop.thief', 'doc', 'begin', '{"action": "reseal"}') \g /dev/null
ALTER TABLE shop.thief ALTER hub_rewrite_2 TYPE jsonb USING NULL;
SELECT throws_ok($$INSERT INTO shop.thief SELECT id, doc FROM shop.customer$$, 'CH307', NULL, 'nor by a copy that was given another type');
ALTER TABLE shop.thief ALTER hub_rewrite_2 TYPE hub.encrypted_jsonb('public') USING NULL;
SELECT throws_ok($$INSERT INTO shop.thief SELECT id, doc FROM shop.customer$$, 'CH307', NULL, 'or another class');

-- back, with an approval only
CALL hub.decrypt_column('shop.customer', 'born');
SELECT is(:'SQLSTATE'::text, 'CH303', 'decryption needs an approval');
RESET ROLE;
SELECT hub.request_approval('decrypt_column', '{"relation": "shop.customer", "column": "born"}', 'the column moves') AS request \gset
SET SESSION AUTHORIZATION vera;
SELECT hub.approve(:request);
RESET SESSION AUTHORIZATION;
SET ROLE shopkeeper;
CALL hub.decrypt_column('shop.customer', 'born', batch_size => 100);
SELECT is((SELECT count(*) FROM shop.customer c JOIN shop.before b USING (id, born)), 500::bigint, 'with one, all values are back');
CALL hub.decrypt_column('shop.customer', 'doc');
SELECT is(:'SQLSTATE'::text, 'CH303', 'and it was for that column only');
RESET ROLE;
SELECT is((SELECT count(*) FROM hub.audit_event WHERE details @> '{"action": "decrypt_column", "step": "done", "column": "born", "rows": 502}'), 1::bigint, 'audited');

-- giving up
SET ROLE shopkeeper;
INSERT INTO shop.customer (id, email, nick) VALUES (700, 'a@example.com', 'b@example.com'), (701, 'b@example.com', 'B@example.com');
UPDATE shop.customer SET nick = 'n' || id || '@example.com' WHERE id < 700;
CREATE UNIQUE INDEX customer_nick_alone ON shop.customer (nick);
ALTER TABLE shop.customer DROP CONSTRAINT customer_nick;
CALL hub.encrypt_column('shop.customer', 'nick', 'hub.encrypted_email', 'contact');
SELECT is(:'SQLSTATE'::text, '23505', 'a rewriting that cannot end');
SELECT is(hub.cancel_column_rewrite('shop.customer', 'nick'), 'cancelled', 'is given up');
SELECT columns_are('shop', 'customer', ARRAY['id', 'nick', 'touched', 'email', 'doc', 'born'], 'and leaves the table as it was');

-- a governed, partitioned relation
RESET ROLE;
CREATE TABLE person (id uuid NOT NULL DEFAULT gen_random_uuid(), email text, d date NOT NULL, PRIMARY KEY (id, d), UNIQUE (email, d)) PARTITION BY RANGE (d);
CREATE TABLE person_2020 PARTITION OF person FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE person_2021 PARTITION OF person FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO person (email, d) SELECT 'p' || i || '@example.com', date '2020-01-01' + i FROM generate_series(1, 700) i;
SELECT hub.govern('person', 'id');
SELECT hub.classify('person', 'email', 'contact');
CREATE TABLE events AS SELECT count(*) FROM hub.audit_event WHERE kind = 'row';
CALL hub.encrypt_column('person', 'email', 'hub.encrypted_email', 'contact', 100);
SELECT is((SELECT count(*) FROM person WHERE hub.sealed_subject(email) = id AND hub.sealed_class(email) = 'contact'), 700::bigint,
	'in a governed relation each value is sealed for its data subject, in all partitions');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'row'), (SELECT count FROM events), 'and the audit records no change of a row, since there is none');
SELECT * FROM finish();
