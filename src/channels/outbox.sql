-- channels/outbox: replies on their way to a channel

CREATE FUNCTION hub.open_for_delivery(value hub.encrypted_text) RETURNS text
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_open_for_delivery';
COMMENT ON FUNCTION hub.open_for_delivery(hub.encrypted_text) IS
'Plaintext of an address or body for the channel it is addressed to, recorded as a reveal; engine only';
