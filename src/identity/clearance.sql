-- What a hub role may see of a data class.

CREATE TABLE hub.clearance_default (
	role name NOT NULL REFERENCES hub.hub_role_default,
	data_class name NOT NULL,
	level text NOT NULL CHECK (level IN ('reveal', 'mask', 'token', 'deny')),
	PRIMARY KEY (role, data_class)
);
COMMENT ON TABLE hub.clearance_default IS 'The default matrix; hub.clearance goes before it';
INSERT INTO hub.clearance_default (role, data_class, level)
SELECT m.role, c.data_class, c.level
FROM (VALUES
	('hub_agent'::name,	ARRAY['reveal', 'reveal', 'mask',	'reveal', 'deny',	'deny',	 'deny']),
	('hub_sales',		ARRAY['reveal', 'reveal', 'reveal', 'reveal', 'reveal', 'deny',	 'deny']),
	('hub_manager',		ARRAY['reveal', 'token',  'token',	'token',  'token',	'token', 'token']),
	('hub_compliance',	ARRAY['reveal', 'mask',	  'mask',	'mask',	  'mask',	'mask',	 'mask']),
	('hub_admin',		ARRAY['reveal', 'deny',	  'deny',	'deny',	  'deny',	'deny',	 'deny']),
	('hub_connector',	ARRAY['reveal', 'deny',	  'deny',	'deny',	  'deny',	'deny',	 'deny']),
	('hub_ai_agent',	ARRAY['reveal', 'token',  'token',	'reveal', 'token',	'token', 'token'])
) m (role, levels),
LATERAL unnest(
	ARRAY['public', 'basic', 'contact', 'content', 'intent', 'financial', 'special']::name[],
	m.levels) c (data_class, level);

CREATE TABLE hub.clearance (
	role name NOT NULL,
	data_class name NOT NULL,
	level text NOT NULL CHECK (level IN ('reveal', 'mask', 'token', 'deny')),
	PRIMARY KEY (role, data_class)
);
COMMENT ON TABLE hub.clearance IS 'Clearances set with hub.set_clearance; they go before hub.clearance_default';
SELECT pg_catalog.pg_extension_config_dump('hub.clearance', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.clearance
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.clearance ENABLE ALWAYS TRIGGER catalog_changed;

CREATE FUNCTION hub.clearance_of(role name, data_class text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_clearance_of';
COMMENT ON FUNCTION hub.clearance_of(name, text) IS 'What a hub role may see of a data class: reveal, mask, token or deny. Classes of one''s own, until set: token for managers and AI agents, mask for compliance, deny for others';

CREATE VIEW hub.clearance_matrix AS
SELECT r.name AS role, c.name AS data_class, hub.clearance_of(r.name, c.name::text) AS level
FROM hub.hub_role r CROSS JOIN hub.data_class c;
COMMENT ON VIEW hub.clearance_matrix IS 'What every hub role may see of every data class';
GRANT SELECT ON hub.clearance_matrix TO hub_admin, hub_compliance;
GRANT EXECUTE ON FUNCTION hub.clearance_of(name, text) TO hub_admin, hub_compliance;

-- What both kinds of clearance are changed by.
CREATE FUNCTION hub.check_clearance_change(role name, data_class text, level text, break_glass bool) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	levels CONSTANT text[] := '{deny,token,mask,reveal}';
	former_level text;
BEGIN
	PERFORM hub.require_admin('set a clearance');
	PERFORM hub.base_role(check_clearance_change.role);
	PERFORM hub.data_class_id(coalesce(check_clearance_change.data_class, ''));
	IF array_position(levels, check_clearance_change.level) IS NULL THEN
		RAISE EXCEPTION 'clearance level "%" does not exist', check_clearance_change.level
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Levels are reveal, mask, token and deny.';
	END IF;
	former_level := CASE WHEN break_glass
		THEN hub.break_glass_clearance_of(check_clearance_change.role, check_clearance_change.data_class)
		ELSE hub.clearance_of(check_clearance_change.role, check_clearance_change.data_class) END;
	-- an administrator alone may only take away
	IF array_position(levels, check_clearance_change.level) > array_position(levels, former_level)
		AND EXISTS (SELECT FROM hub.whoami()) THEN
		PERFORM hub.require_approval('change_clearance', jsonb_strip_nulls(jsonb_build_object(
			'role', check_clearance_change.role, 'data_class', check_clearance_change.data_class,
			'level', check_clearance_change.level, 'break_glass', nullif(break_glass, false))));
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_clearance_change(name, text, text, bool) IS 'Raises an error unless the caller may change a clearance so; engine only';

CREATE FUNCTION hub.set_clearance(role name, data_class text, level text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.check_clearance_change(set_clearance.role, set_clearance.data_class, set_clearance.level, false);
	INSERT INTO hub.clearance AS c (role, data_class, level)
	VALUES (set_clearance.role, set_clearance.data_class, set_clearance.level)
	ON CONFLICT ON CONSTRAINT clearance_pkey DO UPDATE SET level = excluded.level;
END
$$;
COMMENT ON FUNCTION hub.set_clearance(name, text, text) IS 'Sets what a hub role, and those made like it, may see of a data class: reveal, mask, token or deny. To raise one, a member needs an approval of the action change_clearance with the parameters role, data_class and level';
GRANT EXECUTE ON FUNCTION hub.set_clearance(name, text, text) TO hub_admin;
