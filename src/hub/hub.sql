-- What PUBLIC may call. Every function of the extension starts out with no
-- EXECUTE for PUBLIC; operators, casts and the functions listed here get it back.
REVOKE ALL ON ALL ROUTINES IN SCHEMA hub FROM PUBLIC;

DO LANGUAGE plpgsql $$
DECLARE
	routine pg_catalog.regprocedure;
BEGIN
	FOR routine IN
		SELECT o.oprcode FROM pg_catalog.pg_operator o
		WHERE o.oprnamespace = 'hub'::pg_catalog.regnamespace
		UNION
		SELECT c.castfunc FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
		WHERE p.pronamespace = 'hub'::pg_catalog.regnamespace
	LOOP
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', routine);
	END LOOP;
END
$$;

-- each room adds its own, one line each, in floor order
