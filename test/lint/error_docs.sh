#!/bin/sh
# docs/errors.md lists the codes of errors.h, all of them and no other; every
# code is raised somewhere; SQL raises no code that errors.h does not have.
exec perl -we '
    use strict;
    sub text { local (@ARGV, $/) = @_; return join "", map { scalar <> // "" } @_; }
    my $bad = 0;
    my $header = text("src/foundation/errors.h");
    my (%name, %documented);
    while ($header =~ /^#define (ERRCODE_CH_\w+) MAKE_SQLSTATE\(\x27C\x27, \x27H\x27, \x27(.)\x27, \x27(.)\x27, \x27(.)\x27\)/mg)
    {
        if ($name{"CH$2$3$4"}) { print "errors.h: CH$2$3$4 is there twice\n"; $bad = 1 }
        $name{"CH$2$3$4"} = $1;
    }
    my $docs = text("docs/errors.md");
    $documented{$1} = $2 while $docs =~ /^\| `(CH\d{3})` \| `(\w+)`/mg;
    my $sources = text(grep { !m{foundation/errors\.h$} } glob "src/*/*.[ch] src/*/*.sql");
    for (sort keys %name)
    {
        (my $condition = lc $name{$_}) =~ s/^errcode_ch_//;
        if (!$documented{$_}) { print "docs/errors.md lacks $_ ($condition)\n"; $bad = 1 }
        elsif ($documented{$_} ne $condition) { print "docs/errors.md: $_ is $condition\n"; $bad = 1 }
        if ($sources !~ /\b$name{$_}\b|\x27$_\x27/) { print "nothing raises $_ ($condition)\n"; $bad = 1 }
    }
    for (sort keys %documented)
    {
        if (!$name{$_}) { print "docs/errors.md has $_, errors.h has not\n"; $bad = 1 }
    }
    for (sort($sources =~ /\x27(CH\d{3})\x27/g))
    {
        if (!$name{$_}) { print "SQL raises $_, errors.h has it not\n"; $bad = 1 }
    }
    exit $bad;
'
