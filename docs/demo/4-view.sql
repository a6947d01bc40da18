SELECT role, purpose FROM hub.whoami();
SELECT left(c.display_name::text, 14) AS name, left(i.phone::text, 14) AS phone, left(c.intent::text, 14) AS intent, left(m.body::text, 14) AS said
FROM crm.customer c JOIN crm.identity i USING (customer_id) JOIN crm.message m USING (customer_id)
WHERE i.kind = 'phone' AND m.kind = 'text';
