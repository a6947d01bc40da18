#!/bin/sh
# Looking up one of 1 M addresses by equality: sealed column against text column,
# both with a btree index.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

rows=${ROWS:-1000000}
sql "CREATE TABLE plain (id bigint PRIMARY KEY, email text)" \
    "CREATE TABLE sealed (id bigint PRIMARY KEY, email hub.encrypted_email('contact'))" \
    "INSERT INTO plain SELECT i, 'person' || i * 7919 % 1000003 || '.' || i || '@example.com' FROM generate_series(1::bigint, $rows) i" \
    "INSERT INTO sealed SELECT id, email FROM plain" \
    "CREATE INDEX plain_email ON plain (email)" \
    "CREATE INDEX sealed_email ON sealed (email)" \
    "VACUUM (ANALYZE) plain" "VACUUM (ANALYZE) sealed"

# 20000 look-ups, each by an address that the plan does not know
look_up() {
    cat <<SQL
DO \$\$
DECLARE
    wanted text;
    found bigint;
BEGIN
    FOR i IN 1..20000 LOOP
        wanted := 'person' || i::bigint * $((rows / 20000)) * 7919 % 1000003 || '.' || i * $((rows / 20000)) || '@example.com';
        SELECT id INTO STRICT found FROM $1 WHERE email = wanted;
    END LOOP;
END
\$\$
SQL
}
measure_plain() { each "$(elapsed postgres "$(look_up plain)")" 0 20000; }
measure_sealed() { each "$(elapsed postgres "$(look_up sealed)")" 0 20000; }

interleave plain sealed
for variant in plain sealed; do
    sql "SELECT pg_relation_size('${variant}_email')" >"$BENCH_DIR/${variant}_size"
done

title "lookup: one of $rows addresses by equality, time against text with btree"
row 'btree' sealed plain '<= 1.00'
fact 'text, btree, nanoseconds' "$(median plain)"
title 'lookup: size of the index against that of text with btree'
row 'btree' sealed_size plain_size '<= 1.20'
