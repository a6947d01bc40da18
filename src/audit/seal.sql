-- audit/seal: blocks, the log of their headers, proofs

CREATE TABLE hub.audit_log (
	log_id uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
	only_one boolean NOT NULL DEFAULT true CHECK (only_one),
	created_at timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
	CONSTRAINT audit_log_pkey PRIMARY KEY (only_one)
);
COMMENT ON TABLE hub.audit_log IS 'name of the log of block headers, made with its first block; goes with the data through dump and restore';

CREATE TABLE hub.audit_block (
	block_no bigint NOT NULL,
	origin integer NOT NULL,
	xid_base bigint NOT NULL,
	snapshot pg_snapshot NOT NULL,
	first_xid xid8 NOT NULL,
	last_xid xid8 NOT NULL,
	event_count bigint NOT NULL,
	event_root bytea NOT NULL,
	transaction_count bigint NOT NULL,
	transaction_root bytea NOT NULL,
	previous bytea NOT NULL,
	sealed_at timestamp with time zone NOT NULL,
	nodes bytea NOT NULL,
	checkpoint text NOT NULL,
	CONSTRAINT audit_block_pkey PRIMARY KEY (block_no)
);
COMMENT ON TABLE hub.audit_block IS 'sealed blocks of the audit trail: the events that snapshot sees and that of the block before does not';
COMMENT ON COLUMN hub.audit_block.snapshot IS 'without xid_base';
COMMENT ON COLUMN hub.audit_block.event_root IS 'RFC 6962 root over the canonical bytes of the events in the order of (xid, ordinal)';
COMMENT ON COLUMN hub.audit_block.transaction_root IS 'RFC 6962 root over the canonical bytes of the transaction rows in the order of xid';
COMMENT ON COLUMN hub.audit_block.previous IS 'leaf hash of the header before, zeros in the first block';
COMMENT ON COLUMN hub.audit_block.nodes IS 'nodes of the log that the header of this block completes, from the leaf up';
COMMENT ON COLUMN hub.audit_block.checkpoint IS 'signed note over the log that ends with this block';

ALTER TABLE hub.audit_log OWNER TO hub_audit_owner;
ALTER TABLE hub.audit_block OWNER TO hub_audit_owner;
SELECT pg_catalog.pg_extension_config_dump('hub.audit_log', '');
SELECT pg_catalog.pg_extension_config_dump('hub.audit_block', '');
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_log
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON hub.audit_block
	FOR EACH STATEMENT EXECUTE FUNCTION hub.refuse_audit_change();

CREATE FUNCTION hub.merkle_root(leaves bytea[]) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_merkle_root';
COMMENT ON FUNCTION hub.merkle_root(bytea[]) IS 'root of the Merkle tree over the leaves (RFC 6962, SHA-256)';

CREATE FUNCTION hub.merkle_inclusion(leaves bytea[], leaf bigint) RETURNS bytea[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_merkle_inclusion';
COMMENT ON FUNCTION hub.merkle_inclusion(bytea[], bigint) IS 'proof that a leaf, counted from 0, is in the tree (RFC 6962 section 2.1.1)';

CREATE FUNCTION hub.merkle_consistency(leaves bytea[], old_size bigint) RETURNS bytea[]
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'hub_merkle_consistency';
COMMENT ON FUNCTION hub.merkle_consistency(bytea[], bigint) IS 'proof that the tree of the first old_size leaves is the beginning of the tree (RFC 6962 section 2.1.2)';

CREATE PROCEDURE hub.seal_audit()
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'hub_seal_audit';
COMMENT ON PROCEDURE hub.seal_audit() IS 'seals everything that is committed by now, and returns when it is sealed';

CREATE FUNCTION hub.audit_checkpoint() RETURNS text
	LANGUAGE c VOLATILE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_checkpoint';
COMMENT ON FUNCTION hub.audit_checkpoint() IS 'last checkpoint of the audit trail, a signed note that public transparency-log tools verify; NULL before the first block';

CREATE FUNCTION hub.audit_blocks_of(first xid8, last xid8) RETURNS SETOF bigint
	LANGUAGE c STABLE STRICT SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_blocks_of';
COMMENT ON FUNCTION hub.audit_blocks_of(xid8, xid8) IS 'numbers of the blocks that may hold events of transactions from first to last, found by bisection; engine only';

CREATE FUNCTION hub.verify_audit(
	OUT kind text, OUT block_no bigint, OUT xid xid8, OUT ordinal integer, OUT detail text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_verify_audit';
COMMENT ON FUNCTION hub.verify_audit() IS 'one row for each event, transaction, block header or checkpoint of the audit trail that was changed, inserted, deleted or reordered; none when all holds';

CREATE FUNCTION hub.verify_audit_anchor(
	checkpoint text, OUT kind text, OUT block_no bigint, OUT xid xid8, OUT ordinal integer, OUT detail text)
	RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_verify_audit_anchor';
COMMENT ON FUNCTION hub.verify_audit_anchor(text) IS 'one row when the log of the audit trail is not one that this was a checkpoint of, as when its end was cut off or it was written anew; none when it has only grown since';

CREATE FUNCTION hub.audit_proof(xid xid8, ordinal integer) RETURNS jsonb
	LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_proof';
COMMENT ON FUNCTION hub.audit_proof(xid8, integer) IS 'proof that an event, by whom it says, is in the trail that a signed checkpoint stands for; verifies without the database, see test/verify';

CREATE FUNCTION hub.audit_consistency(old_size bigint, new_size bigint) RETURNS jsonb
	LANGUAGE c VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'hub_audit_consistency';
COMMENT ON FUNCTION hub.audit_consistency(bigint, bigint) IS 'proof that the log of new_size blocks begins with the log of old_size blocks; verifies without the database, see test/verify';

GRANT EXECUTE ON FUNCTION hub.audit_proof(xid8, integer), hub.audit_consistency(bigint, bigint) TO hub_compliance, hub_admin;
GRANT EXECUTE ON FUNCTION hub.verify_audit(), hub.verify_audit_anchor(text) TO hub_compliance, hub_admin;
GRANT EXECUTE ON FUNCTION hub.audit_checkpoint() TO hub_compliance, hub_admin;
GRANT EXECUTE ON PROCEDURE hub.seal_audit() TO hub_compliance, hub_admin;
