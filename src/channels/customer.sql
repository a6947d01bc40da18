-- channels/customer: portrait and timeline, merge and unmerge, assignment. All
-- with the rights of the caller: row policies and clearances hold as for any query.

CREATE FUNCTION hub.same_person(customer uuid) RETURNS SETOF uuid
	LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE up (customer_id, merged_into) AS (
		SELECT c.customer_id, c.merged_into FROM crm.customer c WHERE c.customer_id = $1
		UNION
		SELECT c.customer_id, c.merged_into FROM crm.customer c JOIN up ON c.customer_id = up.merged_into
	), down (customer_id) AS (
		SELECT u.customer_id FROM up u WHERE NOT EXISTS (SELECT FROM up p WHERE p.customer_id = u.merged_into)
		UNION
		SELECT c.customer_id FROM crm.customer c JOIN down ON c.merged_into = down.customer_id
	)
	SELECT d.customer_id FROM down d
$$;
COMMENT ON FUNCTION hub.same_person(uuid) IS 'All customers that were merged into one person, the survivor first, as far as the caller sees them';

CREATE FUNCTION hub.customer_profile(customer uuid) RETURNS jsonb
	LANGUAGE plpgsql STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	people uuid[] := ARRAY(SELECT p FROM hub.same_person(customer) p);
	profile jsonb;
BEGIN
	SELECT jsonb_build_object(
		'customer_id', c.customer_id, 'region', c.region::text, 'line_id', c.line_id, 'team_id', c.team_id,
		'owner_id', c.owner_id, 'name', hub.disclose(c.display_name), 'locale', c.locale, 'follow_up', c.follow_up,
		'intent', hub.disclose(c.intent), 'since', c.created_at)
	INTO profile
	FROM crm.customer c WHERE c.customer_id = people[1];
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	RETURN profile || jsonb_build_object(
		'identities', (
			SELECT coalesce(jsonb_agg(jsonb_build_object('channel', i.channel, 'kind', i.kind,
				'address', CASE WHEN i.email IS NOT NULL THEN hub.disclose(i.email)
					WHEN i.phone IS NOT NULL THEN hub.disclose(i.phone) ELSE hub.disclose(i.address) END,
				'verified', i.verified, 'typed', i.typed) ORDER BY i.valid_from, i.identity_id), '[]')
			FROM crm.identity i WHERE i.customer_id = ANY (people) AND i.valid_to IS NULL),
		'tags', (SELECT coalesce(jsonb_agg(DISTINCT t.name), '[]') FROM crm.tag t WHERE t.customer_id = ANY (people)),
		'conversations', (
			SELECT coalesce(jsonb_agg(jsonb_build_object('conversation_id', v.conversation_id, 'channel', a.channel,
				'status', v.status, 'owner_id', v.owner_id, 'opened_at', v.opened_at,
				'last_activity_at', v.last_activity_at) ORDER BY v.opened_at, v.conversation_id), '[]')
			FROM crm.conversation v JOIN crm.channel_account a ON a.account_id = v.account_id
			WHERE v.customer_id = ANY (people)),
		'messages', (
			SELECT jsonb_build_object('inbound', count(*) FILTER (WHERE m.direction = 'inbound'),
				'outbound', count(*) FILTER (WHERE m.direction = 'outbound'),
				'first_at', min(coalesce(m.occurred_at, m.received_at)),
				'last_at', max(coalesce(m.occurred_at, m.received_at)))
			FROM crm.message m WHERE m.customer_id = ANY (people)),
		'notes', (
			SELECT coalesce(jsonb_agg(jsonb_build_object('at', n.created_at, 'author_id', n.author_id,
				'body', hub.disclose(n.body)) ORDER BY n.created_at, n.note_id), '[]')
			FROM crm.note n WHERE n.customer_id = ANY (people)),
		'merged', to_jsonb(people[2:]));
END
$$;
COMMENT ON FUNCTION hub.customer_profile(uuid) IS
'Portrait of a customer over all channels, those merged into one included: names, addresses, tags, conversations, counts, notes.
Shows what the caller may see: row policies decide which rows, clearances what of each value. NULL when the customer is out of reach.';

CREATE FUNCTION hub.timeline(customer uuid)
	RETURNS TABLE (occurred_at timestamptz, channel hub.channel, direction hub.message_direction, kind text,
		subject hub.encrypted_text, body hub.encrypted_text, attachments hub.encrypted_jsonb, delivery text,
		author_id int, revised_at timestamptz, unsent_at timestamptz,
		customer_id uuid, conversation_id uuid, message_id uuid, reply_to_id uuid)
	LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(m.occurred_at, m.received_at), a.channel, m.direction, m.kind, m.subject, m.body, m.attachments,
		m.delivery, m.author_id, m.revised_at, m.unsent_at, m.customer_id, m.conversation_id, m.message_id, m.reply_to_id
	FROM crm.message m JOIN crm.channel_account a ON a.account_id = m.account_id
	WHERE m.customer_id IN (SELECT hub.same_person($1))
	UNION ALL
	SELECT n.created_at, NULL, 'note', 'note', NULL, n.body, NULL, NULL, n.author_id, NULL, NULL, n.customer_id,
		n.conversation_id, n.note_id, NULL
	FROM crm.note n WHERE n.customer_id IN (SELECT hub.same_person($1))
	ORDER BY 1, 14
