#!/bin/sh
# SECURITY DEFINER functions, and all PL/pgSQL of schema hub, resolve names
# through a locked search path: pg_temp last, no schema that users can write to.
set -eu
open=$(psql -XAtq -v ON_ERROR_STOP=1 <<'SQL'
SELECT oid::regprocedure
FROM pg_proc p
WHERE pronamespace = 'hub'::regnamespace
  AND (prosecdef OR prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql'))
  AND NOT EXISTS (
	SELECT FROM unnest(proconfig) setting
	WHERE setting ~ '^search_path=(pg_catalog|hub|"?pg_catalog"?, ?hub|hub, ?pg_catalog)?(, ?)?"?pg_temp"?$')
ORDER BY 1
SQL
)
[ -z "$open" ] || { printf 'no locked search_path (pg_catalog, pg_temp):\n%s\n' "$open"; exit 1; }
