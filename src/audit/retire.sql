-- audit/retire: events that need not be kept any longer, without the trail losing its proof

CREATE TABLE hub.audit_retirement (
	xid xid8 NOT NULL,
	before timestamp with time zone NOT NULL,
	CONSTRAINT audit_retirement_pkey PRIMARY KEY (xid)
);
COMMENT ON TABLE hub.audit_retirement IS 'when old events were taken out of the trail; xid is that of the event which says so';

CREATE TABLE hub.audit_retired_block (
	block_no bigint NOT NULL,
	retirement xid8 NOT NULL,
	CONSTRAINT audit_retired_block_pkey PRIMARY KEY (block_no)
);
COMMENT ON TABLE hub.audit_retired_block IS 'blocks of which only the header is left';

CREATE TABLE hub.audit_retired_event (
	xid xid8 NOT NULL,
	ordinal integer NOT NULL,
	block_no bigint NOT NULL,
	leaf bytea NOT NULL,
	tag bytea NOT NULL,
	retirement xid8 NOT NULL,
	CONSTRAINT audit_retired_event_pkey PRIMARY KEY (xid, ordinal)
);
COMMENT ON TABLE hub.audit_retired_event IS 'what is left of retired events whose block holds others that are kept: hash and tag, so that those still verify';
CREATE INDEX audit_retired_event_block ON hub.audit_retired_event (block_no);

ALTER TABLE hub.audit_retirement OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_retired_block OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_retired_event OWNER TO hub_audit_owner;
SELECT pg_catalog.pg_extension_config_dump('hub.audit_retirement', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_retired_block', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_retired_event', '');
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_retirement
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_retired_block
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_retired_event
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();

CREATE FUNCTION hub.audit_retirement_digest(retirement xid8) RETURNS jsonb
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
RETURN jsonb_build_object(
	'before', (SELECT extract(epoch FROM r.before) FROM hub.audit_retirement r WHERE r.xid = $1),
	'blocks', (SELECT count(*) FROM hub.audit_retired_block b WHERE b.retirement = $1),
	'blocks_sha256', (SELECT encode(sha256(convert_to(coalesce(string_agg(b.block_no::text, ',' ORDER BY b.block_no), ''), 'UTF8')), 'hex')
		FROM hub.audit_retired_block b WHERE b.retirement = $1),
	'events', (SELECT count(*) FROM hub.audit_retired_event e WHERE e.retirement = $1),
	'events_sha256', (SELECT encode(sha256(convert_to(coalesce(string_agg(
			concat_ws(':', e.xid, e.ordinal, e.block_no, encode(e.leaf, 'hex'), encode(e.tag, 'hex')), ','
			ORDER BY e.xid, e.ordinal), ''), 'UTF8')), 'hex')
		FROM hub.audit_retired_event e WHERE e.retirement = $1));
COMMENT ON FUNCTION hub.audit_retirement_digest(xid8) IS 'what the event of a retirement says about it, as its tables have it now';

