-- Prints docs/reference.md from the catalog of a database in which the extension
-- was just created, and schema crm not yet:
--
--   sh test/run.sh exec psql -XAtq -f docs/generate_reference.sql >docs/reference.md
--
-- Nothing of the server may show in it: test/lint/live_reference.sh compares the
-- page with what each supported version of PostgreSQL gives.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT hub.create_hub() \g /dev/null
SET LOCAL search_path = pg_catalog;
SET LOCAL TimeZone = 'UTC';
SET LOCAL DateStyle = 'ISO';
SET LOCAL IntervalStyle = 'postgres';

-- Objects of the extension
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid, pg_catalog.obj_description(d.objid, (SELECT relname FROM pg_catalog.pg_class WHERE oid = d.classid)) AS comment
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'customer_hub'
WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e';

-- Who but the owner may do what: PUBLIC and hub roles
CREATE FUNCTION pg_temp.who(acl aclitem[], wanted text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(grantee, ', ' ORDER BY grantee <> 'PUBLIC', grantee COLLATE "C")
	FROM (
		SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee)::text END AS grantee
		FROM aclexplode(acl) a
		WHERE a.privilege_type = wanted AND (a.grantee = 0 OR pg_get_userbyid(a.grantee) ^@ 'hub_')) g
$$;

-- Text within a cell of a Markdown table
CREATE FUNCTION pg_temp.cell(content text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(coalesce(content, ''), '|', '\|'), E'\n', ' ')
$$;

-- Functions that are there for something else, and what it is
CREATE TEMP VIEW part AS
SELECT p.oid, CASE
	WHEN p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) THEN 'triggers'
	WHEN EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typanalyze)) THEN 'types'
	WHEN EXISTS (SELECT FROM pg_cast c WHERE c.castfunc = p.oid) THEN 'casts'
	WHEN EXISTS (SELECT FROM pg_operator o WHERE p.oid IN (o.oprcode, o.oprrest, o.oprjoin)) THEN 'operators'
	WHEN EXISTS (SELECT FROM pg_amproc a WHERE a.amproc = p.oid) THEN 'operator classes'
	WHEN EXISTS (SELECT FROM pg_proc s WHERE s.prosupport = p.oid) THEN 'the planner'
	END AS purpose
FROM pg_proc p;

-- Every routine that is called by name
CREATE TEMP VIEW routine AS
SELECT p.proname::text COLLATE "C" AS name, p.prokind, m.comment,
	pg_get_function_identity_arguments(p.oid) COLLATE "C" AS identity,
	format('hub.%s(%s)', p.proname, pg_get_function_arguments(p.oid))
		|| CASE p.prokind WHEN 'p' THEN '' ELSE ' returns ' || pg_get_function_result(p.oid) END AS signature,
	pg_temp.who(p.proacl, 'EXECUTE') AS caller
FROM member m
JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
JOIN part ON part.oid = p.oid
WHERE part.purpose IS NULL;

-- Tables and views; a partition is no table of its own
CREATE TEMP VIEW relation AS
SELECT c.oid, n.nspname::text COLLATE "C" AS schema, c.relname::text COLLATE "C" AS name, c.relkind,
	obj_description(c.oid, 'pg_class') AS comment, pg_temp.who(c.relacl, 'SELECT') AS reader,
	pg_temp.who(c.relacl, 'INSERT') AS inserter, pg_temp.who(c.relacl, 'UPDATE') AS updater
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('hub', 'crm')
WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition;

