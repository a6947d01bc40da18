-- privacy/restriction: the right to restriction of processing. Data of such a
-- person stays, and is shown for legal claims only; see purpose_limit.c.

CREATE TABLE hub.restricted_subject (
	subject pg_catalog.uuid PRIMARY KEY,
	ground pg_catalog.text NOT NULL,
	restricted_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now(),
	restricted_by pg_catalog.int4
);
COMMENT ON TABLE hub.restricted_subject IS 'Persons who have restricted the processing of their data: it is kept, and shown only for purposes that serve restricted data (hub.purpose)';
COMMENT ON COLUMN hub.restricted_subject.ground IS 'why; name no person in it';
SELECT pg_catalog.pg_extension_config_dump('hub.restricted_subject', '');
REVOKE ALL ON hub.restricted_subject FROM PUBLIC;
GRANT SELECT ON hub.restricted_subject TO hub_compliance;

CREATE TRIGGER catalog_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON hub.restricted_subject
	FOR EACH STATEMENT EXECUTE FUNCTION hub.catalog_changed();
ALTER TABLE hub.restricted_subject ENABLE ALWAYS TRIGGER catalog_changed;

CREATE FUNCTION hub.restrict_processing(subject pg_catalog.uuid, ground pg_catalog.text) RETURNS pg_catalog.int4
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	restricted int;
BEGIN
	IF restrict_processing.subject IS NULL OR coalesce(btrim(restrict_processing.ground), '') = '' THEN
		RAISE EXCEPTION 'subject and ground of a restriction must be given' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM hub.require_subject(restrict_processing.subject);
	INSERT INTO hub.restricted_subject (subject, ground, restricted_by)
	SELECT f, restrict_processing.ground, (SELECT w.member_id FROM hub.whoami() w)
	FROM unnest(hub.subject_family(restrict_processing.subject)) f
	ON CONFLICT ON CONSTRAINT restricted_subject_pkey DO NOTHING;
	GET DIAGNOSTICS restricted = ROW_COUNT;
	PERFORM hub.record_event('consent', restrict_processing.subject, jsonb_build_object(
		'step', 'restricted', 'ground', restrict_processing.ground, 'records', restricted));
	RETURN restricted;
END
$$;
COMMENT ON FUNCTION hub.restrict_processing IS 'Keep the data of a person, all its merged records, but show none of it from the next statement on, other than for legal claims; returns how many records were not restricted before';

CREATE FUNCTION hub.lift_restriction(subject pg_catalog.uuid, ground pg_catalog.text) RETURNS pg_catalog.int4
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	lifted int;
BEGIN
	IF lift_restriction.subject IS NULL OR coalesce(btrim(lift_restriction.ground), '') = '' THEN
		RAISE EXCEPTION 'subject and ground must be given' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM hub.require_subject(lift_restriction.subject);
	DELETE FROM hub.restricted_subject r WHERE r.subject = ANY (hub.subject_family(lift_restriction.subject));
	GET DIAGNOSTICS lifted = ROW_COUNT;
	PERFORM hub.record_event('consent', lift_restriction.subject, jsonb_build_object(
		'step', 'restriction lifted', 'ground', lift_restriction.ground, 'records', lifted));
	RETURN lifted;
END
$$;
COMMENT ON FUNCTION hub.lift_restriction IS 'End the restriction of the processing of a person''s data, and say why; the person is told before, as GDPR 18(3) has it. Returns how many records it was on';

GRANT EXECUTE ON FUNCTION hub.restrict_processing TO hub_agent, hub_sales, hub_manager, hub_compliance;
GRANT EXECUTE ON FUNCTION hub.lift_restriction TO hub_compliance;
