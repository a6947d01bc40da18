-- privacy/rights: how long the law gives to answer, and to report a breach.
--
-- Seeds come with where they are from. What was written down from memory is
-- unverified: a starting point to be checked by counsel, and to be overridden.

CREATE TABLE hub.right_rule_default (
	jurisdiction pg_catalog.text NOT NULL,
	rights pg_catalog.text[] NOT NULL,
	acknowledge pg_catalog.int4,
	acknowledge_unit pg_catalog.text,
	due pg_catalog.int4,
	due_unit pg_catalog.text,
	policy_due pg_catalog.int4,
	policy_unit pg_catalog.text,
	clock_start pg_catalog.text NOT NULL,
	extension pg_catalog.int4,
	extension_unit pg_catalog.text,
	extension_note pg_catalog.text,
	pausable pg_catalog.bool NOT NULL,
	article pg_catalog.text NOT NULL,
	source_kind pg_catalog.text NOT NULL,
	valid_from pg_catalog.date,
	valid_to pg_catalog.date,
	checked_on pg_catalog.date,
	PRIMARY KEY (jurisdiction, rights)
);
COMMENT ON TABLE hub.right_rule_default IS 'Deadlines for requests of data subjects that the extension comes with; hub.right_rule_own overrides them';

CREATE TABLE hub.right_rule_own (LIKE hub.right_rule_default INCLUDING ALL);
COMMENT ON TABLE hub.right_rule_own IS 'Deadlines that this hub goes by, in place of the defaults of the same jurisdiction and right';
SELECT pg_catalog.pg_extension_config_dump('hub.right_rule_own', '');

CREATE VIEW hub.right_rule AS
	SELECT o.*, o.source_kind = 'memory' AS unverified, true AS own FROM hub.right_rule_own o
	UNION ALL
	SELECT d.*, d.source_kind = 'memory', false FROM hub.right_rule_default d
	WHERE NOT EXISTS (SELECT FROM hub.right_rule_own o WHERE o.jurisdiction = d.jurisdiction AND o.rights && d.rights);
COMMENT ON VIEW hub.right_rule IS 'How long there is to answer a request of a data subject, by jurisdiction and right';
COMMENT ON COLUMN hub.right_rule.rights IS 'access, portability, confirmation, rectification, erasure, restriction, objection, opt_out; * for all';
COMMENT ON COLUMN hub.right_rule.due IS 'time that the law gives, in due_unit; null where it gives no number';
COMMENT ON COLUMN hub.right_rule.policy_due IS 'house policy where the law gives no number, in policy_unit; not law';
COMMENT ON COLUMN hub.right_rule.clock_start IS 'receipt; receipt_or_verified: the later of both; outcome: the decision on the request';
COMMENT ON COLUMN hub.right_rule.extension IS 'by how much it can be extended once, in extension_unit; null with a note where the law gives no number';
COMMENT ON COLUMN hub.right_rule.pausable IS 'the clock stops while the requester has to clarify or to prove who they are';
COMMENT ON COLUMN hub.right_rule.source_kind IS 'statute, regulation, secondary: looked up there; memory: nobody looked it up';
COMMENT ON COLUMN hub.right_rule.checked_on IS 'when somebody last compared it with its source; null: never';
COMMENT ON COLUMN hub.right_rule.unverified IS 'written down from memory';

