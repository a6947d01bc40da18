#!/bin/sh
# PUBLIC may execute what operators, casts, types and operator classes need, and
# the functions that src/hub/hub.sql grants by name. Of relations it may read those
# listed below.
set -eu
granted=$(sed -n '/^GRANT EXECUTE/,/;/p' src/hub/hub.sql)
found=$(psql -XAtq -v ON_ERROR_STOP=1 -v granted="$granted" <<'SQL'
SELECT 'PUBLIC may execute ' || p.oid::regprocedure
FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.pronamespace = 'hub'::regnamespace AND a.grantee = 0
  AND NOT EXISTS (SELECT FROM pg_operator WHERE oprcode = p.oid)
  AND NOT EXISTS (SELECT FROM pg_amproc WHERE amproc = p.oid)
  AND NOT EXISTS (SELECT FROM pg_cast WHERE castfunc = p.oid)
  AND NOT EXISTS (SELECT FROM pg_type WHERE p.oid IN (typinput, typoutput))
  AND NOT EXISTS (
	SELECT FROM regexp_matches(:'granted', '(hub\.\w+)\s*\(', 'g') m
	WHERE m[1] = 'hub.' || p.proname)
UNION ALL
SELECT 'PUBLIC may ' || lower(a.privilege_type) || ' ' || c.oid::regclass
FROM pg_class c, aclexplode(c.relacl) a
WHERE c.relnamespace = 'hub'::regnamespace AND a.grantee = 0
  AND c.oid::regclass::text NOT IN ('hub.data_class', 'hub.hub_role', 'hub.column_rewrite_progress')
ORDER BY 1
SQL
)
[ -z "$found" ] || { printf '%s\n' "$found"; exit 1; }
