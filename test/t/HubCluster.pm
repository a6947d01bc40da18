# A throw-away server of its own for a TAP test, with a key and the extension.
#
#   use HubCluster;
#   my $node = HubCluster->new('main');        # initdb, not started
#   $node->start;
#   $node->create_hub_database('hub');         # CREATE EXTENSION; crm not created
#   is($node->safe_psql('hub', 'SELECT 1'), '1');
package HubCluster;

use strict;
use warnings;
use parent -norequire, 'PostgreSQL::Test::Cluster';
use File::Find;
use PostgreSQL::Test::Cluster;

# Make a cluster that preloads the library and has the key of epoch 1.
# Options: key => 64 hex digits, extra => [initdb options], conf => "settings"
sub new
{
	my ($class, $name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	bless $node, $class;
	$node->init(
		allows_streaming => 'logical',
		extra => [ '--encoding=UTF8', '--locale=C.UTF-8', @{ $options{extra} // [] } ]);
	$node->write_key(1, $options{key});
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'customer_hub'
customer_hub.key_directory = '${\ $node->key_directory }'
max_worker_processes = 32
max_prepared_transactions = 10
fsync = off
log_line_prefix = '%m [%p] %q%u\@%d '
CONF
	$node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
	return $node;
}

# The directory of the epoch keys, outside the data directory
sub key_directory
{
	my ($self) = @_;
	return $self->basedir . '/keys';
}

# Write the key of an epoch (a random one by default) and return it
sub write_key
{
	my ($self, $epoch, $key) = @_;
	my $directory = $self->key_directory;
	mkdir $directory, 0700;
	if (!defined $key)
	{
		open my $random, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
		read $random, my $bytes, 32;
		close $random;
		$key = unpack 'H*', $bytes;
	}
	my $file = "$directory/epoch-$epoch.key";
	open my $out, '>', $file or die "$file: $!";
	chmod 0600, $file;
	print $out "$key\n";
	close $out;
	return $key;
}

# Create a database with the extension
sub create_hub_database
{
	my ($self, $database) = @_;
	$self->safe_psql('postgres', "CREATE DATABASE $database");
	$self->safe_psql($database, 'CREATE EXTENSION customer_hub');
	return;
}

# Files below a directory, or the file itself, in which a text occurs, with its number
sub occurrences
{
	my ($where, $text) = @_;
	my @found;
	find({ no_chdir => 1, wanted => sub {
		return unless -f $_ && open my $in, '<:raw', $_;
		local $/;
		my $content = <$in>;
		my $count = () = $content =~ /\Q$text\E/gi;
		push @found, "$_ ($count)" if $count;
	} }, $where);
	return @found;
}

1;
