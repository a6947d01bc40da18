-- keyring/export: today's keys beside yesterday's backup.
--
-- A backup holds the keys of everybody who was erased since. The exported keyring has
-- who is alive, with wrapped keys, and who is not, without. Imported into a restored
-- backup it brings back everyone else.

CREATE FUNCTION hub.keyring_mac(part jsonb, epoch int) RETURNS bytea
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'hub_keyring_mac';
COMMENT ON FUNCTION hub.keyring_mac(jsonb, int) IS 'MAC of a part of an exported keyring, without its member "mac", under the root key of an epoch; engine only';

CREATE FUNCTION hub.same_subject_key(subject uuid, epoch int, wrapped bytea, other_epoch int, other_wrapped bytea) RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'hub_same_subject_key';
COMMENT ON FUNCTION hub.same_subject_key(uuid, int, bytea, int, bytea) IS 'Are two wrapped keys of a data subject the same key? NULL when either was altered, or the root key of its epoch is not loaded; engine only';

CREATE FUNCTION hub.keep_present_key() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'hub_keep_present_key';
COMMENT ON FUNCTION hub.keep_present_key() IS 'Trigger: a key that is here already counts more than what a dump brings';
CREATE TRIGGER keep_present_key BEFORE INSERT ON hub.subject_key FOR EACH ROW EXECUTE FUNCTION hub.keep_present_key();
CREATE TRIGGER keep_present_key BEFORE INSERT ON hub.service_key FOR EACH ROW EXECUTE FUNCTION hub.keep_present_key();

-- The first part has the epochs and hub-wide keys, each has some subjects:
-- [subject, epoch, wrapped key or null, created_at, destroyed_at or null].
CREATE FUNCTION hub.export_keyring(part_size int DEFAULT 1000) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
DECLARE
	present int := hub.current_epoch();
	frame jsonb := jsonb_build_object('type', 'customer_hub/keyring/v1', 'export', gen_random_uuid(),
		'exported_at', clock_timestamp(), 'epoch', present,
		'parts', greatest(1, ceil((SELECT count(*) FROM hub.subject_key) / greatest(part_size, 1)::numeric)::int));
	body jsonb;
	subjects jsonb;
	number int := 0;
	place uuid;
BEGIN
	IF part_size < 1 THEN
		RAISE EXCEPTION 'the size of a part must be positive' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	LOOP
		number := number + 1;
		SELECT jsonb_agg(jsonb_build_array(k.subject, k.epoch, encode(k.wrapped, 'base64'), k.created_at, k.destroyed_at) ORDER BY k.subject),
			   (array_agg(k.subject ORDER BY k.subject DESC))[1]
		INTO subjects, place
		FROM (SELECT * FROM hub.subject_key s WHERE place IS NULL OR s.subject > place ORDER BY s.subject LIMIT part_size) k;
		EXIT WHEN subjects IS NULL AND number > 1;
		body := frame || jsonb_build_object('part', number, 'subjects', coalesce(subjects, '[]'));
		IF number = 1 THEN
			body := body || jsonb_build_object(
				'epochs', (SELECT coalesce(jsonb_agg(jsonb_build_array(e.epoch, encode(e.fingerprint, 'hex'), e.opened_at, e.retired_at)
												ORDER BY e.epoch), '[]') FROM hub.key_epoch e),
				'services', (SELECT jsonb_agg(jsonb_build_array(n.purpose, n.generation, present,
												encode(hub.wrap_service_key(n.purpose, n.generation, present), 'base64')))
							 FROM (SELECT p AS purpose, 1 AS generation FROM hub.service_key_purposes() p
								   UNION SELECT s.purpose, s.generation FROM hub.service_key s
								   UNION SELECT 'token', e.epoch FROM hub.key_epoch e WHERE e.epoch < present) n
							 WHERE hub.wrap_service_key(n.purpose, n.generation, present) IS NOT NULL));
		END IF;
		RETURN NEXT body || jsonb_build_object('mac', encode(hub.keyring_mac(body, present), 'hex'));
		EXIT WHEN subjects IS NULL;
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.export_keyring(int) IS 'All keys as they are wrapped, and who is erased, in parts with a MAC each: to be kept apart from the backups, as every one opens what its date says. For superusers; read back by hub.import_keyring()';

