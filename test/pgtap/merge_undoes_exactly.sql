-- A merge moves one pointer; undone, every row of the customer model is what it was.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(30);
-- all of schema crm but the log of merges, as text: sealed values, so that a value sealed anew would show
CREATE FUNCTION public.everything() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	target regclass;
	part text;
	whole text := '';
BEGIN
	FOR target IN SELECT c.oid FROM pg_class c
		WHERE c.relnamespace = 'crm'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'merge_log'
		ORDER BY c.relname
	LOOP
		EXECUTE format('SELECT coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text)), %L) FROM %s t', '', target) INTO part;
		whole := whole || target || part;
	END LOOP;
	RETURN whole;
END
$$;
SET SESSION AUTHORIZATION conny;
SELECT customer_id AS mara FROM hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'on whatsapp', name => 'Mara Quint')) \gset
SELECT customer_id AS juno FROM hub.ingest(:telegram, telegram(77, 1, 'on telegram')) \gset
SELECT customer_id AS third FROM hub.ingest(:whatsapp, whatsapp('4915550000003', 'wamid.3', 'on whatsapp, too')) \gset
SELECT customer_id AS french FROM hub.ingest(:french_whatsapp, whatsapp('4915550000001', 'wamid.1', 'en France')) \gset

SET SESSION AUTHORIZATION annika;
SELECT everything() AS before \gset
SELECT hub.merge_customers(:'mara', :'juno') AS merge \gset
SELECT isnt(everything(), :'before', 'the test sees what changes');
SELECT is(ARRAY(SELECT hub.same_person(:'juno')), ARRAY[:'mara', :'juno']::uuid[], 'both are one person');
SELECT results_eq(format('SELECT body::text FROM hub.timeline(%L)', :'mara'), format('SELECT body::text FROM hub.timeline(%L)', :'juno'),
	'with one timeline');
SELECT is((SELECT count(*) FROM hub.timeline(:'juno')), 2::bigint, 'of both their messages');
SELECT is(hub.customer_profile(:'juno') ->> 'customer_id', :'mara', 'and one portrait');
SELECT is(jsonb_array_length(hub.customer_profile(:'mara') -> 'identities'), 2, 'with the addresses of both');
SELECT lives_ok(format('SELECT hub.unmerge(%s)', :merge), 'it is undone');
SELECT is(everything(), :'before', 'exactly');
SELECT is((SELECT count(*) FROM hub.timeline(:'juno')), 1::bigint, 'their timelines are apart');
SELECT is((SELECT undone_at IS NOT NULL AND undone_by IS NOT NULL FROM crm.merge_log WHERE merge_id = :merge), true, 'the log says who undid it');
SELECT throws_ok(format('SELECT hub.unmerge(%s)', :merge), 'CH604', NULL, 'which happens once');

-- what comes in between stays with whom it came from
SELECT hub.merge_customers(:'mara', :'juno') AS merge \gset
SET SESSION AUTHORIZATION conny;
SELECT is(customer_id, :'juno', 'a message to a merged customer keeps its customer') FROM hub.ingest(:telegram, telegram(77, 2, 'later'));
SET SESSION AUTHORIZATION annika;
SELECT is((SELECT count(*) FROM hub.timeline(:'mara')), 3::bigint, 'and is in the timeline of the person');
SELECT throws_ok(format('SELECT hub.unmerge(%s - 1)', :merge), 'CH604', NULL, 'the number of a merge that was undone does not undo the next');
SELECT hub.unmerge(:merge) \g /dev/null
SELECT is((SELECT count(*) FROM hub.timeline(:'juno')), 2::bigint, 'and goes back with it');
SELECT is((SELECT count(*) FROM hub.timeline(:'mara')), 1::bigint, 'to the last row');

-- merges upon merges, undone in any order
SELECT everything() AS before \gset
SELECT hub.merge_customers(:'juno', :'third') AS inner_merge \gset
SELECT hub.merge_customers(:'mara', :'juno') AS outer_merge \gset
SELECT is((SELECT count(*) FROM hub.same_person(:'third')), 3::bigint, 'three are one person');
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %L)', :'third', :'mara'), 'CH604', NULL, 'no circle can arise');
SELECT hub.unmerge(:inner_merge) \g /dev/null
SELECT is((SELECT count(*) FROM hub.same_person(:'third')), 1::bigint, 'the inner merge can go first');
SELECT hub.unmerge(:outer_merge) \g /dev/null
SELECT is(everything(), :'before', 'and then all is as before');

-- refusals
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %1$L)', :'mara'), 'CH604', NULL, 'not with itself');
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %L)', :'mara', gen_random_uuid()), 'CH604', NULL, 'not with nobody');
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %L)', :'mara', :'french'), 'CH303', NULL, 'not across regions without an approval');
SELECT throws_ok(format('UPDATE crm.customer SET merged_into = %L WHERE customer_id = %L', :'mara', :'french'), 'CH303', NULL, 'nor past the function');
SELECT throws_ok(format('UPDATE crm.customer SET merged_into = %L WHERE customer_id = %L', gen_random_uuid(), :'mara'), 'CH604', NULL, 'nor into nobody');
SELECT hub.request_approval('merge_regions', jsonb_build_object('survivor', :'mara', 'merged', :'french'), 'the same person, she says') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
SET SESSION AUTHORIZATION annika;
SELECT is(hub.approved_merge(:'mara', :'french'), NULL, 'asking for the approval does not use it up');
SELECT lives_ok(format('SELECT hub.merge_customers(%L, %L)', :'mara', :'french'), 'with one it is done');
SELECT is((SELECT approval_id FROM crm.merge_log WHERE customer_id = :'french'), :request::bigint, 'which the log names');
SET SESSION AUTHORIZATION sam;
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %L)', :'mara', :'french'), 'CH604', NULL, 'not by a member who does not see both');
SET SESSION AUTHORIZATION conny;
SELECT throws_ok(format('SELECT hub.merge_customers(%L, %L)', :'mara', :'juno'), '42501', NULL, 'and not by a connector');
SELECT * FROM finish();
ROLLBACK;
