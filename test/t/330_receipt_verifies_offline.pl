# A receipt is verified without a server and without code of the extension: any
# implementation of RFC 8785 and of Ed25519 will do; here JSON::PP and OpenSSL.
use strict;
use warnings;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

plan skip_all => 'openssl is not installed' if system('openssl version >/dev/null 2>&1') != 0;

my $node = HubCluster->new('main');
$node->start;
$node->create_hub_database('hub');
$node->safe_psql('hub', '\i test/fixtures/shop.sql');
sub as
{
	my ($login, $sql) = @_;
	return $node->safe_psql('hub', $sql, extra_params => [ '-U', $login ]);
}
$node->safe_psql('hub', q{SELECT hub.set_subject_action('shop.bill', 'redact', E'sums stay: "§ 147 AO"\n\tand others\u0001')});
my $plan = as('carl', "SELECT hub.plan_erasure('00000000-0000-4000-8000-000000000001')");
my $request = as('carl', qq{SELECT hub.request_approval('erase', '{"plan": $plan}', 'she asked for it')});
as('cora', "SELECT hub.approve($request)");
my $receipt_text = as('cora', "CALL hub.run_erasure($plan); SELECT hub.erasure_receipt($plan)");
my $public_key = $node->safe_psql('hub', 'SELECT hub.receipt_public_key()');
my $canonical = $node->safe_psql('hub',
	q{SELECT hub.canonical_json(E'{"b": [1, -2, 9007199254740991, true, null, {}], "a": "§ \\\\" \\\\\\\\ / \\\\u0001 \\\\t \\\\n 😀", "aa": "", "B": 0}')});
$node->stop;

my $json = JSON::PP->new->canonical->utf8;
is($canonical, $json->encode($json->decode($canonical)), 'both write the same canonical form');

# Verify as somebody who has only the receipt and the published key would
sub verifies
{
	my ($receipt) = @_;
	my %body = %$receipt;
	my ($signature) = delete($body{signature}) =~ /^ed25519:([0-9a-f]{128})$/ or return 0;
	my ($key) = $public_key =~ /^ed25519:([0-9a-f]{64})$/ or die $public_key;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my $put = sub {
		open my $out, '>:raw', "$directory/$_[0]" or die $!;
		print $out $_[1];
		close $out;
	};
	$put->('body', $json->encode(\%body));
	$put->('signature', pack('H*', $signature));
	$put->('key', pack('H*', "302a300506032b6570032100$key"));
	return system("openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey $directory/key"
		  . " -in $directory/body -sigfile $directory/signature >/dev/null 2>&1") == 0;
}

my $receipt = $json->decode($receipt_text);
ok(verifies($receipt), 'the receipt verifies');
is($receipt->{public_key}, $public_key, 'and states the key');
is(scalar(grep { $_->{relation} eq 'shop.note' && $_->{cleared_rows} == 40 } @{ $receipt->{items} }), 1, 'it says what was erased');
unlike($receipt_text, qr/0000-4000-8000|[Vv]ermeulen|4915112345678|carl|cora/, 'it names nobody');
$receipt->{items}[0]{cleared_rows}++;
ok(!verifies($receipt), 'with another count it does not verify');
$receipt = $json->decode($receipt_text);
$receipt->{status} = 'complete';
ok(!verifies($receipt), 'nor with another status');
done_testing();
