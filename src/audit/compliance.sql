-- audit/compliance: what the trail answers. Every question is put on record.

CREATE FUNCTION hub.begin_audit_read(query text, subject uuid DEFAULT NULL) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_begin_audit_read';
COMMENT ON FUNCTION hub.begin_audit_read(text, uuid) IS
'Raises CH205 unless the caller may read the audit trail, and records that it is read; for use in SECURITY DEFINER functions';

CREATE FUNCTION hub.audit_values(sealed bytea, only_column text, OUT column_name text, OUT data_class text, OUT old_value text, OUT new_value text)
RETURNS SETOF record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_audit_values';
COMMENT ON FUNCTION hub.audit_values(bytea, text) IS
'Old and new values of one column of a sealed row image, or of all, shown by the clearance of the caller and recorded as reveals; no rows when the data subject is erased';

-- Questions about a time bound recorded_at, which an index has, as well as the
-- time of the event itself: the worker records a reveal after it happened, normally
-- within the second, and at most a day is allowed for. A bound that is NULL is none.
--
-- Questions about somebody, or about what is rare, have hub.audit_find() say where to
-- look, and look there whether it is so.

-- An event that the audit worker wrote for somebody else names that session in
-- its details; any other was recorded by whoever committed the transaction.
CREATE VIEW hub.audit_entry AS
SELECT e.xid, e.ordinal,
	CASE WHEN w.for_session THEN (e.details OPERATOR(pg_catalog.->>) 'at')::timestamptz ELSE e.recorded_at END AS happened_at,
	e.recorded_at, e.kind, e.relation, e.operation, e.subject, e.row_key, e.changed, e.sealed, e.details,
	CASE WHEN w.for_session THEN (e.details OPERATOR(pg_catalog.->>) 'member')::int ELSE t.member_id END AS member_id,
	CASE WHEN w.for_session THEN (e.details OPERATOR(pg_catalog.->>) 'role')::name ELSE t.role::name END AS role,
	CASE WHEN w.for_session THEN (e.details OPERATOR(pg_catalog.->>) 'login')::name ELSE t.login::name END AS login,
	CASE WHEN w.for_session THEN e.details OPERATOR(pg_catalog.->>) 'purpose' ELSE t.purpose END AS purpose,
	CASE WHEN w.for_session THEN e.details OPERATOR(pg_catalog.->>) 'application' ELSE t.application END AS application,
	CASE WHEN w.for_session THEN (e.details OPERATOR(pg_catalog.->>) 'client')::inet ELSE t.client_addr END AS client_addr
FROM hub.audit_event e
CROSS JOIN LATERAL (SELECT coalesce(e.details OPERATOR(pg_catalog.?&) ARRAY['session', 'login', 'at'], false) AS for_session) w
-- of the worker's there is nothing to look up
LEFT JOIN hub.audit_transaction t ON t.xid OPERATOR(pg_catalog.=) CASE WHEN NOT w.for_session THEN e.xid END;
COMMENT ON VIEW hub.audit_entry IS 'Events of the audit trail with who was at work; read by the compliance functions only';

CREATE FUNCTION hub.check_audit_member(member int) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF member IS NULL OR NOT EXISTS (SELECT FROM hub.member m WHERE m.member_id = member) THEN
		RAISE EXCEPTION 'member % does not exist', coalesce(member::text, 'NULL')
			USING ERRCODE = 'undefined_object', HINT = 'hub.member has the number of each, also of those who have left.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_audit_member(int) IS 'Raises an error for a member who never was: nothing on record would be the wrong answer. Part of the compliance functions';

CREATE FUNCTION hub.check_audit_subject(subject uuid) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF subject IS NULL OR hub.subject_state(subject) = 'unknown' AND NOT EXISTS (
		SELECT FROM hub.audit_find(ARRAY['subject'], ARRAY[subject::text], '-infinity', 'infinity') p
			JOIN hub.audit_event e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		WHERE e.subject = check_audit_subject.subject AND e.details ->> 'action' IS DISTINCT FROM 'audit_read')
	THEN
		RAISE EXCEPTION 'data subject % is not known', coalesce(subject::text, 'NULL')
			USING ERRCODE = 'undefined_object', HINT = 'It has no key, and no event is about it: check the id.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_audit_subject(uuid) IS 'Raises an error for a data subject of whom nothing is known: nothing on record would be the wrong answer. Part of the compliance functions';

