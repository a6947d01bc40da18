-- audit/audit: tables of the audit trail, and what keeps them as they are

DO LANGUAGE plpgsql $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'hub_audit_owner') THEN
		CREATE ROLE hub_audit_owner NOLOGIN NOINHERIT;
		COMMENT ON ROLE hub_audit_owner IS 'customer_hub: owns the audit trail; nobody is a member of it';
	END IF;
END
$$;

CREATE TYPE hub.audit_kind AS ENUM (
	'row', 'reveal', 'denied', 'export', 'approval', 'erasure', 'consent', 'hold',
	'config', 'ddl', 'authentication', 'break_glass'
);
COMMENT ON TYPE hub.audit_kind IS 'what an audit event is about';

-- Partitions have indexes of their own rather than parts of a partitioned one:
-- pg_dump restores monthly partitions as ordinary tables under a parent that
-- CREATE EXTENSION made, and could not attach their indexes to the parent's.
--
-- Events come in the order of (xid, ordinal) and time, but for subjects and members in
-- none: a btree over them would cost as much as all else that recording takes. Who
-- asks for those finds them by postings, which are made later (posting.sql).
CREATE TABLE hub.audit_event (
	xid xid8 NOT NULL,
	ordinal integer NOT NULL,
	recorded_at timestamp with time zone NOT NULL,
	kind hub.audit_kind NOT NULL,
	relation text,
	operation text,
	subject uuid,
	row_key jsonb,
	changed jsonb,
	sealed bytea,
	details jsonb,
	tag bytea NOT NULL
) PARTITION BY RANGE (recorded_at);
COMMENT ON TABLE hub.audit_event IS 'audit trail: one row per event, partitioned by time; never updated or deleted';
COMMENT ON COLUMN hub.audit_event.xid IS 'transaction of the event, with ordinal its place in the order of events';
COMMENT ON COLUMN hub.audit_event.ordinal IS 'number of the event within its transaction, from 1';
COMMENT ON COLUMN hub.audit_event.relation IS 'qualified name of the governed relation of a row event; partitions appear as their root';
COMMENT ON COLUMN hub.audit_event.operation IS 'INSERT, UPDATE, DELETE or BASELINE of a row event; the command of a ddl event';
COMMENT ON COLUMN hub.audit_event.subject IS 'data subject the event is about';
COMMENT ON COLUMN hub.audit_event.row_key IS 'primary key columns of type uuid or integer, before the change';
COMMENT ON COLUMN hub.audit_event.changed IS 'names of the changed columns, and old and new values of public ones';
COMMENT ON COLUMN hub.audit_event.sealed IS 'old and new values of all other changed columns, sealed under the key of the data subject';
COMMENT ON COLUMN hub.audit_event.tag IS 'keyed SipHash-2-4-128 over the canonical bytes of the event';
ALTER TABLE hub.audit_event
	ALTER COLUMN sealed SET STORAGE EXTERNAL,
	ALTER COLUMN tag SET STORAGE PLAIN;

CREATE TABLE hub.audit_event_default PARTITION OF hub.audit_event DEFAULT;
COMMENT ON TABLE hub.audit_event_default IS 'events of months that have no partition of their own, such as the month of installation';
CREATE INDEX audit_event_default_order ON hub.audit_event_default (xid, ordinal);
CREATE INDEX audit_event_default_recorded_at ON hub.audit_event_default USING brin (recorded_at) WITH (pages_per_range = 64, autosummarize = on);

CREATE TABLE hub.audit_transaction (
	xid xid8 NOT NULL,
	started_at timestamp with time zone NOT NULL,
	member_id integer,
	role text,
	login text NOT NULL,
	purpose text,
	client_addr inet,
	application text,
	token_id bytea,
	event_count integer NOT NULL,
	digest bytea NOT NULL,
	CONSTRAINT audit_transaction_pkey PRIMARY KEY (xid)
);
COMMENT ON TABLE hub.audit_transaction IS 'audit trail: one row per transaction that recorded events, written as it commits';
COMMENT ON COLUMN hub.audit_transaction.member_id IS 'member at work; NULL when there was no hub identity';
COMMENT ON COLUMN hub.audit_transaction.login IS 'session user';
COMMENT ON COLUMN hub.audit_transaction.token_id IS 'hash of the id of the token that gave the identity';
COMMENT ON COLUMN hub.audit_transaction.digest IS 'keyed running hash over the tags of the events in order: d(n) = SipHash-2-4-128(0x02 || d(n-1) || tag(n)), d(0) is 16 zero bytes';

