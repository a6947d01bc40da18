-- What is done to rewrite a column, a transaction per step, and the procedures.
-- Each step finds where things stand in hub.column_rewrite, so that a call after
-- a crash goes on.

CREATE FUNCTION hub.column_rewrite_step(
	relation pg_catalog.regclass, column_name pg_catalog.name, step pg_catalog.text, params pg_catalog.jsonb
) RETURNS pg_catalog.text
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_column_rewrite_step';
COMMENT ON FUNCTION hub.column_rewrite_step(regclass, name, text, jsonb) IS
'One step of rewriting a column, for hub.encrypt_column() and its like: check, begin, next or cancel. Returns the state. Needs ownership of the table.';

CREATE FUNCTION hub.check_column_rewrite(target pg_catalog.regclass, target_column pg_catalog.name, params pg_catalog.jsonb)
	RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	class pg_class;
	attribute pg_attribute;
	governed hub.governed;
	action text := params ->> 'action';
	new_type regtype := CASE params ->> 'action' WHEN 'reseal' THEN NULL ELSE params ->> 'type' END::regtype;
	obstacles text;
	searchable bool := true;
BEGIN
	IF action IS NULL OR action NOT IN ('encrypt', 'decrypt', 'reseal') THEN
		RAISE EXCEPTION 'a column is encrypted, decrypted or resealed, and nothing else' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	SELECT c.* INTO class FROM pg_class c WHERE c.oid = target;
	SELECT a.* INTO attribute FROM pg_attribute a
	WHERE a.attrelid = target AND a.attname = target_column AND a.attnum > 0 AND NOT a.attisdropped;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'column "%" of relation "%" does not exist', target_column, target
			USING ERRCODE = 'undefined_column';
	END IF;
	IF class.relkind NOT IN ('r', 'p') OR class.relpersistence = 't'
		OR class.relnamespace IN ('hub'::regnamespace, 'pg_catalog'::regnamespace)
	THEN
		RAISE EXCEPTION 'cannot rewrite column "%" of "%"', target_column, target
			USING ERRCODE = 'CH307', DETAIL = 'It is not a permanent table of a user.';
	ELSIF class.relispartition THEN
		RAISE EXCEPTION 'cannot rewrite column "%" of "%"', target_column, target
			USING ERRCODE = 'CH307', DETAIL = 'It is a partition.',
				HINT = format('Name %s; its partitions are rewritten with it.', (
					SELECT a.relid FROM pg_partition_ancestors(target) WITH ORDINALITY a(relid, level) ORDER BY level DESC LIMIT 1));
	ELSIF EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = target OR (i.inhparent = target AND class.relkind = 'r'))
		OR EXISTS (SELECT FROM hub.relation_tree(target) t JOIN pg_class c ON c.oid = t WHERE c.relkind = 'f')
		OR class.reloftype <> 0
	THEN
		RAISE EXCEPTION 'cannot rewrite column "%" of "%"', target_column, target
			USING ERRCODE = 'CH307', DETAIL = 'Its columns are not its own: it inherits, is inherited from, is of a composite type or has a foreign partition.';
	ELSIF attribute.attgenerated <> '' OR attribute.attidentity <> '' THEN
		RAISE EXCEPTION 'cannot rewrite column "%" of "%"', target_column, target
			USING ERRCODE = 'CH307', DETAIL = 'Its values are generated.', HINT = 'Make it an ordinary column first.';
	END IF;
	SELECT g.* INTO governed FROM hub.governed g WHERE g.relation = target;
	IF target_column IN (governed.subject_column, governed.region_column, governed.line_column, governed.team_column, governed.owner_column) THEN
		RAISE EXCEPTION 'cannot rewrite column "%" of "%"', target_column, target
			USING ERRCODE = 'CH307', DETAIL = 'The row policies and the sealing of the relation go by it.';
	END IF;
	IF action <> 'reseal' AND NOT EXISTS (
		SELECT FROM hub.rewritable_types() t
		WHERE CASE action WHEN 'encrypt' THEN t.plain = attribute.atttypid::regtype AND t.encrypted = new_type
			ELSE t.encrypted = attribute.atttypid::regtype AND t.plain = new_type END)
	THEN
		RAISE EXCEPTION 'column "%" of relation "%" has type %, which cannot become %', target_column, target,
			format_type(attribute.atttypid, attribute.atttypmod), new_type
			USING ERRCODE = 'CH307', HINT = 'hub.rewritable_types() lists the types that turn into each other.';
	END IF;
	IF action = 'encrypt' THEN
		SELECT c.searchable INTO searchable FROM hub.data_class c WHERE c.name = params ->> 'data_class';
		IF NOT FOUND THEN
			RAISE EXCEPTION 'data class "%" does not exist', coalesce(params ->> 'data_class', 'null')
				USING ERRCODE = 'CH105', HINT = 'hub.data_class lists the classes; hub.add_data_class adds one.';
		END IF;
	END IF;

	SELECT string_agg(o, E'\n') INTO obstacles
	FROM hub.column_rewrite_obstacles(target, target_column, action, searchable) o;
	IF obstacles IS NOT NULL THEN
		RAISE EXCEPTION 'column "%" of relation "%" is used by what cannot be kept', target_column, target
			USING ERRCODE = 'CH307', DETAIL = obstacles,
				HINT = 'Drop these first; what can be done with an encrypted column can be made anew afterwards.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_column_rewrite(regclass, name, jsonb) IS 'Step of rewriting a column: refuses what would not work or may not be, before anything is done; engine only';

