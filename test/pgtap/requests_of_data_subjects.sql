-- Requests of data subjects: deadlines by the law of the place, pauses and
-- extensions only where it has them, and consent that ends when it is withdrawn.
\set QUIET on
SET timezone = 'UTC';
\i test/fixtures/shop.sql
SELECT plan(52);

-- seeds
SELECT is((SELECT count(*) FROM hub.right_rule WHERE unverified AND source_kind <> 'memory'), 0::bigint, 'rules from memory are marked');
SELECT is((SELECT count(*) FROM hub.right_rule WHERE due IS NULL AND policy_due IS NULL), 0::bigint, 'each rule has a time');
SELECT is((SELECT count(*) FROM hub.right_rule WHERE policy_due IS NOT NULL AND due IS NOT NULL), 0::bigint, 'law and house policy are kept apart');
SELECT is((SELECT count(*) FROM hub.breach_rule WHERE due IS NULL AND wording IS NULL), 0::bigint, 'each breach clock has a time or the words of the law');
SELECT is((SELECT count(*) FROM hub.right_rule WHERE source_kind <> 'memory' AND checked_on IS NULL), 0::bigint, 'what was looked up says when');

-- deadlines; received at the end of January so that months show
CREATE FUNCTION due_of(n bigint) RETURNS text LANGUAGE sql AS
	$$SELECT due_at::date || ' ' || coalesce(article, '') FROM hub.dsar_queue WHERE dsar = n$$;
CREATE FUNCTION received(kind text, jurisdiction text, received timestamptz) RETURNS text LANGUAGE plpgsql AS
	$$DECLARE n bigint; BEGIN n := hub.open_dsar('00000000-0000-4000-8000-000000000001', kind, jurisdiction, received); RETURN due_of(n); END$$;
SELECT is(received('access', 'DE', '2026-01-31'), '2026-02-28 GDPR 12(3)', 'a month, in a country of the EEA');
SELECT is(received('access', 'US-CA', '2026-01-31'), '2026-03-17 11 CCR 7021', '45 days');
SELECT is(received('opt_out', 'US-CA', '2026-01-30'), '2026-02-20 11 CCR 7026(f)', '15 business days');
SELECT is(received('access', 'US-NY', '2026-01-30'), NULL, 'no rule is known: no deadline is made up');
SELECT is((SELECT state FROM hub.dsar_queue WHERE jurisdiction = 'US-NY'), 'no rule', 'and the queue says so');
SELECT is((SELECT jurisdiction FROM hub.dsar_queue LIMIT 1), 'US-NY', 'before all others');
SELECT is(received('erasure', 'TH', '2026-01-30'), '2026-04-30 PDPC Notice 2567 (2024-11-11)', 'a rule for one right');
SELECT is(received('access', 'IN', '2026-01-30'), NULL, 'a rule that is not in force yet does not count');
SELECT is(received('access', 'JP', '2026-01-01'), '2026-01-15 APPI 33-35 "without delay"', 'house policy where the law has no number');
SELECT ok((SELECT house_policy AND rule_unverified FROM hub.dsar_queue WHERE jurisdiction = 'JP'), 'is marked as such');
INSERT INTO hub.holiday VALUES ('US', '2026-02-16');
SELECT is(received('opt_out', 'US-CA', '2026-01-30'), '2026-02-23 11 CCR 7026(f)', 'holidays are no business days');
INSERT INTO hub.right_rule_own VALUES ('JP', '{*}', NULL, NULL, NULL, NULL, 7, 'day', 'receipt', 0, NULL, NULL, false, 'counsel''s advice', 'secondary', NULL, NULL, '2026-11-01');
SELECT is(received('access', 'JP', '2026-01-01'), '2026-01-08 counsel''s advice', 'the hub''s own rule comes first');

