# However much the server logs and keeps of statements, it logs and keeps no literal, parameter or value of those who hold
# an identity, and no token. pg_stat_statements is loaded after the hub, as whoever adds it later would write it.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use HubCluster;

my $node = HubCluster->new('main', conf => <<'CONF');
log_statement = all
log_min_duration_statement = 0
log_duration = on
log_min_messages = debug5
log_min_duration_sample = 0
log_statement_sample_rate = 1
log_transaction_sample_rate = 1
log_lock_waits = on
log_temp_files = 0
log_connections = on
log_disconnections = on
log_replication_commands = on
log_min_error_statement = debug5
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_error_verbosity = verbose
debug_print_parse = on
debug_print_rewritten = on
debug_print_plan = on
shared_preload_libraries = 'customer_hub, pg_stat_statements'
pg_stat_statements.track = all
session_preload_libraries = auto_explain
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_buffers = on
auto_explain.log_settings = on
auto_explain.log_triggers = on
auto_explain.log_format = json
auto_explain.log_nested_statements = on
log_destination = 'stderr,csvlog,jsonlog'
logging_collector = on
log_directory = 'log'
CONF
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', 'CREATE EXTENSION pg_stat_statements');

my $key = $node->basedir . '/idp.pem';
my $make_token = 'test/fixtures/make_token.sh';
system_or_bail('sh', $make_token, '--new-key', $key);
my ($public_key) = run_command([ 'sh', $make_token, '--public-key', $key ]);
my ($token) = run_command([ 'sh', $make_token, $key, 'idp', 'zoe' ]);
my ($forged) = run_command([ 'sh', $make_token, $key, 'idp', 'nobody' ]);

$node->safe_psql('hub', <<"SQL");
CREATE ROLE anna LOGIN;
CREATE ROLE pooled LOGIN NOINHERIT;
CREATE ROLE stranger LOGIN;
GRANT hub_agent TO pooled;
SELECT hub.add_token_issuer('idp', decode('$public_key', 'hex'));
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}');
SELECT hub.add_member('zoe', 'hub_agent', regions => '{DE}');
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.person (person_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), region hub.region,
	name text UNIQUE, age int CHECK (age < 200), email hub.encrypted_email('contact'), born date);
SELECT hub.govern('shop.person', 'person_id', 'region');
GRANT SELECT, INSERT, UPDATE ON shop.person TO hub_agent;
SQL

# Every value below contains a word. That of what runs with redaction is in no log; that of the same statements
# without it shows what there would be.
my ($bare, $word) = ('Quetsche', 'Mirabelle');

sub statements_with
{
	my ($word) = @_;
	my $low = lc $word;
	return (
		"INSERT INTO shop.person (region, name, email) VALUES ('DE', '$word 1', '$low.1\@example.com')",
		"INSERT INTO shop.person (region, name, email) VALUES ('DE', '$word 1', '$low.2\@example.com')",
		"INSERT INTO shop.person (region, name, age) VALUES ('DE', '$word 3', 300)",
		"INSERT INTO shop.person (region, name) VALUES ('FR', '$word 4')",
		"INSERT INTO shop.person (region, email) VALUES ('DE', '$word is no address')",
		"SELECT * FROM shop.person WHERE email = '$low.1\@example.com'",
		"SELECT * FROM shop.person WHERE email = '$low.1\@example.com' /* $word */ ORDER BY 1 LIMIT 'x'",
		"SELECT '$word'::int",
		"SELECT to_date('$word', 'YYYY')",
		"SELEKT '$word'",
		"SELECT $word FROM shop.person",
		"DO \$\$ BEGIN RAISE WARNING '$word %', 'Pflaume'; RAISE EXCEPTION '$word' USING DETAIL = '$word', HINT = '$word'; END \$\$",
		"DO \$\$ DECLARE n text := '$word'; BEGIN PERFORM name FROM shop.person WHERE name = n; PERFORM n::int; END \$\$",
		"PREPARE p(text) AS SELECT count(*) FROM shop.person WHERE name = \$1",
		"EXECUTE p('$word 1')",
		"COPY shop.person (name) FROM STDIN;\n$word\n\\.\n",
		"SET force_parallel_mode = on", "SET debug_parallel_query = on",
		"SELECT ('$word' || length(name))::int FROM shop.person",
		"SET search_path = '$word'",
		"SET work_mem = '$word'",
		"LISTEN \"$word\"; NOTIFY \"$word\", '$word'",
		"DECLARE c SCROLL CURSOR FOR SELECT '$word' FROM shop.person", "FETCH 1 FROM c", "SELECT statement FROM pg_cursors",
		"PREPARE q AS SELECT E'\\'$word', \$\$ $word \$\$ /* $word */", "EXECUTE q", "SELECT statement FROM pg_prepared_statements",
		"EXPLAIN (ANALYZE, VERBOSE) SELECT '$word', name FROM shop.person WHERE name = '$word 1'",
		"CREATE TEMP TABLE t AS SELECT '$word' AS word", "UPDATE t SET word = '$word' || word",
		"SELECT name, email::text::int FROM shop.person", "SELECT (name || '$word')::date FROM shop.person",
		"DO \$\$ BEGIN PERFORM '$word'::int; EXCEPTION WHEN OTHERS THEN RAISE LOG '% %', SQLERRM, '$word'; END \$\$",
		"SELECT set_config('application.name', '$word', true)",
		"SELECT format('%s', email)::inet FROM shop.person WHERE name = '$word 1'",
		"INSERT INTO shop.person (person_id, region, name) SELECT person_id, region, '$word' FROM shop.person",
		"SELECT * FROM shop.person WHERE name = '$word' FOR UPDATE NOWAIT");
}

