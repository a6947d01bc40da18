-- Whatever is wrong with a token, it opens nothing, and the error never says what is wrong.
\set key `mktemp`
\setenv KEY :key
\set other_key `mktemp`
\setenv OTHER_KEY :other_key
\! sh test/fixtures/make_token.sh --new-key "$KEY" && sh test/fixtures/make_token.sh --new-key "$OTHER_KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`
\setenv PUBLIC_KEY :public_key
\set other_public_key `sh test/fixtures/make_token.sh --public-key "$OTHER_KEY"`

BEGIN;
SELECT plan(77);

CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales TO pooled;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_token_issuer('former', decode(:'public_key', 'hex'), now() - interval '2 days', now() - interval '1 day') \g /dev/null
SELECT hub.add_token_issuer('coming', decode(:'public_key', 'hex'), now() + interval '1 day') \g /dev/null
SELECT hub.add_token_issuer('revoked', decode(:'other_public_key', 'hex'), now() - interval '1 day') \g /dev/null
SELECT hub.revoke_token_issuer('revoked') \g /dev/null
SELECT hub.add_member('alice', 'hub_agent', regions => '{DE}') AS alice \gset
SELECT hub.add_member('boss', 'hub_manager', regions => '{DE}') \g /dev/null
SELECT hub.deactivate_member(hub.add_member('gone', 'hub_agent', regions => '{DE}')) \g /dev/null

-- what authenticate does with a token: all that a client gets to see
CREATE FUNCTION answer(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	state text; message text; detail text; hint text; name text;
BEGIN
	PERFORM hub.authenticate(token);
	SELECT external_id INTO name FROM hub.whoami();
	-- give the identity back with an error of our own
	RAISE EXCEPTION USING ERRCODE = 'P0009', MESSAGE = format('accepted as %s in role %s', name, current_user);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	IF EXISTS (SELECT FROM hub.whoami()) THEN
		RETURN 'an identity was left behind';
	END IF;
	RETURN concat_ws('|', state, message, nullif(detail, ''), nullif(hint, ''));
END
$$;
\set refused '\'CH201|token is not accepted\''

SET SESSION AUTHORIZATION pooled;

-- the good ones, so that what follows is refused for the reason that is meant
\set token `sh test/fixtures/make_token.sh "$KEY" idp alice`
\setenv TOKEN :token
SELECT is(answer(:'token'), 'P0009|accepted as alice in role hub_agent', 'a good token is accepted');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), 'P0009|accepted as alice in role hub_agent', 'sub and exp are enough');
\set token `TOKEN_CLAIMS=' { "s\u0075b" : "alice" , "exp" : @NOW+60@.5 , "x":[{"exp":1},null,true,-1.5e3,""] } ' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), 'P0009|accepted as alice in role hub_agent', 'spaces, escapes, fractions and unknown claims are no matter');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"aud":["shop","customer_hub"]}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), 'P0009|accepted as alice in role hub_agent', 'audience customer_hub');
\set token `sh test/fixtures/make_token.sh "$KEY" idp alice -10`
SELECT is(answer(:'token'), :refused, 'a token whose exp is before its iat');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW-10@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), 'P0009|accepted as alice in role hub_agent', 'ten seconds over, within the clock skew');

-- not a token
SELECT is(answer(t), :refused, format('not a token: %L', left(t, 20)))
FROM unnest(ARRAY[NULL, '', '.', '..', '...', 'x', 'a.b', 'a.b.c', repeat('a', 9000), repeat('.', 9000),
	'é.é.é', E'\n', 'null', '{}', repeat('[', 8000)]) t;

-- a good one, damaged
\set token `sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(t), :refused, what)
FROM (SELECT :'token' AS good) g,
LATERAL (VALUES
	('truncated', left(good, -1)),
	('longer', good || 'A'),
	('a fourth part', good || '.AAAA'),
	('leading space', ' ' || good),
	('trailing line feed', good || E'\n'),
	('padding', good || '='),
	('without signature', regexp_replace(good, '[^.]*$', '')),
	('signature of zeros', regexp_replace(good, '[^.]*$', repeat('A', 86))),
	('without claims', regexp_replace(good, '\..*\.', '..')),
	('without header', regexp_replace(good, '^[^.]*', '')),
	('header and claims swapped', regexp_replace(good, '^([^.]*)\.([^.]*)', '\2.\1')),
	('base64 instead of base64url', translate(good, '-_', '+/') || '+'),
	('twice', good || good)) d (what, t);
-- the last of 86 digits carries 2 bits: three other digits mean the same bytes to a lax decoder
SELECT is(answer(left(:'token', -1) || c), :refused, 'unused bits of the signature are not zero')
FROM (SELECT translate(right(:'token', 1), 'AQgw', 'BRhx') AS c) s;

