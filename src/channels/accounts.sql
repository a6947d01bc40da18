-- channels/accounts: lines, teams and the business's own channel accounts

CREATE FUNCTION hub.require_crm() RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('crm.customer') IS NULL THEN
		RAISE EXCEPTION 'this database has no customer model yet'
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Create it with SELECT hub.create_hub().';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.require_crm() IS 'Raises an error with a hint unless hub.create_hub() has run; engine only';

CREATE FUNCTION hub.seal_secret(secret text) RETURNS bytea
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'hub_seal_secret';
COMMENT ON FUNCTION hub.seal_secret(text) IS 'Seals the secret of a channel account; engine only';

CREATE FUNCTION hub.add_business_line(name text) RETURNS int
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id int;
BEGIN
	PERFORM hub.require_admin('add a business line');
	PERFORM hub.require_crm();
	INSERT INTO crm.business_line (name) VALUES (add_business_line.name) RETURNING line_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION hub.add_business_line(text) IS 'Adds a line of business and returns its number';

CREATE FUNCTION hub.add_team(name text, region hub.region, line_id int) RETURNS int
	LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id int;
BEGIN
	PERFORM hub.require_admin('add a team');
	PERFORM hub.require_crm();
	INSERT INTO crm.team (name, region, line_id)
	VALUES (add_team.name, add_team.region, add_team.line_id) RETURNING team_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION hub.add_team(text, hub.region, int) IS 'Adds a team of a region and line and returns its number';

CREATE FUNCTION hub.add_channel_account(
	channel hub.channel, external_id text, region hub.region, line_id int, team_id int DEFAULT NULL,
	secret text DEFAULT NULL, threading text DEFAULT NULL, quiet_after interval DEFAULT NULL
) RETURNS int
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	id int;
BEGIN
	PERFORM hub.require_admin('add a channel account');
	PERFORM hub.require_crm();
	IF add_channel_account.channel IS NULL OR add_channel_account.external_id IS NULL
		OR add_channel_account.region IS NULL OR add_channel_account.line_id IS NULL THEN
		RAISE EXCEPTION 'a channel account needs a channel, an external id, a region and a business line'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF NOT EXISTS (SELECT FROM crm.business_line l WHERE l.line_id = add_channel_account.line_id) THEN
		RAISE EXCEPTION 'business line % does not exist', add_channel_account.line_id
			USING ERRCODE = 'foreign_key_violation', HINT = 'Add it with hub.add_business_line().';
	END IF;
	IF add_channel_account.team_id IS NOT NULL AND NOT EXISTS (
		SELECT FROM crm.team t WHERE t.team_id = add_channel_account.team_id) THEN
		RAISE EXCEPTION 'team % does not exist', add_channel_account.team_id
			USING ERRCODE = 'foreign_key_violation', HINT = 'Add it with hub.add_team().';
	END IF;
	IF EXISTS (SELECT FROM crm.channel_account a
		WHERE a.channel = add_channel_account.channel AND a.external_id = add_channel_account.external_id) THEN
		RAISE EXCEPTION 'the % account "%" exists already', add_channel_account.channel, add_channel_account.external_id
			USING ERRCODE = 'unique_violation', HINT = 'hub.set_channel_account() changes one.';
	END IF;
	IF coalesce(add_channel_account.threading, 'open') NOT IN ('open', 'single', 'reply') THEN
		RAISE EXCEPTION 'threading policy "%" is not known', add_channel_account.threading
			USING ERRCODE = 'invalid_parameter_value', HINT = 'It is open, single or reply.';
	END IF;
	INSERT INTO crm.channel_account (channel, external_id, region, line_id, team_id, threading, quiet_after, secret)
	VALUES (add_channel_account.channel, add_channel_account.external_id, add_channel_account.region,
		add_channel_account.line_id, add_channel_account.team_id,
		coalesce(add_channel_account.threading, CASE add_channel_account.channel WHEN 'email' THEN 'reply' ELSE 'open' END),
		add_channel_account.quiet_after, hub.seal_secret(nullif(add_channel_account.secret, '')))
	RETURNING account_id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION hub.add_channel_account(hub.channel, text, hub.region, int, int, text, text, interval) IS
'Adds one of the business''s own accounts on a channel and returns its number, which hub.ingest() takes.
secret: what the channel signs its webhooks with (app secret, channel secret, secret token); once set, unsigned events are refused. It is sealed and never shown.
threading: open (default), single, or reply (default for e-mail); quiet_after opens a new conversation after so long a silence.';

CREATE FUNCTION hub.set_channel_account(account int, active boolean DEFAULT NULL, secret text DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM hub.require_admin('change a channel account');
	PERFORM hub.require_crm();
	IF set_channel_account.secret IS NOT NULL THEN
		UPDATE crm.channel_account a SET secret = hub.seal_secret(nullif(set_channel_account.secret, '')) WHERE a.account_id = account;
	END IF;
	UPDATE crm.channel_account a SET active = coalesce(set_channel_account.active, a.active) WHERE a.account_id = account;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'channel account % does not exist', account USING ERRCODE = 'CH602';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.set_channel_account(int, boolean, text) IS 'Switches a channel account on or off, or gives it a new secret; an empty secret takes it away';

GRANT EXECUTE ON FUNCTION hub.add_business_line(text), hub.add_team(text, hub.region, int),
	hub.add_channel_account(hub.channel, text, hub.region, int, int, text, text, interval),
	hub.set_channel_account(int, boolean, text) TO hub_admin;
