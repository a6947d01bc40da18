CREATE FUNCTION hub.catalog_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hub_catalog_changed';
COMMENT ON FUNCTION hub.catalog_changed() IS 'Trigger: makes every session forget what it cached of a catalog of the hub';
