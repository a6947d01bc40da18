-- Hub roles, members, issuers and clearances: what may be configured, by whom, and what is refused.
\set VERBOSITY terse

SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, shobj_description(oid, 'pg_authid') IS NOT NULL AS has_comment
FROM pg_roles JOIN hub.hub_role ON name = rolname ORDER BY 1;
SELECT * FROM hub.hub_role ORDER BY 1;

-- members
CREATE ROLE anna LOGIN;
CREATE ROLE boss LOGIN;
CREATE ROLE root LOGIN SUPERUSER;
CREATE ROLE above LOGIN BYPASSRLS;
CREATE ROLE team NOLOGIN;
SELECT hub.add_member('anna', 'hub_sales', 'anna', '{DE,US-CA}', '{2,1}', '{7}');
SELECT hub.add_member('boss', 'hub_admin', 'boss');
SELECT hub.add_member('tokens only', 'hub_agent', regions => '{DE}');
SELECT member_id, external_id, role, db_role, regions, lines, teams, active FROM hub.member ORDER BY 1;
SELECT pg_has_role('anna', 'hub_sales', 'member') AS granted;

\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT hub.add_member('x', 'hub_clerk');
SELECT hub.add_member('x', 'pg_monitor');
SELECT hub.add_member('anna', 'hub_agent');
SELECT hub.add_member('x', 'hub_agent', 'nobody');
SELECT hub.add_member('x', 'hub_agent', 'root');
SELECT hub.add_member('x', 'hub_agent', 'above');
SELECT hub.add_member('x', 'hub_agent', 'team');
SELECT hub.add_member('x', 'hub_agent', 'anna');
SELECT hub.add_member('', 'hub_agent');
SELECT hub.add_member(NULL, 'hub_agent');
SELECT hub.add_member('x', 'hub_agent', regions => '{DE,NULL}');
SELECT hub.add_member('x', 'hub_agent', regions => '{*}');
SELECT hub.deactivate_member(99);
SELECT hub.deactivate_member(NULL);
SELECT hub.set_member_scope(1, NULL, '{}', '{}');
SELECT hub.set_member_role(1, 'hub_clerk');

-- a direct login
SET SESSION AUTHORIZATION anna;
SELECT * FROM hub.whoami();
SET ROLE hub_sales;
SELECT external_id, current_user FROM hub.whoami();
RESET ROLE;
SELECT hub.authenticate('x');
SELECT hub.add_member('x', 'hub_agent');
SET ROLE hub_admin;
SELECT * FROM hub.member;
SELECT * FROM hub.token_issuer;
RESET SESSION AUTHORIZATION;

-- granted the role is not yet a member
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_admin TO pooled;
SET SESSION AUTHORIZATION pooled;
SET ROLE hub_admin;
SELECT count(*) FROM hub.member;
SELECT hub.add_member('x', 'hub_agent');
SELECT hub.set_clearance('hub_agent', 'special', 'reveal');
RESET SESSION AUTHORIZATION;

-- an administrator
SET SESSION AUTHORIZATION boss;
SELECT hub.add_member('carl', 'hub_agent', 'boss');
SELECT hub.add_member('carl', 'hub_agent', regions => '{FR}');
SELECT hub.set_member_role(2, 'hub_sales');
SELECT hub.set_member_scope(1, '{FR}', '{3}', '{}');
SELECT hub.set_member_role(1, 'hub_agent');
SELECT hub.add_token_issuer('mine', '\x00');
SELECT member_id, external_id FROM hub.member ORDER BY 1;
SET ROLE hub_admin;
SELECT count(*) FROM hub.member;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION anna;
SELECT * FROM hub.whoami();
RESET SESSION AUTHORIZATION;
SELECT pg_has_role('anna', 'hub_sales', 'member') AS still_sales, pg_has_role('anna', 'hub_agent', 'member') AS agent;
SELECT hub.deactivate_member(1);
SELECT hub.deactivate_member(1);
SET SESSION AUTHORIZATION anna;
SELECT count(*) FROM hub.whoami();
RESET SESSION AUTHORIZATION;
SELECT pg_has_role('anna', 'hub_agent', 'member') AS still_agent;
SELECT hub.reactivate_member(1);
SET SESSION AUTHORIZATION anna;
SELECT external_id, role FROM hub.whoami();
RESET SESSION AUTHORIZATION;
-- the login must still be granted the role
REVOKE hub_agent FROM anna;
SET SESSION AUTHORIZATION anna;
SELECT count(*) FROM hub.whoami();
RESET SESSION AUTHORIZATION;

