-- audit_tampering_is_found: a superuser can change the tables of the audit trail;
-- hub.verify_audit() finds it, and names what was done. It runs here as a member of
-- hub_compliance. No transaction around this file, since sealing needs commits; each
-- change is rolled back after it was found.
SELECT plan(50);

CREATE ROLE clara LOGIN;
SELECT hub.add_member('clara', 'hub_compliance', 'clara', '{DE}', '{1}', '{1}') \g /dev/null

-- three sealed blocks of one transaction with three events each, then an unsealed tail
SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(1, 3) n \g /dev/null
CALL hub.seal_audit();
SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(4, 6) n \g /dev/null
CALL hub.seal_audit();
SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(7, 9) n \g /dev/null
CALL hub.seal_audit();
SELECT max(block_no) AS last, max(block_no) - 1 AS middle FROM hub.audit_block \gset
SELECT xid AS xid FROM hub.audit_event WHERE details ->> 'n' = '5' \gset

SELECT ok(:last >= 2, 'there are sealed blocks');
SET SESSION AUTHORIZATION clara;
SELECT is_empty('SELECT * FROM hub.verify_audit()', 'nothing is wrong with an untouched trail');
RESET SESSION AUTHORIZATION;

-- what a superuser does to get past the refusing triggers
SET session_replication_role = replica;

-- found as (kind, block, ordinal) in order
CREATE FUNCTION public.found() RETURNS text LANGUAGE sql SECURITY INVOKER AS $$
	SELECT coalesce(string_agg(format('%s %s %s', kind, block_no, ordinal), ', ' ORDER BY block_no, kind, ordinal), '')
	FROM hub.verify_audit()
$$;

BEGIN;
UPDATE hub.audit_event SET details = '{"n": 50}' WHERE details ->> 'n' = '5';
SET SESSION AUTHORIZATION clara;
SELECT is(count(*), 1::bigint, 'compliance sees a change') FROM hub.verify_audit();
RESET SESSION AUTHORIZATION;
SELECT is(public.found(), format('event %s 2', :middle), 'changed details of an event');
ROLLBACK;

BEGIN;
UPDATE hub.audit_event SET kind = 'consent' WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 2', :middle), 'a changed kind');
ROLLBACK;

BEGIN;
UPDATE hub.audit_event SET subject = gen_random_uuid() WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 2', :middle), 'a changed subject');
ROLLBACK;

BEGIN;
UPDATE hub.audit_event SET recorded_at = recorded_at - interval '1 us' WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 2', :middle), 'a changed time');
ROLLBACK;

BEGIN;
UPDATE hub.audit_event SET tag = decode(md5('x'), 'hex') WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 2', :middle), 'a changed tag');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_event WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 2', :middle), 'a deleted event');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_event WHERE details ->> 'n' = '6';
SELECT is(public.found(), format('event %s 3', :middle), 'a deleted event at the end of its transaction');
ROLLBACK;

BEGIN;
INSERT INTO hub.audit_event SELECT xid, 4, recorded_at, kind, relation, operation, subject, row_key, changed, sealed, details, tag
FROM hub.audit_event WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 4', :middle), 'an inserted event');
ROLLBACK;

BEGIN;
INSERT INTO hub.audit_event SELECT * FROM hub.audit_event WHERE details ->> 'n' = '5';
SELECT is(public.found(), format('event %s 2', :middle), 'a doubled event');
ROLLBACK;

BEGIN;
UPDATE hub.audit_event SET ordinal = 5 - ordinal WHERE xid = :'xid' AND ordinal IN (2, 3);
SELECT is(public.found(), format('event %s 2, event %1$s 3', :middle), 'two events in the other order');
ROLLBACK;

BEGIN;
UPDATE hub.audit_event SET xid = (SELECT max(xid) FROM hub.audit_event), ordinal = ordinal + 3 WHERE xid = :'xid';
SELECT matches(public.found(), format('transaction %s .*event %s 4', :middle, :last), 'events moved to another transaction');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_event WHERE xid = :'xid';
SELECT is(public.found(), format('transaction %s ', :middle), 'all events of a transaction deleted');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_transaction WHERE xid = :'xid';
SELECT is(public.found(), format('transaction %s ', :middle), 'a deleted transaction row');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_event WHERE xid = :'xid';
DELETE FROM hub.audit_transaction WHERE xid = :'xid';
SELECT is(public.found(), format('block %s , block %1$s ', :middle), 'a transaction deleted as if it had never been');
ROLLBACK;

