-- One event that cannot be stored takes nothing else with it, and nothing of it stays.
BEGIN;
\i test/fixtures/desk.sql
SELECT plan(19);
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'not this one: %', TG_ARGV[1] USING ERRCODE = TG_ARGV[0];
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON crm.message FOR EACH ROW WHEN (NEW.kind = 'bad')
	EXECUTE FUNCTION public.refuse('P0001', 'secret text');
CREATE FUNCTION public.messages() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM crm.message';
CREATE FUNCTION public.customers() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM crm.customer';
SELECT batch(whatsapp('4915550000001', 'wamid.1', 'one'), whatsapp('4915550000002', 'wamid.2', 'two', type => 'bad'),
	whatsapp('4915550000003', 'wamid.3', 'three')) AS body \gset

SET SESSION AUTHORIZATION conny;
SELECT array_agg(status ORDER BY event_no) AS statuses, max(reason) AS reason, count(*) FILTER (WHERE customer_id IS NULL
	AND conversation_id IS NULL AND message_id IS NULL) AS without_ids FROM hub.ingest(:whatsapp, :'body') \gset
SELECT is(:'statuses'::text, '{new,rejected,new}', 'the events around a bad one are taken in');
SELECT is(:'reason'::text, 'it could not be stored (SQLSTATE P0001)', 'the reason quotes nothing');
SELECT is(:without_ids, 1, 'it names no rows');
SELECT is(messages(), 2::bigint, 'two messages are stored');
SELECT is(customers(), 2::bigint, 'and no customer of the bad one');

-- redelivered once the cause is gone, it is taken in
RESET SESSION AUTHORIZATION;
ALTER TABLE crm.message DISABLE TRIGGER refuse;
SET SESSION AUTHORIZATION conny;
SELECT results_eq(format('SELECT status FROM hub.ingest(%s, %L)', :whatsapp, :'body'), ARRAY['duplicate', 'new', 'duplicate'],
	'a rejected event can come again');
SELECT is(messages(), 3::bigint, 'and is stored then');

-- what a parser rejects or ignores loses nothing either
SELECT results_eq(format('SELECT status FROM hub.ingest(%1$s, batch(whatsapp(%2$L, NULL, %3$L), %4$L, whatsapp(%2$L, %5$L, %3$L)))', :whatsapp,
	'4915550000001', 'text', '{"entry": [{"changes": [{"value": {}, "field": "account_update"}, 7]}]}', 'wamid.4'),
	ARRAY['rejected', 'ignored', 'rejected', 'new'], 'events without an id, of no interest and of no shape');
SELECT is(messages(), 4::bigint, 'the good one is stored');
SELECT is(count(*) FILTER (WHERE reason IS NULL), 0::bigint, 'each says why')
FROM hub.ingest(:whatsapp, '{"entry": [{"changes": [{"value": {"messages": [{}, 5, null]}}, {}, 1]}, 2]}');

-- an error that is not the event's fault fails the call, so that the connector delivers again
RESET SESSION AUTHORIZATION;
DROP TRIGGER refuse ON crm.message;
CREATE TRIGGER refuse BEFORE INSERT ON crm.message FOR EACH ROW WHEN (NEW.kind = 'bad')
	EXECUTE FUNCTION public.refuse('40001', 'try again');
SET SESSION AUTHORIZATION conny;
SELECT throws_ok(format('SELECT * FROM hub.ingest(%1$s, batch(whatsapp(%2$L, %3$L, %4$L), whatsapp(%2$L, %5$L, %4$L, type => %6$L)))', :whatsapp,
	'4915550000009', 'wamid.8', 'x', 'wamid.9', 'bad'), '40001', NULL, 'a serialization failure is passed on');
SELECT is(messages(), 4::bigint, 'and the call has stored nothing');

-- who may call at all
SELECT throws_ok(format('SELECT hub.ingest(%s, %L)', 999, '{}'), 'CH602', NULL, 'an account that does not exist');
SET SESSION AUTHORIZATION stray;
SELECT throws_ok(format('SELECT hub.ingest(%s, %L)', :whatsapp, '{}'), 'CH203', NULL, 'the role alone, without an identity');
SET SESSION AUTHORIZATION annika;
SELECT throws_ok(format('SELECT hub.ingest(%s, %L)', :whatsapp, '{}'), '42501', NULL, 'an agent');
SELECT throws_ok('SELECT secret FROM crm.channel_account', '42501', NULL, 'nor does an agent read the secret of an account');
RESET SESSION AUTHORIZATION;
CREATE ROLE danish LOGIN;
SELECT hub.add_member('danish', 'hub_connector', 'danish', '{DK}', ARRAY[:line]) \g /dev/null
SET SESSION AUTHORIZATION danish;
SELECT throws_ok(format('SELECT hub.ingest(%s, %L)', :whatsapp, '{}'), 'CH205', NULL, 'a connector of another region');
SET SESSION AUTHORIZATION conny;
SELECT throws_ok('SELECT * FROM crm.message', '42501', NULL, 'a connector reads nothing');
SELECT throws_ok(format('INSERT INTO crm.customer (region, line_id) VALUES (%L, %s)', 'DE', :line), '42501', NULL, 'and writes through hub.ingest() only');
SELECT * FROM finish();
ROLLBACK;
