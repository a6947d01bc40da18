#!/bin/sh
# Rotating the epoch of ROWS data subjects (1 M by default) while pgbench reads,
# writes and makes new subjects: how many transactions there were, how many
# failed, and what the rotation cost them. Then what destroying a key takes.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-1000000}
clients=${CLIENTS:-4}
seconds=${SECONDS_BEFORE:-20}

sql "CREATE ROLE bench_agent LOGIN" \
    "CREATE TABLE person (id uuid PRIMARY KEY, region hub.region NOT NULL, name hub.encrypted_text('basic'))" \
    "GRANT SELECT, INSERT, UPDATE ON person TO bench_agent, hub_agent"
sql "SELECT hub.add_member('agent', 'hub_agent', 'bench_agent', '{DE}', '{1}', '{1}')" \
    "SELECT hub.set_export_ceiling('hub_agent', 100000000)" "SELECT hub.set_reveal_quota('hub_agent', 100000000)" \
    "SELECT hub.govern('person', 'id', 'region')" >/dev/null
sql "INSERT INTO person SELECT md5(i::text)::uuid, 'DE', 'Person ' || i FROM generate_series(1, $n) i" \
    "VACUUM (ANALYZE) person" "VACUUM (ANALYZE) hub.subject_key" CHECKPOINT

cat >"$BENCH_DIR/read.sql" <<SQL
\\set i random(1, $n)
SELECT 1 / (name LIKE 'Person%')::int FROM (SELECT hub.reveal(name) AS name FROM person WHERE id = md5(:i::text)::uuid) p;
SQL
cat >"$BENCH_DIR/write.sql" <<SQL
\\set i random(1, $n)
UPDATE person SET name = 'Person ' || :i WHERE id = md5(:i::text)::uuid;
INSERT INTO person VALUES (gen_random_uuid(), 'DE', 'Person of today');
SQL

# load SECONDS NAME: pgbench with 9 reads to 1 write; adds its report to NAME. A client
# that meets an error is aborted, and says so.
load() {
    pgbench -n -U bench_agent -c "$clients" -j 2 -T "$1" -f "$BENCH_DIR/read.sql@9" -f "$BENCH_DIR/write.sql@1" \
        >>"$BENCH_DIR/$2" 2>&1 || true
}
transactions() { awk '/^number of transactions actually processed/ { sum += $6 } END { print sum + 0 }' "$BENCH_DIR/$1"; }
failures() { awk '/^number of failed transactions/ { sum += $5 } /aborted|ERROR/ { sum++ } END { print sum + 0 }' "$BENCH_DIR/$1"; }
rate() { awk '/^tps/ { sum += $3; runs++ } END { print sum / runs }' "$BENCH_DIR/$1"; }

load "$seconds" quiet
(sql "CALL hub.rotate_epoch()" && touch "$BENCH_DIR/rotated") &
rotation=$!
while kill -0 "$rotation" 2>/dev/null; do
    load 5 busy
done
wait "$rotation"
took=$(sql "SELECT extract(epoch FROM finished_at - started_at) FROM hub.rotation_progress")
left=$(sql "SELECT count(*) FROM hub.subject_key k WHERE k.wrapped IS NOT NULL AND k.epoch < (SELECT max(epoch) FROM hub.key_epoch)")

grep -m 3 ERROR "$BENCH_DIR/busy" >&2 || true
title "rotation: $n keys wrapped anew under a load of $clients clients, 9 reads to 1 write"
fact 'seconds' "$took"
fact 'keys a second' "$(awk -v n="$n" -v t="$took" 'BEGIN { print int(n / t) }')"
fact 'transactions meanwhile' "$(transactions busy)"
fact 'of these failed' "$(failures busy)"
fact 'keys left behind' "$left"
fact 'transactions a second, before' "$(rate quiet)"
fact 'transactions a second, meanwhile' "$(rate busy)"

# one commit, of which the disk has the most part: so the same commit without a key beside it
sql "CREATE TABLE plain (id int PRIMARY KEY, note text)" "INSERT INTO plain SELECT i, 'x' FROM generate_series(1, 1000) i"
measure_destroy() { elapsed_once postgres "SELECT hub.destroy_subject_key(md5('$round')::uuid)"; }
measure_commit() { elapsed_once postgres "UPDATE plain SET note = 'y' WHERE id = $round"; }
interleave destroy commit
title "destroying a data subject's key, one commit, whatever the number of rows"
fact 'milliseconds' "$(median destroy)"
fact 'milliseconds of a commit that updates one plain row' "$(median commit)"
