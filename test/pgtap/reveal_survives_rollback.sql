-- reveal_survives_rollback: whoever saw plaintext is on record, whatever became of
-- the transaction in which it was shown. No transaction around this file: commits
-- and rollbacks are what it is about.
SELECT plan(15);

CREATE TABLE public.person (id uuid PRIMARY KEY, name hub.encrypted_text('basic'), mail hub.encrypted_email('contact'));
INSERT INTO public.person
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'Person ' || n, 'person' || n || '@example.com'
FROM generate_series(1, 9) n;
-- sealed for their subjects without the trigger of a governed table
SELECT hub.govern('public.person', 'id') \g /dev/null
UPDATE public.person SET name = 'Person ' || right(id::text, 1);
CREATE ROLE anna LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}') AS member \gset
GRANT SELECT ON public.person TO anna;
CREATE FUNCTION public.reveals_of(n int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS $$
	SELECT count(*) FROM hub.audit_event
	WHERE kind = 'reveal' AND subject = ('00000000-0000-4000-8000-00000000000' || n)::uuid
$$;

SET SESSION AUTHORIZATION anna;

BEGIN;
SELECT name FROM public.person WHERE id = '00000000-0000-4000-8000-000000000001';
ROLLBACK;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(public.reveals_of(1), 1::bigint, 'a reveal survives ROLLBACK');

BEGIN TRANSACTION READ ONLY;
SELECT name FROM public.person WHERE id = '00000000-0000-4000-8000-000000000002' \g /dev/null
COMMIT;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(public.reveals_of(2), 1::bigint, 'a reveal of a READ ONLY transaction is on record');

BEGIN;
SAVEPOINT s;
SELECT name FROM public.person WHERE id = '00000000-0000-4000-8000-000000000003' \g /dev/null
ROLLBACK TO s;
SELECT name FROM public.person WHERE id = '00000000-0000-4000-8000-000000000003' \g /dev/null
COMMIT;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(public.reveals_of(3), 1::bigint, 'once per transaction, also across a savepoint');

-- an error after the first rows: they were on their way
SET enable_seqscan = off;
SET enable_sort = off;
\set ON_ERROR_STOP off
\set VERBOSITY sqlstate
\o /dev/null
SELECT name, 1 / (6 - right(id::text, 1)::int) FROM public.person WHERE id > '00000000-0000-4000-8000-000000000003' ORDER BY id;
\o
\set ON_ERROR_STOP on
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(public.reveals_of(5), 1::bigint, 'a reveal survives an error of its own statement');
SELECT is(public.reveals_of(7), 0::bigint, 'what was not reached is not on record');

SELECT mail FROM public.person WHERE id = '00000000-0000-4000-8000-000000000008' \g /dev/null
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(public.reveals_of(8), 0::bigint, 'a mask is no reveal');

SELECT name, name::text FROM public.person WHERE id = '00000000-0000-4000-8000-000000000009' \g /dev/null
SELECT name FROM public.person WHERE id = '00000000-0000-4000-8000-000000000009' \g /dev/null
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(public.reveals_of(9), 2::bigint, 'once per transaction, again in the next');

RESET SESSION AUTHORIZATION;
SELECT is(e.details ->> 'class', 'basic', 'with the class') FROM hub.audit_event e
WHERE kind = 'reveal' AND subject = '00000000-0000-4000-8000-000000000001';
SELECT is(e.details ->> 'reveal', 'full', 'how much') FROM hub.audit_event e
WHERE kind = 'reveal' AND subject = '00000000-0000-4000-8000-000000000001';
SELECT is(e.details ->> 'login', 'anna', 'the login') FROM hub.audit_event e
WHERE kind = 'reveal' AND subject = '00000000-0000-4000-8000-000000000001';
SELECT is(e.details ->> 'role', 'hub_agent', 'the role') FROM hub.audit_event e
WHERE kind = 'reveal' AND subject = '00000000-0000-4000-8000-000000000001';
SELECT is(e.details ->> 'member', :'member', 'and the member') FROM hub.audit_event e
WHERE kind = 'reveal' AND subject = '00000000-0000-4000-8000-000000000001';
-- the worker knows nothing of a class that the reader's own transaction has added
SELECT hub.audit_worker_pid() AS worker \gset
BEGIN;
SELECT hub.add_data_class('fresh') \g /dev/null
INSERT INTO hub.clearance (role, data_class, level) VALUES ('hub_agent', 'fresh', 'reveal');
CREATE TABLE public.note (id uuid PRIMARY KEY, body hub.encrypted_text('fresh'));
SELECT hub.govern('public.note', 'id') \g /dev/null
GRANT SELECT ON public.note TO anna;
INSERT INTO public.note VALUES ('00000000-0000-4000-8000-00000000000a', 'fresh');
SET LOCAL SESSION AUTHORIZATION anna;
SELECT body FROM public.note \gset
ROLLBACK;
SELECT hub.wait_for_audit() \g /dev/null
SELECT is(hub.audit_worker_pid(), :worker, 'a class that is not there yet is no matter to the worker');
SELECT is((SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal' AND subject = '00000000-0000-4000-8000-00000000000a'),
	1::bigint, 'and the reveal is on record');
SELECT is_empty('SELECT * FROM hub.verify_audit()', 'and nothing wrong with the trail');

SELECT * FROM finish();
