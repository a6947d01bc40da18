-- types/phone: E.164 numbers
--
-- The operators stand in pg_catalog, as the built-in types' do: they work with
-- any search_path, and no schema that a user can write to comes before them.

CREATE TYPE hub.phone;
CREATE FUNCTION hub.phone_in(cstring) RETURNS hub.phone
	AS 'MODULE_PATHNAME', 'hub_phone_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_in(cstring) IS 'I/O';
CREATE FUNCTION hub.phone_out(hub.phone) RETURNS cstring
	AS 'MODULE_PATHNAME', 'hub_phone_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_out(hub.phone) IS 'I/O';
CREATE FUNCTION hub.phone_recv(internal) RETURNS hub.phone
	AS 'MODULE_PATHNAME', 'hub_phone_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_recv(internal) IS 'I/O';
CREATE FUNCTION hub.phone_send(hub.phone) RETURNS bytea
	AS 'MODULE_PATHNAME', 'hub_phone_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_send(hub.phone) IS 'I/O';
CREATE TYPE hub.phone (
	INPUT = hub.phone_in, OUTPUT = hub.phone_out, RECEIVE = hub.phone_recv, SEND = hub.phone_send,
	INTERNALLENGTH = 8, PASSEDBYVALUE, ALIGNMENT = double, STORAGE = plain
);
COMMENT ON TYPE hub.phone IS 'phone number in international form (E.164): + and a known calling code, with the length that code allows; separators are accepted and dropped';

CREATE FUNCTION hub.phone_eq(hub.phone, hub.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_phone_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_eq(hub.phone, hub.phone) IS 'implementation of = operator';
CREATE FUNCTION hub.phone_ne(hub.phone, hub.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_phone_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_ne(hub.phone, hub.phone) IS 'implementation of <> operator';
CREATE FUNCTION hub.phone_lt(hub.phone, hub.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_phone_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_lt(hub.phone, hub.phone) IS 'implementation of < operator';
CREATE FUNCTION hub.phone_le(hub.phone, hub.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_phone_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_le(hub.phone, hub.phone) IS 'implementation of <= operator';
CREATE FUNCTION hub.phone_gt(hub.phone, hub.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_phone_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_gt(hub.phone, hub.phone) IS 'implementation of > operator';
CREATE FUNCTION hub.phone_ge(hub.phone, hub.phone) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_phone_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_ge(hub.phone, hub.phone) IS 'implementation of >= operator';
CREATE FUNCTION hub.phone_cmp(hub.phone, hub.phone) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_phone_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_cmp(hub.phone, hub.phone) IS 'less-equal-greater, for btree';
CREATE FUNCTION hub.phone_hash(hub.phone) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_phone_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_hash(hub.phone) IS 'hash';
CREATE FUNCTION hub.phone_hash_extended(hub.phone, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hub_phone_hash_extended' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.phone_hash_extended(hub.phone, bigint) IS 'hash with a seed';

CREATE OPERATOR pg_catalog.= (
	LEFTARG = hub.phone, RIGHTARG = hub.phone, FUNCTION = hub.phone_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (hub.phone, hub.phone) IS 'same number: equal';
CREATE OPERATOR pg_catalog.<> (
	LEFTARG = hub.phone, RIGHTARG = hub.phone, FUNCTION = hub.phone_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (hub.phone, hub.phone) IS 'same number: not equal';
CREATE OPERATOR pg_catalog.< (
	LEFTARG = hub.phone, RIGHTARG = hub.phone, FUNCTION = hub.phone_lt,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR pg_catalog.< (hub.phone, hub.phone) IS 'sorts before';
CREATE OPERATOR pg_catalog.<= (
	LEFTARG = hub.phone, RIGHTARG = hub.phone, FUNCTION = hub.phone_le,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR pg_catalog.<= (hub.phone, hub.phone) IS 'sorts before or equals';
CREATE OPERATOR pg_catalog.> (
	LEFTARG = hub.phone, RIGHTARG = hub.phone, FUNCTION = hub.phone_gt,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR pg_catalog.> (hub.phone, hub.phone) IS 'sorts after';
CREATE OPERATOR pg_catalog.>= (
	LEFTARG = hub.phone, RIGHTARG = hub.phone, FUNCTION = hub.phone_ge,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR pg_catalog.>= (hub.phone, hub.phone) IS 'sorts after or equals';

CREATE OPERATOR CLASS hub.phone_ops DEFAULT FOR TYPE hub.phone USING btree AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 hub.phone_cmp(hub.phone, hub.phone),
	FUNCTION 2 pg_catalog.btint8sortsupport(internal),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS hub.phone_ops USING btree IS 'order of phone numbers';
COMMENT ON OPERATOR FAMILY hub.phone_ops USING btree IS 'order of phone numbers';
CREATE OPERATOR CLASS hub.phone_ops DEFAULT FOR TYPE hub.phone USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 hub.phone_hash(hub.phone),
	FUNCTION 2 hub.phone_hash_extended(hub.phone, bigint);
COMMENT ON OPERATOR CLASS hub.phone_ops USING hash IS 'equality of phone numbers';
COMMENT ON OPERATOR FAMILY hub.phone_ops USING hash IS 'equality of phone numbers';

CREATE CAST (text AS hub.phone) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (text AS hub.phone) IS 'checks like input; never implicit, or a comparison would choose text''s rules';
CREATE CAST (varchar AS hub.phone) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (varchar AS hub.phone) IS 'checks like input; never implicit, or a comparison would choose text''s rules';
CREATE CAST (hub.phone AS text) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (hub.phone AS text) IS 'as printed';
CREATE CAST (hub.phone AS varchar) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (hub.phone AS varchar) IS 'as printed';

CREATE FUNCTION hub.calling_code(hub.phone) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_calling_code' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.calling_code(hub.phone) IS 'ITU calling code of a number, such as 49';
CREATE FUNCTION hub.regions_of(hub.phone) RETURNS hub.region[]
	AS 'MODULE_PATHNAME', 'hub_regions_of' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.regions_of(hub.phone) IS 'every territory that shares the number''s calling code; a number does not tell which, and a world-wide service has none';
