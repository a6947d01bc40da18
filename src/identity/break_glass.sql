-- Break-glass access: more clearance for oneself, for minutes, without asking and
-- on record. hub.clearance says what one sees every day, these say what then.

CREATE TABLE hub.break_glass_clearance_default (
	role name NOT NULL REFERENCES hub.hub_role_default,
	data_class name NOT NULL,
	level text NOT NULL CHECK (level IN ('reveal', 'mask', 'token', 'deny')),
	PRIMARY KEY (role, data_class)
);
COMMENT ON TABLE hub.break_glass_clearance_default IS 'What break-glass access shows by default; hub.break_glass_clearance goes before it. Never less than the ordinary clearance';
INSERT INTO hub.break_glass_clearance_default (role, data_class, level)
SELECT m.role, c.data_class, c.level
FROM (VALUES
	('hub_agent'::name,	ARRAY['reveal', 'reveal', 'reveal', 'reveal', 'mask']),
	('hub_sales',		ARRAY['reveal', 'reveal', 'reveal', 'reveal', 'mask']),
	('hub_manager',		ARRAY['reveal', 'reveal', 'reveal', 'reveal', 'mask']),
	('hub_compliance',	ARRAY['reveal', 'reveal', 'reveal', 'reveal', 'reveal'])
) m (role, levels),
LATERAL unnest(ARRAY['basic', 'contact', 'content', 'intent', 'financial']::name[], m.levels) c (data_class, level);

