#!/bin/sh
# What the reveal log costs a SELECT whose values are shown to a member: the first
# one of a transaction, which puts every person and class on record, against the
# same one again in the same transaction, where all of them are on record already.
# Keys are cached and pages read in both.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-100000}
repeat=100
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c jit=off'
sql "CREATE ROLE bench_agent LOGIN" \
    "CREATE TABLE persons (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, body hub.encrypted_text('content'))" \
    "CREATE TABLE messages (LIKE persons INCLUDING ALL)" \
    "GRANT SELECT ON persons, messages TO bench_agent, hub_agent" \
    "SELECT hub.add_member('agent', 'hub_agent', 'bench_agent', '{DE}', '{1}', '{1}')" \
    "SELECT hub.set_export_ceiling('hub_agent', 100000000)" \
    "SELECT hub.set_reveal_quota('hub_agent', 1000000000000)" \
    "SELECT hub.govern(r, 'customer_id', 'region') FROM unnest('{persons,messages}'::regclass[]) r" \
    "INSERT INTO persons SELECT i, md5(i::text)::uuid, 'DE', md5(i::text) || md5((-i)::text) FROM generate_series(1, $n) i" \
    "INSERT INTO messages SELECT id, md5((id % 1000)::text)::uuid, region, md5(id::text) || md5((-id)::text) FROM persons" \
    "VACUUM (ANALYZE) persons, messages, hub.subject_key" >/dev/null

# pairs SELECT COUNT: median milliseconds of the first and of the second run in each of COUNT transactions
pairs() {
    {
        printf '%s;\n' "$1" "$1"
        pair=0
        while [ "$pair" -lt "$2" ]; do
            pair=$((pair + 1))
            printf '%s\n' 'SELECT hub.wait_for_audit();' 'BEGIN;' "SELECT count(body) FROM persons WHERE id <= 100;" \
                '\timing on' "$1;" "$1;" '\timing off' 'COMMIT;'
        done
    } | psql -XAtq -v ON_ERROR_STOP=1 -U bench_agent | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' >"$BENCH_DIR/times"
    for half in 1 0; do
        awk -v half="$half" 'NR % 2 == half' "$BENCH_DIR/times" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
    done
}

# measure NAME SELECT COUNT: note what the second run took and print what the first did
measure() {
    # shellcheck disable=SC2046  # two figures
    set -- "$1" $(pairs "$2" "$3")
    echo "$3" >>"$BENCH_DIR/$1_again"
    echo "$2"
}

measure_page() { measure page "SELECT body FROM persons WHERE id <= 100" "$repeat"; }
measure_thread() { measure thread "SELECT body FROM messages WHERE customer_id = md5('7')::uuid LIMIT 100" "$repeat"; }
measure_report() { measure report "SELECT body FROM persons" 1; }
measure_messages() { measure messages "SELECT body FROM messages" 1; }
interleave page thread report messages

# with every row waiting until its reveal is on disk
sql "ALTER SYSTEM SET customer_hub.durable_reveal = on" "SELECT pg_reload_conf()" >/dev/null
commits() { sql "SELECT count(*) FROM hub.audit_transaction"; }
before=$(commits)
durable=$(pairs "SELECT body FROM persons WHERE id <= 100" "$repeat" | head -n 1)
durable_commits=$(($(commits) - before))
durable_report=$(pairs "SELECT body FROM persons" 1 | head -n 1)

title "reveal: SELECT shown to a member, time against the same with everything on record already"
row '100 rows of 100 persons' page page_again '<= 1.05'
row '100 rows of one person' thread thread_again '<= 1.05'
row "$n rows of as many persons" report report_again '<= 1.10'
row "$n rows of 1000 persons" messages messages_again '<= 1.10'
fact '100 rows of 100 persons without the log, milliseconds' "$(median page_again)"
fact "$n rows of as many persons without it, milliseconds" "$(median report_again)"
title "reveal: with customer_hub.durable_reveal, as long as the disk takes"
fact '100 rows of 100 persons, milliseconds' "$durable"
fact 'commits for each such SELECT' "$(awk -v a="$durable_commits" -v b="$((repeat + 1))" 'BEGIN { print a / b }')"
fact "$n rows of as many persons, milliseconds" "$durable_report"