CREATE FUNCTION hub.check_column_values(target pg_catalog.regclass, target_column pg_catalog.name, params pg_catalog.jsonb)
	RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	new_type text := (params ->> 'type')::regtype::text;
	bad record;
BEGIN
	SELECT * INTO bad FROM hub.name_rows(target, format('NOT hub.fits_encrypted(t.%I, %L)', target_column, new_type));
	IF bad.row_count > 0 THEN
		RAISE EXCEPTION '% rows of "%" have values in column "%" that are not valid for type %', bad.row_count, target, target_column, new_type
			USING ERRCODE = 'invalid_text_representation', DETAIL = bad.names,
				HINT = 'Nothing was changed. Correct or empty them, then call hub.encrypt_column() again.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_column_values(regclass, name, jsonb) IS 'Step of encrypting a column: names the rows whose values are not valid; engine only';

CREATE FUNCTION hub.begin_column_rewrite(target pg_catalog.regclass, target_column pg_catalog.name, params pg_catalog.jsonb)
	RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	open_one hub.column_rewrite := hub.open_column_rewrite(target, target_column);
	attribute pg_attribute;
	new_type text := CASE params ->> 'action' WHEN 'reseal' THEN params ->> 'type' ELSE (params ->> 'type')::regtype::text END || coalesce('(' || quote_literal(params ->> 'data_class') || ')', '');
	new_name name;
	default_value text;
	request bigint;
BEGIN
	IF open_one.id IS NOT NULL THEN
		IF (open_one.action, open_one.target_type) <> (params ->> 'action', new_type) THEN
			RAISE EXCEPTION 'column "%" of relation "%" is being rewritten already', target_column, target
				USING ERRCODE = 'CH307', DETAIL = format('It is to become %s (%s).', open_one.target_type, open_one.action),
					HINT = 'Call the procedure that began it again, or hub.cancel_column_rewrite().';
		END IF;
		RAISE NOTICE 'going on with column "%" of "%", which is %', target_column, target, open_one.status;
		RETURN open_one.status;
	END IF;

	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', target);
	-- the owner may call this step without the one before, and with other parameters
	PERFORM hub.check_column_rewrite(target, target_column, params);
	SELECT a.* INTO attribute FROM pg_attribute a
	WHERE a.attrelid = target AND a.attname = target_column AND a.attnum > 0 AND NOT a.attisdropped;
	new_name := format('hub_rewrite_%s', attribute.attnum);
	IF params ->> 'action' = 'decrypt' THEN
		request := hub.require_approval('decrypt_column', jsonb_build_object('relation', target::text, 'column', target_column));
	END IF;

	INSERT INTO hub.column_rewrite (relation, column_name, action, target_type, copy_name, estimated_rows, request_id)
	SELECT target, target_column, params ->> 'action', new_type, new_name,
		sum(greatest(c.reltuples, 0)), request
	FROM hub.leaf_tables(target) l JOIN pg_class c ON c.oid = l;

	EXECUTE format('ALTER TABLE %s ADD COLUMN %I %s', target, new_name, new_type);
	SELECT pg_get_expr(d.adbin, d.adrelid) INTO default_value
	FROM pg_attrdef d WHERE d.adrelid = target AND d.adnum = attribute.attnum;
	IF default_value IS NOT NULL THEN
		IF params ->> 'action' = 'encrypt' AND NOT hub.run_as_owner(target,
			format('SELECT hub.fits_encrypted((%s)::%s, %L)', default_value, format_type(attribute.atttypid, -1), params ->> 'type'), false)::bool
		THEN
			RAISE EXCEPTION 'the default value of column "%" of relation "%" is not valid for type %', target_column, target, new_type
				USING ERRCODE = 'CH307', HINT = 'Drop the default.';
		END IF;
		EXECUTE format('ALTER TABLE %s ALTER %I SET DEFAULT %s', target, new_name, default_value);
	END IF;
	EXECUTE format('CREATE TRIGGER zz_hub_seal_copy_%s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION hub.copy_column(%L, %L)',
		attribute.attnum, target, target_column, new_name);
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER zz_hub_seal_copy_%s', target, attribute.attnum);
	EXECUTE format('ALTER TABLE %s ADD CONSTRAINT hub_rewrite_%s_both CHECK ((%I IS NULL) = (%I IS NULL)) NOT VALID',
		target, attribute.attnum, target_column, new_name);
	IF attribute.attnotnull THEN
		EXECUTE format('ALTER TABLE %s ADD CONSTRAINT hub_rewrite_%s_not_null CHECK (%I IS NOT NULL) NOT VALID',
			target, attribute.attnum, new_name);
	END IF;
	EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target, new_name,
		format('Becomes column %s; see hub.column_rewrite_progress', target_column));
	PERFORM hub.record_event('config', NULL, jsonb_build_object('action', (params ->> 'action') || '_column', 'step', 'begin',
		'relation', target::text, 'column', target_column, 'type', new_type, 'request', request));
	RETURN 'filling';
