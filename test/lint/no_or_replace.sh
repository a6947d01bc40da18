#!/bin/sh
# The install script replaces nothing: an object of that name that is there
# already belongs to someone else. IF NOT EXISTS would adopt it too.
! grep -niE '^[^-]*\bCREATE\b.*(\bOR[[:space:]]+REPLACE\b|\bIF[[:space:]]+NOT[[:space:]]+EXISTS\b)' src/install.sql src/[!u]*/*.sql src/*/*.sql.in
