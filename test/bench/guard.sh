#!/bin/sh
# What the hooks cost a statement that is none of their business: one row of an
# ordinary table by its key, on a server with the library, with other libraries
# that look at every statement, and with none. And, where valgrind is, how many
# instructions that is: those no other process disturbs.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

bursts=${BURSTS:-300}
ROUNDS=${ROUNDS:-7}
sql "CREATE ROLE bench_member LOGIN" "CREATE ROLE bench_other LOGIN" \
    "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)" \
    "INSERT INTO account SELECT i, i FROM generate_series(1, 100000) i" \
    "GRANT SELECT ON account TO bench_member, bench_other" "VACUUM (ANALYZE) account" \
    "CREATE TABLE person (person_id bigint PRIMARY KEY, region hub.region)" \
    "SELECT hub.govern('person', 'person_id', 'region')" \
    "SELECT hub.add_member('member', 'hub_agent', 'bench_member', '{DE}')" >/dev/null

# fastest USER: nanoseconds of a statement in the fastest of many short bursts, which
# is what is left on a machine that others use too
fastest() {
    psql -XAtq -U "$1" 2>&1 <<SQL | sed -n 's/^NOTICE: *\([0-9]*\)$/\1/p'
DO \$\$
DECLARE
    x int;
    began timestamptz;
    took float;
    best float;
BEGIN
    FOR burst IN 1..$bursts LOOP
        began := clock_timestamp();
        FOR i IN 1..1000 LOOP
            SELECT balance INTO x FROM account WHERE id = i;
        END LOOP;
        took := extract(epoch FROM clock_timestamp() - began) * 1e6;
        best := least(best, took);
    END LOOP;
    RAISE NOTICE '%', round(best);
END
\$\$;
SQL
}

# statements of a block are not counted otherwise
track='-c pg_stat_statements.track=all'

round=0
while [ "$round" -lt "$ROUNDS" ]; do
    round=$((round + 1))
    "$BENCH_RESTART" ''
    fastest bench_other >>"$BENCH_DIR/without"
    "$BENCH_RESTART" customer_hub
    fastest bench_other >>"$BENCH_DIR/nobody"
    fastest bench_member >>"$BENCH_DIR/member"
    "$BENCH_RESTART" pg_stat_statements "$BENCH_POSTGRES" "$track"
    fastest bench_other >>"$BENCH_DIR/counted"
    "$BENCH_RESTART" pgaudit
    fastest bench_other >>"$BENCH_DIR/pgaudit"
done

# cost LABEL VARIANT [TARGET]: median and range of what a statement takes more, round by round
cost() {
    paste "$BENCH_DIR/$2" "$BENCH_DIR/without" | awk '{ print $1 - $2 }' | sort -g |
        awk -v label="$1" -v target="${3:-}" '
            { ns[NR] = $1 }
            END {
                middle = ns[int((NR + 1) / 2)]
                verdict = target == "" ? "" : "<= " target (middle <= target ? "  met" : "  MISSED")
                printf "  %-52s %5.0f ns  %-15s %s\n", label, middle, sprintf("%.0f - %.0f", ns[1], ns[NR]), verdict
            }'
}

# instructions LIBRARIES USER FILE [OPTION]: write what each function takes in 4000 statements, by
# the difference of a longer run and a shorter one
instructions() {
    rm -f "$counts"/*
    "$BENCH_RESTART" "$1" "$counted_postgres" "-c autovacuum=off ${4:-}"
    for times in 500 4500; do
        pid=$(psql -XAtq -U "$2" <<SQL
SELECT pg_backend_pid();
DO \$\$ DECLARE x int; BEGIN FOR i IN 1..$times LOOP SELECT balance INTO x FROM account WHERE id = i; END LOOP; END \$\$;
SQL
        )
        until [ -s "$counts/$pid" ]; do sleep 0.1; done
        sleep 0.5
        callgrind_annotate --auto=no --threshold=100 "$counts/$pid" |
            sed -n 's/^ *\([0-9,]*\) ([ 0-9.%]*)  *\(.*\)$/\1 \2/p' | sed 's/,//g' |
            awk -v sign="$([ "$times" = 500 ] && echo - || echo +)" '{ print sign $0 }'
    done | awk '{ count = $1; $1 = ""; total[$0] += count } END { for (f in total) print total[f] / 4000, f }' >"$3"
}

# all FILE: instructions of a statement
all() { sed -n 's/ *PROGRAM TOTALS$//p' "$1"; }

# own FILE PATTERN: those of source files that match
own() { awk -v pattern="$2" '$0 ~ pattern { sum += $1 } END { print sum + 0 }' "$1"; }

title "guard: one row by key, what is added to the statement"
cost 'all hooks: a login without identity' nobody 50
cost 'all hooks: a member' member
cost 'peer: pg_stat_statements' counted
cost 'peer: pgaudit, told to log nothing' pgaudit
fact 'the statement itself, ns' "$(median without | awk '{ printf "%.0f", $1 }')"

if ! command -v callgrind_annotate >/dev/null || ! command -v valgrind >/dev/null; then
    fact 'instructions' 'no valgrind'
    exit 0
fi

counts=$BENCH_DIR/counts
mkdir -m 777 "$counts"
counted_postgres=$counts.sh
cat >"$counted_postgres" <<POSTGRES
#!/bin/sh
exec valgrind -q --tool=callgrind --callgrind-out-file='$counts/%p' '$BENCH_POSTGRES' "\$@"
POSTGRES
chmod 755 "$counted_postgres"
instructions '' bench_other "$BENCH_DIR/count_without"
without=$(all "$BENCH_DIR/count_without")
instructions customer_hub bench_other "$BENCH_DIR/count_nobody"
instructions customer_hub bench_member "$BENCH_DIR/count_member"
instructions pg_stat_statements bench_other "$BENCH_DIR/count_counted" "$track"
instructions pgaudit bench_other "$BENCH_DIR/count_pgaudit"
"$BENCH_RESTART" customer_hub

# added LABEL VARIANT: instructions more, the library's own and what it calls
added() { fact "$1" "$(awk -v with="$(all "$BENCH_DIR/count_$2")" -v without="$without" 'BEGIN { printf "%.0f", with - without }')"; }

echo '  instructions added, exactly:'
added 'all hooks: a login without identity' nobody
fact '  of these the export guard' "$(own "$BENCH_DIR/count_nobody" 'src/access/(export_guard|governed)' | awk '{ printf "%.0f", $1 }')"
added 'all hooks: a member' member
for room in hub audit access identity types foundation; do
    fact "  of these room $room" "$(own "$BENCH_DIR/count_member" "src/$room/" | awk '{ printf "%.0f", $1 }')"
done
fact '  and the export guard, within access' "$(own "$BENCH_DIR/count_member" 'src/access/(export_guard|governed)' | awk '{ printf "%.0f", $1 }')"
added 'peer: pg_stat_statements' counted
added 'peer: pgaudit, told to log nothing' pgaudit
fact 'the statement itself' "$(printf '%.0f' "$without")"
