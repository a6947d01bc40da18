#!/bin/sh
# Bytes on disk of values of 16, 64 and 1024 bytes: table, and index where the
# column can be looked up by equality.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

n=${ROWS:-20000}
sql "CREATE EXTENSION pgcrypto"

# size NAME TYPE EXPRESSION INDEXED LABEL: bytes per row of the table, and of its index
size() {
    sql "CREATE TABLE $1 (v $2)" "INSERT INTO $1 SELECT $3 FROM (SELECT random_text(i, $width) AS v FROM generate_series(1, $n) i) s" "VACUUM $1"
    table=$(sql "SELECT round(pg_total_relation_size('$1')::numeric / $n)")
    index=-
    if [ -n "$4" ]; then
        sql "CREATE INDEX $1_v ON $1 (v)"
        index=$(sql "SELECT round(pg_relation_size('$1_v')::numeric / $n)")
    fi
    printf '  %-52s %8s %8s\n' "$5" "$table" "$index"
    sql "DROP TABLE $1"
}

# text that does not compress
sql "CREATE FUNCTION random_text(seed int, len int) RETURNS text LANGUAGE sql AS
    \$\$SELECT left(string_agg(md5(seed || '.' || i), '' ORDER BY i), len) FROM generate_series(0, len / 32) i\$\$"
for width in 16 64 1024; do
    printf '\nsizes: values of %s bytes, %s rows\n  %-52s %8s %8s\n' "$width" "$n" 'bytes per row' table index
    size plain text v yes 'text'
    size tagged "hub.encrypted_text('contact')" v yes "hub.encrypted_text('contact'), searchable"
    size untagged "hub.encrypted_text('content')" v '' "hub.encrypted_text('content')"
    size aes bytea "encrypt(v::bytea, '0123456789abcdef', 'aes')" yes 'peer: pgcrypto encrypt(), AES, no authentication'
    size pgp bytea "pgp_sym_encrypt(v, 'passphrase', 's2k-mode=0')" '' 'peer: pgcrypto pgp_sym_encrypt()'
done
