#!/bin/sh
# A lint that cannot fail says nothing: each is run on a copy of the tree, or on
# the database, with a violation planted in it, and must name the violation.
# shellcheck disable=SC2317  # the plants are called by name
set -eu

sql() { psql -Xq -v ON_ERROR_STOP=1 -c "$1"; }

# Each plants one violation in the current directory and sets what must be named
plant_floors() {
    touch src/hub/planted.h
    echo '#include "hub/planted.h"' >>src/foundation/memory.c
    named='memory.c:.*foundation stands below hub'
}
plant_entry_points() {
    echo 'PG_FUNCTION_INFO_V1(hub_planted);' >>src/types/email.c
    named='hub_planted is declared by no SQL'
}
plant_no_or_replace() {
    echo 'CREATE OR REPLACE FUNCTION hub.planted() …' >>src/types/email.sql
    named='hub.planted'
}
plant_error_codes() {
    echo 'ereport(ERROR, (errmsg("a (planted) message")));' >>src/types/email.c
    named='email.c:.*without errcode'
}
plant_error_docs() {
    # shellcheck disable=SC2016  # backticks are Markdown's
    echo '| `CH999` | `planted` | | |' >>docs/errors.md
    named='CH999'
}
plant_settings_docs() {
    # shellcheck disable=SC2016
    echo '| `customer_hub.planted` | | | |' >>docs/settings.md
    named='customer_hub.planted'
}
plant_sodium() {
    echo 'int planted(void) { return crypto_auth_verify(NULL, NULL, 0, NULL); }' >>src/types/email.c
    named='types/email.c'
}
plant_paths() {
    echo 'see /ho''me/planted/file' >>docs/errors.md
    named='planted/file'
}
plant_marks() {
    echo '/* TO''DO: planted */' >>src/types/email.c
    named='planted'
}
plant_compat() {
    echo '#if PG_VERSION_NUM > 1' >>src/types/email.c
    named='types/email.c'
}
plant_every_test_is_run() {
    touch test/pgtap/planted.txt
    named='planted.txt'
}
plant_rooms() {
    touch src/types/planted.sql
    named='types/planted.sql is not in'
}
plant_shell() {
    echo 'if planted' >test/planted.sh
    named='planted.sh'
}
plant_threat_model() {
    # shellcheck disable=SC2016
    echo 'See `pgtap/planted.sql`.' >>docs/threat-model.md
    named='pgtap/planted.sql, which does not exist'
}
plant_live_reference() {
    sql 'CREATE FUNCTION hub.unlisted() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$'
    sql 'ALTER EXTENSION customer_hub ADD FUNCTION hub.unlisted()'
    named='hub.unlisted'
}
plant_live_comments() {
    sql 'CREATE FUNCTION hub.uncommented() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$'
    sql 'ALTER EXTENSION customer_hub ADD FUNCTION hub.uncommented()'
    named='hub.uncommented'
}
plant_live_search_path() {
    sql 'CREATE FUNCTION hub.open_path() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$'
    named='hub.open_path'
}
plant_live_public() {
    sql 'CREATE FUNCTION hub.for_all() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$'
    named='hub.for_all'
}

tree=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bad=0
for lint in test/lint/*.sh; do
    name=$(basename "$lint" .sh)
    [ "$name" != live_selftest ] || continue
    command -v "plant_$name" >/dev/null || { echo "$name: no violation is planted for it"; bad=1; continue; }
    rm -rf "$scratch/tree"
    cp -R "$tree" "$scratch/tree"
    cd "$scratch/tree"
    "plant_$name"
    if sh "$lint" >"$scratch/output" 2>&1; then
        echo "$name: did not see what was planted"
        bad=1
    elif ! grep -q "$named" "$scratch/output"; then
        echo "$name: failed, but not by what was planted:"
        cat "$scratch/output"
        bad=1
    fi
    cd "$tree"
done
exit $bad
