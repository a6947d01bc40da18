#!/bin/sh
# Shell scripts parse, and shellcheck has nothing to say where it is installed.
set -eu
scripts=$(find . -name '*.sh' ! -path './.git/*')
for script in $scripts; do sh -n "$script"; done
# shellcheck disable=SC2086  # a list of files
if command -v shellcheck >/dev/null; then shellcheck -x -e SC2013,SC2016,SC2317 $scripts; fi
