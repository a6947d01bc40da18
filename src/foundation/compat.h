/*
 * compat.h: the one home of differences between PostgreSQL major versions.
 *
 * Each macro names the upstream commit or release that made it necessary.
 */
#ifndef CUSTOMER_HUB_COMPAT_H
#define CUSTOMER_HUB_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "customer_hub needs PostgreSQL 15 or later"
#endif

#define PG16_GE (PG_VERSION_NUM >= 160000)
#define PG17_GE (PG_VERSION_NUM >= 170000)
#define PG18_GE (PG_VERSION_NUM >= 180000)

/* PG 16 moved the varlena macros out of postgres.h (upstream d952373a98). */
#if PG16_GE
#include "varatt.h"
#endif

/*
 * PG 17 put the virtual transaction id of a PGPROC into a struct of its own
 * (upstream ab355e3a88).
 */
#if PG17_GE
#define compat_proc_lxid(proc) ((proc)->vxid.lxid)
#else
#define compat_proc_lxid(proc) ((proc)->lxid)
#endif

/*
 * PG 17 numbers backends by their PGPROC, from 0, where they had an id of their own,
 * from 1 (upstream 024c521117). Of a backend either is below MaxBackends.
 */
#if PG17_GE
#define compat_backend_number() MyProcNumber
#else
#define compat_backend_number() (MyBackendId - 1)
#endif

/*
 * PG 18 took the parameter execute_once from ExecutorRun and its hook (upstream
 * 3eea7a0c97).
 */
#if PG18_GE
#define COMPAT_EXECUTOR_RUN_PARAMETERS \
	QueryDesc *query_desc, ScanDirection direction, uint64 count
#define COMPAT_EXECUTOR_RUN_ARGUMENTS query_desc, direction, count
#else
#define COMPAT_EXECUTOR_RUN_PARAMETERS \
	QueryDesc *query_desc, ScanDirection direction, uint64 count, bool execute_once
#define COMPAT_EXECUTOR_RUN_ARGUMENTS query_desc, direction, count, execute_once
#endif

/*
 * PG 16 took what rights a statement needs out of its range table (upstream
 * a61b1f7482).
 */
#if PG16_GE
#define COMPAT_CHECK_PERMISSIONS_PARAMETERS \
	List *range_table, List *permissions, bool raise_error
#define COMPAT_CHECK_PERMISSIONS_ARGUMENTS range_table, permissions, raise_error
#define COMPAT_CHECK_PERMISSIONS_LIST permissions
#define CompatPermission RTEPermissionInfo
#else
#define COMPAT_CHECK_PERMISSIONS_PARAMETERS List *range_table, bool raise_error
#define COMPAT_CHECK_PERMISSIONS_ARGUMENTS range_table, raise_error
#define COMPAT_CHECK_PERMISSIONS_LIST range_table
#define CompatPermission RangeTblEntry
#endif

/*
 * PG 16 let input functions report bad text without raising (upstream
 * d9f7f5d32f). Before that the same statement raises.
 */
#if PG16_GE
#include "nodes/miscnodes.h"
#else
#define ereturn(escontext, dummy_value, ...) \
	do { \
		(void) (escontext); \
		ereport(ERROR, __VA_ARGS__); \
		return dummy_value; \
	} while (0)
#endif

/*
 * PG 16 replaced the ownership checks of each kind of object by one (upstream
 * afbfc02983).
 */
#if PG16_GE
#define compat_database_owned(database, role) \
	object_ownercheck(DatabaseRelationId, (database), (role))
#else
#define compat_database_owned(database, role) pg_database_ownercheck((database), (role))
#endif

/*
 * PG 16 replaced the ownership checks of each kind of object by one (upstream
 * afbfc02983).
 */
#if PG16_GE
#define compat_owns_relation(relid, role) object_ownercheck(RelationRelationId, relid, role)
#else
#define compat_owns_relation(relid, role) pg_class_ownercheck(relid, role)
#endif

/*
 * PG 16 made the allocator of GUC values an interface (upstream 407b50f2d4);
 * before, GUC values and their extra were plain malloc() memory.
 */
#if PG16_GE
#define compat_guc_malloc(size) guc_malloc(LOG, (size))
#else
#define compat_guc_malloc(size) malloc(size)
#endif

/*
 * PG 16 made the right to SET ROLE an option of a membership (upstream
 * 3d14e171e9).
 */
#if PG16_GE
#define compat_may_set_role(member, role) member_can_set_role((member), (role))
#else
#define compat_may_set_role(member, role) is_member_of_role((member), (role))
#endif

/*
 * PG 18 replaced pg_attribute_noreturn() by a specifier that stands first (upstream
 * 28e7a99690).
 */
#if !PG18_GE
#define pg_noreturn pg_attribute_noreturn()
#endif

/*
 * PG 18 gave index_beginscan a place to count searches for EXPLAIN (upstream
 * 0fbceae841).
 */
#if PG18_GE
#define compat_index_beginscan(heap, index, snapshot, keys, orderbys) \
	index_beginscan(heap, index, snapshot, NULL, keys, orderbys)
#else
#define compat_index_beginscan(heap, index, snapshot, keys, orderbys) \
	index_beginscan(heap, index, snapshot, keys, orderbys)
#endif

/*
 * PG 18 told vacuum_delay_point whether it is ANALYZE that waits (upstream
 * bb8dff9995).
 */
#if PG18_GE
#define compat_analyze_delay_point() vacuum_delay_point(true)
#else
#define compat_analyze_delay_point() vacuum_delay_point()
#endif

/*
 * PG 17 made the statistics target nullable and moved it out of the tuple
 * descriptor (upstream 012460ee93).
 */
#if PG17_GE
#define compat_statistics_target(stats) ((stats)->attstattarget)
#else
#define compat_statistics_target(stats) ((stats)->attr->attstattarget)
#endif

/*
 * PG 16 made parseTypeString report an unknown type softly instead of by
 * missing_ok (upstream "Convert the reg* input functions to report (most)
 * errors softly"). On failure *type is left as it was.
 */
#if PG16_GE
#define compat_parse_type_string(name, type, typmod) \
	do { \
		ErrorSaveContext soft = {T_ErrorSaveContext}; \
		(void) parseTypeString(name, type, typmod, (Node *) &soft); \
	} while (0)
#else
#define compat_parse_type_string(name, type, typmod) \
	parseTypeString(name, type, typmod, true)
#endif

/* PG 17 gave pg_logical_emit_message a parameter more (upstream 173b56f1ef). */
#if PG17_GE
#define COMPAT_F_EMIT_MESSAGE_TEXT F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_TEXT_BOOL
#define COMPAT_F_EMIT_MESSAGE_BYTEA F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_BYTEA_BOOL
#else
#define COMPAT_F_EMIT_MESSAGE_TEXT F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_TEXT
#define COMPAT_F_EMIT_MESSAGE_BYTEA F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_BYTEA
#endif

/*
 * PG 17 lets an index access method keep state between inserts, to be released
 * after the last (upstream c1ec02be1d).
 */
#if PG17_GE
#define compat_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define compat_index_insert_cleanup(index, info) ((void) 0)
#endif

/* PG 16 let ranges be made with soft errors (upstream d9f7f5d32f). */
#if PG16_GE
#define compat_make_range(typcache, lower, upper) make_range(typcache, lower, upper, false, NULL)
#else
#define compat_make_range(typcache, lower, upper) make_range(typcache, lower, upper, false)
#endif

#endif							/* CUSTOMER_HUB_COMPAT_H */
