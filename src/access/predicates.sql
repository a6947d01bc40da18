-- access/predicates: what row policies are made of.

-- No index and no uniqueness: see region_use.c.
CREATE TABLE hub.region_in_use (region hub.region NOT NULL) USING heap;
REVOKE ALL ON hub.region_in_use FROM PUBLIC;
COMMENT ON TABLE hub.region_in_use IS 'subdivisions that occur in governed rows, noted by the sealing trigger; what hub.my_regions() expands a country to';
SELECT pg_catalog.pg_extension_config_dump('hub.region_in_use', '');

CREATE FUNCTION hub.note_region(hub.region) RETURNS void
	AS 'MODULE_PATHNAME', 'hub_note_region' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION hub.note_region(hub.region) IS 'notes a region that rows had before they were governed; hub.govern() calls it';

CREATE FUNCTION hub.my_regions() RETURNS hub.region[]
	AS 'MODULE_PATHNAME', 'hub_my_regions' LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.my_regions() IS 'regions of the current member, with every subdivision in use of the countries among them; empty without identity';
CREATE FUNCTION hub.my_lines() RETURNS integer[]
	AS 'MODULE_PATHNAME', 'hub_my_lines' LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.my_lines() IS 'business lines of the current member; empty without identity';
CREATE FUNCTION hub.my_teams() RETURNS integer[]
	AS 'MODULE_PATHNAME', 'hub_my_teams' LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.my_teams() IS 'teams of the current member; empty without identity';
CREATE FUNCTION hub.my_member_id() RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_my_member_id' LANGUAGE C STABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.my_member_id() IS 'number of the current member; null without identity';

CREATE FUNCTION hub.in_regions_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'hub_in_regions_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION hub.in_regions_support(internal) IS 'planner support for hub.in_regions()';
CREATE FUNCTION hub.in_lines_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'hub_in_lines_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION hub.in_lines_support(internal) IS 'planner support for hub.in_lines()';
CREATE FUNCTION hub.in_teams_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'hub_in_teams_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION hub.in_teams_support(internal) IS 'planner support for hub.in_teams()';
CREATE FUNCTION hub.is_me_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'hub_is_me_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION hub.is_me_support(internal) IS 'planner support for hub.is_me()';

CREATE FUNCTION hub.acts_as_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'hub_acts_as_support' LANGUAGE C STRICT;
COMMENT ON FUNCTION hub.acts_as_support(internal) IS 'planner support for hub.acts_as()';

-- Not STRICT: without a value the answer is false, not unknown. COST 1.1, so
-- that a query's own leakproof comparisons, which cost 1, come first.
CREATE FUNCTION hub.in_regions(hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_in_regions' LANGUAGE C STABLE LEAKPROOF PARALLEL SAFE COST 1.1
	SUPPORT hub.in_regions_support;
COMMENT ON FUNCTION hub.in_regions(hub.region) IS 'does the current member work in this region? for row policies; false without identity';
CREATE FUNCTION hub.in_lines(integer) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_in_lines' LANGUAGE C STABLE LEAKPROOF PARALLEL SAFE COST 1.1
	SUPPORT hub.in_lines_support;
COMMENT ON FUNCTION hub.in_lines(integer) IS 'does the current member work for this business line? for row policies; false without identity';
CREATE FUNCTION hub.in_teams(integer) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_in_teams' LANGUAGE C STABLE LEAKPROOF PARALLEL SAFE COST 1.1
	SUPPORT hub.in_teams_support;
COMMENT ON FUNCTION hub.in_teams(integer) IS 'is the current member in this team? null is the pool of unassigned rows, open to agents and managers; for row policies; false without identity';
CREATE FUNCTION hub.is_me(integer) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_is_me' LANGUAGE C STABLE LEAKPROOF PARALLEL SAFE COST 1.1
	SUPPORT hub.is_me_support;
COMMENT ON FUNCTION hub.is_me(integer) IS 'is this the current member? for row policies; false without identity';
