-- What the questions answer from the index of the trail is what reading all of it
-- gives: across chunks, in the middle of a large transaction, with transactions that
-- commit late, before and after sealing; and an index that was changed gives none.
-- No transaction around this file, since sealing and indexing need commits.
SELECT plan(38);
CREATE ROLE cora LOGIN;
CREATE ROLE annika LOGIN;
CREATE ROLE leo LOGIN;
SELECT hub.add_member('cora@example.com', 'hub_compliance', 'cora', '{DE}', '{}', '{}') AS cora \gset
SELECT hub.add_member('annika@example.com', 'hub_agent', 'annika', '{DE}', '{}', '{}') AS annika \gset
SELECT hub.add_member('leo@example.com', 'hub_agent', 'leo', '{DE}', '{}', '{}') AS leo \gset
UPDATE hub.member SET active = false, deactivated_at = now() - interval '1 hour' WHERE member_id = :leo;
CREATE TABLE public.thing (id int PRIMARY KEY, person uuid NOT NULL, region hub.region, line int, team int, colour text);
SELECT hub.classify('public.thing', c, 'public') FROM unnest('{id,region,line,team,colour}'::name[]) c \g /dev/null
SELECT hub.govern('public.thing', 'person', 'region', 'line', 'team') \g /dev/null

-- events of all kinds, of the session's own and as the audit worker writes them
CREATE FUNCTION public.happen(from_n int, to_n int) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(hub.record_event(
		CASE WHEN n % 3 = 0 THEN 'reveal' WHEN n % 50 = 1 THEN 'denied' WHEN n % 50 = 2 THEN 'export' WHEN n % 50 = 4 THEN 'break_glass'
			WHEN n % 50 = 5 THEN 'erasure' ELSE 'consent' END::hub.audit_kind,
		CASE WHEN n % 50 NOT IN (1, 2) THEN md5((n % 20)::text)::uuid END,
		CASE WHEN n % 3 = 0 OR n % 50 = 1 THEN jsonb_build_object('session', '1.1', 'at', clock_timestamp(), 'login', m.db_role, 'member', m.member_id,
				'role', m.role, 'class', CASE n % 4 WHEN 0 THEN 'basic' ELSE 'contact' END, 'reveal', 'full')
			WHEN n % 100 = 2 THEN jsonb_build_object('action', 'audit_read', 'query', 'test') ELSE '{"request": "7"}' END))
	FROM generate_series(from_n, to_n) n JOIN hub.member m ON m.external_id = CASE WHEN n % 7 = 0 THEN 'leo@example.com' ELSE 'annika@example.com' END
