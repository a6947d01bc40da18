-- Names for several countries, to grant them at once.

CREATE TABLE hub.region_group_default (
	name text COLLATE "C" PRIMARY KEY,
	regions hub.region[] NOT NULL,
	description text NOT NULL
);
COMMENT ON TABLE hub.region_group_default IS 'Groups of regions that the extension comes with; hub.region_group_own goes before it';
INSERT INTO hub.region_group_default (name, regions, description)
VALUES
	('EU', '{AT,BE,BG,CY,CZ,DE,DK,EE,ES,FI,FR,GR,HR,HU,IE,IT,LT,LU,LV,MT,NL,PL,PT,RO,SE,SI,SK}', 'European Union'),
	('EEA', '{AT,BE,BG,CY,CZ,DE,DK,EE,ES,FI,FR,GR,HR,HU,IE,IS,IT,LI,LT,LU,LV,MT,NL,NO,PL,PT,RO,SE,SI,SK}', 'European Economic Area'),
	('EFTA', '{CH,IS,LI,NO}', 'European Free Trade Association'),
	('DACH', '{AT,CH,DE}', 'Germany, Austria, Switzerland'),
	('BENELUX', '{BE,LU,NL}', 'Belgium, Netherlands, Luxembourg'),
	('NORDICS', '{DK,FI,IS,NO,SE}', 'Nordic countries');

CREATE TABLE hub.region_group_own (LIKE hub.region_group_default INCLUDING ALL);
ALTER TABLE hub.region_group_own
	ADD CHECK (array_position(regions, NULL) IS NULL);
COMMENT ON TABLE hub.region_group_own IS 'Groups of regions set with hub.set_region_group; they go before those of hub.region_group_default';
SELECT pg_catalog.pg_extension_config_dump('hub.region_group_own', '');

CREATE VIEW hub.region_group AS
SELECT o.*, true AS own FROM hub.region_group_own o
UNION ALL
SELECT d.*, false FROM hub.region_group_default d WHERE NOT EXISTS (SELECT FROM hub.region_group_own o WHERE o.name = d.name);
COMMENT ON VIEW hub.region_group IS 'Names for several regions, which hub.expand_regions() takes';
GRANT SELECT ON hub.region_group TO hub_admin, hub_manager, hub_compliance;

CREATE FUNCTION hub.expand_regions(VARIADIC names text[]) RETURNS hub.region[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	result hub.region[] := '{}';
	region_name text;
	members hub.region[];
BEGIN
	FOREACH region_name IN ARRAY coalesce(names, '{}') LOOP
		SELECT g.regions INTO members FROM hub.region_group g WHERE g.name = region_name;
		IF NOT FOUND THEN
			BEGIN
				members := ARRAY[region_name::hub.region];
			EXCEPTION WHEN invalid_text_representation OR null_value_not_allowed THEN
				RAISE EXCEPTION '"%" is neither a region nor a group of regions', region_name
					USING ERRCODE = 'invalid_parameter_value', HINT = 'hub.region_group lists the groups.';
			END;
			IF members[1] IS NULL THEN
				RAISE EXCEPTION 'a region may not be null' USING ERRCODE = 'null_value_not_allowed';
			END IF;
		END IF;
		result := result || members;
	END LOOP;
	RETURN ARRAY(SELECT DISTINCT r FROM unnest(result) r ORDER BY r);
END
$$;
COMMENT ON FUNCTION hub.expand_regions(text[]) IS 'The regions that names of regions and of groups stand for now, as in hub.add_member(..., regions => hub.expand_regions(''EEA'', ''CH'', ''US-CA''))';

CREATE FUNCTION hub.set_region_group(name text, regions hub.region[], description text DEFAULT '') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.require_admin('set a group of regions');
	-- two letters are left to countries, but for groups that come with the extension
	IF coalesce(set_region_group.name, '') !~ '^[A-Z][A-Z0-9_]{2,62}$'
		AND NOT EXISTS (SELECT FROM hub.region_group_default d WHERE d.name = set_region_group.name) THEN
		RAISE EXCEPTION 'name "%" of a group of regions is not valid', set_region_group.name
			USING ERRCODE = 'invalid_name',
				  HINT = 'Use three or more upper-case letters, digits and underscores, starting with a letter.';
	END IF;
	IF set_region_group.regions IS NULL OR array_position(set_region_group.regions, NULL) IS NOT NULL
		OR set_region_group.description IS NULL THEN
		RAISE EXCEPTION 'neither the regions of a group nor one of them nor its description may be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	INSERT INTO hub.region_group_own AS g (name, regions, description)
	VALUES (set_region_group.name, set_region_group.regions, set_region_group.description)
	ON CONFLICT ON CONSTRAINT region_group_own_pkey DO UPDATE SET regions = excluded.regions, description = excluded.description;
END
$$;
COMMENT ON FUNCTION hub.set_region_group(text, hub.region[], text) IS 'Adds or changes a group of regions. What members were granted before stays: give them the new regions with hub.set_member_scope()';
GRANT EXECUTE ON FUNCTION hub.set_region_group(text, hub.region[], text) TO hub_admin;
GRANT EXECUTE ON FUNCTION hub.expand_regions(text[]) TO hub_admin, hub_manager, hub_compliance;
