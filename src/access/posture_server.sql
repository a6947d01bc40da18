-- hub.posture(), second part: what the server and its roles allow beside the
-- governed relations themselves.

CREATE FUNCTION hub.posture_of_rights(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	-- hub roles, and logins that can take them on: whoever a member or an injected statement can be
	WITH RECURSIVE within (role) AS (
		SELECT r.oid FROM hub.hub_role h JOIN pg_roles r ON r.rolname = h.name
		UNION
		SELECT a.member FROM within w JOIN pg_auth_members a ON a.roleid = w.role
	), reach (role, name) AS (
		SELECT r.oid, r.rolname FROM within w JOIN pg_roles r ON r.oid = w.role WHERE NOT r.rolsuper
		UNION ALL SELECT 0, 'PUBLIC'
	), powers (name, severity, finding) AS (VALUES
		('pg_read_all_data', 'high', 'reads every table, the hub''s own included'),
		('pg_write_all_data', 'high', 'writes to every table, the hub''s own included'),
		('pg_read_server_files', 'critical', 'reads files of the server'),
		('pg_write_server_files', 'critical', 'writes files of the server'),
		('pg_execute_server_program', 'critical', 'runs programs as the server'),
		('pg_read_all_stats', 'medium', 'reads the statements of other sessions while they run'),
		('pg_monitor', 'medium', 'reads the statements of other sessions while they run'))
	SELECT p.severity, r.rolname::text, format('role has %s and %s', p.name, p.finding), format('REVOKE %I FROM %I.', p.name, r.rolname)
	FROM powers p JOIN pg_roles g ON g.rolname = p.name
	JOIN pg_auth_members a ON a.roleid = g.oid JOIN pg_roles r ON r.oid = a.member
	WHERE r.rolname !~ '^pg_'
	UNION ALL
	SELECT 'high', r.rolname::text, 'role has BYPASSRLS and reads governed rows past the row policies',
		format('ALTER ROLE %I NOBYPASSRLS. What it is needed for, a member or a superuser can do.', r.rolname)
	FROM pg_roles r WHERE r.rolbypassrls AND NOT r.rolsuper AND r.oid NOT IN (SELECT w.role FROM within w)
		AND NOT EXISTS (SELECT FROM hub.member m WHERE m.db_role = r.rolname AND m.active)
	UNION ALL
	SELECT 'medium', r.rolname::text, 'role has REPLICATION and can copy the whole server',
		format('ALTER ROLE %I NOREPLICATION, unless it is a standby''s or the backup''s.', r.rolname)
	FROM pg_roles r WHERE r.rolreplication AND NOT r.rolsuper
	UNION ALL
	SELECT 'high', r.name::text, format('role can make or change roles: %s', concat_ws(', ',
			CASE WHEN l.rolcreaterole THEN 'CREATEROLE' END, CASE WHEN l.rolcreatedb THEN 'CREATEDB' END)),
		format('ALTER ROLE %I NOCREATEROLE NOCREATEDB.', r.name)
	FROM reach r JOIN pg_roles l ON l.oid = r.role WHERE l.rolcreaterole OR l.rolcreatedb
	UNION ALL
	-- PostgreSQL 16 bound this right to roles that were granted with ADMIN OPTION
	SELECT 'high', r.rolname::text, 'role has CREATEROLE and can set the passwords of members'' logins',
		format('ALTER ROLE %I NOCREATEROLE: who sets a password can log in as that member.', r.rolname)
	FROM pg_roles r
	WHERE r.rolcreaterole AND NOT r.rolsuper AND r.oid NOT IN (SELECT w.role FROM within w)
		AND current_setting('server_version_num')::int < 160000 AND EXISTS (SELECT FROM hub.member m WHERE m.db_role IS NOT NULL AND m.active)
	UNION ALL
	SELECT 'medium', r.rolname::text, format('role may grant hub role %s to others', g.rolname),
		format('REVOKE ADMIN OPTION FOR %I FROM %I.', g.rolname, r.rolname)
	FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN hub.hub_role h ON h.name = g.rolname JOIN pg_roles r ON r.oid = a.member
	WHERE a.admin_option AND NOT r.rolsuper
	UNION ALL
	-- beyond what the extension itself grants
	SELECT CASE WHEN o.kind = 'function' AND obj_description(o.oid, 'pg_proc') LIKE '%engine only%' THEN 'critical' ELSE 'high' END, o.name,
		format('%s has been granted %s on a %s of the engine', coalesce(r.rolname, 'PUBLIC'), lower(a.privilege_type), o.kind),
		format('REVOKE %s ON %s %s FROM %s.', a.privilege_type, upper(o.kind), o.name, coalesce(quote_ident(r.rolname), 'PUBLIC'))
	FROM (
		SELECT c.oid, 'pg_class'::regclass AS class, c.oid::regclass::text AS name, 'table' AS kind, c.relacl AS acl, c.relowner AS owner
		FROM pg_class c WHERE c.relnamespace = 'hub'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
		UNION ALL
		SELECT p.oid, 'pg_proc'::regclass, p.oid::regprocedure::text, 'function', p.proacl, p.proowner
		FROM pg_proc p WHERE p.pronamespace = 'hub'::regnamespace) o
	LEFT JOIN pg_init_privs i ON i.objoid = o.oid AND i.classoid = o.class AND i.objsubid = 0
	CROSS JOIN LATERAL aclexplode(o.acl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
	WHERE a.grantee <> o.owner AND NOT coalesce(r.rolsuper, false)
		AND NOT EXISTS (SELECT FROM aclexplode(i.initprivs) e WHERE e.grantee = a.grantee AND e.privilege_type = a.privilege_type)
	UNION ALL
	SELECT 'medium', coalesce('schema ' || n.nspname, 'all schemas'), format('what %s creates is granted to PUBLIC', o.rolname),
		format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON TABLES FROM PUBLIC; a table that is governed later would be open to everybody.', o.rolname, ' IN SCHEMA ' || quote_ident(n.nspname))
	FROM pg_default_acl d JOIN pg_roles o ON o.oid = d.defaclrole LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
	WHERE d.defaclobjtype = 'r' AND EXISTS (SELECT FROM aclexplode(d.defaclacl) a WHERE a.grantee = 0)
	UNION ALL
	SELECT 'medium', format('foreign server %s', s.srvname), 'everybody is the same user there',
		format('DROP USER MAPPING FOR PUBLIC SERVER %I, and make one for each role that is meant.', s.srvname)
	FROM pg_user_mapping u JOIN pg_foreign_server s ON s.oid = u.umserver WHERE u.umuser = 0
	UNION ALL
	SELECT 'high', c.oid::regclass::text, format('%s owns it, whose triggers run with the rights of the engine when events come in', o.rolname),
		format('ALTER TABLE %s OWNER TO a superuser, or to a role that nobody logs in as.', c.oid::regclass)
	FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner
	WHERE c.relnamespace = to_regnamespace('crm') AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT o.rolsuper
		AND EXISTS (SELECT FROM pg_roles l WHERE l.rolcanlogin AND NOT l.rolsuper AND pg_has_role(l.oid, o.oid, 'MEMBER'))
	UNION ALL
	SELECT 'low', m.db_role::text, format('login was given from member to member: %s', string_agg(m.external_id, ', ' ORDER BY m.member_id)),
		'Give each person a login of their own; approvals take them for one person.'
	FROM hub.member m WHERE m.db_role IS NOT NULL GROUP BY m.db_role HAVING count(*) > 1
	UNION ALL
	SELECT CASE WHEN a.privilege_type = 'TRIGGER' THEN 'high' ELSE 'medium' END, g.relation::text,
		format('%s has been granted %s', r.name, lower(a.privilege_type)),
		format('REVOKE %s ON %s FROM %s: %s.', a.privilege_type, g.relation, CASE r.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END,
			CASE a.privilege_type WHEN 'TRIGGER' THEN 'its triggers would run with everybody''s rights'
				WHEN 'REFERENCES' THEN 'a foreign key tells which rows exist' ELSE 'rows go through erasure or retention' END)
	FROM hub.governed_relations() g JOIN pg_class c ON c.oid = g.relation, aclexplode(c.relacl) a JOIN reach r ON r.role = a.grantee
	WHERE a.privilege_type IN ('TRIGGER', 'REFERENCES', 'TRUNCATE', 'DELETE') AND a.grantee <> 0 AND a.grantee <> c.relowner
	UNION ALL
	SELECT 'high', n.nspname::text, format('%s may create objects in the schema', r.name),
		format('REVOKE CREATE ON SCHEMA %I FROM %s: what stands there can be called, or read in place of a table, by others.', n.nspname,
			CASE r.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END)
	FROM pg_namespace n, aclexplode(n.nspacl) a JOIN reach r ON r.role = a.grantee
	WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
		AND (a.grantee = 0 OR n.nspname = 'hub'
			OR EXISTS (SELECT FROM hub.governed_relations() g JOIN pg_class c ON c.oid = g.relation WHERE c.relnamespace = n.oid))
	UNION ALL
	SELECT 'high', p.oid::regprocedure::text, format('%s may call a function that reaches files of the server', r.name),
		format('REVOKE EXECUTE ON FUNCTION %s FROM %s.', p.oid::regprocedure, CASE r.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END)
	FROM pg_proc p, aclexplode(p.proacl) a JOIN reach r ON r.role = a.grantee
	WHERE p.pronamespace = 'pg_catalog'::regnamespace
		AND (p.proname ~ '^pg_(read|ls|stat)_(file|binary_file|dir|logdir|waldir)' OR p.proname IN ('pg_stat_file', 'lo_import', 'lo_export'))
	UNION ALL
	SELECT 'high', p.oid::regprocedure::text, format('function runs as %s, above row security, and names governed relation %s', o.rolname, g.relation),
		'ALTER FUNCTION … SECURITY INVOKER, or have it owned by a role without SUPERUSER and BYPASSRLS: else it shows whoever may call it all rows.'
	FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
	JOIN hub.governed_relations() g ON g.relation = g.root
	JOIN pg_class c ON c.oid = g.relation
	WHERE p.prosecdef AND (o.rolsuper OR o.rolbypassrls)
		AND p.pronamespace NOT IN ('hub'::regnamespace, 'pg_catalog'::regnamespace)
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
		AND (p.prosrc ~* ('\m' || regexp_replace(c.relname, '([^[:alnum:]_])', '\\\1', 'g') || '\M')
			OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
				AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid))
	UNION ALL
	SELECT 'medium', p.oid::regprocedure::text, format('%s may call a function in the untrusted language %s', string_agg(r.name, ', ' ORDER BY r.name), l.lanname),
		format('REVOKE EXECUTE ON FUNCTION %s FROM …: what runs in it can reach the server''s files and network.', p.oid::regprocedure)
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND NOT l.lanpltrusted AND l.lanname NOT IN ('internal', 'c')
	CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a JOIN reach r ON r.role = a.grantee
	GROUP BY p.oid, l.lanname
	UNION ALL
	SELECT 'medium', format('extension %s', e.extname), 'members may connect to other servers from inside this one',
		format('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC, or drop the extension.', n.nspname)
	FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
	WHERE e.extname = 'dblink' AND EXISTS (
		SELECT FROM pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a JOIN reach r ON r.role = a.grantee
		WHERE p.pronamespace = e.extnamespace AND p.proname = 'dblink_connect')
	UNION ALL
	SELECT 'medium', format('foreign server %s', s.srvname), format('%s may make foreign tables on it', r.name),
		format('REVOKE USAGE ON FOREIGN SERVER %I FROM %s.', s.srvname, CASE r.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END)
	FROM pg_foreign_server s, aclexplode(s.srvacl) a JOIN reach r ON r.role = a.grantee WHERE a.privilege_type = 'USAGE'
	UNION ALL
	SELECT 'medium', format('foreign table %s', f.ftrelid::regclass), format('%s may write to a foreign table', r.name),
		format('REVOKE INSERT, UPDATE ON %s FROM %s, unless rows are meant to leave by it.', f.ftrelid::regclass, CASE r.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.name) END)
	FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid, aclexplode(c.relacl) a JOIN reach r ON r.role = a.grantee
	WHERE a.privilege_type = 'INSERT' AND a.grantee <> c.relowner
