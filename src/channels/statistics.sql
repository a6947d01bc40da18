-- channels/statistics: what managers go by. Counts of the rows that the caller sees.

CREATE FUNCTION hub.hides_each(part bigint, whole bigint) RETURNS bool
	LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
	SELECT part = 0 OR part >= k AND (whole = part OR whole - part >= k)
	FROM (SELECT current_setting('customer_hub.statistics_threshold')::int) t (k)
$$;
COMMENT ON FUNCTION hub.hides_each(bigint, bigint) IS 'Whether a count of some persons out of others can be shown: neither those counted nor those left over are fewer than customer_hub.statistics_threshold, other than none';

CREATE FUNCTION hub.count_customers()
	RETURNS TABLE (region hub.region, line_id int, team_id int, follow_up hub.follow_up_status, customers bigint,
		new_this_week bigint, conversations bigint, unresolved bigint, unassigned bigint)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT g.region, g.line_id, g.team_id, g.follow_up, g.customers,
		CASE WHEN hub.hides_each(g.new_customers, g.customers) THEN g.new_customers END,
		CASE WHEN hub.hides_each(g.having_any, g.customers) THEN g.conversations END,
		CASE WHEN hub.hides_each(g.having_unresolved, g.customers) AND hub.hides_each(g.having_unresolved, g.having_any) THEN g.unresolved END,
		CASE WHEN hub.hides_each(g.having_unassigned, g.customers) AND hub.hides_each(g.having_unassigned, g.having_any) THEN g.unassigned END
	FROM (
		SELECT c.region, c.line_id, c.team_id, c.follow_up, count(*) AS customers,
			count(*) FILTER (WHERE c.created_at > now() - interval '7 days') AS new_customers,
			count(v.conversations) AS having_any, coalesce(sum(v.conversations), 0)::bigint AS conversations,
			count(*) FILTER (WHERE v.unresolved > 0) AS having_unresolved, coalesce(sum(v.unresolved), 0)::bigint AS unresolved,
			count(*) FILTER (WHERE v.unassigned > 0) AS having_unassigned, coalesce(sum(v.unassigned), 0)::bigint AS unassigned
		FROM crm.customer c
		LEFT JOIN (
			SELECT v.customer_id, count(*) AS conversations, count(*) FILTER (WHERE v.status <> 'resolved') AS unresolved,
				count(*) FILTER (WHERE v.owner_id IS NULL) AS unassigned
			FROM crm.conversation v GROUP BY v.customer_id) v ON v.customer_id = c.customer_id
		WHERE c.merged_into IS NULL
		GROUP BY c.region, c.line_id, c.team_id, c.follow_up
		HAVING count(*) >= current_setting('customer_hub.statistics_threshold')::int) g;
END
$$;
COMMENT ON FUNCTION hub.count_customers() IS 'What hub.statistics shows';

CREATE VIEW hub.statistics WITH (security_invoker = true) AS
SELECT * FROM hub.count_customers();
COMMENT ON VIEW hub.statistics IS 'Customers and their conversations by region, line, team and follow-up, as far as the caller sees them; groups of fewer than customer_hub.statistics_threshold customers are left out, and a count within a group is null when fewer of its customers have, or have not, what is counted';
COMMENT ON COLUMN hub.statistics.customers IS 'Persons: those merged into another are not counted';
COMMENT ON COLUMN hub.statistics.unassigned IS 'Conversations that nobody has taken';
GRANT SELECT ON hub.statistics TO hub_manager, hub_compliance;
GRANT EXECUTE ON FUNCTION hub.count_customers(), hub.hides_each(bigint, bigint) TO hub_manager, hub_compliance;
