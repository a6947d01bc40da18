-- Epochs and the wrapped keys of data subjects. No key is ever readable here:
-- what the tables hold is sealed under root keys that live outside the database.

CREATE TABLE hub.key_epoch (
	epoch int PRIMARY KEY CHECK (epoch >= 1),
	fingerprint bytea NOT NULL CHECK (pg_catalog.octet_length(fingerprint) = 16),
	opened_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	retired_at timestamptz
);
COMMENT ON TABLE hub.key_epoch IS 'One row per root key that this database has used, told apart by fingerprint';
COMMENT ON COLUMN hub.key_epoch.fingerprint IS 'Derived from the root key; a loaded key with another fingerprint is refused';
COMMENT ON COLUMN hub.key_epoch.retired_at IS 'When the root key was destroyed outside the database';
REVOKE ALL ON hub.key_epoch FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('hub.key_epoch', '');

CREATE TABLE hub.subject_key (
	subject uuid PRIMARY KEY,
	epoch int NOT NULL,
	wrapped bytea,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	destroyed_at timestamptz,
	CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL))
);
COMMENT ON TABLE hub.subject_key IS 'One wrapped key per data subject; without it nothing sealed for the subject can be read';
COMMENT ON COLUMN hub.subject_key.wrapped IS 'XChaCha20-Poly1305 under the key of the epoch; NULL once destroyed';
REVOKE ALL ON hub.subject_key FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('hub.subject_key', '');

CREATE TABLE hub.service_key (
	purpose text COLLATE "C" NOT NULL,
	generation int NOT NULL CHECK (generation >= 1),
	epoch int NOT NULL,
	wrapped bytea NOT NULL,
	PRIMARY KEY (purpose, generation)
);
COMMENT ON TABLE hub.service_key IS 'Hub-wide keys, wrapped; empty before the first rotation, as long as they come from the root key of the first epoch';
COMMENT ON COLUMN hub.service_key.generation IS 'Of keys for equality tags and of "checkpoint": their generation; of "token": the epoch whose tokens it authenticates; 1 for all others';
COMMENT ON COLUMN hub.service_key.wrapped IS 'XChaCha20-Poly1305 under the key of the epoch';
REVOKE ALL ON hub.service_key FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('hub.service_key', '');

CREATE FUNCTION hub.accept_key_epoch() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	known bytea;
BEGIN
	SELECT k.fingerprint INTO known FROM hub.key_epoch k WHERE k.epoch = NEW.epoch;
	IF NOT FOUND THEN
		RETURN NEW;
	ELSIF known = NEW.fingerprint THEN
		RETURN NULL;
	END IF;
	RAISE EXCEPTION 'epoch % of this database has another root key', NEW.epoch
		USING ERRCODE = 'CH002',
			  HINT = 'Restore into a server whose key directory holds the keys of the source.';
END
$$;
COMMENT ON FUNCTION hub.accept_key_epoch() IS 'Trigger: lets a restore find its epoch registered already, and refuses another root key';

CREATE TRIGGER accept_key_epoch BEFORE INSERT ON hub.key_epoch
	FOR EACH ROW EXECUTE FUNCTION hub.accept_key_epoch();

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.key_epoch
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.service_key
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();

CREATE FUNCTION hub.open_keyring() RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_open_keyring';
COMMENT ON FUNCTION hub.open_keyring() IS 'Registers the first epoch when a root key is loaded; false when none is';

CREATE FUNCTION hub.destroy_subject_key(subject uuid) RETURNS boolean
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_destroy_subject_key';
COMMENT ON FUNCTION hub.destroy_subject_key(uuid) IS 'Destroys a data subject''s key for good; part of hub.run_erasure, not to be called by itself';

CREATE FUNCTION hub.subject_state(subject uuid) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'hub_subject_state';
COMMENT ON FUNCTION hub.subject_state(uuid) IS 'State of a data subject''s key: unknown, alive or erased';

CREATE FUNCTION hub.keyring_epochs(OUT epoch int, OUT fingerprint bytea) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_keyring_epochs';
COMMENT ON FUNCTION hub.keyring_epochs() IS 'Root keys that the server has loaded, by epoch';

