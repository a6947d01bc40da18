-- Parts of values serve statistics at token and mask clearance, in WHERE and GROUP BY, and are on record
-- as partial reveals; without clearance they are NULL, and rows do not leave faster through them.
SELECT plan(27);

CREATE ROLE mara LOGIN;
CREATE ROLE cora LOGIN;
CREATE ROLE adam LOGIN;
CREATE ROLE sam LOGIN;
SELECT hub.add_member('mara', 'hub_manager', 'mara', '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.add_member('cora', 'hub_compliance', 'cora', '{DE}', '{1}') \g /dev/null
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.create_role('hub_desk', 'hub_agent') \g /dev/null
SELECT hub.add_member('adam', 'hub_desk', 'adam', '{DE}', '{1}', '{1}') \g /dev/null
SELECT hub.set_clearance('hub_desk', 'contact', 'deny') \g /dev/null
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	line_id int NOT NULL,
	email hub.encrypted_email('contact'),
	phone hub.encrypted_phone('contact'),
	born hub.encrypted_date('contact')
);
SELECT hub.govern('person', 'id', 'region', 'line_id') \g /dev/null
GRANT SELECT ON person TO hub_manager, hub_compliance, hub_agent, hub_desk, hub_sales;
INSERT INTO person
SELECT md5(i::text)::uuid, CASE WHEN i > 30 THEN 'FR' ELSE 'DE' END::hub.region, 1,
	'Person' || i || CASE WHEN i % 3 = 0 THEN '@one.example' ELSE '@two.example' END,
	CASE WHEN i % 2 = 0 THEN '+4930123' ELSE '+8190123' END || 45600 + i,
	(current_date - make_interval(years => 20 + i % 30))::date
FROM generate_series(1, 36) i;
INSERT INTO person VALUES (md5('unborn')::uuid, 'DE', 1, NULL, NULL, current_date + 400);
VACUUM ANALYZE person;

SET SESSION AUTHORIZATION mara;
SELECT alike((SELECT email::text FROM person WHERE email IS NOT NULL LIMIT 1), 'tok_%', 'a manager is given pseudonyms');
SELECT results_eq('SELECT hub.email_domain(email), count(*) FROM person WHERE email IS NOT NULL GROUP BY 1 ORDER BY 1',
	$$VALUES ('one.example', 10::bigint), ('two.example', 20)$$, 'a manager counts addresses by domain, of the rows she may see');
SELECT results_eq('SELECT hub.phone_region(phone), count(*) FROM person WHERE phone IS NOT NULL GROUP BY 1 ORDER BY 1',
	$$VALUES ('{DE}'::hub.region[], 15::bigint), ('{JP}', 15)$$, 'numbers by territory');
SELECT results_eq('SELECT hub.age_band(born), count(*) FROM person GROUP BY 1 ORDER BY 1',
	$$VALUES ('[20,30)'::int4range, 10::bigint), ('[30,40)', 10), ('[40,50)', 10), (NULL, 1)$$, 'people by age, but those not born yet');
SELECT results_eq('SELECT hub.age_band(born, 15), count(*) FROM person GROUP BY 1 ORDER BY 1',
	$$VALUES ('[15,30)'::int4range, 10::bigint), ('[30,45)', 15), ('[45,60)', 5), (NULL, 1)$$, 'in bands of any width');
SELECT throws_ok('SELECT hub.age_band(born, 1) FROM person', '22023', NULL, 'but not so narrow as to be the age');
SELECT is((SELECT sum(n) FROM (SELECT count(*) AS n FROM person GROUP BY hub.year_of(born)) s), 31::numeric, 'years of birth');
SELECT is((SELECT count(*) FROM person WHERE hub.email_domain(email) = 'one.example'), 10::bigint, 'a condition on a part');
SELECT is((SELECT count(*) FROM person WHERE hub.age_band(born) @> 35 AND hub.phone_region(phone) @> '{JP}'), 5::bigint, 'conditions on two');
SELECT is((SELECT count(*) FROM person WHERE hub.email_domain(email) = 'three.example'), 0::bigint, 'a condition that no row meets');
SELECT throws_ok('SELECT hub.reveal(email) FROM person', 'CH205', NULL, 'which does not reveal the whole');
SELECT throws_ok($$CREATE TEMP TABLE copied AS SELECT id, hub.email_domain(email) FROM person$$, 'CH305', NULL, 'so is a copy');

-- only the leader knows who reads and what was put on record
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET max_parallel_workers_per_gather = 2;
SELECT results_eq('SELECT hub.email_domain(email), count(*) FROM person WHERE email IS NOT NULL GROUP BY 1 ORDER BY 1',
	$$VALUES ('one.example', 10::bigint), ('two.example', 20)$$, 'a parallel plan gives the same');
SELECT is((SELECT count(*) FROM person WHERE hub.email_domain(email) = 'one.example'), 10::bigint, 'and with a condition');
SELECT is((SELECT proparallel FROM pg_proc WHERE oid = 'hub.age_band(hub.encrypted_date, int)'::regprocedure), 'r'::"char", 'parts are made by the leader');
RESET max_parallel_workers_per_gather;

SET SESSION AUTHORIZATION cora;
SELECT is((SELECT count(*) FROM person WHERE hub.email_domain(email) = 'two.example'), 20::bigint, 'mask clearance is enough');
SET SESSION AUTHORIZATION adam;
SELECT is((SELECT count(hub.email_domain(email)) + count(hub.phone_region(phone)) + count(hub.year_of(born)) + count(hub.age_band(born)) FROM person),
	0::bigint, 'who is denied the class gets no part');
SELECT is((SELECT count(*) FROM person WHERE hub.email_domain(email) = 'two.example'), 0::bigint, 'and no row by a condition on one');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(hub.email_domain(email)) FROM person), 0::bigint, 'nor does who has no identity');

-- the ceiling counts the rows, whatever they hold
SELECT hub.set_export_ceiling('hub_sales', 12) \g /dev/null
SET SESSION AUTHORIZATION sam;
SELECT throws_ok('SELECT id, hub.email_domain(email) FROM person', 'CH305', NULL, 'parts of too many rows are refused');
SELECT is((SELECT count(hub.email_domain(email)) FROM person), 30::bigint, 'a count of them is one row');
RESET SESSION AUTHORIZATION;

SELECT hub.wait_for_audit() \g /dev/null
SELECT hub.destroy_subject_key(md5('1')::uuid) \g /dev/null
SET SESSION AUTHORIZATION cora;
SELECT is((SELECT count(*) FROM person WHERE hub.email_domain(email) = 'two.example'), 19::bigint, 'an erased person counts no more');
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', role, data_class, reveal), ', ') FROM hub.who_viewed(md5('2')::uuid)),
	'hub_compliance contact partial, hub_manager contact partial, hub_sales contact partial', 'each is on record as a partial reveal');
SELECT is((SELECT count(*) FROM hub.who_viewed(md5('33')::uuid)), 0::bigint, 'of those whose rows the policy hides there is none');
SELECT cmp_ok((SELECT count(*) FROM hub.who_viewed(md5('3')::uuid) WHERE role = 'hub_manager'), '>', 0::bigint, 'a value that the condition did not fit was looked at too');
SELECT is((SELECT count(*) FROM hub.who_viewed(md5('2')::uuid) WHERE role = 'hub_desk'), 0::bigint, 'a denied one was not');
SELECT is((SELECT count(*) FROM hub.who_viewed(md5('2')::uuid) WHERE reveal <> 'partial'), 0::bigint, 'and nothing was revealed in full');
SELECT * FROM finish();
