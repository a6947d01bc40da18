-- owner_code_runs_as_owner: whoever owns a table owns its triggers, and the casts and functions of its types. The engine works
-- on the table with a superuser's rights; that code must not get them, or owning a table would be as good as being superuser.
SELECT plan(11);
CREATE ROLE olga LOGIN;
CREATE ROLE colin LOGIN;
CREATE ROLE mona LOGIN;
SELECT hub.add_member('colin', 'hub_compliance', 'colin', '{DE}') \g /dev/null
SELECT hub.add_member('mona', 'hub_manager', 'mona', '{DE}') \g /dev/null
CREATE SCHEMA shop AUTHORIZATION olga;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE public.ran (what text, who name DEFAULT current_user);
GRANT INSERT, SELECT ON public.ran TO PUBLIC;

SET SESSION AUTHORIZATION olga;
CREATE TYPE shop.size AS ENUM ('small', 'large');
CREATE FUNCTION shop.size_to_json(shop.size) RETURNS json LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.ran VALUES ('cast'); RETURN '{}'; END$$;
CREATE CAST (shop.size AS json) WITH FUNCTION shop.size_to_json(shop.size);
CREATE FUNCTION shop.note_who() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.ran VALUES (TG_ARGV[0]); RETURN coalesce(NEW, OLD); END$$;
CREATE TABLE shop.person (person_id uuid PRIMARY KEY, region hub.region, name hub.encrypted_text('basic'), size shop.size DEFAULT 'small');
CREATE TABLE shop.visit (person_id uuid, region hub.region, at timestamptz, name hub.encrypted_text('basic'));
SELECT hub.govern('shop.person', 'person_id', 'region'), hub.govern('shop.visit', 'person_id', 'region') \g /dev/null
SELECT hub.classify('shop.person', 'size', 'basic') \g /dev/null
CREATE TRIGGER a BEFORE DELETE ON shop.person FOR EACH ROW EXECUTE FUNCTION shop.note_who('before');
CREATE TRIGGER b AFTER DELETE ON shop.person FOR EACH STATEMENT EXECUTE FUNCTION shop.note_who('after');
CREATE CONSTRAINT TRIGGER c AFTER DELETE ON shop.person DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.note_who('deferred');
CREATE TRIGGER a BEFORE UPDATE OR DELETE ON shop.visit FOR EACH ROW EXECUTE FUNCTION shop.note_who('retention');
CREATE CONSTRAINT TRIGGER c AFTER UPDATE OR DELETE ON shop.visit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.note_who('retention, deferred');
RESET SESSION AUTHORIZATION;
SELECT hub.set_subject_action('shop.person', 'delete', 'no need') \g /dev/null
SELECT hub.set_subject_action('shop.visit', 'redact', 'no need') \g /dev/null
SELECT hub.set_retention_clock('shop.visit', 'at') \g /dev/null
SELECT hub.set_retention('shop.visit', 'service', '*', '1 day', 'delete', 'no need') \g /dev/null
INSERT INTO shop.person VALUES (md5('a')::uuid, 'DE', 'Ann'), (md5('b')::uuid, 'DE', 'Ben');
INSERT INTO shop.visit VALUES (md5('b')::uuid, 'DE', now() - interval '3 days', 'Ben');

-- the copy for a data subject
SET SESSION AUTHORIZATION colin;
SELECT hub.open_dsar(md5('a')::uuid, 'access', 'DE', now()) AS dsar \gset
SELECT hub.verify_requester(:dsar, 'passport') \g /dev/null
SELECT hub.request_approval('export_subject', jsonb_build_object('dsar', :dsar), 'asked for') AS request \gset
SET SESSION AUTHORIZATION mona;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION colin;
SELECT hub.export_subject(:dsar)->'data'->'shop.person'->0->>'size' AS size \gset
SELECT is(:'size'::text, 'small', 'a value of a type of the owner is exported');
SELECT is_empty('SELECT who FROM public.ran WHERE what = ''cast''', 'without the owner''s cast');