CREATE FUNCTION hub.audit_trail("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, kind hub.audit_kind, relation text, operation text, subject uuid,
	row_key jsonb, changed jsonb, details jsonb, member_id int, role name, login name, purpose text,
	application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('audit_trail');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.kind, e.relation, e.operation, e.subject, e.row_key, e.changed, e.details,
		e.member_id, e.role, e.login, e.purpose, e.application, e.client_addr, e.xid, e.ordinal
	FROM hub.audit_entry e
	WHERE e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.audit_trail(timestamptz, timestamptz) IS 'The whole audit trail of a time, in order, without sealed values';

CREATE FUNCTION hub.who_viewed(subject uuid, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (viewed_at timestamptz, member_id int, external_id text, role name, login name, purpose text,
	data_class text, reveal text, application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('who_viewed', who_viewed.subject);
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.member_id, m.external_id, e.role, e.login, e.purpose,
		e.details ->> 'class', e.details ->> 'reveal', e.application, e.client_addr, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['subject'], ARRAY[who_viewed.subject::text], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		LEFT JOIN hub.member m ON m.member_id = e.member_id
	WHERE e.subject = who_viewed.subject AND e.kind = 'reveal'
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
	IF NOT FOUND THEN
		PERFORM hub.check_audit_subject(who_viewed.subject);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.who_viewed(uuid, timestamptz, timestamptz) IS
'Who was shown protected values of a data subject, of which class and when: one row per transaction and class; reveal is full, partial (a harmless part) or reclass (copied to another class)';

CREATE FUNCTION hub.access_by_day("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity', time_zone text DEFAULT 'UTC')
RETURNS TABLE (day date, role name, reveals bigint, subjects bigint, members bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('access_by_day');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT (e.happened_at AT TIME ZONE access_by_day.time_zone)::date, e.role, count(*), count(DISTINCT e.subject),
		count(DISTINCT coalesce(e.member_id::text, e.login::text))
	FROM hub.audit_entry e
	WHERE e.kind = 'reveal'
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	GROUP BY 1, 2
	ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION hub.access_by_day(timestamptz, timestamptz, text) IS
'How much each role was shown on each day, by the clock of a time zone: reveals, different data subjects, different members';

CREATE FUNCTION hub.activity_of(member int, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, kind hub.audit_kind, relation text, operation text, subject uuid,
	row_key jsonb, changed jsonb, details jsonb, purpose text, login name, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('activity_of');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	PERFORM hub.check_audit_member(activity_of.member);
	RETURN QUERY
	SELECT e.happened_at, e.kind, e.relation, e.operation, e.subject, e.row_key, e.changed, e.details,
		e.purpose, e.login, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['member', 'member_reveal'], ARRAY[activity_of.member::text], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
	WHERE e.member_id = activity_of.member
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.activity_of(int, timestamptz, timestamptz) IS 'Everything a member changed, saw, tried or asked for';

CREATE FUNCTION hub.denied_attempts("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, kind hub.audit_kind, subject uuid, details jsonb, member_id int, external_id text, role name,
	login name, purpose text, application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('denied_attempts');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.kind, e.subject, e.details, e.member_id, m.external_id, e.role, e.login, e.purpose,
		e.application, e.client_addr, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['kind'], ARRAY['denied', 'authentication'], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		LEFT JOIN hub.member m ON m.member_id = e.member_id
	WHERE (e.kind = 'denied' OR (e.kind = 'authentication' AND e.details ? 'reason'))
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.denied_attempts(timestamptz, timestamptz) IS 'What was refused to whom, refused tokens included';

CREATE FUNCTION hub.exports("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, subject uuid, details jsonb, member_id int, external_id text, role name,
	login name, purpose text, application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('exports');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	WITH export AS MATERIALIZED (
		SELECT e.* FROM hub.audit_find(ARRAY['kind'], ARRAY['export'], "from", 'infinity') p
			JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		WHERE e.kind = 'export' AND e.details ->> 'action' IS DISTINCT FROM 'audit_read'
	)
	SELECT e.happened_at, e.subject, e.details, e.member_id, m.external_id, e.role, e.login, e.purpose,
		e.application, e.client_addr, e.xid, e.ordinal
	FROM export e LEFT JOIN hub.member m ON m.member_id = e.member_id
	WHERE e.happened_at BETWEEN "from" AND "to"
		-- of hub.export() the last word: how far it came, or that it was begun
		AND e.details ->> 'step' IS DISTINCT FROM 'progress'
		AND NOT (e.details ->> 'step' IS NOT DISTINCT FROM 'started' AND EXISTS (
			SELECT FROM export f
			WHERE f.details ->> 'request' = e.details ->> 'request' AND f.details ->> 'step' IN ('finished', 'interrupted')))
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.exports(timestamptz, timestamptz) IS 'Data that left in bulk, and under which request';

CREATE FUNCTION hub.audit_access("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, query text, subject uuid, member_id int, external_id text, role name,
	login name, purpose text, application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('audit_access');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.details ->> 'query', e.subject, e.member_id, m.external_id, e.role, e.login, e.purpose,
		e.application, e.client_addr, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['kind'], ARRAY['audit_read'], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		LEFT JOIN hub.member m ON m.member_id = e.member_id
	WHERE e.kind = 'export' AND e.details ->> 'action' = 'audit_read'
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.audit_access(timestamptz, timestamptz) IS 'Who asked the audit trail what';

CREATE FUNCTION hub.privilege_changes("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, relation text, operation text, row_key jsonb, changed jsonb, details jsonb,
	member_id int, external_id text, role name, login name, application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('privilege_changes');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.relation, e.operation, e.row_key, e.changed, e.details,
		e.member_id, m.external_id, e.role, e.login, e.application, e.client_addr, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['kind'], ARRAY['config', 'ddl'], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		LEFT JOIN hub.member m ON m.member_id = e.member_id
	WHERE ((e.kind = 'config' AND (e.operation IN ('GRANT', 'REVOKE', 'GRANT ROLE', 'REVOKE ROLE', 'CREATE ROLE', 'ALTER ROLE')
				OR e.relation IN ('hub.member', 'hub.clearance', 'hub.break_glass_clearance', 'hub.purpose_own', 'hub.hub_role_custom', 'hub.token_issuer',
					'hub.governed', 'hub.classification')))
			OR (e.kind = 'ddl' AND e.operation IN ('CREATE POLICY', 'ALTER POLICY')))
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.privilege_changes(timestamptz, timestamptz) IS
'Changes of who may do what: grants, roles, members, clearances, token issuers, what is governed and how it is classified';

CREATE FUNCTION hub.break_glass_uses("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (happened_at timestamptz, subject uuid, details jsonb, member_id int, external_id text, role name,
	login name, purpose text, application text, client_addr inet, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('break_glass_uses');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.subject, e.details, e.member_id, m.external_id, e.role, e.login, e.purpose,
		e.application, e.client_addr, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['kind'], ARRAY['break_glass'], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
		LEFT JOIN hub.member m ON m.member_id = e.member_id
	WHERE e.kind = 'break_glass'
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.break_glass_uses(timestamptz, timestamptz) IS 'Who took extra clearance for a short time, and why';

CREATE FUNCTION hub.after_hours_access("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity',
	opens time DEFAULT '07:00', closes time DEFAULT '20:00', time_zone text DEFAULT 'UTC')
RETURNS TABLE (happened_at timestamptz, member_id int, external_id text, role name, login name, purpose text,
	subject uuid, data_class text, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('after_hours_access');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.happened_at, e.member_id, m.external_id, e.role, e.login, e.purpose,
		e.subject, e.details ->> 'class', e.xid, e.ordinal
	FROM hub.audit_entry e LEFT JOIN hub.member m ON m.member_id = e.member_id
		CROSS JOIN LATERAL (SELECT e.happened_at AT TIME ZONE after_hours_access.time_zone AS wall) l
	WHERE e.kind = 'reveal'
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
		AND (l.wall::time < opens OR l.wall::time >= closes OR extract(isodow FROM l.wall) > 5)
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.after_hours_access(timestamptz, timestamptz, time, time, text) IS
'Reveals at night and on weekends, by the clock of a time zone';

CREATE FUNCTION hub.unusual_volume("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity',
	factor numeric DEFAULT 3, at_least bigint DEFAULT 50, time_zone text DEFAULT 'UTC')
RETURNS TABLE (day date, member_id int, external_id text, login name, subjects bigint, usual numeric)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('unusual_volume');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	WITH daily AS (
		SELECT (e.happened_at AT TIME ZONE unusual_volume.time_zone)::date AS on_day, e.member_id, e.login, count(DISTINCT e.subject) AS seen
		FROM hub.audit_entry e
		-- with the 30 days before, and a day for the clock
		WHERE e.kind = 'reveal' AND e.recorded_at >= "from" - interval '32 days' AND e.recorded_at <= "to" + interval '2 days'
		GROUP BY 1, 2, 3
	), compared AS (
		SELECT d.*, avg(d.seen) OVER (PARTITION BY d.member_id, d.login ORDER BY d.on_day
			RANGE BETWEEN interval '30 days' PRECEDING AND interval '1 day' PRECEDING) AS before
		FROM daily d
	)
	SELECT c.on_day, c.member_id, m.external_id, c.login, c.seen, round(c.before, 1)
	FROM compared c LEFT JOIN hub.member m ON m.member_id = c.member_id
	WHERE c.seen >= at_least AND (c.before IS NULL OR c.seen > factor * c.before)
		AND c.on_day >= ("from" AT TIME ZONE unusual_volume.time_zone)::date AND c.on_day <= ("to" AT TIME ZONE unusual_volume.time_zone)::date
	ORDER BY c.on_day, c.seen DESC;
END
$$;
COMMENT ON FUNCTION hub.unusual_volume(timestamptz, timestamptz, numeric, bigint, text) IS
'Days, by the clock of a time zone, on which a member saw far more data subjects than on the 30 days before';

CREATE FUNCTION hub.access_by_leavers("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity',
	notice interval DEFAULT '14 days')
RETURNS TABLE (happened_at timestamptz, member_id int, external_id text, left_at timestamptz, kind hub.audit_kind,
	subject uuid, details jsonb, login name, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('access_by_leavers');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	notice := coalesce(notice, '14 days');
	RETURN QUERY
	SELECT e.happened_at, e.member_id, m.external_id, m.deactivated_at, e.kind, e.subject, e.details, e.login, e.xid, e.ordinal
	FROM hub.member m
		CROSS JOIN LATERAL hub.audit_find(ARRAY['member', 'member_reveal'], ARRAY[m.member_id::text],
			greatest("from", m.deactivated_at - notice), "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
			AND e.member_id = m.member_id
	WHERE NOT m.active AND e.kind IN ('reveal', 'export', 'denied', 'authentication', 'break_glass')
		AND e.happened_at >= m.deactivated_at - notice
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	ORDER BY e.happened_at, e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.access_by_leavers(timestamptz, timestamptz, interval) IS
'What members who have left saw and tried in their last days and since';

CREATE FUNCTION hub.breach_scope(member int, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (subject uuid, data_class text, reveals bigint, first_seen timestamptz, last_seen timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('breach_scope');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	PERFORM hub.check_audit_member(breach_scope.member);
	RETURN QUERY
	SELECT e.subject, e.details ->> 'class', count(*), min(e.happened_at), max(e.happened_at)
	FROM hub.audit_find(ARRAY['member_reveal'], ARRAY[breach_scope.member::text], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
	WHERE e.kind = 'reveal' AND e.member_id = breach_scope.member
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	GROUP BY 1, 2 ORDER BY 1, 2;
END
$$;
COMMENT ON FUNCTION hub.breach_scope(int, timestamptz, timestamptz) IS 'Data subjects and classes of data that a member was shown, how often, first and last: who is to be told after a breach, and of what';

CREATE FUNCTION hub.breach_scope(login name, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (subject uuid, data_class text, reveals bigint, first_seen timestamptz, last_seen timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('breach_scope');
	"from" := coalesce("from", '-infinity');
	"to" := coalesce("to", 'infinity');
	RETURN QUERY
	SELECT e.subject, e.details ->> 'class', count(*), min(e.happened_at), max(e.happened_at)
	FROM hub.audit_find(ARRAY['login_reveal'], ARRAY[breach_scope.login::text], "from", "to" + interval '1 day') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
	WHERE e.kind = 'reveal' AND e.login = breach_scope.login
		AND e.recorded_at >= "from" AND e.recorded_at <= "to" + interval '1 day' AND e.happened_at BETWEEN "from" AND "to"
	GROUP BY 1, 2 ORDER BY 1, 2;
	IF NOT FOUND AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = breach_scope.login) THEN
		RAISE EXCEPTION 'login "%" does not exist, and nothing was shown to one of that name', coalesce(breach_scope.login, 'NULL')
			USING ERRCODE = 'undefined_object', HINT = 'Check the name.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.breach_scope(name, timestamptz, timestamptz) IS 'Data subjects and classes of data that were shown through a login, how often, first and last';

CREATE FUNCTION hub.field_events(relation regclass, pk jsonb, column_name name)
RETURNS TABLE (happened_at timestamptz, operation text, changed jsonb, sealed bytea, erased bool, member_id int,
	login name, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	root_name text;
BEGIN
	PERFORM hub.begin_audit_read('field_history');
	SELECT format('%I.%I', n.nspname, c.relname) INTO root_name
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = coalesce(hub.governed_root(field_events.relation), field_events.relation);
	RETURN QUERY
	SELECT e.happened_at, e.operation, e.changed, e.sealed,
		e.subject IS NOT NULL AND hub.subject_state(e.subject) = 'erased', e.member_id, e.login, e.xid, e.ordinal
	FROM hub.audit_find_row(root_name, pk) p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
	WHERE e.kind IN ('row', 'config') AND e.relation = root_name AND e.row_key @> pk
		AND (e.operation <> 'UPDATE' OR e.changed -> 'columns' ? field_events.column_name::text)
	ORDER BY e.xid, e.ordinal;
END
$$;
COMMENT ON FUNCTION hub.field_events(regclass, jsonb, name) IS 'Events that concern a column of one row; part of hub.field_history()';

-- With the rights of the caller: whose clearance decides what the values show.
CREATE FUNCTION hub.field_history(relation regclass, pk jsonb, column_name name)
RETURNS TABLE (happened_at timestamptz, operation text, old_value text, new_value text, member_id int, login name, xid xid8, ordinal int)
LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT e.happened_at, e.operation,
		CASE WHEN e.changed -> 'old' ? $3::text THEN e.changed -> 'old' ->> $3::text
			 WHEN e.erased AND e.operation <> 'INSERT' THEN '[erased]' ELSE v.old_value END,
		CASE WHEN e.changed -> 'new' ? $3::text THEN e.changed -> 'new' ->> $3::text
			 WHEN e.erased AND e.operation <> 'DELETE' THEN '[erased]' ELSE v.new_value END,
		e.member_id, e.login, e.xid, e.ordinal
	FROM hub.field_events($1, $2, $3) e
		LEFT JOIN LATERAL hub.audit_values(e.sealed, $3::text) v ON true
	ORDER BY e.xid, e.ordinal
$$;
COMMENT ON FUNCTION hub.field_history(regclass, jsonb, name) IS
'Values of a column of one row over time; pk is its primary key as JSON. Values that are not public are shown by the clearance of the caller, which is a reveal';

CREATE FUNCTION hub.erasure_proof(subject uuid)
RETURNS TABLE (happened_at timestamptz, state text, details jsonb, member_id int, login name, xid xid8, ordinal int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	PERFORM hub.begin_audit_read('erasure_proof', erasure_proof.subject);
	RETURN QUERY
	SELECT e.happened_at, hub.subject_state(erasure_proof.subject), e.details, e.member_id, e.login, e.xid, e.ordinal
	FROM hub.audit_find(ARRAY['subject'], ARRAY[erasure_proof.subject::text], '-infinity', 'infinity') p
		JOIN hub.audit_entry e ON e.xid = p.xid AND e.ordinal = p.ordinal AND e.recorded_at BETWEEN p.first_at AND p.last_at
	WHERE e.subject = erasure_proof.subject AND e.kind = 'erasure'
	ORDER BY e.happened_at, e.xid, e.ordinal;
	IF NOT FOUND THEN
		PERFORM hub.check_audit_subject(erasure_proof.subject);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.erasure_proof(uuid) IS
'Steps of the erasure of a data subject as they were recorded, with the state of its key now; hub.audit_proof(xid, ordinal) proves each';

-- The same questions without bounds, for those who would rather write WHERE.
CREATE VIEW hub.denied_attempts AS SELECT * FROM hub.denied_attempts();
COMMENT ON VIEW hub.denied_attempts IS 'What was refused to whom, refused tokens included';
CREATE VIEW hub.exports AS SELECT * FROM hub.exports();
COMMENT ON VIEW hub.exports IS 'Data that left in bulk, and under which request';
CREATE VIEW hub.audit_access AS SELECT * FROM hub.audit_access();
COMMENT ON VIEW hub.audit_access IS 'Who asked the audit trail what';
CREATE VIEW hub.privilege_changes AS SELECT * FROM hub.privilege_changes();
COMMENT ON VIEW hub.privilege_changes IS 'Changes of who may do what';
CREATE VIEW hub.break_glass_uses AS SELECT * FROM hub.break_glass_uses();
COMMENT ON VIEW hub.break_glass_uses IS 'Who took extra clearance for a short time, and why';
CREATE VIEW hub.after_hours_access AS SELECT * FROM hub.after_hours_access();
COMMENT ON VIEW hub.after_hours_access IS 'Reveals at night and on weekends (UTC)';
CREATE VIEW hub.unusual_volume AS SELECT * FROM hub.unusual_volume();
COMMENT ON VIEW hub.unusual_volume IS 'Days on which a member saw far more data subjects than on the 30 days before';
CREATE VIEW hub.access_by_leavers AS SELECT * FROM hub.access_by_leavers();
COMMENT ON VIEW hub.access_by_leavers IS 'What members who have left saw and tried in their last days and since';

GRANT EXECUTE ON FUNCTION
	hub.audit_trail(timestamptz, timestamptz),
	hub.who_viewed(uuid, timestamptz, timestamptz),
	hub.access_by_day(timestamptz, timestamptz, text),
	hub.activity_of(int, timestamptz, timestamptz),
	hub.denied_attempts(timestamptz, timestamptz),
	hub.exports(timestamptz, timestamptz),
	hub.audit_access(timestamptz, timestamptz),
	hub.privilege_changes(timestamptz, timestamptz),
	hub.break_glass_uses(timestamptz, timestamptz),
	hub.after_hours_access(timestamptz, timestamptz, time, time, text),
	hub.unusual_volume(timestamptz, timestamptz, numeric, bigint, text),
	hub.access_by_leavers(timestamptz, timestamptz, interval),
	hub.breach_scope(int, timestamptz, timestamptz),
	hub.breach_scope(name, timestamptz, timestamptz),
	hub.field_events(regclass, jsonb, name),
	hub.field_history(regclass, jsonb, name),
	hub.audit_values(bytea, text),
	hub.erasure_proof(uuid)
TO hub_compliance;
GRANT SELECT ON hub.denied_attempts, hub.exports, hub.audit_access, hub.privilege_changes, hub.break_glass_uses,
	hub.after_hours_access, hub.unusual_volume, hub.access_by_leavers
TO hub_compliance;
