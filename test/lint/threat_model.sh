#!/bin/sh
# Every test that docs/threat-model.md or docs/compliance.md names exists: a claim
# that stands beside a test can be tried.
set -eu
bad=0
for page in docs/threat-model.md docs/compliance.md; do
    for test in $(grep -oE '(test/)?(pgtap|t|isolation|lint)/[[:alnum:]_/]+\.(sql|pl|spec|sh)' "$page" | sort -u); do
        [ -e "test/${test#test/}" ] || { echo "$page names $test, which does not exist"; bad=1; }
    done
done
grep -qE '(pgtap|t)/[[:alnum:]_]+\.' docs/threat-model.md || { echo 'docs/threat-model.md names no test'; bad=1; }
exit $bad
