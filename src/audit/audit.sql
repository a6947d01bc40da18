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
CREATE INDEX audit_event_default_subject ON hub.audit_event_default (subject, recorded_at);

CREATE TABLE hub.audit_transaction (
	xid xid8 NOT NULL,
	started_at timestamp with time zone NOT NULL,
	member_id integer,
	role name,
	login name NOT NULL,
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
CREATE INDEX audit_transaction_member ON hub.audit_transaction (member_id, started_at);

CREATE TABLE hub.audit_origin (
	origin integer NOT NULL,
	system_identifier bigint NOT NULL,
	xid_base bigint NOT NULL,
	since timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT audit_origin_pkey PRIMARY KEY (origin)
);
COMMENT ON TABLE hub.audit_origin IS 'clusters this trail was written in; the last row is the current one';
COMMENT ON COLUMN hub.audit_origin.xid_base IS 'what is added to a transaction id there, so that xid never repeats after a restore into another cluster';

ALTER TABLE hub.audit_event OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_event_default OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_transaction OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_origin OWNER TO hub_audit_owner;

SELECT pg_catalog.pg_extension_config_dump('hub.audit_event_default', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_transaction', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_origin', '');
