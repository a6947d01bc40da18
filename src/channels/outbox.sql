-- channels/outbox: replies on their way to a channel

CREATE FUNCTION hub.open_for_delivery(value hub.encrypted_text) RETURNS text
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_open_for_delivery';
COMMENT ON FUNCTION hub.open_for_delivery(hub.encrypted_text) IS
'Plaintext of an address or body for the channel it is addressed to, recorded as a reveal; engine only';

CREATE FUNCTION hub.queue_reply(conversation uuid, body text) RETURNS uuid
	LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target record;
	message record;
BEGIN
	SELECT c.customer_id, c.region, c.line_id, c.team_id, c.owner_id, c.account_id INTO target
	FROM crm.conversation c WHERE c.conversation_id = conversation FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'conversation % does not exist or is out of reach', conversation
			USING ERRCODE = 'undefined_object';
	END IF;
	IF btrim(body) = '' THEN
		RAISE EXCEPTION 'a reply cannot be empty' USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO crm.message AS m (customer_id, region, line_id, team_id, owner_id, conversation_id, account_id, direction,
		kind, author_id, body, delivery)
	VALUES (target.customer_id, target.region, target.line_id, target.team_id, target.owner_id, conversation,
		target.account_id, 'outbound', 'text', hub.my_member_id(), queue_reply.body, 'queued')
	RETURNING m.message_id, m.received_at INTO message;
	INSERT INTO crm.outbox (customer_id, message_id, region, line_id, team_id, owner_id, received_at, account_id)
	VALUES (target.customer_id, message.message_id, target.region, target.line_id, target.team_id, target.owner_id,
		message.received_at, target.account_id);
	UPDATE crm.conversation c SET last_activity_at = now()
	WHERE c.customer_id = target.customer_id AND c.conversation_id = conversation;
	RETURN message.message_id;
END
$$;
COMMENT ON FUNCTION hub.queue_reply(uuid, text) IS 'Puts a reply to a conversation into the outbox and returns the message; a connector claims and sends it';

CREATE FUNCTION hub.may_send(customer uuid, purpose text) RETURNS boolean
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF purpose = 'service' THEN
		RETURN true;			-- an answer to somebody who wrote
	END IF;
	IF to_regprocedure('hub.consent_allows(uuid,text)') IS NULL THEN
		RETURN false;			-- nobody can have consented
	END IF;
	RETURN coalesce(hub.consent_allows(customer, purpose), false);
END
$$;
COMMENT ON FUNCTION hub.may_send(uuid, text) IS 'Whether a message may go out: answers always, anything else with consent; engine only';

CREATE FUNCTION hub.claim_outbox(account int, n int DEFAULT 10)
	RETURNS TABLE (message_id uuid, customer_id uuid, address text, address_kind text, thread text, subject text, body text,
		reply_to text, attempts int)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	place record;
	due record;
	target record;
	content record;
BEGIN
	SELECT * INTO place FROM hub.connector_account(account);
	FOR due IN
		SELECT o.customer_id, o.message_id, o.received_at, o.purpose, o.attempts
		FROM crm.outbox o
		WHERE o.account_id = account
			AND (o.state = 'queued' OR (o.state = 'claimed' AND o.claimed_at < now() - interval '5 minutes'))
		ORDER BY o.queued_at, o.message_id
		LIMIT least(greatest(n, 0), 1000)
		FOR UPDATE SKIP LOCKED
	LOOP
		SELECT i.address, i.kind INTO target
		FROM crm.identity i
		WHERE i.customer_id = due.customer_id AND i.channel = (place.scope).channel AND i.valid_to IS NULL
		ORDER BY i.typed, i.valid_from DESC LIMIT 1;
		SELECT m.subject, m.body, v.thread, r.external_id INTO content
		FROM crm.message m
		JOIN crm.conversation v ON v.customer_id = m.customer_id AND v.conversation_id = m.conversation_id
		LEFT JOIN crm.message r ON r.customer_id = m.customer_id AND r.message_id = m.reply_to_id
		WHERE m.customer_id = due.customer_id AND m.message_id = due.message_id AND m.received_at = due.received_at;
		IF content.body IS NULL OR target.address IS NULL OR hub.subject_state(due.customer_id) = 'erased'
			OR NOT hub.may_send(due.customer_id, due.purpose) THEN
			UPDATE crm.outbox o SET state = 'refused' WHERE o.customer_id = due.customer_id AND o.message_id = due.message_id;
			CONTINUE;
		END IF;
		UPDATE crm.outbox o SET state = 'claimed', claimed_at = now(), attempts = o.attempts + 1
		WHERE o.customer_id = due.customer_id AND o.message_id = due.message_id;
		message_id := due.message_id;
		customer_id := due.customer_id;
		address := hub.open_for_delivery(target.address);
		address_kind := target.kind;
		thread := hub.open_for_delivery(content.thread);
		subject := hub.open_for_delivery(content.subject);
		body := hub.open_for_delivery(content.body);
		reply_to := hub.open_for_delivery(content.external_id);
		attempts := due.attempts + 1;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.claim_outbox(int, int) IS
'Hands a connector up to n replies of an account to send, readable, each recorded as a reveal. What is not reported with hub.mark_sent() within five minutes is handed out again.
Consent is checked now and not when it was queued; what may not go out any more is refused.';

CREATE FUNCTION hub.mark_sent(message uuid, external_id text) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sent record;
	key bytea;
BEGIN
	PERFORM hub.require_crm();
	SELECT o.customer_id, o.account_id, o.received_at, o.state INTO sent
	FROM crm.outbox o WHERE o.message_id = message;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'message % is not in the outbox', message USING ERRCODE = 'undefined_object';
	END IF;
	PERFORM hub.connector_account(sent.account_id);
	PERFORM pg_advisory_xact_lock(hub.event_lock(sent.account_id, mark_sent.external_id));
	UPDATE crm.outbox o SET state = 'sent'
	WHERE o.customer_id = sent.customer_id AND o.message_id = message AND o.state <> 'sent';
	IF NOT FOUND THEN
		RETURN;
	END IF;
	UPDATE crm.message m SET external_id = mark_sent.external_id,
		delivery = CASE WHEN m.delivery = 'queued' THEN 'sent' ELSE m.delivery END
	WHERE m.customer_id = sent.customer_id AND m.message_id = message AND m.received_at = sent.received_at;

	-- receipts and echoes will name it by this id, and may have come already
	key := hub.event_key(sent.account_id, mark_sent.external_id);
	INSERT INTO crm.event_ledger (account_id, event_key, kind, status, customer_id, conversation_id, message_id, received_at)
	SELECT sent.account_id, key, 'message', 'new', m.customer_id, m.conversation_id, m.message_id, m.received_at
	FROM crm.message m
	WHERE m.customer_id = sent.customer_id AND m.message_id = message AND m.received_at = sent.received_at
	ON CONFLICT DO NOTHING;
	PERFORM hub.apply_pending(sent.account_id, key, sent.customer_id, message, sent.received_at);
END
$$;
COMMENT ON FUNCTION hub.mark_sent(uuid, text) IS 'Reports a claimed reply as sent, with the channel''s id of it; receipts that came before are applied. Calling it again changes nothing';

GRANT EXECUTE ON FUNCTION hub.queue_reply(uuid, text) TO hub_agent, hub_sales, hub_manager;
GRANT EXECUTE ON FUNCTION hub.claim_outbox(int, int), hub.mark_sent(uuid, text) TO hub_connector;
