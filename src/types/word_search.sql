-- types/word_search: which values hold a word

CREATE TABLE hub.word_search (
	data_class name PRIMARY KEY
);
COMMENT ON TABLE hub.word_search IS 'Data classes whose texts are searched by word; see hub.set_word_search()';
REVOKE ALL ON hub.word_search FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('hub.word_search', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.word_search
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.word_search ENABLE ALWAYS TRIGGER catalog_changed;

CREATE FUNCTION hub.set_word_search(data_class text, enabled bool) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.require_admin('set search by word');
	PERFORM hub.data_class_id(coalesce(set_word_search.data_class, ''));
	IF enabled AND pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
		RAISE EXCEPTION 'search by word needs a database in UTF8' USING ERRCODE = 'feature_not_supported';
	END IF;
	LOCK TABLE hub.word_search IN SHARE ROW EXCLUSIVE MODE;
	IF enabled AND (SELECT count(*) FROM hub.word_search) >= 64 THEN
		RAISE EXCEPTION 'too many data classes are searched by word' USING ERRCODE = 'program_limit_exceeded';
	END IF;
	IF enabled THEN
		INSERT INTO hub.word_search (data_class) VALUES (set_word_search.data_class) ON CONFLICT DO NOTHING;
	ELSE
		DELETE FROM hub.word_search w WHERE w.data_class = set_word_search.data_class;
	END IF;
END
$$;
COMMENT ON FUNCTION hub.set_word_search(text, bool) IS
'Lets texts of a data class be searched by word, or not any more. Values sealed from now on carry a keyed token for each word, which shows who reads the disk which values share a word, and how common it is; those sealed before have to be sealed anew to be found, or to lose their tokens';

CREATE FUNCTION hub.matches_support(internal) RETURNS internal
LANGUAGE c STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_matches_support';
COMMENT ON FUNCTION hub.matches_support(internal) IS 'Planner support of hub.matches(): finds an index';

-- dear enough that row policies are asked first: who is found is put on record
CREATE FUNCTION hub.matches(value hub.encrypted_text, words text) RETURNS boolean
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL RESTRICTED COST 200
SUPPORT hub.matches_support AS 'MODULE_PATHNAME', 'hub_matches';
COMMENT ON FUNCTION hub.matches(hub.encrypted_text, text) IS
'Does a text hold all these words, in any order and case? For data classes of hub.set_word_search(); needs mask clearance, and each person found is logged with a partial reveal. Served by CREATE INDEX … USING gin (column)';

CREATE FUNCTION hub.word_query(words text, data_class smallint) RETURNS bigint[]
LANGUAGE c STABLE STRICT LEAKPROOF PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_word_query';
COMMENT ON FUNCTION hub.word_query(text, smallint) IS 'What hub.matches() asks an index; NULL to whoever calls it';

CREATE FUNCTION hub.encrypted_text_holds(hub.encrypted_text, bigint[]) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_encrypted_text_holds';
COMMENT ON FUNCTION hub.encrypted_text_holds(hub.encrypted_text, bigint[]) IS 'implementation of @> operator';
CREATE OPERATOR pg_catalog.@> (
	LEFTARG = hub.encrypted_text, RIGHTARG = bigint[], FUNCTION = hub.encrypted_text_holds,
	RESTRICT = contsel, JOIN = contjoinsel
);
COMMENT ON OPERATOR pg_catalog.@> (hub.encrypted_text, bigint[]) IS 'holds all word tokens; for index conditions of hub.matches()';

CREATE FUNCTION hub.words_extract_value(hub.encrypted_text, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_words_extract_value';
COMMENT ON FUNCTION hub.words_extract_value(hub.encrypted_text, internal) IS 'GIN support';
-- as GIN wants it, what is asked for is declared as the type of the column; it is an array of tokens
CREATE FUNCTION hub.words_extract_query(hub.encrypted_text, internal, smallint, internal, internal, internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_words_extract_query';
COMMENT ON FUNCTION hub.words_extract_query(hub.encrypted_text, internal, smallint, internal, internal, internal, internal) IS 'GIN support';
CREATE FUNCTION hub.words_consistent(internal, smallint, hub.encrypted_text, int, internal, internal, internal, internal) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_words_consistent';
COMMENT ON FUNCTION hub.words_consistent(internal, smallint, hub.encrypted_text, int, internal, internal, internal, internal) IS 'GIN support';
CREATE FUNCTION hub.words_triconsistent(internal, smallint, hub.encrypted_text, int, internal, internal, internal) RETURNS "char"
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_words_triconsistent';
COMMENT ON FUNCTION hub.words_triconsistent(internal, smallint, hub.encrypted_text, int, internal, internal, internal) IS 'GIN support';

CREATE OPERATOR FAMILY hub.encrypted_text_words USING gin;
COMMENT ON OPERATOR FAMILY hub.encrypted_text_words USING gin IS 'word tokens of hub.encrypted_text';
CREATE OPERATOR CLASS hub.encrypted_text_words DEFAULT FOR TYPE hub.encrypted_text USING gin FAMILY hub.encrypted_text_words AS
	OPERATOR 1 pg_catalog.@> (hub.encrypted_text, bigint[]),
	FUNCTION 1 pg_catalog.btint8cmp(bigint, bigint),
	FUNCTION 2 hub.words_extract_value(hub.encrypted_text, internal),
	FUNCTION 3 hub.words_extract_query(hub.encrypted_text, internal, smallint, internal, internal, internal, internal),
	FUNCTION 4 hub.words_consistent(internal, smallint, hub.encrypted_text, int, internal, internal, internal, internal),
	FUNCTION 6 hub.words_triconsistent(internal, smallint, hub.encrypted_text, int, internal, internal, internal),
	STORAGE bigint;
COMMENT ON OPERATOR CLASS hub.encrypted_text_words USING gin IS 'word tokens, for hub.matches()';
