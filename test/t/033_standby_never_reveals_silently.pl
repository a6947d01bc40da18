# standby_never_reveals_silently: a standby, which cannot write the trail, shows no
# plaintext; or, when its owner says so, writes each reveal to the server log.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $primary = HubCluster->new('primary');
$primary->start;
$primary->create_hub_database('hub');
$primary->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY, name hub.encrypted_text('basic'), mail hub.encrypted_email('contact'));
SELECT hub.govern('person', 'id');
INSERT INTO person VALUES ('00000000-0000-4000-8000-000000000001', 'Erika Probe', 'erika@example.com');
CREATE ROLE anna LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}', '{1}', '{1}');
GRANT SELECT ON person TO anna;
SQL
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay');

my @anna = (extra_params => [ '-U', 'anna' ]);
my ($status, $out, $err) = $standby->psql('hub', qq{\\set VERBOSITY verbose\nSELECT name FROM person}, @anna);
isnt($status, 0, 'a reveal on a standby is refused');
unlike($out, qr/Erika/, 'shows nothing');
like($err, qr/CH401.*standby_reveal/s, 'and says why, and what can be set');
is($standby->safe_psql('hub', 'SELECT mail FROM person', @anna), 'e•••@e•••.com', 'a mask is no reveal');
like($standby->safe_psql('hub', 'SELECT name FROM person'), qr/^hub1:/, 'without identity it is sealed');
($status, $out, $err) = $standby->psql('hub', 'CALL hub.seal_audit()');
like($err, qr/cannot be written on a standby/, 'nothing is sealed there');
is($standby->safe_psql('hub', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'the trail verifies there');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'customer_hub%'}), '0', 'no worker runs there');

$standby->append_conf('postgresql.conf', 'customer_hub.standby_reveal = on');
$standby->reload;
$standby->poll_query_until('hub', q{SELECT current_setting('customer_hub.standby_reveal')::bool});
my $offset = -s $standby->logfile;
is($standby->safe_psql('hub', 'SELECT name FROM person', @anna), 'Erika Probe', 'with the setting on it reveals');
my $log = slurp_file($standby->logfile, $offset);
like($log, qr/customer_hub reveal on a standby: subject 00000000-0000-4000-8000-000000000001, class basic.*member 1, role hub_agent, login anna/,
	'and the server log says what, and to whom');
unlike($log, qr/Erika/, 'without the value');

$standby->promote;
ok($standby->poll_query_until('hub', 'SELECT hub.audit_worker_pid() IS NOT NULL'), 'a promoted standby gets its worker');
is($standby->safe_psql('hub', 'SELECT name FROM person', @anna), 'Erika Probe', 'and reveals');
is($standby->safe_psql('hub', q{SELECT hub.wait_for_audit() \g /dev/null
	SELECT count(*) FROM hub.audit_event WHERE kind = 'reveal'}), '1', 'on record');
$standby->safe_psql('hub', 'CALL hub.seal_audit()');
is($standby->safe_psql('hub', 'SELECT count(*) FROM hub.verify_audit()'), '0', 'the trail goes on');

$_->stop for $standby, $primary;
done_testing();
