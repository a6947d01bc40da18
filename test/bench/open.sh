#!/bin/sh
# Opening sealed 64-byte values of many data subjects, keys cached, in SQL,
# against the same primitive of libsodium in a loop of C in the same backend.
# What reading the rows costs is taken off.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-200000}
export PGOPTIONS='-c max_parallel_workers_per_gather=0 -c jit=off'
sql "CREATE FUNCTION raw_open(text, bigint) RETURNS float8 LANGUAGE c AS 'bench_raw', 'bench_raw_open'" \
    "CREATE EXTENSION pgcrypto" \
    "CREATE ROLE bench_agent LOGIN" \
    "CREATE TABLE note (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, body hub.encrypted_text('content'))" \
    "CREATE TABLE plain (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, body text)" \
    "CREATE TABLE pgp AS SELECT pgp_sym_encrypt(repeat('x', 64), 'passphrase') AS body FROM generate_series(1, 2000)" \
    "CREATE TABLE aes AS SELECT encrypt(repeat('x', 64)::bytea, '0123456789abcdef', 'aes') AS body FROM generate_series(1, $n)" \
    "GRANT SELECT ON note, plain, pgp, aes TO bench_agent, hub_agent"
sql "SELECT hub.add_member('agent', 'hub_agent', 'bench_agent', '{DE}', '{1}', '{1}')" \
    "SELECT hub.set_export_ceiling('hub_agent', 100000000), hub.set_reveal_quota('hub_agent', 1000000000000)" \
    "SELECT hub.govern('note', 'customer_id', 'region')" >/dev/null
sql "INSERT INTO plain SELECT i, md5((i % 1000)::text)::uuid, 'DE', md5(i::text) || md5((-i)::text) FROM generate_series(1, $n) i" \
    "INSERT INTO note SELECT id, customer_id, region, body FROM plain" \
    "VACUUM (ANALYZE) note" "VACUUM (ANALYZE) plain"

read_rows() { elapsed bench_agent "SELECT count(body) FROM note"; }
measure_raw() { each "$(sql "SELECT raw_open(repeat('x', 64), $n) * 1000")" 0 "$n"; }
measure_open() { each "$(elapsed bench_agent "SELECT count(hub.reveal(body)) FROM note")" "$(read_rows)" "$n"; }
measure_shown() { each "$(elapsed bench_agent "SELECT body FROM note")" 0 "$n"; }
measure_shown_plain() { each "$(elapsed bench_agent "SELECT body FROM plain")" 0 "$n"; }
measure_aes() { each "$(elapsed bench_agent "SELECT count(decrypt(body, '0123456789abcdef', 'aes')) FROM aes")" "$(elapsed bench_agent "SELECT count(body) FROM aes")" "$n"; }
measure_pgp() { each "$(elapsed_once bench_agent "SELECT count(pgp_sym_decrypt(body, 'passphrase')) FROM pgp")" 0 2000; }

interleave raw open shown shown_plain aes pgp

title "open: 64-byte values of 1000 data subjects, time against raw libsodium"
row 'hub.reveal(), with its log' open raw '<= 1.20'
row 'peer: pgcrypto decrypt(), AES, no authentication' aes raw
row 'peer: pgcrypto pgp_sym_decrypt()' pgp raw
fact 'raw libsodium, nanoseconds' "$(median raw)"
title "open: rows sent to the client, time against a text column without row security"
row 'SELECT of the sealed column' shown shown_plain