END
$$;
COMMENT ON FUNCTION hub.begin_column_rewrite(regclass, name, jsonb) IS 'Step of rewriting a column: adds the copy and the trigger that keeps it in step; engine only';

-- Move on to the next rows of the relation; false when there are none.
CREATE FUNCTION hub.seek_column_rewrite(INOUT rewrite hub.column_rewrite, OUT more pg_catalog.bool)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF rewrite.leaf IS NULL OR NOT EXISTS (SELECT FROM hub.leaf_tables(rewrite.relation) l WHERE l = rewrite.leaf) THEN
		SELECT min(l::oid)::regclass INTO rewrite.leaf FROM hub.leaf_tables(rewrite.relation) l;
		rewrite.leaf_file := NULL;
	ELSIF rewrite.position IS NULL AND rewrite.leaf_file IS NOT NULL THEN
		SELECT min(l::oid)::regclass INTO rewrite.leaf FROM hub.leaf_tables(rewrite.relation) l WHERE l::oid > rewrite.leaf::oid;
		rewrite.leaf_file := NULL;
	END IF;
	more := rewrite.leaf IS NOT NULL;
	-- rows have other places in a file that was written anew
	IF more AND (rewrite.position IS NULL OR rewrite.leaf_file IS DISTINCT FROM pg_relation_filenode(rewrite.leaf)) THEN
		rewrite.leaf_file := pg_relation_filenode(rewrite.leaf);
		rewrite.position := '(0,0)';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.seek_column_rewrite(hub.column_rewrite) IS 'Where the next batch of a rewriting begins; engine only';

CREATE FUNCTION hub.fill_column_copy(rewrite hub.column_rewrite, batch_size pg_catalog.int4) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sought record := hub.seek_column_rewrite(rewrite);
	batch jsonb;
	-- the last few rows may be locked for long: those are waited for, one at a time
	patient bool := rewrite.passes > 1;
	bad record;
BEGIN
	rewrite := sought.rewrite;
	IF NOT sought.more THEN
		UPDATE hub.column_rewrite r SET status = 'proving', leaf = NULL, leaf_file = NULL, "position" = NULL, passes = r.passes + 1, updated_at = now()
		WHERE r.id = rewrite.id;
		RETURN 'proving';
	END IF;
	PERFORM set_config('enable_seqscan', 'off', true);
	BEGIN
		batch := hub.run_as_owner(rewrite.relation, format(
			'WITH chosen AS MATERIALIZED (
				SELECT t.ctid AS place FROM ONLY %1$s t WHERE t.ctid > %4$L::tid AND t.%2$I IS NOT NULL AND t.%3$I IS NULL
				LIMIT %5$s FOR NO KEY UPDATE %6$s
			), filled AS (
				UPDATE ONLY %1$s t SET %3$I = t.%3$I WHERE t.ctid = ANY (ARRAY(SELECT c.place FROM chosen c)) RETURNING 1
			) SELECT jsonb_build_object(''rows'', count(*), ''last'', max(c.place), ''filled'', (SELECT count(*) FROM filled)) FROM chosen c',
			rewrite.leaf, rewrite.column_name, rewrite.copy_name, rewrite.position,
			CASE WHEN patient THEN 1 ELSE batch_size END, CASE WHEN patient THEN '' ELSE 'SKIP LOCKED' END), false)::jsonb;
	EXCEPTION WHEN invalid_text_representation OR SQLSTATE 'CH004' OR SQLSTATE 'CH102' THEN
		SELECT * INTO bad FROM hub.name_rows(rewrite.relation, CASE rewrite.action
			WHEN 'encrypt' THEN format('NOT hub.fits_encrypted(t.%I, %L)', rewrite.column_name, split_part(rewrite.target_type, '(', 1))
			ELSE 'false' END);
		RAISE EXCEPTION 'rows of "%" have values in column "%" that cannot be rewritten: %', rewrite.relation, rewrite.column_name, SQLERRM
			USING ERRCODE = SQLSTATE, DETAIL = nullif(bad.names, ''),
				HINT = 'What was done so far stays. Correct or empty these values, then call the procedure again; hub.cancel_column_rewrite() gives up.';
	END;
	UPDATE hub.column_rewrite r SET leaf = rewrite.leaf, leaf_file = rewrite.leaf_file, updated_at = now(),
		"position" = CASE WHEN (batch ->> 'rows')::int < CASE WHEN patient THEN 1 ELSE batch_size END THEN NULL ELSE (batch ->> 'last')::tid END,
		filled_rows = r.filled_rows + (batch ->> 'filled')::bigint
	WHERE r.id = rewrite.id;
	RETURN 'filling';
END
$$;
COMMENT ON FUNCTION hub.fill_column_copy(hub.column_rewrite, int4) IS 'Step of rewriting a column: one batch of rows; engine only';

