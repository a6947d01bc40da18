#!/bin/sh
# run.sh finds tests by their place and name: nothing may stand beside them that
# looks like a test and is not run, and every expected file has its input.
set -eu
{
    find sql -mindepth 1 ! -path 'sql/*.sql'
    find test/pgtap -mindepth 1 ! -path 'test/pgtap/*.sql'
    find test/t -mindepth 1 ! -path 'test/t/*.pl' ! -path 'test/t/HubCluster.pm'
    find test/isolation -mindepth 1 ! -path test/isolation/specs ! -path test/isolation/expected \
        ! -path 'test/isolation/specs/*.spec' ! -path 'test/isolation/expected/*.out'
    find test/clients -mindepth 1 -maxdepth 1 -type f ! -name '*_client.py' ! -name '*_client.js' ! -name '*_client.c'
    find test/lint -mindepth 1 ! -path 'test/lint/*.sh' ! -path test/lint/README.md
    # a directory matches the patterns above too
    find sql expected test/pgtap test/isolation/specs test/isolation/expected test/t test/lint -mindepth 2
    find . -name '*.spec' ! -path './test/isolation/specs/*'
    find test -name '*.pl' ! -path 'test/t/*'
    for input in sql/*.sql; do
        [ ! -e "$input" ] || find "$input" ! -exec test -e "expected/$(basename "$input" .sql).out" \; -print
    done
    for input in test/isolation/specs/*.spec; do
        [ ! -e "$input" ] || find "$input" ! -exec test -e "test/isolation/expected/$(basename "$input" .spec).out" \; -print
    done
    for output in expected/*.out; do
        stem=$(basename "$output" .out)
        [ ! -e "$output" ] || [ -e "sql/$stem.sql" ] || [ -e "sql/${stem%_[0-9]}.sql" ] || echo "$output"
    done
    for output in test/isolation/expected/*.out; do
        stem=$(basename "$output" .out)
        [ ! -e "$output" ] || [ -e "test/isolation/specs/$stem.spec" ] || [ -e "test/isolation/specs/${stem%_[0-9]}.spec" ] || echo "$output"
    done
} 2>/dev/null | sort -u | {
    stray=$(cat)
    [ -z "$stray" ] || { printf 'not run, or without its other half:\n%s\n' "$stray"; exit 1; }
}
