-- channels/ingest: from a webhook body to rows of the customer model

CREATE TYPE hub.account_scope AS (
	account_id int,
	channel hub.channel,
	external_id text,
	region hub.region,
	line_id int,
	team_id int,
	threading text,
	quiet_after interval
);
COMMENT ON TYPE hub.account_scope IS 'The channel account that events come in through, as the steps of hub.ingest() hand it on; engine only';

CREATE TYPE hub.customer_ref AS (
	customer_id uuid,
	identity_id uuid,
	team_id int,
	owner_id int,
	named boolean,
	suppressed boolean
);
COMMENT ON TYPE hub.customer_ref IS 'A customer as the steps of hub.ingest() hand it on; engine only';

CREATE FUNCTION hub.email_if_valid(address text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_email_if_valid';
COMMENT ON FUNCTION hub.email_if_valid(text) IS 'The address as hub.email stores it; NULL when it is none';

CREATE FUNCTION hub.phone_if_valid(address text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_phone_if_valid';
COMMENT ON FUNCTION hub.phone_if_valid(text) IS 'The number in E.164, a missing plus sign put before it; NULL when it is none';

CREATE FUNCTION hub.check_signature(channel text, secret bytea, raw bytea, signature text) RETURNS boolean
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_check_signature';
COMMENT ON FUNCTION hub.check_signature(text, bytea, bytea, text) IS
'Whether a signature fits the raw bytes of a webhook body, compared in constant time: sha256=HEX for WhatsApp, Messenger and Instagram,
base64 for LINE, mixdesk_sign: for Mixdesk; the other channels send the secret itself. Engine only';

CREATE FUNCTION hub.event_key(account int, value text) RETURNS bytea
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_event_key';
COMMENT ON FUNCTION hub.event_key(int, text) IS 'Keyed hash of a message id or of the content of an event; engine only';

CREATE FUNCTION hub.event_digest(account int, facts text[], attachments jsonb, details jsonb) RETURNS bytea
	LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_event_digest';
COMMENT ON FUNCTION hub.event_digest(int, text[], jsonb, jsonb) IS
'Keyed hash of what an event says, without the names and links that change between two deliveries of it; engine only';

CREATE FUNCTION hub.event_lock(account int, value text) RETURNS bigint
	LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_event_lock';
COMMENT ON FUNCTION hub.event_lock(int, text) IS 'Number of the advisory lock of a message id or address; engine only';

CREATE FUNCTION hub.parse_event(channel hub.channel, payload jsonb) RETURNS SETOF hub.channel_event
	LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CASE channel
		WHEN 'whatsapp' THEN RETURN QUERY SELECT * FROM hub.parse_whatsapp(payload);
		WHEN 'telegram' THEN RETURN QUERY SELECT * FROM hub.parse_telegram(payload);
		WHEN 'email' THEN RETURN QUERY SELECT * FROM hub.parse_email(payload);
		WHEN 'web' THEN RETURN QUERY SELECT * FROM hub.parse_web(payload);
		WHEN 'mixdesk' THEN RETURN QUERY SELECT * FROM hub.parse_mixdesk(payload);
		ELSE
			RAISE EXCEPTION 'channel % has no parser yet', channel
				USING ERRCODE = 'feature_not_supported',
					  HINT = 'Channels with a parser are whatsapp, telegram, email, web and mixdesk.';
	END CASE;
END
$$;
COMMENT ON FUNCTION hub.parse_event(hub.channel, jsonb) IS 'Every event in a payload, by the parser of the channel; engine only';

-- Addresses ---------------------------------------------------------------------

CREATE TYPE hub.event_address AS (
	kind text,
	address text,
	typed boolean
);
COMMENT ON TYPE hub.event_address IS 'An address of a customer, as an event tells it; engine only';

CREATE FUNCTION hub.event_addresses(channel text, sender_kind text, sender text, recipient text, details jsonb)
	RETURNS SETOF hub.event_address
	LANGUAGE c STABLE PARALLEL SAFE ROWS 2 AS 'MODULE_PATHNAME', 'hub_event_addresses';
COMMENT ON FUNCTION hub.event_addresses(text, text, text, text, jsonb) IS
'The customer''s addresses that an event tells: first the one it goes by, then others of the same person, last what was merely typed; engine only';

CREATE FUNCTION hub.address_scope(scope hub.account_scope, kind text) RETURNS text
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE WHEN kind = 'visitor' OR scope.channel IN ('messenger', 'instagram', 'line') THEN scope.external_id ELSE '' END;
END
$$;
COMMENT ON FUNCTION hub.address_scope(hub.account_scope, text) IS 'Where an address means something: in one account, or (empty) on the whole channel; engine only';

CREATE FUNCTION hub.find_customer(scope hub.account_scope, address_kind text, wanted text) RETURNS hub.customer_ref
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	customer hub.customer_ref;
	meaning text := hub.address_scope(scope, address_kind);
BEGIN
	SELECT i.customer_id, i.identity_id, c.team_id, c.owner_id, c.display_name IS NOT NULL, false INTO customer
	FROM crm.identity i JOIN crm.customer c ON c.customer_id = i.customer_id
	WHERE i.address = wanted AND i.kind = address_kind AND i.channel = scope.channel
		AND i.scope = meaning
		AND i.region = scope.region AND i.line_id = scope.line_id AND i.valid_to IS NULL AND NOT i.typed
		AND hub.subject_state(i.customer_id) <> 'erased'
	ORDER BY i.valid_from, i.customer_id
	LIMIT 1;
	RETURN customer;
END
$$;
COMMENT ON FUNCTION hub.find_customer(hub.account_scope, text, text) IS 'The customer that has an address, in the account''s region and line of business; engine only';

CREATE FUNCTION hub.add_identity(scope hub.account_scope, customer hub.customer_ref, kind text, address text, typed boolean) RETURNS uuid
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id uuid;
	as_email text := CASE kind WHEN 'email' THEN hub.email_if_valid(address) END;
	as_phone text := CASE kind WHEN 'phone' THEN hub.phone_if_valid(address) END;
BEGIN
	INSERT INTO crm.identity (customer_id, region, line_id, team_id, owner_id, channel, scope, kind,
		address, email, phone, typed, verified)
	VALUES (customer.customer_id, scope.region, scope.line_id, customer.team_id, customer.owner_id, scope.channel,
		hub.address_scope(scope, kind), kind, address, as_email, as_phone, typed,
		NOT typed AND scope.channel <> 'email')
	RETURNING identity_id INTO id;

	-- a typed address never links by itself: somebody may have typed another's
	IF as_email IS NOT NULL OR as_phone IS NOT NULL THEN
		INSERT INTO crm.merge_suggestion (customer_id, other_id, region, line_id, team_id, owner_id, ground)
		SELECT DISTINCT ON (i.customer_id) customer.customer_id, i.customer_id, scope.region, scope.line_id,
			customer.team_id, customer.owner_id,
			CASE WHEN as_email IS NOT NULL THEN 'same e-mail address' ELSE 'same phone number' END
		FROM crm.identity i
		WHERE (i.email = as_email OR i.phone = as_phone) AND i.customer_id <> customer.customer_id
			AND i.region = scope.region AND i.line_id = scope.line_id AND i.valid_to IS NULL
		ORDER BY i.customer_id
		LIMIT 5
		ON CONFLICT DO NOTHING;
	END IF;
	RETURN id;
END
$$;
COMMENT ON FUNCTION hub.add_identity(hub.account_scope, hub.customer_ref, text, text, boolean) IS 'Gives a customer an address, and suggests a merge with whoever has the same; engine only';

CREATE FUNCTION hub.resolve_customer(scope hub.account_scope, event hub.channel_event, may_create boolean)
	RETURNS hub.customer_ref
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	customer hub.customer_ref;
	other hub.customer_ref;
	item hub.event_address;
	missing hub.event_address[];
	added uuid;
	name text := nullif(btrim(event.details ->> 'name'), '');
BEGIN
	FOR item IN SELECT * FROM hub.event_addresses(scope.channel::text, event.sender_kind, event.sender, event.recipient, event.details) LOOP
		IF item.typed THEN
			IF NOT EXISTS (SELECT FROM crm.identity i
				WHERE i.customer_id = customer.customer_id AND i.channel = scope.channel AND i.kind = item.kind
					AND i.address = item.address AND i.valid_to IS NULL) THEN
				missing := missing || item;
			END IF;
			CONTINUE;
		END IF;
		other := hub.find_customer(scope, item.kind, item.address);
		IF other.customer_id IS NULL THEN
			missing := missing || item;
		ELSIF customer.customer_id IS NULL THEN
			customer := other;
		ELSIF customer.customer_id <> other.customer_id THEN
			INSERT INTO crm.merge_suggestion (customer_id, other_id, region, line_id, team_id, owner_id, ground)
			VALUES (customer.customer_id, other.customer_id, scope.region, scope.line_id, customer.team_id,
				customer.owner_id, 'the channel names both addresses for one person')
			ON CONFLICT DO NOTHING;
		END IF;
	END LOOP;

	IF NOT may_create THEN
		RETURN customer;
	END IF;
	IF customer.customer_id IS NULL THEN
		FOREACH item IN ARRAY coalesce(missing, '{}') LOOP
			IF NOT item.typed AND hub.is_suppressed(scope.channel, item.address, event.occurred_at) THEN
				customer.suppressed := true;
				RETURN customer;
			END IF;
		END LOOP;
		INSERT INTO crm.customer (region, line_id, team_id, display_name, locale)
		VALUES (scope.region, scope.line_id, scope.team_id, name, event.details ->> 'locale')
		RETURNING customer_id, NULL, team_id, owner_id, true, false INTO customer;
	ELSIF name IS NOT NULL AND NOT customer.named THEN
		UPDATE crm.customer c SET display_name = name
		WHERE c.customer_id = customer.customer_id AND c.display_name IS NULL;
	END IF;

	FOREACH item IN ARRAY coalesce(missing, '{}') LOOP
		added := hub.add_identity(scope, customer, item.kind, item.address, item.typed);
		customer.identity_id := coalesce(customer.identity_id, added);
	END LOOP;
	RETURN customer;
END
$$;
COMMENT ON FUNCTION hub.resolve_customer(hub.account_scope, hub.channel_event, boolean) IS
'The customer an event is about, by any of its addresses; makes a new one when it may; engine only';

-- Conversations -----------------------------------------------------------------

CREATE FUNCTION hub.open_conversation(scope hub.account_scope, event hub.channel_event, customer hub.customer_ref,
	OUT conversation_id uuid, OUT team_id int, OUT owner_id int, OUT reply_to_id uuid)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	thread_name text := event.details ->> 'thread';
	target record;
	answered uuid;
BEGIN
	-- the message that this one answers: itself named, or the nearest of a mail's references
	IF event.reply_to IS NOT NULL OR event.details ? 'references' THEN
		SELECT l.conversation_id, l.message_id, l.customer_id INTO target
		FROM (
			SELECT 0 AS distance, event.reply_to AS id
			UNION ALL
			SELECT 1 + count(*) OVER () - r.position, r.id
			FROM jsonb_array_elements_text(event.details -> 'references') WITH ORDINALITY r (id, position)
		) n
		JOIN crm.event_ledger l ON l.account_id = scope.account_id
			AND l.event_key = hub.event_key(scope.account_id, n.id) AND l.kind = 'message'
		ORDER BY n.distance
		LIMIT 1;
		IF target.customer_id = customer.customer_id THEN
			reply_to_id := target.message_id;
			answered := target.conversation_id;
		END IF;
	END IF;

	UPDATE crm.conversation c SET
		last_activity_at = now(),
		status = CASE WHEN event.sender_kind IN ('business', 'agent') THEN c.status ELSE 'open' END,
		resolved_at = CASE WHEN event.sender_kind IN ('business', 'agent') THEN c.resolved_at END
	WHERE c.customer_id = customer.customer_id AND c.conversation_id = CASE scope.threading WHEN 'reply' THEN answered ELSE (
		SELECT v.conversation_id FROM crm.conversation v
		WHERE v.customer_id = customer.customer_id AND v.account_id = scope.account_id
			AND (v.thread = thread_name OR (v.thread IS NULL AND thread_name IS NULL))
			AND (scope.threading = 'single' OR v.status <> 'resolved')
			AND (scope.quiet_after IS NULL OR v.last_activity_at > now() - scope.quiet_after)
		ORDER BY v.last_activity_at DESC
		LIMIT 1) END
	RETURNING c.conversation_id, c.team_id, c.owner_id INTO conversation_id, team_id, owner_id;
	IF NOT FOUND THEN
		INSERT INTO crm.conversation AS c (customer_id, region, line_id, team_id, account_id, thread)
		VALUES (customer.customer_id, scope.region, scope.line_id, scope.team_id, scope.account_id, thread_name)
		RETURNING c.conversation_id, c.team_id, c.owner_id INTO conversation_id, team_id, owner_id;
	END IF;
END
$$;
COMMENT ON FUNCTION hub.open_conversation(hub.account_scope, hub.channel_event, hub.customer_ref) IS
'The conversation a message belongs to, by the threading policy of the account, and the message it answers; engine only';

-- Events about messages -----------------------------------------------------------

CREATE FUNCTION hub.delivery_rank(state text) RETURNS int
	LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_position(ARRAY['queued', 'sent', 'failed', 'delivered', 'read'], state), 0)
$$;
COMMENT ON FUNCTION hub.delivery_rank(text) IS 'How far a message has come: receipts arrive in any order; engine only';

CREATE FUNCTION hub.apply_to_message(customer uuid, message uuid, message_received_at timestamptz, event_kind text,
	event_at timestamptz, new_body hub.encrypted_text, new_attachments hub.encrypted_jsonb, event_facts jsonb) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	target record;
	late boolean;
	state text := split_part(event_kind, ':', 2);
BEGIN
	SELECT m.region, m.line_id, m.team_id, m.owner_id, m.revised_at, m.unsent_at, m.delivery INTO target
	FROM crm.message m
	WHERE m.customer_id = customer AND m.message_id = message AND m.received_at = message_received_at
	FOR UPDATE;
	IF NOT FOUND THEN
		RETURN;					-- retention has removed it
	END IF;

	IF event_kind LIKE 'status:%' THEN
		INSERT INTO crm.delivery_event (customer_id, region, line_id, team_id, owner_id, message_id, state, occurred_at, facts)
		VALUES (customer, target.region, target.line_id, target.team_id, target.owner_id, message, state, event_at, event_facts);
		IF hub.delivery_rank(state) > hub.delivery_rank(target.delivery) THEN
			UPDATE crm.message m SET delivery = state
			WHERE m.customer_id = customer AND m.message_id = message AND m.received_at = message_received_at;
		END IF;
		RETURN;
	END IF;

	-- an edit that was overtaken is kept, but changes nothing
	late := event_kind LIKE '%edit' AND (target.unsent_at IS NOT NULL OR coalesce(target.revised_at > event_at, false));
	INSERT INTO crm.message_revision (customer_id, region, line_id, team_id, owner_id, message_id, kind, occurred_at,
		body, attachments)
	SELECT customer, target.region, target.line_id, target.team_id, target.owner_id, message,
		CASE WHEN event_kind LIKE '%edit' THEN 'edit' ELSE 'unsend' END, event_at,
		CASE WHEN late THEN new_body ELSE m.body END, CASE WHEN late THEN new_attachments ELSE m.attachments END
	FROM crm.message m
	WHERE m.customer_id = customer AND m.message_id = message AND m.received_at = message_received_at;
	IF NOT late THEN
		UPDATE crm.message m SET body = new_body, attachments = new_attachments,
			revised_at = CASE WHEN event_kind LIKE '%edit' THEN coalesce(event_at, now()) ELSE m.revised_at END,
			unsent_at = CASE WHEN event_kind LIKE '%edit' THEN m.unsent_at ELSE coalesce(event_at, now()) END
		WHERE m.customer_id = customer AND m.message_id = message AND m.received_at = message_received_at;
	END IF;
END
$$;
COMMENT ON FUNCTION hub.apply_to_message(uuid, uuid, timestamptz, text, timestamptz, hub.encrypted_text, hub.encrypted_jsonb, jsonb) IS
'Applies an edit, unsend or receipt to its message; engine only';

CREATE FUNCTION hub.apply_pending(account int, key bytea, customer uuid, message uuid, message_received_at timestamptz) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	waiting record;
	applied int := 0;
BEGIN
	FOR waiting IN
		SELECT p.occurred_at, p.kind, p.body, p.attachments, NULL::jsonb AS facts, p.pending_id,
			NULL::bytea AS event_key, NULL AS version
		FROM crm.pending_ref p
		WHERE p.account_id = account AND p.target_key = key AND p.waits_for = 'message' AND p.customer_id = customer
			AND p.settled_at IS NULL
		UNION ALL
		SELECT l.occurred_at, l.kind, NULL, NULL, l.facts, NULL, l.event_key, l.version
		FROM crm.event_ledger l
		WHERE l.account_id = account AND l.waits_for = key
		ORDER BY 1
	LOOP
		PERFORM hub.apply_to_message(customer, message, message_received_at, waiting.kind, waiting.occurred_at,
			waiting.body, waiting.attachments, waiting.facts);
		IF waiting.pending_id IS NOT NULL THEN
			-- its text is in the message now; deleting the row is not ours, it may be under a legal hold
			UPDATE crm.pending_ref p SET settled_at = now(), body = NULL, attachments = NULL
			WHERE p.customer_id = customer AND p.pending_id = waiting.pending_id;
		ELSE
			UPDATE crm.event_ledger l SET waits_for = NULL, facts = NULL, customer_id = customer
			WHERE l.account_id = account AND l.event_key = waiting.event_key AND l.kind = waiting.kind
				AND l.version = waiting.version;
		END IF;
		applied := applied + 1;
	END LOOP;
	RETURN applied;
END
$$;
COMMENT ON FUNCTION hub.apply_pending(int, bytea, uuid, uuid, timestamptz) IS 'Applies what came before its message, in the order it happened; engine only';

-- One event -------------------------------------------------------------------------

CREATE FUNCTION hub.ingest_event(scope hub.account_scope, event hub.channel_event,
	OUT status text, OUT customer_id uuid, OUT conversation_id uuid, OUT message_id uuid, OUT reason text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	family text := CASE
		WHEN event.kind LIKE 'status:%' THEN 'status'
		WHEN event.kind IN ('edit', 'echo:edit') THEN 'edit'
		WHEN event.kind IN ('revoke', 'echo:revoke') THEN 'revoke'
		WHEN event.kind IN ('identify', 'user_id_update') THEN event.kind
		WHEN event.kind IN ('reaction', 'echo:reaction') THEN 'reaction'
		ELSE 'message' END;
	account int := scope.account_id;
	ledger_kind text := CASE family WHEN 'status' THEN event.kind ELSE family END;
	ledger_version text := '';
	key bytea;
	content bytea;
	seen record;
	target record;
	target_key bytea;
	customer hub.customer_ref;
	place record;
	facts jsonb;
	waits_for bytea;
	new_message uuid;
	-- what of the details is an address, or holds one: another class than content
	contact_keys CONSTANT text[] := '{to,cc,bcc,answer_to,mailbox_hash,email,phone,email_as_typed,username,customer,contact,contacts,users_shared,identity,forwarded,passport_data,system}';
	details jsonb;
	addressing jsonb;
BEGIN
	-- a receipt says no more than its kind
	content := CASE family WHEN 'status' THEN hub.event_key(account, event.kind)
		ELSE hub.event_digest(account, ARRAY[event.kind, event.sender, event.text, event.reply_to,
			extract(epoch FROM event.occurred_at)::text], event.attachments, event.details) END;
	IF event.external_id IS NOT NULL THEN
		key := hub.event_key(account, event.external_id);
	ELSIF event.occurred_at IS NOT NULL THEN
		key := content;			-- without an id, the same content at the same moment is the same event
	END IF;
	IF event.details ? 'version' THEN
		ledger_version := encode(hub.event_key(account, event.details ->> 'version'), 'hex');
	END IF;

	SELECT * INTO seen FROM crm.event_ledger l
	WHERE l.account_id = account AND l.event_key = key AND l.kind = ledger_kind AND l.version = ledger_version;
	IF FOUND THEN
		customer_id := seen.customer_id;
		conversation_id := seen.conversation_id;
		message_id := seen.message_id;
		IF hub.subject_state(seen.customer_id) = 'erased' THEN
			status := 'suppressed';
			reason := 'the person it came from was erased';
		ELSIF seen.content_hash IS NULL OR seen.content_hash = content THEN
			status := 'duplicate';
		ELSE
			status := 'conflict';
			reason := 'an event with this id and another content was taken in before';
		END IF;
		UPDATE crm.event_ledger l SET deliveries = l.deliveries + 1,
			conflicts = l.conflicts + CASE status WHEN 'conflict' THEN 1 ELSE 0 END
		WHERE l.account_id = account AND l.event_key = key AND l.kind = ledger_kind AND l.version = ledger_version;
		IF status <> 'conflict' THEN
			RETURN;
		END IF;

		-- kept for review, each content once
		INSERT INTO crm.event_ledger AS l (account_id, event_key, kind, version, content_hash, status, customer_id)
		VALUES (account, key, 'conflict', encode(content, 'hex'), content, 'parked', seen.customer_id)
		ON CONFLICT DO NOTHING;
		IF FOUND THEN
			customer := hub.resolve_customer(scope, event, false);
			INSERT INTO crm.pending_ref (customer_id, region, line_id, team_id, account_id, target_key, waits_for, kind,
				occurred_at, body, attachments, details)
			VALUES (coalesce(customer.customer_id, seen.customer_id), scope.region, scope.line_id, scope.team_id,
				account, key, 'review', event.kind, event.occurred_at, event.text, event.attachments,
				event.details);
		END IF;
		RETURN;
	END IF;

	IF family IN ('status', 'edit', 'revoke') THEN
		target_key := CASE WHEN family <> 'status' AND event.reply_to IS NOT NULL
			THEN hub.event_key(account, event.reply_to) ELSE key END;
		SELECT * INTO target FROM crm.event_ledger l
		WHERE l.account_id = account AND l.event_key = target_key AND l.kind = 'message' AND l.version = '';
		IF family = 'status' THEN
			facts := nullif(jsonb_strip_nulls(jsonb_build_object('errors', event.details -> 'errors',
				'pricing', event.details -> 'pricing', 'type', event.details -> 'type')), '{}');
		END IF;
		IF target.message_id IS NOT NULL THEN
			IF hub.subject_state(target.customer_id) = 'erased' THEN
				status := 'suppressed';
				reason := 'the person it is about was erased';
				RETURN;
			END IF;
			status := 'new';
			customer_id := target.customer_id;
			conversation_id := target.conversation_id;
			message_id := target.message_id;
			PERFORM hub.apply_to_message(target.customer_id, target.message_id, target.received_at, event.kind,
				event.occurred_at, event.text::hub.encrypted_text('content'),
				event.attachments::hub.encrypted_jsonb('content'), facts);
		ELSE
			status := 'parked';
			reason := 'waits for the message that it is about';
			waits_for := target_key;
			IF family = 'edit' THEN
				-- holds what a person wrote, so it is kept under that person's key
				customer := hub.resolve_customer(scope, event, true);
				IF customer.suppressed THEN
					status := 'suppressed';
					reason := 'the person it came from was erased';
					RETURN;
				END IF;
				customer_id := customer.customer_id;
				waits_for := NULL;
				INSERT INTO crm.pending_ref (customer_id, region, line_id, team_id, account_id, target_key, waits_for,
					kind, occurred_at, body, attachments)
				VALUES (customer_id, scope.region, scope.line_id, scope.team_id, account, target_key, 'message',
					event.kind, event.occurred_at, event.text, event.attachments);
			END IF;
		END IF;
		INSERT INTO crm.event_ledger (account_id, event_key, kind, version, content_hash, status, customer_id,
			waits_for, occurred_at, facts)
		VALUES (account, key, ledger_kind, ledger_version, content, status, customer_id, waits_for, event.occurred_at,
			CASE WHEN waits_for IS NOT NULL THEN facts END);
		RETURN;
	END IF;

	IF family = 'user_id_update' THEN
		customer := hub.resolve_customer(scope, event, false);
		IF customer.customer_id IS NULL THEN
			customer := hub.find_customer(scope, 'user_id', event.details ->> 'previous');
		END IF;
		IF customer.customer_id IS NULL THEN
			status := 'ignored';
			reason := 'no customer has the address that has changed';
			RETURN;
		END IF;
		UPDATE crm.identity i SET valid_to = coalesce(event.occurred_at, now())
		WHERE i.customer_id = customer.customer_id AND i.channel = scope.channel AND i.kind = 'user_id'
			AND i.address = event.details ->> 'previous' AND i.valid_to IS NULL;
		IF (hub.find_customer(scope, 'user_id', event.details ->> 'current')).customer_id IS NULL THEN
			PERFORM hub.add_identity(scope, customer, 'user_id', event.details ->> 'current', false);
		END IF;
	ELSE
		customer := hub.resolve_customer(scope, event, true);
		IF customer.suppressed THEN
			status := 'suppressed';
			reason := 'the person it came from was erased';
			RETURN;
		END IF;
	END IF;
	status := 'new';
	customer_id := customer.customer_id;

	IF family IN ('message', 'reaction') THEN
		SELECT * INTO place FROM hub.open_conversation(scope, event, customer);
		details := nullif(event.details - '{name,subject,version,aliases,thread}'::text[], '{}');
		IF details ?| contact_keys THEN
			addressing := (SELECT jsonb_object_agg(d.key, d.value) FROM jsonb_each(details) d WHERE d.key = ANY (contact_keys));
			details := nullif(details - contact_keys, '{}');
		END IF;
		conversation_id := place.conversation_id;
		INSERT INTO crm.message AS m (customer_id, region, line_id, team_id, owner_id, conversation_id, account_id,
			identity_id, direction, kind, external_id, reply_to_id, occurred_at, subject, body, attachments, details, addressing,
			delivery)
		VALUES (customer.customer_id, scope.region, scope.line_id, place.team_id, place.owner_id, place.conversation_id,
			account, customer.identity_id,
			CASE WHEN event.sender_kind IN ('business', 'agent') THEN 'outbound' ELSE 'inbound' END::hub.message_direction,
			CASE WHEN family = 'reaction' THEN family WHEN event.kind LIKE 'user_preference:%' THEN event.kind
				ELSE split_part(event.kind, ':', 2) END,
			event.external_id, place.reply_to_id, event.occurred_at, event.details ->> 'subject', event.text,
			event.attachments, details, addressing,
			CASE WHEN event.sender_kind IN ('business', 'agent') THEN 'sent' END)
		RETURNING m.message_id INTO new_message;
		message_id := new_message;
	END IF;

	IF key IS NOT NULL THEN
		INSERT INTO crm.event_ledger (account_id, event_key, kind, version, content_hash, status, customer_id,
			conversation_id, message_id)
		VALUES (account, key, ledger_kind, ledger_version, content, 'new', customer_id, conversation_id, message_id);
		IF family = 'message' THEN
			PERFORM hub.apply_pending(account, key, customer_id, message_id, now());
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION hub.ingest_event(hub.account_scope, hub.channel_event) IS 'Takes one event in; engine only';

-- One payload -------------------------------------------------------------------------

CREATE FUNCTION hub.connector_account(account int, OUT scope hub.account_scope, OUT secret bytea)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me record;
	row_found boolean;
BEGIN
	PERFORM hub.require_crm();
	SELECT ROW(a.account_id, a.channel, a.external_id, a.region, a.line_id, a.team_id, a.threading, a.quiet_after)::hub.account_scope AS scope,
		a.secret, a.active INTO me
	FROM crm.channel_account a WHERE a.account_id = account;
	row_found := FOUND;
	IF NOT row_found OR NOT me.active THEN
		RAISE EXCEPTION 'channel account % %', coalesce(account::text, 'NULL'),
			CASE WHEN row_found THEN 'is switched off' ELSE 'does not exist' END
			USING ERRCODE = 'CH602',
				  HINT = CASE WHEN row_found THEN 'hub.set_channel_account() switches it on.'
					ELSE 'hub.add_channel_account() adds one and returns its number.' END;
	END IF;
	scope := me.scope;
	secret := me.secret;

	-- this runs with the rights of the engine, so the connector's own scope is checked by hand
	SELECT w.role, w.regions, w.lines INTO me FROM hub.whoami() w;
	IF FOUND THEN
		IF hub.base_role(me.role) <> 'hub_connector' OR scope.line_id <> ALL (me.lines) OR NOT EXISTS (
			SELECT FROM unnest(me.regions) r (region) WHERE r.region IN (scope.region, hub.country_of(scope.region))) THEN
			RAISE EXCEPTION 'channel account % is out of reach for this member', account
				USING ERRCODE = 'CH205',
					  HINT = 'It takes a connector of the account''s region and business line.';
		END IF;
	ELSIF NOT (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = session_user) THEN
		RAISE EXCEPTION 'events come in under the identity of a connector'
			USING ERRCODE = 'CH203', HINT = 'Log in as a member of role hub_connector, or call hub.authenticate() first.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.connector_account(int) IS 'The account a connector works for, after checking that it may; engine only';

CREATE FUNCTION hub.ingest(account int, payload jsonb, raw bytea DEFAULT NULL, signature text DEFAULT NULL)
	RETURNS TABLE (event_no int, kind text, status text, customer_id uuid, conversation_id uuid, message_id uuid, reason text)
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	place record;
	events hub.channel_event[];
	event hub.channel_event;
	outcome record;
	state text;
	constraint_hit text;
BEGIN
	SELECT * INTO place FROM hub.connector_account(account);

	IF place.secret IS NOT NULL THEN
		IF NOT hub.check_signature((place.scope).channel::text, place.secret, raw, signature) THEN
			RAISE EXCEPTION 'the signature of the payload is wrong'
				USING ERRCODE = 'CH603',
					  HINT = CASE WHEN signature IS NULL THEN 'This account has a secret: hand on the signature header, and the raw body where the channel signs it.'
						ELSE 'Hand on the header as it came and the raw bytes of the body, or set the account''s secret anew.' END;
		END IF;
	END IF;

	-- a signature speaks for the raw bytes, so they are what is read
	IF raw IS NOT NULL AND (payload IS NULL OR place.secret IS NOT NULL) THEN
		BEGIN
			payload := convert_from(raw, 'UTF8')::jsonb;
		EXCEPTION WHEN data_exception THEN
			RAISE EXCEPTION 'the raw body is not JSON' USING ERRCODE = 'CH601';
		END;
	END IF;
	IF payload IS NULL THEN
		RAISE EXCEPTION 'there is no payload' USING ERRCODE = 'CH601';
	END IF;

	events := ARRAY(SELECT e FROM hub.parse_event((place.scope).channel, payload) e);

	-- two deliveries of the same event, and two first messages of one person, wait for
	-- each other; in sorted order, so that they never wait in a circle
	PERFORM pg_advisory_xact_lock(l.number) FROM (
		SELECT hub.event_lock(account, e.external_id) AS number FROM unnest(events) e
		WHERE e.status = 'new' AND e.external_id IS NOT NULL
		UNION
		SELECT hub.event_lock(account, e.reply_to) FROM unnest(events) e
		WHERE e.status = 'new' AND e.reply_to IS NOT NULL
		UNION
		SELECT hub.event_lock(0, (place.scope).channel::text || a.address)
		FROM unnest(events) e, hub.event_addresses((place.scope).channel::text, e.sender_kind, e.sender, e.recipient, e.details) a
		WHERE e.status = 'new' AND NOT a.typed
		ORDER BY 1
	) l;

	event_no := 0;
	FOREACH event IN ARRAY events LOOP
		event_no := event_no + 1;
		kind := event.kind;
		status := event.status;
		reason := event.reason;
		customer_id := NULL;
		conversation_id := NULL;
		message_id := NULL;
		IF event.status = 'new' THEN
			BEGIN
				SELECT * INTO outcome FROM hub.ingest_event(place.scope, event);
				status := outcome.status;
				customer_id := outcome.customer_id;
				conversation_id := outcome.conversation_id;
				message_id := outcome.message_id;
				reason := coalesce(outcome.reason, event.reason);
			EXCEPTION WHEN OTHERS THEN
				GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, constraint_hit = CONSTRAINT_NAME;
				IF state = '23505' AND constraint_hit = 'event_ledger_pkey' THEN
					-- a transaction that this one's snapshot does not show has taken it in
					status := 'duplicate';
				ELSIF state = 'CH004' THEN
					status := 'suppressed';
					reason := 'the person it came from was erased';
				ELSIF state ~ '^(2[23]|44|P0|CH1)' THEN
					-- the event's own fault: the others go on. The message of the error may quote it
					status := 'rejected';
					reason := format('it could not be stored (SQLSTATE %s)', state);
				ELSE
					RAISE;			-- ours: nothing may be lost, so nothing is taken in
				END IF;
			END;
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION hub.ingest(int, jsonb, bytea, text) IS
'Takes in a webhook body of a channel account: one row for each event in it.
status: new; duplicate (taken in before); conflict (same id, other content: kept for review); parked (waits for its message);
ignored and rejected, each with the reason; suppressed (the person was erased). One bad event never loses the others.
raw and signature are needed when the account has a secret: the body as it came, and the channel''s signature header.
For members of role hub_connector within their regions and lines, and for superusers.';
GRANT EXECUTE ON FUNCTION hub.ingest(int, jsonb, bytea, text) TO hub_connector;
