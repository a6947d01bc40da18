-- Plain types as an ordinary role sees them: any search_path, no privileges but PUBLIC's.
BEGIN;
CREATE ROLE plain_types_user NOLOGIN;
CREATE SCHEMA plain_types_trap AUTHORIZATION plain_types_user;
CREATE TABLE public.plain_types (id int PRIMARY KEY, email hub.email, phone hub.phone, region hub.region);
INSERT INTO public.plain_types
SELECT i, format('user%s@example.org', i)::hub.email, format('+4930%s', 1000000 + i)::hub.phone,
	(ARRAY['DE', 'US', 'US-CA', 'JP'])[1 + i % 4]::hub.region
FROM generate_series(1, 1000) i;
CREATE INDEX ON public.plain_types (email);
CREATE INDEX ON public.plain_types (phone);
CREATE INDEX ON public.plain_types (region);
ANALYZE public.plain_types;
GRANT SELECT ON public.plain_types TO plain_types_user;

SET ROLE plain_types_user;
SET search_path = plain_types_trap, public;
SELECT plan(28);

-- storage as promised
SELECT results_eq(
	$$SELECT typname::text COLLATE "C", typlen::int, typbyval FROM pg_type
	  WHERE oid IN ('hub.email'::regtype, 'hub.phone'::regtype, 'hub.region'::regtype) ORDER BY 1$$,
	$$VALUES ('email'::text COLLATE "C", -1, false), ('phone', 8, true), ('region', 4, true)$$,
	'phone takes 8 bytes and region 4, by value');
SELECT is_empty(
	$$SELECT p.oid::regprocedure FROM pg_proc p
	  WHERE p.pronamespace = 'hub'::regnamespace AND p.proname ~ '^(email|phone|region)_(eq|ne|lt|le|gt|ge|cmp|hash|hash_extended|contains|contained)$'
	  AND NOT (p.proleakproof AND p.provolatile = 'i' AND p.proparallel = 's' AND p.proisstrict)$$,
	'comparisons are leakproof, immutable, parallel safe and strict');

-- a trap: an operator of the user's own must not come before the type's
CREATE FUNCTION plain_types_trap.always(hub.email, hub.email) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR plain_types_trap.= (LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = plain_types_trap.always);
SELECT ok(NOT ('a@x.example'::hub.email = 'b@x.example'), 'a user''s operator does not come before the type''s');
SELECT ok('A@x.example'::hub.email = 'a@X.example', 'email compares whatever the case');
SELECT ok('a@x.example'::hub.email IN ('1@x.example', '2@x.example', '3@x.example', '4@x.example', '5@x.example',
	'6@x.example', '7@x.example', '8@x.example', '9@x.example', 'A@x.example'), 'a long IN list is hashed');
SELECT ok('+4930123456'::hub.phone IN ('+49301234561', '+49301234562', '+49301234563', '+49301234564', '+49301234565',
	'+49301234566', '+49301234567', '+49301234568', '+49301234569', '+4930123456'), 'of phones too');
SELECT is('+49 30 123456'::text::hub.phone::text, '+4930123456', 'casts work for everybody');
SELECT is(hub.regions_of('+77011234567')::text, '{KZ,RU}', 'regions_of works for everybody');
SELECT is(hub.calling_code('+35312345678'), 353, 'calling_code works for everybody');
SELECT is(hub.country_of('US-CA')::text, 'US', 'country_of works for everybody');
SELECT ok('US'::hub.region @> 'US-CA' AND NOT 'US-CA'::hub.region @> 'US', 'a country contains its subdivisions, not the other way round');
SELECT is((SELECT count(*)::int FROM public.plain_types WHERE region <@ 'US'), 500, 'rows of a country and its subdivisions');

-- every index answers as the sequential scan does
SET enable_seqscan = off;
SELECT is((SELECT id FROM public.plain_types WHERE email = 'USER777@example.org'), 777, 'email by index');
SELECT is((SELECT id FROM public.plain_types WHERE phone = '+49 30 1000777'), 777, 'phone by index');
SELECT is((SELECT count(*)::int FROM public.plain_types WHERE region BETWEEN 'US' AND 'US-999'), 500, 'a country and its subdivisions are one range');
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SET enable_seqscan = on;
SELECT is((SELECT id FROM public.plain_types WHERE email = 'USER777@example.org'), 777, 'email by sequential scan');
SELECT is((SELECT id FROM public.plain_types WHERE phone = '+49 30 1000777'), 777, 'phone by sequential scan');
SELECT is((SELECT count(*)::int FROM public.plain_types WHERE region BETWEEN 'US' AND 'US-999'), 500, 'range by sequential scan');

-- bad text: 22P02, and personal data is not quoted
CREATE FUNCTION plain_types_trap.complaint(type_name text, bad text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE pg_catalog.format('SELECT %L::text::%s', bad, type_name);
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN SQLSTATE || CASE WHEN pg_catalog.strpos(SQLERRM || detail || hint, bad) > 0 THEN ' quoted' ELSE '' END;
END
$$;
SELECT is(plain_types_trap.complaint('hub.email', 'jane.roe at example'), '22P02', 'bad email is refused and not quoted');
SELECT is(plain_types_trap.complaint('hub.email', 'jane@roe@example.org'), '22P02', 'two @ are refused');
SELECT is(plain_types_trap.complaint('hub.phone', '030 4433221'), '22P02', 'phone without calling code is refused and not quoted');
SELECT is(plain_types_trap.complaint('hub.phone', '+0301234567'), '22P02', 'a leading zero is no calling code');
SELECT is(plain_types_trap.complaint('hub.phone', '+2101234567'), '22P02', 'an unassigned code is refused');
SELECT is(plain_types_trap.complaint('hub.region', 'ZZ'), '22P02 quoted', 'an unassigned country is refused');
SELECT is(plain_types_trap.complaint('hub.region', 'US-CALI'), '22P02 quoted', 'a long subdivision is refused');
SELECT is(plain_types_trap.complaint('hub.channel', 'fax'), '22P02 quoted', 'an unknown channel is refused');

-- phones keep every digit
SELECT is((SELECT count(*)::int FROM pg_catalog.generate_series(1, 500) i
	WHERE ('+1' || 2000000000 + i * 7)::hub.phone::text = '+1' || 2000000000 + i * 7), 500, 'phones print what was read');
SELECT throws_ok($$SELECT pg_catalog.lower('a@x.example'::hub.email)$$, '42883', NULL,
	'no implicit cast to text, which would compare by other rules');

SELECT * FROM finish();
ROLLBACK;