$$;
CREATE FUNCTION public.differences(answer text, by_hand text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE format('WITH answer AS (%s), by_hand AS (SELECT e.xid, e.ordinal FROM hub.audit_entry e WHERE %s)
		SELECT format(''%%s wrong of %%s'', (SELECT count(*) FROM (SELECT * FROM answer EXCEPT ALL SELECT * FROM by_hand) a)
				+ (SELECT count(*) FROM (SELECT * FROM by_hand EXCEPT ALL SELECT * FROM answer) b),
			CASE WHEN EXISTS (SELECT FROM by_hand) THEN ''some'' ELSE ''none'' END)', answer, by_hand) INTO result;
	RETURN result;
END
$$;
CREATE FUNCTION public.check_all(moment text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	person uuid := md5('5');
	annika int := (SELECT member_id FROM hub.member WHERE db_role = 'annika');
BEGIN
	RETURN NEXT public.is(public.differences(format('SELECT xid, ordinal FROM hub.who_viewed(%L)', person),
		format('e.kind = ''reveal'' AND e.subject = %L', person)), '0 wrong of some', moment || ': who viewed a person');
	RETURN NEXT public.is(public.differences(format('SELECT xid, ordinal FROM hub.activity_of(%s)', annika),
		format('e.member_id = %s', annika)), '0 wrong of some', moment || ': what a member did');
	RETURN NEXT public.is(public.differences(format('SELECT xid, ordinal FROM hub.erasure_proof(%L)', person),
		format('e.kind = ''erasure'' AND e.subject = %L', person)), '0 wrong of some', moment || ': the erasure of a person');
	RETURN NEXT public.is(public.differences('SELECT xid, ordinal FROM hub.denied_attempts()', 'e.kind = ''denied'''), '0 wrong of some', moment || ': refusals');
	RETURN NEXT public.is(public.differences('SELECT xid, ordinal FROM hub.exports()', 'e.kind = ''export'' AND NOT e.details ? ''action'''),
		'0 wrong of some', moment || ': exports');
	RETURN NEXT public.is(public.differences('SELECT xid, ordinal FROM hub.break_glass_uses()', 'e.kind = ''break_glass'''), '0 wrong of some', moment || ': break-glass uses');
	RETURN NEXT public.is(public.differences('SELECT xid, ordinal FROM hub.privilege_changes()', 'e.kind IN (''config'', ''ddl'')
		AND (e.relation IN (''hub.member'', ''hub.governed'', ''hub.classification'') OR e.operation ~ ''GRANT|ROLE|POLICY'')'), '0 wrong of some', moment || ': privileges');
	RETURN NEXT public.is(public.differences('SELECT xid, ordinal FROM hub.access_by_leavers()', format('e.member_id = %s
		AND e.kind <> ''row'' AND e.kind <> ''config''', (SELECT member_id FROM hub.member WHERE db_role = 'leo'))), '0 wrong of some', moment || ': leavers');
	RETURN NEXT public.is(public.differences('SELECT xid, ordinal FROM hub.field_history(''public.thing'', ''{"id": 7}'', ''colour'')',
		'e.relation = ''public.thing'' AND e.row_key = ''{"id": 7}'''), '0 wrong of some', moment || ': the history of a field');
	RETURN NEXT public.results_eq(format('SELECT subject, data_class, reveals, first_seen, last_seen FROM hub.breach_scope(%s)', annika),
		format('SELECT subject, details ->> ''class'', count(*), min(happened_at), max(happened_at) FROM hub.audit_entry
			WHERE kind = ''reveal'' AND member_id = %s GROUP BY 1, 2 ORDER BY 1, 2', annika), moment || ': the scope of a breach');
END
$$;

INSERT INTO public.thing SELECT i, gen_random_uuid(), 'DE', 1, 1, 'red' FROM generate_series(1, 20) i;
UPDATE public.thing SET colour = 'blue';
SELECT public.happen(1, 200) \g /dev/null
SELECT public.check_all('no index yet');

-- one transaction of more than two chunks, and one that began before it and commits later
BEGIN;
SELECT public.happen(1, 30) \g /dev/null
PREPARE TRANSACTION 'late';
SELECT public.happen(1, 20000) \g /dev/null
CALL hub.seal_audit();
DO $$
BEGIN
	FOR i IN 1..1200 LOOP
		EXIT WHEN (SELECT count(*) FROM hub.audit_posting_chunk) >= 2;
		PERFORM pg_sleep(0.05);
		COMMIT;
	END LOOP;
END
$$;
COMMIT PREPARED 'late';
UPDATE public.thing SET colour = 'green';
SELECT public.happen(1, 200) \g /dev/null
SELECT ok(to_xid > 0, 'the last chunk ends within a block') FROM hub.audit_posting_chunk ORDER BY chunk DESC LIMIT 1;
SELECT public.check_all('chunks and a rest');
CALL hub.seal_audit();
SELECT is(public.differences(format('SELECT xid, ordinal FROM hub.who_viewed(%L)', md5('5')), format('e.kind = ''reveal'' AND e.subject = %L', md5('5'))),
	'0 wrong of some', 'a rest of which some is sealed');
SELECT is(public.differences(format('SELECT xid, ordinal FROM hub.who_viewed(%L, NULL, NULL)', md5('5')), format('e.kind = ''reveal'' AND e.subject = %L', md5('5'))),
	'0 wrong of some', 'a bound that is NULL is none');
SELECT is_empty(format('SELECT * FROM hub.who_viewed(%L, ''2020-01-01'', ''2020-02-01'')', md5('5')), 'a time of which there is nothing');
SELECT is(count(DISTINCT external_id), 2::bigint, 'members are named') FROM hub.denied_attempts;

-- who does not exist
SELECT throws_ok('SELECT * FROM hub.activity_of(4711)', '42704', NULL, 'no member of that number');
SELECT throws_ok('SELECT * FROM hub.activity_of(NULL)', '42704', NULL, 'or of none');
SELECT throws_ok('SELECT * FROM hub.breach_scope(4711)', '42704', NULL, 'no scope without a member');
SELECT throws_ok('SELECT * FROM hub.breach_scope(''nobody''::name)', '42704', NULL, 'or a login');
SELECT throws_ok('SELECT * FROM hub.who_viewed(gen_random_uuid())', '42704', NULL, 'a person of whom nothing is known');

-- whoever changes the index gets no answer from it
SET SESSION AUTHORIZATION cora;
SELECT throws_ok('SELECT count(*) FROM hub.audit_posting', '42501', NULL, 'compliance does not get at the index');
SELECT throws_ok('SELECT * FROM hub.audit_find(''{kind}'', ''{denied}'', ''-infinity'', ''infinity'')', '42501', NULL, 'nor looks things up without leaving a trace');
RESET SESSION AUTHORIZATION;
BEGIN;
DELETE FROM hub.audit_posting WHERE chunk = 1;
SELECT throws_ok('SELECT * FROM hub.denied_attempts', 'XX001', NULL, 'postings that were taken away');
ROLLBACK;
BEGIN;
UPDATE hub.audit_posting SET entries = (SELECT o.entries FROM hub.audit_posting o WHERE o.bucket = audit_posting.bucket AND o.chunk = 0);
SELECT throws_ok('SELECT * FROM hub.denied_attempts', 'XX001', NULL, 'postings of another chunk');
ROLLBACK;
BEGIN;
DELETE FROM hub.audit_posting_chunk WHERE chunk = 0;
SELECT throws_ok('SELECT * FROM hub.denied_attempts', 'XX001', NULL, 'a chunk that was taken away');
ROLLBACK;
BEGIN;
UPDATE hub.audit_posting_chunk SET last_at = first_at WHERE chunk = 1;
SELECT throws_ok('SELECT * FROM hub.denied_attempts', 'XX001', NULL, 'a chunk that is said to be of another time');
ROLLBACK;

SELECT hub.rebuild_audit_postings() \g /dev/null
SELECT is(public.differences('SELECT xid, ordinal FROM hub.denied_attempts()', 'e.kind = ''denied'''), '0 wrong of some', 'indexed anew');
SELECT is_empty('SELECT * FROM hub.verify_audit()', 'the trail is as it was');
SELECT * FROM finish();
