-- keyring/rotation: from one root key to the next, and the end of the old one.
--
-- A rotation opens an epoch, waits for transactions that still make keys under the one
-- before, and wraps the keys of living subjects anew in batches. Values stay as they are.

CREATE TABLE hub.key_rotation (
	epoch int PRIMARY KEY,
	phase text NOT NULL DEFAULT 'waiting' CHECK (phase IN ('waiting', 'wrapping', 'done')),
	subjects bigint NOT NULL,
	wrapped bigint NOT NULL DEFAULT 0,
	next_block bigint NOT NULL DEFAULT 0,
	started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	finished_at timestamptz
);
COMMENT ON TABLE hub.key_rotation IS 'One row per epoch that keys were wrapped anew for: how far it is';
COMMENT ON COLUMN hub.key_rotation.subjects IS 'Keys that were to be wrapped anew when it began';
COMMENT ON COLUMN hub.key_rotation.next_block IS 'Block of hub.subject_key that the next batch begins with';
REVOKE ALL ON hub.key_rotation FROM PUBLIC;

CREATE FUNCTION hub.current_epoch() RETURNS int
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'hub_current_epoch';
COMMENT ON FUNCTION hub.current_epoch() IS 'Epoch under which new keys are wrapped';

CREATE FUNCTION hub.rewrap_subject_key(subject uuid, from_epoch int, wrapped bytea, to_epoch int) RETURNS bytea
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_rewrap_subject_key';
COMMENT ON FUNCTION hub.rewrap_subject_key(uuid, int, bytea, int) IS 'The key of a data subject, wrapped under another epoch; engine only';

CREATE FUNCTION hub.wait_for_key_writers() RETURNS void
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_wait_for_key_writers';
COMMENT ON FUNCTION hub.wait_for_key_writers() IS 'Waits for transactions that may have made keys under an earlier epoch, and keeps nobody from making more; engine only';

CREATE FUNCTION hub.service_key_purposes() RETURNS SETOF text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'hub_service_key_purposes';
COMMENT ON FUNCTION hub.service_key_purposes() IS 'Purposes of hub-wide keys';

CREATE FUNCTION hub.wrap_service_key(purpose text, generation int, epoch int) RETURNS bytea
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_wrap_service_key';
COMMENT ON FUNCTION hub.wrap_service_key(text, int, int) IS 'A hub-wide key, stored or derived, wrapped under an epoch; engine only';

CREATE FUNCTION hub.new_service_key(purpose text, generation int, epoch int) RETURNS bytea
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_new_service_key';
COMMENT ON FUNCTION hub.new_service_key(text, int, int) IS 'A random key for a generation of a purpose, wrapped under an epoch; engine only';

CREATE FUNCTION hub.store_service_keys(epoch int) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
	INSERT INTO hub.service_key AS k (purpose, generation, epoch, wrapped)
	SELECT n.purpose, n.generation, $1, w.wrapped
	FROM (SELECT p AS purpose, 1 AS generation FROM hub.service_key_purposes() p
		  UNION SELECT s.purpose, s.generation FROM hub.service_key s
		  UNION SELECT 'token', e.epoch FROM hub.key_epoch e WHERE e.epoch < $1) n,
		 LATERAL (SELECT hub.wrap_service_key(n.purpose, n.generation, $1) OFFSET 0) w (wrapped)
	WHERE w.wrapped IS NOT NULL
	ON CONFLICT (purpose, generation) DO UPDATE SET epoch = excluded.epoch, wrapped = excluded.wrapped
$$;
COMMENT ON FUNCTION hub.store_service_keys(int) IS 'Wraps all hub-wide keys under an epoch, those included that authenticate tokens of the epochs before; engine only';

CREATE FUNCTION hub.new_service_key_generation(VARIADIC purposes text[]) RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	upcoming int;
BEGIN
	PERFORM pg_advisory_xact_lock('hub.key_rotation'::regclass::oid::int, 0);
	IF NOT EXISTS (SELECT FROM hub.service_key) THEN
		PERFORM hub.store_service_keys(hub.current_epoch());
	END IF;
	-- an imported keyring can have keys of generations that this database never had
	SELECT coalesce(max(s.generation), 1) + 1 INTO upcoming FROM hub.service_key s WHERE s.purpose = ANY (purposes);
	INSERT INTO hub.service_key (purpose, generation, epoch, wrapped)
	SELECT p, upcoming, hub.current_epoch(), hub.new_service_key(p, upcoming, hub.current_epoch()) FROM unnest(purposes) p;
	RETURN upcoming;
END
$$;
COMMENT ON FUNCTION hub.new_service_key_generation(text[]) IS 'Makes the next generation of some hub-wide keys and returns its number; engine only';

