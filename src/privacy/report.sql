-- privacy/report: what happened in a time, as one page. It counts, and names no data
-- subject; what it counts, the queries it names return.

CREATE FUNCTION hub.compliance_report(
	"from" pg_catalog.timestamptz DEFAULT pg_catalog.now() OPERATOR(pg_catalog.-) '30 days'::pg_catalog.interval,
	"to" pg_catalog.timestamptz DEFAULT pg_catalog.now()) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'postgres'
AS $$
DECLARE
	access jsonb;
	by_role jsonb;
	by_period jsonb;
	unit text;
	moved_out jsonb;
	decided jsonb;
	refused jsonb;
	refused_by_period jsonb;
	anomalies jsonb;
	retention jsonb;
	requests jsonb;
	broken jsonb;
	figures jsonb;
	checkpoint text;
	page text;
BEGIN
	IF NOT isfinite("from") OR NOT isfinite("to") OR "from" >= "to" THEN
		RAISE EXCEPTION 'a report is of a time that begins before it ends' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'For example hub.compliance_report(''2026-01-01'', ''2026-02-01'').';
	END IF;
	PERFORM hub.begin_audit_read('compliance_report');
	unit := CASE WHEN "to" - "from" <= interval '45 days' THEN 'day' WHEN "to" - "from" <= interval '1 year' THEN 'week' ELSE 'month' END;

	SELECT jsonb_agg(jsonb_build_array(a.day::text, coalesce(a.role, 'no hub role'), a.reveals, a.subjects, a.members) ORDER BY a.day, a.role),
		jsonb_build_object('reveals', coalesce(sum(a.reveals), 0))
	INTO access, figures
	FROM hub.access_by_day("from", "to") a;
	SELECT jsonb_agg(jsonb_build_array(p.period, p.role, p.reveals))
	INTO by_period
	FROM (SELECT date_trunc(unit, (line ->> 0)::date)::date::text AS period, line ->> 1 AS role, sum((line ->> 2)::bigint) AS reveals
		FROM jsonb_array_elements(access) AS a (line) GROUP BY 1, 2
		UNION ALL
		SELECT g::date::text, NULL, 0 FROM generate_series(date_trunc(unit, "from"), "to", ('1 ' || unit)::interval) g) p;
	SELECT jsonb_agg(jsonb_build_array(r.role, r.reveals, r.days, r.most) ORDER BY r.reveals DESC)
	INTO by_role
	FROM (SELECT line ->> 1 AS role, sum((line ->> 2)::bigint) AS reveals, count(*) AS days, max((line ->> 2)::bigint) AS most
		FROM jsonb_array_elements(access) AS a (line) GROUP BY 1) r;

	SELECT jsonb_agg(jsonb_build_array(to_char(e.happened_at, 'YYYY-MM-DD HH24:MI'), e.member_id, e.role, coalesce(e.details ->> 'request', '–'),
			e.details ->> 'rows') ORDER BY e.happened_at),
		figures || jsonb_build_object('exports', count(*))
	INTO moved_out, figures
	FROM hub.exports("from", "to") e;

	SELECT jsonb_agg(jsonb_build_array(d.action, d.asked, d.pending, d.approved, d.used, d.rejected, d.lapsed) ORDER BY d.action),
		figures || jsonb_build_object('approvals', coalesce(sum(d.asked), 0))
	INTO decided, figures
	FROM (SELECT r.action, count(*) AS asked,
			count(*) FILTER (WHERE r.status = 'pending' AND r.expires_at > now()) AS pending,
			count(*) FILTER (WHERE r.status = 'approved' AND r.expires_at > now()) AS approved,
			count(*) FILTER (WHERE r.status = 'used') AS used,
			count(*) FILTER (WHERE r.status IN ('rejected', 'withdrawn')) AS rejected,
			count(*) FILTER (WHERE r.status IN ('pending', 'approved') AND r.expires_at <= now()) AS lapsed
		FROM hub.approval_request r WHERE r.requested_at BETWEEN "from" AND "to" GROUP BY r.action) d;

	SELECT jsonb_agg(jsonb_build_array(d.what, d.role, d.attempts, d.members) ORDER BY d.attempts DESC, d.what, d.role),
		(SELECT jsonb_agg(jsonb_build_array(p.period, p.kind, p.attempts)) FROM (
			SELECT date_trunc(unit, b.happened_at)::date::text AS period,
				CASE b.kind WHEN 'authentication' THEN 'token refused' ELSE 'access refused' END AS kind, count(*) AS attempts
			FROM hub.denied_attempts("from", "to") b GROUP BY 1, 2
			UNION ALL
			SELECT g::date::text, NULL, 0 FROM generate_series(date_trunc(unit, "from"), "to", ('1 ' || unit)::interval) g) p),
		figures || jsonb_build_object('denied', coalesce(sum(d.attempts), 0))
	INTO refused, refused_by_period, figures
	FROM (SELECT coalesce(e.details ->> 'attempt', e.details ->> 'action', CASE WHEN e.kind = 'authentication' THEN 'authenticate' END, 'other') AS what,
			coalesce(e.role, 'no hub role') AS role, count(*) AS attempts, count(DISTINCT e.member_id) AS members
		FROM hub.denied_attempts("from", "to") e GROUP BY 1, 2) d;

	SELECT jsonb_agg(jsonb_build_array(a.what, a.events, a.members, a.query) ORDER BY a.place),
		figures || jsonb_build_object('break_glass', coalesce(sum(a.events) FILTER (WHERE a.place = 4), 0))
	INTO anomalies, figures
	FROM (
		SELECT 1 AS place, 'reveals at night or on a weekend (UTC)' AS what, count(*) AS events, count(DISTINCT member_id) AS members,
			'hub.after_hours_access' AS query FROM hub.after_hours_access("from", "to")
		UNION ALL
		SELECT 2, 'days on which a member saw far more people than usual', count(*), count(DISTINCT member_id),
			'hub.unusual_volume' FROM hub.unusual_volume("from", "to")
		UNION ALL
		SELECT 3, 'what leavers saw and tried', count(*), count(DISTINCT member_id),
			'hub.access_by_leavers' FROM hub.access_by_leavers("from", "to")
		UNION ALL
		SELECT 4, 'uses of break-glass access', count(*), count(DISTINCT member_id),
			'hub.break_glass_uses' FROM hub.break_glass_uses("from", "to")
		UNION ALL
		SELECT 5, 'changes of who may do what', count(*), count(DISTINCT member_id),
			'hub.privilege_changes' FROM hub.privilege_changes("from", "to")) a;

	SELECT jsonb_agg(jsonb_build_array(coalesce(h.relation::text, '–'), h.data_class, h.purpose, h.keep::text, h.action, h.state, h.held_rows)
		ORDER BY h.relation::text, h.rule)
	INTO retention FROM hub.retention_states() h;

	SELECT jsonb_agg(jsonb_build_array(q.dsar, q.kind, q.jurisdiction, to_char(q.received_at, 'YYYY-MM-DD'),
			coalesce(to_char(q.due_at, 'YYYY-MM-DD'), 'no rule'), q.state, q.article) ORDER BY q.due_at NULLS FIRST, q.dsar),
		figures || jsonb_build_object('requests', count(*), 'overdue', count(*) FILTER (WHERE q.state = 'overdue'))
	INTO requests, figures FROM hub.dsar_states() q;

	SELECT jsonb_agg(jsonb_build_array(v.kind, v.block_no, v.xid::text, v.ordinal, v.detail)) FILTER (WHERE v.number <= 100),
		figures || jsonb_build_object('breaks', count(*))
	INTO broken, figures FROM hub.verify_audit() WITH ORDINALITY AS v (kind, block_no, xid, ordinal, detail, number);
	checkpoint := hub.audit_checkpoint();

	page := hub.html_head('Compliance report')
		|| '<h1>Compliance report</h1><p class="period">'
		|| hub.html_escape(format('%s – %s UTC, of database %s, made %s', to_char("from", 'YYYY-MM-DD HH24:MI'), to_char("to", 'YYYY-MM-DD HH24:MI'),
			current_database(), to_char(now(), 'YYYY-MM-DD HH24:MI'))) || E'</p>\n<dl>'
		|| (SELECT string_agg(format('<div%s><dt>%s</dt><dd data-figure="%s">%s</dd></div>',
				CASE WHEN f.alarms AND (figures ->> f.figure)::bigint > 0 THEN ' class="bad"' ELSE '' END, f.label, f.figure, figures ->> f.figure), '' ORDER BY f.place)
			FROM (VALUES (1, 'reveals', 'Values revealed', false), (2, 'exports', 'Exports', false), (3, 'approvals', 'Approvals asked for', false),
				(4, 'denied', 'Refused attempts', false), (5, 'break_glass', 'Break-glass uses', true), (6, 'requests', 'Open requests', false),
				(7, 'overdue', 'Requests overdue', true), (8, 'breaks', 'Breaks in the trail', true)) f (place, figure, label, alarms))
		|| E'</dl>\n<h2>Access by role and day</h2>\n<p>One reveal is one person, one data class, one transaction. Query: hub.access_by_day; its days are in the appendix.</p>\n'
		|| hub.html_columns('access-chart', 'Reveals per ' || unit || ', by role', coalesce(by_period, '[]'))
		|| hub.html_table('roles', '{role,reveals,days with any,most on one day}', by_role, 'Nobody was shown protected values.')
		|| E'<h2>Exports</h2>\n<p>Members by number. Query: hub.exports.</p>\n'
		|| hub.html_table('exports', '{time,member,role,approved request,rows}', moved_out, 'No data left in bulk.')
		|| E'<h2>Approvals</h2>\n<p>What took two people.</p>\n'
		|| hub.html_table('approvals', '{action,asked for,pending,approved,used,rejected or withdrawn,lapsed}', decided, 'None was asked for.')
		|| E'<h2>Refused attempts</h2>\n<p>Query: hub.denied_attempts.</p>\n'
		|| hub.html_columns('denied-chart', 'Refused attempts per ' || unit, coalesce(refused_by_period, '[]'))
		|| hub.html_table('denied', '{attempt,role,times,members}', refused, 'Nothing was refused.')
		|| E'<h2>Anomalies</h2>\n'
		|| hub.html_table('anomalies', '{what,events,members,query}', anomalies, '')
		|| E'<h2>Retention</h2>\n<p>As of now. Query: hub.retention_health.</p>\n'
		|| hub.html_table('retention', '{relation,data class,purpose,keep,action,state,held rows}', retention, 'No relation is governed.')
		|| E'<h2>Requests of data subjects</h2>\n<p>Open now. Query: hub.dsar_queue.</p>\n'
		|| hub.html_table('requests', '{request,kind,place,received,due,state,rule}', requests, 'No request is open.')
		|| E'<h2>The audit trail</h2>\n'
		|| CASE WHEN broken IS NULL THEN '<p class="good">Verified: every event, transaction, block and checkpoint is as it was written.</p>'
			ELSE '<p class="bad">Verification found breaks: the trail was changed after it was written.</p>' END || E'\n'
		|| hub.html_table('breaks', '{kind,block,transaction,event,break}', broken, 'Query: hub.verify_audit().')
		|| CASE WHEN (figures ->> 'breaks')::bigint > 100 THEN E'<p>The first 100 of them. Query: hub.verify_audit().</p>\n' ELSE '' END
		|| coalesce('<p>Last checkpoint. Keep it outside the database: the trail as it was at this point can be proved against it.</p><pre>'
			|| hub.html_escape(checkpoint) || '</pre>', '<p class="none">Nothing is sealed yet; there is no checkpoint.</p>')
		|| E'<h2>Appendix: access by day and role</h2>\n'
		|| hub.html_table('access', '{day,role,reveals,data subjects,members}', access, 'Nobody was shown protected values.')
		|| format(E'\n<footer>customer_hub %s. Members are named by number, data subjects not at all.</footer>\n</body></html>\n',
			(SELECT hub.html_escape(extversion) FROM pg_extension WHERE extname = 'customer_hub'));
	RETURN page;
END
$$;
COMMENT ON FUNCTION hub.compliance_report(timestamptz, timestamptz) IS
'One HTML page about a time, the last 30 days by default: access by role and day, exports, approvals, refusals, anomalies, retention, requests, state of the audit trail. Without scripts, network or personal data: \o report.html in psql -At';

GRANT EXECUTE ON FUNCTION hub.compliance_report(timestamptz, timestamptz) TO hub_compliance;
