-- hub.govern() and its steps. The entry points are C: they check the caller,
-- then have the steps run as the owner of the extension.

CREATE FUNCTION hub.govern(
	relation pg_catalog.regclass,
	subject pg_catalog.name,
	region pg_catalog.name DEFAULT NULL,
	line pg_catalog.name DEFAULT NULL,
	team pg_catalog.name DEFAULT NULL,
	owner pg_catalog.name DEFAULT NULL
) RETURNS pg_catalog.void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_govern';
COMMENT ON FUNCTION hub.govern(regclass, name, name, name, name, name) IS
'Puts a table and its partitions under the rules: row security forced, one policy per hub role and command, sealing and audit triggers, no TRUNCATE, no DROP.
subject is the uuid or bigint column that says whose data a row holds; region, line, team and owner are the columns that row policies go by.
Encrypted values of existing rows are bound to their data subjects by an UPDATE, which fires the table''s own triggers.
GRANTs are left to the owner. May be called again, with other columns too. Needs ownership of the table.';

CREATE FUNCTION hub.ungovern(relation pg_catalog.regclass) RETURNS pg_catalog.void
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_ungovern';
COMMENT ON FUNCTION hub.ungovern(regclass) IS
'Takes a table out from under the rules; its rows stay, encrypted values stay encrypted. For superusers, and for hub administrators with an approval of the action ungovern. Audited.';

CREATE FUNCTION hub.classify(relation pg_catalog.regclass, column_name pg_catalog.name, data_class pg_catalog.text)
	RETURNS pg_catalog.void
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_classify';
COMMENT ON FUNCTION hub.classify(regclass, name, text) IS
'States the data class of a column that is not encrypted; an encrypted column states its own in its type. Needs ownership of the table or a hub administrator.';

CREATE FUNCTION hub.acts_as(role pg_catalog.name) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE COST 2.3 SUPPORT hub.acts_as_support AS 'MODULE_PATHNAME', 'hub_acts_as';
COMMENT ON FUNCTION hub.acts_as(name) IS
'True while the identity of the transaction behaves like this default hub role and the current user is the member''s own role or login. Each row policy asks it, so that a role that is not the member''s shows no rows.';

CREATE FUNCTION hub.is_unbound(value "any") RETURNS pg_catalog.bool
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_is_unbound';
COMMENT ON FUNCTION hub.is_unbound("any") IS 'True for an encrypted value that is not bound to a data subject yet';

CREATE FUNCTION hub.refuse_truncate() RETURNS pg_catalog.trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'hub_refuse_truncate';
COMMENT ON FUNCTION hub.refuse_truncate() IS 'Trigger function: refuses TRUNCATE of a governed relation';

CREATE FUNCTION hub.relation_tree(relation pg_catalog.regclass) RETURNS SETOF pg_catalog.regclass
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT relation UNION SELECT t.relid FROM pg_partition_tree(relation) t
$$;
COMMENT ON FUNCTION hub.relation_tree(regclass) IS 'The relation and all its partitions';

CREATE FUNCTION hub.governed_root(relation pg_catalog.regclass) RETURNS pg_catalog.regclass
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT g.relation FROM hub.governed g
	WHERE g.relation = $1 OR g.relation IN (SELECT a.relid FROM pg_partition_ancestors($1) a)
	LIMIT 1
$$;
COMMENT ON FUNCTION hub.governed_root(regclass) IS 'The registered relation that governs this one: itself or the table it is a partition of; null when it is not governed';

-- What the roles may do with which rows. Created roles are members of the one
-- they were made like, so its policies are theirs. Nobody has DELETE: erasure
-- and retention run in the engine.
CREATE FUNCTION hub.policy_matrix(OUT role pg_catalog.name, OUT command pg_catalog.text) RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.role::name, c.command
	FROM (VALUES
		('hub_agent', ARRAY['select', 'insert', 'update']),
		('hub_sales', ARRAY['select', 'insert', 'update']),
		('hub_manager', ARRAY['select', 'insert', 'update']),
		('hub_compliance', ARRAY['select']),
		('hub_connector', ARRAY['insert']),
		('hub_ai_agent', ARRAY['select'])
	) r (role, commands), unnest(r.commands) c (command)
$$;
COMMENT ON FUNCTION hub.policy_matrix() IS 'Commands for which each hub role has a row policy on governed relations';

