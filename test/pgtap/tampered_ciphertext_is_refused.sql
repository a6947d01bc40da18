-- Changing any byte of a sealed value gives one uniform error and no plaintext.
BEGIN;
SELECT plan(4);

CREATE FUNCTION flipped(sealed bytea, at int) RETURNS bytea LANGUAGE sql AS
	$$SELECT set_byte(sealed, at, get_byte(sealed, at) # 1)$$;
CREATE FUNCTION base64url(raw bytea) RETURNS text LANGUAGE sql AS
	$$SELECT rtrim(translate(replace(encode(raw, 'base64'), E'\n', ''), '+/', '-_'), '=')$$;
CREATE FUNCTION from_base64url(t text) RETURNS bytea LANGUAGE sql AS
	$$SELECT decode(rpad(translate(t, '-_', '+/'), (length(t) + 3) / 4 * 4, '='), 'base64')$$;
CREATE FUNCTION outcome(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM token::hub.encrypted_email;
	RETURN 'accepted';
EXCEPTION WHEN SQLSTATE 'CH003' THEN
	RETURN SQLERRM;
END
$$;

CREATE TEMP TABLE sample AS
SELECT from_base64url(substr(v::text, 6)) AS raw
FROM (SELECT 'one@example.com'::hub.encrypted_email('contact') AS v) s;

SELECT is((SELECT outcome('hub1:' || base64url(raw)) FROM sample), 'accepted', 'the untouched token is accepted');
SELECT is(
	(SELECT count(*) FROM sample, generate_series(0, octet_length(raw) - 1) at
	 WHERE outcome('hub1:' || base64url(flipped(raw, at))) = 'accepted'),
	0::bigint, 'a change of any single byte is refused');
SELECT is(
	(SELECT count(DISTINCT outcome('hub1:' || base64url(flipped(raw, at))))
	 FROM sample, generate_series(0, octet_length(raw) - 1) at),
	1::bigint, 'with one and the same message');
SELECT is(
	(SELECT count(*) FROM sample, generate_series(0, octet_length(raw) - 1) keep
	 WHERE outcome('hub1:' || base64url(substr(raw, 1, keep))) = 'accepted'),
	0::bigint, 'and so is every truncation');

SELECT * FROM finish();
ROLLBACK;