CREATE FUNCTION hub.prove_column_copy(rewrite hub.column_rewrite) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	constraint_name name;
	new_status text := 'verifying';
BEGIN
	BEGIN
		FOR constraint_name IN
			SELECT c.conname FROM pg_constraint c
			WHERE c.conrelid = rewrite.relation AND c.conname LIKE replace(rewrite.copy_name, '_', '\_') || '\_%' AND c.contype = 'c' AND NOT c.convalidated
			ORDER BY c.conname
		LOOP
			EXECUTE format('ALTER TABLE %s VALIDATE CONSTRAINT %I', rewrite.relation, constraint_name);
		END LOOP;
	EXCEPTION WHEN check_violation THEN
		-- rows were locked, or came with a partition that was attached
		new_status := 'filling';
	END;
	UPDATE hub.column_rewrite r SET status = new_status, leaf = NULL, leaf_file = NULL, "position" = NULL, updated_at = now() WHERE r.id = rewrite.id;
	RETURN new_status;
END
$$;
COMMENT ON FUNCTION hub.prove_column_copy(hub.column_rewrite) IS 'Step of rewriting a column: has PostgreSQL prove, and keep up, that no row was left out; engine only';

CREATE FUNCTION hub.verify_column_copy(rewrite hub.column_rewrite, batch_size pg_catalog.int4) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sought record := hub.seek_column_rewrite(rewrite);
	batch jsonb;
BEGIN
	rewrite := sought.rewrite;
	IF NOT sought.more THEN
		UPDATE hub.column_rewrite r SET status = 'indexing', leaf = NULL, leaf_file = NULL, "position" = NULL, updated_at = now() WHERE r.id = rewrite.id;
		RETURN 'indexing';
	END IF;
	PERFORM set_config('enable_seqscan', 'off', true);
	batch := hub.run_as_owner(rewrite.relation, format(
		'SELECT jsonb_build_object(''rows'', count(*), ''last'', max(t.ctid), ''wrong'', count(*) FILTER (WHERE NOT t.same),
			''names'', string_agg(t.name, ''; '') FILTER (WHERE NOT t.same))
		FROM (SELECT t.ctid, hub.same_when_opened(t.%2$I, t.%3$I) AS same, %6$s AS name
			FROM ONLY %1$s t WHERE t.ctid > %4$L::tid LIMIT %5$s) t',
		rewrite.leaf, rewrite.column_name, rewrite.copy_name, rewrite.position, batch_size, hub.row_name_expression(rewrite.leaf)), true)::jsonb;
	IF (batch ->> 'wrong')::bigint > 0 THEN
		RAISE EXCEPTION '% copies of column "%" of "%" do not hold what the column does', batch ->> 'wrong', rewrite.column_name, rewrite.relation
			USING ERRCODE = 'CH307', DETAIL = batch ->> 'names',
				HINT = 'The column is as it was. Somebody wrote past the triggers: hub.cancel_column_rewrite(), then begin anew.';
	END IF;
	UPDATE hub.column_rewrite r SET leaf = rewrite.leaf, leaf_file = rewrite.leaf_file, updated_at = now(),
		"position" = CASE WHEN (batch ->> 'rows')::int < batch_size THEN NULL ELSE (batch ->> 'last')::tid END,
		verified_rows = r.verified_rows + (batch ->> 'rows')::bigint
	WHERE r.id = rewrite.id;
	RETURN 'verifying';
END
$$;
COMMENT ON FUNCTION hub.verify_column_copy(hub.column_rewrite, int4) IS 'Step of rewriting a column: opens a batch of values and compares; engine only';

CREATE FUNCTION hub.index_column_copy(rewrite hub.column_rewrite, build pg_catalog.bool) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	missing record;
	bad record;
BEGIN
	SELECT * INTO missing FROM hub.column_indexes(rewrite.relation, rewrite.column_name, rewrite.copy_name) i WHERE NOT i.built LIMIT 1;
	IF NOT FOUND THEN
		UPDATE hub.column_rewrite r SET status = 'swapping', updated_at = now() WHERE r.id = rewrite.id;
		RETURN 'swapping';
	ELSIF NOT build THEN
		FOR missing IN SELECT * FROM hub.column_indexes(rewrite.relation, rewrite.column_name, rewrite.copy_name) i WHERE NOT i.built LOOP
			RAISE NOTICE 'missing: %', replace(missing.statement, 'INDEX ', 'INDEX CONCURRENTLY ');
		END LOOP;
		RETURN 'missing';
	END IF;
	BEGIN
		EXECUTE missing.statement;
	EXCEPTION WHEN unique_violation THEN
		SELECT * INTO bad FROM hub.name_rows(rewrite.relation, format(
			'EXISTS (SELECT FROM %s o WHERE (o.tableoid, o.ctid) <> (t.tableoid, t.ctid) AND %s)', rewrite.relation,
			(SELECT string_agg(format('o.%1$s = t.%1$s', k), ' AND ') FROM unnest(missing.key_columns) k)));
		RAISE EXCEPTION 'rows of "%" have equal values in column "%"', rewrite.relation, rewrite.column_name
			USING ERRCODE = 'unique_violation', DETAIL = bad.names,
				HINT = format('They differ as text only, e.g. in case. Make them different, or drop %s, then call hub.encrypt_column() again.', missing.index_name);
	END;
	UPDATE hub.column_rewrite r SET updated_at = now() WHERE r.id = rewrite.id;
	RETURN 'indexing';
