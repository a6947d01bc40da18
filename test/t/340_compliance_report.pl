# compliance_report: one page that a browser shows without network, whose numbers are
# those of the queries that it names, and that names no data subject.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $browser = (grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH})[0];
plan skip_all => 'there is no Chromium' if !$browser && slurp_file('/etc/os-release') !~ /^ID=debian$/m;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', <<'SQL');
\i test/fixtures/desk.sql
\i test/fixtures/trail.sql
SELECT hub.record_event('export', NULL, '{"request": "7", "rows": 12}') \g /dev/null
SELECT hub.open_dsar(gen_random_uuid(), 'access', 'DE', '2026-02-01') \g /dev/null
SELECT hub.open_dsar(gen_random_uuid(), 'erasure', 'US-CA', now() - interval '1 day') \g /dev/null
SET SESSION AUTHORIZATION conny;
SELECT hub.ingest(:whatsapp, whatsapp('4915550000001', 'wamid.1', 'Is the lamp in stock?', name => 'Mara Quint')) \g /dev/null
SET SESSION AUTHORIZATION annika;
SELECT hub.request_approval('export', '{"relation": "crm.customer", "columns": ["customer_id"], "max_rows": 50}', '<b>monthly</b> list') \g /dev/null
SELECT customer_id, display_name FROM crm.customer \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT hub.wait_for_audit() \g /dev/null
CALL hub.seal_audit();
SQL

my @cora = (extra_params => [ '-U', 'cora' ]);
my $period = q{'2026-01-05', now()};
my ($exit, undef, $stderr) = $node->psql('hub', "SELECT hub.compliance_report($period)", extra_params => [ '-U', 'annika' ]);
isnt($exit, 0, 'an agent gets no report');
like($stderr, qr/permission denied/, 'and is told that she may not');
($exit, undef, $stderr) = $node->psql('hub', "SELECT hub.compliance_report('2026-02-01', '2026-01-01')", @cora);
like($stderr, qr/begins before it ends.*HINT/s, 'a time that ends before it begins is refused');