CREATE FUNCTION hub.keys_left(epoch int) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM hub.subject_key k WHERE k.epoch < $1 AND k.wrapped IS NOT NULL)
		OR EXISTS (SELECT FROM hub.service_key s WHERE s.epoch < $1)
		OR (NOT EXISTS (SELECT FROM hub.service_key) AND EXISTS (SELECT FROM hub.key_epoch e WHERE e.epoch < $1))
$$;
COMMENT ON FUNCTION hub.keys_left(int) IS 'Is any key of a living subject or of the hub still under an epoch before that one?';

CREATE FUNCTION hub.begin_rotation() RETURNS int
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present int := hub.current_epoch();
	target int := present;
	fingerprint bytea;
BEGIN
	-- keys of an earlier epoch, from a restore for example, come before a new epoch
	IF NOT hub.keys_left(present) THEN
		target := present + 1;
		SELECT l.fingerprint INTO fingerprint FROM hub.keyring_epochs() l WHERE l.epoch = target;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'the encryption key of epoch % is not loaded', target
				USING ERRCODE = 'CH001',
					  HINT = format('Put a new random key in place as that of epoch %s, restart the server and call again.', target);
		END IF;
		INSERT INTO hub.key_epoch (epoch, fingerprint) VALUES (target, fingerprint);
	END IF;
	PERFORM hub.store_service_keys(target);
	INSERT INTO hub.key_rotation AS r (epoch, subjects)
	SELECT target, count(*) FROM hub.subject_key k WHERE k.epoch < target AND k.wrapped IS NOT NULL
	ON CONFLICT (epoch) DO UPDATE
	SET phase = 'waiting', subjects = excluded.subjects, wrapped = 0, next_block = 0,
		started_at = clock_timestamp(), finished_at = NULL;
	PERFORM hub.record_event('config', NULL, jsonb_build_object('setting', 'key_epoch', 'epoch', target, 'step', 'opened'));
	RETURN target;
END
$$;
COMMENT ON FUNCTION hub.begin_rotation() IS 'Opens the next epoch, or takes up the present one when older keys are left, and wraps the hub-wide keys under it';

CREATE FUNCTION hub.rotation_step(batch_size int DEFAULT 1000, pause interval DEFAULT '0') RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- what a page of 8 kB holds of hub.subject_key
	keys_per_block CONSTANT int := 60;
	blocks int := greatest(1, rotation_step.batch_size / keys_per_block);
	this hub.key_rotation;
	moved bigint;
BEGIN
	IF rotation_step.batch_size < 1 OR rotation_step.pause < '0' THEN
		RAISE EXCEPTION 'the batch size must be positive, and the pause not negative' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	PERFORM hub.require_configurer();
	PERFORM hub.require_read_committed();
	IF NOT pg_try_advisory_xact_lock('hub.key_rotation'::regclass::oid::int, 0) THEN
		RAISE EXCEPTION 'another session is rotating the keys of this database'
			USING ERRCODE = 'object_in_use', HINT = 'See hub.rotation_progress.';
	END IF;
	SELECT * INTO this FROM hub.key_rotation r WHERE r.phase <> 'done' ORDER BY r.epoch DESC LIMIT 1;
	IF NOT FOUND THEN
		PERFORM hub.begin_rotation();
		RETURN 'opened';
	END IF;
	IF this.phase = 'waiting' THEN
		PERFORM hub.wait_for_key_writers();
		UPDATE hub.key_rotation r SET phase = 'wrapping' WHERE r.epoch = this.epoch;
		RETURN 'wrapping';
	END IF;

	PERFORM pg_sleep(extract(epoch FROM rotation_step.pause)::double precision);
	IF this.next_block < pg_relation_size('hub.subject_key') / current_setting('block_size')::int THEN
		-- rows that an erasure holds are passed over: neither waits for the other
		UPDATE hub.subject_key k
		SET epoch = this.epoch, wrapped = hub.rewrap_subject_key(k.subject, k.epoch, k.wrapped, this.epoch)
		WHERE k.wrapped IS NOT NULL AND k.ctid = ANY (ARRAY(
			SELECT s.ctid FROM hub.subject_key s
			WHERE s.ctid >= format('(%s,0)', this.next_block)::tid AND s.ctid < format('(%s,0)', this.next_block + blocks)::tid
				AND s.epoch < this.epoch AND s.wrapped IS NOT NULL
			FOR UPDATE SKIP LOCKED));
		GET DIAGNOSTICS moved = ROW_COUNT;
		UPDATE hub.key_rotation r SET wrapped = r.wrapped + moved, next_block = this.next_block + blocks
		WHERE r.epoch = this.epoch;
		RETURN 'wrapping';
	END IF;
	IF hub.keys_left(this.epoch) THEN
		-- passed over, or restored meanwhile
		IF EXISTS (SELECT FROM hub.service_key s WHERE s.epoch < this.epoch) THEN
			PERFORM hub.store_service_keys(this.epoch);
		END IF;
		UPDATE hub.key_rotation r SET next_block = 0 WHERE r.epoch = this.epoch;
		PERFORM pg_sleep(0.05);
		RETURN 'wrapping';
	END IF;
	UPDATE hub.key_rotation r SET phase = 'done', finished_at = clock_timestamp() WHERE r.epoch = this.epoch;
	PERFORM hub.record_event('config', NULL, jsonb_build_object('setting', 'key_epoch', 'epoch', this.epoch, 'step', 'rotated'));
	RETURN 'done';