END
$$;
COMMENT ON FUNCTION hub.index_column_copy(hub.column_rewrite, bool) IS 'Step of rewriting a column: builds one of the indexes that the column has; engine only';

-- Drop what keeps the copy in step; the copy itself stays.
CREATE FUNCTION hub.release_column_copy(rewrite hub.column_rewrite) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	item name;
BEGIN
	FOR item IN
		SELECT t.tgname FROM pg_trigger t
		WHERE t.tgrelid = rewrite.relation AND t.tgname = replace(rewrite.copy_name, 'hub_rewrite_', 'zz_hub_seal_copy_')
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', item, rewrite.relation);
	END LOOP;
	FOR item IN
		SELECT c.conname FROM pg_constraint c
		WHERE c.conrelid = rewrite.relation AND c.contype = 'c' AND c.conname IN (rewrite.copy_name || '_both', rewrite.copy_name || '_not_null')
	LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rewrite.relation, item);
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.release_column_copy(hub.column_rewrite) IS 'Drops the trigger and the constraints of a rewriting; engine only';

CREATE FUNCTION hub.swap_column_copy(rewrite hub.column_rewrite) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	attribute pg_attribute;
	comment_text text;
	indexes record;
	attachments text[] := '{}';
	statement text;
	acl record;
	obstacles text;
	files jsonb;
	messages CONSTANT text := current_setting('client_min_messages');
