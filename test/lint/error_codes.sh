#!/bin/sh
# Every error that is raised carries an SQLSTATE, in C and in PL/pgSQL.
exec perl -we '
    use strict;
    my $bad = 0;
    my $call;
    $call = qr/\((?:[^()"\x27]++|"(?:[^"\\]|\\.)*+"|\x27(?:[^\x27\\]|\\.)\x27|(??{$call}))*+\)/s;
    for my $file (sort glob "src/*/*.[ch] src/*/*.sql src/*/*.sql.in src/install.sql")
    {
        local $/;
        open my $in, "<", $file or die "$file: $!";
        my $text = <$in>;
        my $complain = sub {
            my ($at, $what) = @_;
            printf "%s:%d: %s\n", $file, 1 + (substr($text, 0, $at) =~ tr/\n//), $what;
            $bad = 1;
        };
        if ($file =~ /sql$/)
        {
            while ($text =~ /\bRAISE\s+(?:EXCEPTION\b)?\s*(\x27[^;]*|USING[^;]*|\w+[^;]*|);/gs)
            {
                my ($whole, $at) = ($&, $-[0]);
                next if $whole =~ /^RAISE\s*;|^RAISE\s+(?:DEBUG|LOG|INFO|NOTICE|WARNING)\b/;
                next if $whole =~ /\bERRCODE\b/ || $whole =~ /^RAISE\s+(?:EXCEPTION\s+)?SQLSTATE\b/;
                next if $whole =~ /^RAISE\s+(?:EXCEPTION\s+)?[a-z_]+\s*(?:;|USING)/;
                $complain->($at, "RAISE without ERRCODE");
            }
            next;
        }
        while ($text =~ /\b(ereport|ereturn)\s*($call)/g)
        {
            my ($macro, $args, $at) = ($1, $2, $-[0]);
            next if $macro eq "ereport" && $args !~ /^\(\s*(?:ERROR|FATAL|PANIC|elevel)\b/;
            next if $file eq "src/foundation/compat.h" && $args =~ /__VA_ARGS__|dummy_value/;
            $complain->($at, "$macro without errcode") unless $args =~ /\berrcode(?:_for_\w+)?\s*\(/;
        }
    }
    exit $bad;
'
