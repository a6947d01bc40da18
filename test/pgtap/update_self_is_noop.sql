-- Writing back what was read changes nothing, whatever form it was read in.
BEGIN;
SELECT plan(8);

CREATE ROLE ann LOGIN;
SELECT hub.add_member('ann', 'hub_agent', 'ann', '{DE}', '{1}', '{1}');
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact'),
	phone hub.encrypted_phone('contact'),
	intent hub.encrypted_text('intent')
);
SELECT hub.govern('person', 'id', 'region', 'line_id');
GRANT SELECT, INSERT, UPDATE ON person TO hub_agent;
INSERT INTO person VALUES ('11111111-1111-4111-8111-111111111111', 'DE', 1, 'one@example.com', '+4915123456789', 'wants a car');
CREATE TEMP TABLE before AS SELECT email::text, phone::text, intent::text FROM person;
GRANT SELECT ON before TO PUBLIC;
CREATE FUNCTION unchanged() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS
	$$SELECT (p.email::text, p.phone::text, p.intent::text) = (b.email, b.phone, b.intent) FROM public.person p, pg_temp.before b$$;

UPDATE person SET email = email, phone = phone, intent = intent;
SELECT ok(unchanged(), 'SET x = x as the owner');
SELECT lives_ok(format('UPDATE person SET email = %L, phone = %L, intent = %L', email, phone, intent), 'sealed tokens are taken as they are')
FROM before;
SELECT ok(unchanged(), 'and change nothing');

SET SESSION AUTHORIZATION ann;
UPDATE person SET email = email, phone = phone, intent = intent;
SELECT ok(unchanged(), 'SET x = x as an agent');
-- as an ORM saves the row that it has loaded
UPDATE person SET email = 'o•••@e•••.com', phone = '+49•••••89', intent = '[restricted]'
WHERE id = '11111111-1111-4111-8111-111111111111';
SELECT ok(unchanged(), 'masks and notices stand for the stored values');
SELECT throws_ok('UPDATE person SET email = ''x•••@e•••.com''', 'CH104', NULL, 'a mask of another value is refused');
SELECT throws_ok($$INSERT INTO person VALUES ('22222222-2222-4222-8222-222222222222', 'DE', 1, 'o•••@e•••.com')$$,
				 'CH104', NULL, 'a mask cannot be inserted');
RESET SESSION AUTHORIZATION;
SELECT ok(unchanged(), 'nothing of it changed the row');

SELECT * FROM finish();
ROLLBACK;
