-- The privacy room: what its functions answer, and what they refuse.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ON_ERROR_STOP off
\pset null '(null)'

-- canonical JSON, RFC 8785
SELECT hub.canonical_json('{"b": 1, "a": [true, null, "x\ty", {"z": -9007199254740991}], "B": ""}');
SELECT hub.canonical_json('"bare"'), hub.canonical_json('[]'), hub.canonical_json('{}'), hub.canonical_json('1.0');
SELECT hub.canonical_json('1.5');
SELECT hub.canonical_json('9007199254740992');
SELECT hub.canonical_json('{"ä": 1}');

-- bigint subjects
SELECT id, hub.subject_of(id), hub.bigint_subjects(ARRAY[hub.subject_of(id), '00000000-0000-4000-8000-000000000001'])
FROM (VALUES (0::bigint), (1), (-1), (9223372036854775807), (-9223372036854775808)) v (id);

-- pseudonyms are stable, keyed and not the subject
SELECT hub.subject_pseudonym('00000000-0000-4000-8000-000000000001') ~ '^sub_[0-9a-f]{32}$' AS shape,
	hub.subject_pseudonym('00000000-0000-4000-8000-000000000001') = hub.subject_pseudonym('00000000-0000-4000-8000-000000000001') AS stable,
	hub.subject_pseudonym('00000000-0000-4000-8000-000000000001') <> hub.subject_pseudonym('00000000-0000-4000-8000-000000000002') AS apart;

-- the subject graph of a small shop
\i test/fixtures/shop.sql
SELECT relation, path, action, ground, step, of_engine FROM hub.subject_path ORDER BY step, relation::text;
SELECT relation, column_name, data_class, encrypted, searchable, is_key FROM hub.personal_data_map ORDER BY relation::text, column_name;
SELECT severity, relation, column_name, problem FROM hub.check_subject_graph();
SELECT hub.redacted_columns('shop.person', 'redact'), hub.redacted_columns('shop.person', 'null_tags'),
	hub.redacted_columns('shop.person', 'delete'), hub.redacted_columns('shop.person', 'redact', 'contact');
SELECT hub.subject_family(:ann), hub.subject_family(:annie) = hub.subject_family(:ann) AS same, hub.subject_family(:bob);

CREATE TABLE shop.open (person_id uuid REFERENCES shop.person, remark text);
CREATE TABLE shop.unreached (phone hub.encrypted_phone('contact'), secret hub.encrypted_text);
CREATE TABLE shop.visit (id bigint PRIMARY KEY, at timestamptz NOT NULL, place text NOT NULL, mood text);
SELECT hub.govern('shop.visit', 'id');
SELECT hub.set_subject_action('shop.visit', 'redact', 'statistics');
SELECT hub.set_subject_action('shop.note', 'retain', 'case law', '3 years');
SELECT severity, relation, column_name, problem FROM hub.check_subject_graph();
SELECT hub.plan_erasure(:bob);
DROP TABLE shop.unreached, shop.open;
SELECT hub.classify('shop.visit', 'at', 'public');
SELECT hub.set_subject_action('shop.note', 'delete', 'no ground to keep it');

-- refusals
SELECT hub.set_subject_action('shop.nowhere', 'delete', 'x');
SELECT hub.set_subject_action('pg_class', 'delete', 'x');
SELECT hub.set_subject_action('shop.bill', 'delete', ' ');
SELECT hub.set_subject_action('shop.bill', 'delete', 'x', '1 year');
SELECT hub.set_subject_merge('shop.bill', 'amount');
SELECT hub.place_hold('', ARRAY[:bob]::uuid[]);
SELECT hub.place_hold('case', '{}');
SELECT hub.release_hold(99);
SELECT hub.plan_erasure(NULL);
SELECT hub.plan_erasure('00000000-0000-4000-8000-0000000000ff');
CALL hub.run_erasure(99);
SELECT hub.erasure_receipt(99);
SELECT hub.erasure_step(99, 0);
SELECT hub.set_backup_retention('-1 day');
SELECT hub.verify_receipt('{}'), hub.verify_receipt('[]'), hub.verify_receipt('"x"'), hub.verify_receipt('{"signature": 5}');
SELECT hub.verify_receipt('{}', 'ed25519:xx');
CALL hub.replay_erasures('{}');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT hub.place_hold('case', ARRAY[:bob]::uuid[]);
ROLLBACK;

