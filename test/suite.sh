# The test kinds. Sourced by run.sh, whose functions and variables it uses.
# shellcheck shell=sh
# shellcheck disable=SC2154  # work, tree, bin, pg_config and pkglibdir are run.sh's

selection=$*
results=$work/out/results
: >"$results"
chmod 666 "$results"
export TMPDIR="$work/tmp"
cd "$work/tree" || exit
pgxs_tests=$pkglibdir/pgxs/src/test

# selected KIND/NAME: was this test asked for?
selected() {
    [ -n "$selection" ] || return 0
    for pattern in $selection; do
        # shellcheck disable=SC2254  # patterns are meant
        case $1 in $pattern | $pattern/*) return 0 ;; esac
    done
    return 1
}

# Drop what a test left in the shared server: databases first, then roles
reset_server() {
    psql -XAtq -v ON_ERROR_STOP=1 -d postgres <<'SQL'
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' \g /dev/null
SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE oid >= 16384 \gexec
SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE oid >= 16384 \gexec
SQL
}

# crashes: how often a process of the shared server was killed so far
crashes() { grep -c 'was terminated by signal\|PANIC:' "$work/server/log" || :; }

# A server that restarts after a crash needs a moment
wait_for_server() {
    tries=100
    until psql -XAtqc 'SELECT' -d postgres >/dev/null 2>&1 || [ "$tries" -eq 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
}

# report STATUS KIND/NAME OUTPUT: print and note how a test ended; 77 is for what cannot be tried here
report() {
    if [ "$1" -eq 77 ]; then
        echo "ok   $2" >>"$results"
        echo "ok      $2 # SKIP $(tail -n 1 "$3")"
    elif [ "$1" -eq 0 ]; then
        echo "ok   $2" >>"$results"
        echo "ok      $2"
    else
        echo "FAIL $2 $3" >>"$results"
        echo "FAILED  $2"
    fi
}

# in_server KIND NAME COMMAND…: run one test in the shared server and clean up after it
in_server() {
    kind=$1
    name=$2
    shift 2
    output=$work/out/$kind/$name.log
    as_server mkdir -p "$work/out/$kind"
    crashed=$(crashes)
    lines=$(wc -l <"$work/server/log")
    status=0
    "$@" >"$output" 2>&1 </dev/null || status=$?
    if [ "$(crashes)" -ne "$crashed" ]; then
        status=1
        {
            echo "A server process crashed. The server log since the test began:"
            tail -n "+$((lines + 1))" "$work/server/log"
        } >>"$output"
        wait_for_server
    fi
    reset_server >>"$output" 2>&1 || status=1
    report "$status" "$kind/$name" "$output"
}

test_lint() {
    sh "test/lint/$1.sh"
}

test_live_lint() {
    fresh_database lint && PGDATABASE=lint sh "test/lint/$1.sh"
}

# pg_regress and isolation: the diff is what matters of their output
test_expected() {
    where=$work/out/$1/$2
    if as_server make -s "check-$1-$2" PG_CONFIG="$pg_config" RESULTS="$where"; then return 0; fi
    cat "$where/regression.diffs" "$where/output_iso/regression.diffs" 2>/dev/null
    if [ -n "${ACCEPT:-}" ]; then
        case $1 in
        regress) cp "$where/results/$2.out" "$tree/expected/" ;;
        isolation) cp "$where/output_iso/results/$2.out" "$tree/test/isolation/expected/" ;;
        esac
    fi
    return 1
}

test_pgtap() {
    fresh_database "pgtap_$1"
    psql -Xq -v ON_ERROR_STOP=1 -d "pgtap_$1" -c 'CREATE EXTENSION pgtap'
    as_server pg_prove --verbose --dbname "pgtap_$1" "test/pgtap/$1.sql"
}

test_demo() {
    fresh_database hub
    (
        cd docs/demo
        PGDATABASE=hub as_server sh demo.sh
    ) >"$work/out/demo.out" || echo "demo.sh: exit status $?" >>"$work/out/demo.out"
    if diff -u docs/demo/demo.out "$work/out/demo.out"; then return 0; fi
    [ -z "${ACCEPT:-}" ] || cp "$work/out/demo.out" "$tree/docs/demo/"
    return 1
}

# Fetch node-postgres of the pinned version, or take the packaged one where there is no npm
node_modules() {
    modules=/usr/share/nodejs
    command -v npm >/dev/null || return 0
    modules=$work/out/clients/node_postgres/node_modules
    as_server cp -r test/clients/node_postgres "$work/out/clients/"
    status=0
    (
        cd "$work/out/clients/node_postgres" || exit
        as_server npm ci --no-audit --no-fund --ignore-scripts --cache "$work/out/clients/npm" --fetch-retries 1
    ) >"$work/out/clients/npm.log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || cat "$work/out/clients/npm.log"
    if grep -qE 'code (ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONN[A-Z]+|ERR_SOCKET_TIMEOUT|E[45][0-9][0-9])' "$work/out/clients/npm.log"; then
        echo "node-postgres was not fetched: the npm registry is not reachable"
        status=77
    fi
    return "$status"
}

# A client is a program in a language of its own, with two tokens to authenticate with
test_client() {
    name=$(basename "${1%.*}")
    key=$work/out/clients/$name.pem
    fresh_database "client_$name"
    as_server sh test/fixtures/make_token.sh --new-key "$key"
    psql -Xq -v ON_ERROR_STOP=1 -d "client_$name" -f test/fixtures/clients.sql \
        -v public_key="$(as_server sh test/fixtures/make_token.sh --public-key "$key")"
    export PGDATABASE="client_$name"
    SALES_TOKEN=$(as_server sh test/fixtures/make_token.sh "$key" idp sally)
    AGENT_TOKEN=$(as_server sh test/fixtures/make_token.sh "$key" idp anna)
    export SALES_TOKEN AGENT_TOKEN
    case $1 in
    *.py)
        # of the packages that run.sh installs, whatever other Python there is
        as_server timeout 120 /usr/bin/python3 -I "$1"
        ;;
    *.js)
        status=0
        node_modules || status=$?
        [ "$status" -eq 0 ] || return "$status"
        echo "node-postgres $(NODE_PATH=$modules node -p 'require("pg/package.json").version')"
        NODE_PATH=$modules as_server timeout 120 node "$1"
        ;;
    *.c)
        as_server cc -Wall -Werror -I "$("$pg_config" --includedir)" -I /usr/include/postgresql \
            -o "$work/out/clients/$name" "$1" -L "$("$pg_config" --libdir)" -lpq &&
            as_server timeout 120 "$work/out/clients/$name"
        ;;
    esac
}

# A TAP test starts servers of its own
test_tap() {
    where=$work/out/t/$1
    as_server mkdir -p "$where"
    TESTDIR=$where TESTLOGDIR=$where/log TESTDATADIR=$where/data \
        PG_REGRESS=$pgxs_tests/regress/pg_regress PG_CONFIG=$pg_config \
        as_server prove --verbose -I "$pgxs_tests/perl" -I test/t "test/t/$1.pl"
}

# TAP tests run beside the others
tap_tests() {
    for file in test/t/*.pl; do
        name=$(basename "$file" .pl)
        { [ -e "$file" ] && selected "t/$name"; } || continue
        output=$work/out/t/$name.log
        status=0
        test_tap "$name" >"$output" 2>&1 </dev/null || status=$?
        if [ "$status" -ne 0 ]; then
            for log in "$work/out/t/$name"/log/* "$work/out/t/$name"/tmp_check/log/*; do
                [ -e "$log" ] && printf '\n%s, last lines:\n' "${log##*/}" && tail -n 40 "$log"
            done >>"$output"
        fi
        report "$status" "t/$name" "$output"
    done
}

