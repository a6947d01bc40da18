-- Plain types of the types room: email, phone, region, enums.
\set VERBOSITY default

-- email: what is kept and what is folded
SELECT 'Jane.Doe+tag@Example.ORG'::hub.email AS kept;
SELECT 'Ana.Ärmel@MÜNCHEN.example'::hub.email AS idn;
SELECT '"two words"@example.org'::hub.email AS quoted, 'x@[192.0.2.7]'::hub.email AS v4, 'x@[IPv6:2001:DB8::1]'::hub.email AS v6;
SELECT 'JANE@example.org'::hub.email = 'jane@EXAMPLE.org' AS same_but_for_case,
	'ÄÖÜ.Ω.Ж@example.org'::hub.email = 'äöü.ω.ж@example.org' AS same_beyond_ascii,
	'j.ane@example.org'::hub.email = 'jane@example.org' AS dots_matter,
	'jane+a@example.org'::hub.email = 'jane@example.org' AS tags_matter;
SELECT array_agg(e ORDER BY e) FROM unnest('{b@x.example,A@x.example,a@w.example,B@a.example}'::hub.email[]) e;
SELECT count(DISTINCT e) FROM unnest('{b@x.example,B@x.example,a@x.example}'::hub.email[]) e;
SELECT hub.email_hash('JÄNE@x.example') = hub.email_hash('jäne@X.example') AS hash_agrees,
	hub.email_hash_extended('JANE@x.example', 7) = hub.email_hash_extended('jane@x.example', 7) AS extended_agrees;

-- lengths of RFC 5321
SELECT length((repeat('a', 64) || '@example.org')::hub.email::text) AS longest_local_part;
SELECT (repeat('a', 65) || '@example.org')::hub.email;
SELECT length(('a@' || repeat('a', 63) || '.example')::hub.email::text) AS longest_label;
SELECT ('a@' || repeat('a', 64) || '.example')::hub.email;
SELECT length(('a@' || repeat('abc.', 62) || 'nlst')::hub.email::text) AS longest_address;
SELECT ('a@' || repeat('abc.', 62) || 'nlste')::hub.email;

-- bad addresses: 22P02, a reason, and never the address itself
SELECT ''::hub.email;
SELECT 'jane.example.org'::hub.email;
SELECT 'jane@home@example.org'::hub.email;
SELECT '@example.org'::hub.email;
SELECT 'jane@'::hub.email;
SELECT '.jane@example.org'::hub.email;
SELECT 'jane..doe@example.org'::hub.email;
SELECT 'jane doe@example.org'::hub.email;
SELECT 'Jane <jane@example.org>'::hub.email;
SELECT '"jane@example.org'::hub.email;
SELECT 'jane@example..org'::hub.email;
SELECT 'jane@-example.org'::hub.email;
SELECT 'jane@exa_mple.org'::hub.email;
SELECT 'jane@[192.0.2]'::hub.email;
SELECT E'jane\t@example.org'::hub.email;
SELECT E'jane\u200b@example.org'::hub.email;
\set VERBOSITY sqlstate
SELECT 'nonsense'::hub.email;
SELECT 'nonsense'::hub.phone;
SELECT 'nonsense'::hub.region;
SELECT 'nonsense'::hub.channel;
\set VERBOSITY default

-- phone: separators go, the calling code decides about the length
SELECT p::hub.phone FROM unnest('{+49301234567,+49 30 1234567,+49 (30) 123-45.67,+49/30/1234567,"  +4930 1234567 "}'::text[]) p;
SELECT '+1 415 555 0100'::hub.phone AS us, '+44 20 7946 0000'::hub.phone AS gb, '+81 90 1234 5678'::hub.phone AS jp,
	'+800 1234 5678'::hub.phone AS freephone;
SELECT hub.calling_code('+35312345678') AS ie, hub.calling_code('+4930123456') AS de, hub.calling_code('+14155550100') AS nanp;
SELECT hub.regions_of('+4930123456') AS de, hub.regions_of('+77011234567') AS seven, hub.regions_of('+24712345') AS ascension,
	hub.regions_of('+38344123456') AS unassigned, hub.regions_of('+80012345678') AS world;
SELECT cardinality(hub.regions_of('+14155550100')) AS nanp_territories;
SELECT array_agg(p ORDER BY p) FROM unnest('{+4930123456,+14155550100,+35312345678}'::hub.phone[]) p;

SELECT '030 1234567'::hub.phone;
SELECT '0049301234567'::hub.phone;
SELECT '+'::hub.phone;
SELECT '+999 1234567'::hub.phone;
SELECT '+0 301234567'::hub.phone;
SELECT '+1 415 555 010'::hub.phone;
SELECT '+1 415 555 01000'::hub.phone;
SELECT '+49 12345678901234'::hub.phone;
SELECT '+49 (0)30 1234567'::hub.phone;
SELECT '+49 (30 1234567'::hub.phone;
SELECT '+49 30 1234567 ext 5'::hub.phone;

