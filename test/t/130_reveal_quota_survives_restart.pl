# What a member was shown today counts after a restart and after a crash.
use strict;
use warnings;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
CREATE ROLE anna LOGIN;
SELECT hub.add_member('anna', 'hub_agent', 'anna', '{DE}');
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
CREATE TABLE shop.person (person_id int PRIMARY KEY, subject uuid NOT NULL DEFAULT gen_random_uuid(), region hub.region,
	name hub.encrypted_text('basic'));
SELECT hub.govern('shop.person', 'subject', 'region');
INSERT INTO shop.person (person_id, region, name) SELECT n, 'DE', 'person ' || n FROM generate_series(1, 10) n;
GRANT SELECT ON shop.person TO hub_agent;
SELECT hub.set_reveal_quota('hub_agent', 7);
SQL

# read COUNT: how many names anna is shown, or the SQLSTATE
sub read_names
{
	my ($count) = @_;
	my ($out, $err);
	$node->psql('hub', "\\set VERBOSITY sqlstate\nSELECT name FROM shop.person ORDER BY person_id LIMIT $count",
		stdout => \$out, stderr => \$err, extra_params => [ '-U', 'anna' ]);
	return $err =~ /ERROR:  (\w+)/ ? $1 : scalar(() = $out =~ /^person/mg);
}

is(read_names(3), 3, 'three of seven');
$node->restart;
is(read_names(2), 2, 'five of seven, after a restart');
$node->safe_psql('hub', 'SELECT hub.wait_for_audit()');
$node->stop('immediate');
$node->start;
is(read_names(3), 'CH305', 'eight of seven are refused after a crash');
is(read_names(1), 'CH305', 'and the refused statement has used up the rest');
is($node->safe_psql('hub', 'SELECT hub.wait_for_audit(); SELECT reveals FROM hub.reveal_usage'), "\n7", 'as the table says');

# a quota that is changed counts at once, in a session that has been charged before
$node->safe_psql('hub', q{SELECT hub.set_reveal_quota('hub_agent', 100)});
my $lower = "psql -XAtqc 'SELECT hub.set_reveal_quota(\$\$hub_agent\$\$, 10)' '" . $node->connstr('hub') . "' >/dev/null";
my ($out, $err);
$node->psql('hub', "\\set VERBOSITY sqlstate
SELECT name FROM shop.person WHERE person_id <= 2;
\\! $lower
SELECT name FROM shop.person;", on_error_stop => 0, stdout => \$out, stderr => \$err, extra_params => [ '-U', 'anna' ]);
is($out, "person 1\nperson 2", 'nine of a hundred');
like($err, qr/CH305/, 'but not nineteen of ten');
is($node->safe_psql('hub', 'SELECT hub.wait_for_audit(); SELECT reveals FROM hub.reveal_usage'), "\n10", 'as the table says');
done_testing();
