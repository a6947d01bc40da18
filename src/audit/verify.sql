-- audit/verify: verification in pieces

CREATE TABLE hub.audit_verification_run (
	verification bigint NOT NULL,
	record bytea NOT NULL,
	mac bytea NOT NULL,
	CONSTRAINT audit_verification_run_pkey PRIMARY KEY (verification)
);
COMMENT ON TABLE hub.audit_verification_run IS
'how far each verification of the audit trail has come; read it as hub.audit_verification. Not dumped: a restored trail is verified anew';
COMMENT ON COLUMN hub.audit_verification_run.mac IS 'over record, under a key of the keyring: whoever changes the record makes it worthless';

CREATE TABLE hub.audit_verification_break (
	verification bigint NOT NULL,
	break_no bigint NOT NULL,
	found_at timestamp with time zone NOT NULL,
	kind text NOT NULL,
	block_no bigint,
	xid xid8,
	ordinal integer,
	detail text NOT NULL,
	CONSTRAINT audit_verification_break_pkey PRIMARY KEY (verification, break_no)
);
COMMENT ON TABLE hub.audit_verification_break IS
'what verifications in pieces have found, as hub.verify_audit() names it; of each verification the first 10000. The record of the verification vouches for its rows: when they are changed its state is ''changed''';

ALTER TABLE hub.audit_verification_run OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_verification_break OWNER TO hub_audit_owner;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_verification_break
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();

CREATE FUNCTION hub.verify_audit_step(batch_size integer, workers integer, from_start boolean) RETURNS boolean
	LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_verify_audit_step';
COMMENT ON FUNCTION hub.verify_audit_step(integer, integer, boolean) IS 'verifies the next piece of the audit trail in this transaction; false when that was the last. Part of hub.continue_audit_verification()';

CREATE PROCEDURE hub.continue_audit_verification(
	batch_size pg_catalog.int4 DEFAULT 400000, time_budget pg_catalog.interval DEFAULT '5 minutes',
	workers pg_catalog.int4 DEFAULT pg_catalog.current_setting('max_parallel_workers_per_gather')::pg_catalog.int4,
	from_start pg_catalog.bool DEFAULT false)
	LANGUAGE plpgsql
AS $$
DECLARE
	started_at CONSTANT pg_catalog.timestamptz := pg_catalog.clock_timestamp();
BEGIN
	WHILE hub.verify_audit_step(batch_size, workers, from_start) LOOP
		COMMIT;
		from_start := false;
		EXIT WHEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>=) (started_at OPERATOR(pg_catalog.+) time_budget);
	END LOOP;
	COMMIT;
END
$$;
COMMENT ON PROCEDURE hub.continue_audit_verification IS
'verifies the audit trail as hub.verify_audit() does, with parallel workers, a batch of events for each of them per transaction, until all is checked or the time is up; the next call, after a cancel, crash or restart too, goes on where this one was. After the end, or with from_start, it begins with the first block again. What it found is in hub.audit_verification and hub.audit_verification_break';

CREATE FUNCTION hub.audit_verifications(
	OUT verification bigint, OUT state text, OUT started_at timestamptz, OUT last_at timestamptz, OUT finished_at timestamptz,
	OUT blocks bigint, OUT events bigint, OUT breaks bigint, OUT events_per_second bigint, OUT root_hash text)
	RETURNS SETOF record
	LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_verifications';
COMMENT ON FUNCTION hub.audit_verifications() IS 'what hub.audit_verification shows';

CREATE VIEW hub.audit_verification AS SELECT * FROM hub.audit_verifications();
COMMENT ON VIEW hub.audit_verification IS
'verifications of the audit trail by hub.continue_audit_verification(), and how far each has come';
COMMENT ON COLUMN hub.audit_verification.state IS 'running; complete; or changed: what is stored of it was changed or is of another database, and says nothing';
COMMENT ON COLUMN hub.audit_verification.blocks IS 'size of the log up to where it was checked';
COMMENT ON COLUMN hub.audit_verification.root_hash IS 'root of the log of that size, as the checkpoint of that size has it';
COMMENT ON COLUMN hub.audit_verification.events_per_second IS 'while it was at work';
REVOKE ALL ON hub.audit_verification, hub.audit_verification_break FROM PUBLIC;
GRANT SELECT ON hub.audit_verification, hub.audit_verification_break TO hub_compliance, hub_admin;
GRANT EXECUTE ON FUNCTION hub.audit_verifications(), hub.verify_audit_step(integer, integer, boolean) TO hub_compliance, hub_admin;
GRANT EXECUTE ON PROCEDURE hub.continue_audit_verification TO hub_compliance, hub_admin;