INSERT INTO hub.right_rule_default VALUES
	('EU', '{*}', NULL, NULL, 1, 'month', NULL, NULL, 'receipt', 2, 'month', NULL, false, 'GDPR 12(3)', 'statute', '2018-05-25', NULL, '2026-11-22'),
	('GB', '{*}', NULL, NULL, 1, 'month', NULL, NULL, 'receipt_or_verified', 2, 'month', NULL, true, 'UK GDPR 12A', 'secondary', '2026-02-05', NULL, '2026-11-22'),
	('US-CA', '{access,erasure,rectification}', 10, 'business_day', 45, 'day', NULL, NULL, 'receipt', 45, 'day', NULL, false, '11 CCR 7021', 'regulation', NULL, NULL, '2026-11-22'),
	('US-CA', '{opt_out,restriction}', NULL, NULL, 15, 'business_day', NULL, NULL, 'receipt', 0, NULL, NULL, false, '11 CCR 7026(f)', 'memory', NULL, NULL, NULL),
	('BR', '{access}', NULL, NULL, 15, 'day', NULL, NULL, 'receipt', 0, NULL, NULL, false, 'LGPD 19 II', 'statute', NULL, NULL, '2026-11-22'),
	('BR', '{confirmation}', NULL, NULL, 0, 'day', NULL, NULL, 'receipt', 0, NULL, NULL, false, 'LGPD 19 I', 'statute', NULL, NULL, '2026-11-22'),
	('CN', '{*}', NULL, NULL, NULL, NULL, 15, 'business_day', 'receipt', 0, NULL, NULL, false, 'PIPL 50 (no number in the Act)', 'memory', NULL, NULL, NULL),
	('SG', '{access}', NULL, NULL, 30, 'day', NULL, NULL, 'receipt', NULL, NULL, 'notice', false, 'PDP Regs 2021 reg 5', 'memory', NULL, NULL, NULL),
	('TH', '{access}', NULL, NULL, 30, 'day', NULL, NULL, 'receipt', NULL, NULL, 'rules', false, 'PDPA 30', 'statute', NULL, NULL, '2026-11-22'),
	('TH', '{erasure}', NULL, NULL, 90, 'day', NULL, NULL, 'receipt', 0, NULL, NULL, false, 'PDPC Notice 2567 (2024-11-11)', 'secondary', '2024-11-11', NULL, '2026-11-22'),
	('JP', '{*}', NULL, NULL, NULL, NULL, 14, 'day', 'receipt', 0, NULL, NULL, false, 'APPI 33-35 "without delay"', 'memory', NULL, NULL, NULL),
	('CA', '{access}', NULL, NULL, 30, 'day', NULL, NULL, 'receipt', 30, 'day', NULL, false, 'PIPEDA 8(3)-(4)', 'statute', NULL, NULL, '2026-11-22'),
	('IN', '{*}', NULL, NULL, 90, 'day', NULL, NULL, 'receipt', 0, NULL, NULL, false, 'DPDP Rules 14', 'memory', '2027-05-01', NULL, NULL),
	('ZA', '{rectification,erasure}', NULL, NULL, 30, 'day', NULL, NULL, 'outcome', 0, NULL, NULL, false, 'POPIA Regs 2025', 'secondary', NULL, NULL, '2026-11-22');

CREATE TABLE hub.breach_rule_default (
	jurisdiction pg_catalog.text NOT NULL,
	recipient pg_catalog.text NOT NULL CHECK (recipient IN ('authority', 'subject')),
	stage pg_catalog.text NOT NULL DEFAULT 'only',
	condition pg_catalog.text NOT NULL,
	due pg_catalog.int4,
	due_unit pg_catalog.text,
	wording pg_catalog.text,
	clock_start pg_catalog.text NOT NULL DEFAULT 'awareness',
	article pg_catalog.text NOT NULL,
	source_kind pg_catalog.text NOT NULL,
	valid_from pg_catalog.date,
	valid_to pg_catalog.date,
	checked_on pg_catalog.date,
	PRIMARY KEY (jurisdiction, recipient, stage, condition)
);
COMMENT ON TABLE hub.breach_rule_default IS 'Clocks of breach notification that the extension comes with; hub.breach_rule_own overrides them';

CREATE TABLE hub.breach_rule_own (LIKE hub.breach_rule_default INCLUDING ALL);
COMMENT ON TABLE hub.breach_rule_own IS 'Clocks of breach notification that this hub goes by, in place of the defaults of the same jurisdiction and recipient';
SELECT pg_catalog.pg_extension_config_dump('hub.breach_rule_own', '');