$$;
COMMENT ON FUNCTION hub.posture_of_rights() IS 'Part of hub.posture(): rights that reach past the rules';

CREATE FUNCTION hub.posture_of_server(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT finding pg_catalog.text, OUT hint pg_catalog.text
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT 'medium', format('publication %s', p.pubname), format('governed relation %s is published', g.relation),
		'Encrypted values stay sealed; but on the subscriber neither row policies nor audit nor erasure apply. ALTER PUBLICATION … DROP TABLE, or govern there too.'
	FROM pg_publication p
	JOIN hub.governed_relations() g ON g.relation = g.root
	WHERE p.puballtables OR EXISTS (
		SELECT FROM pg_publication_tables t WHERE t.pubname = p.pubname
			AND EXISTS (SELECT FROM hub.relation_tree(g.relation) r (relid) WHERE r.relid = format('%I.%I', t.schemaname, t.tablename)::regclass))
	UNION ALL
	SELECT 'critical', r.relid::text, 'relation has triggers of customer_hub and is not registered',
		'Its row in hub.governed was deleted. Find out by whom, then call hub.govern() again.'
	FROM (SELECT DISTINCT t.tgrelid::regclass AS relid FROM pg_trigger t WHERE t.tgfoid = 'hub.seal_row'::regproc) r
	WHERE hub.governed_root(r.relid) IS NULL
	UNION ALL
	SELECT 'critical', p.oid::regprocedure::text, 'function in schema hub is not customer_hub''s',
		'Drop it, or create it elsewhere; what is in hub is taken for the engine''s.'
	FROM pg_proc p WHERE p.pronamespace = 'hub'::regnamespace
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
			AND d.deptype = 'e' AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'customer_hub'))
	UNION ALL
	SELECT 'critical', p.oid::regprocedure::text, 'function that row policies or triggers call was replaced',
		'DROP EXTENSION is refused while relations are governed; restore the function from the extension''s script.'
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace = 'hub'::regnamespace
		AND p.proname IN ('in_regions', 'in_lines', 'in_teams', 'is_me', 'acts_as', 'my_regions', 'my_lines', 'my_teams', 'my_member_id',
			'seal_row', 'audit_row', 'refuse_truncate', 'refuse_held_row', 'reveal', 'disclose')
		AND (l.lanname <> 'c' OR p.prosrc <> 'hub_' || p.proname)
	UNION ALL
	SELECT 'high', coalesce('role ' || r.rolname, 'database ' || d.datname, 'all roles'), format('is set to %s', c.setting),
		format('ALTER %s RESET %s.', CASE WHEN r.rolname IS NOT NULL THEN format('ROLE %I', r.rolname) ELSE format('DATABASE %I', d.datname) END, split_part(c.setting, '=', 1))
	FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase,
		unnest(s.setconfig) c (setting)
	WHERE (d.datname IS NULL OR d.datname = current_database())
		AND c.setting ~ '^(session_replication_role=(replica|local)|row_security=off|customer_hub\.redact_log=(off|false|no|0)|customer_hub\.allow_explain_analyze=(on|true|yes|1))$'
	UNION ALL
	SELECT f.severity, f.setting, f.finding, f.hint
	FROM (VALUES
		('customer_hub.redact_log', 'off', 'medium', 'statements and values of members go to the server log', 'SET customer_hub.redact_log = on.'),
		('customer_hub.allow_explain_analyze', 'on', 'medium', 'EXPLAIN ANALYZE tells members about rows that no policy shows them', 'Allow it for one session at a time.'),
		('customer_hub.standby_reveal', 'on', 'medium', 'a standby shows plaintext, recorded in its server log only', 'Set it to off, and ask the primary.'),
		('log_statement', 'mod', 'low', 'statements of sessions without identity are logged with the values in them', 'Set it to ddl or none.'),
		('log_statement', 'all', 'low', 'statements of sessions without identity are logged with the values in them', 'Set it to ddl or none.'),
		('debug_print_parse', 'on', 'low', 'statements of sessions without identity are logged as trees, with the values in them', 'Set it to off.'),
		('fsync', 'off', 'low', 'a crash loses what is committed, the trail included', 'Set it to on.'),
		('ssl', 'off', 'low', 'plaintext and tokens may cross the network in the clear', 'Set ssl = on, and hostssl in pg_hba.conf, unless all connections are local.')
	) f (setting, value, severity, finding, hint)
	WHERE current_setting(f.setting) = f.value
	UNION ALL
	SELECT 'low', 'log_min_duration_statement', 'slow statements of sessions without identity are logged with the values in them',
		'SET log_parameter_max_length = 0 and send values as parameters, or set it to -1.'
	WHERE (current_setting('log_min_duration_statement') <> '-1' OR current_setting('log_min_duration_sample') <> '-1')
	UNION ALL
	SELECT 'low', 'log_parameter_max_length_on_error', 'parameters of failing statements of sessions without identity are logged',
		'Set it to 0.'
	WHERE current_setting('log_parameter_max_length_on_error') <> '0'
$$;
COMMENT ON FUNCTION hub.posture_of_server() IS 'Part of hub.posture(): publications, settings, and the extension itself';