my @statements = statements_with($word);
my ($out, $err);

$node->safe_psql('postgres', 'ALTER SYSTEM SET customer_hub.redact_log = off');
$node->reload;
$node->psql('hub', join(";\n", statements_with($bare)) . ';',
	stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'anna' ]);
$node->psql('hub', "BEGIN;\nSELECT hub.authenticate('$token');\n$_;\nSELECT '$bare after';\nROLLBACK;\n",
	stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'pooled' ])
	for statements_with($bare);
$node->safe_psql('postgres', 'ALTER SYSTEM RESET customer_hub.redact_log');
$node->reload;

# a login of the member's own
$node->psql('hub', join(";\n", @statements) . ';',
	stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'anna' ]);
like($err, qr/DETAIL:  $word\n.*HINT:  $word/, 'the client gets the details of its errors');
like($err, qr/invalid input syntax for type integer: "$word"/, 'and their messages');
like($err, qr/WARNING:  $word Pflaume/, 'and its warnings');
unlike($out, qr/(PREPARE|DECLARE)[^;]*$word/, 'texts that the session itself keeps of statements have no literals: who gets it next from a pool sees them');

# a token, over a pooled login; what follows the error belongs to the same transaction
for my $statement (@statements)
{
	$node->psql('hub', "BEGIN;\nSELECT hub.authenticate('$token');\n$statement;\nSELECT '$word after';\nROLLBACK;\n",
		stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'pooled' ]);
}

# the extended protocol, with parameters: one that works, one that fails
my $script = $node->basedir . '/script.sql';
for my $mode ('extended', 'prepared')
{
	for my $statement ("SELECT count(*) FROM shop.person WHERE name = :value", "SELECT length(:value) / 0, :value::date")
	{
		append_to_file($script, "BEGIN;\nSELECT hub.authenticate(:token::text);\n$statement;\nCOMMIT;\n");
		$node->command_checks_all([
				'pgbench', '-n', '-M', $mode, '-t', '1', '-D', "token=$token", '-D', "value=$word", '-f', $script,
				'-U', 'pooled', '-h', $node->host, '-p', $node->port, 'hub' ],
			$statement =~ /date/ ? 2 : 0, [qr/./], [qr//], "$mode protocol: $statement");
		unlink $script;
	}
}

# tokens that are not accepted, or not even reach the function
for my $statement (
	"SELECT hub.authenticate('$forged')", "SELECT hub.authenticate('$token.$word')",
	"SELECT hub.AUTHENTICATE('$token') FROM nowhere", "SELECT hub.autenticate('$token')",
	"PREPARE a(text) AS SELECT hub.authenticate(\$1)", "EXECUTE a('$token')")
{
	$node->psql('hub', $statement, stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'stranger' ]);
}

# what a statement leaves behind in pg_stat_activity: others of the login, and superusers, see it there
my $look = 'psql -XAtq -U postgres -h ' . $node->host . ' -p ' . $node->port . ' -d hub -c';
my $activity = "\\! $look \"SELECT 'left: ' || query FROM pg_stat_activity WHERE usename = 'pooled' \"\n";
my $sleeping = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'pooled' AND wait_event = 'PgSleep'";
my $running = "\\! (until [ \$($look \"$sleeping\") = 1 ]; do sleep 0.1; done; " .
	"$look \"SELECT 'left: ' || query, pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'pooled'\") &\n";
$node->psql('hub', "BEGIN;\nSELECT hub.authenticate('$token');\n${activity}SELECT count(*) FROM shop.person WHERE name = '$word';\n${activity}"
	  . "DO \$\$ BEGIN PERFORM '$word'; END \$\$;\n${activity}SAVEPOINT s;\nSELECT '$word'::int;\n${activity}ROLLBACK TO s;\n"
	  . "${running}SELECT '$word', pg_sleep(60);\nROLLBACK;\n",
	stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'pooled' ]);