CREATE VIEW hub.breach_rule AS
	SELECT o.*, o.source_kind = 'memory' AS unverified, true AS own FROM hub.breach_rule_own o
	UNION ALL
	SELECT d.*, d.source_kind = 'memory', false FROM hub.breach_rule_default d
	WHERE NOT EXISTS (SELECT FROM hub.breach_rule_own o WHERE o.jurisdiction = d.jurisdiction AND o.recipient = d.recipient);
COMMENT ON VIEW hub.breach_rule IS 'How soon whom to notify of a breach, by jurisdiction';
COMMENT ON COLUMN hub.breach_rule.condition IS 'what makes the notification due';
COMMENT ON COLUMN hub.breach_rule.due IS 'time in due_unit; null where the law gives words only';
COMMENT ON COLUMN hub.breach_rule.wording IS 'the words where the law gives no number';
COMMENT ON COLUMN hub.breach_rule.clock_start IS 'awareness of the breach; assessment that it has to be notified; subject_notice: notice to the data subjects';
COMMENT ON COLUMN hub.breach_rule.unverified IS 'written down from memory';

INSERT INTO hub.breach_rule_default VALUES
	('EU', 'authority', 'only', 'risk', 72, 'hour', NULL, 'awareness', 'GDPR 33', 'statute', '2018-05-25', NULL, '2026-11-22'),
	('EU', 'subject', 'only', 'high risk', NULL, NULL, 'without undue delay', 'awareness', 'GDPR 34', 'statute', '2018-05-25', NULL, '2026-11-22'),
	('GB', 'authority', 'only', 'risk', 72, 'hour', NULL, 'awareness', 'UK GDPR 33', 'secondary', NULL, NULL, '2026-11-22'),
	('US-CA', 'subject', 'only', 'unencrypted personal information', 30, 'day', NULL, 'awareness', 'Civ 1798.82', 'secondary', '2026-01-01', NULL, '2026-11-22'),
	('US-CA', 'authority', 'only', 'more than 500 residents', 15, 'day', NULL, 'subject_notice', 'Civ 1798.82(f)', 'secondary', '2026-01-01', NULL, '2026-11-22'),
	('BR', 'authority', 'only', 'relevant risk', 3, 'business_day', NULL, 'awareness', 'Res ANPD 15/2024 art 6', 'secondary', NULL, NULL, '2026-11-22'),
	('BR', 'subject', 'only', 'relevant risk', 3, 'business_day', NULL, 'awareness', 'Res ANPD 15/2024', 'secondary', NULL, NULL, '2026-11-22'),
	('CN', 'authority', 'only', 'leak', NULL, NULL, 'immediately', 'awareness', 'PIPL 57', 'memory', NULL, NULL, NULL),
	('CN', 'authority', 'only', 'graded incident', 4, 'hour', NULL, 'awareness', 'CAC measures', 'secondary', '2025-11-01', NULL, '2026-11-22'),
	('SG', 'authority', 'only', '500 persons or significant harm', 3, 'day', NULL, 'assessment', 'PDPA 26D', 'secondary', NULL, NULL, '2026-11-22'),
	('TH', 'authority', 'only', 'risk', 72, 'hour', NULL, 'awareness', 'PDPA 37(4)', 'secondary', NULL, NULL, '2026-11-22'),
	('JP', 'authority', 'preliminary', 'one of four triggers, or more than 1000 persons', 5, 'day', NULL, 'awareness', 'Rules 8(1)', 'secondary', NULL, NULL, '2026-11-22'),
	('JP', 'authority', 'final', 'one of four triggers, or more than 1000 persons', 30, 'day', NULL, 'awareness', 'Rules 8(2)', 'statute', NULL, NULL, '2026-11-22'),
	('JP', 'authority', 'final', 'malicious', 60, 'day', NULL, 'awareness', 'Rules 8(2)', 'statute', NULL, NULL, '2026-11-22'),
	('CA', 'authority', 'only', 'real risk of significant harm', NULL, NULL, 'as soon as feasible', 'awareness', 'PIPEDA 10.1', 'secondary', NULL, NULL, '2026-11-22'),
	('IN', 'authority', 'only', 'any', 72, 'hour', NULL, 'awareness', 'Rule 7', 'secondary', '2027-05-01', NULL, '2026-11-22'),
	('ZA', 'authority', 'only', 'reasonable grounds', NULL, NULL, 'as soon as reasonably possible', 'awareness', 'POPIA 22', 'secondary', NULL, NULL, '2026-11-22');

