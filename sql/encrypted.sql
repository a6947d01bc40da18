-- The encrypted types without identity: sealed, comparable, and silent.
CREATE TABLE t (
	id int PRIMARY KEY,
	email hub.encrypted_email('contact'),
	phone hub.encrypted_phone('contact'),
	name hub.encrypted_text('basic'),
	born hub.encrypted_date('basic'),
	note hub.encrypted_jsonb('content')
);
\d t
INSERT INTO t VALUES
	(1, 'Ann@Example.COM', '+49 (151) 2345-6789', 'Ann Example', '2001-02-03', '{"b": 1, "a": [true]}'),
	(2, 'ben@example.com', '+1 212 555 0100', '', date '1999-12-31', jsonb '{"x": null}'),
	(3, NULL, NULL, NULL, NULL, NULL);
INSERT INTO t SELECT 4, 'cyd@example.com'::text, '+44 20 7946 0000'::varchar, 'Cyd'::text;

-- nothing readable comes out
SELECT id, left(email::text, 5) AS email, left(phone::text, 5) AS phone, left(name::text, 5) AS name,
	   left(born::text, 5) AS born, left(note::text, 5) AS note FROM t ORDER BY id;
SELECT bool_and(left(convert_from(hub.encrypted_email_send(email), 'UTF8'), 5) = 'hub1:') FROM t WHERE email IS NOT NULL;

-- equality: literals, text, varchar, both sides, lists, joins
SELECT id FROM t WHERE email = 'ann@example.com';
SELECT id FROM t WHERE email = 'ANN@EXAMPLE.COM'::text;
SELECT id FROM t WHERE 'ann@example.com'::varchar = email;
SELECT id FROM t WHERE phone = '+4915123456789';
SELECT id FROM t WHERE email IN ('ben@example.com', 'cyd@example.com') ORDER BY id;
SELECT id FROM t WHERE email = ANY (ARRAY['ben@example.com', 'nobody', 'cyd@example.com']::text[]) ORDER BY id;
SELECT id FROM t WHERE email <> 'ann@example.com' ORDER BY id;
SELECT count(*) FROM t WHERE email = 'not an address'::text;
SELECT count(*) FROM t a JOIN t b ON a.email = b.email;
SELECT count(DISTINCT email) FROM t;
PREPARE by_email(varchar) AS SELECT id FROM t WHERE email = $1;
EXECUTE by_email('Ben@example.com');

-- the index serves all of them; UNIQUE holds
CREATE UNIQUE INDEX t_email ON t (email);
CREATE INDEX t_phone ON t USING hash (phone);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM t WHERE email = 'ann@example.com'::text;
EXPLAIN (COSTS OFF) EXECUTE by_email('x');
SELECT id FROM t WHERE email = 'ann@example.com'::text;
SELECT id FROM t WHERE phone = '+44 20 7946 0000'::hub.encrypted_phone;
RESET enable_seqscan;
\set VERBOSITY sqlstate
INSERT INTO t (id, email) VALUES (9, 'ANN@example.com');
\set VERBOSITY default
INSERT INTO t (id, email) VALUES (5, 'ANN@example.com') ON CONFLICT (email) DO NOTHING;
INSERT INTO t (id, email) VALUES (1, 'new@example.com') ON CONFLICT (id) DO UPDATE SET email = excluded.email;
SELECT id FROM t WHERE email = 'new@example.com';
MERGE INTO t USING (VALUES (1, 'ann@example.com')) AS v (id, email) ON t.id = v.id
	WHEN MATCHED THEN UPDATE SET email = v.email;
SELECT id FROM t WHERE email = 'ann@example.com';

-- bad input, without quoting it
\set VERBOSITY terse
SELECT hub.encrypted_email(1);
PREPARE bad_email(text) AS INSERT INTO t (id, email) VALUES (10, $1);
EXECUTE bad_email('not an address');
PREPARE bad_phone(text) AS INSERT INTO t (id, phone) VALUES (10, $1);
EXECUTE bad_phone('12345');
PREPARE bad_date(text) AS INSERT INTO t (id, born) VALUES (10, $1);
EXECUTE bad_date('2001-02-30');
EXECUTE bad_date('3.2.2001');
EXECUTE bad_date('infinity');
PREPARE bad_jsonb(text) AS INSERT INTO t (id, note) VALUES (10, $1);
EXECUTE bad_jsonb('{"secret": ');
EXECUTE bad_jsonb('{"secret": "\u0000"}');
PREPARE masked(text) AS UPDATE t SET email = $1 WHERE id = 1;
EXECUTE masked('a•••@e•••.com');
SELECT id FROM t WHERE name = 'Ann Example';
CREATE TABLE bad (x hub.encrypted_text('no_such_class'));
CREATE TABLE bad (x hub.encrypted_text('basic', 'content', 'more'));
CREATE TABLE bad (x hub.encrypted_text('basic', 5));
SELECT * FROM t WHERE email LIKE 'ann%';

-- a class is not changed by a cast or a copy
SELECT email::hub.encrypted_email('public') FROM t WHERE id = 1;
CREATE TABLE elsewhere (email hub.encrypted_email('basic'));
INSERT INTO elsewhere SELECT email FROM t WHERE id = 1;
SELECT name::text::hub.encrypted_text('content') FROM t WHERE id = 1;

-- a class of one's own; searchable is what makes values comparable
SELECT hub.add_data_class('loyalty', true, 'Membership numbers');
SELECT hub.add_data_class('loyalty');
SELECT hub.add_data_class('Not A Name');
SELECT name, searchable, builtin FROM hub.data_class WHERE NOT builtin;
CREATE TABLE member_card (number hub.encrypted_text('loyalty'));
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'member_card'::regclass AND attnum = 1;
CREATE TABLE restored (number hub.encrypted_text('not_yet_there', 250));
CREATE TABLE bad (number hub.encrypted_text('loyalty', 101));
INSERT INTO member_card VALUES ('A-1');
SELECT count(*) FROM member_card WHERE number = 'A-1';

-- writing back what was read changes nothing; copies keep equal tags
CREATE TABLE copied AS SELECT * FROM t;
UPDATE t SET email = email, name = name, note = note;
SELECT bool_and(t.email::text = c.email::text AND t.name::text = c.name::text) FROM t JOIN copied c USING (id);
SELECT count(*) FROM t JOIN copied USING (email);

-- statistics hold no value
ANALYZE t;
SELECT attname, n_distinct, null_frac, most_common_vals IS NULL AS no_mcv, histogram_bounds IS NULL AS no_histogram
FROM pg_stats WHERE tablename = 't' AND attname <> 'id' ORDER BY attname;

-- parts need an identity
SELECT hub.email_domain(email), hub.phone_region(phone), hub.year_of(born) FROM t WHERE id = 1;
SELECT hub.reveal(email) FROM t WHERE id = 1;
SELECT left(hub.disclose(email), 5) FROM t WHERE id = 1;
SELECT hub.sealed_class(email), hub.sealed_subject(email) FROM t WHERE id = 1;

-- what an envelope costs in bytes
SELECT pg_column_size(name) - length('Ann Example') AS overhead FROM t WHERE id = 1;
