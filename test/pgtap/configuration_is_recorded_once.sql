-- Each change of the configuration is one event, with who made it, whether it was made by
-- the function for it or by hand; and no function records what its table records.
SELECT plan(7);
SELECT hub.create_hub() \g /dev/null
CREATE ROLE ada LOGIN;
CREATE ROLE anna LOGIN;
CREATE TABLE public.person (id uuid PRIMARY KEY, region hub.region, mail text, closed_at timestamptz, merged_into uuid);
SELECT hub.add_member('ada', 'hub_admin', 'ada', '{DE}', '{1}', '{1}') \g /dev/null

-- what each call is to leave: relation and operation of its one event, with what else is recorded of other kinds
CREATE TABLE public.change (n serial, call text, relation text, operation text, xid xid8);
INSERT INTO public.change (call, relation, operation) VALUES
	($$hub.create_role('hub_helper', 'hub_agent')$$, 'hub.hub_role_custom', 'INSERT'),
	($$hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}')$$, 'hub.member', 'INSERT'),
	($$hub.set_member_scope(2, '{DE,FR}', '{1}', '{1}')$$, 'hub.member', 'UPDATE'),
	($$hub.set_member_role(2, 'hub_sales')$$, 'hub.member', 'UPDATE'),
	($$hub.deactivate_member(2)$$, 'hub.member', 'UPDATE'),
	($$hub.reactivate_member(2)$$, 'hub.member', 'UPDATE'),
	($$hub.add_token_issuer('k1', '\x3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')$$, 'hub.token_issuer', 'INSERT'),
	($$hub.revoke_token_issuer('k1')$$, 'hub.token_issuer', 'UPDATE'),
	($$hub.set_clearance('hub_agent', 'basic', 'mask')$$, 'hub.clearance', 'INSERT'),
	($$hub.set_clearance('hub_agent', 'basic', 'deny')$$, 'hub.clearance', 'UPDATE'),
	($$hub.set_break_glass_clearance('hub_agent', 'contact', 'reveal')$$, 'hub.break_glass_clearance', 'INSERT'),
	($$hub.set_purpose('survey', 'mask')$$, 'hub.purpose_own', 'INSERT'),
	($$hub.set_region_group('DACH', '{DE,AT,CH}')$$, 'hub.region_group_own', 'INSERT'),
	($$hub.add_data_class('shoe_size')$$, 'hub.data_class_custom', 'INSERT'),
	($$hub.set_word_search('content', true)$$, 'hub.word_search', 'INSERT'),
	($$hub.set_word_search('content', false)$$, 'hub.word_search', 'DELETE'),
	($$hub.set_export_ceiling('hub_agent', 10)$$, 'hub.export_ceiling', 'INSERT'),
	($$hub.set_reveal_quota('hub_agent', 10)$$, 'hub.export_ceiling', 'UPDATE'),
	($$hub.set_approval_policy('export', 2, '{hub_compliance}')$$, 'hub.approval_policy', 'INSERT'),
	($$hub.govern('public.person', 'id')$$, 'hub.governed', 'INSERT'),
	($$hub.classify('public.person', 'mail', 'contact')$$, 'hub.classification', 'INSERT'),
	($$hub.classify('public.person', 'mail', 'basic')$$, 'hub.classification', 'UPDATE'),
	($$hub.set_subject_action('public.person', 'redact', 'law')$$, 'hub.subject_action', 'INSERT'),
	($$hub.set_subject_merge('public.person', 'merged_into')$$, 'hub.subject_merge', 'INSERT'),
	($$hub.set_retention_clock('public.person', 'closed_at')$$, 'hub.retention_clock', 'INSERT'),
	($$hub.set_retention('public.person', 'service', NULL, '1 year', 'delete', 'law')$$, 'hub.retention_rule', 'INSERT'),
	($$hub.set_backup_retention('30 days')$$, 'hub.backup_retention', 'INSERT'),
	($$hub.add_business_line('Shoes')$$, 'crm.business_line', 'INSERT'),
	($$hub.add_team('North', 'DE', 1)$$, 'crm.team', 'INSERT'),
	($$hub.add_channel_account('whatsapp', '123', 'DE', 1, 1, 'invented secret')$$, 'crm.channel_account', 'INSERT'),
	($$hub.set_channel_account(1, false)$$, 'crm.channel_account', 'UPDATE'),
	($$hub.set_channel_account(1, true)$$, 'crm.channel_account', 'UPDATE'),
	($$hub.set_channel_account(1, secret => 'another invented secret')$$, 'crm.channel_account', 'UPDATE'),
	($$hub.ungovern('public.person')$$, 'hub.governed', 'DELETE'),
	($$hub.open_tag_generation()$$, NULL, NULL),
	($$hub.rotate_audit_key()$$, 'hub.audit_key', 'ROTATE');
CALL hub.seal_audit();
CREATE PROCEDURE public.make_changes() LANGUAGE plpgsql AS $$
DECLARE
	this public.change;
BEGIN
	FOR this IN SELECT * FROM public.change ORDER BY n LOOP
		EXECUTE 'SELECT ' || this.call;
		UPDATE public.change c SET xid = hub.audit_xid() WHERE c.n = this.n;
		COMMIT;
	END LOOP;
END
$$;
CALL public.make_changes();

-- roles and grants of PostgreSQL are recorded as such, and what class the columns have that govern goes by
CREATE VIEW public.recorded AS
SELECT c.n, c.call, e.relation, e.operation, e.row_key, e.changed, e.details, t.login
FROM public.change c LEFT JOIN hub.audit_event e ON e.xid = c.xid AND e.kind = 'config'
	AND coalesce(e.operation, '') NOT IN ('CREATE ROLE', 'GRANT ROLE', 'REVOKE ROLE')
	AND NOT (c.call LIKE 'hub.govern(%' AND e.relation = 'hub.classification')
LEFT JOIN hub.audit_transaction t ON t.xid = e.xid;
SELECT results_eq('SELECT call, relation, operation FROM public.recorded ORDER BY n, relation, operation',
	'SELECT call, relation, operation FROM public.change ORDER BY n', 'exactly one event for each change');
SELECT is(changed, '{"new": {"level": "deny"}, "old": {"level": "mask"}, "columns": ["level"]}', 'with old and new values')
FROM public.recorded WHERE call LIKE '%''deny''%';
SELECT is(row_key, '{"role": "hub_agent", "data_class": "basic"}', 'and what they are of') FROM public.recorded WHERE call LIKE '%''deny''%';
SELECT is(string_agg(coalesce(changed ->> 'columns', '-'), ' ' ORDER BY n), '["secret"] ["active"] ["active"] ["secret"]', 'of a secret it says that there is one, or another')
FROM public.recorded WHERE relation = 'crm.channel_account';

-- by hand, past the functions
BEGIN;
UPDATE hub.clearance SET level = 'token' WHERE role = 'hub_agent' AND data_class = 'basic';
SELECT is(count(*), 1::bigint, 'a change past the functions is one event too') FROM hub.audit_event WHERE xid = hub.audit_xid();
ROLLBACK;
-- what changes nothing is no change
BEGIN;
SELECT hub.set_clearance('hub_agent', 'basic', 'deny') \g /dev/null
SELECT is(count(*), 0::bigint, 'what was so before is no change') FROM hub.audit_event WHERE xid = hub.audit_xid();
ROLLBACK;
SELECT is(count(*), 0::bigint, 'a secret is never recorded') FROM hub.audit_event e WHERE e::text LIKE '%invented secret%';
SELECT * FROM finish();
