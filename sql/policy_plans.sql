-- Plans under row policies: index conditions, parallel scans, bounded look-ups, joins. What the README says of cost is to be seen here.
\set VERBOSITY terse
\set HIDE_TABLEAM on
CREATE ROLE plan_agent LOGIN;
CREATE ROLE plan_manager LOGIN;
SELECT hub.add_member('agent', 'hub_agent', 'plan_agent', '{DE,US-CA}', '{1,2}', '{1,2,3}');
SELECT hub.add_member('manager', 'hub_manager', 'plan_manager', '{AT,BE,CH,DE,FR,US}', '{1,2,3,4}', '{1,2,3}');
CREATE TABLE visit (id bigint PRIMARY KEY, customer_id uuid NOT NULL, region hub.region NOT NULL, line_id int NOT NULL,
	team_id int, owner_id int, amount int NOT NULL, seen_at timestamptz NOT NULL, email hub.encrypted_email('contact'))
	WITH (autovacuum_enabled = off);
SELECT hub.govern('visit', 'customer_id', 'region', 'line_id', 'team_id', 'owner_id');
INSERT INTO visit
SELECT n, md5(n::text)::uuid, (ARRAY['AT','BE','BR','CH','CN','CZ','DE','ES','FR','GB','IN','IT','JP','KR','MX','NL','PL','US','US-CA','ZA'])[1 + n % 20]::hub.region,
	1 + n / 20 % 4, nullif(n / 80 % 50, 0), n / 7 % 500, n % 1000, '2026-01-01 00:00:00+00'::timestamptz + n * interval '1 minute'
FROM generate_series(1, 40000) n;
CREATE INDEX visit_scope ON visit (region, line_id, seen_at);
CREATE INDEX visit_email ON visit (email);
VACUUM ANALYZE visit;
GRANT SELECT ON visit TO hub_agent, hub_manager;
CREATE VIEW visit_view WITH (security_invoker = true) AS SELECT * FROM visit;
GRANT SELECT ON visit_view TO hub_agent, hub_manager;

SET SESSION AUTHORIZATION plan_agent;
-- count: an index condition on region and line
EXPLAIN (COSTS off) SELECT count(*) FROM visit;
-- range: the time joins them in one condition
EXPLAIN (COSTS off) SELECT count(*) FROM visit WHERE seen_at BETWEEN '2026-01-02' AND '2026-01-03';
-- point
EXPLAIN (COSTS off) SELECT amount FROM visit WHERE id = 4711;
-- a person's address
SET plan_cache_mode = force_generic_plan;
PREPARE find_visit(text) AS SELECT id FROM visit WHERE email = $1;
EXPLAIN (COSTS off) EXECUTE find_visit('ann@vermeulen.example');
-- through a view
EXPLAIN (COSTS off) SELECT count(*) FROM visit_view WHERE region = 'US-CA';
-- a prepared statement has the same plan for whoever comes next
PREPARE count_visits AS SELECT count(*) FROM visit;
EXPLAIN (COSTS off) EXECUTE count_visits;
RESET plan_cache_mode;

-- wide sum of nearly everything: a parallel scan
SET SESSION AUTHORIZATION plan_manager;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT line_id, sum(amount), avg(amount), max(seen_at) FROM visit GROUP BY line_id;
EXPLAIN (COSTS off) SELECT sum(amount), count(team_id), max(seen_at) FROM visit;
-- it ran in workers, and gave what one process gives
SELECT count(*), sum(amount) FROM visit;
SET max_parallel_workers_per_gather = 0;
SELECT count(*), sum(amount) FROM visit;
RESET ALL;
RESET SESSION AUTHORIZATION;
SELECT count(*), sum(amount) FROM visit
WHERE region::text IN ('AT', 'BE', 'CH', 'DE', 'FR', 'US', 'US-CA') AND (team_id IN (1, 2, 3) OR team_id IS NULL OR owner_id = 2);
