-- hub.posture(): what weakens the protection, one row each. It looks at the
-- catalogs as they are, so it also finds what was done past the utility hook.

CREATE FUNCTION hub.governed_relations(
	OUT relation pg_catalog.regclass, OUT root pg_catalog.regclass, OUT governed hub.governed
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT t.relid, g.relation, g
	FROM hub.governed g, hub.relation_tree(g.relation) t (relid)
	WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = t.relid)
$$;
COMMENT ON FUNCTION hub.governed_relations() IS 'Governed relations and all their partitions; engine only';

CREATE FUNCTION hub.policy_expression(role pg_catalog.name, governed hub.governed) RETURNS pg_catalog.text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- parentheses as pg_get_expr() writes them: none round a single term, some round several
	SELECT CASE WHEN e.text LIKE '% AND %' THEN '(' || e.text || ')' ELSE e.text END
	FROM (SELECT regexp_replace(regexp_replace(hub.policy_predicate($1, $2), '\((hub\.in_teams\([^()]*\)|hub\.is_me\([^()]*\))\)', '\1'),
		'hub\.acts_as\((.*)\)$', 'hub.acts_as(\1::name)') AS text) e
$$;
COMMENT ON FUNCTION hub.policy_expression(name, hub.governed) IS 'Condition of a row policy as the catalogs have it; engine only';

