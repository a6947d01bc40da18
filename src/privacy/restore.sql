-- privacy/restore: a restored backup brings back whom it knew; the ledger erases them again.

CREATE FUNCTION hub.note_erasures(force pg_catalog.bool DEFAULT false) RETURNS pg_catalog.void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'hub_note_erasures';
COMMENT ON FUNCTION hub.note_erasures IS 'Keep the number of erasures beside the root keys, so that a restored backup is found to have forgotten some; engine only';

CREATE FUNCTION hub.waive_replay(reason pg_catalog.text) RETURNS pg_catalog.void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF coalesce(btrim(reason), '') = '' THEN
		RAISE EXCEPTION 'a reason must be given' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM hub.record_event('erasure', NULL, jsonb_build_object('step', 'replay waived', 'reason', reason));
	PERFORM hub.note_erasures(true);
END
$$;
COMMENT ON FUNCTION hub.waive_replay IS 'Let a restored database serve although its ledger is shorter than the one before: for superusers who have lost that ledger, or whose copy has to differ. Audited';

CREATE FUNCTION hub.export_erasure_ledger() RETURNS pg_catalog.jsonb
	LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT hub.sealed_statement('customer_hub/erasure-ledger/v1', jsonb_build_object(
		'exported_at', hub.utc(clock_timestamp()),
		'erased', coalesce((
			SELECT jsonb_agg(jsonb_build_object('subject', l.pseudonym, 'erased_at', hub.utc(l.erased_at), 'plan', l.plan)
							 ORDER BY l.erased_at, l.pseudonym) FROM hub.erasure_ledger l), '[]'),
		'suppressed', coalesce((
			SELECT jsonb_agg(jsonb_build_object('hash', encode(s.hash, 'hex'), 'erased_at', hub.utc(s.erased_at))
							 ORDER BY s.erased_at, s.hash) FROM hub.suppression s), '[]')))
$$;
COMMENT ON FUNCTION hub.export_erasure_ledger() IS 'All erasures by keyed pseudonym, signed; keep it apart from the backups and replay it after restoring one';

CREATE FUNCTION hub.known_subjects() RETURNS SETOF pg_catalog.uuid
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	source record;
BEGIN
	RETURN QUERY SELECT k.subject FROM hub.subject_key k;
	FOR source IN
		SELECT g.relation, format(CASE WHEN a.atttypid = 'uuid'::regtype THEN 't.%I' ELSE 'hub.subject_of(t.%I)' END,
								  g.subject_column) AS subject
		FROM hub.governed g JOIN pg_attribute a ON a.attrelid = g.relation AND a.attname = g.subject_column
	LOOP
		RETURN QUERY EXECUTE format('SELECT DISTINCT %s FROM %s t', source.subject, source.relation);
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.known_subjects() IS 'Every subject that has a key or a row, some more than once';

-- Enter the ledger, destroy the keys it names, and leave a running plan for the
-- rows of each of its plans. Holds do not stop this: the erasure has happened.
CREATE FUNCTION hub.replay_keys(ledger pg_catalog.jsonb) RETURNS SETOF pg_catalog.int8
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	past record;
	new_plan bigint;
BEGIN
	IF NOT coalesce(hub.verify_statement(replay_keys.ledger, 'customer_hub/erasure-ledger/v1', hub.receipt_public_key()), false) THEN
		RAISE EXCEPTION 'this is not an erasure ledger of this hub'
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Replay what hub.export_erasure_ledger() returned, unchanged, under the same root keys.';
	END IF;
	INSERT INTO hub.suppression AS s
	SELECT decode(e->>'hash', 'hex'), (e->>'erased_at')::timestamptz
	FROM jsonb_array_elements(replay_keys.ledger->'suppressed') e
	ON CONFLICT (hash) DO UPDATE SET erased_at = greatest(s.erased_at, excluded.erased_at);

	FOR past IN
		SELECT array_agg(DISTINCT k) AS subjects, min((e->>'erased_at')::timestamptz) AS erased_at,
			   min(e->>'subject') AS pseudonym
		FROM jsonb_array_elements(replay_keys.ledger->'erased') e
		JOIN hub.known_subjects() k ON hub.subject_pseudonym(k) = e->>'subject'
		-- an imported keyring has destroyed the key, and the rows are still there
		WHERE hub.subject_state(k) <> 'erased'
			OR NOT EXISTS (SELECT FROM hub.erasure_ledger l WHERE l.pseudonym = e->>'subject')
		GROUP BY e->'plan', CASE WHEN e->>'plan' IS NULL THEN e->>'subject' END
	LOOP
		UPDATE hub.erasure_plan p SET status = 'planned', approval = NULL
		WHERE p.status IN ('approved', 'blocked_by_hold')
			AND p.pseudonym IN (SELECT hub.subject_pseudonym(f) FROM unnest(past.subjects) f);
		INSERT INTO hub.erasure_plan (pseudonym, status, hash, erased_at)
		VALUES (past.pseudonym, 'running', hub.erasure_hash(past.subjects), past.erased_at)
		RETURNING plan INTO new_plan;
		INSERT INTO hub.erasure_plan_subject SELECT new_plan, f FROM unnest(past.subjects) f;
		INSERT INTO hub.erasure_plan_item (plan, item, relation, relation_name, action, ground, retain_for, columns, planned_rows, hash)
		SELECT new_plan, i.item, i.relation, i.relation::text, i.action, i.ground, i.retain_for, i.columns, 0, i.hash
		FROM hub.erasure_items(past.subjects) i;
		DELETE FROM hub.held_subject h WHERE h.subject = ANY (past.subjects);
		PERFORM hub.destroy_subjects(new_plan,
			ARRAY(SELECT f FROM unnest(past.subjects) f WHERE hub.subject_state(f) <> 'erased'), past.erased_at);
		RETURN NEXT new_plan;
	END LOOP;

	INSERT INTO hub.erasure_ledger
	SELECT e->>'subject', (e->>'erased_at')::timestamptz, NULL
	FROM jsonb_array_elements(replay_keys.ledger->'erased') e
	ON CONFLICT (pseudonym) DO NOTHING;
	PERFORM hub.record_event('erasure', NULL, jsonb_build_object(
		'step', 'ledger replayed', 'exported_at', replay_keys.ledger->'exported_at',
		'erased', jsonb_array_length(replay_keys.ledger->'erased')));
END
$$;
COMMENT ON FUNCTION hub.replay_keys IS 'First step of hub.replay_erasures(): destroy the keys that a ledger names and return a running plan for the rows of each erasure';

CREATE PROCEDURE hub.replay_erasures(ledger pg_catalog.jsonb)
	LANGUAGE plpgsql
AS $$
DECLARE
	plans pg_catalog.int8[] := ARRAY(SELECT hub.replay_keys(ledger));
	replayed pg_catalog.int8;
BEGIN
	COMMIT;
	FOREACH replayed IN ARRAY plans LOOP
		CALL hub.run_erasure(replayed);
	END LOOP;
END
$$;
COMMENT ON PROCEDURE hub.replay_erasures IS 'Erase again whom a ledger names and a restored backup brought back; superusers only. Resumable: call it again, or hub.run_erasure() on the plans it left running';

GRANT EXECUTE ON FUNCTION hub.export_erasure_ledger() TO hub_compliance, hub_admin;
