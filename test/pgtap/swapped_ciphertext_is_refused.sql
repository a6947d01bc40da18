-- A sealed value belongs to one data subject, one class and one type; copied
-- anywhere else it is refused, and a superuser's raw copy does not open as another's.
BEGIN;
SELECT plan(8);

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

SELECT * FROM finish();
ROLLBACK;
