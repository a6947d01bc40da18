# Clients of a transaction pooler share a connection: what one leaves behind must never be another's identity.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => "log_statement = none\n");
$node->start;
$node->create_hub_database('hub');

my $key = $node->basedir . '/idp.pem';
my $make_token = 'test/fixtures/make_token.sh';
system_or_bail('sh', $make_token, '--new-key', $key);

sub token
{
	my (@arguments) = @_;
	my ($token, $error) = run_command([ 'sh', $make_token, $key, 'idp', @arguments ]);
	return $token;
}

my ($public_key) = run_command([ 'sh', $make_token, '--public-key', $key ]);
$node->safe_psql('hub', <<"SQL");
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent, hub_sales TO pooled;
SELECT hub.add_token_issuer('idp', decode('$public_key', 'hex'));
SELECT hub.add_member('alice', 'hub_agent', regions => '{DE}');
SELECT hub.add_member('bob', 'hub_sales', regions => '{FR}');
CREATE TABLE visit AS
	SELECT n, (ARRAY['DE', 'FR', 'US'])[1 + n % 3]::hub.region AS region FROM generate_series(1, 30000) n;
GRANT ALL ON visit TO PUBLIC;
CREATE FUNCTION who() RETURNS text LANGUAGE sql STABLE RETURN
	coalesce((SELECT external_id FROM hub.whoami()), 'nobody') || ' sees'
	|| CASE WHEN hub.in_regions('DE') THEN ' DE' ELSE '' END || CASE WHEN hub.in_regions('FR') THEN ' FR' ELSE '' END;
SQL

my $alice = token('alice');
my $bob = token('bob');

# What each statement answers on one connection, errors included as their SQLSTATE
sub conversation
{
	my ($sql, %options) = @_;
	my ($out, $err) = ('', '');
	$node->psql(
		'hub', "\\set VERBOSITY sqlstate\n$sql",
		stdout => \$out, stderr => \$err, on_error_stop => 0,
		extra_params => [ '-U', 'pooled' ], %options);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	return ($out, $err);
}

my ($out, $err);

# What a client may do in its transaction before the next client gets the connection
my %departures = (
	'commits' => 'COMMIT',
	'rolls back' => 'ROLLBACK',
	'fails' => "SELECT 1/0;\nROLLBACK",
	'fails in COMMIT' => "SELECT 1/0;\nCOMMIT",
	'runs into a timeout' => "SET LOCAL statement_timeout = '20ms';\nSELECT pg_sleep(10);\nROLLBACK",
	'commits and chains' => "COMMIT AND CHAIN;\nCOMMIT",
	'leaves by a savepoint' => "SAVEPOINT a;\nSELECT 1/0;\nROLLBACK TO a;\nCOMMIT",
	'sets the role for good' => "SET SESSION ROLE hub_agent;\nCOMMIT",
	'sets the identity for good' =>
		"SELECT set_config('customer_hub.identity', current_setting('customer_hub.identity'), false);\nCOMMIT",
	'resets all' => "RESET ALL;\nCOMMIT",
	'prepares the transaction' => "PREPARE TRANSACTION 'p';\nCOMMIT PREPARED 'p'",
	'leaves a cursor' => "DECLARE c CURSOR WITH HOLD FOR SELECT who() FROM generate_series(1, 3);\nCOMMIT");

foreach my $departure (sort keys %departures)
{
	($out, $err) = conversation(<<"SQL");
BEGIN;
SELECT hub.authenticate('$alice') \\g /dev/null
SELECT 'first: ' || who();
$departures{$departure};
SELECT 'next: ' || who();
BEGIN;
SELECT 'next: ' || who();
COMMIT;
BEGIN;
SELECT hub.authenticate('$bob') \\g /dev/null
SELECT 'other: ' || who();
COMMIT;
SELECT 'last: ' || who();
DISCARD ALL;
SELECT 'last: ' || who();
SQL
	my @answers = grep { /^(first|next|other|last): / } split /\n/, $out;
	is_deeply(
		\@answers,
		[
			'first: alice sees DE', 'next: nobody sees', 'next: nobody sees',
			'other: bob sees FR', 'last: nobody sees', 'last: nobody sees'
		],
		"a client that $departure leaves no identity behind") or diag("$out\n$err");
}

