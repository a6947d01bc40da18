-- Partitions of crm.message are made ahead of time, and governed from the moment they exist.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(8);
SELECT is(hub.create_message_partitions(), 0, 'create_hub() has made those of this month and three more');
SELECT is(hub.create_message_partitions(6), 3, 'three more are missing for six');
SELECT is((SELECT count(*) FROM pg_inherits WHERE inhparent = 'crm.message'::regclass), 8::bigint, 'seven months and the default');
SELECT is((SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'crm.message'::regclass AND c.relrowsecurity AND c.relforcerowsecurity
	AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
	AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'zz_hub_seal')), 8::bigint, 'all of them governed');
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'new', 'a message comes') FROM hub.ingest(:telegram, telegram(77, 1, 'hello'));
RESET SESSION AUTHORIZATION;
SELECT is((SELECT tableoid::regclass::text FROM crm.message), 'crm.message_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM'), 'into its month');

-- a month that began without a partition
SET CONSTRAINTS ALL IMMEDIATE;
SELECT hub.ungovern('crm.message') \g /dev/null
SET CONSTRAINTS ALL DEFERRED;
SELECT format('crm.message_%s', to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')) AS month \gset
ALTER TABLE crm.message DETACH PARTITION :month;
DROP TABLE :month;
SELECT hub.govern('crm.message', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id') \g /dev/null
SET SESSION AUTHORIZATION conny;
SELECT is(status, 'new', 'a message of a month without a partition') FROM hub.ingest(:telegram, telegram(77, 2, 'hello'));
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
SELECT is(hub.create_message_partitions(), 0, 'keeps the month in the default partition');
SELECT * FROM finish();
ROLLBACK;
