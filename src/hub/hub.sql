-- Configuration that privacy keeps: what is recorded of it is the same as of all other.
SELECT hub.audit_configuration(t::pg_catalog.regclass)
FROM pg_catalog.unnest(ARRAY['hub.retention_rule', 'hub.retention_clock', 'hub.subject_action', 'hub.subject_merge',
	'hub.backup_retention', 'hub.right_rule_own', 'hub.breach_rule_own', 'hub.holiday']) t;

-- What PUBLIC may call. Every function of the extension starts out with no
-- EXECUTE for PUBLIC; those of operators, of operator classes (the executor checks
-- the hash function of IN), of casts and of text input and output (the planner
-- checks them in casts) get it back, and those listed here.
REVOKE ALL ON ALL ROUTINES IN SCHEMA hub FROM PUBLIC;

DO LANGUAGE plpgsql $$
DECLARE
	routine pg_catalog.regprocedure;
BEGIN
	FOR routine IN
		SELECT p.oid FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
		WHERE p.pronamespace = 'hub'::pg_catalog.regnamespace
		UNION
		SELECT p.oid FROM pg_catalog.pg_amproc a JOIN pg_catalog.pg_proc p ON p.oid = a.amproc
		WHERE p.pronamespace = 'hub'::pg_catalog.regnamespace
		UNION
		SELECT p.oid FROM pg_catalog.pg_type t JOIN pg_catalog.pg_proc p ON p.oid IN (t.typinput, t.typoutput)
		WHERE p.pronamespace = 'hub'::pg_catalog.regnamespace
		UNION
		SELECT c.castfunc FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
		WHERE p.pronamespace = 'hub'::pg_catalog.regnamespace
	LOOP
		EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', routine);
	END LOOP;
END
$$;

-- What an administrator may do with what the lower rooms made before the roles were there.
GRANT EXECUTE ON FUNCTION hub.add_data_class(text, bool, text), hub.set_word_search(text, bool) TO hub_admin;
GRANT SELECT ON hub.keyring_status, hub.rotation_progress TO hub_compliance, hub_admin;
GRANT EXECUTE ON FUNCTION hub.key_memory() TO hub_compliance, hub_admin;
GRANT EXECUTE ON PROCEDURE hub.rotate_epoch(int, interval) TO hub_admin;
GRANT EXECUTE ON FUNCTION hub.rotation_step(int, interval), hub.retire_epoch(int) TO hub_admin;
GRANT EXECUTE ON FUNCTION hub.keyring_epochs() TO hub_compliance, hub_admin;

-- each room adds its own, one line each, in floor order
GRANT EXECUTE ON FUNCTION hub.calling_code(hub.phone), hub.regions_of(hub.phone), hub.country_of(hub.region) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.builtin_data_classes(), hub.data_class_id(text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.reveal(hub.encrypted_text), hub.reveal(hub.encrypted_email), hub.reveal(hub.encrypted_phone), hub.reveal(hub.encrypted_date), hub.reveal(hub.encrypted_jsonb) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.disclose(hub.encrypted_text), hub.disclose(hub.encrypted_email), hub.disclose(hub.encrypted_phone), hub.disclose(hub.encrypted_date), hub.disclose(hub.encrypted_jsonb) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.sealed_class(hub.encrypted_text), hub.sealed_class(hub.encrypted_email), hub.sealed_class(hub.encrypted_phone), hub.sealed_class(hub.encrypted_date), hub.sealed_class(hub.encrypted_jsonb) TO PUBLIC;
-- the planner and indexes call these in the name of who looks up
GRANT EXECUTE ON FUNCTION hub.equality_tag(text, regtype), hub.equality_tags(text[], regtype) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.equality_tag(hub.encrypted_text), hub.equality_tag(hub.encrypted_email), hub.equality_tag(hub.encrypted_phone), hub.equality_tag(hub.encrypted_date), hub.equality_tag(hub.encrypted_jsonb) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.equality_tags(hub.encrypted_text[]), hub.equality_tags(hub.encrypted_email[]), hub.equality_tags(hub.encrypted_phone[]), hub.equality_tags(hub.encrypted_date[]), hub.equality_tags(hub.encrypted_jsonb[]) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.encrypted_text_probe(text), hub.encrypted_text_probes(text[]), hub.encrypted_email_probe(text), hub.encrypted_email_probes(text[]), hub.encrypted_phone_probe(text), hub.encrypted_phone_probes(text[]), hub.encrypted_date_probe(text), hub.encrypted_date_probes(text[]), hub.encrypted_jsonb_probe(text), hub.encrypted_jsonb_probes(text[]) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.matches(hub.encrypted_text, text), hub.word_query(text, smallint) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.email_domain(hub.encrypted_email), hub.phone_region(hub.encrypted_phone), hub.year_of(hub.encrypted_date), hub.age_band(hub.encrypted_date, int) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.authenticate(text), hub.challenge(), hub.whoami(), hub.sees_configuration() TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.in_regions(hub.region), hub.in_lines(int), hub.in_teams(int), hub.is_me(int) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.my_regions(), hub.my_lines(), hub.my_teams(), hub.my_member_id() TO PUBLIC;
-- who creates a partition of a governed table gets copies of its triggers
GRANT EXECUTE ON FUNCTION hub.seal_row(), hub.audit_row(), hub.refuse_held_row() TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.acts_as(name), hub.is_unbound("any") TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.govern(regclass, name, name, name, name, name), hub.classify(regclass, name, text) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.wait_for_audit() TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.verify_receipt(jsonb), hub.verify_receipt(jsonb, text) TO PUBLIC;
-- these check that the caller owns the table
GRANT EXECUTE ON FUNCTION hub.column_rewrite_step(regclass, name, text, jsonb), hub.cancel_column_rewrite(regclass, name) TO PUBLIC;
GRANT EXECUTE ON PROCEDURE hub.encrypt_column(regclass, name, regtype, text, int4, bool), hub.decrypt_column(regclass, name, regtype, int4, bool), hub.rewrite_column(regclass, name, jsonb), hub.reseal(regclass, int4, bool) TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.columns_to_reseal(regclass), hub.tag_generation_is_open() TO PUBLIC;
GRANT EXECUTE ON FUNCTION hub.copy_column(), hub.fits_encrypted("any", regtype), hub.same_when_opened("any", "any"), hub.rewritable_types() TO PUBLIC;
