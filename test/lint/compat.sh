#!/bin/sh
# Differences between PostgreSQL versions live in foundation/compat.h; what uses
# varlena macros, which moved in 16, includes it.
set -eu
bad=0
if grep -nE 'PG_VERSION_NUM|PG1[0-9]_GE' -r src --include='*.[ch]' | grep -v '^src/foundation/compat.h:'; then
    echo "tell versions apart in foundation/compat.h only"
    bad=1
fi
if grep -nE 'pg_attribute_noreturn' -r src --include='*.[ch]' | grep -v '^src/foundation/compat.h:'; then
    echo "write pg_noreturn, and first: the attribute is gone since 18"
    bad=1
fi
for file in $(grep -lE '\b(VARDATA|VARSIZE|SET_VARSIZE|VARATT)(_[A-Z_]+)?\(' -r src --include='*.c'); do
    grep -q '"foundation/compat.h"' "$file" || { echo "$file: include \"foundation/compat.h\" for varatt.h"; bad=1; }
done
exit $bad
