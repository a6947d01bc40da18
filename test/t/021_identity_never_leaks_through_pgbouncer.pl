# A real pgbouncer in transaction mode with one server connection: of 10,000 interleaved transactions each sees its own rows.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => "log_statement = none\nautovacuum = off\n");
$node->start;
$node->create_hub_database('hub');

my $key = $node->basedir . '/idp.pem';
my $make_token = 'test/fixtures/make_token.sh';
system_or_bail('sh', $make_token, '--new-key', $key);
my ($public_key) = run_command([ 'sh', $make_token, '--public-key', $key ]);
my ($alice) = run_command([ 'sh', $make_token, $key, 'idp', 'alice', 1800 ]);
my ($bob) = run_command([ 'sh', $make_token, $key, 'idp', 'bob', 1800 ]);
$node->safe_psql('hub', <<"SQL");
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales TO pooled;
SELECT hub.add_token_issuer('idp', decode('$public_key', 'hex'));
SELECT hub.add_member('alice', 'hub_agent', regions => '{DE}'), hub.add_member('bob', 'hub_sales', regions => '{FR}');
CREATE TABLE visit (id bigint PRIMARY KEY, region hub.region NOT NULL, note hub.encrypted_text('content'));
INSERT INTO visit SELECT n, (ARRAY['DE', 'FR', 'US', 'DE'])[1 + n % 4]::hub.region, 'note ' || n FROM generate_series(1, 40) n;
SELECT hub.govern('visit', 'id', 'region');
GRANT SELECT ON visit TO hub_agent, hub_sales, pooled;
-- fails by a division by zero unless exactly these rows, of this person, are seen
CREATE FUNCTION expect(rows int, region text, name text) RETURNS int LANGUAGE sql STABLE RETURN
	1 / (SELECT (count(*) = rows AND coalesce(bool_and(v.region::text = expect.region), true)
		AND (SELECT external_id FROM hub.whoami()) IS NOT DISTINCT FROM name)::int FROM visit v);
SQL

# pgbouncer, on a Unix socket only
my $directory = PostgreSQL::Test::Utils::tempdir_short();
append_to_file("$directory/users", qq("pooled" ""\n));
append_to_file("$directory/pgbouncer.ini", <<"INI");
[databases]
hub = host=${\ $node->host } port=${\ $node->port } dbname=hub
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = $directory
auth_type = trust
auth_file = $directory/users
admin_users = pooled
pool_mode = transaction
default_pool_size = 1
server_lifetime = 36000
logfile = $directory/log
pidfile = $directory/pid
INI
my $pgbouncer = -x '/usr/sbin/pgbouncer' ? '/usr/sbin/pgbouncer' : 'pgbouncer';
system_or_bail($pgbouncer, '-q', '-d', "$directory/pgbouncer.ini");
END
{
	my $status = $?;
	kill 'INT', slurp_file("$directory/pid") if defined $directory && -e "$directory/pid";
	$? = $status;
}
my @pool = ('-h', $directory, '-p', 6432, '-U', 'pooled');

# What clients do, and how they leave
my %script = (
	alice => "BEGIN;\nSELECT hub.authenticate('$alice');\nSELECT expect(20, 'DE', 'alice');\nSELECT id, region FROM visit;\nCOMMIT;\n",
	bob => "BEGIN;\nSELECT hub.authenticate('$bob');\nSELECT expect(10, 'FR', 'bob');\nSELECT id, region FROM visit;\nROLLBACK;\n",
	alice_at_once => "BEGIN \\; SELECT hub.authenticate('$alice') \\; SELECT expect(20, 'DE', 'alice') \\; END;\n",
	bob_at_once => "BEGIN \\; SELECT hub.authenticate('$bob') \\; SAVEPOINT a \\; SELECT expect(10, 'FR', 'bob') \\; ROLLBACK TO a \\; SELECT expect(10, 'FR', 'bob') \\; END;\n",
	bob_keeps => "BEGIN \\; SELECT hub.authenticate('$bob') \\; SELECT expect(10, 'FR', 'bob') \\; SET SESSION ROLE hub_sales \\; SELECT set_config('customer_hub.identity', current_setting('customer_hub.identity'), false) \\; COMMIT \\; RESET ROLE;\n",
	nobody => "SELECT expect(0, '', NULL);\n");
append_to_file("$directory/$_.sql", $script{$_}) foreach keys %script;
my @run = map { ('-f', "$directory/$_.sql") } sort keys %script;

command_ok(
	[ 'pgbench', @pool, '-n', '-M', 'simple', '-c', 2, '-j', 2, '-t', 5000, @run, 'hub' ],
	'of 10,000 interleaved transactions none sees a row or the name of another');
is($node->safe_psql('hub', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'pooled'}),
	'1', 'they shared one server connection');

# the check itself is worth something: without a token it fails
command_fails(
	[ 'pgbench', @pool, '-n', '-M', 'simple', '-c', 1, '-t', 1, '-f', "$directory/alice.sql", '-D', 'x=1',
		'-f', do { append_to_file("$directory/wrong.sql", "SELECT expect(20, 'DE', 'alice');\n"); "$directory/wrong.sql\@1000000" }, 'hub' ],
	'a transaction that expects rows without a token fails');

# a client that dies within its transaction leaves nothing
my ($out, $err) = ('', '');
my $dying = IPC::Run::start(
	[ 'psql', '-XAtq', @pool, '-d', 'hub', '-c', "BEGIN", '-c', "SELECT hub.authenticate('$alice')", '-c', 'SELECT pg_sleep(60)' ],
	'>', \$out, '2>', \$err);
ok($node->poll_query_until('hub', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'pooled' AND wait_event = 'PgSleep'}),
	'a client is within its transaction');
$dying->signal('KILL');
eval { $dying->finish };
# pgbouncer closes the server connection with it
my ($next) = run_command([ 'psql', '-XAtq', @pool, '-d', 'hub', '-c', q{SELECT expect(0, '', NULL)} ]);
is($next, '1', 'the next client is nobody when the last one died');
unlike(slurp_file("$directory/log"), qr/eyJ/, 'no token in the log of pgbouncer');
unlike(slurp_file($node->logfile), qr/eyJ/, 'nor in that of the server');
done_testing();
