# What logical replication applies is recorded like any other change, and numbered by transaction.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('postgres', 'CREATE DATABASE source');
$node->safe_psql('source', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY, stage text, name text);
CREATE PUBLICATION people FOR TABLE person;
SELECT pg_create_logical_replication_slot('people', 'pgoutput');
SQL
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY, stage text, name text);
SELECT hub.govern('person', 'id');
SELECT hub.classify('person', 'stage', 'public');
SQL
(my $connection = $node->connstr('source')) =~ s{'}{''}g;
$node->safe_psql('hub', "CREATE SUBSCRIPTION people CONNECTION '$connection' PUBLICATION people
	WITH (create_slot = false, slot_name = 'people', copy_data = false)");

$node->safe_psql('source', <<'SQL');
BEGIN;
INSERT INTO person SELECT ('00000000-0000-0000-0000-00000000000' || i)::uuid, 'lead', 'Ann ' || i FROM generate_series(1, 3) i;
UPDATE person SET stage = 'customer' WHERE id::text ~ '1$';
DELETE FROM person WHERE id::text ~ '3$';
COMMIT;
SQL
$node->poll_query_until('hub', q{SELECT count(*) = 2 FROM person}) or die 'nothing was applied';

is($node->safe_psql('hub', q{
		SELECT e.ordinal, e.operation, right(e.subject::text, 1), e.changed ->> 'new', e.sealed IS NOT NULL, t.event_count
		FROM hub.audit_event e JOIN hub.audit_transaction t USING (xid)
		WHERE e.relation = 'public.person' AND e.operation <> 'BASELINE' ORDER BY e.xid, e.ordinal}),
	join("\n",
		'1|INSERT|1|{"stage": "lead"}|t|5',
		'2|INSERT|2|{"stage": "lead"}|t|5',
		'3|INSERT|3|{"stage": "lead"}|t|5',
		'4|UPDATE|1|{"stage": "customer"}|f|5',
		'5|DELETE|3||t|5'),
	'each applied change is an event of the one transaction');
is($node->safe_psql('hub', q{SELECT count(*) FROM hub.audit_event e WHERE e::text LIKE '%Ann%'}), '0', 'and nothing personal is readable');

# a TRUNCATE that comes by replication is refused like any other
$node->safe_psql('source', 'TRUNCATE person');
ok($node->poll_query_until('hub', q{SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'people'}),
	'TRUNCATE is not applied');
is($node->safe_psql('hub', 'SELECT count(*) FROM person'), '2', 'and the rows are still there');
$node->safe_psql('hub', 'ALTER SUBSCRIPTION people DISABLE');
$node->stop;
done_testing();