BEGIN
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', rewrite.relation);
	SELECT a.* INTO attribute FROM pg_attribute a
	WHERE a.attrelid = rewrite.relation AND a.attname = rewrite.column_name AND NOT a.attisdropped;

	-- what has come since the check
	SELECT string_agg(o, E'\n') INTO obstacles
	FROM hub.column_rewrite_obstacles(rewrite.relation, rewrite.column_name, rewrite.action, true) o;
	IF obstacles IS NOT NULL THEN
		RAISE EXCEPTION 'column "%" of relation "%" is used by what cannot be kept', rewrite.column_name, rewrite.relation
			USING ERRCODE = 'CH307', DETAIL = obstacles, HINT = 'Drop these, then call the procedure again; only the last step is left.';
	END IF;
	IF EXISTS (SELECT FROM hub.relation_tree(rewrite.relation) t
		WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t AND g.tgenabled = 'A' AND g.tgfoid = 'hub.copy_column'::regproc
			AND g.tgname = replace(rewrite.copy_name, 'hub_rewrite_', 'zz_hub_seal_copy_')))
	THEN
		RAISE EXCEPTION 'the trigger that keeps the copy of column "%" of "%" in step was dropped or disabled', rewrite.column_name, rewrite.relation
			USING ERRCODE = 'CH307', HINT = 'hub.cancel_column_rewrite(), then begin anew.';
	END IF;
	IF EXISTS (SELECT FROM hub.column_indexes(rewrite.relation, rewrite.column_name, rewrite.copy_name) i WHERE NOT i.built) THEN
		UPDATE hub.column_rewrite r SET status = 'indexing' WHERE r.id = rewrite.id;
		RETURN 'indexing';
	END IF;

	comment_text := col_description(rewrite.relation, attribute.attnum);
	IF attribute.attnotnull THEN
		-- no scan: the constraint has proved it
		EXECUTE format('ALTER TABLE %s ALTER %I SET NOT NULL', rewrite.relation, rewrite.copy_name);
	END IF;
	PERFORM hub.release_column_copy(rewrite);
	FOR indexes IN SELECT * FROM hub.column_indexes(rewrite.relation, rewrite.column_name, rewrite.copy_name) LOOP
		attachments := attachments || indexes.attach;
		IF indexes.constraint_name IS NOT NULL THEN
			EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', rewrite.relation, indexes.constraint_name);
		END IF;
	END LOOP;
	FOR acl IN SELECT a.grantee, a.privilege_type, a.is_grantable FROM aclexplode(attribute.attacl) a LOOP
		EXECUTE format('GRANT %s (%I) ON %s TO %s%s', acl.privilege_type, rewrite.copy_name, rewrite.relation,
			CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END,
			CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
	END LOOP;
	EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', rewrite.relation, rewrite.copy_name, comment_text);
	EXECUTE format('ALTER TABLE %s DROP COLUMN %I', rewrite.relation, rewrite.column_name);
	EXECUTE format('ALTER TABLE %s RENAME COLUMN %I TO %I', rewrite.relation, rewrite.copy_name, rewrite.column_name);
	-- PostgreSQL tells of each name that an index is given back
	PERFORM set_config('client_min_messages', 'warning', true);
	FOREACH statement IN ARRAY attachments LOOP
		EXECUTE statement;
	END LOOP;
	PERFORM set_config('client_min_messages', messages, true);

	-- an encrypted column states its class in its type
	IF rewrite.action = 'encrypt' THEN
		DELETE FROM hub.classification c WHERE c.relation = rewrite.relation AND c.column_name = rewrite.column_name;
		SELECT jsonb_object_agg(l::oid::text, pg_relation_filenode(l)) INTO files FROM hub.leaf_tables(rewrite.relation) l;
		RAISE NOTICE 'column "%" of "%" is encrypted; what it held stays in the table''s files until they are rewritten, and in the WAL and in backups until these are gone',
			rewrite.column_name, rewrite.relation
			USING HINT = format('VACUUM FULL %s or pg_repack rewrites the table; hub.posture() names it until then. Then recycle WAL and backups.', rewrite.relation);
	ELSIF rewrite.action = 'decrypt' THEN
		INSERT INTO hub.classification (relation, column_name, data_class)
		SELECT g.relation, rewrite.column_name, c.name FROM hub.governed g JOIN hub.data_class c ON c.class_id = attribute.atttypmod
		WHERE g.relation = rewrite.relation
		ON CONFLICT (relation, column_name) DO UPDATE SET data_class = excluded.data_class;
		RAISE NOTICE 'column "%" of "%" is plain text now, in the table, in the WAL and in coming backups', rewrite.column_name, rewrite.relation;
	END IF;
	UPDATE hub.column_rewrite r SET status = 'done', residue = files, updated_at = now(), finished_at = now() WHERE r.id = rewrite.id;
	PERFORM hub.record_event('config', NULL, jsonb_build_object('action', rewrite.action || '_column', 'step', 'done',
		'relation', rewrite.relation::text, 'column', rewrite.column_name, 'type', rewrite.target_type,
		'rows', rewrite.verified_rows, 'request', rewrite.request_id));
	RETURN 'done';
END
$$;
COMMENT ON FUNCTION hub.swap_column_copy(hub.column_rewrite) IS 'Step of rewriting a column: puts the copy in its place, with NOT NULL, default, grants, comment and indexes; engine only';

CREATE FUNCTION hub.drop_column_copy(rewrite hub.column_rewrite) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', rewrite.relation);
	PERFORM hub.release_column_copy(rewrite);
	EXECUTE format('ALTER TABLE %s DROP COLUMN %I', rewrite.relation, rewrite.copy_name);
	UPDATE hub.column_rewrite r SET status = 'cancelled', updated_at = now(), finished_at = now() WHERE r.id = rewrite.id;
	PERFORM hub.record_event('config', NULL, jsonb_build_object('action', rewrite.action || '_column', 'step', 'cancelled',
		'relation', rewrite.relation::text, 'column', rewrite.column_name));
	RETURN 'cancelled';
END
$$;
COMMENT ON FUNCTION hub.drop_column_copy(hub.column_rewrite) IS 'Gives a rewriting up: the column stays as it is; engine only';

CREATE FUNCTION hub.do_column_rewrite_step(
	target pg_catalog.regclass, target_column pg_catalog.name, step pg_catalog.text, params pg_catalog.jsonb
) RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rewrite hub.column_rewrite;
	batch_size int := coalesce((params ->> 'batch_size')::int, 1000);
	target_type text;
BEGIN
	IF batch_size < 1 THEN
		RAISE EXCEPTION 'the batch size must be positive' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF params ->> 'action' = 'reseal' THEN
		SELECT format_type(a.atttypid, a.atttypmod) INTO target_type FROM pg_attribute a WHERE a.attrelid = target AND a.attname = target_column;
		params := params || jsonb_build_object('type', target_type);
	ELSIF params ->> 'action' = 'decrypt' AND params ->> 'type' IS NULL THEN
		params := params || jsonb_build_object('type', (
			SELECT CASE a.atttypid WHEN 'hub.encrypted_date'::regtype THEN 'date' WHEN 'hub.encrypted_jsonb'::regtype THEN 'jsonb' ELSE 'text' END
			FROM pg_attribute a WHERE a.attrelid = target AND a.attname = target_column));
	END IF;
	-- whoever waits for a lock makes others wait behind
	PERFORM set_config('lock_timeout', '2s', true);
	BEGIN
		IF step = 'check' THEN
			PERFORM hub.check_column_rewrite(target, target_column, params);
			IF params ->> 'action' = 'encrypt' AND hub.open_column_rewrite(target, target_column) IS NULL THEN
				PERFORM hub.check_column_values(target, target_column, params);
			END IF;
			RETURN 'checked';
		ELSIF step = 'begin' THEN
			RETURN hub.begin_column_rewrite(target, target_column, params);
		END IF;
		rewrite := hub.open_column_rewrite(target, target_column);
		IF rewrite.id IS NULL THEN
			RAISE EXCEPTION 'column "%" of relation "%" is not being rewritten', target_column, target
				USING ERRCODE = 'CH307', HINT = 'hub.column_rewrite_progress shows what is, and what became of it.';
		END IF;
		IF step = 'cancel' THEN
			RETURN hub.drop_column_copy(rewrite);
		END IF;
		RETURN CASE rewrite.status
			WHEN 'filling' THEN hub.fill_column_copy(rewrite, batch_size)
			WHEN 'proving' THEN hub.prove_column_copy(rewrite)
			WHEN 'verifying' THEN hub.verify_column_copy(rewrite, batch_size)
			WHEN 'indexing' THEN hub.index_column_copy(rewrite, coalesce((params ->> 'build_indexes')::bool, true))
			ELSE CASE WHEN (params ->> 'hold')::bool THEN 'held' ELSE hub.swap_column_copy(rewrite) END END;
	EXCEPTION WHEN lock_not_available THEN
		RETURN 'locked';
	END;
END
$$;
COMMENT ON FUNCTION hub.do_column_rewrite_step(regclass, name, text, jsonb) IS 'One step of rewriting a column; locked when it could not have the lock it needs; engine only';

CREATE PROCEDURE hub.rewrite_column(relation pg_catalog.regclass, column_name pg_catalog.name, params pg_catalog.jsonb)
	LANGUAGE plpgsql
AS $$
DECLARE
	step pg_catalog.text;
	state pg_catalog.text;
	refusals pg_catalog.int4;
BEGIN
	FOREACH step IN ARRAY ARRAY['check', 'begin', 'next'] LOOP
		refusals := 0;
		LOOP
			state := hub.column_rewrite_step(relation, column_name, step, params);
			COMMIT;
			IF state OPERATOR(pg_catalog.=) 'locked' THEN
				refusals := refusals OPERATOR(pg_catalog.+) 1;
				IF refusals OPERATOR(pg_catalog.>) 60 THEN
					RAISE EXCEPTION 'could not lock relation "%" in % attempts', relation, refusals
						USING ERRCODE = 'lock_not_available', HINT = 'Call the procedure again when long transactions have ended; what was done stays.';
				END IF;
				PERFORM pg_catalog.pg_sleep(1);
			ELSE
				refusals := 0;
				EXIT WHEN step OPERATOR(pg_catalog.<>) 'next' OR state OPERATOR(pg_catalog.=) ANY (ARRAY['done', 'missing', 'held']);
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON PROCEDURE hub.rewrite_column(regclass, name, jsonb) IS 'Carries a rewriting out, a transaction per step; for hub.encrypt_column() and its like';

CREATE PROCEDURE hub.encrypt_column(
	relation pg_catalog.regclass, column_name pg_catalog.name, type pg_catalog.regtype, data_class pg_catalog.text,
	batch_size pg_catalog.int4 DEFAULT 1000, build_indexes pg_catalog.bool DEFAULT true
)
	LANGUAGE plpgsql
AS $$
BEGIN
	CALL hub.rewrite_column(relation, column_name, pg_catalog.jsonb_build_object('action', 'encrypt', 'type', type, 'data_class', data_class,
		'batch_size', batch_size, 'build_indexes', build_indexes));
	COMMIT;
END
$$;
COMMENT ON PROCEDURE hub.encrypt_column(regclass, name, regtype, text, int4, bool) IS
'Turns a plain column into an encrypted one of a data class while the table is in use: fills a copy in batches, verifies each value, builds the indexes, then puts the copy in its place. Call it again after a crash or a repair and it goes on; hub.column_rewrite_progress shows how far it is.
build_indexes false leaves the indexes to you and says which, so that they can be built CONCURRENTLY. Needs ownership of the table.';

CREATE PROCEDURE hub.decrypt_column(
	relation pg_catalog.regclass, column_name pg_catalog.name, type pg_catalog.regtype DEFAULT NULL,
	batch_size pg_catalog.int4 DEFAULT 1000, build_indexes pg_catalog.bool DEFAULT true
)
	LANGUAGE plpgsql
AS $$
BEGIN
	CALL hub.rewrite_column(relation, column_name, pg_catalog.jsonb_build_object('action', 'decrypt', 'type', type,
		'batch_size', batch_size, 'build_indexes', build_indexes));
	COMMIT;
END
$$;
COMMENT ON PROCEDURE hub.decrypt_column(regclass, name, regtype, int4, bool) IS
'Turns an encrypted column into a plain one, in the same way. Needs ownership of the table, and an approval of the action decrypt_column with params {"relation": …, "column": …}, superusers too. Audited.';

-- Encrypted columns of a relation of the user's, or of all of them.
CREATE FUNCTION hub.columns_to_reseal(of_relation pg_catalog.regclass DEFAULT NULL, OUT relation pg_catalog.regclass, OUT column_name pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.oid::regclass, a.attname
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE hub.is_encrypted_type(a.atttypid) AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
		AND c.relnamespace <> 'hub'::regnamespace AND (of_relation IS NULL OR c.oid = of_relation)
		AND NOT EXISTS (SELECT FROM hub.column_rewrite r WHERE r.relation = c.oid AND r.copy_name = a.attname AND r.finished_at IS NULL)
		AND (of_relation IS NOT NULL OR NOT EXISTS (SELECT FROM hub.data_class d WHERE d.class_id = a.atttypmod AND NOT d.searchable))
	ORDER BY c.oid, a.attnum
$$;
COMMENT ON FUNCTION hub.columns_to_reseal(regclass) IS 'Encrypted columns of one relation, or those with equality tags of all relations';

CREATE PROCEDURE hub.reseal(relation pg_catalog.regclass, batch_size pg_catalog.int4 DEFAULT 1000, build_indexes pg_catalog.bool DEFAULT true)
	LANGUAGE plpgsql
AS $$
DECLARE
	column_name pg_catalog.name;
BEGIN
	FOR column_name IN SELECT c.column_name FROM hub.columns_to_reseal(relation) c LOOP
		CALL hub.rewrite_column(relation, column_name, pg_catalog.jsonb_build_object('action', 'reseal',
			'batch_size', batch_size, 'build_indexes', build_indexes, 'hold', hub.tag_generation_is_open()));
	END LOOP;
	COMMIT;
END
$$;
COMMENT ON PROCEDURE hub.reseal(regclass, int4, bool) IS
'Seals all encrypted values of a table anew while it is in use, one column after the other, in the way of hub.encrypt_column(); call it again after a crash and it goes on. While a generation of tag keys is open the copies wait for those of all other tables; hub.rotate_tag_keys() puts them in place together. Needs ownership of the table.';

CREATE FUNCTION hub.tag_generation_is_open() RETURNS pg_catalog.bool
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT EXISTS (SELECT FROM hub.tag_generation g WHERE g.current_since IS NULL) $$;
COMMENT ON FUNCTION hub.tag_generation_is_open() IS 'Whether a rotation of tag keys is under way';

CREATE FUNCTION hub.finish_tag_rotation() RETURNS pg_catalog.text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_finish_tag_rotation';
COMMENT ON FUNCTION hub.finish_tag_rotation() IS
'Last step of hub.rotate_tag_keys(): puts all copies in their places and makes the open generation of tag keys current, in one transaction. Returns done, or locked when a table is in use. For hub administrators and superusers.';

CREATE FUNCTION hub.do_finish_tag_rotation() RETURNS pg_catalog.text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rewrite hub.column_rewrite;
BEGIN
	PERFORM hub.require_configurer();
	PERFORM set_config('lock_timeout', '2s', true);
	BEGIN
		FOR rewrite IN SELECT r.* FROM hub.column_rewrite r WHERE r.action = 'reseal' AND r.finished_at IS NULL ORDER BY r.relation, r.id FOR UPDATE LOOP
			IF rewrite.status <> 'swapping' OR hub.swap_column_copy(rewrite) <> 'done' THEN
				RAISE EXCEPTION 'column "%" of relation "%" is %, so tag keys cannot change yet', rewrite.column_name, rewrite.relation, rewrite.status
					USING ERRCODE = 'CH307', HINT = 'CALL hub.rotate_tag_keys() again.';
			END IF;
		END LOOP;
		PERFORM hub.switch_tag_generation();
	EXCEPTION WHEN lock_not_available THEN
		RETURN 'locked';
	END;
	RETURN 'done';
END
$$;
COMMENT ON FUNCTION hub.do_finish_tag_rotation() IS 'What hub.finish_tag_rotation() does; engine only';

CREATE PROCEDURE hub.rotate_tag_keys(batch_size pg_catalog.int4 DEFAULT 1000)
	LANGUAGE plpgsql
AS $$
DECLARE
	item record;
	state pg_catalog.text;
	refusals pg_catalog.int4 := 0;
BEGIN
	PERFORM hub.open_tag_generation();
	COMMIT;
	FOR item IN SELECT c.relation, c.column_name FROM hub.columns_to_reseal() c LOOP
		CALL hub.rewrite_column(item.relation, item.column_name, pg_catalog.jsonb_build_object('action', 'reseal',
			'batch_size', batch_size, 'hold', true));
	END LOOP;
	LOOP
		state := hub.finish_tag_rotation();
		COMMIT;
		EXIT WHEN state OPERATOR(pg_catalog.=) 'done';
		refusals := refusals OPERATOR(pg_catalog.+) 1;
		IF refusals OPERATOR(pg_catalog.>) 60 THEN
			RAISE EXCEPTION 'could not lock all tables with equality tags in % attempts', refusals
				USING ERRCODE = 'lock_not_available', HINT = 'Call the procedure again when long transactions have ended; what was done stays.';
		END IF;
		PERFORM pg_catalog.pg_sleep(1);
	END LOOP;
END
$$;
COMMENT ON PROCEDURE hub.rotate_tag_keys(int4) IS
'Makes new keys for equality tags and seals all columns that have tags anew under them, online: copies are filled beside the columns, and one short transaction puts all of them in place. UNIQUE holds all the time. Call it again after a crash and it goes on. For superusers.';

CREATE FUNCTION hub.cancel_column_rewrite(relation pg_catalog.regclass, column_name pg_catalog.name) RETURNS pg_catalog.text
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ SELECT hub.column_rewrite_step(relation, column_name, 'cancel', '{}') $$;
COMMENT ON FUNCTION hub.cancel_column_rewrite(regclass, name) IS
'Gives a rewriting of a column up: drops the copy, leaves the column as it is. Returns cancelled, or locked when the table is in use: call it again. Needs ownership of the table.';
