-- Exports: the one way for rows of governed relations to leave in bulk, after an
-- approval of the action export with
--	{"relation": "crm.customer", "columns": ["customer_id", "email"],
--	 "where": {"region": "DE"}, "max_rows": 500}

CREATE TABLE hub.export_ceiling_default (
	role name PRIMARY KEY,
	max_rows bigint NOT NULL CHECK (max_rows >= 0),
	reveals_per_day bigint NOT NULL CHECK (reveals_per_day >= 0)
);
COMMENT ON TABLE hub.export_ceiling_default IS 'How much members of each hub role may be shown; hub.export_ceiling overrides it';
COMMENT ON COLUMN hub.export_ceiling_default.max_rows IS 'rows of governed relations that one query may send, and persons whose values it may show';
COMMENT ON COLUMN hub.export_ceiling_default.reveals_per_day IS 'how often values of a person and data class may be revealed to a member in a day (UTC), counted once per transaction';
INSERT INTO hub.export_ceiling_default VALUES
	('hub_agent', 10000, 20000), ('hub_sales', 10000, 20000), ('hub_manager', 50000, 50000), ('hub_compliance', 50000, 50000),
	('hub_admin', 10000, 1000), ('hub_connector', 1000, 1000), ('hub_ai_agent', 1000, 5000);

CREATE TABLE hub.export_ceiling (
	role name PRIMARY KEY,
	max_rows bigint CHECK (max_rows >= 0),
	reveals_per_day bigint CHECK (reveals_per_day >= 0)
);
COMMENT ON TABLE hub.export_ceiling IS 'Ceilings and quotas of this hub, in place of the defaults; set with hub.set_export_ceiling() and hub.set_reveal_quota()';
COMMENT ON COLUMN hub.export_ceiling.max_rows IS 'null: the default';
COMMENT ON COLUMN hub.export_ceiling.reveals_per_day IS 'null: the default';
SELECT pg_catalog.pg_extension_config_dump('hub.export_ceiling', '');
CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.export_ceiling
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();

CREATE FUNCTION hub.export_ceiling_of(role pg_catalog.name, OUT max_rows pg_catalog.int8, OUT reveals_per_day pg_catalog.int8)
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(o.max_rows, b.max_rows, d.max_rows), coalesce(o.reveals_per_day, b.reveals_per_day, d.reveals_per_day)
	FROM hub.export_ceiling_default d
	LEFT JOIN hub.export_ceiling o ON o.role = $1
	LEFT JOIN hub.export_ceiling b ON b.role = d.role
	WHERE d.role = hub.base_role($1)
$$;
COMMENT ON FUNCTION hub.export_ceiling_of(name) IS 'How many rows of governed relations one query may send to a member of a hub role, and how much may be revealed to the member in a day';

CREATE FUNCTION hub.set_export_ceiling(role pg_catalog.name, max_rows pg_catalog.int8) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM hub.require_admin('change export ceilings');
	PERFORM hub.base_role(role);
	IF max_rows > (hub.export_ceiling_of(role)).max_rows AND EXISTS (SELECT FROM hub.whoami()) THEN
		PERFORM hub.require_approval('change_export_ceiling', jsonb_build_object('role', role, 'max_rows', max_rows));
	END IF;
	INSERT INTO hub.export_ceiling (role, max_rows) VALUES (role, max_rows)
	ON CONFLICT ON CONSTRAINT export_ceiling_pkey DO UPDATE SET max_rows = excluded.max_rows;
END
$$;
COMMENT ON FUNCTION hub.set_export_ceiling(name, int8) IS 'Says how many rows of governed relations one query may send to a member of a hub role, and of how many persons it may show values. For hub administrators; to raise it, a member needs an approval of the action change_export_ceiling with the same parameters.';
GRANT EXECUTE ON FUNCTION hub.set_export_ceiling(name, int8) TO hub_admin;

