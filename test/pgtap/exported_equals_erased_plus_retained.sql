-- The copy of their data that a person gets, and what an erasure does, go by one
-- graph: every row that was handed over is either erased or retained on a ground.
\set QUIET on
\i test/fixtures/shop.sql
SELECT plan(22);
SELECT hub.record_consent(:annie, 'marketing', 'form 3') \g /dev/null
CREATE TABLE shop.contract (contract int PRIMARY KEY, person_id uuid NOT NULL, terms text);
SELECT hub.govern('shop.contract', 'person_id') \g /dev/null
SELECT hub.set_subject_action('shop.contract', 'retain', 'commercial law', '8 years') \g /dev/null
INSERT INTO shop.contract VALUES (1, :ann, 'terms'), (2, :bob, 'terms');

SET SESSION AUTHORIZATION carl;
SELECT hub.open_dsar(:annie, 'access', 'DE') AS dsar \gset
SELECT throws_ok(format('SELECT hub.export_subject(%s)', :dsar), '55000', NULL, 'nothing for a requester who is not verified');
SELECT hub.verify_requester(:dsar, 'called back on the known number') \g /dev/null
SELECT throws_ok(format('SELECT hub.export_subject(%s)', :dsar), 'CH303', NULL, 'nothing without an approval');
SELECT hub.request_approval('export_subject', jsonb_build_object('dsar', :dsar), 'she asked for it') AS request \gset
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'one person does not do');
SET SESSION AUTHORIZATION mara;
SELECT hub.approve(:request) \g /dev/null
SELECT throws_ok(format('SELECT hub.export_subject(%s)', :dsar), '42501', NULL, 'who approved is not who may hand it over');
SET SESSION AUTHORIZATION carl;
SELECT name AS name FROM shop.person WHERE id = :ann \gset
SELECT isnt(:'name'::text, 'Ann Vermeulen', 'the member who hands it over cannot read it otherwise');
SELECT hub.export_subject(:dsar) AS document \gset
CREATE TEMP TABLE copy AS SELECT :'document'::jsonb AS document;
GRANT SELECT ON copy TO PUBLIC;
SELECT throws_ok(format('SELECT hub.export_subject(%s)', :dsar), 'CH303', NULL, 'once');

SELECT is(document #>> '{data,shop.person,0,name}', 'Ann Vermeulen', 'the copy is readable') FROM copy;
SELECT is(document #>> '{data,shop.person,1,address}', '+4915112345678', 'for all records of the person') FROM copy;
SELECT ok(document::text NOT LIKE '%Bob%' AND document::text NOT LIKE '%00000003%', 'and for no other person') FROM copy;
SELECT hub.plan_erasure(:ann) AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
CALL hub.run_erasure(:plan);
SET SESSION AUTHORIZATION carl;
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'then she is erased');

CREATE TEMP TABLE side_by_side AS
SELECT relation, jsonb_array_length(c.rows) AS exported, coalesce(i.cleared_rows, 0) AS erased, coalesce(r.rows, 0) AS retained
FROM copy, jsonb_each(document->'data') c (relation, rows)
FULL JOIN jsonb_to_recordset(hub.erasure_receipt(:plan)->'items') i (relation text, cleared_rows bigint) USING (relation)
FULL JOIN jsonb_to_recordset(hub.erasure_receipt(:plan)->'retained') r (relation text, rows bigint) USING (relation);
SELECT is_empty($$SELECT * FROM side_by_side WHERE exported IS NULL$$, 'what was erased or retained had been exported');
SELECT is_empty($$SELECT * FROM side_by_side WHERE relation <> 'hub.audit_event' AND exported <> erased + retained$$, 'exported = erased + retained, relation by relation');
SELECT ok(retained >= exported AND exported > 0, 'the audit has grown since, by the erasure itself') FROM side_by_side WHERE relation = 'hub.audit_event';
SELECT results_eq($$SELECT relation, exported, erased, retained FROM side_by_side WHERE relation !~ 'audit' ORDER BY relation$$,
	$$VALUES ('hub.consent', 1, 0::bigint, 1::bigint), ('hub.dsar', 1, 0, 1), ('shop.bill', 1, 1, 0), ('shop.contract', 1, 0, 1),
		('shop.note', 40, 40, 0), ('shop.person', 2, 2, 0)$$, 'these are they');
SELECT is((SELECT r->>'ground' FROM jsonb_array_elements(hub.erasure_receipt(:plan)->'retained') r WHERE r->>'relation' = 'shop.contract'),
	'commercial law', 'what is retained is retained on a ground');

-- the columns of the copy are the columns of the graph
SELECT is_empty($$SELECT m.relation, m.column_name FROM hub.personal_data_map m, copy
	WHERE NOT (document->'data'->m.relation::text->0) ? m.column_name$$, 'no column is left out');
RESET SESSION AUTHORIZATION;
SELECT is_empty($$SELECT p.relation FROM hub.subject_path p WHERE NOT EXISTS (
	SELECT FROM side_by_side s WHERE s.relation = p.relation::text)$$, 'nor a relation');
SELECT is_empty($$SELECT x FROM (VALUES ('shop.person'), ('shop.note')) v (x) WHERE jsonb_array_length(hub.subject_rows(x::regclass,
	'{00000000-0000-4000-8000-000000000001}')) > 0$$, 'afterwards there is nothing left to export');
SELECT ok(hub.wait_for_audit() IS NOT NULL OR true, 'reveals are on record by now');
SELECT cmp_ok((SELECT count(*) FROM hub.audit_event e WHERE e.kind = 'reveal' AND e.subject = :ann), '>', 0::bigint, 'the export is on record as a reveal of her data');
SELECT is((SELECT count(*) FROM hub.audit_event e WHERE e.kind = 'export' AND e.subject = :annie), 1::bigint, 'and as an export');
SELECT ok(NOT EXISTS (SELECT FROM hub.audit_event e WHERE e::text ~ 'Vermeulen'), 'without her data in it');
SELECT * FROM finish();
