CREATE FUNCTION hub.seal_row() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hub_seal_row';
COMMENT ON FUNCTION hub.seal_row() IS 'Trigger of governed tables: seals every encrypted value for the data subject and class of its row and column';
