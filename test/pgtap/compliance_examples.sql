-- The questions in the table of docs/compliance.md, taken from there and asked by a
-- member of compliance; only ids are filled in. Each is on record afterwards, and
-- nobody else gets an answer.
SELECT plan(8);
\i test/fixtures/desk.sql
SET SESSION AUTHORIZATION conny;
SELECT hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'Is the lamp in stock?', name => 'Mara Quint')) \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT customer_id AS customer FROM crm.customer \gset
SET SESSION AUTHORIZATION annika;
SELECT customer_id, display_name FROM crm.customer \g /dev/null
RESET SESSION AUTHORIZATION;
CREATE ROLE app LOGIN;
SELECT hub.ensure_audit_partitions() \g /dev/null
SELECT max(inhrelid::regclass::text) AS month FROM pg_inherits WHERE inhparent = 'hub.audit_event'::regclass AND inhrelid <> 'hub.audit_event_default'::regclass \gset
CALL hub.seal_audit();
SELECT hub.audit_checkpoint() AS note \gset
SELECT xid AS xid, ordinal AS ordinal FROM hub.audit_event ORDER BY xid, ordinal LIMIT 1 \gset

\setenv CUSTOMER :customer
\setenv MEMBER :annika
\setenv MONTH :month
\set samples `sh test/fixtures/compliance_examples.sh "$CUSTOMER" "$MEMBER" "$MONTH"`
CREATE TABLE public.sample AS SELECT row_number() OVER () AS number, trim(s) AS query FROM regexp_split_to_table(:'samples', '\n') s;
UPDATE public.sample SET query = replace(replace(query, '…', :'note'), 'xid, ordinal', format('%L, %s', :'xid', :'ordinal'));
GRANT SELECT ON public.sample TO cora, annika;
SELECT cmp_ok(count(*), '>=', 24::bigint, 'the page has questions') FROM public.sample;

CREATE FUNCTION public.ask() RETURNS TABLE (query text, problem text) LANGUAGE plpgsql AS $$
BEGIN
	FOR query IN SELECT s.query FROM public.sample s ORDER BY s.number LOOP
		problem := NULL;
		BEGIN
			EXECUTE query;
		EXCEPTION WHEN OTHERS THEN
			problem := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
END
$$;
SET SESSION AUTHORIZATION cora;
SELECT is_empty('SELECT * FROM public.ask() WHERE problem IS NOT NULL', 'compliance gets an answer to each');
SELECT is(string_agg(DISTINCT concat_ws(' ', external_id, role, login), ', '), 'annika hub_agent annika', 'who viewed is named') FROM hub.who_viewed(:'customer');
SELECT is(string_agg(concat_ws(' ', subject, data_class, reveals > 0, first_seen <= last_seen), ', '), concat(:'customer', ' basic t t'),
	'the scope of a breach is persons, classes, first and last time') FROM hub.breach_scope(:annika);
SELECT is_empty($$SELECT unnest('{who_viewed,activity_of,exports,privilege_changes,after_hours_access,unusual_volume,denied_attempts,break_glass_uses,access_by_leavers,field_history,breach_scope,erasure_proof,audit_access,access_by_day,audit_trail,export_audit}'::text[])
	EXCEPT SELECT query FROM hub.audit_access WHERE external_id = 'cora'$$, 'each question is on record, with who asked');
RESET SESSION AUTHORIZATION;
SELECT is_empty($$SELECT a.query FROM (VALUES ('hub.who_viewed'), ('hub.activity_of'), ('hub.breach_scope'), ('hub.field_history'), ('hub.access_by_day')) a (query)
	WHERE NOT EXISTS (SELECT FROM public.sample s WHERE position(a.query IN s.query) > 0)$$, 'the page shows those that need arguments');

SET SESSION AUTHORIZATION annika;
SELECT is_empty($$SELECT * FROM public.ask() WHERE problem IS NULL AND query !~ 'breach_rule'$$, 'an agent gets none');
SET SESSION AUTHORIZATION mara;
SELECT throws_ok('SELECT * FROM hub.who_viewed(gen_random_uuid())', '42501', NULL, 'nor does a manager');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