-- One relation: comment, who, columns
CREATE FUNCTION pg_temp.relation_text(r relation) RETURNS text LANGUAGE sql AS $$
	SELECT format(E'### %s.%s\n\n%s\n\n', (r).schema, (r).name, coalesce((r).comment, ''))
		|| concat('Read by ', coalesce((r).reader, 'nobody but the owner'),
			'; inserted by ' || (r).inserter, '; updated by ' || (r).updater, E'.\n\n')
		|| E'| column | type | |\n|---|---|---|\n'
		|| (SELECT string_agg(format('| `%s` | `%s` | %s |', attname, pg_temp.cell(format_type(atttypid, atttypmod)),
				pg_temp.cell(col_description(attrelid, attnum))), E'\n' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = (r).oid AND attnum > 0 AND NOT attisdropped)
		|| E'\n'
$$;

\qecho '# Reference'
\qecho
\qecho 'Every type, view, table, function and procedure of the extension, with what its comment says and who may use it. *The owner* is'
\qecho 'the owner of the extension, so superusers only. A right to call is not all: most functions also ask for an identity, a role that acts for'
\qecho 'a member, or an approval, and say so when it is missing ([errors.md](errors.md)). This page is generated from the catalog by'
\qecho '[generate_reference.sql](generate_reference.sql) and compared with it by `test/lint/live_reference.sh`.'
\qecho
\qecho '[Types](#types) · [Functions](#functions) · [Procedures](#procedures) · [Views and tables](#views-and-tables) ·'
\qecho '[Tables of the engine](#tables-of-the-engine) · [Schema crm](#schema-crm) · [Operators](#operators) · [Casts](#casts) · [Parts](#parts)'
\qecho
\qecho '## Types'
\qecho
\qecho '| type | | |'
\qecho '|---|---|---|'
SELECT format('| `hub.%s` | %s | %s |', t.typname,
	CASE t.typtype WHEN 'e' THEN (SELECT string_agg(enumlabel, ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
		WHEN 'c' THEN (SELECT string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum)
			FROM pg_attribute WHERE attrelid = t.typrelid AND attnum > 0)
		WHEN 'd' THEN 'domain over ' || format_type(t.typbasetype, t.typtypmod)
		ELSE CASE WHEN t.typlen > 0 THEN t.typlen || ' bytes' ELSE 'variable length' END END,
	pg_temp.cell(m.comment))
FROM member m
JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
WHERE t.typelem = 0 AND (t.typrelid = 0 OR (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')
ORDER BY t.typname::text COLLATE "C";

\qecho
\qecho '## Functions'
SELECT format(E'\n### hub.%s\n\n```\n%s\n```\n\n%s', name, string_agg(signature, E'\n' ORDER BY identity),
	string_agg(DISTINCT format('%s. Called by %s.', rtrim(comment, '.'), coalesce(caller, 'the owner')) COLLATE "C", E'\n\n'))
FROM routine WHERE prokind <> 'p' GROUP BY name ORDER BY name;

\qecho
\qecho '## Procedures'
SELECT format(E'\n### hub.%s\n\n```\n%s\n```\n\n%s', name, string_agg(signature, E'\n' ORDER BY identity),
	string_agg(DISTINCT format('%s. Called by %s.', rtrim(comment, '.'), coalesce(caller, 'the owner')) COLLATE "C", E'\n\n'))
FROM routine WHERE prokind = 'p' GROUP BY name ORDER BY name;

\qecho
\qecho '## Views and tables'
\qecho
\qecho 'Those that roles may read.'
\qecho
SELECT pg_temp.relation_text(r) FROM relation r WHERE schema = 'hub' AND reader IS NOT NULL ORDER BY name;

\qecho '## Tables of the engine'
\qecho
\qecho 'Nobody but the owner reads or writes them; functions do.'
\qecho
\qecho '| table or view | |'
\qecho '|---|---|'
SELECT format('| `hub.%s` | %s |', name, pg_temp.cell(comment)) FROM relation WHERE schema = 'hub' AND reader IS NULL ORDER BY name;

\qecho
\qecho '## Schema crm'
\qecho
\qecho 'Made by `hub.create_hub()`, owned by who called it, no part of the extension. Row security decides which rows a role has.'
\qecho
SELECT pg_temp.relation_text(r) FROM relation r WHERE schema = 'crm' ORDER BY name;

\qecho '## Operators'
\qecho
\qecho 'They stand in `pg_catalog`, so that they are found whatever the `search_path`.'
\qecho
\qecho '| operator | |'
\qecho '|---|---|'
SELECT format('| `%s` | %s |', pg_temp.cell(concat_ws(' ', CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END, o.oprname, format_type(o.oprright, NULL))),
	pg_temp.cell(m.comment))
FROM member m
JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
ORDER BY format_type(o.oprleft, NULL) COLLATE "C", format_type(o.oprright, NULL) COLLATE "C", o.oprname::text COLLATE "C";

\qecho
\qecho '## Casts'
\qecho
\qecho '| from | to | happens | |'
\qecho '|---|---|---|---|'
SELECT format('| `%s` | `%s` | %s | %s |', format_type(c.castsource, NULL), format_type(c.casttarget, NULL),
	CASE c.castcontext WHEN 'e' THEN 'when written' WHEN 'a' THEN 'on assignment' ELSE 'by itself' END, pg_temp.cell(m.comment))
FROM member m
JOIN pg_cast c ON m.classid = 'pg_cast'::regclass AND c.oid = m.objid
ORDER BY format_type(c.castsource, NULL) COLLATE "C", format_type(c.casttarget, NULL) COLLATE "C";

\qecho
\qecho '## Parts'
\qecho
\qecho 'Functions that nobody calls by name, by what uses them.'
SELECT format(E'\n- **%s**: %s', part.purpose, string_agg(DISTINCT format('`%s`', p.proname) COLLATE "C", ', '))
FROM member m
JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
JOIN part ON part.oid = p.oid
WHERE part.purpose IS NOT NULL
GROUP BY part.purpose ORDER BY part.purpose COLLATE "C";
ROLLBACK;
