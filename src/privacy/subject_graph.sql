-- privacy/subject_graph: where the data of one person is, and what becomes of it.
-- Erasure, export, retention and holds all read this one graph.

CREATE TYPE hub.erasure_action AS ENUM ('delete', 'redact', 'null_tags', 'retain');
COMMENT ON TYPE hub.erasure_action IS
	'what erasure does with rows: delete them; redact every column that is not public; null_tags: null what can be searched or read and leave the rest sealed under the destroyed key; retain them on a ground';

CREATE TABLE hub.subject_action (
	relation pg_catalog.regclass PRIMARY KEY,
	action hub.erasure_action NOT NULL,
	ground pg_catalog.text NOT NULL,
	retain_for pg_catalog.interval
);
COMMENT ON TABLE hub.subject_action IS 'What erasure does with a governed relation, where that is not delete; written by hub.set_subject_action()';
COMMENT ON COLUMN hub.subject_action.ground IS 'why, as an erasure receipt states it';
COMMENT ON COLUMN hub.subject_action.retain_for IS 'how long after an erasure retained rows are kept; null: as long as the ground holds';
SELECT pg_catalog.pg_extension_config_dump('hub.subject_action', '');

CREATE TABLE hub.subject_merge (
	relation pg_catalog.regclass PRIMARY KEY,
	pointer_column pg_catalog.name NOT NULL
);
COMMENT ON TABLE hub.subject_merge IS 'Governed relations whose rows can point at the data subject they were merged into; written by hub.set_subject_merge()';
COMMENT ON COLUMN hub.subject_merge.pointer_column IS 'column of the subject column''s type that names the surviving subject';
SELECT pg_catalog.pg_extension_config_dump('hub.subject_merge', '');

-- Columns of governed relations, of classified relations and of encrypted type.
-- Keys keep rows apart and in their place, so redaction leaves them.
CREATE VIEW hub.personal_data_map AS
	SELECT c.oid::pg_catalog.regclass AS relation,
		   a.attname AS column_name,
		   coalesce(d.name, k.data_class) AS data_class,
		   e.encrypted,
		   e.encrypted AND coalesce(d.searchable, false) AS searchable,
		   g.relation IS NOT NULL AS governed,
		   coalesce(a.attname IN (g.subject_column, g.region_column, g.line_column, g.team_column, g.owner_column), false)
		   OR EXISTS (SELECT FROM pg_catalog.pg_constraint o
					  WHERE o.conrelid = c.oid AND o.contype IN ('p', 'f') AND a.attnum = ANY (o.conkey)) AS is_key,
		   a.attnotnull AS not_null,
		   a.atttypid IN ('text'::pg_catalog.regtype, 'varchar'::pg_catalog.regtype) AS is_text,
		   a.attgenerated <> '' AS is_generated
	FROM pg_catalog.pg_attribute a
	JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
	JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	CROSS JOIN LATERAL (SELECT t.typname ~ '^encrypted_' AND t.typnamespace = 'hub'::pg_catalog.regnamespace AS encrypted) e
	LEFT JOIN hub.governed g ON g.relation = c.oid
	LEFT JOIN hub.classification k ON k.relation = c.oid AND k.column_name = a.attname
	LEFT JOIN hub.data_class d ON e.encrypted AND d.class_id = a.atttypmod
	WHERE a.attnum > 0 AND NOT a.attisdropped
		AND c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
		AND c.relnamespace <> 'hub'::pg_catalog.regnamespace
		AND (g.relation IS NOT NULL OR k.relation IS NOT NULL OR e.encrypted);
COMMENT ON VIEW hub.personal_data_map IS 'Where personal data is: columns of governed relations, classified columns and encrypted columns, with their class';
COMMENT ON COLUMN hub.personal_data_map.data_class IS 'null: nobody said, so it is treated as personal and nobody sees it';
COMMENT ON COLUMN hub.personal_data_map.is_key IS 'part of a primary or foreign key, or a column that row policies go by: redaction leaves it';

