#!/bin/sh
# A room includes headers of its own and of lower rooms only.
exec perl -we '
    use strict;
    my ($rooms) = map { /^ROOMS = (.*)/ ? $1 : () } split /\n/, `cat Makefile`;
    my (%floor, $n, $bad);
    $floor{$_} = ++$n for split " ", $rooms;
    for my $file (sort glob "src/*/*.[ch]")
    {
        my ($room) = $file =~ m{^src/(\w+)/};
        next if $room eq "upgrade";
        if (!$floor{$room}) { print "$file: the Makefile has no room $room\n"; $bad = 1; next }
        open my $in, "<", $file or die "$file: $!";
        while (<$in>)
        {
            next unless /^\s*#\s*include\s+"([^"]+)"/;
            my $header = $1;
            if (-e "src/$room/$header") { print "$file:$.: name the room: \"$room/$header\"\n"; $bad = 1 }
            next unless $header =~ m{^(\w+)/} && $floor{$1} && -e "src/$header";
            if ($floor{$1} > $floor{$room}) { print "$file:$.: $room stands below $1\n"; $bad = 1 }
        }
    }
    exit($bad // 0);
'
