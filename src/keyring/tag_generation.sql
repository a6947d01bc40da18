-- keyring/tag_generation: new keys for equality tags.
--
-- Tags tell whether values are equal, so all values of the database change their
-- generation at once: copies of the columns are made under the next one, and one
-- transaction puts them in place and makes the generation current. So tags of two
-- generations never meet in a comparison, and indexes and UNIQUE hold all the time.
--
-- The order of things: hub.open_tag_generation(); for every searchable column a copy
-- that a trigger keeps in step, filled by encrypted_retag(value, the open generation),
-- with the same indexes; then, in one transaction, lock the tables, put all copies in
-- the columns' places, and call hub.switch_tag_generation() last, which looks whether
-- a column was left behind.

CREATE TABLE hub.tag_generation (
	generation int PRIMARY KEY CHECK (generation > 1),
	opened_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	current_since timestamptz
);
COMMENT ON TABLE hub.tag_generation IS 'Generations of keys for equality tags after the first; the highest with current_since is the one in force';
COMMENT ON COLUMN hub.tag_generation.current_since IS 'When columns went over to it; null while copies are made under it';
CREATE UNIQUE INDEX tag_generation_open ON hub.tag_generation ((true)) WHERE current_since IS NULL;
REVOKE ALL ON hub.tag_generation FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('hub.tag_generation', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.tag_generation
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();

CREATE FUNCTION hub.open_tag_generation() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	upcoming int;
BEGIN
	PERFORM hub.require_configurer();
	PERFORM pg_advisory_xact_lock('hub.key_rotation'::regclass::oid::int, 0);
	SELECT g.generation INTO upcoming FROM hub.tag_generation g WHERE g.current_since IS NULL;
	IF FOUND THEN
		RETURN upcoming;
	END IF;
	upcoming := hub.new_service_key_generation(VARIADIC ARRAY(SELECT p FROM hub.service_key_purposes() p WHERE p LIKE 'tag\_%'));
	INSERT INTO hub.tag_generation (generation) VALUES (upcoming);
	PERFORM hub.record_event('config', NULL, jsonb_build_object('setting', 'tag_generation', 'generation', upcoming, 'step', 'opened'));
	RETURN upcoming;
END
$$;
COMMENT ON FUNCTION hub.open_tag_generation() IS 'Makes new keys for equality tags, under which copies of columns can be made, and returns their generation; returns the open one when there is one';

CREATE FUNCTION hub.columns_behind(generation int) RETURNS TABLE (relation regclass, column_name name)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_generation int;
BEGIN
	FOR relation, column_name IN
		SELECT a.attrelid::regclass, a.attname
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE a.atttypid IN (SELECT t.oid FROM pg_type t WHERE t.typnamespace = 'hub'::regnamespace AND t.typname LIKE 'encrypted\_%')
			AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
			AND NOT EXISTS (SELECT FROM hub.data_class d WHERE d.class_id = a.atttypmod AND NOT d.searchable)
		ORDER BY a.attrelid, a.attnum
	LOOP
		-- a column has values of one generation, but for those that nobody can seal anew
		EXECUTE format('SELECT hub.tag_generation_of(t.%1$I) FROM %2$s t WHERE hub.tag_generation_of(t.%1$I) IS NOT NULL
							AND hub.subject_state(hub.sealed_subject(t.%1$I)) IS DISTINCT FROM ''erased'' LIMIT 1',
					   column_name, relation)
		INTO found_generation;
		IF found_generation <> columns_behind.generation THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.columns_behind(int) IS 'Columns whose equality tags are of another generation of keys, by the first value of a living data subject';

CREATE FUNCTION hub.switch_tag_generation() RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	upcoming int;
	behind text;
BEGIN
	PERFORM hub.require_configurer();
	UPDATE hub.tag_generation g SET current_since = clock_timestamp() WHERE g.current_since IS NULL
	RETURNING g.generation INTO upcoming;
	IF upcoming IS NULL THEN
		RAISE EXCEPTION 'no generation of tag keys is open' USING ERRCODE = 'object_not_in_prerequisite_state',
			HINT = 'Call hub.open_tag_generation() first.';
	END IF;
	SELECT string_agg(format('%s.%I', b.relation, b.column_name), ', ') INTO behind FROM hub.columns_behind(upcoming) b;
	IF behind IS NOT NULL THEN
		RAISE EXCEPTION 'columns have equality tags of an older generation'
			USING ERRCODE = 'CH106', DETAIL = behind, HINT = 'CALL hub.reseal() on their tables, and refresh materialized views.';
	END IF;
	PERFORM hub.record_event('config', NULL, jsonb_build_object('setting', 'tag_generation', 'generation', upcoming, 'step', 'current'));
	RETURN upcoming;
END
$$;
COMMENT ON FUNCTION hub.switch_tag_generation() IS 'Makes the open generation of tag keys the current one, in the transaction that put the copies of all columns in their places; engine only';
