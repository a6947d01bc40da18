SELECT customer_id AS customer FROM crm.identity WHERE phone = '+4915112345678' \gset
SELECT jsonb_pretty(hub.customer_profile(:'customer'));