-- Agent, sales and manager work on the rows of their regions, lines and teams
-- and on their own; compliance reads those of its regions and lines; an AI agent
-- those it is assigned.
CREATE FUNCTION hub.policy_predicate(role pg_catalog.name, governed hub.governed) RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' AND ',
		'hub.in_regions(' || quote_ident(governed.region_column) || ')',
		'hub.in_lines(' || quote_ident(governed.line_column) || ')',
		CASE
			WHEN role = 'hub_ai_agent' THEN coalesce('hub.is_me(' || quote_ident(governed.owner_column) || ')', 'false')
			WHEN role NOT IN ('hub_compliance', 'hub_connector') THEN
				'(' || nullif(concat_ws(' OR ',
					'hub.in_teams(' || quote_ident(governed.team_column) || ')',
					'hub.is_me(' || quote_ident(governed.owner_column) || ')'), '') || ')'
		END,
		-- last: it is true of nearly every row that comes so far
		format('hub.acts_as(%L)', role))
$$;
COMMENT ON FUNCTION hub.policy_predicate(name, hub.governed) IS 'Condition of the row policies of a hub role on a governed relation';

CREATE FUNCTION hub.governed_triggers(OUT name pg_catalog.name, OUT function pg_catalog.text, OUT effect pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
	VALUES ('zz_hub_seal'::name, 'hub.seal_row', 'sealed'),
		('hub_audit', 'hub.audit_row', 'audited'),
		('hub_hold', 'hub.refuse_held_row', 'held against legal holds'),
		('hub_refuse_truncate', 'hub.refuse_truncate', 'protected against TRUNCATE')
$$;
COMMENT ON FUNCTION hub.governed_triggers() IS 'Triggers that each governed relation and partition has, with the function each calls and what rows are by it';

CREATE FUNCTION hub.apply_policies(target pg_catalog.regclass, governed hub.governed) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	policy record;
BEGIN
	FOR policy IN
		SELECT p.polname FROM pg_policy p JOIN hub.policy_matrix() m ON p.polname = m.role || '_' || m.command
		WHERE p.polrelid = target
	LOOP
		EXECUTE format('DROP POLICY %I ON %s', policy.polname, target);
	END LOOP;
	FOR policy IN
		SELECT m.role, m.command, hub.policy_predicate(m.role, governed) AS predicate FROM hub.policy_matrix() m
	LOOP
		EXECUTE format('CREATE POLICY %I ON %s FOR %s TO %I %s',
			policy.role || '_' || policy.command, target, policy.command, policy.role,
			format(CASE policy.command WHEN 'insert' THEN 'WITH CHECK (%s)' ELSE 'USING (%s)' END, policy.predicate));
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.apply_policies(regclass, hub.governed) IS 'Makes the row policies of all hub roles on one relation; engine only';

CREATE FUNCTION hub.check_key_column(target pg_catalog.regclass, purpose pg_catalog.text, column_name pg_catalog.name, types pg_catalog.regtype[])
	RETURNS pg_catalog.void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	column_type regtype;
BEGIN
	IF column_name IS NULL THEN
		RETURN;
	END IF;
	SELECT a.atttypid INTO column_type FROM pg_attribute a
	WHERE a.attrelid = target AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION '% column "%" of relation "%" does not exist', purpose, column_name, target
			USING ERRCODE = 'CH302',
				  HINT = CASE purpose
					WHEN 'subject' THEN 'Name the column that says whose data a row holds; a governed relation needs one.'
					ELSE 'Leave the argument out when the relation has no such column.' END;
	END IF;
	IF column_type <> ALL (types) THEN
		RAISE EXCEPTION '% column "%" of relation "%" has type %', purpose, column_name, target, column_type
			USING ERRCODE = 'CH302',
				  HINT = format('It must be of type %s.', array_to_string(types, ' or '));
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_key_column(regclass, text, name, regtype[]) IS 'Refuses a column that cannot serve hub.govern() for a purpose; engine only';

-- Step 1: check, register, install the sealing trigger; row security of a relation that is
-- governed already is lifted for its owner until step 3, under the same lock.
CREATE FUNCTION hub.govern_structure(
	target pg_catalog.regclass, subject pg_catalog.name, region pg_catalog.name,
	line pg_catalog.name, team pg_catalog.name, owner pg_catalog.name
) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	class pg_class;
BEGIN
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', target);
	SELECT c.* INTO class FROM pg_class c WHERE c.oid = target;

	IF class.relkind NOT IN ('r', 'p') THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = 'It is neither an ordinary nor a partitioned table.',
				  HINT = 'Govern the tables that it reads.';
	ELSIF class.relnamespace IN ('hub'::regnamespace, 'pg_catalog'::regnamespace) THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = 'It is a catalog.';
	ELSIF class.relpersistence = 't' THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = 'It is a temporary table.',
				  HINT = 'Keep customer data in permanent tables.';
	ELSIF class.relispartition THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = 'It is a partition.',
				  HINT = format('Govern %s; its partitions are governed with it.', (
					SELECT a.relid FROM pg_partition_ancestors(target) WITH ORDINALITY a(relid, level)
					ORDER BY level DESC LIMIT 1));
	ELSIF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = target OR (i.inhparent = target AND class.relkind = 'r')) THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = 'It takes part in table inheritance, through which rows could be read past its policies.',
				  HINT = 'Use a partitioned table.';
	ELSIF EXISTS (SELECT FROM hub.relation_tree(target) t JOIN pg_class c ON c.oid = t WHERE c.relkind = 'f') THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = 'One of its partitions is a foreign table, which can have no row security.';
	END IF;

	IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND hub.holds_encrypted_type(a.atttypid)) THEN
		RAISE EXCEPTION 'cannot govern "%"', target
			USING ERRCODE = 'CH301', DETAIL = (
					SELECT format('Columns hold encrypted values inside others: %s.', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
					FROM pg_attribute a WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND hub.holds_encrypted_type(a.atttypid)),
				HINT = 'Values in arrays and composites cannot be sealed for a data subject; keep them in a table of their own.';
	END IF;
	PERFORM hub.check_key_column(target, 'subject', subject, ARRAY['uuid', 'bigint']::regtype[]);
	PERFORM hub.check_key_column(target, 'region', region, ARRAY['hub.region']::regtype[]);
	PERFORM hub.check_key_column(target, 'line', line, ARRAY['int']::regtype[]);
	PERFORM hub.check_key_column(target, 'team', team, ARRAY['int']::regtype[]);
	PERFORM hub.check_key_column(target, 'owner', owner, ARRAY['int']::regtype[]);

	INSERT INTO hub.governed AS g (relation, subject_column, region_column, line_column, team_column, owner_column)
	VALUES (target, subject, region, line, team, owner)
	ON CONFLICT (relation) DO UPDATE SET
		subject_column = excluded.subject_column, region_column = excluded.region_column,
		line_column = excluded.line_column, team_column = excluded.team_column,
		owner_column = excluded.owner_column;

	-- the columns that policies go by say where a row belongs, nothing about the person
	INSERT INTO hub.classification (relation, column_name, data_class)
	SELECT target, c, 'public' FROM unnest(ARRAY[subject, region, line, team, owner]) c WHERE c IS NOT NULL
	ON CONFLICT DO NOTHING;

	IF class.relforcerowsecurity THEN
		EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', target);
	END IF;
	IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = target AND t.tgname = 'zz_hub_seal') THEN
		EXECUTE format('CREATE TRIGGER zz_hub_seal BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION hub.seal_row()', target);
	END IF;
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER zz_hub_seal', target);
END
$$;
COMMENT ON FUNCTION hub.govern_structure(regclass, name, name, name, name, name) IS 'Step of hub.govern(): checks, registers and installs the sealing trigger; engine only';

