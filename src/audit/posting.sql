-- audit/posting: where the events about somebody are. Made by the audit worker of
-- what is sealed, and of nothing else; so neither dumped nor part of any proof.

CREATE TABLE hub.audit_posting (
	bucket integer NOT NULL,
	chunk bigint NOT NULL,
	entries bytea NOT NULL,
	CONSTRAINT audit_posting_pkey PRIMARY KEY (bucket, chunk)
) WITH (toast_tuple_target = 8160);
ALTER TABLE hub.audit_posting ALTER COLUMN entries SET STORAGE EXTERNAL;
COMMENT ON TABLE hub.audit_posting IS 'inverted index of the audit trail: positions of events by hash of subject, member, login, kind and row, in src/audit/posting.h';
COMMENT ON COLUMN hub.audit_posting.entries IS 'positions in order of hash, and a keyed tag';

CREATE TABLE hub.audit_posting_chunk (
	chunk bigint NOT NULL,
	from_block bigint NOT NULL,
	from_xid bigint NOT NULL,
	from_ordinal bigint NOT NULL,
	from_done bigint NOT NULL,
	to_block bigint NOT NULL,
	to_xid bigint NOT NULL,
	to_ordinal bigint NOT NULL,
	to_done bigint NOT NULL,
	first_at timestamp with time zone NOT NULL,
	last_at timestamp with time zone NOT NULL,
	tag bytea NOT NULL,
	CONSTRAINT audit_posting_chunk_pkey PRIMARY KEY (chunk)
);
COMMENT ON TABLE hub.audit_posting_chunk IS 'which events the postings of a chunk are of: in order of sealing, after one position up to another';
COMMENT ON COLUMN hub.audit_posting_chunk.from_block IS 'first block that is not in the chunks before, or not all of it';
COMMENT ON COLUMN hub.audit_posting_chunk.from_xid IS 'last event of that block which is, 0 when none is';
COMMENT ON COLUMN hub.audit_posting_chunk.from_done IS 'how many of its events are';
COMMENT ON COLUMN hub.audit_posting_chunk.first_at IS 'first and last time at which its events were recorded';
COMMENT ON COLUMN hub.audit_posting_chunk.tag IS 'keyed tag over the other columns';

CREATE FUNCTION hub.audit_find(terms text[], keys text[], "from" timestamptz, "to" timestamptz,
	OUT xid xid8, OUT ordinal integer, OUT first_at timestamptz, OUT last_at timestamptz) RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 200 AS 'MODULE_PATHNAME', 'hub_audit_find';
COMMENT ON FUNCTION hub.audit_find(text[], text[], timestamptz, timestamptz) IS
'Where events may be that have one of the keys as subject, member (but for reveals), member_reveal, login_reveal or kind, and between which times they were recorded; part of the compliance functions';

CREATE FUNCTION hub.audit_find_row(relation text, row_key jsonb,
	OUT xid xid8, OUT ordinal integer, OUT first_at timestamptz, OUT last_at timestamptz) RETURNS SETOF record
	LANGUAGE c STABLE STRICT ROWS 200 AS 'MODULE_PATHNAME', 'hub_audit_find_row';
COMMENT ON FUNCTION hub.audit_find_row(text, jsonb) IS 'Where events about a row may be; part of hub.field_history()';

CREATE FUNCTION hub.rebuild_audit_postings() RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	TRUNCATE hub.audit_posting, hub.audit_posting_chunk
$$;
COMMENT ON FUNCTION hub.rebuild_audit_postings() IS
'Has the audit worker index the trail anew, as after a refusal to answer from an index that was changed. Questions are answered meanwhile, but read the trail';
