\set token `sh ../../test/fixtures/make_token.sh "$KEY" idp sam 300 service`
SELECT count(*) FROM crm.customer;
BEGIN;
SELECT hub.authenticate(:'token');
SELECT role, purpose FROM hub.whoami();
SELECT c.display_name, c.intent FROM crm.customer c WHERE merged_into IS NULL;
SET LOCAL ROLE hub_agent;
SELECT count(*) FROM crm.customer;
COMMIT;
SELECT role, purpose FROM hub.whoami();

-- a token that somebody altered says no more than that
SELECT hub.authenticate(:'token' || 'x');