-- each of its characters, changed
\set token `sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is((SELECT count(*) FROM generate_series(1, length(:'token')) n, unnest('{A,Q,_,.," "}'::text[]) c
	WHERE substr(:'token', n, 1) <> c AND answer(overlay(:'token' PLACING c FROM n FOR 1)) IS DISTINCT FROM :refused),
	0::bigint, 'one character changed, wherever');

-- another algorithm
\set token `printf '%s.%s.' "$(printf '{"alg":"none","kid":"idp"}' | openssl base64 -A | tr '+/' '-_' | tr -d =)" "$(printf %s "$TOKEN" | cut -d. -f2)"`
SELECT is(answer(:'token'), :refused, 'alg none, no signature');
\set token `TOKEN_HEADER='{"alg":"none","kid":"idp"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'alg none');
\set token `TOKEN_HEADER='{"alg":"eddsa","kid":"idp"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'alg eddsa: names are case-sensitive');
\set token `TOKEN_HEADER='{"alg":["EdDSA"],"kid":"idp"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'alg is no string');
\set token `TOKEN_HEADER='{"kid":"idp"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'no alg');
\set token `part=$(printf '{"alg":"HS256","kid":"idp"}' | openssl base64 -A | tr '+/' '-_' | tr -d =).$(printf %s "$TOKEN" | cut -d. -f2); printf '%s.%s' "$part" "$(printf %s "$part" | openssl dgst -sha256 -mac HMAC -macopt hexkey:"$PUBLIC_KEY" -binary | openssl base64 -A | tr '+/' '-_' | tr -d =)"`
SELECT is(answer(:'token'), :refused, 'HS256 under the public key');
\set token `TOKEN_HEADER='{"alg":"EdDSA","alg":"EdDSA","kid":"idp"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'duplicate alg');
\set token `TOKEN_HEADER='{"alg":"EdDSA","kid":"idp","crit":["exp"]}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'critical header');
\set token `TOKEN_HEADER='{"alg":"EdDSA","kid":"idp","typ":"secevent+jwt"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'another type of token');

-- another issuer
\set token `sh test/fixtures/make_token.sh "$KEY" nobody alice`
SELECT is(answer(:'token'), :refused, 'unknown kid');
\set token `sh test/fixtures/make_token.sh "$KEY" former alice`
SELECT is(answer(:'token'), :refused, 'key no longer valid');
\set token `sh test/fixtures/make_token.sh "$KEY" coming alice`
SELECT is(answer(:'token'), :refused, 'key not yet valid');
\set token `sh test/fixtures/make_token.sh "$OTHER_KEY" revoked alice`
SELECT is(answer(:'token'), :refused, 'key revoked');
\set token `sh test/fixtures/make_token.sh "$OTHER_KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'signed by somebody else');
\set token `TOKEN_HEADER='{"alg":"EdDSA"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'no kid');
\set token `TOKEN_HEADER='{"alg":"EdDSA","kid":null}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'kid is null');

-- bad claims, well signed
\set token `TOKEN_CLAIMS='{"sub":"alice"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'no exp');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":"@NOW+60@"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'exp is no number');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":1e999}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'exp is infinite');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW-31@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'expired');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"nbf":@NOW+40@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'not valid yet');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"iat":@NOW+40@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'issued in the future');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"iat":@NOW-3600@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'lives too long');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+3660@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'lives too long from now');
\set token `TOKEN_CLAIMS='{"exp":@NOW+60@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'no sub');
\set token `TOKEN_CLAIMS='{"sub":"alice\u0000","exp":@NOW+60@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'zero character in sub');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"sub":"boss"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'duplicate claim');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"s\u0075b":"alice"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'duplicate claim, escaped');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'bad JSON');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@}{}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'more after the JSON');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":0@NOW+60@}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'number with a leading zero');
\set token `TOKEN_CLAIMS=$(printf '{"sub":"zo\353","exp":@NOW+60@}') sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'claims are not UTF-8');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"purpose":"0123456789012345678901234567890123456789012345678901234567890123"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'purpose too long');
\set token `TOKEN_CLAIMS='{"sub":"alice","exp":@NOW+60@,"aud":"shop"}' sh test/fixtures/make_token.sh "$KEY" idp alice`
SELECT is(answer(:'token'), :refused, 'meant for somebody else');

-- a good token of somebody who may not
\set token `sh test/fixtures/make_token.sh "$KEY" idp stranger`
SELECT is(answer(:'token'), :refused, 'no member');
\set token `sh test/fixtures/make_token.sh "$KEY" idp gone`
SELECT is(answer(:'token'), :refused, 'member deactivated');
\set token `sh test/fixtures/make_token.sh "$KEY" idp boss`
SELECT is(answer(:'token'), :refused, 'the login was not granted the member''s role');

-- the carrier cannot be made by hand
SELECT throws_ok($$SET LOCAL customer_hub.identity = 'hubid1:0000'$$, 'CH205',
	'parameter "customer_hub.identity" cannot be set directly', 'SET does not make an identity, nor quote the value');
SELECT throws_ok($$SELECT set_config('customer_hub.identity', 'hubid1:0000', false)$$, 'CH205',
	'parameter "customer_hub.identity" cannot be set directly', 'nor does set_config');
SELECT throws_ok($$ALTER ROLE pooled SET customer_hub.identity = 'hubid1:0000'$$, 'CH205',
	'parameter "customer_hub.identity" cannot be set directly', 'nor ALTER ROLE');

-- not even one that is right in everything but the MAC: alice's, of this very transaction
CREATE FUNCTION pg_temp.little_endian(n bigint, bytes int) RETURNS text LANGUAGE sql RETURN
	(SELECT string_agg(lpad(to_hex((n >> (8 * i)) & 255), 2, '0'), '' ORDER BY i) FROM generate_series(0, bytes - 1) i);
SELECT 'hubid1:' || pg_temp.little_endian(:alice, 4) || pg_temp.little_endian('hub_agent'::regrole::oid::bigint, 4)
	|| pg_temp.little_endian(1, 4) || pg_temp.little_endian(1, 4) || pg_temp.little_endian(1000000000000000, 8)
	|| repeat('00', 64) || repeat('00', 16) || pg_temp.little_endian(pg_backend_pid(), 4)
	|| pg_temp.little_endian(split_part(virtualxid, '/', 2)::bigint, 4) || repeat('00', 32) AS carrier
FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'virtualxid' \gset
SELECT throws_ok(format('SET LOCAL customer_hub.identity = %L', :'carrier'), 'CH205',
	'parameter "customer_hub.identity" cannot be set directly', 'nor a carrier with another MAC');

RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
ROLLBACK;
\! rm -f "$KEY" "$OTHER_KEY"
