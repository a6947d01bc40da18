# A month of the trail can be taken off: exported with what proves it, which an
# independent program verifies, and detached, with the rest still verifying.
use strict;
use warnings;
use Digest::SHA;
use MIME::Base64 ();
use PostgreSQL::Test::Utils;
use Test::More;
use HubCluster;

my $node = HubCluster->new('main', conf => "customer_hub.seal_interval = 1h\n");
$node->start;
$node->create_hub_database('hub');
my $sql = sub { $node->safe_psql('hub', $_[0]) };
my $breaks = sub { $sql->('SELECT kind, block_no, detail FROM hub.verify_audit()') };

# Months cannot be waited for: a partition of some seconds stands for one.
$sql->(q{SELECT hub.record_event('config', NULL, '{"n": 1}')});
$sql->(q{
	DO $$
	DECLARE
		begins timestamptz := clock_timestamp() + interval '1 s';
	BEGIN
		EXECUTE format('CREATE TABLE hub.audit_event_month PARTITION OF hub.audit_event FOR VALUES FROM (%L) TO (%L)', begins, begins + interval '6 s');
		CREATE INDEX ON hub.audit_event_month (xid, ordinal);
		ALTER TABLE hub.audit_event_month OWNER TO hub_audit_owner;
		PERFORM pg_sleep(1.1);
	END $$;});
