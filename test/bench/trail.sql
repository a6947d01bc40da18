-- A trail of :events events over the twelve months to come, as 200 members and
-- 100 000 data subjects would leave it: of six events three are changes of rows, two
-- reveals, one of another kind. It is written to the tables as a restore would,
-- as the trail of another database, so its tags are none and it does not verify.
-- at once: the sealer closes what another database left as soon as this one has events
BEGIN;
INSERT INTO hub.audit_origin VALUES (1, 0, 0, 0);
SELECT format('CREATE ROLE %I LOGIN', l) FROM (SELECT 'login' || i FROM generate_series(1, 199) i UNION ALL SELECT 'cora') r (l) \gexec
SELECT hub.add_member('member' || i, (ARRAY['hub_agent', 'hub_agent', 'hub_agent', 'hub_sales'])[i % 4 + 1], 'login' || i, '{DE}', '{}', '{}')
FROM generate_series(1, 199) i \g /dev/null
SELECT hub.add_member('cora', 'hub_compliance', 'cora', '{DE}', '{}', '{}') \g /dev/null
UPDATE hub.member SET active = false, deactivated_at = date_trunc('month', now(), 'UTC') + interval '11 months' WHERE member_id IN (50, 100, 150);
SELECT hub.ensure_audit_partitions(13) \g /dev/null

CREATE TEMPORARY VIEW happening AS
SELECT i, i % 6 AS step, abs(hashint8(i)) % 100000 AS subject, 1 + abs(hashint8(i / 6 + 7)) % 200 AS member, d.xid, a.at,
	md5(i::text) AS noise, i / 6 % 100 AS other
FROM generate_series(0::bigint, :events - 1) i
	CROSS JOIN LATERAL (SELECT 1000 + i - CASE WHEN i % 6 = 3 THEN 2 ELSE 0 END AS xid, i * 260::float8 / :events AS day) d
	-- working days, from ten to seven to ten to eight
	CROSS JOIN LATERAL (SELECT date_trunc('week', date_trunc('month', now(), 'UTC') + interval '1 month 6 days', 'UTC') + interval '6 hours 50 minutes'
		+ ((floor(d.day / 5) * 7 + floor(d.day)::int % 5) * 24 + (d.day - floor(d.day)) * 13) * interval '1 hour' AS at) a;

INSERT INTO hub.audit_event (xid, ordinal, recorded_at, kind, relation, operation, subject, row_key, changed, sealed, details, tag)
SELECT h.xid::text::xid8, CASE WHEN h.step = 3 THEN 2 ELSE 1 END, h.at, k.kind,
	CASE WHEN h.step = 0 THEN 'crm.customer' WHEN h.step IN (2, 4) THEN 'crm.message' WHEN k.kind = 'config' THEN 'hub.member' END,
	CASE WHEN h.step = 0 OR k.kind = 'config' THEN 'UPDATE' WHEN h.step IN (2, 4) THEN 'INSERT' WHEN k.kind = 'ddl' THEN 'CREATE POLICY' END,
	CASE WHEN h.step <> 5 OR k.kind IN ('consent', 'erasure') THEN md5(h.subject::text)::uuid END,
	CASE WHEN h.step = 0 THEN jsonb_build_object('customer_id', md5(h.subject::text)::uuid)
		WHEN h.step IN (2, 4) THEN jsonb_build_object('customer_id', md5(h.subject::text)::uuid, 'message_id', h.noise::uuid)
		WHEN k.kind = 'config' THEN jsonb_build_object('member_id', h.member) END,
	CASE WHEN h.step = 0 THEN '{"columns": ["follow_up"], "old": {"follow_up": "new"}, "new": {"follow_up": "contacted"}}'::jsonb
		WHEN h.step IN (2, 4) THEN '{"columns": ["body", "direction", "region"], "new": {"region": "DE", "direction": "inbound"}}' END,
	CASE WHEN h.step IN (2, 4) THEN decode(h.noise || h.noise || h.noise || h.noise || h.noise || h.noise, 'hex') END,
	CASE WHEN h.step IN (1, 3) THEN jsonb_build_object('at', h.at, 'class', (ARRAY['basic', 'contact', 'content'])[h.other % 3 + 1], 'reveal', 'full',
			'login', 'login' || h.member, 'member', h.member, 'role', 'hub_agent', 'session', '4711.' || h.other, 'application', 'desk', 'purpose', 'service')
		WHEN k.kind = 'denied' THEN jsonb_build_object('at', h.at, 'attempt', 'COPY TO', 'login', 'login' || h.member, 'member', h.member,
			'role', 'hub_agent', 'session', '4711.' || h.other)
		WHEN k.kind = 'authentication' THEN jsonb_build_object('at', h.at, 'reason', 'expired', 'login', 'pool', 'session', '4711.' || h.other)
		WHEN h.other = 80 THEN jsonb_build_object('request', h.i, 'rows', 50)
		WHEN k.kind = 'export' THEN '{"action": "audit_read", "query": "who_viewed"}'
		WHEN h.step = 5 THEN '{"step": "done"}' END,
	decode(h.noise, 'hex')
FROM happening h CROSS JOIN LATERAL (SELECT CASE WHEN h.step IN (0, 2, 4) THEN 'row' WHEN h.step IN (1, 3) THEN 'reveal'
		WHEN h.other < 60 THEN 'consent' WHEN h.other < 70 THEN 'approval' WHEN h.other < 75 THEN 'authentication' WHEN h.other < 80 THEN 'denied'
		WHEN h.other < 90 THEN 'export' WHEN h.other < 95 THEN 'config' WHEN h.other < 97 THEN 'erasure' WHEN h.other = 97 THEN 'hold'
		WHEN h.other = 98 THEN 'ddl' ELSE 'break_glass' END::hub.audit_kind AS kind) k;

-- reveals, refusals and tokens are recorded by the audit worker, which is nobody's member
INSERT INTO hub.audit_transaction (xid, started_at, member_id, role, login, application, event_count, digest)
SELECT h.xid::text::xid8, h.at, w.member, CASE WHEN w.member IS NOT NULL THEN 'hub_agent' END, coalesce('login' || w.member, 'postgres'), 'desk',
	CASE WHEN h.step = 1 THEN 2 ELSE 1 END, decode(h.noise, 'hex')
FROM happening h CROSS JOIN LATERAL (SELECT CASE WHEN h.step <> 1 AND NOT (h.step = 5 AND h.other BETWEEN 70 AND 79) THEN h.member END AS member) w
WHERE h.step <> 3;
COMMIT;
