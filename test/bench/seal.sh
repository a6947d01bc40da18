#!/bin/sh
# Sealing a 64-byte value with its equality tag, in SQL, against the same
# primitives of libsodium in a loop of C in the same backend. What reading the
# rows costs is taken off.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-500000}
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c jit=off'
sql "CREATE FUNCTION raw_seal(text, bigint) RETURNS float8 LANGUAGE c AS 'bench_raw', 'bench_raw_seal'" \
    "CREATE EXTENSION pgcrypto" \
    "CREATE UNLOGGED TABLE plain AS SELECT md5(i::text) || md5((-i)::text) AS v FROM generate_series(1, $n) i" \
    "VACUUM (ANALYZE) plain"

read_rows() { elapsed postgres "SELECT count(v) FROM plain"; }
measure_raw() { each "$(sql "SELECT raw_seal(repeat('x', 64), $n) * 1000")" 0 "$n"; }
measure_seal() { each "$(elapsed postgres "SELECT count(v::hub.encrypted_text('contact')) FROM plain")" "$(read_rows)" "$n"; }
measure_untagged() { each "$(elapsed postgres "SELECT count(v::hub.encrypted_text('content')) FROM plain")" "$(read_rows)" "$n"; }
measure_aes() { each "$(elapsed postgres "SELECT count(encrypt(v::bytea, '0123456789abcdef', 'aes')) FROM plain")" "$(read_rows)" "$n"; }
measure_pgp() { each "$(elapsed_once postgres "SELECT count(pgp_sym_encrypt(v, 'passphrase')) FROM (SELECT v FROM plain LIMIT 3000) x")" 0 3000; }

interleave raw seal untagged aes pgp

title "seal: a 64-byte value, time against raw libsodium"
row 'with equality tag' seal raw '<= 1.15'
row 'without one (class is not searchable)' untagged raw
row 'peer: pgcrypto encrypt(), AES, no authentication' aes raw
row 'peer: pgcrypto pgp_sym_encrypt()' pgp raw
fact 'raw libsodium, nanoseconds' "$(median raw)"