CREATE FUNCTION hub.check_keyring_parts(source regclass) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	part_column name := (SELECT a.attname FROM pg_attribute a
						 WHERE a.attrelid = source AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'jsonb'::regtype
						 ORDER BY a.attnum LIMIT 1);
	this jsonb;
	first_part jsonb;
	parts int := 0;
BEGIN
	IF part_column IS NULL THEN
		RAISE EXCEPTION 'relation "%" has no column of type jsonb', source USING ERRCODE = 'undefined_column',
			HINT = 'COPY what hub.export_keyring() returned into CREATE TEMP TABLE keyring (part jsonb).';
	END IF;
	CREATE TEMP TABLE hub_keyring_import (
		subject uuid PRIMARY KEY, epoch int NOT NULL, wrapped bytea, created_at timestamptz, destroyed_at timestamptz)
	ON COMMIT DROP;
	FOR this IN EXECUTE format('SELECT t.%I FROM %s t ORDER BY (t.%1$I->>''part'')::int', part_column, source) LOOP
		parts := parts + 1;
		first_part := coalesce(first_part, this);
		IF this->>'type' IS DISTINCT FROM 'customer_hub/keyring/v1' OR (this->>'part')::int IS DISTINCT FROM parts
			OR (this->'export', this->'parts', this->'epoch') IS DISTINCT FROM (first_part->'export', first_part->'parts', first_part->'epoch')
		THEN
			RAISE EXCEPTION 'this is not a whole exported keyring' USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Give all parts that one call of hub.export_keyring() returned, each once.';
		END IF;
		-- not IS DISTINCT FROM: without epoch and MAC, both sides are NULL
		IF (hub.keyring_mac(this, (this->>'epoch')::int) = decode(this->>'mac', 'hex')) IS NOT TRUE THEN
			RAISE EXCEPTION 'the exported keyring was altered, or is of another hub' USING ERRCODE = 'CH003',
				HINT = 'Import what hub.export_keyring() returned, unchanged, under the same root keys.';
		END IF;
		INSERT INTO pg_temp.hub_keyring_import
		SELECT (s->>0)::uuid, (s->>1)::int, decode(s->>2, 'base64'), (s->>3)::timestamptz, (s->>4)::timestamptz
		FROM jsonb_array_elements(this->'subjects') s;
	END LOOP;
	IF parts IS DISTINCT FROM (first_part->>'parts')::int THEN
		RAISE EXCEPTION 'this is not a whole exported keyring' USING ERRCODE = 'invalid_parameter_value',
			DETAIL = format('%s parts of %s are there.', parts, coalesce(first_part->>'parts', '?')),
			HINT = 'Give all parts that one call of hub.export_keyring() returned, each once.';
	END IF;
	RETURN first_part;
END
$$;
COMMENT ON FUNCTION hub.check_keyring_parts(regclass) IS 'First step of hub.import_keyring(): checks every part and lays its subjects out in a temporary table';