BEGIN;
UPDATE hub.audit_transaction SET login = 'somebody' WHERE xid = :'xid';
SELECT is(public.found(), format('block %s ', :middle), 'a transaction laid at somebody else''s door');
ROLLBACK;

BEGIN;
UPDATE hub.audit_transaction SET event_count = 2 WHERE xid = :'xid';
SELECT is(public.found(), format('transaction %s ', :middle), 'a changed count');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_event WHERE xid = :'xid';
DELETE FROM hub.audit_transaction WHERE xid = :'xid';
UPDATE hub.audit_block SET event_count = 0, transaction_count = 0, event_root = hub.merkle_root('{}'),
	transaction_root = hub.merkle_root('{}') WHERE block_no = :middle;
SELECT is(public.found(), format('header %s , log %1$s ', :middle), 'a block made to fit a deleted transaction');
ROLLBACK;

BEGIN;
UPDATE hub.audit_block SET sealed_at = sealed_at + interval '1 day' WHERE block_no = :middle;
SELECT is(public.found(), format('header %s , log %1$s ', :middle), 'a changed header');
ROLLBACK;

BEGIN;
UPDATE hub.audit_block SET nodes = decode(repeat('00', octet_length(nodes)), 'hex') WHERE block_no = :middle;
SELECT is(public.found(), format('header %s , header %s ', :middle, :last), 'changed nodes of the log');
ROLLBACK;

-- proofs and the next checkpoint are made of the nodes above the leaf
SELECT max(block_no) AS odd FROM hub.audit_block WHERE block_no % 2 = 1 \gset
BEGIN;
UPDATE hub.audit_block SET nodes = set_byte(nodes, octet_length(nodes) - 1, 255 - get_byte(nodes, octet_length(nodes) - 1)) WHERE block_no = :odd;
SELECT is(public.found(), format('log %s ', :odd), 'a changed node above the leaf');
ROLLBACK;
BEGIN;
UPDATE hub.audit_block SET nodes = substr(nodes, 1, octet_length(nodes) - 32) WHERE block_no = :odd;
SELECT is(public.found(), format('log %s ', :odd), 'a node that was taken away');
ROLLBACK;
BEGIN;
UPDATE hub.audit_block SET nodes = '\x00' WHERE block_no = :middle;
SELECT matches(public.found(), format('^header %s ', :middle), 'nodes that are no hashes');
ROLLBACK;
BEGIN;
UPDATE hub.audit_block SET nodes = nodes || hub.merkle_root('{}') WHERE block_no = :middle;
SELECT is(public.found(), format('log %s ', :middle), 'a node too many');
ROLLBACK;

