-- The SQL of README.md, taken from there and run as its reader would. Only what
-- the reader fills in is filled in here: public key, token, ids.
SELECT plan(12);

\set key `mktemp`
\set output `mktemp`
\setenv KEY :key
\setenv OUTPUT :output
\! sh test/fixtures/make_token.sh --new-key "$KEY"

-- install: the extension is there already
\set example `sh test/fixtures/readme_example.sh 1 | grep -v 'CREATE EXTENSION'`
\o /dev/null
:example
\o
SELECT has_table('crm', 'customer', 'the hub is installed');
SELECT is_empty($$SELECT * FROM hub.posture() WHERE severity IN ('critical', 'high', 'medium')$$, 'nothing weighty is open');

-- a back end, through a pooler: first what the DBA does
\set public_key `sh test/fixtures/make_token.sh --public-key "$KEY"`
\setenv PUBLIC_KEY :public_key
\set example `sh test/fixtures/readme_example.sh 2 | sed "/in every transaction/,\$d; s/…/$PUBLIC_KEY/"`
\o /dev/null
:example
\o
INSERT INTO crm.business_line VALUES (1, 'Furniture');
INSERT INTO crm.team VALUES (1, 'Service', 'DE', 1);
INSERT INTO crm.customer (region, line_id, team_id, display_name, intent) VALUES ('DE', 1, 1, 'Ann Example', 'a sofa')
RETURNING customer_id \gset
\setenv CUSTOMER :customer_id

-- then what the back end does
\set token `sh test/fixtures/make_token.sh "$KEY" idp-2026 alice`
\setenv TOKEN :token
\set example `sh test/fixtures/readme_example.sh 2 | sed "1,/in every transaction/d; s/\$1/'$TOKEN'/; s/\$2/'$CUSTOMER'/"`
SET SESSION AUTHORIZATION app;
\o :output
:example
\o
RESET SESSION AUTHORIZATION;
\set seen `grep . "$OUTPUT"`
SELECT is(:'seen'::text, 'Ann Example|[restricted]', 'the back end reads what an agent may');

-- a table of one's own
\set example `sh test/fixtures/readme_example.sh 3 | sed "s/\$1/'ann@example.com'/"`
\o :output
:example
\o
\set seen `grep -o 'DE|hub1:' "$OUTPUT"`
SELECT is(:'seen'::text, 'DE|hub1:', 'a superuser finds the row, sealed');

CREATE ROLE ada LOGIN; CREATE ROLE sam LOGIN; CREATE ROLE mia LOGIN; CREATE ROLE cora LOGIN;
\o /dev/null
SELECT hub.add_member('ada', 'hub_agent', 'ada', '{DE}'), hub.add_member('sam', 'hub_sales', 'sam', '{DE}'),
	hub.add_member('mia', 'hub_manager', 'mia', '{DE}'), hub.add_member('cora', 'hub_compliance', 'cora', '{DE}', '{1}');
\o
SELECT id AS buyer, ctid AS place FROM shop.buyer \gset
SET SESSION AUTHORIZATION ada;
SELECT email AS seen FROM shop.buyer \gset
UPDATE shop.buyer SET email = :'seen';
SET enable_seqscan = off;
SELECT ok(EXISTS (SELECT FROM shop.buyer WHERE email = 'ann@example.com'), 'who reads a mask finds the row all the same');
\o :output
EXPLAIN (COSTS OFF) SELECT * FROM shop.buyer WHERE email = 'ann@example.com';
\o
RESET enable_seqscan;
RESET SESSION AUTHORIZATION;
SELECT is(:'seen'::text, 'a•••@e•••.com', 'agents read a mask');
SELECT is((SELECT email = 'ann@example.com' FROM shop.buyer), true, 'which changes nothing when it is written back');
\set seen `grep -o 'Index.*buyer_email_key' "$OUTPUT"`
SELECT matches(:'seen'::text, 'buyer_email_key', 'a look-up goes by the index');
SET SESSION AUTHORIZATION sam;
SELECT email AS seen FROM shop.buyer \gset
RESET SESSION AUTHORIZATION;
SELECT is(:'seen'::text, 'ann@example.com', 'sales reads the address');
SET SESSION AUTHORIZATION mia;
SELECT email AS seen FROM shop.buyer \gset
RESET SESSION AUTHORIZATION;
SELECT matches(:'seen'::text, '^tok_', 'a manager reads a pseudonym');

-- a compliance officer
\setenv BUYER :buyer
\set example `sh test/fixtures/readme_example.sh 4 | sed "s/6f1f…/$BUYER/"`
\o /dev/null
CALL hub.seal_audit();
\o :output
SET SESSION AUTHORIZATION cora;
:example
\o
RESET SESSION AUTHORIZATION;
\set seen `grep -c '|sam|.*|contact|full|' "$OUTPUT"`
SELECT is(:'seen'::text, '1', 'compliance sees that sales saw the address');
\set seen `grep -c '^— customer_hub/' "$OUTPUT"`
SELECT is(:'seen'::text, '1', 'and has a signed checkpoint');
\! rm -f "$KEY" "$OUTPUT"
SELECT * FROM finish();
