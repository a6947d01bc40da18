-- Each weakness is made, and hub.posture() names it with a hint; before, it named none of them.
BEGIN;
SELECT plan(103);
CREATE ROLE anna LOGIN;
CREATE ROLE colin LOGIN;
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_manager TO pooled;
CREATE ROLE robin LOGIN;
CREATE SCHEMA shop;
CREATE TABLE shop.person (person_id uuid NOT NULL, region hub.region, team_id int, owner_id int, name hub.encrypted_text('basic'));
CREATE INDEX ON shop.person (person_id);
CREATE INDEX ON shop.person (region);
SELECT hub.govern('shop.person', 'person_id', 'region', NULL, 'team_id', 'owner_id') \g /dev/null
GRANT SELECT ON shop.person TO hub_agent;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}') AS anna \gset
SELECT hub.add_member('colin', 'hub_compliance', 'colin') \g /dev/null
CREATE TABLE before AS SELECT * FROM hub.posture();
SELECT is_empty('SELECT * FROM before WHERE object LIKE ''shop.%'' OR severity = ''critical''', 'nothing is wrong with the table to begin with');

-- makes a weakness by a statement, looks for it, and takes it back
CREATE FUNCTION finds(weakness text, wanted_severity text, wanted_object text, wanted_finding text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	found record;
	clean bool := NOT EXISTS (SELECT FROM before b WHERE b.object LIKE wanted_object AND b.finding LIKE wanted_finding);
BEGIN
	BEGIN
		EXECUTE weakness;
		SELECT * INTO found FROM hub.posture() p
		WHERE p.severity = wanted_severity AND p.object LIKE wanted_object AND p.finding LIKE wanted_finding;
		RAISE EXCEPTION USING ERRCODE = 'ZZ001';
	EXCEPTION WHEN SQLSTATE 'ZZ001' THEN
	END;
	RETURN NEXT ok(clean AND found.object IS NOT NULL, format('%s: %s', wanted_object, wanted_finding));
	RETURN NEXT ok(length(found.hint) > 15, 'with a hint: ' || coalesce(found.hint, 'none'));
END
$$;

-- the relation
SELECT finds('CREATE TABLE shop.other (n int, note hub.encrypted_text(''content''))', 'medium', 'shop.other', 'encrypted columns of a table that is not governed%');
SELECT finds('ALTER TABLE shop.person ADD shoe_size int', 'medium', 'shop.person.shoe_size', 'column is not classified%');
SELECT finds('ALTER TABLE shop.person ADD salary int; SELECT hub.classify(''shop.person'', ''salary'', ''financial'')', 'high', 'shop.person.salary', 'column of class financial is not encrypted');
SELECT finds('ALTER TABLE shop.person ALTER person_id DROP NOT NULL', 'medium', 'shop.person', 'data subject column person_id may be null');
SELECT finds('DROP INDEX shop.person_region_idx', 'low', 'shop.person', 'no index begins with column region%');
SELECT finds('REVOKE SELECT ON shop.person FROM hub_agent', 'low', 'shop.person', 'no hub role has been granted SELECT');
SELECT finds('GRANT SELECT ON shop.person TO PUBLIC', 'high', 'shop.person', 'PUBLIC has been granted select');
SELECT finds('GRANT SELECT (region) ON shop.person TO PUBLIC', 'high', 'shop.person', 'PUBLIC has been granted select on column region');
SELECT finds('GRANT TRIGGER ON shop.person TO hub_agent', 'high', 'shop.person', 'hub_agent has been granted trigger');
SELECT finds('GRANT REFERENCES ON shop.person TO pooled', 'medium', 'shop.person', 'pooled has been granted references');
SELECT finds('UPDATE pg_policy SET polqual = (SELECT q.polqual FROM pg_policy q WHERE q.polname = ''hub_compliance_select'') WHERE polname = ''hub_agent_select''',
	'critical', 'shop.person', 'row policy hub_agent_select was changed');
SELECT finds('DELETE FROM pg_policy WHERE polname = ''hub_agent_insert''', 'high', 'shop.person', 'row policy hub_agent_insert is missing');
SELECT finds('UPDATE pg_class SET relforcerowsecurity = false WHERE relname = ''person''', 'critical', 'shop.person', 'row security is not forced on its owner');
SELECT finds('DELETE FROM hub.governed', 'critical', 'shop.person', 'relation has triggers of customer_hub and is not registered');
SELECT finds('CREATE PUBLICATION news FOR TABLE shop.person', 'medium', 'publication news', 'governed relation shop.person is published');
SELECT finds('CREATE PUBLICATION news FOR ALL TABLES', 'medium', 'publication news', 'governed relation shop.person is published');
SELECT finds('GRANT CREATE ON SCHEMA shop TO hub_agent', 'high', 'shop', 'hub_agent may create objects in the schema');
SELECT finds('GRANT CREATE ON SCHEMA public TO PUBLIC', 'high', 'public', 'PUBLIC may create objects in the schema');

-- what reads it
SELECT finds('CREATE VIEW shop.window AS SELECT * FROM shop.person', 'critical', 'shop."window"', 'view reads governed rows past the row policies%');
SELECT finds('CREATE MATERIALIZED VIEW shop.shelf AS SELECT * FROM shop.person', 'high', 'shop.shelf', 'materialized view keeps a copy%');
SELECT finds('CREATE FUNCTION shop.everybody() RETURNS SETOF shop.person LANGUAGE plpgsql SECURITY DEFINER AS ''BEGIN RETURN QUERY SELECT * FROM shop.person; END''',
	'high', 'shop.everybody()', 'function runs as postgres, above row security, and names governed relation shop.person');
SELECT finds('CREATE FUNCTION shop.everybody() RETURNS bigint LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT count(*) FROM shop.person; END',
	'high', 'shop.everybody()', 'function runs as postgres, above row security%');

-- roles
SELECT finds('ALTER ROLE anna BYPASSRLS', 'critical', 'anna', 'login with hub roles has BYPASSRLS');
SELECT finds('ALTER ROLE anna SUPERUSER', 'critical', 'anna', 'login with hub roles is a superuser');
SELECT finds('ALTER ROLE hub_agent LOGIN', 'critical', 'hub_agent', 'hub role can log in%');
SELECT finds('ALTER ROLE pooled INHERIT; REVOKE hub_agent FROM pooled; GRANT hub_agent TO pooled', 'high', 'pooled', 'login is nobody''s own, has hub roles and inherits their rights');
SELECT finds('GRANT hub_manager TO anna', 'medium', 'anna', 'login of a member has several hub roles%');
SELECT finds('ALTER ROLE robin BYPASSRLS', 'high', 'robin', 'role has BYPASSRLS%');
SELECT finds('ALTER ROLE robin REPLICATION', 'medium', 'robin', 'role has REPLICATION%');
SELECT finds('ALTER ROLE pooled CREATEROLE', 'high', 'pooled', 'role can make or change roles: CREATEROLE');
SELECT finds('GRANT pg_read_all_data TO robin', 'high', 'robin', 'role has pg_read_all_data%');
SELECT finds('GRANT pg_read_server_files TO hub_agent', 'critical', 'hub_agent', 'role has pg_read_server_files%');
SELECT finds('GRANT pg_execute_server_program TO anna', 'critical', 'anna', 'role has pg_execute_server_program%');
SELECT finds(format('SELECT hub.deactivate_member(%s); SELECT hub.add_member(''anna the second'', ''hub_agent'', ''anna'')', :anna), 'low', 'anna', 'login was given from member to member%');

SELECT finds('ALTER ROLE robin CREATEROLE', 'high', 'robin', 'role has CREATEROLE and can set the passwords%') WHERE current_setting('server_version_num')::int < 160000;
SELECT pass('PostgreSQL 16 has bound CREATEROLE itself') FROM generate_series(1, 2) WHERE current_setting('server_version_num')::int >= 160000;
SELECT finds('GRANT hub_agent TO anna WITH ADMIN OPTION', 'medium', 'anna', 'role may grant hub role hub_agent to others');
SELECT finds('GRANT SELECT ON ALL TABLES IN SCHEMA hub TO robin', 'high', 'hub.subject_key', 'robin has been granted select on a table of the engine');
SELECT finds('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA hub TO robin', 'critical', 'hub.change_as_owner(regclass,text,tid[])', 'robin has been granted execute on a function of the engine');
SELECT finds('GRANT EXECUTE ON FUNCTION hub.posture() TO hub_agent', 'high', 'hub.posture()', 'hub_agent has been granted execute%');
SELECT finds('ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC', 'medium', 'schema shop', 'what postgres creates is granted to PUBLIC');
SELECT finds('CREATE SCHEMA crm; CREATE TABLE crm.customer (n int); ALTER TABLE crm.customer OWNER TO robin', 'high', 'crm.customer', 'robin owns it, whose triggers%');

-- the server
SELECT finds('CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR PUBLIC SERVER s', 'medium', 'foreign server s', 'everybody is the same user there');
SELECT finds('GRANT EXECUTE ON FUNCTION pg_read_file(text) TO hub_agent', 'high', 'pg_read_file(text)', 'hub_agent may call a function that reaches files%');
SELECT finds('CREATE LANGUAGE wild HANDLER plpgsql_call_handler; CREATE FUNCTION shop.wild() RETURNS int LANGUAGE wild AS ''BEGIN END''', 'medium', 'shop.wild()', '%may call a function in the untrusted language wild');
SELECT finds('CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; GRANT USAGE ON FOREIGN SERVER s TO hub_agent', 'medium', 'foreign server s', 'hub_agent may make foreign tables on it');
SELECT finds('CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE shop.away (n int) SERVER s; GRANT INSERT ON shop.away TO hub_agent', 'medium', 'foreign table shop.away', 'hub_agent may write to a foreign table');
SELECT finds('CREATE FUNCTION hub.in_regions(text) RETURNS bool LANGUAGE sql AS ''SELECT true''', 'critical', 'hub.in_regions(text)', 'function in schema hub is not customer_hub''s');
SELECT finds('CREATE OR REPLACE FUNCTION hub.in_regions(hub.region) RETURNS bool LANGUAGE sql STABLE AS ''SELECT true''', 'critical', 'hub.in_regions(hub.region)', 'function that row policies or triggers call was replaced');
SELECT finds('ALTER ROLE anna SET session_replication_role = replica', 'high', 'role anna', 'is set to session_replication_role=replica');
SELECT finds('SET LOCAL customer_hub.redact_log = off', 'medium', 'customer_hub.redact_log', 'statements and values of members go to the server log');
SELECT finds('SET LOCAL log_statement = ''all''', 'low', 'log_statement', 'statements of sessions without identity are logged%');
SELECT * FROM finish();
ROLLBACK;
