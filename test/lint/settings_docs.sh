#!/bin/sh
# docs/settings.md lists the settings of the sources, all of them and no other.
# Settings are defined in foundation/settings.c; the identity carrier, which
# nobody sets by hand, is identity's own and internal.
exec perl -we '
    use strict;
    sub text { local (@ARGV, $/) = @_; return join "", map { scalar <> // "" } @_; }
    my $bad = 0;
    my (%defined, %documented);
    for my $file (glob "src/*/*.c")
    {
        my $source = text($file);
        while ($source =~ /DefineCustom\w+Variable\(\s*"(customer_hub\.\w+)"(.*?)\);/sg)
        {
            my ($setting, $rest) = ($1, $2);
            if ($file ne "src/foundation/settings.c" && $file !~ m{^src/identity/})
            {
                print "$file defines $setting: settings belong in foundation/settings.c\n"; $bad = 1;
            }
            $defined{$setting} = 1 unless $rest =~ /\bGUC_NO_SHOW_ALL\b/;
        }
    }
    my $docs = text("docs/settings.md");
    $documented{$1} = 1 while $docs =~ /^\| `(customer_hub\.\w+)`/mg;
    for (sort keys %defined)
    {
        if (!$documented{$_}) { print "docs/settings.md lacks $_\n"; $bad = 1 }
    }
    for (sort keys %documented)
    {
        if (!$defined{$_}) { print "docs/settings.md has $_, the sources have not\n"; $bad = 1 }
    }
    exit $bad;
'
