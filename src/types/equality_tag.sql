-- types/equality_tag: what indexes on encrypted columns hold

CREATE TYPE hub.equality_tag;
CREATE FUNCTION hub.equality_tag_in(cstring) RETURNS hub.equality_tag
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_in';
COMMENT ON FUNCTION hub.equality_tag_in(cstring) IS 'Input: 32 hexadecimal digits';
CREATE FUNCTION hub.equality_tag_out(hub.equality_tag) RETURNS cstring
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_out';
COMMENT ON FUNCTION hub.equality_tag_out(hub.equality_tag) IS 'Output: hexadecimal without identity, a notice to members';
CREATE FUNCTION hub.equality_tag_recv(internal) RETURNS hub.equality_tag
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_recv';
COMMENT ON FUNCTION hub.equality_tag_recv(internal) IS 'Binary input: the same text as in text mode';
CREATE FUNCTION hub.equality_tag_send(hub.equality_tag) RETURNS bytea
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_send';
COMMENT ON FUNCTION hub.equality_tag_send(hub.equality_tag) IS 'Binary output: the same text as in text mode';
CREATE FUNCTION hub.equality_tag_typanalyze(internal) RETURNS boolean
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'hub_equality_tag_typanalyze';
COMMENT ON FUNCTION hub.equality_tag_typanalyze(internal) IS 'ANALYZE: number of distinct tags only, never a tag';
CREATE TYPE hub.equality_tag (
	INPUT = hub.equality_tag_in, OUTPUT = hub.equality_tag_out,
	RECEIVE = hub.equality_tag_recv, SEND = hub.equality_tag_send,
	ANALYZE = hub.equality_tag_typanalyze,
	INTERNALLENGTH = 16, ALIGNMENT = char
);
COMMENT ON TYPE hub.equality_tag IS 'Keyed hash by which sealed values are compared: CREATE INDEX ON t (hub.equality_tag(email)) serves WHERE email = …';

CREATE FUNCTION hub.equality_tag_eq(hub.equality_tag, hub.equality_tag) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_eq';
COMMENT ON FUNCTION hub.equality_tag_eq(hub.equality_tag, hub.equality_tag) IS 'implementation of = operator';
CREATE FUNCTION hub.equality_tag_ne(hub.equality_tag, hub.equality_tag) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_ne';
COMMENT ON FUNCTION hub.equality_tag_ne(hub.equality_tag, hub.equality_tag) IS 'implementation of <> operator';
CREATE FUNCTION hub.equality_tag_lt(hub.equality_tag, hub.equality_tag) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_lt';
COMMENT ON FUNCTION hub.equality_tag_lt(hub.equality_tag, hub.equality_tag) IS 'implementation of < operator';
CREATE FUNCTION hub.equality_tag_le(hub.equality_tag, hub.equality_tag) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_le';
COMMENT ON FUNCTION hub.equality_tag_le(hub.equality_tag, hub.equality_tag) IS 'implementation of <= operator';
CREATE FUNCTION hub.equality_tag_gt(hub.equality_tag, hub.equality_tag) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_gt';
COMMENT ON FUNCTION hub.equality_tag_gt(hub.equality_tag, hub.equality_tag) IS 'implementation of > operator';
CREATE FUNCTION hub.equality_tag_ge(hub.equality_tag, hub.equality_tag) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_ge';
COMMENT ON FUNCTION hub.equality_tag_ge(hub.equality_tag, hub.equality_tag) IS 'implementation of >= operator';
CREATE FUNCTION hub.equality_tag_cmp(hub.equality_tag, hub.equality_tag) RETURNS int
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_cmp';
COMMENT ON FUNCTION hub.equality_tag_cmp(hub.equality_tag, hub.equality_tag) IS 'btree support: order, without meaning';
CREATE FUNCTION hub.equality_tag_sortsupport(internal) RETURNS void
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_sortsupport';
COMMENT ON FUNCTION hub.equality_tag_sortsupport(internal) IS 'btree support: fast sorting';
CREATE FUNCTION hub.equality_tag_hash(hub.equality_tag) RETURNS int
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_hash';
COMMENT ON FUNCTION hub.equality_tag_hash(hub.equality_tag) IS 'hash support';
CREATE FUNCTION hub.equality_tag_hash_extended(hub.equality_tag, bigint) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_hash_extended';
COMMENT ON FUNCTION hub.equality_tag_hash_extended(hub.equality_tag, bigint) IS 'hash support, with a seed';

