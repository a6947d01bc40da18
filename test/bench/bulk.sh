#!/bin/sh
# INSERT ... SELECT of 64-byte texts into encrypted columns, against libsodium doing
# the same to as many values in the same backend. What storing rows of the same
# width costs is taken off, in a governed table with its audit.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-100000}
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c jit=off'
sql "CREATE FUNCTION raw_seal(text, bigint) RETURNS float8 LANGUAGE c AS 'bench_raw', 'bench_raw_seal'" \
    "CREATE FUNCTION raw_bind(text, bigint) RETURNS float8 LANGUAGE c AS 'bench_raw', 'bench_raw_bind'" \
    "CREATE EXTENSION pgcrypto" \
    "CREATE TABLE source AS SELECT i AS id, md5((i % 1000)::text)::uuid AS customer_id, 'DE'::hub.region AS region,
        md5(i::text) || md5((-i)::text) AS body, repeat('x', 144)::bytea AS wide FROM generate_series(1::bigint, $n) i" \
    "VACUUM (ANALYZE) source"
table() {
    sql "CREATE TABLE $1 (id bigint, customer_id uuid, region hub.region, body $2)"
    [ -z "${3:-}" ] || sql "SELECT hub.classify('$1', c, 'public') FROM unnest('{id,customer_id,region}'::name[]) c" \
        "SELECT hub.govern('$1', 'customer_id', 'region')" >/dev/null
}
table plain text
table wide bytea
table sealed "hub.encrypted_text('contact')"
table aes bytea
table governed_wide bytea governed
sql "SELECT hub.classify('governed_wide', 'body', 'public')" >/dev/null
table governed "hub.encrypted_text('content')" governed
table governed_tagged "hub.encrypted_text('contact')" governed

# The second of two, so that keys are cached and no file has to grow
insert() {
    sql "TRUNCATE plain, wide, sealed, aes"
    psql -XAtq -v ON_ERROR_STOP=1 -o /dev/null \
        -c BEGIN -c "INSERT INTO $1 SELECT id, customer_id, region, $2 FROM source" -c ROLLBACK \
        -c BEGIN -c '\timing on' -c "INSERT INTO $1 SELECT id, customer_id, region, $2 FROM source" -c '\timing off' -c ROLLBACK |
        sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}
measure_raw() { each "$(sql "SELECT raw_seal(repeat('x', 64), $n) * 1000")" 0 "$n"; }
measure_raw_bound() { each "$(sql "SELECT raw_bind(repeat('x', 64), $n) * 1000")" 0 "$n"; }
measure_plain_ms() { insert plain body; }
measure_sealed_ms() { insert sealed body; }
measure_net() { each "$(insert sealed body)" "$(insert wide wide)" "$n"; }
measure_net_bound() { each "$(insert governed body)" "$(insert governed_wide wide)" "$n"; }
measure_net_tagged() { each "$(insert governed_tagged body)" "$(insert governed_wide wide)" "$n"; }
measure_net_aes() { each "$(insert aes "encrypt(body::bytea, '0123456789abcdef', 'aes')")" "$(insert plain body)" "$n"; }

interleave raw raw_bound plain_ms sealed_ms net net_bound net_tagged net_aes

title "bulk: INSERT ... SELECT of $n rows, net time per row against raw libsodium"
row 'sealed with equality tag, against one seal' net raw '<= 1.40'
row 'and bound to its person, against seal, open, seal' net_bound raw_bound '<= 1.40'
row 'the same with equality tag, sealed once more for the audit' net_tagged raw_bound
row 'peer: pgcrypto encrypt(), AES, no authentication' net_aes raw
fact 'raw libsodium: seal, nanoseconds' "$(median raw)"
fact 'raw libsodium: seal, open, seal, nanoseconds' "$(median raw_bound)"
title "bulk: the whole statement against the same rows of plain text"
row 'encrypted column' sealed_ms plain_ms