BEGIN;
UPDATE hub.audit_block SET checkpoint = replace(checkpoint, E'\n\n', E'0\n\n') WHERE block_no = :middle;
SELECT is(public.found(), format('log %s , log %1$s ', :middle), 'a changed checkpoint');
ROLLBACK;
BEGIN;
UPDATE hub.audit_block SET checkpoint = overlay(checkpoint PLACING CASE substr(checkpoint, length(checkpoint) - 20, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM length(checkpoint) - 20)
WHERE block_no = :middle;
SELECT is(public.found(), format('log %s ', :middle), 'a signature of somebody else');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_block WHERE block_no = :middle;
SELECT is(public.found() ~ format('log %s ', :last), true, 'a deleted block');
ROLLBACK;

BEGIN;
INSERT INTO hub.audit_block SELECT -1, origin, xid_base, snapshot, first_xid, last_xid, event_count, event_root, transaction_count, transaction_root, previous, sealed_at, nodes, checkpoint
FROM hub.audit_block WHERE block_no = :last;
SELECT is(public.found(), 'log  ', 'a block before the first');
ROLLBACK;

BEGIN;
UPDATE hub.audit_block SET previous = hub.merkle_root('{}') WHERE block_no = :last;
SELECT matches(public.found(), format('^header %s ', :last), 'a header that follows another one');
ROLLBACK;

BEGIN;
DELETE FROM hub.audit_event WHERE xid = (SELECT max(xid) FROM hub.audit_event);
DELETE FROM hub.audit_transaction WHERE xid = (SELECT max(xid) FROM hub.audit_transaction);
DELETE FROM hub.audit_block WHERE block_no = :last;
SELECT is(public.found(), format('log %s ', :last), 'the end cut off, while the server is up');
ROLLBACK;

BEGIN;
UPDATE hub.audit_block SET block_no = block_no + 100 WHERE block_no = :last;
UPDATE hub.audit_block SET block_no = :last WHERE block_no = :middle;
UPDATE hub.audit_block SET block_no = :middle WHERE block_no = :last + 100;
SELECT matches(public.found(), format('^header %s', :middle), 'two blocks in the other order');
ROLLBACK;

-- the tail that is not sealed yet goes by its tags
SELECT hub.record_event('config', NULL, '{"n": 10}') \g /dev/null
BEGIN;
UPDATE hub.audit_event SET details = '{"n": 11}' WHERE details ->> 'n' = '10';
SELECT matches(public.found(), '^event .* 1$|^event  1$', 'a changed event of the tail');
ROLLBACK;

-- a count that fits what is left of a transaction: its digest does not
SELECT hub.record_event('config', NULL, '{"n": 13}') FROM generate_series(1, 2) \g /dev/null
BEGIN;
UPDATE hub.audit_transaction SET event_count = 1 WHERE xid = (SELECT max(xid) FROM hub.audit_event WHERE details ->> 'n' = '13');
DELETE FROM hub.audit_event WHERE details ->> 'n' = '13' AND ordinal = 2;
SELECT matches(public.found(), '^transaction ', 'an event of the tail that is gone, with a count that fits');
ROLLBACK;

-- nothing of a transaction is left that was not sealed yet: memory knows of it
SELECT hub.record_event('config', NULL, '{"n": 12}') \g /dev/null
BEGIN;
CREATE TEMP TABLE gone ON COMMIT DROP AS SELECT xid FROM hub.audit_event WHERE details ->> 'n' = '12';
DELETE FROM hub.audit_transaction t WHERE t.xid = (SELECT xid FROM gone);
DELETE FROM hub.audit_event e WHERE e.xid = (SELECT xid FROM gone);
SELECT matches(public.found(), '^(transaction|block) ', 'a tail that was cut off before it was sealed');
ROLLBACK;

-- an event that is given another place in the order, tag and all
BEGIN;
UPDATE hub.audit_event SET xid = (SELECT (max(xid)::text::bigint + 1000)::text::xid8 FROM hub.audit_event) WHERE details ->> 'n' = '5';
SELECT matches(public.found(), format('event %s 2', :middle), 'an event under another key');
ROLLBACK;

-- a block of somebody else's, that fits the log, with events that were never recorded
BEGIN;
INSERT INTO hub.audit_block SELECT b.block_no + 1, b.origin, b.xid_base, b.snapshot, b.first_xid, b.last_xid, 0, hub.merkle_root('{}'),
	0, hub.merkle_root('{}'), substr(b.nodes, 1, 32), now(), b.nodes, b.checkpoint FROM hub.audit_block b ORDER BY b.block_no DESC LIMIT 1;
SELECT matches(public.found(), '^header |, header ', 'a forged block');
ROLLBACK;

-- the log as it was some time ago, for which there is a signature
SELECT checkpoint FROM hub.audit_block ORDER BY block_no DESC LIMIT 1 \gset
BEGIN;
DELETE FROM hub.audit_block WHERE block_no >= :last;
SELECT is(string_agg(kind, ' '), 'anchor', 'a log that was rolled back, by a checkpoint that was kept') FROM hub.verify_audit_anchor(:'checkpoint');
ROLLBACK;

-- rows that the index does not name, and no block therefore holds: whoever reads the table sees them
CREATE PROCEDURE public.without_index(index regclass, statement text) LANGUAGE plpgsql AS $$
BEGIN
	UPDATE pg_index SET indisready = false WHERE indexrelid = index;
	EXECUTE statement;
	UPDATE pg_index SET indisready = true WHERE indexrelid = index;
END
$$;
BEGIN;
CALL public.without_index('hub.audit_event_default_order', $$INSERT INTO hub.audit_event SELECT xid, 4, recorded_at, kind, relation, operation, subject, row_key, changed, sealed, details, tag
	FROM hub.audit_event WHERE details ->> 'n' = '5'$$);
SELECT is(public.found(), 'event  4', 'an event that is not in the index');
ROLLBACK;
BEGIN;
CALL public.without_index('hub.audit_transaction_pkey', 'INSERT INTO hub.audit_transaction SELECT t.* FROM hub.audit_transaction t ORDER BY xid LIMIT 1');
SELECT is(public.found(), 'transaction  ', 'a transaction that is not in the index');
ROLLBACK;
BEGIN;
CREATE TEMP TABLE hidden ON COMMIT DROP AS SELECT * FROM hub.audit_event WHERE details ->> 'n' = '5';
DELETE FROM hub.audit_event WHERE details ->> 'n' = '5';
CALL public.without_index('hub.audit_event_default_order', 'INSERT INTO hub.audit_event SELECT * FROM hidden');
SELECT is(public.found(), format('event %s 2, event  2', :middle), 'an event whose entry in the index is gone');
ROLLBACK;
BEGIN;
INSERT INTO hub.audit_event SELECT '18446744073709551615', 1, recorded_at, kind, relation, operation, subject, row_key, changed, sealed, details, tag
FROM hub.audit_event WHERE details ->> 'n' = '5';
SELECT is(public.found(), 'event  1', 'an event beyond all blocks');
ROLLBACK;

-- what the transaction that asks has recorded itself is no break, before its commit and its row
BEGIN;
SELECT hub.record_event('config', NULL, '{"n": 14}') \g /dev/null
SELECT is(public.found(), '', 'events of one''s own transaction');
ROLLBACK;
SELECT is(count, 0::bigint, 'events of one''s own statement')
FROM (SELECT hub.record_event('config', NULL, '{"n": 15}'), (SELECT count(*) FROM hub.verify_audit()) AS count OFFSET 0) s;
-- whoever does the work, the findings are the same
BEGIN;
UPDATE hub.audit_event SET details = details || '{"changed": true}' WHERE details ? 'n';
DELETE FROM hub.audit_transaction WHERE xid = :'xid';
SET LOCAL max_parallel_workers_per_gather = 0;
SELECT public.found() AS found_alone \gset
SET LOCAL max_parallel_workers_per_gather = 3;
SET LOCAL parallel_leader_participation = off;
SELECT is(public.found(), :'found_alone', 'parallel workers find what one process finds');
SELECT cmp_ok(length(:'found_alone'), '>', 100, '... which is much');
ROLLBACK;

-- a block that was sealed and signed, but is not the one that was sealed last
CALL hub.seal_audit();
CREATE TEMP TABLE sealed AS SELECT * FROM hub.audit_block ORDER BY block_no DESC LIMIT 1;
SELECT hub.record_event('config', NULL, '{"n": 16}') \g /dev/null
DELETE FROM hub.audit_block WHERE block_no >= (SELECT block_no FROM sealed);
CALL hub.seal_audit();
BEGIN;
DELETE FROM hub.audit_block WHERE block_no >= (SELECT block_no FROM sealed);
INSERT INTO hub.audit_block SELECT * FROM sealed;
SELECT is(public.found(), format('log %s ', (SELECT block_no FROM sealed)), 'a block in the place of another');
ROLLBACK;

SELECT is(public.found(), '', 'and nothing is wrong after all');

-- memory does not forget, sealing or not
SELECT hub.record_event('config', NULL, '{"n": 17}') \g /dev/null
DELETE FROM hub.audit_transaction t USING hub.audit_event e WHERE t.xid = e.xid AND e.details ->> 'n' = '17';
DELETE FROM hub.audit_event WHERE details ->> 'n' = '17';
CALL hub.seal_audit();
CALL hub.seal_audit();
SELECT matches(public.found(), '^(transaction|block) ', 'a tail that was cut off, after the next block');
SELECT * FROM finish();
