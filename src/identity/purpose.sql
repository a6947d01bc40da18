-- What for: the claim purpose of a token, and what each allows.

CREATE TABLE hub.purpose_default (
	name text COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 63),
	shows text NOT NULL CHECK (shows IN ('reveal', 'mask', 'token', 'deny')),
	needs_consent bool NOT NULL,
	serves_restricted bool NOT NULL,
	roles name[],
	assumed_for name[],
	description text NOT NULL
);
COMMENT ON TABLE hub.purpose_default IS 'Purposes that the extension comes with; hub.purpose_own goes before it';
INSERT INTO hub.purpose_default (name, shows, needs_consent, serves_restricted, roles, assumed_for, description)
SELECT p.name, p.shows, p.needs_consent, p.serves_restricted, p.roles::name[], p.assumed_for::name[], p.description
FROM (VALUES
	('service', 'reveal', false, false, '{hub_agent,hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector}', NULL, 'Answering and looking after customers'),
	('support', 'reveal', false, false, '{hub_agent,hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector}', NULL, 'The same, as help desks call it'),
	('sales', 'reveal', false, false, '{hub_agent,hub_sales,hub_manager}', NULL, 'Offers and contracts that the customer asked for'),
	('marketing', 'reveal', true, false, '{hub_agent,hub_sales,hub_manager}', NULL, 'Advertising: only of those who consent to it'),
	('analytics', 'token', false, false, '{hub_agent,hub_sales,hub_manager,hub_compliance,hub_admin,hub_connector}', NULL, 'Statistics: pseudonyms at most'),
	('ai_assist', 'reveal', true, false, '{hub_ai_agent}', '{hub_ai_agent}', 'Answers by an AI agent: only of those who consent to it'),
	('compliance', 'reveal', false, false, '{hub_compliance}', NULL, 'Supervision and requests of data subjects'),
	('legal_claims', 'reveal', false, true, '{hub_manager,hub_compliance}', NULL, 'Establishing and defending legal claims: also of those who have restricted the processing')
) p (name, shows, needs_consent, serves_restricted, roles, assumed_for, description);

CREATE TABLE hub.purpose_own (LIKE hub.purpose_default INCLUDING ALL);
COMMENT ON TABLE hub.purpose_own IS 'Purposes set with hub.set_purpose; they go before those of hub.purpose_default';
SELECT pg_catalog.pg_extension_config_dump('hub.purpose_own', '');

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.purpose_own
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.purpose_own ENABLE ALWAYS TRIGGER catalog_changed;

CREATE VIEW hub.purpose AS
SELECT o.*, true AS own FROM hub.purpose_own o
UNION ALL
SELECT d.*, false FROM hub.purpose_default d WHERE NOT EXISTS (SELECT FROM hub.purpose_own o WHERE o.name = d.name);
COMMENT ON VIEW hub.purpose IS 'What a token may be for, and what that allows; it never shows more than the clearance of the role. A purpose that is not here shows nothing';
COMMENT ON COLUMN hub.purpose.shows IS 'At most this: reveal, mask, token or deny';
COMMENT ON COLUMN hub.purpose.needs_consent IS 'Only data of those who consent to it: hub.consent_allows()';
COMMENT ON COLUMN hub.purpose.serves_restricted IS 'Also data of those who have restricted the processing: hub.restrict_processing()';
COMMENT ON COLUMN hub.purpose.roles IS 'Hub roles it is for, and those made like them; null: all. To others it shows nothing';
COMMENT ON COLUMN hub.purpose.assumed_for IS 'Hub roles whose members work for it when they claim none';
COMMENT ON COLUMN hub.purpose.own IS 'Set with hub.set_purpose';
GRANT SELECT ON hub.purpose TO hub_admin, hub_compliance;

CREATE FUNCTION hub.set_purpose(name text, shows text, needs_consent bool DEFAULT false, serves_restricted bool DEFAULT false,
	roles name[] DEFAULT NULL, assumed_for name[] DEFAULT NULL, description text DEFAULT '')
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	role name;
BEGIN
	PERFORM hub.require_admin('set a purpose');
	IF coalesce(octet_length(set_purpose.name), 0) NOT BETWEEN 1 AND 63 OR set_purpose.name ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION 'name of a purpose must have 1 to 63 bytes and no control characters'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF set_purpose.shows IS NULL OR set_purpose.shows NOT IN ('reveal', 'mask', 'token', 'deny')
		OR set_purpose.needs_consent IS NULL OR set_purpose.serves_restricted IS NULL OR set_purpose.description IS NULL THEN
		RAISE EXCEPTION 'what purpose "%" shows is not valid', set_purpose.name
			USING ERRCODE = 'invalid_parameter_value', HINT = 'Levels are reveal, mask, token and deny; only roles and assumed_for may be null.';
	END IF;
	FOREACH role IN ARRAY coalesce(set_purpose.roles, '{}') || coalesce(set_purpose.assumed_for, '{}') LOOP
		PERFORM hub.base_role(role);
	END LOOP;
	IF EXISTS (SELECT FROM hub.purpose p WHERE p.name <> set_purpose.name AND p.assumed_for && set_purpose.assumed_for) THEN
		RAISE EXCEPTION 'another purpose is assumed for one of the roles'
			USING ERRCODE = 'invalid_parameter_value', HINT = 'hub.purpose says which; a role has one purpose when none is claimed.';
	END IF;
	-- a purpose only ever takes away, but one changed takes away less
	IF EXISTS (SELECT FROM hub.whoami()) THEN
		PERFORM hub.require_approval('change_clearance', jsonb_build_object('purpose', set_purpose.name, 'shows', set_purpose.shows,
			'needs_consent', set_purpose.needs_consent, 'serves_restricted', set_purpose.serves_restricted,
			'roles', set_purpose.roles, 'assumed_for', set_purpose.assumed_for));
	END IF;
	INSERT INTO hub.purpose_own (name, shows, needs_consent, serves_restricted, roles, assumed_for, description)
	VALUES (set_purpose.name, set_purpose.shows, set_purpose.needs_consent, set_purpose.serves_restricted, set_purpose.roles,
		set_purpose.assumed_for, set_purpose.description)
	ON CONFLICT ON CONSTRAINT purpose_own_pkey DO UPDATE SET shows = excluded.shows, needs_consent = excluded.needs_consent,
		serves_restricted = excluded.serves_restricted, roles = excluded.roles, assumed_for = excluded.assumed_for,
		description = excluded.description;
END
$$;
COMMENT ON FUNCTION hub.set_purpose(text, text, bool, bool, name[], name[], text) IS 'Says what a purpose allows: at most which level, with consent only or not, restricted data or not, to which roles (null: all), and for which roles it is assumed when they claim none. A member needs an approval of the action change_clearance with these parameters, the name as "purpose"';
GRANT EXECUTE ON FUNCTION hub.set_purpose(text, text, bool, bool, name[], name[], text) TO hub_admin;
