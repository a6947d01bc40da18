-- a manager sees pseudonyms: enough to work with, and nobody's address
SELECT i.channel, i.kind, i.address LIKE 'tok_%' AS pseudonym FROM (SELECT channel, kind, address::text FROM crm.identity) i ORDER BY 1, 2;

-- an address can be looked up without being shown
SELECT customer_id AS whatsapp FROM crm.identity WHERE phone = '+4915112345678' \gset
SELECT customer_id AS email FROM crm.identity WHERE email = 'nora.lindqvist@example.com' AND channel = 'email' \gset
SELECT customer_id AS telegram FROM crm.identity WHERE channel = 'telegram' \gset
SELECT customer_id AS web FROM crm.identity WHERE channel = 'web' \gset
SELECT hub.merge_customers(:'whatsapp', :'email') IS NOT NULL AS merged,
       hub.merge_customers(:'whatsapp', :'telegram') IS NOT NULL AS merged,
       hub.merge_customers(:'whatsapp', :'web') IS NOT NULL AS merged;

UPDATE crm.customer SET intent = 'blue sofa, 900 euros', follow_up = 'qualified' WHERE customer_id = :'whatsapp';

-- and an AI agent shall help with the conversation, which the customer has consented to
SELECT hub.record_consent(:'whatsapp', 'ai_assist', 'WhatsApp opt-in, version 3');
SELECT hub.assign(conversation_id, 6) FROM crm.conversation WHERE customer_id = :'whatsapp';