-- who may
SET SESSION AUTHORIZATION sam;
SELECT hub.plan_erasure(:bob);
SELECT hub.place_hold('case', ARRAY[:bob]::uuid[]);
SELECT hub.destroy_subject_key(:bob);
SELECT hub.destroy_subjects(1, ARRAY[:bob]::uuid[], now());
SELECT hub.replay_keys('{}');
SELECT hub.sign_statement('{}');
SELECT count(*) FROM hub.erasure_plan;
SELECT count(*) FROM hub.suppression;
RESET SESSION AUTHORIZATION;
CREATE ROLE walter LOGIN IN ROLE hub_compliance;
SET SESSION AUTHORIZATION walter;
SELECT hub.plan_erasure(:bob);
RESET SESSION AUTHORIZATION;

-- a plan, its approval and its run
INSERT INTO shop.visit VALUES (4711, '2026-01-01', 'shop', 'happy');
SET SESSION AUTHORIZATION mara;
SELECT hub.plan_erasure(:annie) AS plan \gset
SELECT item, relation_name, action, ground, columns, planned_rows FROM hub.erasure_plan_item WHERE NOT relation_name ~ '^hub' ORDER BY item;
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'she asked for it') AS request \gset
SELECT hub.erasure_step(:plan);
SET SESSION AUTHORIZATION carl;
CALL hub.run_erasure(:plan);
SELECT hub.approve(:request);
BEGIN;
CALL hub.run_erasure(:plan);
ROLLBACK;
SELECT status FROM hub.erasure_plan;
CALL hub.run_erasure(:plan);
SELECT item, relation_name, action, planned_rows, cleared_rows, status FROM hub.erasure_plan_item WHERE NOT relation_name ~ '^hub' ORDER BY item;
SELECT status, approval = :request AS approved, erased_at < cleared_at AS in_order FROM hub.erasure_plan;
CALL hub.run_erasure(:plan);
SELECT hub.plan_erasure(:annie);
SELECT hub.verify_receipt(hub.erasure_receipt(:plan));
SELECT jsonb_object_keys(hub.erasure_receipt(:plan)) ORDER BY 1;
SELECT hub.erasure_receipt(:plan)->'items', hub.erasure_receipt(:plan)->'approvers';
SELECT member, hub.verify_receipt(jsonb_set(r, ARRAY[member], '"other"')) AS verifies
FROM hub.erasure_receipt(:plan) r, jsonb_object_keys(r) member ORDER BY 1;
RESET SESSION AUTHORIZATION;

-- a bigint subject, redacted
SELECT hub.plan_erasure(hub.subject_of(4711)) AS plan \gset
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'asked') AS request \gset
SET SESSION AUTHORIZATION cora;
SELECT hub.approve(:request);
RESET SESSION AUTHORIZATION;
CALL hub.run_erasure(:plan);
SELECT * FROM shop.visit;
SELECT relation_name, action, columns, cleared_rows FROM hub.erasure_plan_item WHERE plan = :plan AND cleared_rows > 0;

-- what is left to do
SELECT command FROM hub.erasure_maintenance() WHERE plan = :plan;

-- a stale plan makes way for a new one
SELECT hub.plan_erasure(:bob) AS plan \gset
UPDATE hub.erasure_plan SET status = 'approved' WHERE plan = :plan;
SELECT hub.plan_erasure(:bob);
SELECT hub.set_subject_action('shop.bill', 'delete', 'not needed after all');
SELECT hub.plan_erasure(:bob) - :plan AS next;
SELECT plan - :plan AS plan, status FROM hub.erasure_plan WHERE plan >= :plan ORDER BY plan;

-- suppression
SELECT hub.suppress('sms', '+14155550123', '2026-01-01');
SELECT hub.is_suppressed('sms', '+14155550123', '2025-12-31'), hub.is_suppressed('sms', '+14155550123', '2026-01-02'),
	hub.is_suppressed('whatsapp', '+14155550123', '2025-12-31'), hub.is_suppressed('sms', '+14155550123', NULL);
SELECT hub.suppress('sms', '+14155550123', '2025-01-01');
SELECT hub.is_suppressed('sms', '+14155550123', '2025-12-31') AS the_later_time_counts;
