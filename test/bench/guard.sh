#!/bin/sh
# What the hooks cost a statement that is none of their business: one row of an
# ordinary table by its key, on a server with the library and on one without.
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

round=0
while [ "$round" -lt "$ROUNDS" ]; do
    round=$((round + 1))
    "$BENCH_RESTART" ''
    fastest bench_other >>"$BENCH_DIR/without"
    "$BENCH_RESTART" customer_hub
    fastest bench_other >>"$BENCH_DIR/nobody"
    fastest bench_member >>"$BENCH_DIR/member"
done

# cost LABEL VARIANT: median and range of what a statement takes more, round by round
cost() {
    paste "$BENCH_DIR/$2" "$BENCH_DIR/without" | awk '{ print $1 - $2 }' | sort -g |
        awk -v label="$1" '
            { ns[NR] = $1 }
            END {
                middle = ns[int((NR + 1) / 2)]
                printf "  %-52s %5.0f ns  %-15s %s\n", label, middle, sprintf("%.0f - %.0f", ns[1], ns[NR]),
                    "<= 50" (middle <= 50 ? "  met" : "  MISSED")
            }'
}

title "guard: one row by key, what all hooks add to the statement"
cost 'a login without identity' nobody
cost 'a member' member
fact 'the statement itself, ns' "$(median without | awk '{ printf "%.0f", $1 }')"