-- erasure
SELECT hub.plan_erasure(md5('a')::uuid) AS plan \gset
RESET SESSION AUTHORIZATION;
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'asked for') AS request \gset
SET SESSION AUTHORIZATION colin;
SELECT hub.approve(:request) \g /dev/null
CALL hub.run_erasure(:plan);
SELECT results_eq('SELECT DISTINCT what, who FROM public.ran ORDER BY 1', $$VALUES ('after', 'olga'::name), ('before', 'olga'), ('deferred', 'olga')$$,
	'triggers that an erasure fires run as the owner of the table');
SELECT results_eq(format('SELECT status::text FROM hub.erasure_plan WHERE plan = %s', :plan), $$VALUES ('erased')$$, 'which is done');

-- retention
CALL hub.run_retention();
SELECT results_eq('SELECT DISTINCT what, who FROM public.ran WHERE what LIKE ''retention%'' ORDER BY 1', $$VALUES ('retention', 'olga'::name), ('retention, deferred', 'olga')$$,
	'and those that retention fires');
SELECT is((SELECT sum(cleared_rows) FROM hub.retention_progress), 1::numeric, 'which is done');

-- what waits for the end of the caller's transaction
CREATE TEMP TABLE mine (n int);
CREATE FUNCTION pg_temp.note_who() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.ran VALUES ('caller, deferred'); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER c AFTER INSERT ON mine DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.note_who();
RESET SESSION AUTHORIZATION;
INSERT INTO shop.visit VALUES (md5('b')::uuid, 'DE', now() - interval '3 days', 'Ben');
SET SESSION AUTHORIZATION colin;
BEGIN;
INSERT INTO mine VALUES (1);
SELECT hub.retention_step(10, now()) \g /dev/null
SELECT results_eq('SELECT who FROM public.ran WHERE what = ''caller, deferred''', $$VALUES ('colin'::name)$$, 'runs as the caller when a step has it checked early');
COMMIT;
RESET SESSION AUTHORIZATION;

-- and nobody reaches the step that does it
SELECT is_empty($$SELECT r.rolname FROM pg_roles r WHERE NOT r.rolsuper AND has_function_privilege(r.oid, 'hub.change_as_owner(regclass, text, tid[])', 'EXECUTE')$$,
	'nobody may run a statement as the owner of a table');

-- binding what was there before the rules
SET SESSION AUTHORIZATION olga;
CREATE TABLE shop.letter (person_id uuid, region hub.region, body hub.encrypted_text('content'));
INSERT INTO shop.letter VALUES (md5('b')::uuid, 'DE', 'Dear Ben');
CREATE TRIGGER a BEFORE UPDATE ON shop.letter FOR EACH ROW EXECUTE FUNCTION shop.note_who('binding');
RESET SESSION AUTHORIZATION;
SELECT hub.govern('shop.letter', 'person_id', 'region') \g /dev/null
SELECT results_eq('SELECT who FROM public.ran WHERE what = ''binding''', $$VALUES ('olga'::name)$$, 'binding the rows of a table runs its triggers as its owner, whoever governs it');

-- a function in a constraint is the owner's, too
SET SESSION AUTHORIZATION olga;
CREATE FUNCTION shop.note_value(hub.region) RETURNS bool LANGUAGE plpgsql AS $$BEGIN PERFORM set_config('shop.who', current_user, false); RETURN true; END$$;
ALTER TABLE shop.visit ADD CHECK (shop.note_value(region));
RESET SESSION AUTHORIZATION;
INSERT INTO shop.visit VALUES (md5('c')::uuid, 'DE', now(), 'Cyd');
SELECT hub.plan_erasure(md5('c')::uuid) AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'asked for') AS request \gset
SET SESSION AUTHORIZATION colin;
SELECT hub.approve(:request) \g /dev/null
RESET SESSION AUTHORIZATION;
CALL hub.run_erasure(:plan);
SELECT is(current_setting('shop.who'), 'olga', 'a constraint that an erasure checks runs as the owner of the table');
SELECT results_eq(format('SELECT status::text FROM hub.erasure_plan WHERE plan = %s', :plan), $$VALUES ('erased')$$, 'which is done');
SELECT * FROM finish();