server_tests() {
    for file in test/lint/*.sh; do
        name=$(basename "$file" .sh)
        { [ -e "$file" ] && selected "lint/$name"; } || continue
        case $name in
        live_*) in_server lint "$name" test_live_lint "$name" ;;
        *) in_server lint "$name" test_lint "$name" ;;
        esac
    done
    for file in sql/*.sql; do
        name=$(basename "$file" .sql)
        if [ -e "$file" ] && selected "regress/$name"; then
            in_server regress "$name" test_expected regress "$name"
        fi
    done
    for file in test/isolation/specs/*.spec; do
        name=$(basename "$file" .spec)
        if [ -e "$file" ] && selected "isolation/$name"; then
            in_server isolation "$name" test_expected isolation "$name"
        fi
    done
    for file in test/pgtap/*.sql; do
        name=$(basename "$file" .sql)
        if [ -e "$file" ] && selected "pgtap/$name"; then
            in_server pgtap "$name" test_pgtap "$name"
        fi
    done
    for file in test/clients/*.*; do
        name=$(basename "${file%.*}")
        if [ -e "$file" ] && selected "clients/$name"; then
            in_server clients "$name" test_client "$file"
        fi
    done
    if selected demo/demo; then
        in_server demo demo test_demo
    fi
}

start_server 'fsync = off'
as_server mkdir "$work/out/t"
tap_tests &
server_tests
wait

failed=$(grep -c '^FAIL ' "$results" || :)
passed=$(grep -c '^ok ' "$results" || :)

# Every file of tests must have run; only a filter may leave one out
if [ -z "$selection" ]; then
    there=$(find test/lint test/pgtap test/isolation/specs test/t test/clients sql \
        -name '*.sh' -o -name '*.sql' -o -name '*.spec' -o -name '*.pl' -o -name '*_client.*' 2>/dev/null | wc -l)
    if [ $((passed + failed)) -ne $((there + 1)) ]; then
        echo "There are $there files of tests, and the demo, but $((passed + failed)) tests were run." >"$work/out/run.log"
        report 1 run "$work/out/run.log"
        failed=$((failed + 1))
    fi
elif [ $((passed + failed)) -eq 0 ]; then
    die "no test is called: $selection"
fi

while read -r verdict name output; do
    [ "$verdict" = FAIL ] || continue
    printf '\n======== %s\n' "$name"
    cat "$output"
done <"$results"
if [ "$failed" -gt 0 ]; then
    printf '\nFailed, with the output above:\n'
    sed -n 's/^FAIL \([^ ]*\) .*/  \1/p' "$results"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