-- A relation comes after all that refer to it, so that deleting in this order
-- meets no foreign key. Relations that refer to each other share the last place.
CREATE VIEW hub.subject_path AS
	WITH RECURSIVE reference (child, parent) AS (
		SELECT DISTINCT o.conrelid, o.confrelid
		FROM pg_catalog.pg_constraint o
		JOIN hub.governed child ON child.relation = o.conrelid
		JOIN hub.governed parent ON parent.relation = o.confrelid
		WHERE o.contype = 'f' AND o.conrelid <> o.confrelid
	), place (relation, step) AS (
		SELECT g.relation::pg_catalog.oid, 0 FROM hub.governed g
		UNION
		SELECT r.parent, p.step + 1 FROM place p JOIN reference r ON r.child = p.relation
		WHERE p.step < 50
	)
	SELECT g.relation,
		   ARRAY[g.subject_column]::pg_catalog.text[] AS path,
		   coalesce(s.action, 'delete') AS action,
		   coalesce(s.ground, 'no ground to keep it') AS ground,
		   s.retain_for,
		   (SELECT max(p.step) FROM place p WHERE p.relation = g.relation) AS step,
		   false AS of_engine
	FROM hub.governed g
	LEFT JOIN hub.subject_action s ON s.relation = g.relation
	UNION ALL
	SELECT pg_catalog.to_regclass(e.relation), ARRAY['subject'], 'retain', e.ground, NULL, 0, true
	FROM (VALUES
		('hub.audit_event', 'proof of processing; what it holds of the person is sealed under the destroyed key'),
		('hub.consent', 'proof that consent was given, and heeded when withdrawn'),
		('hub.dsar', 'proof that requests were answered')) e (relation, ground);
COMMENT ON VIEW hub.subject_path IS 'Subject graph: each relation with data of a person, the path from it to the person, and what erasure does there on which ground';
COMMENT ON COLUMN hub.subject_path.path IS 'columns that lead from a row to its data subject';
COMMENT ON COLUMN hub.subject_path.step IS 'order of erasure: a relation comes after all that refer to it';
COMMENT ON COLUMN hub.subject_path.of_engine IS 'a relation of the extension itself, whose action cannot be set';

REVOKE ALL ON hub.subject_action, hub.subject_merge, hub.personal_data_map, hub.subject_path FROM PUBLIC;
GRANT SELECT ON hub.personal_data_map, hub.subject_path TO hub_compliance, hub_admin;

-- Members need the role that the GRANT gives; without an identity it takes more.
CREATE FUNCTION hub.require_configurer(relation pg_catalog.regclass DEFAULT NULL) RETURNS pg_catalog.void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM hub.whoami())
		AND NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user)
		AND NOT coalesce((SELECT pg_has_role(session_user, c.relowner, 'USAGE') FROM pg_class c
						  WHERE c.oid = require_configurer.relation), false) THEN
		RAISE EXCEPTION 'a member or a superuser must do this'
			USING ERRCODE = 'CH203', HINT = 'Log in as a member or call hub.authenticate() first.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.require_configurer IS 'Raise CH203 when the caller is neither a member nor a superuser, nor the owner of the relation in question';

CREATE FUNCTION hub.subject_of(id pg_catalog.int8) RETURNS pg_catalog.uuid
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_subject_of';
COMMENT ON FUNCTION hub.subject_of IS 'Data subject that a value of a bigint subject column means';