CREATE FUNCTION hub.set_reveal_quota(role pg_catalog.name, reveals_per_day pg_catalog.int8) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM hub.require_admin('change reveal quotas');
	PERFORM hub.base_role(role);
	IF reveals_per_day > (hub.export_ceiling_of(role)).reveals_per_day AND EXISTS (SELECT FROM hub.whoami()) THEN
		PERFORM hub.require_approval('change_export_ceiling', jsonb_build_object('role', role, 'reveals_per_day', reveals_per_day));
	END IF;
	INSERT INTO hub.export_ceiling (role, reveals_per_day) VALUES (role, reveals_per_day)
	ON CONFLICT ON CONSTRAINT export_ceiling_pkey DO UPDATE SET reveals_per_day = excluded.reveals_per_day;
END
$$;
COMMENT ON FUNCTION hub.set_reveal_quota(name, int8) IS 'Says how often values of a person and data class may be revealed to a member of a hub role in a day (UTC); a person and class count once per transaction, approved exports do not. For hub administrators; to raise it, a member needs an approval of the action change_export_ceiling with the same parameters.';
GRANT EXECUTE ON FUNCTION hub.set_reveal_quota(name, int8) TO hub_admin;

-- Kept by the audit worker together with the reveals themselves, so that the
-- day's quota outlives a restart.
CREATE TABLE hub.reveal_usage (
	member_id int,
	day date,
	reveals bigint NOT NULL,
	PRIMARY KEY (member_id, day)
) WITH (fillfactor = 50);
COMMENT ON TABLE hub.reveal_usage IS 'How much was revealed to each member on each day (UTC), as counted against the quota of hub.set_reveal_quota()';
SELECT pg_catalog.pg_extension_config_dump('hub.reveal_usage', '');
GRANT SELECT ON hub.reveal_usage TO hub_admin, hub_compliance;
ALTER TABLE hub.reveal_usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY configuration ON hub.reveal_usage FOR SELECT TO hub_admin, hub_compliance USING (hub.sees_configuration());

-- The query of an export. Conditions stand in the request as plain text, which
-- outlives an erasure: so they go by public columns only.
CREATE FUNCTION hub.export_query(params pg_catalog.jsonb, OUT query pg_catalog.text, OUT count_query pg_catalog.text, OUT relation pg_catalog.regclass)
	LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target regclass := to_regclass(params->>'relation');
	attribute record;
	item record;
	pairs text[];
	conditions text[];
	usage CONSTANT text := 'Example: {"relation": "crm.customer", "columns": ["customer_id"], "where": {"region": "DE"}, "max_rows": 500}.';
