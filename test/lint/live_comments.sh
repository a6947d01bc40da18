#!/bin/sh
# Every object of the extension has a comment, for psql's \df+ and \d+.
set -eu
missing=$(psql -XAtq -v ON_ERROR_STOP=1 <<'SQL'
SELECT pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend d
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'customer_hub'
LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.classid <> 'pg_opfamily'::regclass            -- made by CREATE OPERATOR CLASS
  AND NOT coalesce(t.typtype = 'b' AND t.typelem <> 0 AND t.typlen = -1 AND t.typname ^@ '_', false)
  AND NOT coalesce(t.typrelid <> 0 AND (SELECT relkind <> 'c' FROM pg_class WHERE oid = t.typrelid), false)
  AND NOT coalesce(c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend s
        WHERE s.classid = d.classid AND s.objid = c.oid AND s.deptype IN ('a', 'i')), false)
  AND NOT coalesce(c.relispartition, false)
  AND obj_description(d.objid, d.classid::regclass::name) IS NULL
ORDER BY 1
SQL
)
[ -z "$missing" ] || { printf 'no COMMENT ON:\n%s\n' "$missing"; exit 1; }
