# What version 1 of the envelope has sealed opens in every later version: tokens and
# wrapped keys that were made once, under a root key that is known, open to the texts
# they were made of, are found by equality, and are what an independent program reads.
# That program also reads what is sealed today.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $golden = 'test/fixtures/envelope_v1.tsv';
my $reader = 'test/verify/envelope_open.py';

my (%root, @subjects, @values);
open my $file, '<', $golden or die "$golden: $!";
while (<$file>)
{
	chomp;
	my ($kind, @fields) = split /\t/, $_, -1;
	if ($kind eq 'subject') { push @subjects, \@fields }
	elsif ($kind eq 'value') { push @values, \@fields }
	else { $root{$kind} = $fields[0] }
}
close $file;
cmp_ok(scalar @values, '>=', 20, 'there are values of every type');

my $node = HubCluster->new('main', key => $root{root_key});
$node->start;
$node->create_hub_database('hub');

my $setup = <<'SQL';
CREATE ROLE ann LOGIN;
SELECT hub.add_member('ann', 'hub_sales', 'ann', '{DE}', '{1}', '{1}');
SELECT hub.set_clearance('hub_sales', c, 'reveal') FROM unnest('{public,basic,contact,content,intent,financial,special}'::text[]) c;
SELECT hub.open_keyring();
SQL
for (@subjects)
{
	my ($subject, $epoch, $wrapped) = @$_;
	$setup .= $wrapped
	  ? "INSERT INTO hub.subject_key (subject, epoch, wrapped) VALUES ('$subject', $epoch, '\\x$wrapped');\n"
	  : "INSERT INTO hub.subject_key (subject, epoch, destroyed_at) VALUES ('$subject', $epoch, now());\n";
}
for my $n (0 .. $#values)
{
	my ($type, $class, $subject, $token) = @{ $values[$n] };
	$setup .= "CREATE TABLE value_$n (v hub.encrypted_$type('$class'));\nINSERT INTO value_$n VALUES ('$token');\n"
	  . "GRANT SELECT ON value_$n TO ann;\n";
}
$node->safe_psql('hub', $setup);
is($node->safe_psql('hub', q(SELECT encode(fingerprint, 'hex') FROM hub.key_epoch)),
	$root{fingerprint}, 'the root key has the fingerprint it had');

my @ann = (extra_params => [ '-U', 'ann' ]);
my $revealed = $node->safe_psql('hub', join("\n", map { "SELECT hub.reveal(v) FROM value_$_;" } 0 .. $#values), @ann);
is($revealed, join("\n", map { $_->[4] } @values), 'all values open to the texts they were made of');
my $tokens = $node->safe_psql('hub', join("\n", map { "SELECT hub.sealed_subject(v), v FROM value_$_;" } 0 .. $#values));
is($tokens, join("\n", map { "$_->[2]|$_->[3]" } @values), 'and print as the tokens they were');

my @searchable = grep { $values[$_][1] eq 'contact' } 0 .. $#values;
my $found = $node->safe_psql('hub',
	join("\n", map { "SELECT count(*) FROM value_$_ WHERE v = '$values[$_][4]';" } @searchable), @ann);
is($found, join("\n", (1) x @searchable), 'searchable ones are found by equality');

my ($out, $err) = run_command([ 'python3', $reader, 'self-test' ]);
is($out, 'ok', 'the independent reader passes the published vectors') or diag($err);
$ENV{PYTHONIOENCODING} = 'utf-8';
($out, $err) = run_command([ 'python3', $reader, 'open', $golden ]);
is($out, join("\n", map { $_->[4] } @values), 'and reads the same texts') or diag($err);

# What is sealed today
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id uuid, region hub.region, story hub.encrypted_text('content'), email hub.encrypted_email('contact'));
SELECT hub.govern('person', 'id', 'region');
INSERT INTO person SELECT gen_random_uuid(), 'DE', repeat('story ', n * n), 'person' || n || '@Example.org' FROM generate_series(0, 8) n;
SQL
my $today = $node->basedir . '/today.tsv';
my $rows = $node->safe_psql('hub', <<'SQL', extra_params => [ '-F', "\t" ]);
SELECT 'subject', subject, epoch, encode(wrapped, 'hex') FROM hub.subject_key WHERE wrapped IS NOT NULL;
SELECT 'value', 'text', 'content', id, story FROM person ORDER BY id;
SELECT 'value', 'email', 'contact', id, email FROM person ORDER BY id;
SQL
append_to_file($today, "root_key\t$root{root_key}\n$rows\n");
($out, $err) = run_command([ 'python3', $reader, 'open', $today ]);
$node->safe_psql('hub', 'GRANT SELECT ON person TO hub_sales');
is($out, $node->safe_psql('hub', <<'SQL', @ann), 'and what is sealed today') or diag($err);
SELECT hub.reveal(story) FROM person ORDER BY id;
SELECT hub.reveal(email) FROM person ORDER BY id;
SQL

done_testing();