# one snapshot, so that the report's own questions to the trail are in none of the numbers
my $html = $node->safe_psql('hub', "SELECT hub.compliance_report($period)", @cora);
my ($chart) = $html =~ m{(<figure id="access-chart">.*?</figure>)}s;
my ($german) = $node->safe_psql('hub', "SET datestyle = 'German'; SELECT hub.compliance_report($period)", @cora) =~ m{(<figure id="access-chart">.*?</figure>)}s;
is($german, $chart, 'it is the same page under another DateStyle');
my $file = $node->basedir . '/report.html';
open my $out, '>:raw', $file or die "$file: $!";
print $out $html;
close $out;
unlike($html, qr/<script|\bsrc=|\bhref=|url\(|https?:/i, 'the page refers to nothing outside itself');
unlike($html, qr/Mara|Quint|4915550|lamp|tok_|hub1:|annika|sam\b|monthly/, 'and has no personal data, nor what people wrote as a reason');
my $subjects = $node->safe_psql('hub', 'SELECT string_agg(subject::text, $$|$$) FROM (SELECT subject FROM hub.audit_event WHERE subject IS NOT NULL UNION SELECT customer_id FROM crm.customer) s');
unlike($html, qr/$subjects/, 'and no data subject by id');

# Run the browser without network
sub browse
{
	my ($stdout, $messages);
	IPC::Run::run([ $browser, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars',
		'--host-resolver-rules=MAP * ~NOTFOUND', '--user-data-dir=' . $node->basedir . '/browser', @_, "file://$file" ],
		'>', \$stdout, '2>', \$messages, IPC::Run::timeout(120))
		or diag $messages;
	return $stdout;
}
my $dom = browse('--dump-dom');
my %shown = $dom =~ /<dd data-figure="(\w+)">(\d+)</g;
my %asked = (
	reveals => 'SELECT sum(reveals) FROM hub.access_by_day(FROM_TO)',
	exports => 'SELECT count(*) FROM hub.exports(FROM_TO)',
	approvals => 'SELECT count(*) FROM hub.audit_trail(FROM_TO) WHERE kind = $$approval$$ AND details ->> $$step$$ = $$requested$$',
	denied => 'SELECT count(*) FROM hub.denied_attempts(FROM_TO)',
	break_glass => 'SELECT count(*) FROM hub.break_glass_uses(FROM_TO)',
	requests => 'SELECT count(*) FROM hub.dsar_queue',
	overdue => 'SELECT count(*) FROM hub.dsar_queue WHERE state = $$overdue$$',
	breaks => 'SELECT count(*) FROM hub.verify_audit()');
is(join(' ', sort keys %shown), join(' ', sort keys %asked), 'the browser shows every figure');
for my $figure (sort keys %asked)
{
	(my $query = $asked{$figure}) =~ s/FROM_TO/$period/;
	is($shown{$figure}, $node->safe_psql('hub', $query, @cora), "figure $figure is what the query returns");
}
cmp_ok($shown{$_}, '>', 0, "and there are $_ to count") for qw(reveals exports approvals denied requests overdue);

# the lines of a table as the browser has them, and as a query returns them
sub lines_of
{
	my ($table) = $dom =~ m{<table id="$_[0]">.*?<tbody>(.*?)</tbody>}s or return '';
	return join "\n", map { join '|', m{<td[^>]*>(.*?)</td>}g } $table =~ m{<tr>(.*?)</tr>}gs;
}
is(lines_of('access'), $node->safe_psql('hub', "SELECT day, role, reveals, subjects, members FROM hub.access_by_day($period)", @cora),
	'access by day and role is what the query returns');
is(lines_of('anomalies'), $node->safe_psql('hub', <<"SQL", @cora), 'so are the anomalies');
SELECT * FROM (VALUES ('reveals at night or on a weekend (UTC)', (SELECT count(*) FROM hub.after_hours_access($period)),
		(SELECT count(DISTINCT member_id) FROM hub.after_hours_access($period)), 'hub.after_hours_access'),
	('days on which a member saw far more people than usual', (SELECT count(*) FROM hub.unusual_volume($period)), 1, 'hub.unusual_volume'),
	('what leavers saw and tried', 0, 0, 'hub.access_by_leavers'), ('uses of break-glass access', 0, 0, 'hub.break_glass_uses'),
	('changes of who may do what', (SELECT count(*) FROM hub.privilege_changes($period)),
		(SELECT count(DISTINCT member_id) FROM hub.privilege_changes($period)), 'hub.privilege_changes')) v
SQL
my $bars = () = $dom =~ /<rect [^>]*><title>/g;
my $points = $node->safe_psql('hub', "SELECT count(*) FROM (SELECT DISTINCT date_trunc('week', day), role FROM hub.access_by_day($period)) a", @cora)
	+ $node->safe_psql('hub', "SELECT count(*) FROM (SELECT DISTINCT date_trunc('week', happened_at, 'UTC'), kind FROM hub.denied_attempts($period)) a", @cora);
is($bars, $points, 'the charts have a column for each role and week');

browse('--screenshot=' . $node->basedir . '/report.png', '--window-size=860,2300');
cmp_ok(-s $node->basedir . '/report.png', '>', 50_000, 'it can be looked at');
browse('--print-to-pdf=' . $node->basedir . '/report.pdf');
like(slurp_file($node->basedir . '/report.pdf'), qr/^%PDF-.*LiberationSans|^%PDF-.*Font/s, 'and printed');

# a trail that was changed shows in the report
$node->safe_psql('hub', q{SET session_replication_role = replica; UPDATE hub.audit_event SET details = '{}' WHERE kind = 'export' AND details ? 'rows'});
like($node->safe_psql('hub', "SELECT hub.compliance_report($period)", @cora), qr/class="bad">Verification found breaks.*its tag is not of these contents/s,
	'a changed event is in the report');

done_testing();
