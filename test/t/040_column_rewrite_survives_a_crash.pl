# Encrypting a column while others write, through a crash: no write is lost, nothing readable is left behind.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use IPC::Run qw(start);
use HubCluster;

my $node = HubCluster->new('main');
$node->append_conf('postgresql.conf', "restart_after_crash = on\nlog_min_error_statement = error\nlog_statement = 'none'");
$node->start;
$node->create_hub_database('hub');
# written holds what each writer has written, in the same transaction
$node->safe_psql('hub', <<'SQL');
CREATE TABLE person (id int PRIMARY KEY, email text UNIQUE, filler text DEFAULT repeat('x', 200));
CREATE TABLE written (id int PRIMARY KEY, email text);
INSERT INTO person SELECT i, 'secretaddress' || i || '@example.com' FROM generate_series(1, 6000) i;
INSERT INTO written SELECT id, md5(email) FROM person;
CREATE PROCEDURE write(turns int, base int) LANGUAGE plpgsql AS $$
DECLARE
	n int;
	address text;
BEGIN
	FOR turn IN 1..turns LOOP
		address := 'secretaddress' || base || 'x' || turn || '@example.com';
		IF turn % 3 = 0 THEN
			INSERT INTO person VALUES (base + turn, address);
			INSERT INTO written VALUES (base + turn, md5(address));
		ELSIF turn % 7 = 0 THEN
			n := 1 + (random() * 5999)::int;
			UPDATE person SET email = NULL WHERE id = n;
			UPDATE written SET email = NULL WHERE id = n;
		ELSIF turn % 11 = 0 THEN
			n := 1 + (random() * 5999)::int;
			DELETE FROM person WHERE id = n;
			DELETE FROM written WHERE id = n;
		ELSE
			n := 1 + (random() * 5999)::int;
			UPDATE person SET email = address WHERE id = n;
			UPDATE written SET email = md5(address) WHERE id = n;
		END IF;
		COMMIT;
	END LOOP;
END
$$;
SQL

my $writes = 0;

# Start a psql that runs beside us
sub beside
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	return start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('hub'), '-c', $sql ], \undef, \$out, \$err);
}

sub write_beside
{
	$writes++;
	return beside("CALL write(800, " . $writes * 100000 . ")");
}

my $call = q{CALL hub.encrypt_column('person', 'email', 'hub.encrypted_email', 'contact', 50)};
my $writer = write_beside();
my $encryptor = beside($call);
$node->poll_query_until('hub', 'SELECT coalesce(max(filled_rows), 0) > 500 FROM hub.column_rewrite') or die 'nothing was filled';
my $pid = $node->safe_psql('hub', q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'CALL hub.encrypt_column%' AND pid <> pg_backend_pid()});
kill 'KILL', $pid;
$_->finish foreach ($writer, $encryptor);
$node->poll_query_until('hub', 'SELECT true') or die 'the server did not come back';
is($node->safe_psql('hub', 'SELECT status FROM hub.column_rewrite_progress'), 'filling', 'a crash leaves it where it was');
cmp_ok($node->safe_psql('hub', 'SELECT count(*) FROM person WHERE email IS NOT NULL AND hub_rewrite_2 IS NULL'), '>', 0, 'with rows to go');
is($node->safe_psql('hub', 'SELECT count(*) FROM person p FULL JOIN written w USING (id) WHERE md5(p.email) IS DISTINCT FROM w.email'),
	'0', 'the column itself is whole');

# a row that is locked for long holds up the end, but neither the other rows nor anybody else
my $holder = beside('BEGIN; SELECT FROM person WHERE id = 5999 FOR UPDATE; SELECT pg_sleep(2); COMMIT');
$writer = write_beside();
my ($status, $out, $err) = $node->psql('hub', $call);
is($status, 0, 'the next call goes on to the end');
$_->finish foreach ($writer, $holder);
is($node->safe_psql('hub', q{SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'person'::regclass AND attname = 'email'}),
	q{hub.encrypted_email('contact')}, 'the column is encrypted');

# who may see them compares what is stored with what was written
$node->safe_psql('hub', <<'SQL');
CREATE ROLE sam LOGIN;
GRANT SELECT ON person, written TO sam;
SELECT hub.add_member('sam', 'hub_sales', 'sam', '{DE}', '{1}', '{1}');
SQL
is($node->safe_psql('hub', q{SELECT count(*) FROM person p FULL JOIN written w USING (id)
		WHERE (SELECT md5(hub.reveal(p.email))) IS DISTINCT FROM w.email}, extra_params => [ '-U', 'sam' ]),
	'0', 'no write before, during or after the crash is lost, and each value opens to what was written');

# what is readable of it
$node->safe_psql('hub', 'VACUUM FULL person');
$node->safe_psql('hub', 'CHECKPOINT');
my $file = $node->data_dir . '/' . $node->safe_psql('hub', q{SELECT pg_relation_filepath('person')});
unlike(slurp_file($file), qr/secretaddress/, 'no plaintext is in the rewritten table');
unlike(slurp_file($node->logfile), qr/secretaddress/, 'nor in the server log');
unlike($err, qr/secretaddress/, 'nor in what the caller was told');
$node->stop;
done_testing();