-- Step 2, run as the owner of the table: an UPDATE that sends the rows with
-- unbound values through the sealing trigger; null when no column is encrypted.
CREATE FUNCTION hub.binding_statement(target pg_catalog.regclass) RETURNS pg_catalog.text
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('UPDATE %s SET %s WHERE %s', target,
		string_agg(format('%1$I = %1$I', a.attname), ', ' ORDER BY a.attnum),
		string_agg(format('hub.is_unbound(%I)', a.attname), ' OR ' ORDER BY a.attnum))
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
		AND hub.is_encrypted_type(a.atttypid)
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION hub.binding_statement(regclass) IS 'Step of hub.govern(): the UPDATE that binds encrypted values to their data subjects; engine only';

CREATE FUNCTION hub.change_as_owner(relation pg_catalog.regclass, statement pg_catalog.text, places pg_catalog.tid[])
	RETURNS pg_catalog.int8
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_change_as_owner';
COMMENT ON FUNCTION hub.change_as_owner(regclass, text, tid[]) IS 'Runs a statement that changes the rows at places $1 of a relation, as its owner, whose triggers fire then; returns how many rows; engine only';

-- Step 3: row security, the other triggers and the audit, on the relation and its
-- partitions. Also run for a table that has become a partition.
CREATE FUNCTION hub.govern_rows(target pg_catalog.regclass) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	governed hub.governed;
	part regclass;
BEGIN
	SELECT g.* INTO governed FROM hub.governed g WHERE g.relation = hub.governed_root(target);
	FOR part IN SELECT hub.relation_tree(target) LOOP
		PERFORM hub.apply_policies(part, governed);
		IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = part AND t.tgname = 'hub_refuse_truncate') THEN
			EXECUTE format('CREATE TRIGGER hub_refuse_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_truncate()', part);
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER hub_refuse_truncate', part);
		END IF;
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', part);
	END LOOP;
	-- after the binding, so that the baseline shows rows as they are from now on
	IF target = governed.relation THEN
		PERFORM hub.install_audit(target);
		PERFORM hub.guard_holds(target);
	ELSE
		PERFORM hub.audit_baseline(target);
	END IF;
	-- members of a country find rows of its subdivisions by this
	IF governed.region_column IS NOT NULL THEN
		EXECUTE format('SELECT hub.note_region(r) FROM (SELECT DISTINCT %I FROM %s) s (r)', governed.region_column, target);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.govern_rows(regclass) IS 'Step of hub.govern(): row security, policies and TRUNCATE refusal, partitions included; engine only';

