-- privacy/residue: what is left of erased rows outside the tables, and when it is gone:
-- dead tuples and statistics, WAL, backups.

CREATE FUNCTION hub.erased_leaves(plan pg_catalog.int8) RETURNS SETOF pg_catalog.regclass
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(x.relid, i.relation)
	FROM hub.erasure_plan_item i
	JOIN pg_class c ON c.oid = i.relation
	LEFT JOIN LATERAL pg_partition_tree(i.relation) x ON true
	WHERE i.plan = $1 AND i.cleared_rows > 0 AND coalesce(x.isleaf, true)
	UNION ALL
	SELECT 'hub.subject_key'::regclass
$$;
COMMENT ON FUNCTION hub.erased_leaves IS 'Tables in which an erasure left dead tuples: leaves of what it cleared, and the table of wrapped keys';

CREATE FUNCTION hub.unvacuumed_leaves(plan pg_catalog.int8) RETURNS SETOF pg_catalog.regclass
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l FROM hub.erased_leaves($1) l, hub.erasure_plan p
	WHERE p.plan = $1 AND NOT (
		greatest(pg_stat_get_last_vacuum_time(l), pg_stat_get_last_autovacuum_time(l)) > p.settled_at IS TRUE
		AND greatest(pg_stat_get_last_analyze_time(l), pg_stat_get_last_autoanalyze_time(l)) > p.settled_at IS TRUE)
$$;
COMMENT ON FUNCTION hub.unvacuumed_leaves IS 'Tables of an erasure that were not both vacuumed and analyzed since it settled';

CREATE FUNCTION hub.is_settled(plan pg_catalog.int8) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_snapshot_xmin(pg_current_snapshot()) > p.cleared_xid
		AND NOT EXISTS (SELECT FROM pg_stat_activity a
						WHERE a.pid <> pg_backend_pid() AND age(a.backend_xmin) >= age(p.cleared_xid::xid)
							AND coalesce(a.datname = current_database(), true))
		AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE age(s.xmin) >= age(p.cleared_xid::xid))
		-- so that any vacuum that ends later has begun later
		AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.relid IN (SELECT hub.erased_leaves($1)))
	FROM hub.erasure_plan p WHERE p.plan = $1
$$;
COMMENT ON FUNCTION hub.is_settled IS 'Has every transaction ended that could see or write a row of the person, here or on a standby with feedback?';

CREATE FUNCTION hub.set_backup_retention(keep pg_catalog.interval) RETURNS pg_catalog.void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM hub.require_configurer();
	IF set_backup_retention.keep < '0' THEN
		RAISE EXCEPTION 'backups cannot be kept for a negative time' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	DELETE FROM hub.backup_retention;
	IF set_backup_retention.keep IS NOT NULL THEN
		INSERT INTO hub.backup_retention (keep) VALUES (set_backup_retention.keep);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.set_backup_retention IS 'Say how long backups, archived WAL and detached replicas are kept; null: unknown, then each erasure waits for hub.confirm_backups_expired()';

CREATE FUNCTION hub.confirm_backups_expired(plan pg_catalog.int8, evidence pg_catalog.text) RETURNS pg_catalog.void
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM hub.require_configurer();
	IF coalesce(btrim(confirm_backups_expired.evidence), '') = '' THEN
		RAISE EXCEPTION 'evidence must be given' USING ERRCODE = 'null_value_not_allowed',
			HINT = 'Name the record that shows that no backup from before the vacuum is left.';
	END IF;
	UPDATE hub.erasure_plan p SET backups_expired_at = clock_timestamp()
	WHERE p.plan = confirm_backups_expired.plan AND p.vacuumed_at IS NOT NULL AND p.backups_expired_at IS NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'plan % does not wait for backups to expire', confirm_backups_expired.plan
			USING ERRCODE = 'CH502', HINT = 'Backups can be confirmed once the erasure is vacuumed; see hub.erasure_plan.';
	END IF;
	PERFORM hub.record_event('erasure', NULL, jsonb_build_object(
		'plan', confirm_backups_expired.plan, 'step', 'backups expired', 'evidence', confirm_backups_expired.evidence));
END
$$;
COMMENT ON FUNCTION hub.confirm_backups_expired IS 'State that no backup from before the erasure''s vacuum is left; the evidence goes to the audit';

-- A person's key was wrapped under the epoch in which it was destroyed and those before,
-- which are retired in order.
CREATE FUNCTION hub.epochs_are_gone(plan pg_catalog.int8) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(bool_and(e.retired_at IS NOT NULL AND NOT EXISTS (SELECT FROM hub.keyring_epochs() l WHERE l.epoch = e.epoch)), false)
	FROM hub.erasure_plan_subject s
	JOIN hub.subject_key k ON k.subject = s.subject AND k.wrapped IS NULL
	JOIN hub.key_epoch e ON e.epoch <= k.epoch
	WHERE s.plan = $1
$$;
COMMENT ON FUNCTION hub.epochs_are_gone IS 'Are all epochs retired, and their root keys not loaded any more, under which the keys of an erased person were wrapped?';