CREATE FUNCTION hub.bigint_subjects(subjects pg_catalog.uuid[]) RETURNS pg_catalog.int8[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_bigint_subjects';
COMMENT ON FUNCTION hub.bigint_subjects IS 'The values of a bigint subject column that mean one of the subjects';

CREATE FUNCTION hub.set_subject_action(relation pg_catalog.regclass, action hub.erasure_action, ground pg_catalog.text,
									   retain_for pg_catalog.interval DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF set_subject_action.relation IS NULL OR set_subject_action.action IS NULL
		OR coalesce(btrim(set_subject_action.ground), '') = '' THEN
		RAISE EXCEPTION 'relation, action and ground must be given' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF NOT EXISTS (SELECT FROM hub.governed g WHERE g.relation = set_subject_action.relation) THEN
		RAISE EXCEPTION '% is not governed', set_subject_action.relation
			USING ERRCODE = 'CH301', HINT = 'Call hub.govern() on it first.';
	END IF;
	IF set_subject_action.retain_for IS NOT NULL AND set_subject_action.action <> 'retain' THEN
		RAISE EXCEPTION 'only retained rows are kept for a time' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM hub.require_configurer(set_subject_action.relation);
	INSERT INTO hub.subject_action AS s
	VALUES (set_subject_action.relation, set_subject_action.action, set_subject_action.ground, set_subject_action.retain_for)
	ON CONFLICT ON CONSTRAINT subject_action_pkey DO UPDATE
		SET action = excluded.action, ground = excluded.ground, retain_for = excluded.retain_for;
END
$$;
COMMENT ON FUNCTION hub.set_subject_action IS 'Say what erasure does with the rows of a governed relation, and on which ground; without it they are deleted';

CREATE FUNCTION hub.set_subject_merge(relation pg_catalog.regclass, pointer_column pg_catalog.name)
	RETURNS pg_catalog.void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (
		SELECT FROM hub.governed g
		JOIN pg_attribute s ON s.attrelid = g.relation AND s.attname = g.subject_column
		JOIN pg_attribute p ON p.attrelid = g.relation AND p.attname = set_subject_merge.pointer_column
		WHERE g.relation = set_subject_merge.relation AND p.atttypid = s.atttypid AND NOT p.attisdropped
	) THEN
		RAISE EXCEPTION 'column "%" of % cannot point at a data subject', set_subject_merge.pointer_column, set_subject_merge.relation
			USING ERRCODE = 'CH302', HINT = 'The relation must be governed, and the column must have the type of its subject column.';
	END IF;
	PERFORM hub.require_configurer(set_subject_merge.relation);
	INSERT INTO hub.subject_merge AS m VALUES (set_subject_merge.relation, set_subject_merge.pointer_column)
	ON CONFLICT ON CONSTRAINT subject_merge_pkey DO UPDATE SET pointer_column = excluded.pointer_column;
END
$$;
COMMENT ON FUNCTION hub.set_subject_merge IS 'Say which column of a governed relation points at the subject that a subject was merged into: both are one person for erasure, export and holds';

CREATE FUNCTION hub.subject_predicate(relation pg_catalog.regclass) RETURNS pg_catalog.text
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	column_name text;
	column_type regtype;
BEGIN
	SELECT p.path[1], a.atttypid INTO STRICT column_name, column_type
	FROM hub.subject_path p
	JOIN pg_attribute a ON a.attrelid = p.relation AND a.attname = p.path[1]
	WHERE p.relation = subject_predicate.relation;
	IF relation = 'hub.audit_event'::regclass THEN
		-- no index on the trail knows persons, but its postings do
		RETURN 't.subject = ANY ($1) AND (t.xid, t.ordinal) IN (SELECT p.xid, p.ordinal
			FROM hub.audit_find(''{subject}'', $1::text[], ''-infinity'', ''infinity'') p)';
	ELSIF column_type = 'uuid'::regtype THEN
		RETURN format('t.%I = ANY ($1)', column_name);
	END IF;
	RETURN format('t.%I = ANY (hub.bigint_subjects($1))', column_name);
END
$$;
COMMENT ON FUNCTION hub.subject_predicate IS 'SQL condition that a row t of a relation of the subject graph is about one of the subjects $1';

CREATE FUNCTION hub.subject_family(subject pg_catalog.uuid) RETURNS pg_catalog.uuid[]
	LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	merge record;
	family uuid[] := ARRAY[subject_family.subject];
	found_here uuid[];
	size integer;
BEGIN
	LOOP
		size := cardinality(family);
		FOR merge IN
			SELECT m.relation, m.pointer_column, g.subject_column, a.atttypid = 'uuid'::regtype AS is_uuid
			FROM hub.subject_merge m
			JOIN hub.governed g ON g.relation = m.relation
			JOIN pg_attribute a ON a.attrelid = g.relation AND a.attname = g.subject_column
		LOOP
			EXECUTE format(CASE WHEN merge.is_uuid
				THEN 'SELECT array_agg(DISTINCT x) FROM (
						SELECT t.%1$I FROM %3$s t WHERE t.%2$I = ANY ($1)
						UNION ALL SELECT t.%2$I FROM %3$s t WHERE t.%1$I = ANY ($1)) f (x)
					  WHERE x IS NOT NULL AND NOT x = ANY ($1)'
				ELSE 'SELECT array_agg(DISTINCT x) FROM (
						SELECT hub.subject_of(t.%1$I) FROM %3$s t WHERE t.%2$I = ANY (hub.bigint_subjects($1))
						UNION ALL SELECT hub.subject_of(t.%2$I) FROM %3$s t WHERE t.%1$I = ANY (hub.bigint_subjects($1))) f (x)
					  WHERE x IS NOT NULL AND NOT x = ANY ($1)' END,
				merge.subject_column, merge.pointer_column, merge.relation)
			INTO found_here USING family;
			family := family || coalesce(found_here, '{}');
		END LOOP;
		EXIT WHEN cardinality(family) = size;
	END LOOP;
	RETURN (SELECT array_agg(f ORDER BY f) FROM unnest(family) f);
