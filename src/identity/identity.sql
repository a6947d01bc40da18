-- Hub roles: NOLOGIN roles of the whole server, made when they are missing.
DO LANGUAGE plpgsql $$
DECLARE
	hub_role record;
	existing record;
BEGIN
	FOR hub_role IN
		SELECT * FROM (VALUES
			('hub_agent', 'customer_hub: customer service agents'),
			('hub_sales', 'customer_hub: sales staff'),
			('hub_manager', 'customer_hub: managers, who see statistics and pseudonyms'),
			('hub_compliance', 'customer_hub: compliance staff, who see masks and the whole audit'),
			('hub_admin', 'customer_hub: administrators of the hub, who reveal nothing'),
			('hub_connector', 'customer_hub: programs that bring channel traffic in'),
			('hub_ai_agent', 'customer_hub: AI agents on the conversations assigned to them')
		) r (name, description)
	LOOP
		SELECT r.rolcanlogin, r.rolsuper, r.rolbypassrls INTO existing
		FROM pg_catalog.pg_roles r WHERE r.rolname = hub_role.name::pg_catalog.name;
		IF NOT FOUND THEN
			EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', hub_role.name);
			EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', hub_role.name, hub_role.description);
		ELSIF existing.rolcanlogin OR existing.rolsuper OR existing.rolbypassrls THEN
			RAISE EXCEPTION 'role "%" exists and is no hub role', hub_role.name
				USING ERRCODE = 'object_not_in_prerequisite_state',
					  DETAIL = 'A hub role has none of LOGIN, SUPERUSER and BYPASSRLS.',
					  HINT = pg_catalog.format('Rename it, or: ALTER ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', hub_role.name);
		END IF;
	END LOOP;
END
$$;

-- Who may configure

CREATE FUNCTION hub.require_admin(action text) RETURNS void
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'hub_require_admin';
COMMENT ON FUNCTION hub.require_admin(text) IS 'Raises CH205 "permission denied to ..." unless the caller is a superuser or a member whose role behaves like hub_admin; for use in SECURITY DEFINER functions';

CREATE FUNCTION hub.sees_configuration() RETURNS bool
LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_sees_configuration';
COMMENT ON FUNCTION hub.sees_configuration() IS 'Whether the current user acts as a member whose role behaves like hub_admin or hub_compliance; for row policies on the hub''s own tables';

-- Roles of one's own

CREATE TABLE hub.hub_role_default (
	name name PRIMARY KEY,
	description text NOT NULL
);
COMMENT ON TABLE hub.hub_role_default IS 'The hub roles that every hub has; others behave like one of them';
INSERT INTO hub.hub_role_default
SELECT r.name, r.description FROM (VALUES
	('hub_agent'::name, 'Customer service: reads names and content, contact addresses masked'),
	('hub_sales', 'Sales: reads contact addresses and purchase intent too'),
	('hub_manager', 'Managers: pseudonyms and statistics'),
	('hub_compliance', 'Compliance: masks and the whole audit'),
	('hub_admin', 'Administration: configures, reveals nothing'),
	('hub_connector', 'Ingest: writes only'),
	('hub_ai_agent', 'AI agents: content of assigned conversations, all else pseudonyms')
) r (name, description);

