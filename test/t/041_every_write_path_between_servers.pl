# Sealed values pass between servers: binary COPY, postgres_fdw, logical replication, with the same keys and with others.
use strict;
use warnings;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->append_conf('postgresql.conf', "wal_retrieve_retry_interval = 100ms");
$node->start;
$node->create_hub_database('hub');
$node->create_hub_database('copy');
my $other = HubCluster->new('other');
$other->append_conf('postgresql.conf', "wal_retrieve_retry_interval = 100ms");
$other->start;
$other->create_hub_database('hub');

my $tables = q{CREATE TABLE person (id int PRIMARY KEY, email hub.encrypted_email('contact') UNIQUE, note hub.encrypted_text('content'));};
$node->safe_psql('hub', $tables . q{CREATE TABLE other (LIKE person); INSERT INTO person VALUES (1, 'ann@example.com', 'a note'), (2, NULL, '');});
$node->safe_psql('copy', $tables);
$other->safe_psql('hub', $tables);

# binary COPY: by a superuser without identity, so sealed all the way
my $file = $node->basedir . '/person.bin';
$node->safe_psql('hub', "COPY person TO '$file' (FORMAT binary)");
unlike(slurp_file($file), qr/ann@|a note/, 'binary COPY writes no plaintext');
$node->safe_psql('hub', "COPY other FROM '$file' (FORMAT binary)");
is($node->safe_psql('hub', 'SELECT count(*) FROM person p JOIN other o ON p.id = o.id AND (p.email::text, p.note::text) IS NOT DISTINCT FROM (o.email::text, o.note::text)'),
	'2', 'and reads back exactly');

# COPY of a wrong value: row and column are named, the value is not
my ($status, $out, $err) = $node->psql('hub', "COPY person FROM stdin;\n3\tbea\@example.com\tx\n4\tmywrongvalue\tx\n\\.\n");
like($err, qr/invalid input for type encrypted_email/, 'COPY refuses a wrong value');
like($err, qr/COPY person, line 2, column email/, 'names its row and column');
unlike($err, qr/mywrongvalue/, 'and does not quote it');
unlike(slurp_file($node->logfile), qr/mywrongvalue/, 'in the log neither');

# postgres_fdw in a loop
my $port = $node->port;
my $host = $node->host;
$node->safe_psql('hub', <<"SQL");
CREATE EXTENSION postgres_fdw;
CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'copy', extensions 'customer_hub');
CREATE USER MAPPING FOR CURRENT_USER SERVER loop;
CREATE FOREIGN TABLE far (id int, email hub.encrypted_email('contact'), note hub.encrypted_text('content')) SERVER loop OPTIONS (table_name 'person');
INSERT INTO far VALUES (1, 'far\@example.com', 'written from afar');
INSERT INTO far SELECT 2, email, note FROM person WHERE id = 1;
SQL
is($node->safe_psql('copy', q{SELECT count(*) FROM person WHERE email = 'far@example.com' AND hub.sealed_class(email) = 'contact'}), '1',
	'postgres_fdw carries sealed values');
is($node->safe_psql('hub', q{SELECT string_agg(id::text, ',' ORDER BY id) FROM far WHERE email IN ('far@example.com', 'ann@example.com')}), '1,2', 'both ways');
$node->safe_psql('hub', q{UPDATE far SET email = 'near@example.com' WHERE email = 'far@example.com'});
is($node->safe_psql('copy', q{SELECT id FROM person WHERE email = 'near@example.com'}), '1', 'updates too');
$node->safe_psql('copy', 'TRUNCATE person');

# logical replication into a database of the same keys, and into a server of others
my $connection = "host=$host port=$port dbname=hub";
$node->safe_psql('hub', q{CREATE PUBLICATION people FOR TABLE person});
$node->safe_psql('hub', q{SELECT pg_create_logical_replication_slot(s, 'pgoutput') FROM unnest('{same,others}'::text[]) s});
$node->safe_psql('copy', "CREATE SUBSCRIPTION same CONNECTION '$connection' PUBLICATION people WITH (create_slot = false, slot_name = 'same', copy_data = false)");
$node->safe_psql('hub', q{INSERT INTO person VALUES (10, 'repl@example.com', 'replicated'); UPDATE person SET note = 'changed' WHERE id = 10});
ok($node->poll_query_until('copy', q{SELECT count(*) = 1 FROM person WHERE email = 'repl@example.com' AND note IS NOT NULL}), 'a subscriber with the same keys finds the value');
$node->safe_psql('copy', q{CREATE ROLE ann LOGIN});
$node->safe_psql('copy', q{SELECT hub.add_member('ann', 'hub_sales', 'ann', '{DE}', '{1}', '{1}'); GRANT SELECT ON person TO ann});
ok($node->poll_query_until('copy', q{SELECT true FROM person WHERE id = 10}), 'applied');
is($node->safe_psql('copy', 'SELECT email FROM person WHERE id = 10', extra_params => [ '-U', 'ann' ]), 'repl@example.com', 'and who may see it does');

my $log_before = -s $other->logfile;
$other->safe_psql('hub', "CREATE SUBSCRIPTION others CONNECTION '$connection' PUBLICATION people WITH (create_slot = false, slot_name = 'others', copy_data = false)");
ok($other->poll_query_until('hub', q{SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'others'}), 'a subscriber with other keys refuses the value');
is($other->safe_psql('hub', 'SELECT count(*) FROM person'), '0', 'and stores nothing');
like(substr(slurp_file($other->logfile), $log_before), qr/sealed value is damaged or was altered/, 'its log says why');
$other->safe_psql('hub', 'ALTER SUBSCRIPTION others DISABLE');
$node->safe_psql('copy', 'ALTER SUBSCRIPTION same DISABLE');
$other->stop;
$node->stop;
done_testing();
