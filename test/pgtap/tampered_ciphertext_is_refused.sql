-- Changing any bit of a sealed value gives one uniform error and no plaintext: of
-- the token that SQL users can present, and of the bytes that lie in a table.
BEGIN;
SELECT plan(14);

CREATE FUNCTION flipped(sealed bytea, at int, nth int) RETURNS bytea LANGUAGE sql AS
	$$SELECT set_byte(sealed, at, get_byte(sealed, at) # (1 << nth))$$;
CREATE FUNCTION base64url(raw bytea) RETURNS text LANGUAGE sql AS
	$$SELECT rtrim(translate(replace(encode(raw, 'base64'), E'\n', ''), '+/', '-_'), '=')$$;
CREATE FUNCTION from_base64url(t text) RETURNS bytea LANGUAGE sql AS
	$$SELECT decode(rpad(translate(t, '-_', '+/'), (length(t) + 3) / 4 * 4, '='), 'base64')$$;
CREATE FUNCTION outcome(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM token::hub.encrypted_email;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

CREATE TEMP TABLE sample AS
SELECT from_base64url(substr(v::text, 6)) AS raw
FROM (SELECT 'one@example.com'::hub.encrypted_email('contact') AS v) s;

SELECT is((SELECT outcome('hub1:' || base64url(raw)) FROM sample), 'accepted', 'the untouched token is accepted');
SELECT is(
	(SELECT string_agg(DISTINCT outcome('hub1:' || base64url(flipped(raw, at, nth))), '; ')
	 FROM sample, generate_series(0, octet_length(raw) - 1) at, generate_series(0, 7) nth),
	'CH003 sealed value is damaged or was altered', 'a change of any single bit is refused with one and the same error');
SELECT is(
	(SELECT string_agg(DISTINCT outcome('hub1:' || base64url(substr(raw, 1, keep))), '; ')
	 FROM sample, generate_series(0, octet_length(raw) - 1) keep),
	'CH003 sealed value is damaged or was altered', 'and so is every truncation');
SELECT is(
	(SELECT outcome('hub1:' || base64url(raw || '\x00')) FROM sample),
	'CH003 sealed value is damaged or was altered', 'and what has something behind it');

-- The MAC of the token is out of the way when the bytes in the table are changed. SQL has no way to do that, so a
-- superuser makes one: a cast from raw bytes.
CREATE CAST (bytea AS hub.encrypted_text) WITHOUT FUNCTION;
CREATE CAST (hub.encrypted_text AS bytea) WITHOUT FUNCTION;

CREATE ROLE ann LOGIN;
SELECT hub.add_member('ann', 'hub_sales', 'ann', '{DE}', '{1}', '{1}');
SELECT hub.set_clearance('hub_sales', c, 'reveal') FROM unnest('{public,basic,contact,content,intent,financial,special}'::text[]) c;
CREATE TABLE person (
	id uuid PRIMARY KEY,
	region hub.region NOT NULL,
	story hub.encrypted_text('content'),
	nickname hub.encrypted_text('contact')
);
SELECT hub.govern('person', 'id', 'region');
INSERT INTO person VALUES ('11111111-1111-4111-8111-111111111111', 'DE', 'her story', 'nick');
CREATE TABLE stored AS
	SELECT story::bytea AS bound, nickname::bytea AS tagged, 'nobody''s'::hub.encrypted_text('content')::bytea AS unbound,
		'mine'::hub.encrypted_text::bytea AS fresh FROM person;
GRANT SELECT ON stored TO ann;

CREATE FUNCTION shown(sealed bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN hub.reveal(sealed::hub.encrypted_text);
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE FUNCTION outcomes(sealed bytea) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(DISTINCT shown(flipped(sealed, at, nth)), '; ')
	FROM generate_series(0, octet_length(sealed) - 1) at, generate_series(0, 7) nth
$$;

SET SESSION AUTHORIZATION ann;
SELECT is(shown(bound), 'her story', 'the untouched bytes of a stored value open') FROM stored;
SELECT is(outcomes(bound), 'CH003 sealed value is damaged or was altered',
	'a change of any single bit of a stored value is refused with one and the same error') FROM stored;
SELECT is(shown(tagged), 'nick', 'the untouched bytes of a searchable value open') FROM stored;
SELECT is(outcomes(tagged), 'CH003 sealed value is damaged or was altered',
	'and so is that of a searchable value, its tag included') FROM stored;
SELECT is(shown(unbound), 'nobody''s', 'the untouched bytes of a value without data subject open') FROM stored;
SELECT is(outcomes(unbound), 'CH003 sealed value is damaged or was altered',
	'and that of a value without data subject') FROM stored;
SELECT is(outcomes(fresh), 'CH003 sealed value is damaged or was altered', 'and that of one without class') FROM stored;
SELECT is((SELECT string_agg(DISTINCT shown(substr(bound, 1, keep)), '; ')
		FROM stored, generate_series(0, octet_length(bound) - 1) keep),
	'CH003 sealed value is damaged or was altered', 'and every truncation of a stored value');
SELECT is(shown('\x'), 'CH003 sealed value is damaged or was altered', 'and no bytes at all');
SELECT is(shown(bound || '\x00'), 'CH003 sealed value is damaged or was altered', 'and one byte more') FROM stored;
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