CREATE FUNCTION hub.import_keyring(source regclass, OUT living bigint, OUT erased bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	head jsonb := hub.check_keyring_parts(source);
	strange bigint;
	is_new boolean;
BEGIN
	PERFORM hub.require_read_committed();
	-- nobody makes keys meanwhile, nor rotates them
	PERFORM pg_advisory_xact_lock('hub.key_rotation'::regclass::oid::int, 0);
	LOCK TABLE hub.subject_key, hub.service_key, hub.key_epoch IN SHARE ROW EXCLUSIVE MODE;

	SELECT count(*) INTO strange
	FROM hub.subject_key k JOIN pg_temp.hub_keyring_import i USING (subject)
	WHERE k.wrapped IS NOT NULL AND i.wrapped IS NOT NULL
		AND NOT hub.same_subject_key(k.subject, k.epoch, k.wrapped, i.epoch, i.wrapped);
	IF strange > 0 OR (EXISTS (SELECT FROM hub.subject_key)
		AND NOT EXISTS (SELECT FROM hub.key_epoch e JOIN jsonb_array_elements(head->'epochs') h
						ON e.epoch = (h->>0)::int AND encode(e.fingerprint, 'hex') = h->>1)) THEN
		RAISE EXCEPTION 'the exported keyring is of another hub' USING ERRCODE = 'CH002',
			DETAIL = format('%s data subjects have other keys here, with which their values are sealed.', strange),
			HINT = 'Import it into a backup of its own hub, or into a new database before anything is stored there.';
	END IF;

	-- a new database has an epoch and nothing under it
	is_new := NOT EXISTS (SELECT FROM hub.subject_key);
	IF is_new THEN
		DELETE FROM hub.key_epoch;
		DELETE FROM hub.service_key;
	END IF;
	INSERT INTO hub.key_epoch (epoch, fingerprint, opened_at, retired_at)
	SELECT (h->>0)::int, decode(h->>1, 'hex'), (h->>2)::timestamptz, (h->>3)::timestamptz
	FROM jsonb_array_elements(head->'epochs') h;
	UPDATE hub.key_epoch e SET retired_at = (h->>3)::timestamptz
	FROM jsonb_array_elements(head->'epochs') h WHERE e.epoch = (h->>0)::int AND e.retired_at IS NULL AND h->>3 IS NOT NULL;
	INSERT INTO hub.service_key AS s (purpose, generation, epoch, wrapped)
	SELECT h->>0, (h->>1)::int, (h->>2)::int, decode(h->>3, 'base64') FROM jsonb_array_elements(head->'services') h
	ON CONFLICT (purpose, generation) DO UPDATE SET epoch = excluded.epoch, wrapped = excluded.wrapped
		WHERE excluded.epoch >= s.epoch;

	-- who is erased here or there stays so
	SELECT count(*) INTO erased
	FROM (SELECT hub.destroy_subject_key(i.subject) AS destroyed FROM pg_temp.hub_keyring_import i WHERE i.wrapped IS NULL) d
	WHERE d.destroyed;
	INSERT INTO hub.subject_key AS k (subject, epoch, wrapped, created_at)
	SELECT i.subject, i.epoch, i.wrapped, i.created_at FROM pg_temp.hub_keyring_import i WHERE i.wrapped IS NOT NULL
	ON CONFLICT (subject) DO UPDATE SET epoch = excluded.epoch, wrapped = excluded.wrapped
		WHERE k.wrapped IS NOT NULL
			-- what a later epoch protects stays there, if it opens
			AND (excluded.epoch >= k.epoch
				OR hub.same_subject_key(k.subject, k.epoch, k.wrapped, excluded.epoch, excluded.wrapped) IS NULL);
	SELECT count(*) INTO living
	FROM pg_temp.hub_keyring_import i JOIN hub.subject_key k USING (subject)
	WHERE i.wrapped IS NOT NULL AND k.wrapped IS NOT NULL;
	-- the trail of a new database is that of the dump, which is still to come
	IF NOT is_new THEN
		PERFORM hub.record_event('config', NULL, jsonb_build_object('setting', 'keyring', 'step', 'imported',
			'exported_at', head->'exported_at', 'living', living, 'erased', erased));
	END IF;
	DROP TABLE pg_temp.hub_keyring_import;
END
$$;
COMMENT ON FUNCTION hub.import_keyring(regclass) IS 'Reads an exported keyring from a table with a jsonb column into a restored backup of the same hub, or into a new database before a dump is restored: who is erased stays erased, all others open. Superusers only';