my @left = $out =~ /^left: .*/mg;
is(scalar @left, 5, 'pg_stat_activity was seen after four statements, and during one');
unlike("@left", qr/$word|eyJ/i, 'it has no literal and no token');
like("@left", qr/FROM shop.person WHERE name = '\.+';/, 'but the rest of each statement');

my $kept = $node->safe_psql('hub', "SELECT string_agg(query, ';') FROM pg_stat_statements WHERE userid <> 10");
# names are not literals, although these statements use the word as one
unlike($kept =~ s/(LISTEN|NOTIFY) "$word"//gr, qr/$word|eyJ/i, 'pg_stat_statements has no literal, not even of DO, DECLARE, EXPLAIN and CREATE TABLE AS');
like($kept, qr/FROM shop.person WHERE name = \$1/, 'it has statements with their constants replaced');
like($kept, qr/$bare/, 'and without redaction it would have had literals');
is(scalar(grep { /$word|eyJ/i } slurp_file($node->data_dir . '/pg_stat_tmp/pgss_query_texts.stat') =~ s/(LISTEN|NOTIFY) "$word"//gr),
	0, 'nor has its file');

# a process that crashes: the postmaster says what it was running
my $crash = IPC::Run::start([ 'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-U', 'anna', '-d', 'hub',
		'-c', "SELECT pg_backend_pid(), '$word', pg_sleep(180)" ], '>', \my $ignored, '2>', \my $lost);
$node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' AND usename = 'anna'")
	or die 'the statement does not run';
my $victim = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' AND usename = 'anna'");
kill 'SEGV', $victim;
$crash->finish;
# clusters of the test framework end when that happens
for (1 .. 600)
{
	last unless -e $node->data_dir . '/postmaster.pid';
	usleep(100_000);
}
$node->_update_pid(0);

my $logs = '';
my $directory = $node->data_dir . '/log';
opendir my $handle, $directory or die "$directory: $!";
$logs .= slurp_file("$directory/$_") for grep { -f "$directory/$_" } readdir $handle;
closedir $handle;

my $before = () = $logs =~ /^.*$bare.*$/img;
my $after = () = $logs =~ /^.*$word.*$/img;
note("lines with plaintext: $before before, $after after");
cmp_ok($before, '>', 100, 'without redaction the logs have statements, parameters and values');
is($after, 0, 'with it they have none');
unlike($logs, qr/Failed process was running/, 'nor the statement of a process that crashed');
like($logs, qr/was terminated by signal 11/, 'although it did');
unlike($logs =~ s/Pflaume.*$bare|$bare.*Pflaume//gr, qr/$word/i, 'no log has a statement, a parameter or a value');
unlike($logs, qr/eyJ/, 'no log has a token');
like($logs, qr/23505: duplicate key value violates unique constraint/, 'the logs do have what happened');
like($logs, qr/22P02: invalid input syntax for type/, 'with its SQLSTATE');
like($logs, qr/ duration: [0-9.]+ ms/, 'and how long it took');
like($logs, qr/statement: CREATE ROLE stranger LOGIN/, 'statements of those without identity are logged as ever');
done_testing();
