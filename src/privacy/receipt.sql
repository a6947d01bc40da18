-- privacy/receipt: what was erased, signed, so that it can be shown without naming the person.

CREATE FUNCTION hub.canonical_json(value pg_catalog.jsonb) RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_canonical_json';
COMMENT ON FUNCTION hub.canonical_json IS 'A JSON value in the form of RFC 8785, which gives equal values equal bytes; numbers must be integers, member names ASCII';

CREATE FUNCTION hub.receipt_public_key() RETURNS pg_catalog.text
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'hub_statement_public_key';
COMMENT ON FUNCTION hub.receipt_public_key() IS 'Ed25519 public key that receipts and ledgers of this hub are verified with; publish it';

CREATE FUNCTION hub.sign_statement(statement pg_catalog.jsonb) RETURNS pg_catalog.text
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'hub_sign_statement';
COMMENT ON FUNCTION hub.sign_statement IS 'Ed25519 signature over the canonical form of a statement without its member "signature"';

CREATE FUNCTION hub.verify_statement(statement pg_catalog.jsonb, type pg_catalog.text, public_key pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'hub_verify_statement';
COMMENT ON FUNCTION hub.verify_statement IS 'Is this a statement of that type, signed with that key and not changed since?';

CREATE FUNCTION hub.sealed_statement(type pg_catalog.text, body pg_catalog.jsonb) RETURNS pg_catalog.jsonb
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	SELECT b || jsonb_build_object('signature', hub.sign_statement(b))
	FROM (SELECT $2 || jsonb_build_object('type', $1, 'public_key', hub.receipt_public_key())) s (b)
$$;
COMMENT ON FUNCTION hub.sealed_statement IS 'A statement of a type, with the public key and the signature';

CREATE FUNCTION hub.utc(moment pg_catalog.timestamptz) RETURNS pg_catalog.text
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$ SELECT to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') $$;
COMMENT ON FUNCTION hub.utc IS 'A time as RFC 3339 text in UTC, for statements';

-- The second and third line of a checkpoint are the size and the root of the log.
CREATE FUNCTION hub.audit_position() RETURNS pg_catalog.jsonb
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	note text := hub.audit_checkpoint();
BEGIN
	IF note IS NULL THEN
		RETURN NULL;
	END IF;
	RETURN jsonb_build_object('origin', split_part(note, E'\n', 1), 'size', split_part(note, E'\n', 2)::bigint,
							  'root', split_part(note, E'\n', 3));
END
$$;
COMMENT ON FUNCTION hub.audit_position() IS 'Origin, size and root of the audit log as of its last checkpoint; null before the first';

CREATE FUNCTION hub.approvers_of(approval pg_catalog.int8) RETURNS pg_catalog.jsonb
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(jsonb_agg(v.member_id ORDER BY v.member_id), '[]')
	FROM hub.approval_vote v WHERE v.request_id = $1 AND v.approved
$$;
COMMENT ON FUNCTION hub.approvers_of IS 'Members who approved a request';

CREATE FUNCTION hub.erasure_receipt(plan pg_catalog.int8) RETURNS pg_catalog.jsonb
	LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET intervalstyle = 'postgres'
AS $$
DECLARE
	this hub.erasure_plan;
	backups interval := (SELECT b.keep FROM hub.backup_retention b);
BEGIN
	SELECT * INTO this FROM hub.erasure_plan p WHERE p.plan = erasure_receipt.plan;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no erasure plan %', erasure_receipt.plan USING ERRCODE = 'no_data_found';
	END IF;
	IF this.status NOT IN ('erased', 'complete') THEN
		RAISE EXCEPTION 'plan % is %: there is no receipt before every row is cleared', this.plan, this.status
			USING ERRCODE = 'CH502', HINT = 'CALL hub.run_erasure() runs or resumes it.';
	END IF;
	RETURN hub.sealed_statement('customer_hub/erasure-receipt/v1', jsonb_build_object(
		'plan', this.plan,
		'plan_hash', encode(this.hash, 'hex'),
		'subject', this.pseudonym,
		'status', this.status,
		'issued_at', hub.utc(clock_timestamp()),
		'key_destroyed_at', hub.utc(this.erased_at),
		'rows_cleared_at', hub.utc(this.cleared_at),
		'items', coalesce((
			SELECT jsonb_agg(jsonb_build_object('relation', i.relation_name, 'action', i.action,
												'planned_rows', i.planned_rows, 'cleared_rows', i.cleared_rows) ORDER BY i.item)
			FROM hub.erasure_plan_item i WHERE i.plan = this.plan AND i.action <> 'retain'), '[]'),
		'retained', coalesce((
			SELECT jsonb_agg(jsonb_build_object('relation', i.relation_name, 'rows', i.retained_rows, 'ground', i.ground,
												'until', hub.utc(this.erased_at + i.retain_for)) ORDER BY i.item)
			FROM hub.erasure_plan_item i WHERE i.plan = this.plan AND i.action = 'retain'), '[]'),
		'approval', this.approval,
		'approvers', hub.approvers_of(this.approval),
		'residue', jsonb_build_object(
			'transactions_settled_at', hub.utc(this.settled_at),
			'vacuumed_at', hub.utc(this.vacuumed_at),
			'wal_recycled_at', hub.utc(this.wal_recycled_at),
			'backups_expired_at', hub.utc(this.backups_expired_at),
			'epoch_retired_at', hub.utc(this.epoch_retired_at),
			'backups_expire_at', hub.utc(this.vacuumed_at + backups),
			'backups_are_kept', backups::text,
			'completed_at', hub.utc(this.completed_at)),
		'audit', hub.audit_position()));
END
$$;
COMMENT ON FUNCTION hub.erasure_receipt IS 'Signed statement of an erasure, as it stands now: what was erased and retained, who approved, and what residue is left until when. Names no person';

CREATE FUNCTION hub.verify_receipt(receipt pg_catalog.jsonb) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT hub.verify_statement($1, 'customer_hub/erasure-receipt/v1', hub.receipt_public_key()) $$;
COMMENT ON FUNCTION hub.verify_receipt(jsonb) IS 'Is this a receipt of this hub, and unchanged?';

CREATE FUNCTION hub.verify_receipt(receipt pg_catalog.jsonb, public_key pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT hub.verify_statement($1, 'customer_hub/erasure-receipt/v1', $2) $$;
COMMENT ON FUNCTION hub.verify_receipt(jsonb, text) IS 'Is this a receipt of the hub with that public key, and unchanged?';

GRANT EXECUTE ON FUNCTION hub.erasure_receipt TO hub_compliance, hub_manager, hub_admin;