BEGIN
	SELECT k.key INTO item FROM jsonb_object_keys(params) k (key)
	WHERE k.key NOT IN ('relation', 'columns', 'where', 'max_rows') LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'unknown parameter "%" of an export', item.key
			USING ERRCODE = 'invalid_parameter_value', HINT = usage;
	END IF;
	IF target IS NULL THEN
		RAISE EXCEPTION 'relation "%" of an export does not exist', params->>'relation'
			USING ERRCODE = 'undefined_table', HINT = 'Name it with its schema. ' || usage;
	END IF;
	IF hub.governed_root(target) IS NULL THEN
		RAISE EXCEPTION 'relation "%" is not governed', target
			USING ERRCODE = 'CH301', HINT = 'Exports are for governed relations; hub.governed lists them.';
	END IF;
	IF jsonb_typeof(params->'max_rows') IS DISTINCT FROM 'number' OR (params->>'max_rows') !~ '^[1-9][0-9]{0,17}$' THEN
		RAISE EXCEPTION 'an export needs the number of rows that it may have'
			USING ERRCODE = 'invalid_parameter_value', HINT = usage;
	END IF;
	IF jsonb_typeof(params->'columns') IS DISTINCT FROM 'array' OR jsonb_array_length(params->'columns') = 0 THEN
		RAISE EXCEPTION 'an export needs its columns'
			USING ERRCODE = 'invalid_parameter_value', HINT = usage;
	END IF;
	IF coalesce(jsonb_typeof(params->'where'), 'null') NOT IN ('null', 'object') THEN
		RAISE EXCEPTION 'conditions of an export must be an object of columns and values'
			USING ERRCODE = 'invalid_parameter_value', HINT = usage;
	END IF;

	FOR item IN SELECT c.name FROM jsonb_array_elements_text(params->'columns') c (name) LOOP
		SELECT a.attname, hub.is_encrypted_type(a.atttypid) AS encrypted INTO attribute
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		WHERE a.attrelid = target AND a.attname = item.name AND a.attnum > 0 AND NOT a.attisdropped;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'column "%" of relation "%" does not exist', item.name, target
				USING ERRCODE = 'undefined_column';
		END IF;
		pairs := pairs || format(CASE WHEN attribute.encrypted THEN '%L, hub.disclose(%I)' ELSE '%L, %I' END,
			attribute.attname, attribute.attname);
	END LOOP;

	FOR item IN SELECT w.key AS name, w.value FROM jsonb_each_text(nullif(params->'where', 'null')) w LOOP
		SELECT a.attname, n.nspname, o.oprname, c.data_class INTO attribute
		FROM pg_attribute a
		LEFT JOIN pg_opclass k ON k.opcintype = a.atttypid AND k.opcdefault
			AND k.opcmethod = (SELECT m.oid FROM pg_am m WHERE m.amname = 'btree')
		LEFT JOIN pg_amop e ON e.amopfamily = k.opcfamily AND e.amopstrategy = 3
			AND e.amoplefttype = a.atttypid AND e.amoprighttype = a.atttypid
		LEFT JOIN pg_operator o ON o.oid = e.amopopr
		LEFT JOIN pg_namespace n ON n.oid = o.oprnamespace
		LEFT JOIN hub.classification c ON c.relation = hub.governed_root(target) AND c.column_name = a.attname
		WHERE a.attrelid = target AND a.attname = item.name AND a.attnum > 0 AND NOT a.attisdropped;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'column "%" of relation "%" does not exist', item.name, target
				USING ERRCODE = 'undefined_column';
		ELSIF attribute.data_class IS DISTINCT FROM 'public' THEN
			RAISE EXCEPTION 'an export cannot be limited by column "%", which is not classified as public', item.name
				USING ERRCODE = 'CH305',
					  HINT = 'The request would keep the value in plain text. Use the columns that row policies go by, such as the data subject or the region.';
		END IF;
		conditions := conditions || CASE WHEN item.value IS NULL THEN format('%I IS NULL', attribute.attname)
			ELSE format('%I OPERATOR(%I.%s) %L', attribute.attname,
				coalesce(attribute.nspname, 'pg_catalog'), coalesce(attribute.oprname, '='), item.value) END;
	END LOOP;

	relation := target;
	query := format('SELECT pg_catalog.jsonb_build_object(%s) FROM %s%s', array_to_string(pairs, ', '), target,
		coalesce(' WHERE ' || array_to_string(conditions, ' AND '), ''));
	count_query := format('SELECT pg_catalog.count(*) FROM (SELECT FROM %s%s LIMIT %s) counted', target,
		coalesce(' WHERE ' || array_to_string(conditions, ' AND '), ''), (params->>'max_rows')::int8 + 1);
END
$$;
COMMENT ON FUNCTION hub.export_query(jsonb) IS 'Checks the parameters of an export and returns its query, and one that counts its rows up to the ceiling; engine only';

-- A request is for one export, even if its transaction is rolled back after the
-- rows have left. A sequence does not roll back: each approved export has one as
-- its ticket, taken before the first row leaves and dropped once all is done.
CREATE FUNCTION hub.prepare_export(request hub.approval_request) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF request.action = 'export' THEN
		EXECUTE format('CREATE SEQUENCE hub.%I', 'export_ticket_' || request.id);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.prepare_export(hub.approval_request) IS 'Makes the ticket of an approved export; engine only';

CREATE FUNCTION hub.drop_export_ticket(request hub.approval_request) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF request.action = 'export' AND request.status = 'approved' THEN
		EXECUTE format('DROP SEQUENCE hub.%I', 'export_ticket_' || request.id);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.drop_export_ticket(hub.approval_request) IS 'Drops the ticket of an approved export that will not be run; engine only';

