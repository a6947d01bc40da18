#!/bin/sh
# Every room says what it promises and what it must never do, and all its SQL is
# in the install script.
set -eu
bad=0
for room in $(sed -n 's/^ROOMS = //p' Makefile); do
    [ -e "src/$room/README.md" ] || { echo "src/$room has no README.md"; bad=1; }
done
for file in src/*/*.sql; do
    case $file in src/upgrade/*) continue ;; esac
    grep -qE "^[[:space:]]*$file([[:space:]]|$)" Makefile || { echo "$file is not in the Makefile's ROOM_SQL"; bad=1; }
done
exit $bad
