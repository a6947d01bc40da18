SELECT customer_id AS customer FROM crm.identity WHERE phone = '+4915112345678' \gset
SELECT hub.wait_for_audit();
SELECT DISTINCT login, role, data_class, reveal FROM hub.who_viewed(:'customer') ORDER BY 1, 2, 3, 4;
SELECT login, count(*) > 0 AS refused FROM hub.denied_attempts GROUP BY login ORDER BY login;
SELECT login, details->>'rows' AS rows FROM hub.exports;
CALL hub.seal_audit();
SELECT count(*) AS breaks FROM hub.verify_audit();
