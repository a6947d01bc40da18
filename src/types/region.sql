-- types/region: ISO 3166 countries and subdivisions
--
-- The operators stand in pg_catalog, as the built-in types' do: they work with
-- any search_path, and no schema that a user can write to comes before them.

CREATE TYPE hub.region;
CREATE FUNCTION hub.region_in(cstring) RETURNS hub.region
	AS 'MODULE_PATHNAME', 'hub_region_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_in(cstring) IS 'I/O';
CREATE FUNCTION hub.region_out(hub.region) RETURNS cstring
	AS 'MODULE_PATHNAME', 'hub_region_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_out(hub.region) IS 'I/O';
CREATE FUNCTION hub.region_recv(internal) RETURNS hub.region
	AS 'MODULE_PATHNAME', 'hub_region_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_recv(internal) IS 'I/O';
CREATE FUNCTION hub.region_send(hub.region) RETURNS bytea
	AS 'MODULE_PATHNAME', 'hub_region_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_send(hub.region) IS 'I/O';
CREATE TYPE hub.region (
	INPUT = hub.region_in, OUTPUT = hub.region_out, RECEIVE = hub.region_recv, SEND = hub.region_send,
	INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4, STORAGE = plain
);
COMMENT ON TYPE hub.region IS 'country (ISO 3166-1 alpha-2) or subdivision (ISO 3166-2), such as DE or US-CA; US contains US-CA';

CREATE FUNCTION hub.region_eq(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_eq(hub.region, hub.region) IS 'implementation of = operator';
CREATE FUNCTION hub.region_ne(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_ne(hub.region, hub.region) IS 'implementation of <> operator';
CREATE FUNCTION hub.region_lt(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_lt(hub.region, hub.region) IS 'implementation of < operator';
CREATE FUNCTION hub.region_le(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_le(hub.region, hub.region) IS 'implementation of <= operator';
CREATE FUNCTION hub.region_gt(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_gt(hub.region, hub.region) IS 'implementation of > operator';
CREATE FUNCTION hub.region_ge(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_ge(hub.region, hub.region) IS 'implementation of >= operator';
CREATE FUNCTION hub.region_cmp(hub.region, hub.region) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_region_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_cmp(hub.region, hub.region) IS 'less-equal-greater, for btree';
CREATE FUNCTION hub.region_hash(hub.region) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_region_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_hash(hub.region) IS 'hash';
CREATE FUNCTION hub.region_hash_extended(hub.region, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hub_region_hash_extended' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_hash_extended(hub.region, bigint) IS 'hash with a seed';

CREATE OPERATOR pg_catalog.= (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (hub.region, hub.region) IS 'same region: equal';
CREATE OPERATOR pg_catalog.<> (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (hub.region, hub.region) IS 'same region: not equal';
CREATE OPERATOR pg_catalog.< (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_lt,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR pg_catalog.< (hub.region, hub.region) IS 'sorts before';
CREATE OPERATOR pg_catalog.<= (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_le,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR pg_catalog.<= (hub.region, hub.region) IS 'sorts before or equals';
CREATE OPERATOR pg_catalog.> (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_gt,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR pg_catalog.> (hub.region, hub.region) IS 'sorts after';
CREATE OPERATOR pg_catalog.>= (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_ge,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR pg_catalog.>= (hub.region, hub.region) IS 'sorts after or equals';

CREATE OPERATOR CLASS hub.region_ops DEFAULT FOR TYPE hub.region USING btree AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 hub.region_cmp(hub.region, hub.region),
	FUNCTION 2 pg_catalog.btint4sortsupport(internal),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS hub.region_ops USING btree IS 'order of regions; a country right before its subdivisions';
COMMENT ON OPERATOR FAMILY hub.region_ops USING btree IS 'order of regions; a country right before its subdivisions';
CREATE OPERATOR CLASS hub.region_ops DEFAULT FOR TYPE hub.region USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 hub.region_hash(hub.region),
	FUNCTION 2 hub.region_hash_extended(hub.region, bigint);
COMMENT ON OPERATOR CLASS hub.region_ops USING hash IS 'equality of regions';
COMMENT ON OPERATOR FAMILY hub.region_ops USING hash IS 'equality of regions';

CREATE CAST (text AS hub.region) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (text AS hub.region) IS 'checks like input; never implicit, or a comparison would choose text''s rules';
CREATE CAST (varchar AS hub.region) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (varchar AS hub.region) IS 'checks like input; never implicit, or a comparison would choose text''s rules';
CREATE CAST (hub.region AS text) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (hub.region AS text) IS 'as printed';
CREATE CAST (hub.region AS varchar) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (hub.region AS varchar) IS 'as printed';

CREATE FUNCTION hub.region_contains(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_contains' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_contains(hub.region, hub.region) IS 'implementation of @> operator';
CREATE FUNCTION hub.region_contained(hub.region, hub.region) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_region_contained' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.region_contained(hub.region, hub.region) IS 'implementation of <@ operator';
CREATE OPERATOR pg_catalog.@> (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_contains,
	COMMUTATOR = OPERATOR(pg_catalog.<@), RESTRICT = contsel, JOIN = contjoinsel
);
COMMENT ON OPERATOR pg_catalog.@> (hub.region, hub.region) IS 'contains: a country its subdivisions, every region itself';
CREATE OPERATOR pg_catalog.<@ (
	LEFTARG = hub.region, RIGHTARG = hub.region, FUNCTION = hub.region_contained,
	COMMUTATOR = OPERATOR(pg_catalog.@>), RESTRICT = contsel, JOIN = contjoinsel
);
COMMENT ON OPERATOR pg_catalog.<@ (hub.region, hub.region) IS 'lies in: a subdivision in its country, every region in itself';
CREATE FUNCTION hub.country_of(hub.region) RETURNS hub.region
	AS 'MODULE_PATHNAME', 'hub_country_of' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.country_of(hub.region) IS 'the country that a region lies in: US for US-CA';
