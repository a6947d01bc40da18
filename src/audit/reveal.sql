-- audit/reveal: the audit worker, as sessions see it

CREATE FUNCTION hub.start_audit_worker() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'hub_start_audit_worker';
COMMENT ON FUNCTION hub.start_audit_worker() IS 'has the audit worker of this database started once the transaction commits';

CREATE FUNCTION hub.audit_worker_pid() RETURNS integer
	LANGUAGE c VOLATILE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_audit_worker_pid';
COMMENT ON FUNCTION hub.audit_worker_pid() IS 'process id of the running audit worker of this database; NULL when there is none, and then nothing is revealed';

CREATE FUNCTION hub.wait_for_audit() RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'hub_wait_for_audit';
COMMENT ON FUNCTION hub.wait_for_audit() IS 'waits until every reveal and refusal before the call, by any session, is committed to hub.audit_event';

GRANT EXECUTE ON FUNCTION hub.audit_worker_pid() TO hub_compliance, hub_admin;

SELECT hub.start_audit_worker();
