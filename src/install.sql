\echo Use "CREATE EXTENSION customer_hub" to load this file. \quit

-- Nothing below may resolve a name through a schema that a user can write to.
SET LOCAL search_path TO pg_catalog, pg_temp;

-- Fail early, with the hint that says how, when the library was not preloaded.
DO LANGUAGE plpgsql $$
BEGIN
	IF pg_catalog.current_setting('customer_hub.preloaded', true) IS DISTINCT FROM 'on' THEN
		RAISE EXCEPTION 'customer_hub must be loaded through shared_preload_libraries'
			USING ERRCODE = 'object_not_in_prerequisite_state',
				  HINT = 'Add customer_hub to shared_preload_libraries in postgresql.conf and restart the server.';
	END IF;
END
$$;

CREATE SCHEMA hub;
COMMENT ON SCHEMA hub IS 'customer_hub: engine, catalogs and functions; customer data lives in schema crm';
GRANT USAGE ON SCHEMA hub TO PUBLIC;
