# Tokens of an independent JWT library: good ones are accepted, each kind of bad one gets the same error, and none is left anywhere.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => <<'CONF');
shared_preload_libraries = 'pg_stat_statements, customer_hub'
pg_stat_statements.track = all
log_statement = all
log_min_duration_statement = 0
log_error_verbosity = verbose
debug_print_parse = on
CONF
$node->start;
$node->create_hub_database('hub');

my $key = $node->basedir . '/idp.pem';
my $next_key = $node->basedir . '/idp-next.pem';
my $make_token = 'test/fixtures/make_token.sh';
my @python = ('/usr/bin/python3', 'test/fixtures/jwt_tokens.py');
system_or_bail('sh', $make_token, '--new-key', $_) foreach ($key, $next_key);
my ($public_key) = run_command([ 'sh', $make_token, '--public-key', $key ]);
my ($next_public_key) = run_command([ 'sh', $make_token, '--public-key', $next_key ]);
$node->safe_psql('hub', <<"SQL");
CREATE EXTENSION pg_stat_statements;
CREATE ROLE pooled LOGIN NOINHERIT;
GRANT hub_agent TO pooled;
GRANT pg_read_all_stats TO pooled;
SELECT hub.add_token_issuer('idp', decode('$public_key', 'hex'));
SELECT hub.add_member('alice', 'hub_agent', regions => '{DE}'), hub.add_member('bob', 'hub_agent', regions => '{DE}');
CREATE PROCEDURE call_it(token text) LANGUAGE plpgsql AS 'BEGIN PERFORM hub.authenticate(token); END';
SQL

# One connection: what each statement answers, an error as the client sees all of it
sub conversation
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	$node->psql(
		'hub', "\\set VERBOSITY verbose\n$sql",
		stdout => \$out, stderr => \$err, on_error_stop => 0, extra_params => [ '-U', 'pooled' ]);
	$err =~ s/^psql:<stdin>:\d+: //mg;
	$err =~ s/^LOCATION:.*\n?//mg;
	return ($out, $err);
}

my ($lines) = run_command([ @python, 'make', $key ]);
my %token = map { my ($name, $token) = split /\t/; $name => $token // '' } split /\n/, $lines;
cmp_ok(scalar keys %token, '>', 40, 'the library made tokens');
foreach my $name (sort keys %token)
{
	my ($out, $err) =
	  conversation("BEGIN;\nSELECT hub.authenticate('$token{$name}') \\g /dev/null\nSELECT external_id FROM hub.whoami();\nROLLBACK;");
	if ($name =~ /^good/)
	{
		is("$out$err", 'alice', "$name is accepted");
	}
	else
	{
		# what follows within the failed transaction says nothing of the token
		$err =~ s/\nERROR:  25P02: .*//s;
		is("$out|$err", '|ERROR:  CH201: token is not accepted', "$name is refused, as every other");
	}
}

# the other way round
my ($ours) = run_command([ 'sh', $make_token, $key, 'idp', 'alice' ]);
my ($subject) = run_command([ @python, 'check', $key, $ours ]);
is($subject, 'alice', 'the library accepts what our fixture makes');

# a nonce binds a token to the connection that asked for it, and to one try
my $helper = $node->basedir . '/with_nonce.sh';
append_to_file($helper, "/usr/bin/python3 test/fixtures/jwt_tokens.py make '$key' \"\$1\" | cut -f2\n");
my $ask = "SELECT hub.challenge() AS nonce \\gset\n\\setenv NONCE :nonce\n\\set token `sh $helper \"\$NONCE\"`\n";
my $use = "BEGIN;\nSELECT hub.authenticate(:'token') \\g /dev/null\nSELECT external_id FROM hub.whoami();\nROLLBACK;\n";
my ($out, $err) = conversation("$ask$use");
is("$out$err", 'alice', 'the answer to a challenge is accepted');
($out, $err) = conversation("$ask$use$use");
like("$out$err", qr/^aliceERROR:  CH201: token is not accepted/, 'once');
($out, $err) = conversation("$ask\\c\n$use");
like($err, qr/^ERROR:  CH201: token is not accepted/m, 'by no other connection');
($out, $err) = conversation("${ask}SELECT hub.challenge() \\g /dev/null\n$use");
like($err, qr/^ERROR:  CH201: token is not accepted/m, 'nor after another challenge');
($out, $err) = conversation("${ask}SELECT hub.authenticate('$token{bad_nonce_unasked}');\n$use");
is(() = $err =~ /CH201/g, 2, 'a wrong answer uses the challenge up');

# keys are rotated by kid, both valid for a while
$node->safe_psql('hub', <<"SQL");
SELECT hub.add_token_issuer('idp-next', decode('$next_public_key', 'hex'));
SQL
my ($old) = run_command([ 'sh', $make_token, $key, 'idp', 'alice' ]);
my ($new) = run_command([ 'sh', $make_token, $next_key, 'idp-next', 'alice' ]);
my ($crossed) = run_command([ 'sh', $make_token, $next_key, 'idp', 'alice' ]);
sub answer
{
	my ($token) = @_;
	my ($answer, $error) = conversation("BEGIN;\nSELECT hub.authenticate('$token') \\g /dev/null\nSELECT external_id FROM hub.whoami();\nROLLBACK;");
	return $error =~ /(CH\d+)/ ? $1 : $answer;
}
is(join(' ', answer($old), answer($new), answer($crossed)), 'alice alice CH201', 'both keys count, each under its kid');
$node->safe_psql('hub', q{SELECT hub.revoke_token_issuer('idp')});
is(join(' ', answer($old), answer($new)), 'CH201 alice', 'the old one no longer, once revoked');

# whatever way a token is sent, it is left nowhere
($out, $err) = conversation(<<"SQL");
SELECT hub.authenticate('$new') \\g /dev/null
PREPARE p AS SELECT hub.authenticate('$new');
EXECUTE p;
PREPARE q(text) AS SELECT hub.authenticate(\$1);
EXECUTE q('$new');
DO \$\$ BEGIN PERFORM hub.authenticate('$new'); END \$\$;
CALL call_it('$new');
EXPLAIN (ANALYZE, VERBOSE) SELECT hub.authenticate('$new');
BEGIN;
DECLARE c CURSOR FOR SELECT hub.authenticate('$new');
FETCH c;
COMMIT;
SELECT hub.authenticate('$new') FROM nothing_there;
SELECT hub.authenticate('$new'::int);
SET customer_hub.identity = '$new';
SHOW customer_hub.identity;
SQL
unlike($err, qr/SHOW|invalid_/, 'all were understood');
my $statistics = $node->safe_psql('hub', 'SELECT query FROM pg_stat_statements');
unlike($statistics, qr/eyJ/, 'no token in pg_stat_statements');
like($statistics, qr/hub\.authenticate\(\$1\)/, 'which has the statement without it');
is($node->safe_psql('hub', q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%eyJ%' AND pid <> pg_backend_pid()}), '0',
	'nor in pg_stat_activity');
my $log = slurp_file($node->logfile);
foreach my $name (sort keys %token)
{
	next if length $token{$name} < 60;
	my $piece = substr($token{$name}, -50);
	unlike($log, qr/\Q$piece\E/, "nothing of $name in the server log");
}
unlike($log, qr/eyJ/, 'nor of any other');
done_testing();
