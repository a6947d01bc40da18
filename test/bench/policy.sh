#!/bin/sh
# Row policies on 2 M rows against the same conditions written out by hand, and
# against the two usual ways to write such policies.
set -eu
# shellcheck source=test/bench/lib.sh
. test/bench/lib.sh

rows=${ROWS:-2000000}
regions="'DE','FR','IT','ES','NL','BE','AT','CH','PL','CZ','US','CA','MX','BR','AR','JP','KR','IN','AU','NZ'"
sql "CREATE ROLE bench_agent LOGIN" "CREATE ROLE bench_manager LOGIN" \
    "CREATE ROLE bench_subselect LOGIN" "CREATE ROLE bench_plpgsql LOGIN"
for table in plain governed peer; do
    sql "CREATE TABLE $table (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL,
            line_id int NOT NULL, team_id int, owner_id int, amount int NOT NULL)" \
        "INSERT INTO $table SELECT i, md5(i::text)::uuid, (ARRAY[$regions])[1 + i % 20]::hub.region, 1 + i / 20 % 4,
            nullif(i / 80 % 50, 0), i / 7 % 500, i % 1000 FROM generate_series(1, $rows) i" \
        "CREATE INDEX ON $table (region, line_id)" \
        "VACUUM (ANALYZE) $table" \
        "GRANT SELECT ON $table TO bench_agent, bench_manager, bench_subselect, bench_plpgsql, hub_agent, hub_manager"
done

sql "SELECT hub.add_member('agent', 'hub_agent', 'bench_agent', '{DE,FR}', '{1,2}', '{1,2,3}')" \
    "SELECT hub.add_member('manager', 'hub_manager', 'bench_manager', ARRAY[$regions]::hub.region[], '{1,2,3,4}', '{1,2,3}')" >/dev/null
sql "SELECT hub.classify('governed', c, 'public') FROM unnest('{id,region,line_id,team_id,owner_id,amount}'::name[]) c" \
    "SELECT hub.govern('governed', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id')" >/dev/null
sql "ANALYZE governed"

sql "CREATE TABLE membership (login name, region hub.region, line_id int)" \
    "INSERT INTO membership SELECT l, r::hub.region, n FROM unnest('{bench_subselect,bench_plpgsql}'::name[]) l,
        unnest('{DE,FR}'::text[]) r, unnest('{1,2}'::int[]) n" \
    "GRANT SELECT ON membership TO PUBLIC" \
    "ALTER TABLE peer ENABLE ROW LEVEL SECURITY" \
    "CREATE FUNCTION may_see(r hub.region, l int) RETURNS bool STABLE LANGUAGE plpgsql AS
        \$\$ BEGIN RETURN EXISTS (SELECT FROM membership m WHERE m.login = session_user AND m.region = r AND m.line_id = l); END \$\$" \
    "GRANT USAGE ON SCHEMA public TO PUBLIC" \
    "CREATE POLICY subselect ON peer TO bench_subselect USING (EXISTS (
        SELECT FROM membership m WHERE m.login = session_user AND m.region = peer.region AND m.line_id = peer.line_id))" \
    "CREATE POLICY plpgsql ON peer TO bench_plpgsql USING (may_see(region, line_id))"

mine="region = ANY ('{DE,FR}'::hub.region[]) AND line_id = ANY ('{1,2}') AND (team_id IS NULL OR team_id = ANY ('{1,2,3}') OR owner_id = 1)"
all="region = ANY (ARRAY[$regions]::hub.region[]) AND line_id = ANY ('{1,2,3,4}') AND (team_id IS NULL OR team_id = ANY ('{1,2,3}') OR owner_id = 2)"

measure_index_by_hand() { elapsed bench_agent "SELECT count(*), sum(amount) FROM plain WHERE $mine"; }
measure_index() { elapsed bench_agent "SELECT count(*), sum(amount) FROM governed"; }
# a tenth of an agent's rows, in order of the key; all of a manager's, by several aggregates
range="id BETWEEN $((rows / 2)) AND $((rows / 2 + rows / 10))"
wide="line_id, count(*), sum(amount), avg(amount), min(amount), max(amount), count(team_id), sum(owner_id), max(id)"
measure_range_by_hand() { elapsed bench_agent "SELECT count(*), sum(amount) FROM plain WHERE $range AND $mine"; }
measure_range() { elapsed bench_agent "SELECT count(*), sum(amount) FROM governed WHERE $range"; }
measure_wide_by_hand() { elapsed bench_manager "SELECT $wide FROM plain WHERE $all GROUP BY line_id"; }
measure_wide() { elapsed bench_manager "SELECT $wide FROM governed GROUP BY line_id"; }
measure_scan_by_hand() { elapsed bench_manager "SELECT count(*), sum(amount) FROM plain WHERE $all"; }
measure_scan() { elapsed bench_manager "SELECT count(*), sum(amount) FROM governed"; }
point() {
    echo "DO \$\$ DECLARE x int; BEGIN FOR i IN 1..20000 LOOP SELECT amount INTO x FROM $1 WHERE id = i * 37; END LOOP; END \$\$"
}
measure_point_by_hand() { elapsed bench_agent "$(point plain | sed "s/i \* 37/i * 37 AND $(printf '%s' "$mine" | sed 's/[&\\/]/\\&/g')/")"; }
measure_point() { elapsed bench_agent "$(point governed)"; }
measure_peer_by_hand() { measure_index_by_hand; }
measure_subselect() { elapsed bench_subselect "SELECT count(*), sum(amount) FROM peer"; }
measure_plpgsql() { elapsed bench_plpgsql "SELECT count(*), sum(amount) FROM peer"; }

by_hand=$(psql -XAtq -U bench_agent -c "SELECT count(*) FROM plain WHERE $mine")
by_policy=$(psql -XAtq -U bench_agent -c "SELECT count(*) FROM governed")
[ "$by_hand" = "$by_policy" ] || { echo "bench: $by_policy rows by policy, $by_hand by hand" >&2; exit 1; }

interleave index_by_hand index range_by_hand range scan_by_hand scan wide_by_hand wide point_by_hand point
ROUNDS=3 interleave peer_by_hand subselect plpgsql

title "policy: $rows rows, time against the conditions written by hand"
row 'an agent: two regions, two lines, by index' index index_by_hand '<= 1.10'
row 'an agent: a range of the key' range range_by_hand '<= 1.10'
row 'a manager: all regions, by parallel scan' scan scan_by_hand '<= 1.10'
row 'a manager: wide sums of all, grouped' wide wide_by_hand '<= 1.10'
row 'an agent: one row by primary key' point point_by_hand '<= 1.10'
row 'peer: policy with a sub-select on memberships' subselect peer_by_hand
row 'peer: policy that calls PL/pgSQL' plpgsql peer_by_hand
plan=$(psql -XAtq -U bench_agent -c "EXPLAIN SELECT count(*), sum(amount) FROM governed")
case $plan in *"Index Cond"*) fact 'index condition kept' yes ;; *) fact 'index condition kept' NO ;; esac
plan=$(psql -XAtq -U bench_manager -c "EXPLAIN SELECT count(*), sum(amount) FROM governed")
case $plan in *Gather*) fact 'parallel plan kept' yes ;; *) fact 'parallel plan kept' NO ;; esac
