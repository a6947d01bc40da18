-- A sealed value belongs to one data subject, one class and one type; copied
-- anywhere else it is refused, and a superuser's raw copy does not open as another's.
BEGIN;
SELECT plan(19);

CREATE ROLE ann LOGIN;
SELECT hub.add_member('ann', 'hub_sales', 'ann', '{DE}', '{1}', '{1}');
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact'),
	other_email hub.encrypted_email('contact'),
	name hub.encrypted_text('basic'),
	story hub.encrypted_text('content')
);
SELECT hub.govern('person', 'id', 'region', 'line_id');
GRANT SELECT, INSERT, UPDATE ON person TO hub_sales;
INSERT INTO person VALUES
	('11111111-1111-4111-8111-111111111111', 'DE', 1, 'one@example.com', NULL, 'One Person', 'first story'),
	('22222222-2222-4222-8222-222222222222', 'DE', 1, 'two@example.com', NULL, 'Two Persons', 'second story');

SET SESSION AUTHORIZATION ann;
SELECT throws_ok(
	$$UPDATE person p SET email = o.email FROM person o
	  WHERE p.id = '11111111-1111-4111-8111-111111111111' AND o.id = '22222222-2222-4222-8222-222222222222'$$,
	'CH102', NULL, 'a value of another row''s data subject is refused');
SELECT throws_ok(
	$$INSERT INTO person SELECT '33333333-3333-4333-8333-333333333333', region, line_id, email FROM person
	  WHERE id = '22222222-2222-4222-8222-222222222222'$$,
	'CH102', NULL, 'also in a new row');
SELECT throws_ok(
	$$UPDATE person SET id = '44444444-4444-4444-8444-444444444444' WHERE id = '11111111-1111-4111-8111-111111111111'$$,
	'CH102', NULL, 'a row cannot be handed to another data subject');
RESET SESSION AUTHORIZATION;

-- what only a superuser can do: the sealed text as a literal
SELECT throws_ok(
	format($$UPDATE person SET email = %L WHERE id = '11111111-1111-4111-8111-111111111111'$$, email::text),
	'CH102', NULL, 'a sealed token of another data subject is refused')
FROM person WHERE id = '22222222-2222-4222-8222-222222222222';
SELECT throws_ok(
	format($$UPDATE person SET story = %L WHERE id = '11111111-1111-4111-8111-111111111111'$$, name::text),
	'CH101', NULL, 'a sealed token of another class is refused')
FROM person WHERE id = '11111111-1111-4111-8111-111111111111';
SELECT throws_ok(
	format($$UPDATE person SET name = %L WHERE id = '11111111-1111-4111-8111-111111111111'$$, email::text),
	'CH003', NULL, 'a sealed token of another type is refused')
FROM person WHERE id = '11111111-1111-4111-8111-111111111111';

-- the same subject, class and type: a copy is allowed
SELECT lives_ok(
	$$UPDATE person SET other_email = email WHERE id = '11111111-1111-4111-8111-111111111111'$$,
	'a copy within the row of its own data subject is allowed');
SELECT is((SELECT count(*) FROM person WHERE other_email = 'one@example.com'), 1::bigint, 'and equals its source');

-- across tables the same rules hold
CREATE TABLE visit (
	id bigint PRIMARY KEY,
	person_id uuid NOT NULL,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact'),
	remark hub.encrypted_text('content'),
	diagnosis hub.encrypted_text('special')
);
SELECT hub.govern('visit', 'person_id', 'region', 'line_id');
GRANT SELECT, INSERT, UPDATE ON visit TO hub_sales;
SET SESSION AUTHORIZATION ann;
SELECT throws_ok(
	$$INSERT INTO visit (id, person_id, region, line_id, email)
	  SELECT 1, '11111111-1111-4111-8111-111111111111', 'DE', 1, email FROM person
	  WHERE id = '22222222-2222-4222-8222-222222222222'$$,
	'CH102', NULL, 'a value of another table''s row of another data subject is refused');
SELECT lives_ok(
	$$INSERT INTO visit (id, person_id, region, line_id, email)
	  SELECT 2, id, 'DE', 1, email FROM person WHERE id = '22222222-2222-4222-8222-222222222222'$$,
	'one of the same data subject and class is allowed');
RESET SESSION AUTHORIZATION;
UPDATE visit SET diagnosis = 'well' WHERE id = 2;
SET SESSION AUTHORIZATION ann;
SELECT throws_ok($$UPDATE visit SET remark = diagnosis$$, 'CH101', NULL,
	'one of a class that the member may not see is refused, in the very same row');
RESET SESSION AUTHORIZATION;

-- What a superuser can do to the bytes in the tables: move parts of one value into another.
CREATE CAST (bytea AS hub.encrypted_text) WITHOUT FUNCTION;
CREATE CAST (hub.encrypted_text AS bytea) WITHOUT FUNCTION;
CREATE CAST (hub.encrypted_email AS bytea) WITHOUT FUNCTION;
SELECT hub.set_clearance('hub_sales', c, 'reveal') FROM unnest('{basic,contact,content,special}'::text[]) c;
CREATE TABLE bytes AS
	SELECT a.story::bytea AS mine, b.story::bytea AS theirs, a.name::bytea AS my_name, a.email::bytea AS my_email
	FROM person a, person b
	WHERE a.id = '11111111-1111-4111-8111-111111111111' AND b.id = '22222222-2222-4222-8222-222222222222';
GRANT SELECT ON bytes TO ann;
CREATE FUNCTION shown(sealed bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN hub.reveal(sealed::hub.encrypted_text);
EXCEPTION WHEN SQLSTATE 'CH003' THEN
	RETURN 'refused';
END
$$;
-- version 1: family and class in bytes 2 to 4, subject in 5 to 20, nonce in 21 to 44, then ciphertext and MAC
CREATE FUNCTION with_part_of(sealed bytea, other bytea, first int, last int) RETURNS bytea LANGUAGE sql AS
	$$SELECT overlay(sealed PLACING substr(other, first, last - first + 1) FROM first FOR last - first + 1)$$;
SET SESSION AUTHORIZATION ann;
SELECT is(shown(mine), 'first story', 'untouched bytes open') FROM bytes;
SELECT is(shown(with_part_of(mine, theirs, 5, 20)), 'refused', 'with the data subject of another value they do not') FROM bytes;
SELECT is(shown(with_part_of(mine, my_name, 3, 4)), 'refused', 'nor with the class of another column') FROM bytes;
SELECT is(shown(with_part_of(mine, my_email, 2, 2)), 'refused', 'nor with the type of another column') FROM bytes;
SELECT is(shown(with_part_of(mine, theirs, 21, 44)), 'refused', 'nor with the nonce of another row') FROM bytes;
SELECT is(shown(with_part_of(mine, theirs, 45, octet_length(theirs))), 'refused', 'nor with the ciphertext of another row') FROM bytes;
SELECT is(shown(with_part_of(mine, theirs, 21, octet_length(theirs))), 'refused', 'nor with both') FROM bytes;
SELECT is(shown(with_part_of(mine, my_name, 21, octet_length(my_name))), 'refused', 'nor with those of another column') FROM bytes;
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
