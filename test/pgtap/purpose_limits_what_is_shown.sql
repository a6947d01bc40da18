-- What a token is for bounds what is shown; so do consent, and the right to restriction of processing.
\set key `mktemp`
\setenv KEY :key
\! sh test/fixtures/make_token.sh --new-key "$KEY"
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`

SELECT plan(34);
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_sales, hub_ai_agent, hub_compliance TO pooled;
CREATE ROLE cora LOGIN;
CREATE ROLE ada LOGIN;
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex')) \g /dev/null
SELECT hub.add_member('sam', 'hub_sales', regions => '{DE}', teams => '{1}') \g /dev/null
SELECT hub.add_member('robo', 'hub_ai_agent', regions => '{DE}') AS robo \gset
SELECT hub.add_member('lex', 'hub_compliance', regions => '{DE}') \g /dev/null
SELECT hub.add_member('cora', 'hub_compliance', 'cora', '{DE}') \g /dev/null
SELECT hub.add_member('ada', 'hub_admin', 'ada') \g /dev/null
CREATE TABLE person (id uuid PRIMARY KEY, region hub.region NOT NULL, team_id int, owner_id int, merged_into uuid,
	email hub.encrypted_email('contact'), note hub.encrypted_text('content'));
SELECT hub.govern('person', 'id', 'region', team => 'team_id', owner => 'owner_id') \g /dev/null
SELECT hub.set_subject_merge('person', 'merged_into') \g /dev/null
GRANT SELECT, INSERT, UPDATE ON person TO hub_sales, hub_ai_agent, hub_compliance;
\set ann '\'00000000-0000-4000-8000-000000000001\''
\set bob '\'00000000-0000-4000-8000-000000000002\''
\set annie '\'00000000-0000-4000-8000-000000000003\''
INSERT INTO person SELECT i::uuid, 'DE', 1, :robo, CASE n WHEN 3 THEN :ann::uuid END, e, t
FROM (VALUES (1, :ann, 'ann@vermeulen.example', 'wants a kettle'), (2, :bob, 'bob@okafor.example', 'wants a teapot'),
	(3, :annie, 'annie@vermeulen.example', 'wants a lamp')) v (n, i, e, t) ORDER BY n;
SELECT hub.record_consent(:ann, 'marketing', 'web form 7') \g /dev/null
SELECT hub.record_consent(:bob, 'ai_assist', 'web form 8') \g /dev/null

CREATE FUNCTION shown() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE WHEN d LIKE 'wants a %' THEN substr(d, 9) WHEN d LIKE 'tok\_%' THEN 'token'
		WHEN d LIKE '%•%' THEN 'mask' ELSE d END, ', ' ORDER BY id)
	FROM person, hub.disclose(note) d
$$;
-- what a token shows; the identity ends with the statement
CREATE FUNCTION shown_to(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM hub.authenticate(token);
	RETURN shown();
END
$$;
\set sam `sh test/fixtures/make_token.sh "$KEY" idp sam`
\set sam_service `sh test/fixtures/make_token.sh "$KEY" idp sam 300 service`
\set sam_marketing `sh test/fixtures/make_token.sh "$KEY" idp sam 300 marketing`
\set sam_analytics `sh test/fixtures/make_token.sh "$KEY" idp sam 300 analytics`
\set sam_unknown `sh test/fixtures/make_token.sh "$KEY" idp sam 300 mischief`
\set sam_claims `sh test/fixtures/make_token.sh "$KEY" idp sam 300 legal_claims`
\set lex `sh test/fixtures/make_token.sh "$KEY" idp lex`
\set lex_claims `sh test/fixtures/make_token.sh "$KEY" idp lex 300 legal_claims`
\set robo `sh test/fixtures/make_token.sh "$KEY" idp robo`
\set robo_assist `sh test/fixtures/make_token.sh "$KEY" idp robo 300 ai_assist`
\set robo_service `sh test/fixtures/make_token.sh "$KEY" idp robo 300 service`

SET SESSION AUTHORIZATION pooled;
SELECT is(shown_to(:'sam'), 'kettle, teapot, lamp', 'no purpose claimed: the clearance decides');
SELECT is(shown_to(:'sam_service'), 'kettle, teapot, lamp', 'service takes nothing away');
SELECT is(shown_to(:'sam_analytics'), 'token, token, token', 'analytics sees pseudonyms at most');
SELECT is(shown_to(:'sam_unknown'), '[restricted], [restricted], [restricted]', 'an unknown purpose shows nothing');
SELECT is(shown_to(:'sam_claims'), '[restricted], [restricted], [restricted]', 'nor does one that is for other roles');
SELECT is(shown_to(:'sam_marketing'), 'kettle, [restricted], lamp', 'marketing sees who consents, under all records of the person');
SELECT is(shown_to(:'robo'), '[restricted], teapot, [restricted]', 'an AI agent works for ai_assist when it claims nothing');
SELECT is(shown_to(:'robo_assist'), '[restricted], teapot, [restricted]', 'ai_assist sees who consents to it');
SELECT is(shown_to(:'robo_service'), '[restricted], [restricted], [restricted]', 'service is not for AI agents');

-- also to the client, to hub.reveal() and for harmless parts
BEGIN;
SELECT hub.authenticate(:'sam_marketing') \g /dev/null
SELECT note AS ann_note, email AS ann_email FROM person WHERE id = :ann \gset
SELECT note AS bob_note, email AS bob_email FROM person WHERE id = :bob \gset
SELECT is(concat_ws(' ', :'ann_note', :'ann_email'), 'wants a kettle ann@vermeulen.example', 'the client gets what consent allows');
SELECT is(concat_ws(' ', :'bob_note', :'bob_email'), '[restricted] [restricted]', 'and no more');
SELECT throws_ok(format('SELECT hub.reveal(note) FROM person WHERE id = %L', :bob), 'CH205', NULL, 'nor does hub.reveal()');
SELECT is((SELECT hub.email_domain(email) FROM person WHERE id = :bob), NULL, 'nor the domain');
SELECT is((SELECT hub.email_domain(email) FROM person WHERE id = :ann), 'vermeulen.example', 'which is there of others');
SELECT throws_ok(format('UPDATE person SET note = email::text::hub.encrypted_text(''content'') WHERE id = %L', :bob), NULL, NULL, 'nor can it be moved to where it shows');
COMMIT;

-- consent counts from the next statement on, in both directions
BEGIN;
SELECT hub.authenticate(:'sam_marketing') \g /dev/null
SELECT hub.withdraw_consent(:annie, 'marketing') \g /dev/null
SELECT is(shown(), '[restricted], [restricted], [restricted]', 'withdrawn under any record');
SELECT hub.record_consent(:bob, 'marketing', 'telephone') \g /dev/null
SELECT is(shown(), '[restricted], teapot, [restricted]', 'given');
ROLLBACK;
SELECT is(shown_to(:'sam_marketing'), 'kettle, [restricted], lamp', 'and rolled back');

-- the right to restriction
BEGIN;
SELECT hub.authenticate(:'sam') \g /dev/null
SELECT is(shown(), 'kettle, teapot, lamp', 'before');
SELECT is(hub.restrict_processing(:annie, 'accuracy contested'), 2, 'a person restricts the processing, under all records');
SELECT is(shown(), '[restricted], teapot, [restricted]', 'the next statement shows nothing of theirs');
SELECT throws_ok(format('SELECT hub.lift_restriction(%L, ''why not'')', :ann), '42501', NULL, 'which sales cannot lift');
COMMIT;
SELECT is(shown_to(:'sam'), '[restricted], teapot, [restricted]', 'nor the next transaction');
SELECT is(shown_to(:'sam_marketing'), '[restricted], [restricted], [restricted]', 'consent to something else does not help');
SELECT is(shown_to(:'lex'), '[restricted], mask, [restricted]', 'compliance sees no mask');
SELECT is(shown_to(:'lex_claims'), 'mask, mask, mask', 'but for legal claims');
SET SESSION AUTHORIZATION cora;
SELECT is(hub.lift_restriction(:ann, 'accuracy verified'), 2, 'compliance lifts it');
SET SESSION AUTHORIZATION pooled;
SELECT is(shown_to(:'sam'), 'kettle, teapot, lamp', 'and all is as before');

-- purposes of one's own
SET SESSION AUTHORIZATION ada;
SELECT throws_ok($$SELECT hub.set_purpose('ai_assist', 'reveal', false)$$, 'CH303', NULL, 'an administrator alone changes no purpose');
RESET SESSION AUTHORIZATION;
SELECT hub.set_purpose('ai_assist', 'reveal', true, roles => '{hub_ai_agent}', assumed_for => '{hub_ai_agent}') \g /dev/null
SET SESSION AUTHORIZATION pooled;
SELECT is(shown_to(:'robo'), '[restricted], teapot, [restricted]', 'a purpose can be assumed for who claims none');
RESET SESSION AUTHORIZATION;
SELECT hub.set_purpose('ai_assist', 'reveal', true, roles => '{hub_ai_agent}') \g /dev/null
SET SESSION AUTHORIZATION pooled;
SELECT is(shown_to(:'robo'), 'kettle, teapot, lamp', 'one set anew is assumed for those only that it now says');
SELECT is(shown_to(:'sam'), 'kettle, teapot, lamp', 'which others do not notice');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*)::int FROM hub.audit_event WHERE kind = 'consent' AND details ->> 'step' LIKE 'restrict%'), 2, 'restrictions are on record');
SELECT is((SELECT count(*)::int FROM hub.audit_event WHERE kind = 'config' AND relation = 'hub.purpose_own'), 2, 'and so are purposes');
SELECT * FROM finish();
\! rm -f "$KEY"
