#!/bin/sh
# The C entry points of a room are exactly those that its SQL declares.
exec perl -we '
    use strict;
    my ($bad, %code, %sql) = (0);
    for my $file (sort glob "src/*/*.c src/*/*.sql src/*/*.sql.in")
    {
        my ($room) = $file =~ m{^src/(\w+)/};
        next if $room eq "upgrade";
        local $/;
        open my $in, "<", $file or die "$file: $!";
        my $text = <$in>;
        if ($file =~ /\.c$/)
        {
            $code{"$room $_"} = $file for $text =~ /^PG_FUNCTION_INFO_V1\((\w+)\)/mg;
        }
        else
        {
            $text =~ s/--.*//g;
            while ($text =~ /\x27MODULE_PATHNAME\x27\s*(?:,\s*\x27(\w+)\x27)?/g)
            {
                if (defined $1) { $sql{"$room $1"} = $file }
                else { print "$file: MODULE_PATHNAME without the name of the C function\n"; $bad = 1 }
            }
        }
    }
    for (sort keys %code)
    {
        next if $sql{$_};
        print "$code{$_}: ", (split)[1], " is declared by no SQL of its room\n"; $bad = 1;
    }
    for (sort keys %sql)
    {
        next if $code{$_};
        print "$sql{$_}: ", (split)[1], " is defined by no C of its room\n"; $bad = 1;
    }
    exit $bad;
'