CREATE FUNCTION hub.begin_export(request_id pg_catalog.int8, OUT query pg_catalog.text, OUT count_query pg_catalog.text,
	OUT max_rows pg_catalog.int8, OUT relation pg_catalog.oid, OUT params pg_catalog.text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	request hub.approval_request;
	me int := (SELECT w.member_id FROM hub.whoami() w);
BEGIN
	SELECT r.* INTO request FROM hub.approval_request r WHERE r.id = request_id AND r.action = 'export' FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'export request % does not exist', request_id
			USING ERRCODE = 'CH303', HINT = 'Ask for one with hub.request_approval(''export'', …).';
	END IF;
	IF me IS NULL OR request.member_id IS DISTINCT FROM me THEN
		PERFORM hub.deny('CH205', format('export request %s was made by somebody else', request_id),
			'Only the member who asked for an export can run it.',
			jsonb_build_object('attempt', 'export', 'request', request_id));
	END IF;
	IF request.status = 'used' THEN
		RAISE EXCEPTION 'export request % was used', request_id
			USING ERRCODE = 'CH305', HINT = 'Each approval is for one export; ask for another one.';
	ELSIF request.status <> 'approved' OR request.expires_at <= clock_timestamp() THEN
		RAISE EXCEPTION 'export request % is %', request_id,
			CASE WHEN request.expires_at <= clock_timestamp() THEN 'expired' ELSE request.status END
			USING ERRCODE = 'CH303', HINT = 'Another person approves it with hub.approve().';
	END IF;
	PERFORM hub.use_approval(request);
	SELECT q.query, q.count_query, q.relation INTO query, count_query, relation FROM hub.export_query(request.params) q;
	max_rows := (request.params->>'max_rows')::int8;
	params := request.params::text;
END
$$;
COMMENT ON FUNCTION hub.begin_export(int8) IS 'Step of hub.export(): checks the request and marks it as used; engine only';

CREATE FUNCTION hub.take_export_ticket(request_id pg_catalog.int8) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ticket text := format('hub.%I', 'export_ticket_' || request_id);
BEGIN
	IF nextval(ticket) > 1 THEN
		PERFORM hub.deny('CH305', format('export request %s was used in a transaction that was rolled back', request_id),
			'Each approval is for one export; ask for another one.',
			jsonb_build_object('attempt', 'export_again', 'request', request_id));
	END IF;
	EXECUTE format('DROP SEQUENCE %s', ticket);
END
$$;
COMMENT ON FUNCTION hub.take_export_ticket(int8) IS 'Step of hub.export(): takes the ticket before rows leave; engine only';

CREATE FUNCTION hub.export(request pg_catalog.int8) RETURNS SETOF pg_catalog.jsonb
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_export';
COMMENT ON FUNCTION hub.export(int8) IS
'Hands out the rows of an approved request of the action export, one jsonb object per row, once, to the member who asked. Row policies and clearance of that member apply; more rows than approved is an error before the first. SELECT hub.export(n) streams; in FROM, PostgreSQL collects the rows first. hub.export_progress shows how far it is.';
GRANT EXECUTE ON FUNCTION hub.export(int8) TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_admin;

CREATE FUNCTION hub.running_exports(
	OUT pid pg_catalog.int4, OUT request pg_catalog.int8, OUT relation pg_catalog.regclass, OUT rows_sent pg_catalog.int8, OUT rows_found pg_catalog.int8
) RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.pid, p.param20, p.relid::regclass, p.param3, p.param19
	FROM pg_stat_get_progress_info('COPY') p
	WHERE p.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
		AND p.param20 > 0 AND (hub.session_is_superuser() OR EXISTS (
			SELECT FROM hub.whoami() w WHERE hub.base_role(w.role) IN ('hub_compliance', 'hub_admin')
				OR EXISTS (SELECT FROM hub.approval_request r WHERE r.id = p.param20 AND r.member_id = w.member_id)))
$$;
COMMENT ON FUNCTION hub.running_exports() IS 'Exports that are running: for compliance and administrators all, for others their own';
CREATE VIEW hub.export_progress AS SELECT * FROM hub.running_exports();
COMMENT ON VIEW hub.export_progress IS 'Exports that are running, in steps of 1000 rows; pg_cancel_backend(pid) ends one, which stays on record';
GRANT SELECT ON hub.export_progress TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_admin;
GRANT EXECUTE ON FUNCTION hub.running_exports() TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_admin;