-- region
SELECT 'de'::hub.region AS country, 'us-ca'::hub.region AS letters, 'FR-75'::hub.region AS digits, 'GB-ENG'::hub.region AS three;
SELECT outer_region, inner_region, outer_region @> inner_region AS contains, inner_region <@ outer_region AS lies_in
FROM (VALUES ('US'::hub.region, 'US-CA'::hub.region), ('US-CA', 'US'), ('US', 'US'), ('US-CA', 'US-CA'), ('US-CA', 'US-NY'), ('DE', 'US-CA')) v(outer_region, inner_region);
SELECT hub.country_of('US-CA'), hub.country_of('US');
SELECT array_agg(r ORDER BY r) FROM unnest('{VI,US-NY,US-CA,US,FR-75,FR-ARA,FR,AD}'::hub.region[]) r;
DO $$
DECLARE
	assigned text[] := '{}';
	code text;
BEGIN
	FOR code IN SELECT chr(a) || chr(b) FROM generate_series(65, 90) a, generate_series(65, 90) b LOOP
		BEGIN
			assigned := assigned || code::hub.region::text;
		EXCEPTION WHEN invalid_text_representation THEN
		END;
	END LOOP;
	RAISE NOTICE '% countries: %', cardinality(assigned), array_to_string(assigned, ' ');
END
$$;
SELECT 'XK'::hub.region;
SELECT 'UK'::hub.region;
SELECT 'D'::hub.region;
SELECT 'DEU'::hub.region;
SELECT 'US-'::hub.region;
SELECT 'US-CALI'::hub.region;
SELECT 'US_CA'::hub.region;
SELECT 'US-C!'::hub.region;
SELECT ' DE'::hub.region;

-- enums
SELECT enum_range(NULL::hub.channel), enum_range(NULL::hub.conversation_status);
SELECT enum_range(NULL::hub.message_direction), enum_range(NULL::hub.follow_up_status);

-- casts: on assignment or when asked for, never by themselves
CREATE TEMP TABLE plain (email hub.email, phone hub.phone, region hub.region);
INSERT INTO plain SELECT 'a@Example.org'::text, '+49 30 1234567'::text, 'us-ca'::text;
INSERT INTO plain SELECT 'a@Example.org'::varchar, '+49 30 1234567'::varchar, 'us-ca'::varchar;
SELECT email::text, phone::varchar, region::text, '<' || email || '>' AS concatenated FROM plain LIMIT 1;
SELECT * FROM plain WHERE email = 'A@example.org'::text;
SELECT lower(email) FROM plain;

-- binary form
SELECT hub.phone_send('+49301234567'), hub.region_send('US'), hub.email_send('a@b.example');

-- indexes and joins of every kind
CREATE TEMP TABLE person (id int, email hub.email, phone hub.phone, region hub.region);
INSERT INTO person SELECT i, format('User%s@Example.org', i)::hub.email, format('+4930%s', 1000000 + i)::hub.phone,
	(ARRAY['DE', 'US', 'US-CA', 'JP'])[1 + i % 4]::hub.region
FROM generate_series(1, 2000) i;
CREATE UNIQUE INDEX ON person (email);
CREATE INDEX ON person USING hash (email);
CREATE UNIQUE INDEX ON person (phone);
CREATE INDEX ON person USING hash (phone);
CREATE INDEX ON person (region, id);
CREATE INDEX ON person USING hash (region);
ANALYZE person;
SELECT id FROM person WHERE phone = '+49 30 1000777';
SELECT id FROM person WHERE email = 'USER777@example.org';
SELECT count(*) FROM person WHERE region IN ('US', 'US-CA');
SELECT count(*) FROM person WHERE region @> 'US-CA';
SELECT region, count(*) FROM person GROUP BY region ORDER BY region DESC;
INSERT INTO person VALUES (0, 'user777@EXAMPLE.org');
SET enable_nestloop = off;
SET enable_mergejoin = off;
SELECT count(*) FROM person a JOIN person b USING (email, phone, region);
SET enable_mergejoin = on;
SET enable_hashjoin = off;
SELECT count(*) FROM person a JOIN person b USING (email, phone, region);
RESET enable_nestloop;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT amname, opcname, amvalidate(o.oid) AS valid
FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod
WHERE opcintype IN ('hub.email'::regtype, 'hub.phone'::regtype, 'hub.region'::regtype) ORDER BY 2, 1;