# Plans that one client prepared serve the next
($out, $err) = conversation(<<"SQL");
SET plan_cache_mode = force_generic_plan;
PREPARE mine AS SELECT who(), count(*) FROM visit WHERE hub.in_regions(region);
BEGIN;
SELECT hub.authenticate('$alice') \\g /dev/null
EXECUTE mine;
COMMIT;
EXECUTE mine;
BEGIN;
SELECT hub.authenticate('$bob') \\g /dev/null
EXECUTE mine;
COMMIT;
SQL
is($out, "alice sees DE|10000\nnobody sees|0\nbob sees FR|10000", 'a prepared plan serves each client for itself');

# Parallel workers have the identity of their leader
($out, $err) = conversation(<<"SQL");
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
SELECT count(*) FROM visit WHERE hub.in_regions(region);
BEGIN;
SELECT hub.authenticate('$alice') \\g /dev/null
SELECT count(*) FROM visit WHERE hub.in_regions(region);
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) SELECT count(*) FROM visit WHERE hub.in_regions(region);
SELECT DISTINCT (SELECT w.external_id FROM hub.whoami() w) FROM visit WHERE n % 100 = 0;
RESET ROLE;
SELECT count(*) FROM visit WHERE hub.in_regions(region);
COMMIT;
SQL
like($out, qr/Workers Launched: [12]/, 'workers were launched');
my @lines = grep { /^(\d+|alice)$/ } split /\n/, $out;
is("@lines", '0 10000 alice 0', 'parallel workers see what their leader sees') or diag("$out\n$err");

# Deactivation bites at the next statement, in the middle of a transaction
my $superuser = $node->connstr('hub') . ' user=' . $node->safe_psql('hub', 'SELECT current_user');
($out, $err) = conversation(<<"SQL");
BEGIN;
SELECT hub.authenticate('$alice') \\g /dev/null
SELECT who();
\\! psql -XAtq -d "$superuser" -c "SELECT hub.deactivate_member(1)"
SAVEPOINT a;
SELECT who();
ROLLBACK;
SELECT hub.authenticate('$alice');
\\! psql -XAtq -d "$superuser" -c "SELECT hub.reactivate_member(1)"
BEGIN;
SELECT hub.authenticate('$alice') \\g /dev/null
SELECT who();
\\! psql -XAtq -d "$superuser" -c "SELECT hub.set_member_role(1, 'hub_sales')"
SELECT who();
ROLLBACK;
\\! psql -XAtq -d "$superuser" -c "SELECT hub.set_member_role(1, 'hub_agent')"
SQL
is(join(' ', $out =~ /alice sees DE/g), 'alice sees DE alice sees DE', 'while active, alice sees hers');
is(join(' ', $err =~ /CH\d+/g), 'CH202 CH201 CH202', 'no statement and no token counts after she is deactivated or moved')
	or diag("$out\n$err");

# The carrier cannot be brought along
foreach my $options ('-c customer_hub.identity=hubid1:secret', '--customer_hub.identity=secret')
{
	local $ENV{PGOPTIONS} = $options;
	my $status = $node->psql('hub', 'SELECT who()', stdout => \$out, stderr => \$err, extra_params => [ '-U', 'pooled' ]);
	isnt($status, 0, 'no identity in the startup packet');
	unlike($err, qr/secret/, 'and the error does not quote it');
}
$node->append_conf('postgresql.conf', "customer_hub.identity = 'hubid1:secret'");
$node->reload;
($out, $err) = conversation("SELECT who();");
is($out, 'nobody sees', 'no identity in the configuration file');
$node->adjust_conf('postgresql.conf', 'customer_hub.identity', undef);
$node->reload;

# Attempts are on record, tokens are not in the log
my $stranger = token('stranger');
($out, $err) = conversation("SELECT hub.authenticate('$stranger');");
like($err, qr/CH201/, 'a stranger is refused');
($out, $err) = conversation("BEGIN;\nSELECT hub.authenticate('$alice') \\g /dev/null\nSELECT hub.authenticate('$bob');");
like($err, qr/CH204/, 'no second identity');
my $log = slurp_file($node->logfile);
foreach my $token ($alice, $bob, $stranger)
{
	unlike($log, qr/\Q$token\E/, 'no token in the server log');
}
unlike($log, qr/hubid1:[0-9a-f]/, 'nor a carrier');
ok( $node->poll_query_until(
		'hub', q{SELECT count(*) > 0 FROM hub.audit_event WHERE kind = 'authentication' AND details @> '{"accepted": false, "reason": "member"}'}),
	'the refused attempt is on record, with the reason');
ok( $node->poll_query_until(
		'hub', q{SELECT count(*) >= 25 FROM hub.audit_event WHERE kind = 'authentication' AND details @> '{"accepted": true}'}),
	'so are those that were accepted, whether their transaction committed or not');

done_testing();
