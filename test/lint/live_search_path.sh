#!/bin/sh
# SECURITY DEFINER functions, and all PL/pgSQL of schema hub, resolve names
# through a locked search path: pg_temp last, no schema that users can write to.
# PostgreSQL lets no procedure that commits have one: with the caller's rights
# alone, such a procedure names everything with its schema, operators too.
set -eu
open=$(psql -XAtq -v ON_ERROR_STOP=1 <<'SQL'
SELECT oid::regprocedure
FROM pg_proc p
WHERE pronamespace = 'hub'::regnamespace
  AND (prosecdef OR prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql'))
  AND NOT (prokind = 'p' AND NOT prosecdef AND prosrc ~ '\mCOMMIT;')
  AND NOT EXISTS (
	SELECT FROM unnest(proconfig) setting
	WHERE setting ~ '^search_path=(pg_catalog|hub|"?pg_catalog"?, ?hub|hub, ?pg_catalog)?(, ?)?"?pg_temp"?$')
ORDER BY 1
SQL
)
[ -z "$open" ] || { printf 'no locked search_path (pg_catalog, pg_temp):\n%s\n' "$open"; exit 1; }
