# What import_keyring takes and what it leaves: only a whole exported keyring, unchanged; never a step back to an
# earlier epoch; and nothing of an import that was rolled back.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main');
$node->start;

# Make a database with a governed table
sub create_database
{
	my ($name) = @_;
	$node->create_hub_database($name);
	$node->safe_psql($name, <<'SQL');
CREATE TABLE person (id uuid PRIMARY KEY, name hub.encrypted_text('basic'));
SELECT hub.classify('person', 'id', 'public');
SELECT hub.govern('person', 'id');
GRANT SELECT ON person TO hub_sales;
SQL
	return;
}

# Make a login that may read names
sub add_reader
{
	my ($name) = @_;
	$node->safe_psql($name, q{SELECT hub.add_member('sam', 'hub_sales', 'sam')});
	return;
}

sub answer { return $node->safe_psql('hub', $_[0]); }
sub names { return $node->safe_psql($_[0], q{SELECT string_agg(hub.reveal(name), ',' ORDER BY name::text) FROM (SELECT name FROM person ORDER BY id) p}, extra_params => [ '-U', 'sam' ]); }

$node->safe_psql('postgres', 'CREATE ROLE sam LOGIN');
create_database('hub');
add_reader('hub');
answer(q{INSERT INTO person SELECT md5(i::text)::uuid, 'Person ' || i FROM generate_series(1, 3) i});
my $all = names('hub');
my $export = q{SELECT part FROM hub.export_keyring(2) AS part};
my $early = $node->basedir . '/early.jsonl';
$node->safe_psql('hub', "\\copy ($export) TO '$early'");
my $import = "CREATE TEMP TABLE keyring (part jsonb);\n\\copy keyring FROM '$early'\n";

# Import after a change to the exported parts, in one transaction
sub import_changed
{
	my ($change) = @_;
	return $node->psql('hub', "$import$change;\nSELECT hub.import_keyring('keyring')", on_error_stop => 1);
}
like((import_changed(q{UPDATE keyring SET part = part - 'mac'}))[2], qr/was altered/, 'without its MAC');
like((import_changed(q{UPDATE keyring SET part = part - 'epoch'}))[2], qr/was altered/, 'without its epoch');
like((import_changed(q{UPDATE keyring SET part = jsonb_set(part - 'mac' - 'epoch', '{subjects,0,2}', 'null')}))[2],
	qr/was altered/, 'with neither, which marks people as erased');
is(names('hub'), $all, 'and all are still there');
like(($node->psql('hub', 'SELECT hub.export_keyring(0)'))[2], qr/size of a part must be positive/, 'a part of nobody');
is(answer('SELECT hub.same_subject_key(NULL, epoch, wrapped, epoch, wrapped) IS NULL FROM hub.subject_key LIMIT 1'), 't', 'the key of nobody');

# a wrapped key that was altered comes back
answer(q{UPDATE hub.subject_key SET wrapped = set_byte(wrapped, 30, get_byte(wrapped, 30) # 1) WHERE subject = md5('2')::uuid});
like(($node->psql('hub', 'SELECT hub.reveal(name) FROM person', extra_params => [ '-U', 'sam' ]))[2], qr/altered/, 'an altered key opens nothing');
like((import_changed('SELECT'))[1], qr/\(3,0\)/, 'the keyring is imported over it');
is(names('hub'), $all, 'and all open');

# what a rollback takes back is not used any more
create_database('copy');
$node->safe_psql('copy', <<"SQL");
${import}BEGIN;
SELECT hub.import_keyring('keyring');
INSERT INTO person VALUES (md5('1')::uuid, 'In vain');
ROLLBACK;
INSERT INTO person VALUES (md5('1')::uuid, 'To stay');
SQL
add_reader('copy');
is(names('copy'), 'To stay', 'a value sealed after an import that was rolled back opens in other sessions');

# keys of an earlier epoch that come back during a rotation are taken along
$node->write_key(2);
$node->restart;
my $changed_in_between = answer(<<'SQL');
SELECT hub.rotation_step() \g /dev/null
SELECT hub.rotation_step() \g /dev/null
UPDATE hub.service_key SET wrapped = hub.wrap_service_key(purpose, generation, 1), epoch = 1 WHERE purpose = 'event';
BEGIN;
SELECT hub.rotation_step() \g /dev/null
SHOW synchronous_commit;
COMMIT;
SQL
is($changed_in_between, 'on', 'a step leaves the transaction of its caller as durable as it was');
answer(q{SET statement_timeout = '30s'; CALL hub.rotate_epoch()});
is(answer('SELECT phase FROM hub.rotation_progress'), 'done', 'the rotation ends');
is(answer('SELECT DISTINCT epoch FROM hub.service_key UNION SELECT epoch FROM hub.subject_key'), '2', 'and all keys are under the new epoch');

# an early keyring does not take keys back to its epoch
like((import_changed('SELECT'))[1], qr/\(3,0\)/, 'a keyring of the epoch before is imported');
is(answer('SELECT DISTINCT epoch FROM hub.service_key UNION SELECT epoch FROM hub.subject_key'), '2', 'and the keys stay under the present one');
is(names('hub'), $all, 'all open');

$node->stop;
done_testing();