CREATE FUNCTION hub.erasure_maintenance()
	RETURNS TABLE (plan pg_catalog.int8, command pg_catalog.text, reason pg_catalog.text)
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT p.plan, 'CALL hub.advance_erasures()',
		   'transactions that can still see the rows, or a vacuum that began before, have to end'
	FROM hub.erasure_plan p WHERE p.status = 'erased' AND p.settled_at IS NULL
	UNION ALL
	SELECT p.plan, format('VACUUM (ANALYZE) %s', l), 'dead tuples and statistics'
	FROM hub.erasure_plan p, hub.unvacuumed_leaves(p.plan) l
	WHERE p.status = 'erased' AND p.settled_at IS NOT NULL AND p.vacuumed_at IS NULL
	UNION ALL
	SELECT p.plan, 'CHECKPOINT', 'WAL from before the vacuum is recycled by checkpoints, and overwritten as WAL goes on'
	FROM hub.erasure_plan p WHERE p.status = 'erased' AND p.vacuumed_at IS NOT NULL AND p.wal_recycled_at IS NULL
	UNION ALL
	SELECT p.plan, format('SELECT hub.confirm_backups_expired(%s, %L)', p.plan, 'evidence'),
		   'the retention of backups is unknown; or call hub.set_backup_retention()'
	FROM hub.erasure_plan p
	WHERE p.status = 'erased' AND p.vacuumed_at IS NOT NULL AND p.backups_expired_at IS NULL
		AND p.epoch_retired_at IS NULL AND NOT EXISTS (SELECT FROM hub.backup_retention)
	ORDER BY 1, 2
$$;
COMMENT ON FUNCTION hub.erasure_maintenance() IS 'Commands that bring erasures nearer to completion; VACUUM cannot run inside them, so a DBA or a job runs these, then CALL hub.advance_erasures()';

-- WAL segments are compared without their timeline.
CREATE PROCEDURE hub.advance_erasures()
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	this hub.erasure_plan;
	segments text[];
BEGIN
	PERFORM hub.require_configurer();
	FOR this IN SELECT * FROM hub.erasure_plan p WHERE p.status = 'erased' ORDER BY p.plan FOR UPDATE LOOP
		IF this.settled_at IS NULL AND hub.is_settled(this.plan) THEN
			-- rows of transactions that were under way when the key went
			IF hub.reopen_items(this.plan) THEN
				UPDATE hub.erasure_plan p SET status = 'running', cleared_at = NULL, cleared_xid = NULL WHERE p.plan = this.plan;
				RAISE WARNING 'plan % has rows to clear again', this.plan
					USING ERRCODE = 'CH502', HINT = 'CALL hub.run_erasure() to clear them.';
				CONTINUE;
			END IF;
			this.settled_at := clock_timestamp();
			UPDATE hub.erasure_plan p SET settled_at = this.settled_at WHERE p.plan = this.plan;
		END IF;
		IF this.settled_at IS NOT NULL AND this.vacuumed_at IS NULL
			AND NOT EXISTS (SELECT FROM hub.unvacuumed_leaves(this.plan)) THEN
			this.vacuumed_at := clock_timestamp();
			this.wal_lsn := pg_current_wal_insert_lsn();
		END IF;
		IF this.vacuumed_at IS NOT NULL AND this.wal_recycled_at IS NULL THEN
			segments := ARRAY(SELECT substr(f.name, 9) FROM pg_ls_waldir() f WHERE f.name ~ '^[0-9A-F]{24}$');
			IF this.wal_ceiling IS NULL
				AND NOT EXISTS (SELECT FROM unnest(segments) s WHERE s <= substr(pg_walfile_name(this.wal_lsn), 9))
				AND NOT EXISTS (SELECT FROM pg_stat_replication r WHERE r.replay_lsn < this.wal_lsn IS NOT FALSE) THEN
				this.wal_ceiling := (SELECT max(s) FROM unnest(segments) s);
			END IF;
			IF substr(pg_walfile_name(pg_current_wal_insert_lsn()), 9) > this.wal_ceiling THEN
				this.wal_recycled_at := clock_timestamp();
			END IF;
		END IF;
		IF this.vacuumed_at IS NOT NULL AND this.backups_expired_at IS NULL
			AND clock_timestamp() >= this.vacuumed_at + (SELECT b.keep FROM hub.backup_retention b) THEN
			this.backups_expired_at := clock_timestamp();
		END IF;
		IF this.vacuumed_at IS NOT NULL AND this.epoch_retired_at IS NULL AND hub.epochs_are_gone(this.plan) THEN
			this.epoch_retired_at := clock_timestamp();
		END IF;
		IF this.wal_recycled_at IS NOT NULL AND (this.backups_expired_at IS NOT NULL OR this.epoch_retired_at IS NOT NULL)
			AND NOT EXISTS (SELECT FROM hub.uncleared_items(this.plan))
			AND NOT EXISTS (SELECT FROM hub.erasure_plan_item i
							WHERE i.plan = this.plan AND i.status NOT IN ('cleared', 'retained')) THEN
			this.status := 'complete';
			this.completed_at := clock_timestamp();
			DELETE FROM hub.erasure_plan_subject s WHERE s.plan = this.plan;
			PERFORM hub.record_event('erasure', NULL, jsonb_build_object('plan', this.plan, 'step', 'complete'));
		END IF;
		UPDATE hub.erasure_plan p
		SET status = this.status, vacuumed_at = this.vacuumed_at, wal_lsn = this.wal_lsn, wal_ceiling = this.wal_ceiling,
			wal_recycled_at = this.wal_recycled_at, backups_expired_at = this.backups_expired_at,
			epoch_retired_at = this.epoch_retired_at, completed_at = this.completed_at
		WHERE p.plan = this.plan;
	END LOOP;
	-- those whose steps were all one transaction are not noted yet
	LOCK TABLE hub.erasure_ledger IN SHARE UPDATE EXCLUSIVE MODE;
	PERFORM hub.note_erasures();
END
$$;
COMMENT ON PROCEDURE hub.advance_erasures() IS 'Note for each erasure what is gone by now: dead tuples, WAL, and backups or the root keys that open what they hold; complete when all of it is';

GRANT EXECUTE ON FUNCTION hub.set_backup_retention, hub.confirm_backups_expired, hub.erasure_maintenance() TO hub_compliance, hub_admin;
GRANT EXECUTE ON PROCEDURE hub.advance_erasures() TO hub_compliance, hub_admin;