$sql->(qq{SELECT hub.record_event('config', NULL, '{"n": $_}')}) for 2 .. 3;
$sql->('CALL hub.seal_audit()');
# more than a line of an export holds, and a block that the next month shares
$sql->(q{SELECT hub.record_event('config', NULL, jsonb_build_object('n', n)) FROM generate_series(4, 1203) n});
my $bounds = $sql->(q{SELECT split_part(pg_get_expr(relpartbound, oid), '''', 4) FROM pg_class WHERE relname = 'audit_event_month'});
my ($code, $stdout, $stderr) = $node->psql('hub', q{SELECT hub.detach_audit_partition('hub.audit_event_month')});
like($stderr, qr/not a past month/, 'a month that is not over stays');
$sql->("SELECT pg_sleep(extract(epoch FROM timestamptz '$bounds' - clock_timestamp()) + 0.1)");
$sql->(q{SELECT hub.record_event('config', NULL, '{"n": 2000}')});
is($sql->('SELECT count(*) FROM hub.audit_event_month'), '1202', 'a partition has events');

($code, $stdout, $stderr) = $node->psql('hub', q{SELECT hub.detach_audit_partition('hub.audit_event_month')});
like($stderr, qr/events of "hub.audit_event_month" are not sealed yet/, 'what is not sealed stays');
($code, $stdout, $stderr) = $node->psql('hub', q{SELECT * FROM hub.export_audit('hub.audit_event_month')});
like($stderr, qr/not sealed yet/, 'and is not exported');
$sql->('CALL hub.seal_audit()');
is($breaks->(), '', 'nothing is wrong with the trail');

# export, by compliance staff
$sql->(q{CREATE ROLE clara LOGIN; SELECT hub.add_member('clara', 'hub_compliance', 'clara', '{DE}', '{1}', '{1}')});
my $export = $sql->(q{SET SESSION AUTHORIZATION clara; SELECT content FROM hub.export_audit('hub.audit_event_month') ORDER BY line});
my $key = $sql->('SELECT hub.audit_public_key()');
my $verify = sub {
	my ($text, $by) = @_;
	my $path = $node->basedir . '/export';
	open my $file, '>', $path or die $!;
	print $file $text;
	close $file;
	my ($out, $err) = run_command([ 'python3', 'test/verify/audit_verify.py', 'export', $by // $key, $path ]);
	return $out . $err;
};
like($verify->($export), qr/^1202 events of audit_event_month in 3 blocks, in the log of 3 blocks: verified|^1202 events of audit_event_month in 2 blocks, in the log of \d blocks: verified/,
	'an independent program verifies the export');
(my $changed = $export) =~ s/("events": \["[^"]{60})(.)/$1 . ($2 eq 'A' ? 'B' : 'A')/e;
like($verify->($changed), qr/not proved/, 'not a changed event');
($changed = $export) =~ s/("transactions": \["[^"]{60})(.)/$1 . ($2 eq 'A' ? 'B' : 'A')/e;
like($verify->($changed), qr/not proved/, 'nor a changed transaction');
($changed = $export) =~ s/("events": \[)"[^"]*", /$1/;
like($verify->($changed), qr/holds other events than were sealed/, 'nor one without an event');
($changed = $export) =~ s/\n[^\n]*$//;
like($verify->($changed), qr/cut short/, 'nor one that is cut short');
($changed = $export) =~ s/(\d)(\\n", "log")/(($1 + 1) % 10) . $2/e;
isnt($changed, $export, 'a header can be changed where no count or root stands');
like($verify->($changed), qr/block \d+ is not in the log/, 'which does not verify either');
($changed = $export) =~ s/\n\{"block": (\d+).*?\n\{"end": \1\}//s;
like($verify->($changed), qr/cut short/, 'nor an export without one of its blocks');
($changed = $export) =~ s/(\\n\d+\\n)([A-Za-z0-9+\/])/$1 . ($2 eq 'A' ? 'B' : 'A')/e;
like($verify->($changed), qr/signature does not verify/, 'nor one against another root');
my $other = pack('C', 1) . ('k' x 32);
my $other_key = ($key =~ s/\+.*//r) . '+' . unpack('H8', Digest::SHA::sha256(($key =~ s/\+.*//r) . "\n$other")) . '+' . MIME::Base64::encode_base64($other, '');
like($verify->($export, $other_key), qr/not signed with the key of its time/, 'nor one under another key');
like($sql->(q{SELECT string_agg(query, ',') FROM hub.audit_access}), qr/export_audit/, 'that it was exported is on record');

# detach
($code, $stdout, $stderr) = $node->psql('hub', q{ALTER TABLE hub.audit_event DETACH PARTITION hub.audit_event_month});
like($stderr, qr/cannot change table "audit_event/, 'nobody detaches a partition by hand');
is($sql->(q{SET timezone = 'Asia/Kolkata'; SET datestyle = 'SQL, DMY'; SELECT hub.detach_audit_partition('hub.audit_event_month')}), '1202',
	'a month of sealed events is taken off, however times are written');
is($breaks->(), '', 'what is left verifies');
$sql->('CALL hub.seal_audit()');
is($breaks->(), '', 'also with the retirement sealed');
is($sql->(q{SELECT count(*) FROM hub.audit_event WHERE operation = 'RETIRE' AND details ->> 'partition' = 'hub.audit_event_month'}), '1', 'which is an event');
is($sql->(q{SELECT string_agg(details ->> 'n', ' ' ORDER BY xid) FROM hub.audit_event WHERE details ? 'n'}), '1 2000', 'other events are still there');
my $xid = $sql->(q{SELECT xid FROM hub.audit_event WHERE details ->> 'n' = '1'});
like($sql->("SELECT hub.audit_proof('$xid', 1) ->> 'checkpoint'"), qr/customer_hub/, 'and can be proved, although their block held some of the month');
$sql->('DROP TABLE hub.audit_event_month');
is($breaks->(), '', 'the table can be dropped');
is($sql->('SELECT count(*) FROM hub.audit_block'), $sql->('SELECT max(block_no) + 1 FROM hub.audit_block'), 'headers of all blocks are kept');

# blocks are found without reading the others
my $alone = $sql->(q{SELECT hub.record_event('config', NULL, '{"n": 3000}') \g /dev/null
	CALL hub.seal_audit(); SELECT max(block_no) FROM hub.audit_block});
$sql->(q{SELECT hub.record_event('config', NULL, '{"n": 3001}'); CALL hub.seal_audit()}) for 1 .. 2;
is($sql->(q{SELECT b FROM hub.audit_event e, hub.audit_blocks_of(e.xid, e.xid) b WHERE e.details ->> 'n' = '3000'}), $alone, 'only the block of a transaction is looked at');

# the cut cannot be hidden, nor another one passed off as one
$sql->(q{SET session_replication_role = replica; DELETE FROM hub.audit_retired_event WHERE ordinal = 1});
like($breaks->(), qr/retirement/, 'hashes that go from what was retired are found');
$node->stop;
done_testing();
