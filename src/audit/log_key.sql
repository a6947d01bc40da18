-- audit/log_key: the keys that checkpoints are signed with, one after the other
--
-- Keys lie in hub.service_key, by generation. The key changes with the block that holds
-- the event of the change: its checkpoint names both keys, and both sign it.

CREATE TABLE hub.audit_key (
	generation integer NOT NULL CHECK (generation > 1),
	xid xid8 NOT NULL,
	CONSTRAINT audit_key_pkey PRIMARY KEY (generation)
);
COMMENT ON TABLE hub.audit_key IS 'keys that checkpoints are signed with, after the first one; xid is that of the event which says so, and the block that holds it is where the key changes';
ALTER TABLE hub.audit_key OWNER TO hub_audit_owner;
SELECT pg_catalog.pg_extension_config_dump('hub.audit_key', '');
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_key
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();

CREATE FUNCTION hub.audit_key_name(generation integer) RETURNS text
	LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_key_name';
COMMENT ON FUNCTION hub.audit_key_name(integer) IS 'public key of a generation in the form of c2sp.org/signed-note; NULL before the first block';

CREATE FUNCTION hub.audit_public_key() RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_public_key';
COMMENT ON FUNCTION hub.audit_public_key() IS 'key that the last checkpoint verifies with, in the form of c2sp.org/signed-note; NULL before the first block';

CREATE FUNCTION hub.audit_keys(
	OUT generation integer, OUT public_key text, OUT first_size bigint, OUT changeover text)
	RETURNS SETOF record
	LANGUAGE c STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_keys';
COMMENT ON FUNCTION hub.audit_keys() IS
'keys that checkpoints verify with: each from the checkpoint of first_size blocks on, which is changeover, names the key before as well, and is signed by both. Null where a change is not sealed yet';

CREATE FUNCTION hub.rotate_audit_key() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present record;
	upcoming int;
	new_key text;
BEGIN
	PERFORM hub.require_configurer();
	PERFORM hub.require_read_committed();
	-- holds off other rotations until this one is committed
	upcoming := hub.new_service_key_generation('checkpoint');
	SELECT * INTO present FROM hub.audit_keys() k ORDER BY k.generation DESC LIMIT 1;
	IF present.first_size IS NULL THEN
		RAISE EXCEPTION 'the audit trail has not been sealed since its key was made'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'CALL hub.seal_audit() first.';
	END IF;
	INSERT INTO hub.audit_key VALUES (upcoming, hub.audit_xid());
	new_key := hub.audit_key_name(upcoming);
	PERFORM hub.record_relation_event('config', 'hub.audit_key', 'ROTATE',
		jsonb_build_object('setting', 'audit_key', 'generation', upcoming, 'old_key', present.public_key, 'new_key', new_key));
	RETURN new_key;
END
$$;
COMMENT ON FUNCTION hub.rotate_audit_key() IS
'Makes a new key for checkpoints of the audit trail and returns its public part. The next block is the changeover: its checkpoint names the old key and the new one, and both sign it; what the old one signed goes on verifying. See hub.audit_keys()';

CREATE FUNCTION hub.broken_audit_keys() RETURNS TABLE (xid xid8, detail text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT k.xid, 'no event says that the key of the log changes here, or to this key'
	FROM hub.audit_key k
	WHERE NOT EXISTS (SELECT FROM hub.audit_event e WHERE e.xid = k.xid AND e.kind = 'config'
		AND e.operation = 'ROTATE' AND e.details ->> 'new_key' = hub.audit_key_name(k.generation));
END;
COMMENT ON FUNCTION hub.broken_audit_keys() IS 'changes of the key of the log that the trail does not bear out; part of hub.verify_audit()';

GRANT EXECUTE ON FUNCTION hub.audit_public_key(), hub.audit_keys() TO hub_compliance, hub_admin;
GRANT EXECUTE ON FUNCTION hub.rotate_audit_key() TO hub_admin;
