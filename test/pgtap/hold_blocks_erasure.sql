-- Nobody erases or deletes what is under a legal hold, by whatever way they try.
\set QUIET on
\i test/fixtures/shop.sql
SELECT plan(21);

SET SESSION AUTHORIZATION carl;
SELECT hub.plan_erasure(:annie) AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
SELECT hub.place_hold('case 17', ARRAY[:ann]::uuid[]) AS hold \gset
SELECT is((SELECT count(*) FROM hub.held_subject), 2::bigint, 'a hold covers what was merged with the person');

-- erasure
SELECT throws_ok(format('CALL hub.run_erasure(%s)', :plan), NULL, NULL, 'run_erasure within a function commits nothing and fails');
\set ON_ERROR_STOP off
CALL hub.run_erasure(:plan);
\set refusal :LAST_ERROR_SQLSTATE
\set ON_ERROR_STOP on
SELECT is(:'refusal'::text, 'CH501', 'run_erasure is refused');
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'blocked_by_hold', 'and the plan says why');
SELECT is(hub.erasure_step(:plan), 'blocked_by_hold', 'the step function does no more');
SELECT throws_ok(format('SELECT hub.erasure_receipt(%s)', :plan), 'CH502', NULL, 'there is no receipt');
RESET SESSION AUTHORIZATION;
SELECT is(hub.subject_state(:ann), 'alive', 'the key is there');
SELECT is((SELECT count(*) FROM shop.note WHERE person_id IN (:ann, :annie)), 40::bigint, 'the rows are there');
SELECT is((SELECT count(*) FROM hub.erasure_ledger), 0::bigint, 'the ledger names nobody');

-- rows, by the owner, who is a superuser here
SELECT throws_ok($$DELETE FROM shop.note$$, 'CH501', NULL, 'DELETE is refused');
SELECT throws_ok($$DELETE FROM shop.note_old WHERE number = 1$$, 'CH501', NULL, 'DELETE from a partition too');
SELECT throws_ok($$SET LOCAL session_replication_role = replica; DELETE FROM shop.bill WHERE bill = 1$$, 'CH501', NULL,
	'also while replication replays');
SELECT lives_ok($$DELETE FROM shop.note WHERE person_id = '00000000-0000-4000-8000-000000000003' AND number = 1$$,
	'rows of others can go');

-- retention
SELECT hub.set_retention('shop.note', 'service', '*', '1 day', 'delete', 'no need') \g /dev/null
SELECT results_eq($$SELECT due_rows, held_rows FROM hub.preview_retention()$$, $$VALUES (19::bigint, 40::bigint)$$, 'the preview tells held rows apart');
CALL hub.run_retention(7);
SELECT is((SELECT array_agg(DISTINCT person_id ORDER BY person_id) FROM shop.note), ARRAY[:ann, :annie]::uuid[],
	'retention deletes around them');
SELECT is((SELECT held_rows FROM hub.retention_health WHERE relation = 'shop.note'::regclass), 40::bigint, 'and reports them');

-- release
SET SESSION AUTHORIZATION carl;
SELECT throws_ok(format('SELECT hub.release_hold(%s)', :hold), 'CH303', NULL, 'a hold is not released without an approval');
SELECT hub.request_approval('release_hold', jsonb_build_object('hold', :hold), 'case closed') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request) \g /dev/null
SELECT hub.release_hold(:hold) \g /dev/null
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'approved', 'its release makes the erasure ready again');
CALL hub.run_erasure(:plan);
SELECT is((SELECT status::text FROM hub.erasure_plan WHERE plan = :plan), 'erased', 'which then runs on the approval it had');
SELECT throws_ok($$SELECT hub.place_hold('case 18', '{00000000-0000-4000-8000-000000000002}')$$, 'CH004', NULL,
	'an erased person cannot be held any more');
SELECT lives_ok($$SELECT hub.place_hold('case 19', '{00000000-0000-4000-8000-000000000003}')$$, 'others can');
SELECT * FROM finish();