CREATE TABLE hub.audit_origin (
	origin integer NOT NULL,
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	xid_base bigint NOT NULL,
	since timestamp with time zone NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE hub.audit_origin IS
'databases this trail was written in; a dump that is restored continues as a new one, and the highest is the current one. Without a key: transactions that come first at the same time each leave an equal row, rather than wait for one another';
COMMENT ON COLUMN hub.audit_origin.xid_base IS 'what is added to a transaction id there, so that xid never repeats after a restore: 2^40 for each origin before this one';

ALTER TABLE hub.audit_event OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_event_default OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_transaction OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_origin OWNER TO hub_audit_owner;

SELECT pg_catalog.pg_extension_config_dump('hub.audit_event_default', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_transaction', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_origin', '');

-- Rows of the trail are only ever added. Statement triggers also see an UPDATE
-- that finds no row; each partition has its own.
CREATE FUNCTION hub.refuse_audit_change() RETURNS pg_catalog.trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION '% of table "%" of the audit trail is refused', TG_OP, TG_TABLE_NAME
		USING ERRCODE = 'CH402', HINT = 'The audit trail is only ever added to.';
END
$$;
COMMENT ON FUNCTION hub.refuse_audit_change() IS 'Trigger of the tables of the audit trail: refuses UPDATE, DELETE and TRUNCATE';

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_event
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_event_default
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_transaction
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_origin
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();

-- What BRIN takes for summarized in an empty table is all of its first range: each
-- row that comes there would have the summary written anew.
CREATE FUNCTION hub.begin_audit_indexes(relation regclass) RETURNS void
LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT brin_desummarize_range(i.indexrelid, 0)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
	WHERE i.indrelid = $1 AND a.amname = 'brin'
$$;
COMMENT ON FUNCTION hub.begin_audit_indexes(regclass) IS
'Leaves the first rows of a new table of the audit trail to be summarized when there are enough; part of hub.ensure_audit_partitions()';
SELECT hub.begin_audit_indexes('hub.audit_event_default');

CREATE FUNCTION hub.ensure_audit_partitions(months_ahead integer DEFAULT 2) RETURNS integer
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	month timestamp;
	partition name;
	made integer := 0;
BEGIN
	-- a database without events may be one that a dump is being loaded into,
	-- which brings its partitions along
	IF NOT EXISTS (SELECT FROM hub.audit_origin) THEN
		RETURN 0;
	END IF;
	FOR month IN
		SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => m)
		FROM generate_series(0, months_ahead) m
	LOOP
		partition := 'audit_event_' || to_char(month, 'YYYY_MM');
		-- the month of installation stays in the default partition
		CONTINUE WHEN to_regclass(format('hub.%I', partition)) IS NOT NULL
			OR EXISTS (SELECT FROM hub.audit_event_default e
				WHERE e.recorded_at >= month AT TIME ZONE 'UTC'
					AND e.recorded_at < (month + interval '1 month') AT TIME ZONE 'UTC');
		EXECUTE format('CREATE TABLE hub.%I PARTITION OF hub.audit_event FOR VALUES FROM (%L) TO (%L)',
			partition, to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
			to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
		EXECUTE format('CREATE INDEX %I ON hub.%I (xid, ordinal)', partition || '_order', partition);
		EXECUTE format('CREATE INDEX %I ON hub.%I USING brin (recorded_at) WITH (pages_per_range = 64, autosummarize = on)', partition || '_recorded_at', partition);
		EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.%I
			FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change()', partition);
		EXECUTE format('COMMENT ON TABLE hub.%I IS %L', partition,
			'events of ' || to_char(month, 'FMMonth YYYY') || ' (UTC)');
		EXECUTE format('ALTER TABLE hub.%I OWNER TO hub_audit_owner', partition);
		PERFORM hub.begin_audit_indexes(format('hub.%I', partition)::regclass);
		made := made + 1;
	END LOOP;
	RETURN made;
END
$$;
COMMENT ON FUNCTION hub.ensure_audit_partitions(integer) IS
'Makes the monthly partitions of the audit trail for this month and those ahead; returns how many were missing. The audit worker calls it.';

CREATE FUNCTION hub.audit_canonical(event hub.audit_event) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_audit_canonical';
COMMENT ON FUNCTION hub.audit_canonical(hub.audit_event) IS
'Canonical bytes of an event, which its tag and its place in the Merkle log go by; the layout is in src/audit/event.h';

CREATE FUNCTION hub.record_event(kind hub.audit_kind, subject uuid, details jsonb) RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_record_event';
COMMENT ON FUNCTION hub.record_event(hub.audit_kind, uuid, jsonb) IS
'Adds an event to the audit trail within the transaction. details is stored readable: callers put no protected value into it';

CREATE FUNCTION hub.record_surviving_event(kind hub.audit_kind, details jsonb) RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_record_surviving_event';
COMMENT ON FUNCTION hub.record_surviving_event(hub.audit_kind, jsonb) IS
'Adds an event to the audit trail that a rollback does not take back, and returns once it is committed';

CREATE FUNCTION hub.record_relation_event(kind hub.audit_kind, relation regclass, operation text, details jsonb) RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_record_relation_event';
COMMENT ON FUNCTION hub.record_relation_event(hub.audit_kind, regclass, text, jsonb) IS
'Adds an event about a relation to the audit trail within the transaction';

CREATE FUNCTION hub.audit_row() RETURNS pg_catalog.trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hub_audit_row';
COMMENT ON FUNCTION hub.audit_row() IS 'Trigger of governed relations: records the changed columns of a row, those that are not public sealed';

CREATE FUNCTION hub.audit_config() RETURNS pg_catalog.trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hub_audit_config';
COMMENT ON FUNCTION hub.audit_config() IS
'Trigger of the hub''s own tables: records who changed the configuration. Arguments name columns whose values are left out';

-- Rows that are there before the trail begins are counted, not copied: the first
-- UPDATE or DELETE of each records what it replaces.
CREATE FUNCTION hub.audit_baseline(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	rows bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM %s', relation) INTO rows;
	PERFORM hub.record_relation_event('row', relation, 'BASELINE', jsonb_build_object('rows', rows));
END
$$;
COMMENT ON FUNCTION hub.audit_baseline(regclass) IS 'Records how many rows a relation has as its audit begins; part of hub.install_audit()';

CREATE FUNCTION hub.install_audit(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'hub_audit') THEN
		EXECUTE format('CREATE TRIGGER hub_audit AFTER INSERT OR UPDATE OR DELETE ON %s
			FOR EACH ROW EXECUTE FUNCTION hub.audit_row()', relation);
		PERFORM hub.audit_baseline(relation);
	END IF;
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER hub_audit', relation);
END
$$;
COMMENT ON FUNCTION hub.install_audit(regclass) IS 'Has the changes of a relation and of its partitions recorded; part of hub.govern()';

CREATE FUNCTION hub.audit_configuration(relation regclass, VARIADIC left_out name[] DEFAULT '{}') RETURNS void
LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('CREATE TRIGGER hub_audit_config AFTER INSERT OR UPDATE OR DELETE ON %s
		FOR EACH ROW EXECUTE FUNCTION hub.audit_config(%s)', relation,
		(SELECT string_agg(quote_literal(l), ', ') FROM unnest(left_out) l));
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER hub_audit_config', relation);
END
$$;
COMMENT ON FUNCTION hub.audit_configuration(regclass, name[]) IS
'Has changes of a table recorded as changes of the configuration, whoever makes them; values of the columns that are left out are not recorded, only that they changed or are there. Functions that set the configuration leave the recording to it: one event for each change, with the key, the old values and the new';

-- Lower rooms' tables whose contents are configuration. Upper rooms do so with theirs.
SELECT hub.audit_configuration(t::regclass)
FROM unnest(ARRAY['hub.data_class_custom', 'hub.word_search', 'hub.hub_role_custom', 'hub.member', 'hub.clearance', 'hub.break_glass_clearance',
	'hub.purpose_own', 'hub.region_group_own', 'hub.token_issuer', 'hub.governed', 'hub.classification', 'hub.approval_policy',
	'hub.export_ceiling']) t;
