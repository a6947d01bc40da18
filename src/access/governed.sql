-- Which relations are governed, by which of their columns, and how each column
-- is classified. Kept by name, so that a dump restores them.

CREATE TABLE hub.governed (
	relation pg_catalog.regclass PRIMARY KEY,
	subject_column pg_catalog.name NOT NULL,
	region_column pg_catalog.name,
	line_column pg_catalog.name,
	team_column pg_catalog.name,
	owner_column pg_catalog.name
);
COMMENT ON TABLE hub.governed IS 'Relations under the rules of customer_hub; written by hub.govern() and hub.ungovern()';
COMMENT ON COLUMN hub.governed.relation IS 'ordinary or partitioned table; its partitions are governed with it';
COMMENT ON COLUMN hub.governed.subject_column IS 'uuid or bigint column that names the data subject of a row';
COMMENT ON COLUMN hub.governed.region_column IS 'hub.region column that row policies go by, or null';
COMMENT ON COLUMN hub.governed.line_column IS 'integer column with the business line, or null';
COMMENT ON COLUMN hub.governed.team_column IS 'integer column with the team, or null';
COMMENT ON COLUMN hub.governed.owner_column IS 'integer column with the member who owns the row, or null';
SELECT pg_catalog.pg_extension_config_dump('hub.governed', '');

CREATE TABLE hub.classification (
	relation pg_catalog.regclass,
	column_name pg_catalog.name,
	data_class pg_catalog.text NOT NULL,
	PRIMARY KEY (relation, column_name)
);
COMMENT ON TABLE hub.classification IS 'Data class of each classified column; written by hub.classify()';
COMMENT ON COLUMN hub.classification.data_class IS 'name of a class of hub.data_class; an encrypted column states its own in its type';
SELECT pg_catalog.pg_extension_config_dump('hub.classification', '');

REVOKE ALL ON hub.governed, hub.classification FROM PUBLIC;

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.governed
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.classification
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