CREATE TABLE hub.holiday (
	jurisdiction pg_catalog.text NOT NULL,
	day pg_catalog.date NOT NULL,
	PRIMARY KEY (jurisdiction, day)
);
COMMENT ON TABLE hub.holiday IS 'Days besides weekends that are no business days; filled by the hub''s owner';
SELECT pg_catalog.pg_extension_config_dump('hub.holiday', '');

REVOKE ALL ON hub.right_rule_default, hub.right_rule_own, hub.right_rule, hub.breach_rule_default, hub.breach_rule_own,
	hub.breach_rule, hub.holiday FROM PUBLIC;
GRANT SELECT ON hub.right_rule, hub.breach_rule, hub.holiday TO hub_agent, hub_sales, hub_manager, hub_compliance, hub_admin;
GRANT INSERT, UPDATE, DELETE ON hub.holiday TO hub_admin;

-- From the narrowest: US-CA, US; DE, EU.
CREATE FUNCTION hub.jurisdictions_of(jurisdiction pg_catalog.text) RETURNS pg_catalog.text[]
	LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT array_remove(ARRAY[
		$1,
		nullif(split_part($1, '-', 1), $1),
		CASE WHEN split_part($1, '-', 1) IN ('AT', 'BE', 'BG', 'CY', 'CZ', 'DE', 'DK', 'EE', 'ES', 'FI', 'FR', 'GR', 'HR', 'HU',
			'IE', 'IT', 'LT', 'LU', 'LV', 'MT', 'NL', 'PL', 'PT', 'RO', 'SE', 'SI', 'SK', 'IS', 'LI', 'NO') THEN 'EU' END], NULL)
$$;
COMMENT ON FUNCTION hub.jurisdictions_of IS 'Jurisdictions whose rules hold in a region, the narrowest first; EU stands for the European Economic Area, where the GDPR holds';

CREATE FUNCTION hub.add_time(start pg_catalog.timestamptz, amount pg_catalog.int4, unit pg_catalog.text, jurisdiction pg_catalog.text)
	RETURNS pg_catalog.timestamptz
	LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	result timestamptz := start;
	left_over int := amount;
BEGIN
	CASE unit
		WHEN 'hour' THEN result := start + make_interval(hours => amount);
		WHEN 'day' THEN result := start + make_interval(days => amount);
		WHEN 'month' THEN result := start + make_interval(months => amount);
		WHEN 'business_day' THEN
			WHILE left_over > 0 LOOP
				result := result + interval '1 day';
				IF extract(isodow FROM result) < 6 AND NOT EXISTS (
					SELECT FROM hub.holiday h
					WHERE h.day = result::date AND h.jurisdiction = ANY (hub.jurisdictions_of(add_time.jurisdiction))) THEN
					left_over := left_over - 1;
				END IF;
			END LOOP;
		ELSE
			RAISE EXCEPTION 'unit "%" of a deadline is unknown', unit USING ERRCODE = 'invalid_parameter_value',
				HINT = 'Units are hour, day, business_day and month.';
	END CASE;
	RETURN result;
END
$$;
COMMENT ON FUNCTION hub.add_time IS 'End of a time limit; business days leave out weekends and hub.holiday';