CREATE FUNCTION hub.posture_of_relations(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- registered, but gone
	SELECT 'medium', g.relation::oid::text, 'governed relation no longer exists',
		'It was dropped past customer_hub. Find out by whom, then delete its row from hub.governed.'
	FROM hub.governed g WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = g.relation)

	UNION ALL
	SELECT 'critical', r.relation::text,
		CASE WHEN c.relrowsecurity THEN 'row security is not forced on its owner' ELSE 'row security is disabled' END,
		format('SELECT hub.govern(%L, %L, …); then find out who changed it.', r.root, (r.governed).subject_column)
	FROM hub.governed_relations() r JOIN pg_class c ON c.oid = r.relation
	WHERE NOT (c.relrowsecurity AND c.relforcerowsecurity)

	UNION ALL
	SELECT 'critical', r.relation::text,
		CASE WHEN t.oid IS NULL THEN format('trigger %s is missing', e.name)
			WHEN t.tgfoid IS DISTINCT FROM to_regproc(e.function)::oid THEN format('trigger %s calls another function', e.name)
			WHEN t.tgenabled = 'D' THEN format('trigger %s is disabled', e.name)
			ELSE format('trigger %s does not fire always', e.name) END,
		format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %s, or hub.govern() again when it is missing; what was written meanwhile was not %s.',
			r.relation, e.name, e.effect)
	FROM hub.governed_relations() r
	CROSS JOIN hub.governed_triggers() e
	LEFT JOIN pg_trigger t ON t.tgrelid = r.relation AND t.tgname = e.name
	WHERE t.oid IS NULL OR t.tgenabled <> 'A' OR t.tgfoid IS DISTINCT FROM to_regproc(e.function)::oid

	UNION ALL
	SELECT 'high', r.relation::text, format('trigger %s runs after the sealing trigger', t.tgname),
		'What it writes into encrypted columns is not bound to the data subject; give it a name that sorts before zz_hub_seal.'
	FROM hub.governed_relations() r JOIN pg_trigger t ON t.tgrelid = r.relation
	WHERE t.tgname > 'zz_hub_seal' AND t.tgtype & 3 = 3 AND NOT t.tgisinternal
		AND t.tgfoid <> 'hub.copy_column'::regproc

	UNION ALL
	SELECT 'high', r.relation::text, format('row policy %s_%s is missing', m.role, m.command),
		format('SELECT hub.govern(%L, %L, …) makes it anew.', r.root, (r.governed).subject_column)
	FROM hub.governed_relations() r CROSS JOIN hub.policy_matrix() m
	WHERE NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = r.relation AND p.polname = m.role || '_' || m.command)

	UNION ALL
	SELECT 'critical', r.relation::text, format('permissive policy %s is not one of customer_hub', p.polname),
		'It shows rows that the policies of customer_hub would not. Drop it, or make it RESTRICTIVE.'
	FROM hub.governed_relations() r JOIN pg_policy p ON p.polrelid = r.relation
	WHERE p.polpermissive AND NOT EXISTS (SELECT FROM hub.policy_matrix() m WHERE p.polname = m.role || '_' || m.command)

	UNION ALL
	SELECT 'critical', r.relation::text, format('row policy %s was changed', p.polname),
		format('SELECT hub.govern(%L, %L, …) makes it anew.', r.root, (r.governed).subject_column)
	FROM hub.governed_relations() r
	JOIN pg_policy p ON p.polrelid = r.relation
	JOIN hub.policy_matrix() m ON p.polname = m.role || '_' || m.command
	CROSS JOIN LATERAL hub.policy_expression(m.role, r.governed) e (expression)
	WHERE coalesce(pg_get_expr(p.polqual, p.polrelid), '') <> CASE m.command WHEN 'insert' THEN '' ELSE e.expression END
		OR coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') <> CASE m.command WHEN 'insert' THEN e.expression ELSE '' END
		OR p.polroles <> ARRAY[to_regrole(m.role::text)::oid] OR NOT p.polpermissive
		OR p.polcmd <> CASE m.command WHEN 'select' THEN 'r' WHEN 'insert' THEN 'a' ELSE 'w' END::"char"

	UNION ALL
	SELECT 'high', r.relation::text, format('PUBLIC has been granted %s', string_agg(lower(a.privilege_type), ', ' ORDER BY a.privilege_type)),
		format('REVOKE ALL ON %s FROM PUBLIC; grant to hub roles instead.', r.relation)
	FROM hub.governed_relations() r JOIN pg_class c ON c.oid = r.relation, aclexplode(c.relacl) a
	WHERE a.grantee = 0 GROUP BY r.relation

	UNION ALL
	SELECT 'high', r.relation::text, format('PUBLIC has been granted %s on column %s', lower(a.privilege_type), c.attname),
		format('REVOKE ALL (%I) ON %s FROM PUBLIC.', c.attname, r.relation)
	FROM hub.governed_relations() r JOIN pg_attribute c ON c.attrelid = r.relation, aclexplode(c.attacl) a
	WHERE a.grantee = 0

	UNION ALL
	SELECT 'high', r.relation::text, format('rule %s rewrites what is done to it', w.rulename), 'Use a trigger.'
	FROM hub.governed_relations() r JOIN pg_rewrite w ON w.ev_class = r.relation

	UNION ALL
	SELECT 'high', i.inhrelid::regclass::text, format('inherits from governed relation %s without being governed', r.relation),
		'Use a partitioned table.'
	FROM hub.governed_relations() r JOIN pg_class c ON c.oid = r.relation AND c.relkind = 'r'
	JOIN pg_inherits i ON i.inhparent = r.relation

	UNION ALL
	SELECT 'medium', r.relation::text, format('data subject column %s may be null', a.attname),
		format('ALTER TABLE %s ALTER %I SET NOT NULL: a row without data subject cannot hold encrypted values, and nobody''s erasure reaches it.', r.relation, a.attname)
	FROM hub.governed_relations() r
	JOIN pg_attribute a ON a.attrelid = r.relation AND a.attname = (r.governed).subject_column
	WHERE NOT a.attnotnull AND r.relation = r.root

	UNION ALL
	SELECT 'low', r.relation::text, format('no index begins with column %s, %s', k.column_name, k.purpose),
		format('CREATE INDEX ON %s (%I): %s goes by it.', r.relation, k.column_name, k.use)
	FROM hub.governed_relations() r
	CROSS JOIN LATERAL (VALUES
		('the data subject', (r.governed).subject_column, 'erasure'),
		('the region', (r.governed).region_column, 'every row policy')) k (purpose, column_name, use)
	JOIN pg_attribute a ON a.attrelid = r.relation AND a.attname = k.column_name
	WHERE r.relation = r.root
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = r.relation AND i.indisvalid AND i.indkey[0] = a.attnum)

	UNION ALL
	SELECT 'low', r.relation::text, 'no hub role has been granted SELECT',
		format('GRANT SELECT ON %s TO hub_agent, …: policies show rows only to those who may read the table.', r.relation)
	FROM hub.governed_relations() r
	WHERE r.relation = r.root AND NOT EXISTS (
		SELECT FROM hub.policy_matrix() m WHERE m.command = 'select' AND has_any_column_privilege(m.role, r.relation, 'SELECT'))
$$;
COMMENT ON FUNCTION hub.posture_of_relations() IS 'Part of hub.posture(): governed relations';

