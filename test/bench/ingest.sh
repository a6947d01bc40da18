#!/bin/sh
# What hub.ingest() costs: one message of a known customer per call and
# transaction, against statements that write the same rows by hand, governed and
# audited all the same.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

seconds=${SECONDS_EACH:-4}
customers=1000
sql "SELECT hub.create_hub()" \
    "SELECT hub.add_business_line('Bench')" \
    "SELECT hub.add_channel_account('telegram', 'bench', 'DE', 1)" \
    "CREATE SEQUENCE message_number" >/dev/null
cat >"$BENCH_DIR/ingest.pgbench" <<E2
\\set sender random(1, $customers)
SELECT status FROM hub.ingest(1, format('{"update_id": 1, "message": {"message_id": %s, "date": 1767225600, "text": "Is the blue lamp in stock, and could you send it to Oslo? %s",
"from": {"id": %s, "first_name": "Juno"}, "chat": {"id": %s, "type": "private"}}}', nextval('message_number'), :sender::int, :sender::int, :sender::int)::jsonb);
E2
cat >"$BENCH_DIR/hand.pgbench" <<E2
\\set sender random(1, $customers)
BEGIN;
SELECT c.customer_id AS customer, c.conversation_id AS conversation, gen_random_uuid() AS message, nextval('message_number') AS number
FROM bench_target c WHERE c.sender = :sender \\gset
INSERT INTO crm.message (customer_id, message_id, region, line_id, conversation_id, account_id, direction, kind, external_id, occurred_at, body)
VALUES (':customer', ':message', 'DE', 1, ':conversation', 1, 'inbound', 'text', concat(:sender, chr(58), :number), to_timestamp(1767225600),
    'Is the blue lamp in stock, and could you send it to Oslo? ' || :sender);
UPDATE crm.conversation SET last_activity_at = now() WHERE customer_id = ':customer' AND conversation_id = ':conversation';
INSERT INTO crm.event_ledger (account_id, event_key, kind, content_hash, status, customer_id, conversation_id, message_id)
VALUES (1, uuid_send(':message'), 'message', uuid_send(':message'), 'new', ':customer', ':conversation', ':message');
COMMIT;
E2
# every customer has written before
psql -XAtq -v ON_ERROR_STOP=1 -o /dev/null <<E2
CREATE TABLE bench_target AS
SELECT s AS sender, gen_random_uuid() AS customer_id, gen_random_uuid() AS conversation_id FROM generate_series(1, $customers) s;
CREATE INDEX ON bench_target (sender);
INSERT INTO crm.customer (customer_id, region, line_id, display_name) SELECT customer_id, 'DE', 1, 'Juno' FROM bench_target;
INSERT INTO crm.identity (customer_id, region, line_id, channel, kind, address, verified)
SELECT customer_id, 'DE', 1, 'telegram', 'user_id', sender::text, true FROM bench_target;
INSERT INTO crm.conversation (customer_id, conversation_id, region, line_id, account_id)
SELECT customer_id, conversation_id, 'DE', 1, 1 FROM bench_target;
VACUUM (ANALYZE);
E2

latency() {
    pgbench -n -M "$2" -c 1 -T "$seconds" -f "$BENCH_DIR/$1.pgbench" 2>/dev/null |
        sed -n 's/^latency average = \([0-9.]*\) ms.*/\1/p'
}
measure_ingest() { latency ingest prepared; }
measure_hand() { latency hand simple; }
# the work alone, without waiting for the disk at commit
measure_ingest_work() { PGOPTIONS='-c synchronous_commit=off' latency ingest prepared; }
measure_hand_work() { PGOPTIONS='-c synchronous_commit=off' latency hand simple; }

interleave ingest hand
interleave ingest_work hand_work

title 'ingest: one message per call, time against the same rows inserted by hand'
row 'hub.ingest()' ingest hand '<= 3.00'
row 'hub.ingest(), synchronous_commit off' ingest_work hand_work '<= 3.00'
fact 'hub.ingest(), milliseconds' "$(median ingest)"
fact 'by hand, milliseconds' "$(median hand)"
fact 'hub.ingest(), milliseconds, synchronous_commit off' "$(median ingest_work)"
fact 'by hand, milliseconds, synchronous_commit off' "$(median hand_work)"