-- pause, extension, end
SET SESSION AUTHORIZATION carl;
SELECT hub.open_dsar(:bob, 'access', 'DE', now() - interval '10 days') AS german \gset
SELECT hub.open_dsar(:bob, 'access', 'GB', now() - interval '10 days') AS british \gset
SELECT throws_ok(format('SELECT hub.pause_dsar(%s, ''who?'')', :german), '55000', NULL, 'the GDPR has no pause');
SELECT due_at AS due FROM hub.dsar_queue WHERE dsar = :british \gset
SELECT lives_ok(format('SELECT hub.pause_dsar(%s, ''who?'')', :british), 'the UK has');
SELECT is((SELECT state FROM hub.dsar_queue WHERE dsar = :british), 'paused', 'the queue says so');
SELECT hub.resume_dsar(:british), hub.verify_requester(:british, 'passport seen') \g /dev/null
SELECT cmp_ok((SELECT due_at FROM hub.dsar_queue WHERE dsar = :british), '>', :'due'::timestamptz + interval '9 days', 'there it runs from the verification on');
SELECT cmp_ok(hub.extend_dsar(:german, 'many records'), '>', now() + interval '75 days', 'an extension by two months');
SELECT throws_ok(format('SELECT hub.extend_dsar(%s, ''even more'')', :german), '55000', NULL, 'once');
SELECT hub.close_dsar(:german, 'answered') \g /dev/null
SELECT throws_ok(format('SELECT hub.close_dsar(%s, ''answered'')', :german), 'P0002', NULL, 'closed is closed');
SELECT throws_ok($$SELECT hub.open_dsar('00000000-0000-4000-8000-000000000001', 'revenge', 'DE')$$, '23514', NULL, 'an unknown kind');
SELECT throws_ok($$SELECT hub.open_dsar('00000000-0000-4000-8000-000000000001', 'access', 'Atlantis')$$, '22P02', NULL, 'an unknown place');
SELECT throws_ok($$SELECT hub.open_dsar('00000000-0000-4000-8000-000000000001', 'access', 'DE', now() + interval '1 day')$$, '22023', NULL, 'from the future');

-- consent
SELECT ok(NOT hub.consent_allows(:ann, 'marketing'), 'nobody has consented to start with');
SELECT hub.record_consent(:annie, 'marketing', 'form 3') \g /dev/null
SELECT ok(hub.consent_allows(:ann, 'marketing') AND NOT hub.consent_allows(:ann, 'profiling') AND NOT hub.consent_allows(:bob, 'marketing'),
	'a consent is for one purpose, and counts for all records of the person');
SELECT throws_ok($$SELECT hub.withdraw_consent(NULL, 'marketing')$$, '22004', NULL, 'nobody withdraws nothing');
SELECT is(hub.withdraw_consent(:ann, 'marketing', 'mail'), 1, 'it is withdrawn');
SELECT ok(NOT hub.consent_allows(:annie, 'marketing'), 'and does not count any more');
SELECT hub.record_consent(:bob, 'marketing', 'form 3', now() - interval '2 years', now() - interval '1 year') \g /dev/null
SELECT ok(NOT hub.consent_allows(:bob, 'marketing'), 'nor one that has expired');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'consent'), 3::bigint, 'all of it is on record');

-- who works with rows names only persons whose rows they see
CREATE ROLE fred LOGIN;
SELECT hub.add_member('fred', 'hub_agent', 'fred', regions => '{FR}') \g /dev/null
\set claire '\'00000000-0000-4000-8000-000000000004\''
\set clara '\'00000000-0000-4000-8000-000000000005\''
\set dora '\'00000000-0000-4000-8000-000000000006\''
\set nobody '\'00000000-0000-4000-8000-00000000000f\''
INSERT INTO shop.person (id, name, merged_into, region) VALUES (:claire, 'Claire Roux', NULL, 'FR'), (:clara, 'C. Roux', :claire, 'DE'),
	(:dora, 'Dora Lind', NULL, 'DE');
SELECT hub.record_consent(:dora, 'newsletter', 'form 3') \g /dev/null
CREATE FUNCTION answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE h text;
BEGIN
	EXECUTE statement;
	RETURN 'done';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
	RETURN concat_ws(' ', SQLSTATE, SQLERRM, h);
END
$$;
CREATE TEMP TABLE calls AS SELECT * FROM (VALUES (1, $$SELECT hub.record_consent(%L, 'profiling', 'an injection')$$),
	(2, $$SELECT hub.withdraw_consent(%L, 'newsletter')$$), (3, $$SELECT hub.restrict_processing(%L, 'an injection')$$),
	(4, $$SELECT hub.open_dsar(%L, 'erasure', 'DE')$$)) c (n, call);
GRANT SELECT ON calls TO PUBLIC;
SET SESSION AUTHORIZATION fred;
SELECT matches(answer(format(call, :dora)), '^CH205 permission denied for this data subject', 'not somebody of other regions: ' || call) FROM calls ORDER BY n;
SELECT is(answer(format(call, :dora)), answer(format(call, :nobody)), 'who is said no differently than who never was: ' || call) FROM calls ORDER BY n;
SELECT is(answer(format(call, :claire)), 'done', 'but who is of their own: ' || call) FROM calls ORDER BY n;
SELECT is(answer(format(call, :clara)), 'done', 'under each record of the person: ' || call) FROM calls ORDER BY n;
RESET SESSION AUTHORIZATION;
SELECT ok(hub.consent_allows(:dora, 'newsletter') AND NOT EXISTS (SELECT FROM hub.restricted_subject WHERE subject = :dora), 'nothing was done to who was refused');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'denied'), 12::bigint, 'each refusal is on record') FROM hub.wait_for_audit();
SELECT * FROM finish();