CREATE FUNCTION hub.posture_of_columns(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	WITH columns AS (
		SELECT g.relation, a.attname, c.data_class, hub.is_encrypted_type(a.atttypid) AS encrypted,
			hub.holds_encrypted_type(a.atttypid) AS nested,
			CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS atttypmod
		FROM hub.governed g
		JOIN pg_attribute a ON a.attrelid = g.relation AND a.attnum > 0 AND NOT a.attisdropped
		JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN hub.classification c ON c.relation = g.relation AND c.column_name = a.attname
	)
	SELECT CASE WHEN c.encrypted THEN 'high' ELSE 'medium' END, c.relation || '.' || quote_ident(c.attname),
		CASE WHEN c.encrypted THEN 'encrypted column has no data class, so nobody can read it' ELSE 'column is not classified, so it counts as personal' END,
		CASE WHEN c.encrypted THEN format('ALTER TABLE %s ALTER %I TYPE …(''contact''), or another class.', c.relation, c.attname)
			ELSE format('SELECT hub.classify(%L, %L, ''public''), or another class.', c.relation, c.attname) END
	FROM columns c
	WHERE CASE WHEN c.encrypted THEN c.atttypmod <= 0 ELSE c.data_class IS NULL END
	UNION ALL
	SELECT CASE c.data_class WHEN 'basic' THEN 'low' ELSE 'high' END, c.relation || '.' || quote_ident(c.attname),
		format('column of class %s is not encrypted', c.data_class),
		'Give it one of the hub.encrypted_* types; clearances apply to those only.'
	FROM columns c
	WHERE NOT c.encrypted AND c.data_class <> 'public'
	UNION ALL
	SELECT 'high', c.relation || '.' || quote_ident(c.attname), 'column holds encrypted values inside others',
		'Values in arrays and composites cannot be sealed for a data subject, so rows that have any are refused. Keep them in a table of their own.'
	FROM columns c WHERE c.nested
$$;
COMMENT ON FUNCTION hub.posture_of_columns() IS 'Part of hub.posture(): columns of governed relations';

CREATE FUNCTION hub.posture_of_tables(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'medium', c.oid::regclass::text,
		format('encrypted columns of a table that is not governed: %s', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)),
		format('SELECT hub.govern(%L, …): until then its values belong to nobody, so no erasure reaches them, and neither row policies nor the audit apply.',
			c.oid::regclass)
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE (hub.is_encrypted_type(a.atttypid) OR hub.holds_encrypted_type(a.atttypid)) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
		AND c.relnamespace <> 'hub'::regnamespace
		AND NOT EXISTS (SELECT FROM hub.governed g WHERE g.relation = c.oid)
	GROUP BY c.oid
	UNION ALL
	SELECT 'low', r.relation::text, format('column %s is being rewritten since %s', quote_ident(r.column_name), r.started_at::date),
		'Call the procedure that began it again, or hub.cancel_column_rewrite(); hub.column_rewrite_progress shows how far it is.'
	FROM hub.column_rewrite r WHERE r.finished_at IS NULL
	UNION ALL
	SELECT 'medium', r.relation::text,
		format('files still hold what column %s was before it was encrypted', string_agg(DISTINCT quote_ident(r.column_name), ', ')),
		format('VACUUM FULL %s, or pg_repack; WAL and backups from before hold it until they are gone.', r.relation)
	FROM hub.column_rewrite r
	WHERE r.status = 'done' AND EXISTS (
		SELECT FROM jsonb_each_text(r.residue) f
		WHERE EXISTS (SELECT FROM pg_class c WHERE c.oid = f.key::oid AND pg_relation_filenode(c.oid) = f.value::oid))
	GROUP BY r.relation
$$;
COMMENT ON FUNCTION hub.posture_of_tables() IS 'Part of hub.posture(): encrypted columns outside governed relations, and what their encryption left behind';

CREATE FUNCTION hub.posture_of_views(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- views over governed relations, and views over such views
	WITH RECURSIVE reading (view, source) AS (
		SELECT w.ev_class, d.refobjid
		FROM pg_rewrite w
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
	), exposing (view) AS (
		SELECT v.view FROM reading v JOIN hub.governed_relations() r ON r.relation = v.source
		UNION
		SELECT v.view FROM reading v JOIN exposing e ON e.view = v.source
	)
	SELECT 'high', c.oid::regclass::text, 'materialized view keeps a copy of governed rows',
		'Drop it; it has neither row policies nor audit nor erasure.'
	FROM exposing e JOIN pg_class c ON c.oid = e.view WHERE c.relkind = 'm'
	UNION ALL
	SELECT CASE WHEN o.rolsuper OR o.rolbypassrls THEN 'critical' ELSE 'medium' END, c.oid::regclass::text,
		CASE WHEN o.rolsuper OR o.rolbypassrls THEN format('view reads governed rows past the row policies, as %s', o.rolname)
			ELSE format('view reads governed relations with the rights of %s', o.rolname) END,
		format('ALTER VIEW %s SET (security_invoker = true).', c.oid::regclass)
	FROM exposing e JOIN pg_class c ON c.oid = e.view JOIN pg_roles o ON o.oid = c.relowner
	WHERE c.relkind = 'v'
		AND NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) p
			WHERE p.option_name = 'security_invoker' AND p.option_value::bool)
