#!/bin/sh
# docs/reference.md is what docs/generate_reference.sql prints of this extension.
set -eu
psql -XAtq -f docs/generate_reference.sql 2>&1 | diff docs/reference.md - || {
    echo 'docs/reference.md is not what the catalog says. Write it anew with:'
    echo '  sh test/run.sh exec psql -XAtq -f docs/generate_reference.sql >docs/reference.md'
    exit 1
}