$$;
COMMENT ON FUNCTION hub.timeline(uuid) IS
'Everything said with a customer on all channels, oldest first, notes included. Values come sealed and are shown by output, under the caller''s clearance.';

-- Merge -----------------------------------------------------------------------------

-- Whoever may change customers could set the pointer without hub.merge_customers().
CREATE FUNCTION hub.check_merge() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	survivor_region hub.region;
BEGIN
	IF NEW.merged_into IS NULL OR TG_OP = 'UPDATE' AND NEW.merged_into IS NOT DISTINCT FROM OLD.merged_into THEN
		RETURN NEW;
	END IF;
	-- rows of a restore come in any order
	IF TG_OP = 'INSERT' AND NOT EXISTS (SELECT FROM hub.whoami()) THEN
		RETURN NEW;
	END IF;
	SELECT c.region INTO survivor_region FROM crm.customer c WHERE c.customer_id = NEW.merged_into;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'customer % does not exist or is out of reach', NEW.merged_into USING ERRCODE = 'CH604';
	END IF;
	IF survivor_region IS DISTINCT FROM NEW.region THEN
		PERFORM hub.require_approval('merge_regions', jsonb_build_object('survivor', NEW.merged_into, 'merged', NEW.customer_id));
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION hub.check_merge() IS 'Trigger function of crm.customer: a pointer to a customer of another region takes the approval of that merge, and uses it up';

CREATE FUNCTION hub.approved_merge(survivor uuid, merged uuid) RETURNS bigint
	LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT max(r.id) FROM hub.approval_request r
	WHERE r.action = 'merge_regions' AND r.params = jsonb_build_object('survivor', $1, 'merged', $2)
		AND r.status = 'used' AND r.used_at = now()
$$;
COMMENT ON FUNCTION hub.approved_merge(uuid, uuid) IS 'Number of the approval of a merge across regions that this transaction has used; null when it has used none';

CREATE FUNCTION hub.merge_customers(a uuid, b uuid) RETURNS bigint
	LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	person record;
	survivor record;
	merged record;
	approval bigint;
	id bigint;
BEGIN
	IF a = b THEN
		RAISE EXCEPTION 'a customer cannot be merged with itself' USING ERRCODE = 'CH604';
	END IF;
	FOR person IN
		SELECT c.customer_id, c.region, c.line_id, c.team_id, c.owner_id, c.merged_into
		FROM crm.customer c WHERE c.customer_id IN (a, b) ORDER BY c.customer_id FOR UPDATE
	LOOP
		IF person.merged_into IS NOT NULL THEN
			RAISE EXCEPTION 'customer % has been merged before', person.customer_id
				USING ERRCODE = 'CH604', HINT = format('Name the survivor instead: %s.', person.merged_into);
		END IF;
		IF person.customer_id = a THEN
			survivor := person;
		ELSE
			merged := person;
		END IF;
	END LOOP;
	IF survivor IS NULL OR merged IS NULL THEN
		RAISE EXCEPTION 'customer % does not exist or is out of reach', CASE WHEN survivor IS NULL THEN a ELSE b END
			USING ERRCODE = 'CH604';
	END IF;
	UPDATE crm.customer c SET merged_into = a WHERE c.customer_id = b;
	IF survivor.region <> merged.region THEN
		approval := hub.approved_merge(a, b);
	END IF;
	INSERT INTO crm.merge_log (customer_id, region, line_id, team_id, owner_id, survivor_id, approval_id, merged_by)
	VALUES (b, merged.region, merged.line_id, merged.team_id, merged.owner_id, a, approval, hub.my_member_id())
	RETURNING merge_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION hub.merge_customers(uuid, uuid) IS
'States that b is the same person as a, which survives; returns the number that hub.unmerge() takes. Only a pointer of b changes: its rows stay its own.
Across regions it needs an approval of the action merge_regions with {"survivor": a, "merged": b}.';