END
$$;
COMMENT ON FUNCTION hub.subject_family IS 'All subject ids that are the same person: the subject, and whatever was merged with it';

CREATE FUNCTION hub.caller_sees_row(relation pg_catalog.regclass, column_name pg_catalog.name, subjects pg_catalog.anyarray)
	RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'hub_caller_sees_row';
COMMENT ON FUNCTION hub.caller_sees_row IS 'Whether who called the engine sees, under their own rights and row policies, a row with one of these values in the column; engine only';

-- Who works with rows names persons whose rows they see. Somebody who is not
-- theirs and somebody who never was get one answer. Compliance acts for the
-- whole hub, and a connector, which sees no row, for those who write to it.
CREATE FUNCTION hub.require_subject(subject pg_catalog.uuid) RETURNS pg_catalog.void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	family uuid[];
	source record;
	seen boolean;
BEGIN
	PERFORM hub.require_configurer();
	IF NOT EXISTS (SELECT FROM hub.whoami() w WHERE hub.base_role(w.role) IN ('hub_agent', 'hub_sales', 'hub_manager')) THEN
		RETURN;
	END IF;
	family := hub.subject_family(require_subject.subject);
	FOR source IN
		SELECT g.relation, g.subject_column, a.atttypid = 'uuid'::regtype AS is_uuid
		FROM hub.governed g
		JOIN pg_attribute a ON a.attrelid = g.relation AND a.attname = g.subject_column
		JOIN hub.subject_path p ON p.relation = g.relation
		-- last in erasure, first here: the relation that the others refer to has a row of everybody
		ORDER BY p.step DESC, g.relation::oid
	LOOP
		IF source.is_uuid THEN
			seen := hub.caller_sees_row(source.relation, source.subject_column, family);
		ELSE
			seen := hub.caller_sees_row(source.relation, source.subject_column, hub.bigint_subjects(family));
		END IF;
		IF seen THEN
			RETURN;
		END IF;
	END LOOP;
	PERFORM hub.deny('CH205', 'permission denied for this data subject, or there is none',
		'Name a person of whom you see a row, or ask somebody whose scope they are in, or compliance.',
		jsonb_build_object('attempt', 'name_subject'));
END
$$;
COMMENT ON FUNCTION hub.require_subject IS 'Raise CH203 where hub.require_configurer() does, and CH205 when the caller''s role works with rows and they see none of this person';

CREATE FUNCTION hub.redacted_columns(relation pg_catalog.regclass, action hub.erasure_action, data_class pg_catalog.text DEFAULT NULL)
	RETURNS pg_catalog.name[]
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT pg_catalog.array_agg(m.column_name ORDER BY m.column_name)
	FROM hub.personal_data_map m
	WHERE m.relation OPERATOR(pg_catalog.=) redacted_columns.relation
		AND NOT m.is_key AND NOT m.is_generated
		AND CASE WHEN redacted_columns.data_class IS NULL
			THEN m.data_class IS DISTINCT FROM 'public'
			ELSE m.data_class OPERATOR(pg_catalog.=) redacted_columns.data_class END
		AND CASE redacted_columns.action
			WHEN 'redact' THEN true
			WHEN 'null_tags' THEN m.searchable OR NOT m.encrypted
			ELSE false END;
END;
COMMENT ON FUNCTION hub.redacted_columns IS 'Columns of a relation that an action empties; with a data class, only those of that class';