END
$$;
COMMENT ON FUNCTION hub.rotation_step(int, interval) IS 'Does the next step of a rotation in this transaction and returns what came of it: opened, wrapping or done. For callers that cannot CALL hub.rotate_epoch()';

CREATE PROCEDURE hub.rotate_epoch(batch_size int DEFAULT 1000, pause interval DEFAULT '0')
LANGUAGE plpgsql AS $$
DECLARE
	outcome pg_catalog.text;
BEGIN
	LOOP
		outcome := hub.rotation_step(batch_size, pause);
		IF outcome OPERATOR(pg_catalog.=) 'wrapping' THEN
			-- a batch that a crash loses is done again
			PERFORM pg_catalog.set_config('synchronous_commit', 'off', true);
		END IF;
		COMMIT;
		EXIT WHEN outcome OPERATOR(pg_catalog.=) 'done';
	END LOOP;
END
$$;
COMMENT ON PROCEDURE hub.rotate_epoch(int, interval) IS 'Opens the next epoch, whose root key must be loaded, and wraps the keys of all living subjects under it, batch by batch with a pause between. Blocks nobody; commits between steps, so it cannot run inside a transaction block; goes on where it stopped when it is called again';

CREATE VIEW hub.rotation_progress AS
SELECT l.pid, r.epoch, r.phase, r.subjects AS subjects_total,
	   CASE WHEN r.phase OPERATOR(pg_catalog.=) 'done' THEN r.subjects ELSE LEAST(r.wrapped, r.subjects) END AS subjects_done,
	   CASE WHEN r.phase OPERATOR(pg_catalog.=) 'waiting' THEN
		   (SELECT pg_catalog.count(DISTINCT w.pid) FROM pg_catalog.pg_locks w
			WHERE w.relation OPERATOR(pg_catalog.=) 'hub.subject_key'::pg_catalog.regclass
				AND w.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock' AND w.granted) END AS waiting_for,
	   r.started_at, r.finished_at
FROM hub.key_rotation r
LEFT JOIN pg_catalog.pg_locks l
	ON l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.objid OPERATOR(pg_catalog.=) 0
	AND l.objsubid OPERATOR(pg_catalog.=) 2
	AND l.classid OPERATOR(pg_catalog.=) 'hub.key_rotation'::pg_catalog.regclass::pg_catalog.oid
	AND l.database OPERATOR(pg_catalog.=) (SELECT d.oid FROM pg_catalog.pg_database d
										   WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
	AND r.phase OPERATOR(pg_catalog.<>) 'done';
COMMENT ON VIEW hub.rotation_progress IS 'Rotations of epochs: which session is at work (null: nobody, call hub.rotate_epoch() again), the phase, how many subjects of how many, and while waiting, for how many transactions';
REVOKE ALL ON hub.rotation_progress FROM PUBLIC;

CREATE FUNCTION hub.retire_epoch(epoch int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	keys bigint;
BEGIN
	PERFORM hub.require_configurer();
	-- as hub.rotation_step() does: an epoch is not left and retired at a time
	PERFORM pg_advisory_xact_lock('hub.key_rotation'::regclass::oid::int, 0);
	IF NOT EXISTS (SELECT FROM hub.key_epoch e WHERE e.epoch = retire_epoch.epoch) THEN
		RAISE EXCEPTION 'this database has no epoch %', retire_epoch.epoch
			USING ERRCODE = 'undefined_object', HINT = 'See hub.keyring_status.';
	END IF;
	IF EXISTS (SELECT FROM hub.key_epoch e WHERE e.epoch = retire_epoch.epoch AND e.retired_at IS NOT NULL) THEN
		RETURN;
	END IF;
	IF retire_epoch.epoch >= hub.current_epoch() OR EXISTS (SELECT FROM hub.key_rotation r WHERE r.phase <> 'done') THEN
		RAISE EXCEPTION 'epoch % is in use', retire_epoch.epoch
			USING ERRCODE = 'CH005', HINT = 'CALL hub.rotate_epoch() to the end first.';
	END IF;
	IF EXISTS (SELECT FROM hub.key_epoch e WHERE e.epoch < retire_epoch.epoch AND e.retired_at IS NULL) THEN
		RAISE EXCEPTION 'an epoch before % is not retired yet', retire_epoch.epoch
			USING ERRCODE = 'CH005', HINT = 'Epochs are retired in order, so that a retired one vouches for all before it.';
	END IF;
	SELECT count(*) INTO keys FROM hub.subject_key k WHERE k.epoch <= retire_epoch.epoch AND k.wrapped IS NOT NULL;
	IF keys > 0 OR hub.keys_left(retire_epoch.epoch + 1) THEN
		RAISE EXCEPTION 'keys are still wrapped under epoch %', retire_epoch.epoch
			USING ERRCODE = 'CH005',
				  DETAIL = format('%s data subjects would become unreadable.', keys),
				  HINT = 'CALL hub.rotate_epoch() wraps them under the present epoch.';
	END IF;
	UPDATE hub.key_epoch e SET retired_at = clock_timestamp() WHERE e.epoch = retire_epoch.epoch;
	PERFORM hub.record_event('config', NULL, jsonb_build_object('setting', 'key_epoch', 'epoch', retire_epoch.epoch, 'step', 'retired'));
	IF EXISTS (SELECT FROM hub.keyring_epochs() l WHERE l.epoch = retire_epoch.epoch) THEN
		RAISE WARNING 'the server still has the key of epoch % in memory', retire_epoch.epoch
			USING HINT = 'Destroy every copy of it, once all databases of the server have left the epoch, and restart. Erasures count it as gone from then on.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.retire_epoch(int) IS 'Records that the root key of an epoch was destroyed, backups of it included; refused while anything is wrapped under it';

CREATE FUNCTION hub.key_memory(OUT source text, OUT locked boolean) RETURNS record
LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'hub_key_memory';
COMMENT ON FUNCTION hub.key_memory() IS 'Which setting root keys come from, and whether the kernel has locked this session''s keys into memory';

CREATE VIEW hub.keyring_status AS
SELECT epoch,
	   CASE WHEN known.epoch IS NULL THEN 'unused'
			WHEN known.retired_at IS NOT NULL THEN 'retired'
			WHEN loaded.fingerprint IS NULL THEN 'missing'
			WHEN known.fingerprint OPERATOR(pg_catalog.<>) loaded.fingerprint THEN 'wrong'
			WHEN known.epoch OPERATOR(pg_catalog.=) pg_catalog.max(known.epoch) OVER () THEN
				CASE WHEN rotation.phase OPERATOR(pg_catalog.<>) 'done' THEN 'rotating' ELSE 'current' END
			WHEN keys.subjects OPERATOR(pg_catalog.+) keys.services OPERATOR(pg_catalog.>) 0
				OR NOT EXISTS (SELECT FROM hub.service_key) THEN 'in use'
			ELSE 'retirable' END AS state,
	   known.opened_at, rotation.finished_at AS rotated_at, known.retired_at,
	   loaded.fingerprint IS NOT NULL AS loaded,
	   CASE WHEN known.fingerprint IS NOT NULL AND loaded.fingerprint IS NOT NULL
			THEN known.fingerprint OPERATOR(pg_catalog.=) loaded.fingerprint END AS matches,
	   COALESCE(known.fingerprint, loaded.fingerprint) AS fingerprint,
	   keys.subjects AS living_subjects, keys.services AS service_keys,
	   memory.source, memory.locked AS memory_locked
FROM hub.key_epoch known FULL JOIN hub.keyring_epochs() loaded USING (epoch)
LEFT JOIN hub.key_rotation rotation USING (epoch)
CROSS JOIN hub.key_memory() memory
CROSS JOIN LATERAL (
	SELECT (SELECT pg_catalog.count(*) FROM hub.subject_key k
			WHERE k.epoch OPERATOR(pg_catalog.=) known.epoch AND k.wrapped IS NOT NULL),
		   (SELECT pg_catalog.count(*) FROM hub.service_key s WHERE s.epoch OPERATOR(pg_catalog.=) known.epoch)
	) keys (subjects, services);
COMMENT ON VIEW hub.keyring_status IS 'Epochs: state (current, rotating, in use, retirable, retired, unused, missing, wrong), what the database knows and the server has loaded, how many keys each carries, and whether key memory is locked. No secrets';
REVOKE ALL ON hub.keyring_status FROM PUBLIC;

SELECT hub.open_keyring();