CREATE FUNCTION hub.broken_audit_retirements() RETURNS TABLE (xid xid8, detail text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT r.xid, 'what was retired is not what its event says'
	FROM hub.audit_retirement r
	WHERE NOT EXISTS (SELECT FROM hub.audit_event e WHERE e.xid = r.xid AND e.kind = 'config'
		AND e.operation = 'RETIRE' AND e.details -> 'retired' = hub.audit_retirement_digest(r.xid))
	UNION ALL
	SELECT s.retirement, 'is no retirement, but blocks or events are marked as retired by it'
	FROM (SELECT b.retirement FROM hub.audit_retired_block b
		UNION SELECT e.retirement FROM hub.audit_retired_event e) s
	WHERE NOT EXISTS (SELECT FROM hub.audit_retirement r WHERE r.xid = s.retirement);
END;
COMMENT ON FUNCTION hub.broken_audit_retirements() IS 'retirements that the trail does not bear out; part of hub.verify_audit()';

CREATE FUNCTION hub.audit_xid() RETURNS xid8
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'hub_audit_xid';
COMMENT ON FUNCTION hub.audit_xid() IS 'the xid that events of this transaction have';

-- What the trail says of itself is kept: what was retired, and which key signs.
CREATE FUNCTION hub.audit_event_stays(operation text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(operation IN ('RETIRE', 'ROTATE'), false);
COMMENT ON FUNCTION hub.audit_event_stays(text) IS 'is an event with this operation one that is never retired?';

-- Marks what goes as retired and, unless its partition is going to be taken off,
-- removes it. What is recorded of retirements stays.
CREATE FUNCTION hub.mark_audit_retired(retirement xid8, "from" timestamptz, before timestamptz, remove boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	range record;
	block record;
	earlier record;
	kept bigint;
	doomed bigint;
	marked bigint := 0;
	replication_role text := current_setting('session_replication_role');
BEGIN
	LOCK TABLE hub.audit_block IN SHARE ROW EXCLUSIVE MODE;
	PERFORM set_config('session_replication_role', 'replica', true);
	SELECT min(e.xid) AS first, max(e.xid) AS last INTO range
	FROM hub.audit_event e WHERE e.recorded_at >= "from" AND e.recorded_at < before;
	FOR block IN
		SELECT b.* FROM hub.audit_block b JOIN hub.audit_blocks_of(range.first, range.last) c ON c = b.block_no
		WHERE NOT EXISTS (SELECT FROM hub.audit_retired_block r WHERE r.block_no = b.block_no)
		ORDER BY b.block_no
	LOOP
		SELECT b.* INTO earlier FROM hub.audit_block b WHERE b.block_no = block.block_no - 1 AND b.xid_base = block.xid_base;
		SELECT count(*) FILTER (WHERE e.recorded_at >= "from" AND e.recorded_at < before AND NOT hub.audit_event_stays(e.operation)),
			count(*) FILTER (WHERE e.recorded_at < "from" OR e.recorded_at >= before OR hub.audit_event_stays(e.operation))
		INTO doomed, kept
		FROM hub.audit_event e
		WHERE e.xid BETWEEN block.first_xid AND block.last_xid
			AND pg_visible_in_snapshot((e.xid::text::numeric - block.xid_base)::text::xid8, block.snapshot)
			AND (earlier.block_no IS NULL
				OR NOT pg_visible_in_snapshot((e.xid::text::numeric - block.xid_base)::text::xid8, earlier.snapshot));
		CONTINUE WHEN doomed = 0;
		IF kept = 0 AND NOT EXISTS (SELECT FROM hub.audit_retired_event r WHERE r.block_no = block.block_no) THEN
			INSERT INTO hub.audit_retired_block VALUES (block.block_no, retirement);
			DELETE FROM hub.audit_transaction t
			WHERE t.xid BETWEEN block.first_xid AND block.last_xid
				AND pg_visible_in_snapshot((t.xid::text::numeric - block.xid_base)::text::xid8, block.snapshot)
				AND (earlier.block_no IS NULL
					OR NOT pg_visible_in_snapshot((t.xid::text::numeric - block.xid_base)::text::xid8, earlier.snapshot));
		ELSE
			INSERT INTO hub.audit_retired_event
			SELECT e.xid, e.ordinal, block.block_no, sha256('\x00'::bytea || hub.audit_canonical(e)), e.tag, retirement
			FROM hub.audit_event e
			WHERE e.xid BETWEEN block.first_xid AND block.last_xid
				AND e.recorded_at >= "from" AND e.recorded_at < before AND NOT hub.audit_event_stays(e.operation)
				AND pg_visible_in_snapshot((e.xid::text::numeric - block.xid_base)::text::xid8, block.snapshot)
				AND (earlier.block_no IS NULL
					OR NOT pg_visible_in_snapshot((e.xid::text::numeric - block.xid_base)::text::xid8, earlier.snapshot));
		END IF;
		IF remove THEN
			DELETE FROM hub.audit_event e
			WHERE e.xid BETWEEN block.first_xid AND block.last_xid
				AND e.recorded_at >= "from" AND e.recorded_at < before AND NOT hub.audit_event_stays(e.operation)
				AND pg_visible_in_snapshot((e.xid::text::numeric - block.xid_base)::text::xid8, block.snapshot)
				AND (earlier.block_no IS NULL
					OR NOT pg_visible_in_snapshot((e.xid::text::numeric - block.xid_base)::text::xid8, earlier.snapshot));
		END IF;
		marked := marked + doomed;
	END LOOP;
	PERFORM set_config('session_replication_role', replication_role, true);
	RETURN marked;
END
$$;
COMMENT ON FUNCTION hub.mark_audit_retired(xid8, timestamptz, timestamptz, boolean) IS
'Marks sealed events of a time as retired: their blocks, or their hashes where a block also holds others. Part of hub.retire_audit() and hub.detach_audit_partition()';

CREATE FUNCTION hub.retire_audit(before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	retirement xid8;
	removed bigint;
BEGIN
	IF before > now() THEN
		RAISE EXCEPTION 'events of the future cannot be retired' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	retirement := hub.audit_xid();
	INSERT INTO hub.audit_retirement VALUES (retirement, before);
	removed := hub.mark_audit_retired(retirement, '-infinity', before, true);
	PERFORM hub.record_relation_event('config', 'hub.audit_event', 'RETIRE',
		jsonb_build_object('retired', hub.audit_retirement_digest(retirement), 'events', removed));
	RETURN removed;
END
$$;
COMMENT ON FUNCTION hub.retire_audit(timestamptz) IS
'Takes sealed events that were recorded before a point in time out of the audit trail. Headers stay, and hashes where a block also holds younger events, so everything that is left still verifies. Returns how many events went';

CREATE FUNCTION hub.audit_partition_lines(partition regclass) RETURNS TABLE (line bigint, content text)
LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'hub_audit_partition_lines';
COMMENT ON FUNCTION hub.audit_partition_lines(regclass) IS 'Lines of an export; part of hub.export_audit()';

CREATE FUNCTION hub.export_audit(partition regclass) RETURNS TABLE (line bigint, content text)
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.begin_audit_read('export_audit');
	RETURN QUERY SELECT l.line, l.content FROM hub.audit_partition_lines(partition) l;
END
$$;
COMMENT ON FUNCTION hub.export_audit(regclass) IS
'A partition of the audit trail with what proves it, line by line: events, transactions, block headers, and a signed checkpoint. Verifies without the database; docs/compliance.md has the format';
GRANT EXECUTE ON FUNCTION hub.export_audit(regclass) TO hub_compliance;

CREATE FUNCTION hub.take_off_audit_partition(partition regclass) RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_take_off_audit_partition';
COMMENT ON FUNCTION hub.take_off_audit_partition(regclass) IS 'Step of hub.detach_audit_partition(); engine only';

-- Bounds are read as text, so in a form that is read back as what it was.
CREATE FUNCTION hub.detach_audit_partition(partition regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
	bounds text[];
	retirement xid8;
	marked bigint;
	present bigint;
	replication_role text := current_setting('session_replication_role');
BEGIN
	SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') INTO bounds
	FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
	WHERE c.oid = partition AND i.inhparent = 'hub.audit_event'::regclass;
	IF bounds IS NULL OR bounds[2]::timestamptz > clock_timestamp() THEN
		RAISE EXCEPTION 'table "%" is not a past month of the audit trail', partition
			USING ERRCODE = 'wrong_object_type', HINT = 'hub.retire_audit() takes events out of hub.audit_event_default.';
	END IF;

	retirement := hub.audit_xid();
	INSERT INTO hub.audit_retirement VALUES (retirement, bounds[2]::timestamptz);
	marked := hub.mark_audit_retired(retirement, bounds[1]::timestamptz, bounds[2]::timestamptz, false);
	EXECUTE format('SELECT count(*) FROM %s e WHERE NOT hub.audit_event_stays(e.operation)', partition) INTO present;
	IF present <> marked THEN
		RAISE EXCEPTION '% events of "%" are not sealed yet', present - marked, partition
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'CALL hub.seal_audit() first, and see that hub.verify_audit() finds nothing.';
	END IF;
	PERFORM hub.take_off_audit_partition(partition);

	-- what the trail says of itself stays; without a partition its place is the default one
	PERFORM set_config('session_replication_role', 'replica', true);
	EXECUTE format('INSERT INTO hub.audit_event SELECT e.* FROM %s e WHERE hub.audit_event_stays(e.operation)', partition);
	PERFORM set_config('session_replication_role', replication_role, true);
	PERFORM hub.record_relation_event('config', 'hub.audit_event', 'RETIRE',
		jsonb_build_object('retired', hub.audit_retirement_digest(retirement), 'events', marked, 'partition', partition::text));
	RETURN marked;
END
$$;
COMMENT ON FUNCTION hub.detach_audit_partition(regclass) IS
'Takes a past month off the audit trail as a table of its own, which can then be dropped: export it with hub.export_audit() before. All its events must be sealed; headers stay, and hashes where a block also holds events of other months, so the rest still verifies; that it went is an event. Returns how many events went';
