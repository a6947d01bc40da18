# What the benchmarks share. Sourced by them; BENCH_DIR and the connection are set
# by driver.sh.
# shellcheck shell=sh

ROUNDS=${ROUNDS:-7}

# sql STATEMENT…: run as superuser
sql() {
    for statement in "$@"; do
        psql -XAtq -v ON_ERROR_STOP=1 -c "$statement"
    done
}

# elapsed USER STATEMENT: milliseconds of its second run in one session, as the client sees it
elapsed() {
    psql -XAtq -v ON_ERROR_STOP=1 -U "$1" -o /dev/null -c "$2" -c '\timing on' -c "$2" |
        sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# elapsed_once USER STATEMENT: the same for a statement that changes something
elapsed_once() {
    psql -XAtq -v ON_ERROR_STOP=1 -U "$1" -o /dev/null -c 'SELECT' -c '\timing on' -c "$2" |
        sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# each WITH WITHOUT N: nanoseconds that each of N operations took, from two times in ms
each() {
    [ -n "$1" ] && [ -n "$2" ] || return 0
    awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { print (a - b) * 1e6 / n }'
}

# interleave VARIANT…: measure each in turn, ROUNDS times over. `measure_VARIANT`
# prints one figure.
interleave() {
    round=0
    while [ "$round" -lt "$ROUNDS" ]; do
        round=$((round + 1))
        for variant in "$@"; do
            figure=$("measure_$variant")
            [ -n "$figure" ] || { echo "bench: no figure for $variant" >&2; exit 1; }
            echo "$figure" >>"$BENCH_DIR/$variant"
        done
    done
}

# median VARIANT [FACTOR]: median of the figures
median() {
    sort -g "$BENCH_DIR/$1" | awk -v factor="${2:-1}" '{ v[NR] = $1 * factor } END { print v[int((NR + 1) / 2)] }'
}

title() { printf '\n%s\n  %-52s %8s  %-15s %s\n' "$1" "" ratio range target; }

# row LABEL VARIANT BASE [TARGET]: median and range of VARIANT / BASE, round by
# round. TARGET is like "<= 1.10" or ">= 0.92"; a peer has none.
row() {
    paste "$BENCH_DIR/$2" "$BENCH_DIR/$3" | awk '{ print $1 / $2 }' | sort -g |
        awk -v label="$1" -v target="${4:-}" '
            { ratio[NR] = $1 }
            END {
                middle = ratio[int((NR + 1) / 2)]
                verdict = ""
                if (target != "") {
                    split(target, part, " ")
                    met = part[1] == "<=" ? middle <= part[2] + 0 : middle >= part[2] + 0
                    verdict = target (met ? "  met" : "  MISSED")
                }
                printf "  %-52s %8.2f  %-15s %s\n", label, middle, sprintf("%.2f - %.2f", ratio[1], ratio[NR]), verdict
            }'
}

# fact LABEL VALUE
fact() { printf '  %-52s %8s\n' "$1" "$2"; }
