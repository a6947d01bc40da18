SELECT customer_id AS customer FROM crm.identity WHERE phone = '+4915112345678' \gset
SELECT hub.plan_erasure(:'customer') AS plan \gset
SELECT relation_name, action, planned_rows FROM hub.erasure_plan_item
WHERE plan = :plan AND planned_rows > 0 AND action <> 'retain' ORDER BY relation_name::text;
SELECT hub.request_approval('erase', jsonb_build_object('plan', :plan), 'request of the data subject, by e-mail') AS request;