CREATE FUNCTION hub.ungovern_structure(target pg_catalog.regclass, needs_approval pg_catalog.bool) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	part regclass;
	item record;
BEGIN
	IF NOT EXISTS (SELECT FROM hub.governed g WHERE g.relation = target) THEN
		RAISE EXCEPTION 'relation "%" is not governed', target
			USING ERRCODE = 'CH301', HINT = coalesce(
				'It is a partition of ' || hub.governed_root(target)::text || ', which is.',
				'hub.governed lists the relations that are.');
	END IF;
	IF needs_approval THEN
		PERFORM hub.require_approval('ungovern', jsonb_build_object('relation', target::text));
	END IF;
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', target);
	FOR part IN SELECT hub.relation_tree(target) LOOP
		FOR item IN
			SELECT p.polname FROM pg_policy p JOIN hub.policy_matrix() m ON p.polname = m.role || '_' || m.command
			WHERE p.polrelid = part
		LOOP
			EXECUTE format('DROP POLICY %I ON %s', item.polname, part);
		END LOOP;
		FOR item IN
			SELECT t.tgname FROM pg_trigger t JOIN hub.governed_triggers() g ON g.name = t.tgname
			WHERE t.tgrelid = part AND t.tgparentid = 0
		LOOP
			EXECUTE format('DROP TRIGGER %I ON %s', item.tgname, part);
		END LOOP;
		EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', part);
	END LOOP;
	DELETE FROM hub.governed g WHERE g.relation = target;
END
$$;
COMMENT ON FUNCTION hub.ungovern_structure(regclass, bool) IS 'Step of hub.ungovern(); engine only';

CREATE FUNCTION hub.classify_column(target pg_catalog.regclass, target_column pg_catalog.name, class pg_catalog.text)
	RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	attribute record;
	root regclass := coalesce(hub.governed_root(target), target);
BEGIN
	SELECT a.attname, hub.is_encrypted_type(a.atttypid) AS encrypted,
		format_type(a.atttypid, a.atttypmod) AS type
	INTO attribute
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	WHERE a.attrelid = target AND a.attname = target_column AND a.attnum > 0 AND NOT a.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'column "%" of relation "%" does not exist', target_column, target
			USING ERRCODE = 'undefined_column';
	END IF;
	IF NOT EXISTS (SELECT FROM hub.data_class c WHERE c.name = class) THEN
		RAISE EXCEPTION 'data class "%" does not exist', class
			USING ERRCODE = 'CH105', HINT = 'hub.data_class lists the classes; hub.add_data_class adds one.';
	END IF;
	IF attribute.encrypted THEN
		RAISE EXCEPTION 'column "%" of relation "%" is encrypted and states its class in its type', target_column, target
			USING ERRCODE = 'CH101', DETAIL = format('Its type is %s.', attribute.type),
				  HINT = 'Change the type with ALTER TABLE to change the class; that is a reveal of the old one.';
	END IF;
	INSERT INTO hub.classification (relation, column_name, data_class) VALUES (root, target_column, class)
	ON CONFLICT (relation, column_name) DO UPDATE SET data_class = excluded.data_class;
END
$$;
COMMENT ON FUNCTION hub.classify_column(regclass, name, text) IS 'Step of hub.classify(); engine only';

CREATE FUNCTION hub.rename_governed_column(target pg_catalog.regclass, old_name pg_catalog.text, new_name pg_catalog.text)
	RETURNS pg_catalog.void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
	UPDATE hub.governed SET
		subject_column = CASE subject_column WHEN old_name THEN new_name ELSE subject_column END,
		region_column = CASE region_column WHEN old_name THEN new_name ELSE region_column END,
		line_column = CASE line_column WHEN old_name THEN new_name ELSE line_column END,
		team_column = CASE team_column WHEN old_name THEN new_name ELSE team_column END,
		owner_column = CASE owner_column WHEN old_name THEN new_name ELSE owner_column END
	WHERE relation = target;
	UPDATE hub.classification SET column_name = new_name WHERE relation = target AND column_name = old_name;
$$;
COMMENT ON FUNCTION hub.rename_governed_column(regclass, text, text) IS 'Follows the renaming of a column in the registry; engine only';
