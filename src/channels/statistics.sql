-- channels/statistics: what managers go by. Counts of the rows that the caller sees.

CREATE FUNCTION hub.count_customers()
	RETURNS TABLE (region hub.region, line_id int, team_id int, follow_up hub.follow_up_status, customers bigint,
		new_this_week bigint, conversations bigint, unresolved bigint, unassigned bigint)
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	SELECT c.region, c.line_id, c.team_id, c.follow_up, count(*), count(*) FILTER (WHERE c.created_at > now() - interval '7 days'),
		coalesce(sum(v.conversations), 0)::bigint, coalesce(sum(v.unresolved), 0)::bigint, coalesce(sum(v.unassigned), 0)::bigint
	FROM crm.customer c
	LEFT JOIN (
		SELECT v.customer_id, count(*) AS conversations, count(*) FILTER (WHERE v.status <> 'resolved') AS unresolved,
			count(*) FILTER (WHERE v.owner_id IS NULL) AS unassigned
		FROM crm.conversation v GROUP BY v.customer_id) v ON v.customer_id = c.customer_id
	WHERE c.merged_into IS NULL
	GROUP BY c.region, c.line_id, c.team_id, c.follow_up
	HAVING count(*) >= current_setting('customer_hub.statistics_threshold')::int;
END
$$;
COMMENT ON FUNCTION hub.count_customers() IS 'What hub.statistics shows';

CREATE VIEW hub.statistics WITH (security_invoker = true) AS
SELECT * FROM hub.count_customers();
COMMENT ON VIEW hub.statistics IS 'Customers and their conversations by region, line, team and follow-up, as far as the caller sees them; groups of fewer than customer_hub.statistics_threshold customers are left out';
COMMENT ON COLUMN hub.statistics.customers IS 'Persons: those merged into another are not counted';
COMMENT ON COLUMN hub.statistics.unassigned IS 'Conversations that nobody has taken';
GRANT SELECT ON hub.statistics TO hub_manager, hub_compliance;
GRANT EXECUTE ON FUNCTION hub.count_customers() TO hub_manager, hub_compliance;