CREATE TABLE hub.break_glass_clearance (
	role name NOT NULL,
	data_class name NOT NULL,
	level text NOT NULL CHECK (level IN ('reveal', 'mask', 'token', 'deny')),
	PRIMARY KEY (role, data_class)
);
COMMENT ON TABLE hub.break_glass_clearance IS 'What break-glass access shows, set with hub.set_break_glass_clearance';
SELECT pg_catalog.pg_extension_config_dump('hub.break_glass_clearance', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.break_glass_clearance
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.break_glass_clearance ENABLE ALWAYS TRIGGER catalog_changed;

-- One row per member, the last time; the audit has all of them.
CREATE TABLE hub.break_glass_grant (
	member_id int PRIMARY KEY,
	reason text NOT NULL,
	started_at timestamptz NOT NULL,
	ends_at timestamptz NOT NULL,
	ended_by int
);
COMMENT ON TABLE hub.break_glass_grant IS 'Break-glass access that each member took last; in force until ends_at';
COMMENT ON COLUMN hub.break_glass_grant.ended_by IS 'Member who ended it early';
SELECT pg_catalog.pg_extension_config_dump('hub.break_glass_grant', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.break_glass_grant
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.break_glass_grant ENABLE ALWAYS TRIGGER catalog_changed;

GRANT SELECT ON hub.break_glass_grant TO hub_admin, hub_compliance;
ALTER TABLE hub.break_glass_grant ENABLE ROW LEVEL SECURITY;
CREATE POLICY configuration ON hub.break_glass_grant FOR SELECT TO hub_admin, hub_compliance USING (hub.sees_configuration());

CREATE FUNCTION hub.break_glass_clearance_of(role name, data_class text) RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_break_glass_clearance_of';
COMMENT ON FUNCTION hub.break_glass_clearance_of(name, text) IS 'What a hub role may see of a data class during break-glass access: reveal, mask, token or deny';

CREATE FUNCTION hub.break_glass(reason text, minutes int) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	me record;
	now_in_force timestamptz;
	longest CONSTANT interval := current_setting('customer_hub.break_glass_max')::interval;
	until timestamptz;
BEGIN
	SELECT w.member_id, w.role INTO me FROM hub.whoami() w;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'only a member can take break-glass access'
			USING ERRCODE = 'CH203', HINT = 'Log in as a member or call hub.authenticate() first.';
	END IF;
	IF coalesce(break_glass.reason, '') !~ '\S' OR octet_length(break_glass.reason) > 500 THEN
		RAISE EXCEPTION 'break-glass access needs a reason of at most 500 bytes'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Say why; leave personal data out, since it is kept.';
	END IF;
	IF break_glass.minutes IS NULL OR break_glass.minutes < 1 OR make_interval(mins => break_glass.minutes) > longest THEN
		RAISE EXCEPTION 'break-glass access cannot last % minutes', coalesce(break_glass.minutes::text, 'null')
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = CASE WHEN longest > '0' THEN format('From 1 minute up to customer_hub.break_glass_max, which is %s.',
						current_setting('customer_hub.break_glass_max'))
					ELSE 'customer_hub.break_glass_max is 0: it is turned off.' END;
	END IF;
	IF NOT EXISTS (
		SELECT FROM hub.data_class c
		WHERE hub.break_glass_clearance_of(me.role, c.name::text) <> hub.clearance_of(me.role, c.name::text)) THEN
		PERFORM hub.deny('CH205', format('permission denied to take break-glass access as %s', me.role),
			'The role has none: hub.break_glass_clearance says which do.',
			jsonb_build_object('attempt', 'break_glass', 'role', me.role));
	END IF;
	PERFORM FROM hub.member m WHERE m.member_id = me.member_id FOR UPDATE;
	SELECT g.ends_at INTO now_in_force FROM hub.break_glass_grant g
	WHERE g.member_id = me.member_id AND g.ends_at > clock_timestamp();
	IF FOUND THEN
		RAISE EXCEPTION 'break-glass access is in force already, until %', now_in_force
			USING ERRCODE = 'object_in_use', HINT = 'hub.end_break_glass() ends it.';
	END IF;

	-- on record for good before it shows anything
	until := clock_timestamp() + make_interval(mins => break_glass.minutes);
	PERFORM hub.record_surviving_event('break_glass', jsonb_build_object(
		'step', 'taken', 'member', me.member_id, 'reason', break_glass.reason, 'minutes', break_glass.minutes, 'until', until));
	PERFORM pg_notify('customer_hub_break_glass', jsonb_build_object(
		'step', 'taken', 'member', me.member_id, 'role', me.role, 'until', until)::text);
	INSERT INTO hub.break_glass_grant AS g (member_id, reason, started_at, ends_at)
	VALUES (me.member_id, break_glass.reason, clock_timestamp(), until)
	ON CONFLICT ON CONSTRAINT break_glass_grant_pkey DO UPDATE
	SET reason = excluded.reason, started_at = excluded.started_at, ends_at = excluded.ends_at, ended_by = NULL;
	RETURN until;
END
$$;
COMMENT ON FUNCTION hub.break_glass(text, int) IS
'Gives the calling member more clearance for some minutes, up to customer_hub.break_glass_max, and returns when it ends; in every session and transaction of that member. On record before it shows anything (hub.break_glass_uses), and sent as NOTIFY customer_hub_break_glass. What it shows says hub.break_glass_clearance_of(); rows stay those of the member''s scope';

CREATE FUNCTION hub.end_break_glass(member_id int DEFAULT NULL) RETURNS bool
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	me record;
	target int;
BEGIN
	SELECT w.member_id, hub.base_role(w.role) AS base INTO me FROM hub.whoami() w;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'only a member can end break-glass access'
			USING ERRCODE = 'CH203', HINT = 'Log in as a member or call hub.authenticate() first.';
	END IF;
	target := coalesce(end_break_glass.member_id, me.member_id);
	IF target <> me.member_id AND me.base <> 'hub_compliance' THEN
		PERFORM hub.deny('CH205', format('permission denied to end the break-glass access of member %s', target),
			'Its member may, and compliance.',
			jsonb_build_object('attempt', 'end_break_glass', 'member', target));
	END IF;
	UPDATE hub.break_glass_grant g SET ends_at = clock_timestamp(), ended_by = me.member_id
	WHERE g.member_id = target AND g.ends_at > clock_timestamp();
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	PERFORM hub.record_event('break_glass', NULL, jsonb_build_object(
		'step', CASE WHEN target = me.member_id THEN 'ended' ELSE 'revoked' END, 'member', target));
	PERFORM pg_notify('customer_hub_break_glass', jsonb_build_object(
		'step', CASE WHEN target = me.member_id THEN 'ended' ELSE 'revoked' END, 'member', target)::text);
	RETURN true;
END
$$;
COMMENT ON FUNCTION hub.end_break_glass(int) IS 'Ends one''s own break-glass access before its time, or, for compliance, anybody''s, from the next statement on; returns whether there was one. It ends by itself anyway';
GRANT EXECUTE ON FUNCTION hub.break_glass(text, int), hub.end_break_glass(int)
	TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_admin, hub_connector, hub_ai_agent;
GRANT EXECUTE ON FUNCTION hub.break_glass_clearance_of(name, text) TO hub_admin, hub_compliance;

CREATE FUNCTION hub.set_break_glass_clearance(role name, data_class text, level text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.check_clearance_change(set_break_glass_clearance.role, set_break_glass_clearance.data_class,
		set_break_glass_clearance.level, true);
	INSERT INTO hub.break_glass_clearance AS c (role, data_class, level)
	VALUES (set_break_glass_clearance.role, set_break_glass_clearance.data_class, set_break_glass_clearance.level)
	ON CONFLICT ON CONSTRAINT break_glass_clearance_pkey DO UPDATE SET level = excluded.level;
END
$$;
COMMENT ON FUNCTION hub.set_break_glass_clearance(name, text, text) IS 'Sets what a hub role, and those made like it, may see of a data class during break-glass access; deny stands for no more than the ordinary clearance. To raise one, a member needs an approval of the action change_clearance with the parameters role, data_class, level and "break_glass": true';
GRANT EXECUTE ON FUNCTION hub.set_break_glass_clearance(name, text, text) TO hub_admin;