-- issuers
\set key 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
SELECT hub.add_token_issuer('rfc8032', decode(:'key', 'hex'), '2026-01-01Z');
SELECT hub.add_token_issuer('rfc8032', decode(:'key', 'hex'));
SELECT hub.add_token_issuer('short', '\xd75a98');
SELECT hub.add_token_issuer('zero', decode(repeat('00', 32), 'hex'));
SELECT hub.add_token_issuer('one', decode('01' || repeat('00', 31), 'hex'));
SELECT hub.add_token_issuer('off the curve', decode('02' || repeat('00', 31), 'hex'));
SELECT hub.add_token_issuer('not canonical', decode('f0' || repeat('ff', 31), 'hex'));
SELECT hub.add_token_issuer('', decode(:'key', 'hex'));
SELECT hub.add_token_issuer(NULL, decode(:'key', 'hex'));
SELECT hub.add_token_issuer('never', decode(:'key', 'hex'), now(), now());
SELECT hub.revoke_token_issuer('nobody');
SELECT hub.revoke_token_issuer('rfc8032');
SELECT kid, valid_to <= clock_timestamp() AS revoked FROM hub.token_issuer;

-- clearances
SELECT role,
	max(level) FILTER (WHERE data_class = 'public') AS public,
	max(level) FILTER (WHERE data_class = 'basic') AS basic,
	max(level) FILTER (WHERE data_class = 'contact') AS contact,
	max(level) FILTER (WHERE data_class = 'content') AS content,
	max(level) FILTER (WHERE data_class = 'intent') AS intent,
	max(level) FILTER (WHERE data_class = 'financial') AS financial,
	max(level) FILTER (WHERE data_class = 'special') AS special
FROM hub.clearance_matrix GROUP BY role ORDER BY role;
SELECT hub.set_clearance('hub_clerk', 'intent', 'mask');
SELECT hub.set_clearance('hub_agent', 'secrets', 'mask');
SELECT hub.set_clearance('hub_agent', NULL, 'mask');
SELECT hub.set_clearance('hub_agent', 'intent', 'peek');
SELECT hub.set_clearance('hub_agent', 'intent', NULL);
SELECT hub.clearance_of('hub_clerk', 'intent');

-- roles of one's own
SELECT hub.create_role('hub_agent_lisbon', 'hub_agent');
SELECT hub.create_role('hub_agent_lisbon_night', 'hub_agent_lisbon');
SELECT * FROM hub.hub_role WHERE like_role IS NOT NULL ORDER BY 1;
SELECT pg_has_role('hub_agent_lisbon_night', 'hub_agent', 'usage') AS has_its_privileges;
SELECT hub.create_role('hub_agent_lisbon', 'hub_agent');
SELECT hub.create_role('team', 'hub_agent');
SELECT hub.create_role('hub_clerks', 'hub_clerk');
SELECT hub.create_role('Hub "Clerk"', 'hub_agent');
SELECT hub.create_role(NULL, 'hub_agent');
SELECT hub.create_role('hub_clerks', NULL);
SELECT hub.set_clearance('hub_agent', 'contact', 'reveal');
SELECT hub.clearance_of('hub_agent_lisbon_night', 'contact') AS from_agent;
SELECT hub.set_clearance('hub_agent_lisbon', 'contact', 'token');
SELECT hub.clearance_of('hub_agent', 'contact') AS agent, hub.clearance_of('hub_agent_lisbon', 'contact') AS lisbon,
	hub.clearance_of('hub_agent_lisbon_night', 'contact') AS from_lisbon;
SELECT hub.set_clearance('hub_agent_lisbon', 'contact', 'mask');
SELECT hub.clearance_of('hub_agent_lisbon_night', 'contact') AS from_lisbon;

-- classes of one's own
SELECT hub.add_data_class('shoe_size');
SELECT role, level FROM hub.clearance_matrix WHERE data_class = 'shoe_size' ORDER BY role;
SELECT hub.set_clearance('hub_agent', 'shoe_size', 'reveal');
SELECT hub.clearance_of('hub_agent', 'shoe_size'), hub.clearance_of('hub_agent_lisbon_night', 'shoe_size'), hub.clearance_of('hub_sales', 'shoe_size');

-- all of it is in the audit
SELECT e.relation, e.operation, count(*) FROM hub.audit_event e
WHERE e.kind = 'config' AND e.relation IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2;

-- the carrier is not for setting, and says nothing
SET customer_hub.identity = 'secret';
SELECT set_config('customer_hub.identity', 'secret', true);
ALTER ROLE anna SET customer_hub.identity = 'secret';
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET customer_hub.identity = ''secret''', current_database()); END $$;
ALTER SYSTEM SET customer_hub.identity = 'secret';
CREATE FUNCTION f() RETURNS void LANGUAGE sql SET customer_hub.identity = 'secret' AS '';
SET customer_hub.identity = '';
SHOW customer_hub.identity;
RESET customer_hub.identity;
RESET ALL;
SELECT hub.authenticate(NULL);
