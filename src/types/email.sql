-- types/email: RFC 5321 addresses
--
-- The operators stand in pg_catalog, as the built-in types' do: they work with
-- any search_path, and no schema that a user can write to comes before them.

CREATE TYPE hub.email;
CREATE FUNCTION hub.email_in(cstring) RETURNS hub.email
	AS 'MODULE_PATHNAME', 'hub_email_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_in(cstring) IS 'I/O';
CREATE FUNCTION hub.email_out(hub.email) RETURNS cstring
	AS 'MODULE_PATHNAME', 'hub_email_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_out(hub.email) IS 'I/O';
CREATE FUNCTION hub.email_recv(internal) RETURNS hub.email
	AS 'MODULE_PATHNAME', 'hub_email_recv' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_recv(internal) IS 'I/O';
CREATE FUNCTION hub.email_send(hub.email) RETURNS bytea
	AS 'MODULE_PATHNAME', 'hub_email_send' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_send(hub.email) IS 'I/O';
CREATE TYPE hub.email (
	INPUT = hub.email_in, OUTPUT = hub.email_out, RECEIVE = hub.email_recv, SEND = hub.email_send,
	INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = extended
);
COMMENT ON TYPE hub.email IS 'e-mail address (RFC 5321, in UTF-8 RFC 6531): domain stored in lower case, compared case-insensitively as a whole; dots and +tags are kept';

CREATE FUNCTION hub.email_eq(hub.email, hub.email) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_email_eq' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_eq(hub.email, hub.email) IS 'implementation of = operator';
CREATE FUNCTION hub.email_ne(hub.email, hub.email) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_email_ne' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_ne(hub.email, hub.email) IS 'implementation of <> operator';
CREATE FUNCTION hub.email_lt(hub.email, hub.email) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_email_lt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_lt(hub.email, hub.email) IS 'implementation of < operator';
CREATE FUNCTION hub.email_le(hub.email, hub.email) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_email_le' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_le(hub.email, hub.email) IS 'implementation of <= operator';
CREATE FUNCTION hub.email_gt(hub.email, hub.email) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_email_gt' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_gt(hub.email, hub.email) IS 'implementation of > operator';
CREATE FUNCTION hub.email_ge(hub.email, hub.email) RETURNS boolean
	AS 'MODULE_PATHNAME', 'hub_email_ge' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_ge(hub.email, hub.email) IS 'implementation of >= operator';
CREATE FUNCTION hub.email_cmp(hub.email, hub.email) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_email_cmp' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_cmp(hub.email, hub.email) IS 'less-equal-greater, for btree';
CREATE FUNCTION hub.email_hash(hub.email) RETURNS integer
	AS 'MODULE_PATHNAME', 'hub_email_hash' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_hash(hub.email) IS 'hash';
CREATE FUNCTION hub.email_hash_extended(hub.email, bigint) RETURNS bigint
	AS 'MODULE_PATHNAME', 'hub_email_hash_extended' LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE;
COMMENT ON FUNCTION hub.email_hash_extended(hub.email, bigint) IS 'hash with a seed';

CREATE OPERATOR pg_catalog.= (
	LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = hub.email_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (hub.email, hub.email) IS 'but for case: equal';
CREATE OPERATOR pg_catalog.<> (
	LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = hub.email_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (hub.email, hub.email) IS 'but for case: not equal';
CREATE OPERATOR pg_catalog.< (
	LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = hub.email_lt,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
	RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR pg_catalog.< (hub.email, hub.email) IS 'sorts before';
CREATE OPERATOR pg_catalog.<= (
	LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = hub.email_le,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
	RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR pg_catalog.<= (hub.email, hub.email) IS 'sorts before or equals';
CREATE OPERATOR pg_catalog.> (
	LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = hub.email_gt,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
	RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR pg_catalog.> (hub.email, hub.email) IS 'sorts after';
CREATE OPERATOR pg_catalog.>= (
	LEFTARG = hub.email, RIGHTARG = hub.email, FUNCTION = hub.email_ge,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
	RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR pg_catalog.>= (hub.email, hub.email) IS 'sorts after or equals';

CREATE OPERATOR CLASS hub.email_ops DEFAULT FOR TYPE hub.email USING btree AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=,
	OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 hub.email_cmp(hub.email, hub.email);
COMMENT ON OPERATOR CLASS hub.email_ops USING btree IS 'order of e-mail addresses, whatever their case';
COMMENT ON OPERATOR FAMILY hub.email_ops USING btree IS 'order of e-mail addresses, whatever their case';
CREATE OPERATOR CLASS hub.email_ops DEFAULT FOR TYPE hub.email USING hash AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 hub.email_hash(hub.email),
	FUNCTION 2 hub.email_hash_extended(hub.email, bigint);
COMMENT ON OPERATOR CLASS hub.email_ops USING hash IS 'equality of e-mail addresses, whatever their case';
COMMENT ON OPERATOR FAMILY hub.email_ops USING hash IS 'equality of e-mail addresses, whatever their case';

CREATE CAST (text AS hub.email) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (text AS hub.email) IS 'checks like input; never implicit, or a comparison would choose text''s rules';
CREATE CAST (varchar AS hub.email) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (varchar AS hub.email) IS 'checks like input; never implicit, or a comparison would choose text''s rules';
CREATE CAST (hub.email AS text) WITHOUT FUNCTION AS ASSIGNMENT;
COMMENT ON CAST (hub.email AS text) IS 'as printed';
CREATE CAST (hub.email AS varchar) WITHOUT FUNCTION AS ASSIGNMENT;
COMMENT ON CAST (hub.email AS varchar) IS 'as printed';