CREATE FUNCTION hub.unmerge(merge_id bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	entry record;
BEGIN
	SELECT l.customer_id, l.survivor_id, l.undone_at INTO entry
	FROM crm.merge_log l WHERE l.merge_id = unmerge.merge_id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'merge % does not exist or is out of reach', unmerge.merge_id USING ERRCODE = 'CH604';
	ELSIF entry.undone_at IS NOT NULL THEN
		RAISE EXCEPTION 'merge % has been undone before', unmerge.merge_id USING ERRCODE = 'CH604';
	END IF;
	UPDATE crm.customer c SET merged_into = NULL
	WHERE c.customer_id = entry.customer_id AND c.merged_into = entry.survivor_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'customer % is out of reach, or no longer merged into %', entry.customer_id, entry.survivor_id
			USING ERRCODE = 'CH604';
	END IF;
	UPDATE crm.merge_log l SET undone_at = now(), undone_by = hub.my_member_id()
	WHERE l.customer_id = entry.customer_id AND l.merge_id = unmerge.merge_id;
END
$$;
COMMENT ON FUNCTION hub.unmerge(bigint) IS 'Undoes a merge exactly: every row of both customers is as if it had never been';

-- Assignment --------------------------------------------------------------------------

CREATE FUNCTION hub.check_assignee(member int, region hub.region, line_id int) RETURNS void
	LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF member IS NOT NULL AND NOT EXISTS (
		SELECT FROM hub.member m
		WHERE m.member_id = member AND m.active AND check_assignee.line_id = ANY (m.lines)
			AND EXISTS (SELECT FROM unnest(m.regions) r (region)
				WHERE r.region IN (check_assignee.region, hub.country_of(check_assignee.region)))) THEN
		RAISE EXCEPTION 'member % cannot take the conversation', member
			USING ERRCODE = 'CH205', HINT = 'It takes an active member of the conversation''s region and business line.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.check_assignee(int, hub.region, int) IS 'Raises CH205 unless a member is active and works for a region and business line';

CREATE FUNCTION hub.assign(conversation uuid, member int) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given record;
BEGIN
	SELECT c.customer_id, c.region, c.line_id, c.team_id, c.owner_id INTO given
	FROM crm.conversation c WHERE c.conversation_id = conversation FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'conversation % does not exist or is out of reach', conversation
			USING ERRCODE = 'undefined_object';
	END IF;
	PERFORM hub.check_assignee(member, given.region, given.line_id);
	IF given.owner_id IS NOT DISTINCT FROM member THEN
		RETURN;
	END IF;
	INSERT INTO crm.assignment_log (customer_id, region, line_id, team_id, owner_id, conversation_id, from_member,
		to_member, assigned_by)
	VALUES (given.customer_id, given.region, given.line_id, given.team_id, member, conversation, given.owner_id,
		member, hub.my_member_id());

	-- each row carries its owner, since row policies look at nothing else
	UPDATE crm.message m SET owner_id = member
	WHERE m.customer_id = given.customer_id AND m.conversation_id = conversation;
	UPDATE crm.customer c SET owner_id = member
	WHERE c.customer_id = given.customer_id AND (c.owner_id IS NULL OR c.owner_id = given.owner_id);
	UPDATE crm.identity i SET owner_id = member
	WHERE i.customer_id = given.customer_id AND (i.owner_id IS NULL OR i.owner_id = given.owner_id);
	UPDATE crm.conversation c SET owner_id = member
	WHERE c.customer_id = given.customer_id AND c.conversation_id = conversation;
END
$$;
COMMENT ON FUNCTION hub.assign(uuid, int) IS
'Gives a conversation with its messages to a member, and the customer too when it is nobody else''s; NULL puts it back into the pool';

CREATE FUNCTION hub.reassign_all(from_member int, to_member int) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	conversation uuid;
	person record;
	moved int := 0;
BEGIN
	FOR conversation IN
		SELECT c.conversation_id FROM crm.conversation c WHERE c.owner_id = from_member ORDER BY c.conversation_id
	LOOP
		PERFORM hub.assign(conversation, to_member);
		moved := moved + 1;
	END LOOP;
	-- customers whom nobody has talked to yet
	FOR person IN
		SELECT c.customer_id, c.region, c.line_id FROM crm.customer c WHERE c.owner_id = from_member ORDER BY c.customer_id FOR UPDATE
	LOOP
		PERFORM hub.check_assignee(to_member, person.region, person.line_id);
		UPDATE crm.identity i SET owner_id = to_member
		WHERE i.customer_id = person.customer_id AND i.owner_id = from_member;
		UPDATE crm.customer c SET owner_id = to_member WHERE c.customer_id = person.customer_id;
	END LOOP;
	RETURN moved;
END
$$;
COMMENT ON FUNCTION hub.reassign_all(int, int) IS 'Gives every conversation and customer of one member to another, as far as the caller sees them; returns how many conversations';

GRANT EXECUTE ON FUNCTION hub.same_person(uuid), hub.customer_profile(uuid), hub.timeline(uuid)
	TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_ai_agent;
GRANT EXECUTE ON FUNCTION hub.approved_merge(uuid, uuid), hub.merge_customers(uuid, uuid), hub.unmerge(bigint),
	hub.check_assignee(int, hub.region, int), hub.assign(uuid, int), hub.reassign_all(int, int)
	TO hub_agent, hub_sales, hub_manager;
