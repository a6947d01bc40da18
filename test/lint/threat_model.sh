#!/bin/sh
# Every test that docs/threat-model.md or docs/compliance.md names exists: a claim
# that stands beside a test can be tried. In the threat model every actor and every path
# of plaintext has one, or says that there is none or what to do instead; every promise has one.
set -eu
bad=0
for page in docs/threat-model.md docs/compliance.md; do
    for test in $(grep -oE '(test/)?((pgtap|isolation|lint|clients)/[[:alnum:]_/]+|t/[0-9][[:alnum:]_]+)\.(sql|pl|spec|sh|py|js|c)' "$page" | sort -u); do
        [ -e "test/${test#test/}" ] || { echo "$page names $test, which does not exist"; bad=1; }
    done
done

# rows SECTION: the rows of a section's table, without its head
rows() {
    awk -v section="## $1" '/^## / { inside = $0 == section } inside && /^\| / && !/^\| (actor|path|promise|on) / && !/^\|-/' docs/threat-model.md
}

# each_has SECTION COLUMN WORDS: each row names a test, or one of the words, in that column
each_has() {
    [ -n "$(rows "$1")" ] || { echo "docs/threat-model.md: no table in \"$1\""; bad=1; }
    untested=$(rows "$1" | awk -F ' \\| ' -v column="$2" -v words="$3" '
        $column !~ /(pgtap|t|isolation\/specs|clients|demo|sql)\/[0-9a-z_-]+\.(sql|pl|spec|py|js|c)/ && (words == "" || $column !~ words) { print $1 }')
    [ -z "$untested" ] || { printf 'docs/threat-model.md, "%s", without a test:\n%s\n' "$1" "$untested"; bad=1; }
}
each_has Actors 2 '^(Nothing|It holds no key)'
each_has 'Where plaintext could go' 3 'ulimit'
each_has 'Promises and their tests' 2 ''
exit $bad
