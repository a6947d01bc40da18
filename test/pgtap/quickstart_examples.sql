-- The SQL of docs/quickstart.md, run from its first line to its last. The two
-- statements that it shows being refused are left out: one is tried afterwards, the
-- other, COPY TO, in copy_out_is_refused.
SELECT current_user AS owner \gset
\set script `mktemp`
\setenv SCRIPT :script
\! awk '/^```sql/ { inside = 1; next } /^```/ { inside = 0 } inside' docs/quickstart.md | grep -vxE 'COPY crm.customer TO STDOUT;|SELECT hub.approve\(1\);' >"$SCRIPT"
\o /dev/null
\i :script
\o
\! rm -f "$SCRIPT"
\c - :owner
SELECT plan(6);
SELECT is((SELECT count(*)::int FROM crm.event_ledger), 2, 'two messages were taken in');
SELECT is((SELECT count(*)::int FROM crm.customer), 0, 'and their customer is erased');
SELECT is((SELECT status::text FROM hub.erasure_plan), 'erased', 'as the page says');
SELECT ok((SELECT hub.verify_receipt(hub.erasure_receipt(1))), 'the receipt verifies');
SELECT is((SELECT string_agg(seen, ', ' ORDER BY seen) FROM (
	SELECT concat_ws(' ', w.login, w.data_class, count(*)) AS seen
	FROM (SELECT DISTINCT subject FROM hub.audit_trail() WHERE kind = 'reveal') s, hub.who_viewed(s.subject) w
	GROUP BY w.login, w.data_class) v),
	'alice basic 1, alice content 1, sam basic 2, sam contact 1, sam content 1', 'members were shown what the page says');

-- what it shows being refused
SET SESSION AUTHORIZATION alice;
SELECT hub.request_approval('export', '{"relation": "crm.message", "columns": ["kind"], "max_rows": 1}', 'to try it') AS request \gset
SELECT throws_ok(format('SELECT hub.approve(%s)', :request), 'CH304', NULL, 'nobody approves what they asked for');
RESET SESSION AUTHORIZATION;
SELECT * FROM finish();
