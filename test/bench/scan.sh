#!/bin/sh
# Opening the values of many data subjects, each under a key of its own, against
# libsodium opening as many under as many keys that lie ready in memory: in a
# session that has their keys, and in a new one, which has to read and unwrap them.
# What reading the rows costs is taken off.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-100000}
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c jit=off'
sql "CREATE FUNCTION raw_open(bigint, boolean) RETURNS float8 LANGUAGE c AS 'bench_raw', 'bench_raw_open_subjects'" \
    "CREATE ROLE bench_agent LOGIN" \
    "CREATE TABLE note (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, body hub.encrypted_text('content'))" \
    "GRANT SELECT ON note TO bench_agent, hub_agent" \
    "SELECT hub.add_member('agent', 'hub_agent', 'bench_agent', '{DE}', '{1}', '{1}')" \
    "SELECT hub.set_export_ceiling('hub_agent', 100000000)" \
    "SELECT hub.set_reveal_quota('hub_agent', 100000000)" \
    "SELECT hub.govern('note', 'customer_id', 'region')" \
    "INSERT INTO note SELECT i, md5(i::text)::uuid, 'DE', md5(i::text) || md5((-i)::text) FROM generate_series(1, $n) i" \
    "VACUUM (ANALYZE) note" "VACUUM (ANALYZE) hub.subject_key" >/dev/null

# figures STATEMENT…: milliseconds of each, in one transaction of one session
figures() {
    {
        printf '%s\n' 'BEGIN;' '\timing on'
        printf '%s;\n' "$@"
    } | psql -XAtq -v ON_ERROR_STOP=1 -U bench_agent | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tr '\n' ' '
}
reveal="SELECT count(hub.reveal(body)) FROM note"
read="SELECT count(body) FROM note"

measure_raw() { each "$(sql "SELECT raw_open($n, false) * 1000")" 0 "$n"; }
measure_raw_unwrap() { each "$(sql "SELECT raw_open($n, true) * 1000")" 0 "$n"; }

# One session gives three figures: the first reveal of all, and later ones of the same transaction
measure_first() {
    # shellcheck disable=SC2046  # a list of figures
    set -- $(figures "$read" "$read" "$reveal" "$reveal" "$reveal" "$read")
    each "$5" "$6" "$n" >>"$BENCH_DIR/again"
    each "$3" "$6" "$n"
}
interleave raw raw_unwrap first

title "scan: open values of $n data subjects, time against raw libsodium"
row 'again in a transaction: keys cached' again raw '<= 2.00'
row 'first of a session: keys read and unwrapped, logged' first raw_unwrap
fact 'raw libsodium, nanoseconds' "$(median raw)"
fact 'the same with unwrapping, nanoseconds' "$(median raw_unwrap)"