$$;
COMMENT ON FUNCTION hub.posture_of_views() IS 'Part of hub.posture(): views over governed relations';

CREATE FUNCTION hub.posture_of_roles(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- logins that can take on hub roles; PostgreSQL 16 made INHERIT a matter of the grant
	WITH RECURSIVE grants (login, hub_role, inherits) AS (
		SELECT a.member, r.rolname, coalesce((to_jsonb(a)->>'inherit_option')::bool, m.rolinherit)
		FROM pg_auth_members a
		JOIN pg_roles r ON r.oid = a.roleid JOIN hub.hub_role h ON h.name = r.rolname
		JOIN pg_roles m ON m.oid = a.member
		UNION
		SELECT a.member, g.hub_role, g.inherits AND coalesce((to_jsonb(a)->>'inherit_option')::bool, m.rolinherit)
		FROM grants g JOIN pg_auth_members a ON a.roleid = g.login JOIN pg_roles m ON m.oid = a.member
		WHERE NOT EXISTS (SELECT FROM hub.hub_role h JOIN pg_roles r ON r.rolname = h.name WHERE r.oid = g.login)
	), logins AS (
		SELECT l.rolname, l.rolsuper, l.rolbypassrls, bool_or(g.inherits) AS inherits,
			array_agg(DISTINCT g.hub_role) AS hub_roles,
			EXISTS (SELECT FROM hub.member m WHERE m.db_role = l.rolname AND m.active) AS is_member
		FROM pg_roles l JOIN grants g ON g.login = l.oid
		WHERE l.rolcanlogin
		GROUP BY l.oid, l.rolname, l.rolsuper, l.rolbypassrls
	)
	SELECT 'critical', l.rolname::text,
		CASE WHEN l.rolsuper THEN 'login with hub roles is a superuser' ELSE 'login with hub roles has BYPASSRLS' END,
		format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS, or give the person another login.', l.rolname)
	FROM logins l WHERE l.rolsuper OR l.rolbypassrls
	UNION ALL
	SELECT 'high', l.rolname::text, 'login is nobody''s own, has hub roles and inherits their rights',
		format('ALTER ROLE %I NOINHERIT: a pooled login has rights only after hub.authenticate().', l.rolname)
	FROM logins l WHERE l.inherits AND NOT l.is_member AND NOT l.rolsuper
	UNION ALL
	SELECT 'medium', l.rolname::text, format('login of a member has several hub roles: %s', array_to_string(l.hub_roles, ', ')),
		'Row policies go by the member''s role only, but GRANTs of the others apply too; revoke them.'
	FROM logins l WHERE l.is_member AND cardinality(l.hub_roles) > 1
	UNION ALL
	SELECT 'critical', m.db_role::text, 'login of a member is above row security',
		format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS.', m.db_role)
	FROM hub.member m JOIN pg_roles l ON l.rolname = m.db_role
	WHERE m.active AND (l.rolsuper OR l.rolbypassrls) AND NOT EXISTS (SELECT FROM logins x WHERE x.rolname = l.rolname)
	UNION ALL
	SELECT 'critical', r.rolname::text, 'hub role can log in or is above row security',
		format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS.', r.rolname)
	FROM hub.hub_role h JOIN pg_roles r ON r.rolname = h.name
	WHERE r.rolcanlogin OR r.rolsuper OR r.rolbypassrls
$$;
COMMENT ON FUNCTION hub.posture_of_roles() IS 'Part of hub.posture(): logins and hub roles';

CREATE FUNCTION hub.posture(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.severity, f.object, f.finding, f.hint
	FROM (
		SELECT * FROM hub.posture_of_relations()
		UNION ALL SELECT * FROM hub.posture_of_columns()
		UNION ALL SELECT * FROM hub.posture_of_tables()
		UNION ALL SELECT * FROM hub.posture_of_views()
		UNION ALL SELECT * FROM hub.posture_of_roles()
		UNION ALL SELECT * FROM hub.posture_of_rights()
		UNION ALL SELECT * FROM hub.posture_of_server()
	) f
	ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low'], f.severity), f.object, f.finding
$$;
COMMENT ON FUNCTION hub.posture() IS 'What weakens the protection of governed data here, worst first, each with what to do about it; no rows is good';
GRANT EXECUTE ON FUNCTION hub.posture() TO hub_admin, hub_compliance;
