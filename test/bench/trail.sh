#!/bin/sh
# Questions of compliance staff to a trail of 10 M events: milliseconds, rows and
# pages, since the target is absolute, and against bare look-ups of the same events
# and a scan of the trail.
set -eu
ROUNDS=${ROUNDS:-5}
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

events=${EVENTS:-10000000}
psql -XAtq -v ON_ERROR_STOP=1 -v events="$events" -f test/bench/trail.sql
sql "SELECT hub.create_hub()" "SELECT hub.wait_for_audit()" "CALL hub.seal_audit()" "VACUUM (ANALYZE)" >/dev/null
# until the worker has indexed all but what makes no chunk
seconds=0
while [ "$(sql 'SELECT coalesce(sum(event_count), 0) - coalesce((SELECT to_done FROM hub.audit_posting_chunk ORDER BY chunk DESC LIMIT 1), 0) > 8192
        FROM hub.audit_block WHERE block_no >= coalesce((SELECT max(to_block) FROM hub.audit_posting_chunk), 0)')" = t ]; do
    seconds=$((seconds + 1))
    [ "$seconds" -le 1800 ] || { echo 'bench: the worker does not index the trail' >&2; exit 1; }
    sleep 1
done
sql "VACUUM (ANALYZE) hub.audit_posting, hub.audit_posting_chunk"

subject=$(sql "SELECT md5('4711')::uuid")
start=$(sql "SELECT min(recorded_at)::date + 98 FROM hub.audit_event WHERE xid < '1000000000000'")
day="'$start', '$start'::timestamptz + interval '1 day'"
month="'$start', '$start'::timestamptz + interval '1 month'"

# ask LABEL QUERY [TARGET]: measure a question, and say what it read
asked=0
ask() {
    asked=$((asked + 1))
    i=0
    while [ "$i" -lt "$ROUNDS" ]; do
        i=$((i + 1))
        elapsed cora "SELECT * FROM $2" >>"$BENCH_DIR/ask$asked"
    done
    plan=$(psql -XAtq -v ON_ERROR_STOP=1 -U cora -c "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF, COSTS OFF) SELECT * FROM $2")
    printf '%s\n' "$plan" | awk -v label="$1" -v ms="$(median "ask$asked")" -v target="${3:-}" '
        /rows=/ && !rows { match($0, /actual rows=[0-9]+/); rows = substr($0, RSTART + 12, RLENGTH - 12) }
        /Buffers: shared/ && !pages { for (f = 1; f <= NF; f++) if ($f ~ /^(hit|read)=/) { split($f, part, "="); pages += part[2] } }
        END { printf "  %-44s %10.1f %9d %9d  %s\n", label, ms, rows, pages,
            target == "" ? "" : "<= " target (ms <= target ? "  met" : "  MISSED") }'
}

printf '\ntrail: questions to %s events\n  %-44s %10s %9s %9s  %s\n' "$events" "" ms rows pages target
ask 'who_viewed: one person' "hub.who_viewed('$subject')" 100
ask 'erasure_proof: one person' "hub.erasure_proof('$subject')" 100
ask 'field_history: one column of one row' "hub.field_history('crm.customer', '{\"customer_id\": \"$subject\"}', 'follow_up')" 100
ask 'activity_of: one member, one day' "hub.activity_of(17, $day)" 100
ask 'activity_of: one member, one month' "hub.activity_of(17, $month)" 100
ask 'activity_of: one member, all' "hub.activity_of(17)"
ask 'breach_scope: one member, one day' "hub.breach_scope(17, $day)" 100
ask 'breach_scope: one member, one month' "hub.breach_scope(17, $month)" 100
ask 'breach_scope: one member, all' "hub.breach_scope(17)"
ask 'breach_scope: one login, one month' "hub.breach_scope('login17'::name, $month)" 100
ask 'exports: one month' "hub.exports($month)"
ask 'privilege_changes: one month' "hub.privilege_changes($month)"
ask 'denied_attempts: one day' "hub.denied_attempts($day)"
ask 'break_glass_uses: one month' "hub.break_glass_uses($month)"
ask 'audit_access: one day' "hub.audit_access($day)"
ask 'access_by_leavers: all (three of them)' "hub.access_by_leavers()"
ask 'after_hours_access: one day' "hub.after_hours_access($day)"
ask 'access_by_day: one day' "hub.access_by_day($day)"
ask 'unusual_volume: one day against 30' "hub.unusual_volume($day)"

# the same events, when it is known where they are; and when nothing is
sql "CREATE TABLE place AS SELECT xid, ordinal, recorded_at FROM hub.audit_entry WHERE kind = 'reveal' AND subject = '$subject'" "ANALYZE place"
measure_who_viewed() { elapsed cora "SELECT * FROM hub.who_viewed('$subject')"; }
measure_look_up() { elapsed postgres "SELECT e.* FROM place p JOIN hub.audit_entry e USING (xid, ordinal, recorded_at)"; }
measure_scan() { elapsed_once postgres "SELECT * FROM hub.audit_entry WHERE kind = 'reveal' AND subject = '$subject'"; }
interleave who_viewed look_up scan
title 'trail: who viewed one person, time against'
row 'index look-ups of the same events' who_viewed look_up
row 'a scan of the trail' who_viewed scan

title 'trail: bytes per event'
fact 'events with the index of their order' "$(sql "SELECT sum(pg_total_relation_size(inhrelid)) / $events FROM pg_inherits WHERE inhparent = 'hub.audit_event'::regclass" | cut -c1-6)"
fact 'postings' "$(sql "SELECT pg_total_relation_size('hub.audit_posting') / $events")"

# The report verifies, so it needs a trail that does: all of it recorded within the hour
sql "CREATE DATABASE report" >/dev/null
export PGDATABASE=report PGOPTIONS='-c client_min_messages=warning'
sql "CREATE EXTENSION customer_hub" "SELECT hub.add_member('member' || i, 'hub_agent') FROM generate_series(1, 199) i" \
    "SELECT hub.add_member('cora', 'hub_compliance', 'cora', '{DE}', '{}', '{}')" >/dev/null
begun=0
while [ "$begun" -lt "$events" ]; do
    sql "SELECT count(hub.record_event(CASE WHEN i % 3 = 0 THEN 'reveal' WHEN i % 600 = 1 THEN 'denied' ELSE 'row' END::hub.audit_kind,
            md5((i % 100000)::text)::uuid, CASE WHEN i % 3 = 0 OR i % 600 = 1 THEN jsonb_build_object('at', clock_timestamp(), 'class', 'contact', 'reveal', 'full',
                'login', 'login' || i % 199 + 1, 'member', i % 199 + 1, 'role', 'hub_agent', 'session', '4711.1') ELSE '{\"columns\": [\"follow_up\"]}' END))
        FROM generate_series($begun, $((begun + 199999 < events - 1 ? begun + 199999 : events - 1))) i" >/dev/null
    begun=$((begun + 200000))
done
sql "CALL hub.seal_audit()" "VACUUM (ANALYZE)" >/dev/null
title "trail: the report of a month with $events events, seconds (target 60)"
verified=$(elapsed_once postgres 'SELECT * FROM hub.verify_audit()')
reported=$(elapsed_once cora 'SELECT hub.compliance_report()')
fact 'verifying the trail' "$(awk -v ms="$verified" 'BEGIN { printf "%.1f", ms / 1000 }')"
fact 'the report, which verifies too' "$(awk -v ms="$reported" 'BEGIN { printf "%.1f", ms / 1000 }')"
