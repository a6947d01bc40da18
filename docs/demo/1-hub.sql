SELECT hub.create_hub();

SELECT hub.add_business_line('Furniture') AS line \gset
SELECT hub.add_team('Service', 'DE', :line) AS team \gset
SELECT hub.add_channel_account('whatsapp', '104000000000002', 'DE', :line, :team) AS whatsapp,
       hub.add_channel_account('telegram', 'shop_bot', 'DE', :line, :team) AS telegram,
       hub.add_channel_account('email', 'service@shop.example', 'DE', :line, :team) AS email,
       hub.add_channel_account('web', 'contact-us', 'DE', :line, :team) AS web;

-- people with logins of their own
CREATE ROLE alice LOGIN; CREATE ROLE sam LOGIN; CREATE ROLE mia LOGIN; CREATE ROLE cora LOGIN;
CREATE ROLE carl LOGIN; CREATE ROLE bot LOGIN; CREATE ROLE gateway LOGIN; CREATE ROLE stranger LOGIN;
SELECT hub.add_member('alice', 'hub_agent', 'alice', '{DE}', ARRAY[:line], ARRAY[:team]) AS alice,
       hub.add_member('sam', 'hub_sales', 'sam', '{DE}', ARRAY[:line], ARRAY[:team]) AS sam,
       hub.add_member('mia', 'hub_manager', 'mia', '{DE}', ARRAY[:line], ARRAY[:team]) AS mia,
       hub.add_member('cora', 'hub_compliance', 'cora', '{DE}', ARRAY[:line], ARRAY[:team]) AS cora,
       hub.add_member('carl', 'hub_compliance', 'carl', '{DE}', ARRAY[:line], ARRAY[:team]) AS carl,
       hub.add_member('bot', 'hub_ai_agent', 'bot', '{DE}', ARRAY[:line], ARRAY[:team]) AS bot,
       hub.add_member('gateway', 'hub_connector', 'gateway', '{DE}', ARRAY[:line], ARRAY[:team]) AS gateway;

-- and a back end, whose pooled login has no rights of its own
CREATE ROLE app LOGIN NOINHERIT; GRANT hub_agent, hub_sales TO app;
\set public_key `sh ../../test/fixtures/make_token.sh --public-key "$KEY"`
SELECT hub.add_token_issuer('idp', decode(:'public_key', 'hex'));