CREATE FUNCTION hub.check_subject_graph()
	RETURNS TABLE (severity pg_catalog.text, relation pg_catalog.regclass, column_name pg_catalog.name,
				   problem pg_catalog.text, hint pg_catalog.text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN m.data_class IS NULL THEN 'warning' ELSE 'error' END, m.relation, m.column_name,
		   CASE WHEN m.data_class IS NULL THEN 'encrypted column without a class that leads to no data subject'
				ELSE 'classified column that leads to no data subject' END,
		   'Call hub.govern() with the column that names the data subject.'
	FROM hub.personal_data_map m
	WHERE NOT m.governed AND m.data_class IS DISTINCT FROM 'public'
	UNION ALL
	SELECT 'error', m.relation, m.column_name,
		   'erasure cannot empty this column: it is NOT NULL',
		   'Drop NOT NULL, classify the column as public if it is, or have the rows deleted with hub.set_subject_action().'
	FROM hub.subject_path p
	JOIN hub.personal_data_map m ON m.relation = p.relation
	WHERE m.not_null AND NOT m.is_text AND m.column_name = ANY (hub.redacted_columns(p.relation, p.action))
	UNION ALL
	SELECT 'error', p.relation, o.conname,
		   format('rows stay here while %s, which they refer to, is deleted', o.confrelid::regclass),
		   'Have the referenced rows redacted rather than deleted, or the foreign key SET NULL.'
	FROM hub.subject_path p
	JOIN pg_constraint o ON o.conrelid = p.relation AND o.contype = 'f' AND o.confdeltype IN ('a', 'r')
	JOIN hub.subject_path q ON q.relation = o.confrelid
	WHERE p.action <> 'delete' AND q.action = 'delete' AND o.conrelid <> o.confrelid
	UNION ALL
	SELECT 'error', m.relation, m.pointer_column, 'merged subjects cannot be followed: the relation is not governed any more',
		   'Call hub.govern() on it again.'
	FROM hub.subject_merge m
	WHERE NOT EXISTS (SELECT FROM hub.governed g WHERE g.relation = m.relation)
	UNION ALL
	SELECT 'warning', p.relation, m.column_name,
		   'retained, but sealed under the subject''s key: unreadable once the person is erased',
		   'Keep what the ground needs in a column that is not encrypted, or let the rows go.'
	FROM hub.subject_path p
	JOIN hub.personal_data_map m ON m.relation = p.relation
	WHERE p.action = 'retain' AND m.encrypted
	UNION ALL
	SELECT 'warning', o.conrelid::regclass, o.conname,
		   format('refers to %s, but is not governed: what it says about a person is neither erased nor exported', o.confrelid::regclass),
		   'Call hub.govern() on it if it holds data of a person.'
	FROM pg_constraint o
	JOIN hub.governed g ON g.relation = o.confrelid
	JOIN pg_class c ON c.oid = o.conrelid
	WHERE o.contype = 'f' AND NOT c.relispartition
		AND NOT EXISTS (SELECT FROM hub.governed other WHERE other.relation = o.conrelid)
	UNION ALL
	SELECT 'warning', g.relation, g.subject_column, 'no index leads from a data subject to its rows: erasure and export scan the relation',
		   format('CREATE INDEX ON %s (%I)', g.relation, g.subject_column)
	FROM hub.governed g
	JOIN pg_attribute a ON a.attrelid = g.relation AND a.attname = g.subject_column
	WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = g.relation AND i.indisvalid AND i.indkey[0] = a.attnum)
	ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION hub.check_subject_graph() IS 'Problems of the subject graph; no row of severity error may be left before a person can be erased';

CREATE FUNCTION hub.require_subject_graph() RETURNS pg_catalog.void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	problem record;
BEGIN
	SELECT c.relation, c.column_name, c.problem AS text, c.hint INTO problem
	FROM hub.check_subject_graph() c WHERE c.severity = 'error' LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION 'the subject graph does not reach all personal data'
			USING ERRCODE = 'CH503',
				  DETAIL = format('%s, %I: %s.', problem.relation, problem.column_name, problem.text),
				  HINT = problem.hint || ' SELECT * FROM hub.check_subject_graph() lists every problem.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.require_subject_graph() IS 'Raise CH503 while the subject graph has an error';

GRANT EXECUTE ON FUNCTION hub.set_subject_action, hub.set_subject_merge, hub.check_subject_graph() TO hub_compliance, hub_admin;
