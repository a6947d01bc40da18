-- Data classes: what kind of data a column holds.

CREATE FUNCTION hub.builtin_data_classes(OUT class_id int, OUT name name, OUT searchable bool, OUT description text)
RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_builtin_data_classes';
COMMENT ON FUNCTION hub.builtin_data_classes() IS 'The data classes that every hub has';

CREATE TABLE hub.data_class_custom (
	class_id int PRIMARY KEY CHECK (class_id BETWEEN 100 AND 65535),
	name name NOT NULL UNIQUE,
	searchable bool NOT NULL,
	description text
);
COMMENT ON TABLE hub.data_class_custom IS 'Data classes added with hub.add_data_class()';
REVOKE ALL ON hub.data_class_custom FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('hub.data_class_custom', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.data_class_custom
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();

CREATE VIEW hub.data_class AS
SELECT class_id, name, searchable, description, true AS builtin FROM hub.builtin_data_classes()
UNION ALL
SELECT class_id, name, searchable, description, false FROM hub.data_class_custom;
COMMENT ON VIEW hub.data_class IS 'All data classes; searchable ones carry an equality tag';
GRANT SELECT ON hub.data_class TO PUBLIC;

CREATE FUNCTION hub.data_class_id(name text) RETURNS int
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_data_class_id';
COMMENT ON FUNCTION hub.data_class_id(text) IS 'Number of a data class, as type modifiers carry it';

CREATE FUNCTION hub.add_data_class(name text, searchable bool DEFAULT false, description text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF add_data_class.name !~ '^[a-z][a-z0-9_]{0,62}$' THEN
		RAISE EXCEPTION 'data class name "%" is not valid', add_data_class.name
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Use lower-case letters, digits and underscores, starting with a letter.';
	END IF;
	IF EXISTS (SELECT FROM hub.data_class c WHERE c.name = add_data_class.name) THEN
		RAISE EXCEPTION 'data class "%" already exists', add_data_class.name
			USING ERRCODE = 'duplicate_object';
	END IF;
	LOCK TABLE hub.data_class_custom IN SHARE ROW EXCLUSIVE MODE;
	INSERT INTO hub.data_class_custom (class_id, name, searchable, description)
	SELECT coalesce(max(c.class_id), 99) + 1, add_data_class.name, add_data_class.searchable, add_data_class.description
	FROM hub.data_class_custom c;
END
$$;
COMMENT ON FUNCTION hub.add_data_class(text, bool, text) IS 'Adds a data class; values of a searchable one can be compared for equality, which shows which rows hold the same value';

CREATE FUNCTION hub.data_class_typmod_in(cstring[]) RETURNS int
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_data_class_typmod_in';
COMMENT ON FUNCTION hub.data_class_typmod_in(cstring[]) IS 'Type modifier input of the encrypted types: the name of a data class';

CREATE FUNCTION hub.data_class_typmod_out(int) RETURNS cstring
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_data_class_typmod_out';
COMMENT ON FUNCTION hub.data_class_typmod_out(int) IS 'Type modifier output of the encrypted types';