CREATE OPERATOR pg_catalog.= (
	LEFTARG = hub.equality_tag, RIGHTARG = hub.equality_tag, FUNCTION = hub.equality_tag_eq,
	COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
	RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (hub.equality_tag, hub.equality_tag) IS 'equal';

CREATE OPERATOR pg_catalog.<> (
	LEFTARG = hub.equality_tag, RIGHTARG = hub.equality_tag, FUNCTION = hub.equality_tag_ne,
	COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
	RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (hub.equality_tag, hub.equality_tag) IS 'not equal';

CREATE OPERATOR pg_catalog.< (
	LEFTARG = hub.equality_tag, RIGHTARG = hub.equality_tag, FUNCTION = hub.equality_tag_lt,
	COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=)
);
COMMENT ON OPERATOR pg_catalog.< (hub.equality_tag, hub.equality_tag) IS 'order, without meaning';

CREATE OPERATOR pg_catalog.<= (
	LEFTARG = hub.equality_tag, RIGHTARG = hub.equality_tag, FUNCTION = hub.equality_tag_le,
	COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>)
);
COMMENT ON OPERATOR pg_catalog.<= (hub.equality_tag, hub.equality_tag) IS 'order, without meaning';

CREATE OPERATOR pg_catalog.> (
	LEFTARG = hub.equality_tag, RIGHTARG = hub.equality_tag, FUNCTION = hub.equality_tag_gt,
	COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=)
);
COMMENT ON OPERATOR pg_catalog.> (hub.equality_tag, hub.equality_tag) IS 'order, without meaning';

CREATE OPERATOR pg_catalog.>= (
	LEFTARG = hub.equality_tag, RIGHTARG = hub.equality_tag, FUNCTION = hub.equality_tag_ge,
	COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<)
);
COMMENT ON OPERATOR pg_catalog.>= (hub.equality_tag, hub.equality_tag) IS 'order, without meaning';

CREATE OPERATOR FAMILY hub.equality_tag_ops USING btree;
COMMENT ON OPERATOR FAMILY hub.equality_tag_ops USING btree IS 'equality tags';
CREATE OPERATOR CLASS hub.equality_tag_ops DEFAULT FOR TYPE hub.equality_tag USING btree FAMILY hub.equality_tag_ops AS
	OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
	FUNCTION 1 hub.equality_tag_cmp(hub.equality_tag, hub.equality_tag),
	FUNCTION 2 hub.equality_tag_sortsupport(internal),
	FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS hub.equality_tag_ops USING btree IS 'equality tags';

CREATE OPERATOR FAMILY hub.equality_tag_ops USING hash;
COMMENT ON OPERATOR FAMILY hub.equality_tag_ops USING hash IS 'equality tags';
CREATE OPERATOR CLASS hub.equality_tag_ops DEFAULT FOR TYPE hub.equality_tag USING hash FAMILY hub.equality_tag_ops AS
	OPERATOR 1 pg_catalog.=,
	FUNCTION 1 hub.equality_tag_hash(hub.equality_tag),
	FUNCTION 2 hub.equality_tag_hash_extended(hub.equality_tag, bigint);
COMMENT ON OPERATOR CLASS hub.equality_tag_ops USING hash IS 'equality tags';

CREATE FUNCTION hub.equality_tag(value text, type regtype) RETURNS hub.equality_tag
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tag_of_text';
COMMENT ON FUNCTION hub.equality_tag(text, regtype) IS 'Equality tag that a text would have as a value of an encrypted type; for bad text one that no value has';

CREATE FUNCTION hub.equality_tags(value text[], type regtype) RETURNS hub.equality_tag[]
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_equality_tags_of_text';
COMMENT ON FUNCTION hub.equality_tags(text[], regtype) IS 'Equality tags that texts would have as values of an encrypted type';

CREATE FUNCTION hub.encrypted_eq_support(internal) RETURNS internal
LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_encrypted_eq_support';
COMMENT ON FUNCTION hub.encrypted_eq_support(internal) IS 'Planner support of = of the encrypted types: rewrites it to what the column is indexed by';
