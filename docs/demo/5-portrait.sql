SELECT customer_id AS customer FROM crm.identity WHERE phone = '+4915112345678' \gset
SELECT hub.customer_profile(:'customer') AS profile \gset
SELECT p->>'name' AS name, p->>'intent' AS intent, p->>'follow_up' AS follow_up, p->'messages'->>'inbound' AS messages,
       jsonb_array_length(p->'merged') AS merged
FROM (SELECT :'profile'::jsonb AS p) s;
SELECT i->>'channel' AS channel, i->>'address' AS address, i->>'verified' AS verified
FROM jsonb_array_elements(:'profile'::jsonb->'identities') i;
SELECT channel, kind, left(body::text, 40) AS body FROM hub.timeline(:'customer');
