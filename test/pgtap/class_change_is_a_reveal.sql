-- Giving a sealed value another class needs reveal clearance for the class it has.
BEGIN;
SELECT plan(7);

CREATE ROLE ann LOGIN;
CREATE ROLE sam LOGIN;
SELECT hub.add_member('ann', 'hub_agent', 'ann', '{DE}', '{1}', '{1}');
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}', '{1}');
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact'),
	public_email hub.encrypted_email('public')
);
SELECT hub.govern('person', 'id', 'region', 'line_id');
GRANT SELECT, INSERT, UPDATE ON person TO hub_agent, hub_sales;
INSERT INTO person VALUES ('11111111-1111-4111-8111-111111111111', 'DE', 1, 'one@example.com');

-- contact is masked for an agent
SET SESSION AUTHORIZATION ann;
SELECT throws_ok('SELECT email::hub.encrypted_email(''public'') FROM person', 'CH101', NULL, 'a cast to another class is refused');
SELECT throws_ok('UPDATE person SET public_email = email', 'CH101', NULL, 'a copy into a column of another class is refused');
SELECT throws_ok('UPDATE person SET public_email = email::text::hub.encrypted_email', 'CH101', NULL, 'the way through text is refused too');
SELECT is((SELECT count(public_email) FROM person), 0::bigint, 'nothing was copied');

-- without identity there is no clearance at all
RESET SESSION AUTHORIZATION;
SELECT throws_ok('SELECT email::hub.encrypted_email(''public'') FROM person', 'CH101', NULL, 'a superuser without identity is refused');

-- contact is revealed to sales: allowed, and logged as what it is
SET SESSION AUTHORIZATION sam;
SELECT lives_ok('UPDATE person SET public_email = email', 'with reveal clearance the class can be changed');
SELECT is((SELECT public_email::text = 'one@example.com' OR public_email::text LIKE 'hub1:%' FROM person), true, 'and the value is there');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