CREATE TABLE hub.hub_role_custom (
	name name PRIMARY KEY,
	like_role name NOT NULL,
	base name NOT NULL REFERENCES hub.hub_role_default
);
COMMENT ON TABLE hub.hub_role_custom IS 'Hub roles made with hub.create_role';
COMMENT ON COLUMN hub.hub_role_custom.like_role IS 'The hub role it was made like, whose clearances it has until they are set for itself';
COMMENT ON COLUMN hub.hub_role_custom.base IS 'The default role it behaves like in the end';
SELECT pg_catalog.pg_extension_config_dump('hub.hub_role_custom', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.hub_role_custom
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.hub_role_custom ENABLE ALWAYS TRIGGER catalog_changed;

CREATE VIEW hub.hub_role AS
SELECT d.name, d.name AS base, NULL::name AS like_role FROM hub.hub_role_default d
UNION ALL
SELECT c.name, c.base, c.like_role FROM hub.hub_role_custom c;
COMMENT ON VIEW hub.hub_role IS 'All hub roles, with the default role that each behaves like';
GRANT SELECT ON hub.hub_role TO PUBLIC;

CREATE FUNCTION hub.base_role(role name) RETURNS name
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	result name;
BEGIN
	SELECT r.base INTO result FROM hub.hub_role r WHERE r.name = base_role.role;
	IF result IS NULL THEN
		RAISE EXCEPTION 'role "%" is not a hub role', base_role.role
			USING ERRCODE = 'undefined_object',
				  HINT = format('Hub roles are %s; hub.create_role makes more.',
								(SELECT string_agg(r.name, ', ' ORDER BY r.name) FROM hub.hub_role r));
	END IF;
	RETURN result;
END
$$;
COMMENT ON FUNCTION hub.base_role(name) IS 'The default role that a hub role behaves like; an error when it is no hub role';

CREATE FUNCTION hub.create_role(name text, like_role name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	base name;
	existing record;
BEGIN
	PERFORM hub.require_admin('create a hub role');
	base := hub.base_role(create_role.like_role);
	IF create_role.name IS NULL OR create_role.name !~ '^[a-z][a-z0-9_]{0,62}$' OR create_role.name ~ '^pg_' THEN
		RAISE EXCEPTION 'role name "%" is not valid', create_role.name
			USING ERRCODE = 'invalid_name',
				  HINT = 'Use lower-case letters, digits and underscores, starting with a letter.';
	END IF;
	IF EXISTS (SELECT FROM hub.hub_role r WHERE r.name = create_role.name) THEN
		RAISE EXCEPTION 'hub role "%" already exists', create_role.name
			USING ERRCODE = 'duplicate_object';
	END IF;
	SELECT r.oid INTO existing FROM pg_roles r WHERE r.rolname = create_role.name;
	IF NOT FOUND THEN
		EXECUTE format('CREATE ROLE %I NOLOGIN', create_role.name);
		EXECUTE format('COMMENT ON ROLE %I IS %L', create_role.name,
					   format('customer_hub: made like %s', create_role.like_role));
	ELSIF NOT EXISTS (SELECT FROM pg_shdescription d
					  WHERE d.objoid = existing.oid AND d.classoid = 'pg_authid'::regclass
					  AND d.description = format('customer_hub: made like %s', create_role.like_role)) THEN
		-- one that another database of this server made is welcome; any other role is not
		RAISE EXCEPTION 'role "%" already exists', create_role.name
			USING ERRCODE = 'duplicate_object',
				  HINT = 'Choose another name: a hub role is made for the purpose.';
	END IF;
	-- privileges and row policies come with the membership
	EXECUTE format('GRANT %I TO %I', create_role.like_role, create_role.name);
	INSERT INTO hub.hub_role_custom (name, like_role, base)
	VALUES (create_role.name, create_role.like_role, base);
END
$$;
COMMENT ON FUNCTION hub.create_role(text, name) IS 'Makes a hub role that has what another has, until hub.set_clearance says otherwise';
GRANT EXECUTE ON FUNCTION hub.create_role(text, name) TO hub_admin;

-- Members

CREATE TABLE hub.member (
	member_id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	external_id text COLLATE "C" NOT NULL UNIQUE CHECK (octet_length(external_id) BETWEEN 1 AND 255),
	role name NOT NULL,
	db_role name,
	regions hub.region[] NOT NULL CHECK (array_position(regions, NULL) IS NULL),
	lines int[] NOT NULL CHECK (array_position(lines, NULL) IS NULL),
	teams int[] NOT NULL CHECK (array_position(teams, NULL) IS NULL),
	active bool NOT NULL DEFAULT true,
	added_at timestamptz NOT NULL DEFAULT now(),
	deactivated_at timestamptz,
	CHECK (active = (deactivated_at IS NULL))
);
COMMENT ON TABLE hub.member IS 'Persons and programs that work with the hub; never deleted, since the audit names them';
COMMENT ON COLUMN hub.member.external_id IS 'Name at the identity provider: the claim sub of a token';
COMMENT ON COLUMN hub.member.role IS 'Hub role';
COMMENT ON COLUMN hub.member.db_role IS 'Login of the member''s own, if there is one';
COMMENT ON COLUMN hub.member.regions IS 'Regions the member works for; a country stands for its subdivisions';
COMMENT ON COLUMN hub.member.lines IS 'Business lines the member works for';
COMMENT ON COLUMN hub.member.teams IS 'Teams the member belongs to';
CREATE UNIQUE INDEX member_db_role_key ON hub.member (db_role) WHERE active;
SELECT pg_catalog.pg_extension_config_dump('hub.member', '');
SELECT pg_catalog.pg_extension_config_dump('hub.member_member_id_seq', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.member
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.member ENABLE ALWAYS TRIGGER catalog_changed;

-- granted the role is not enough: it takes an identity
GRANT SELECT ON hub.member TO hub_admin, hub_compliance;
ALTER TABLE hub.member ENABLE ROW LEVEL SECURITY;
CREATE POLICY configuration ON hub.member FOR SELECT TO hub_admin, hub_compliance USING (hub.sees_configuration());

CREATE FUNCTION hub.add_member(external_id text, role name, db_role name DEFAULT NULL,
	regions hub.region[] DEFAULT '{}', lines int[] DEFAULT '{}', teams int[] DEFAULT '{}')
RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	login record;
	new_id int;
BEGIN
	PERFORM hub.require_admin('add a member');
	PERFORM hub.base_role(add_member.role);
	IF add_member.external_id IS NULL OR add_member.role IS NULL OR add_member.regions IS NULL
		OR add_member.lines IS NULL OR add_member.teams IS NULL THEN
		RAISE EXCEPTION 'only db_role of a member may be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF array_position(add_member.regions, NULL) IS NOT NULL OR array_position(add_member.lines, NULL) IS NOT NULL
		OR array_position(add_member.teams, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'regions, lines and teams of a member may not contain null'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'Name each one; there is no sign that means all.';
	END IF;
	IF octet_length(add_member.external_id) NOT BETWEEN 1 AND 255 OR add_member.external_id ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'external id of a member must have 1 to 255 bytes and no control characters'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF EXISTS (SELECT FROM hub.member m WHERE m.external_id = add_member.external_id) THEN
		RAISE EXCEPTION 'member "%" already exists', add_member.external_id
			USING ERRCODE = 'unique_violation',
				  HINT = 'Members are never deleted: hub.set_member_scope and hub.reactivate_member change one.';
	END IF;
	IF add_member.db_role IS NOT NULL THEN
		SELECT r.rolcanlogin, r.rolsuper, r.rolbypassrls INTO login
		FROM pg_roles r WHERE r.rolname = add_member.db_role;
		IF NOT FOUND THEN
			RAISE EXCEPTION 'role "%" does not exist', add_member.db_role
				USING ERRCODE = 'undefined_object', HINT = 'Create the login first.';
		ELSIF login.rolsuper OR login.rolbypassrls THEN
			RAISE EXCEPTION 'login "%" is above row security and cannot be a member''s', add_member.db_role
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'Give the member a login with neither SUPERUSER nor BYPASSRLS.';
		ELSIF add_member.db_role = session_user AND EXISTS (SELECT FROM hub.whoami()) THEN
			RAISE EXCEPTION 'permission denied to make one''s own login another member''s'
				USING ERRCODE = 'CH205', HINT = 'Ask another administrator.';
		ELSIF NOT login.rolcanlogin THEN
			RAISE EXCEPTION 'role "%" cannot log in', add_member.db_role
				USING ERRCODE = 'invalid_parameter_value',
					  HINT = 'db_role is the login of one person; leave it out for members who come with a token.';
		ELSIF EXISTS (SELECT FROM hub.member m WHERE m.db_role = add_member.db_role AND m.active) THEN
			RAISE EXCEPTION 'login "%" belongs to another member', add_member.db_role
				USING ERRCODE = 'unique_violation', HINT = 'Give each person a login of their own.';
		END IF;
		EXECUTE format('GRANT %I TO %I', add_member.role, add_member.db_role);
	END IF;
	INSERT INTO hub.member (external_id, role, db_role, regions, lines, teams)
	VALUES (add_member.external_id, add_member.role, add_member.db_role, add_member.regions, add_member.lines, add_member.teams)
	RETURNING member_id INTO new_id;
	RETURN new_id;
END
$$;
COMMENT ON FUNCTION hub.add_member(text, name, name, hub.region[], int[], int[]) IS 'Adds a member with a hub role and the regions, lines and teams it works for (all of them must be named); with db_role, an existing login, the hub role is granted to it';
GRANT EXECUTE ON FUNCTION hub.add_member(text, name, name, hub.region[], int[], int[]) TO hub_admin;

CREATE FUNCTION hub.deactivate_member(member_id int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member hub.member;
BEGIN
	PERFORM hub.require_admin('deactivate a member');
	SELECT * INTO member FROM hub.member m WHERE m.member_id = deactivate_member.member_id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'member % does not exist', deactivate_member.member_id
			USING ERRCODE = 'undefined_object', HINT = 'Table hub.member lists the members.';
	END IF;
	IF NOT member.active THEN
		RETURN;
	END IF;
	UPDATE hub.member m SET active = false, deactivated_at = now() WHERE m.member_id = member.member_id;
	IF EXISTS (SELECT FROM pg_auth_members a
			   JOIN pg_roles r ON r.oid = a.roleid
			   JOIN pg_roles l ON l.oid = a.member
			   WHERE r.rolname = member.role AND l.rolname = member.db_role) THEN
		EXECUTE format('REVOKE %I FROM %I', member.role, member.db_role);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.deactivate_member(int) IS 'Ends a membership: tokens and login of the member have no identity from the next statement on, in every session';
GRANT EXECUTE ON FUNCTION hub.deactivate_member(int) TO hub_admin;

CREATE FUNCTION hub.reactivate_member(member_id int) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member hub.member;
BEGIN
	PERFORM hub.require_admin('reactivate a member');
	SELECT * INTO member FROM hub.member m WHERE m.member_id = reactivate_member.member_id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'member % does not exist', reactivate_member.member_id
			USING ERRCODE = 'undefined_object', HINT = 'Table hub.member lists the members.';
	END IF;
	IF member.active THEN
		RETURN;
	END IF;
	-- who took the login over in the meantime keeps it
	UPDATE hub.member m
	SET active = true, deactivated_at = NULL,
		db_role = (SELECT r.rolname FROM pg_roles r
				   WHERE r.rolname = m.db_role AND r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls
				   AND NOT EXISTS (SELECT FROM hub.member o WHERE o.db_role = m.db_role AND o.active))
	WHERE m.member_id = member.member_id
	RETURNING * INTO member;
	IF member.db_role IS NOT NULL THEN
		EXECUTE format('GRANT %I TO %I', member.role, member.db_role);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.reactivate_member(int) IS 'Takes hub.deactivate_member back; a login that is another member''s by now is not given back';
GRANT EXECUTE ON FUNCTION hub.reactivate_member(int) TO hub_admin;

CREATE FUNCTION hub.set_member_role(member_id int, role name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	member hub.member;
BEGIN
	PERFORM hub.require_admin('change a member');
	PERFORM hub.base_role(set_member_role.role);
	SELECT * INTO member FROM hub.member m WHERE m.member_id = set_member_role.member_id FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'member % does not exist', set_member_role.member_id
			USING ERRCODE = 'undefined_object', HINT = 'Table hub.member lists the members.';
	END IF;
	IF EXISTS (SELECT FROM hub.whoami() w WHERE w.member_id = member.member_id) THEN
		RAISE EXCEPTION 'permission denied to change one''s own role'
			USING ERRCODE = 'CH205', HINT = 'Ask another administrator.';
	END IF;
	UPDATE hub.member m SET role = set_member_role.role WHERE m.member_id = member.member_id;
	IF member.active AND EXISTS (SELECT FROM pg_roles r WHERE r.rolname = member.db_role) THEN
		EXECUTE format('REVOKE %I FROM %I', member.role, member.db_role);
		EXECUTE format('GRANT %I TO %I', set_member_role.role, member.db_role);
	END IF;
END
$$;
COMMENT ON FUNCTION hub.set_member_role(int, name) IS 'Gives a member another hub role, from the next statement on, in every session; transactions that run under the old one fail';
GRANT EXECUTE ON FUNCTION hub.set_member_role(int, name) TO hub_admin;

CREATE FUNCTION hub.set_member_scope(member_id int, regions hub.region[], lines int[], teams int[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.require_admin('change a member');
	IF set_member_scope.regions IS NULL OR set_member_scope.lines IS NULL OR set_member_scope.teams IS NULL THEN
		RAISE EXCEPTION 'regions, lines and teams of a member may not be null'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'An empty list means none.';
	END IF;
	IF array_position(set_member_scope.regions, NULL) IS NOT NULL OR array_position(set_member_scope.lines, NULL) IS NOT NULL
		OR array_position(set_member_scope.teams, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'regions, lines and teams of a member may not contain null'
			USING ERRCODE = 'null_value_not_allowed', HINT = 'Name each one; there is no sign that means all.';
	END IF;
	UPDATE hub.member m
	SET regions = set_member_scope.regions, lines = set_member_scope.lines, teams = set_member_scope.teams
	WHERE m.member_id = set_member_scope.member_id;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'member % does not exist', set_member_scope.member_id
			USING ERRCODE = 'undefined_object', HINT = 'Table hub.member lists the members.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.set_member_scope(int, hub.region[], int[], int[]) IS 'Replaces the regions, lines and teams of a member';
GRANT EXECUTE ON FUNCTION hub.set_member_scope(int, hub.region[], int[], int[]) TO hub_admin;

-- Token issuers

CREATE TABLE hub.token_issuer (
	kid text COLLATE "C" PRIMARY KEY CHECK (octet_length(kid) BETWEEN 1 AND 255),
	public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
	valid_from timestamptz NOT NULL,
	valid_to timestamptz CHECK (valid_to >= valid_from)
);
COMMENT ON TABLE hub.token_issuer IS 'Ed25519 public keys whose tokens hub.authenticate accepts';
SELECT pg_catalog.pg_extension_config_dump('hub.token_issuer', '');

GRANT SELECT ON hub.token_issuer TO hub_admin, hub_compliance;
ALTER TABLE hub.token_issuer ENABLE ROW LEVEL SECURITY;
CREATE POLICY configuration ON hub.token_issuer FOR SELECT TO hub_admin, hub_compliance USING (hub.sees_configuration());

CREATE FUNCTION hub.public_key_is_valid(public_key bytea) RETURNS bool
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hub_public_key_is_valid';
COMMENT ON FUNCTION hub.public_key_is_valid(bytea) IS 'Whether 32 bytes are an Ed25519 public key (RFC 8032) that signatures can be verified with';

CREATE FUNCTION hub.add_token_issuer(kid text, public_key bytea,
	valid_from timestamptz DEFAULT now(), valid_to timestamptz DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.require_admin('add a token issuer');
	IF EXISTS (SELECT FROM hub.whoami()) THEN
		RAISE EXCEPTION 'permission denied to add a token issuer'
			USING ERRCODE = 'CH205',
				  HINT = 'Only a superuser may: who adds an issuer can be anybody.';
	END IF;
	IF add_token_issuer.kid IS NULL OR add_token_issuer.public_key IS NULL OR add_token_issuer.valid_from IS NULL THEN
		RAISE EXCEPTION 'only valid_to of a token issuer may be null'
			USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF octet_length(add_token_issuer.kid) NOT BETWEEN 1 AND 255 OR add_token_issuer.kid ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'key id of a token issuer must have 1 to 255 bytes and no control characters'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF NOT hub.public_key_is_valid(add_token_issuer.public_key) THEN
		RAISE EXCEPTION 'public key of token issuer "%" is not an Ed25519 public key', add_token_issuer.kid
			USING ERRCODE = 'invalid_parameter_value',
				  HINT = 'Give the 32 bytes of RFC 8032, without the wrapping of a PEM or DER file.';
	END IF;
	IF add_token_issuer.valid_to <= add_token_issuer.valid_from THEN
		RAISE EXCEPTION 'token issuer "%" would never be valid', add_token_issuer.kid
			USING ERRCODE = 'invalid_parameter_value', HINT = 'valid_to must be after valid_from.';
	END IF;
	IF EXISTS (SELECT FROM hub.token_issuer i WHERE i.kid = add_token_issuer.kid) THEN
		RAISE EXCEPTION 'token issuer "%" already exists', add_token_issuer.kid
			USING ERRCODE = 'unique_violation',
				  HINT = 'A new key gets a new key id, so that both can be valid for a while.';
	END IF;
	INSERT INTO hub.token_issuer (kid, public_key, valid_from, valid_to)
	VALUES (add_token_issuer.kid, add_token_issuer.public_key, add_token_issuer.valid_from, add_token_issuer.valid_to);
END
$$;
COMMENT ON FUNCTION hub.add_token_issuer(text, bytea, timestamptz, timestamptz) IS 'Accepts tokens signed with the Ed25519 key that belongs to these 32 bytes, under this key id; for superusers, since who adds an issuer can be anybody';

CREATE FUNCTION hub.revoke_token_issuer(kid text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM hub.require_admin('revoke a token issuer');
	UPDATE hub.token_issuer i
	SET valid_to = least(i.valid_to, greatest(i.valid_from, clock_timestamp()))
	WHERE i.kid = revoke_token_issuer.kid;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'token issuer "%" does not exist', revoke_token_issuer.kid
			USING ERRCODE = 'undefined_object', HINT = 'Table hub.token_issuer lists the issuers.';
	END IF;
END
$$;
COMMENT ON FUNCTION hub.revoke_token_issuer(text) IS 'Accepts no further token of an issuer; transactions that are authenticated already run on';
GRANT EXECUTE ON FUNCTION hub.revoke_token_issuer(text) TO hub_admin;

-- The identity of a transaction

CREATE FUNCTION hub.authenticate(token text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hub_authenticate';
COMMENT ON FUNCTION hub.authenticate(text) IS 'Verifies a token (JWT, EdDSA) and acts as its member and its hub role until the end of the transaction; every bad token gets the same error CH201';

CREATE FUNCTION hub.challenge() RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hub_challenge';
COMMENT ON FUNCTION hub.challenge() IS 'A random text for the claim nonce of a token: such a token is accepted by this server process, once, and by no other. For clients that stay on their connection until they authenticate; a new challenge replaces the last one';

CREATE FUNCTION hub.whoami(OUT member_id int, OUT external_id text, OUT role name, OUT regions hub.region[],
	OUT lines int[], OUT teams int[], OUT purpose text, OUT expires_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE ROWS 1 AS 'MODULE_PATHNAME', 'hub_whoami';
COMMENT ON FUNCTION hub.whoami() IS 'The identity of this transaction: one row, or none; expires_at is null for a login of the member''s own';
