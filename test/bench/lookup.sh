#!/bin/sh
# Looking up one of 1 M addresses by equality: a text column with a btree index
# against sealed columns with each of the indexes there are.
set -eu
ROUNDS=${ROUNDS:-7}
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

rows=${ROWS:-1000000}
sql "CREATE TABLE plain (id bigint PRIMARY KEY, email text)" \
    "CREATE TABLE tag (id bigint PRIMARY KEY, email hub.encrypted_email('contact'))" \
    "CREATE TABLE hash (LIKE tag)" \
    "CREATE TABLE btree (LIKE tag)" \
    "INSERT INTO plain SELECT i, 'person' || i * 7919 % 1000003 || '.' || i || '@example.com' FROM generate_series(1::bigint, $rows) i" \
    "INSERT INTO tag SELECT id, email FROM plain" \
    "INSERT INTO hash SELECT * FROM tag" \
    "INSERT INTO btree SELECT * FROM tag" \
    "CREATE INDEX plain_email ON plain (email)" \
    "CREATE INDEX tag_email ON tag (hub.equality_tag(email))" \
    "CREATE INDEX hash_email ON hash USING hash (email)" \
    "CREATE INDEX btree_email ON btree (email)" \
    "VACUUM (ANALYZE) plain" "VACUUM (ANALYZE) tag" "VACUUM (ANALYZE) hash" "VACUUM (ANALYZE) btree"

# look_up TABLE [TYPE]: 20000 look-ups, each by an address that the plan does not
# know, in a parameter of TYPE
look_up() {
    cat <<SQL
DO \$\$
DECLARE
    wanted ${2:-text};
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
measure_tag() { each "$(elapsed postgres "$(look_up tag)")" 0 20000; }
measure_hash() { each "$(elapsed postgres "$(look_up hash)")" 0 20000; }
measure_btree() { each "$(elapsed postgres "$(look_up btree)")" 0 20000; }
# what a driver does that names no type: the parameter is sealed when it comes in
measure_untyped() { each "$(elapsed postgres "$(look_up tag hub.encrypted_email)")" 0 20000; }

interleave plain tag untyped hash btree
for variant in plain tag hash btree; do
    sql "SELECT pg_relation_size('${variant}_email')" >"$BENCH_DIR/${variant}_size"
done

title "lookup: one of $rows addresses by equality, time against text with btree"
row 'btree on the equality tag' tag plain '<= 1.00'
row 'the same, parameter of no type' untyped plain
row 'hash on the column' hash plain
row 'btree on the column' btree plain
fact 'text, btree, nanoseconds' "$(median plain)"
title 'lookup: size of the index against that of text with btree'
row 'btree on the equality tag' tag_size plain_size '<= 1.20'
row 'hash on the column' hash_size plain_size
row 'btree on the column' btree_size plain_size
fact 'text, btree, MB' "$(median plain_size 1e-6)"
