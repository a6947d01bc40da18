/*
 * hub.c: _PG_init and hook dispatch. Wiring only: every decision is a room's.
 */
#include "postgres.h"

#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "parser/analyze.h"
#include "tcop/dest.h"
#include "tcop/utility.h"
#include "utils/guc.h"

#include "access/access.h"
#include "access/export_guard.h"
#include "access/export_limit.h"
#include "access/folded_rows.h"
#include "access/governed.h"
#include "access/protect.h"
#include "access/redact.h"
#include "access/region_use.h"
#include "access/role_rights.h"
#include "access/seal.h"
#include "access/unsealed_write.h"
#include "access/side_effects.h"
#include "audit/audit.h"
#include "audit/launcher.h"
#include "audit/reveal.h"
#include "audit/withhold.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/run_scope.h"
#include "foundation/settings.h"
#include "identity/identity.h"
#include "keyring/keyring.h"
#include "types/data_class.h"
#include "privacy/purpose_limit.h"
#include "privacy/replay_fence.h"
#include "types/disclosure.h"
#include "types/encrypted.h"
#include "types/lookup.h"
#include "types/side_channels.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type next_shmem_request_hook = NULL;
static shmem_startup_hook_type next_shmem_startup_hook = NULL;
static ExecutorStart_hook_type next_executor_start_hook = NULL;
static ExecutorRun_hook_type next_executor_run_hook = NULL;
static ExecutorFinish_hook_type next_executor_finish_hook = NULL;
static ExecutorEnd_hook_type next_executor_end_hook = NULL;
static ProcessUtility_hook_type next_process_utility_hook = NULL;
static ExecutorCheckPerms_hook_type next_executor_check_perms_hook = NULL;
static object_access_hook_type next_object_access_hook = NULL;
static emit_log_hook_type next_emit_log_hook = NULL;
static post_parse_analyze_hook_type next_post_parse_analyze_hook = NULL;
static get_relation_info_hook_type next_get_relation_info_hook = NULL;

static void
hub_shmem_request(void)
{
	if (next_shmem_request_hook)
		next_shmem_request_hook();
	RequestAddinShmemSpace(keyring_shmem_size());
	RequestAddinShmemSpace(export_limit_shmem_size());
	RequestAddinShmemSpace(audit_shmem_size());
}

static void
hub_shmem_startup(void)
{
	if (next_shmem_startup_hook)
		next_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	keyring_shmem_startup();
	export_limit_shmem_startup();
	audit_shmem_startup();
	LWLockRelease(AddinShmemInitLock);
}

/* Before those that count statements */
static void
hub_post_parse_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	redact_hide_from_statistics(pstate->p_sourcetext, query);
	if (next_post_parse_analyze_hook)
		next_post_parse_analyze_hook(pstate, query, jstate);
}

static void
hub_executor_start(QueryDesc *query_desc, int eflags)
{
	const Identity *identity = identity_check_expiry();

	export_guard_executor_start(query_desc, eflags, identity);
	if (identity_held && run_scope.depth == 0)
	{
		query_desc->sourceText = redact_statement(query_desc->sourceText);
		redact_activity();
	}
	if (next_executor_start_hook)
		next_executor_start_hook(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
	if (query_desc->operation != CMD_SELECT)
		seal_leave_out(query_desc);
	if (identity != NULL)
		folded_rows_watch(query_desc, eflags, identity);
}

/* Are the rows of this run sent to the client, and is reading all that it does? */
static inline bool
query_sends_rows(QueryDesc *query_desc)
{
	return run_scope.depth == 1 &&
		query_desc->operation == CMD_SELECT &&
		!query_desc->plannedstmt->hasModifyingCTE &&
		(query_desc->dest->mydest == DestRemote ||
		 query_desc->dest->mydest == DestRemoteExecute);
}

/*
 * Do the expressions of the query keep what they get to themselves, and its errors?
 * Looked up once for a run.
 */
static bool
hub_allows_expression(void)
{
	RunScope   *scope = &run_scope;

	if (scope->sending_query == NULL)
		return true;
	if (!scope->catches_errors)
		return false;
	if (scope->side_effects == SIDE_EFFECTS_UNKNOWN)
		scope->side_effects = side_effects_of_query(scope->sending_query) ? SIDE_EFFECTS_SOME : SIDE_EFFECTS_NONE;
	return scope->side_effects == SIDE_EFFECTS_NONE;
}

/* Run a query */
static inline void
run_query(COMPAT_EXECUTOR_RUN_PARAMETERS)
{
	if (next_executor_run_hook)
		next_executor_run_hook(COMPAT_EXECUTOR_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(COMPAT_EXECUTOR_RUN_ARGUMENTS);
}

/* Run a query whose expressions may get plaintext: its errors must not quote it */
static void
run_catching_errors(COMPAT_EXECUTOR_RUN_PARAMETERS)
{
	MemoryContext memory = CurrentMemoryContext;

	run_scope.catches_errors = true;
	PG_TRY();
	{
		run_query(COMPAT_EXECUTOR_RUN_ARGUMENTS);
	}
	PG_CATCH();
	{
		if (run_scope.in_expression)
			redact_rethrow(memory);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
hub_executor_run(COMPAT_EXECUTOR_RUN_PARAMETERS)
{
	RunScope	saved = run_scope;

	run_scope.depth++;
	run_scope.query = query_desc;
	run_scope.utility = NULL;
	run_scope.to_client = query_sends_rows(query_desc);
	run_scope.sending = false;
	if (run_scope.depth == 1)
	{
		run_scope.sending_query = query_desc;
		run_scope.side_effects = SIDE_EFFECTS_UNKNOWN;
		run_scope.catches_errors = false;
		run_scope.in_expression = false;
		if (identity_held)
			redact_activity();
	}
	if (likely(!identity_held) || !identity_present())
		run_query(COMPAT_EXECUTOR_RUN_ARGUMENTS);
	else
	{
		export_guard_begin_run(query_desc);
		if (run_scope.to_client)
			run_catching_errors(COMPAT_EXECUTOR_RUN_ARGUMENTS);
		else
			run_query(COMPAT_EXECUTOR_RUN_ARGUMENTS);
		export_guard_count_run(query_desc);
		if (run_scope.depth == 1)
			withhold_end();
	}
	run_scope = saved;
}

/* AFTER triggers run here: nothing they print is on its way to the client */
static void
hub_executor_finish(QueryDesc *query_desc)
{
	bool		saved_to_client = run_scope.to_client;

	if (identity_held && run_scope.depth == 0)
		redact_activity();
	run_scope.depth++;
	run_scope.to_client = false;
	if (next_executor_finish_hook)
		next_executor_finish_hook(query_desc);
	else
		standard_ExecutorFinish(query_desc);
	audit_statement_end();
	run_scope.depth--;
	run_scope.to_client = saved_to_client;
}

static void
hub_executor_end(QueryDesc *query_desc)
{
	export_guard_executor_end(query_desc);
	if (next_executor_end_hook)
		next_executor_end_hook(query_desc);
	else
		standard_ExecutorEnd(query_desc);
}

static void
hub_process_utility(PlannedStmt *pstmt, const char *query_string, bool read_only_tree,
					ProcessUtilityContext context, ParamListInfo params,
					QueryEnvironment *query_env, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *parsetree = pstmt->utilityStmt;
	MemoryContext memory = CurrentMemoryContext;
	bool		copies_in = side_channels_copies_in(parsetree);
	volatile bool failed = true;
	RunScope	saved = run_scope;
	RunScope	outer;

	export_guard_before_utility(parsetree);
	run_scope.to_client = false;
	run_scope.query = NULL;
	run_scope.utility = parsetree;
	run_scope_enter_utility(&outer);
	PG_TRY();
	{
		protect_before_utility(parsetree);
		side_channels_before_utility(parsetree);
		audit_before_utility(parsetree);
		launcher_before_utility(parsetree);
		query_string = redact_statement(query_string);
		redact_activity();
		if (next_process_utility_hook)
			next_process_utility_hook(pstmt, query_string, read_only_tree, context,
									  params, query_env, dest, qc);
		else
			standard_ProcessUtility(pstmt, query_string, read_only_tree, context,
									params, query_env, dest, qc);
		protect_after_utility(parsetree);
		audit_statement_end();
		failed = false;
	}
	PG_FINALLY();
	{
		audit_after_utility(parsetree);
		run_scope_leave_utility(&saved, &outer);
		if (failed && copies_in)
			side_channels_rethrow_copy_error(parsetree, memory);
	}
	PG_END_TRY();
}

/* An object is about to be dropped */
static pg_noinline void
check_drop(Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_object_access_hook)
		next_object_access_hook(OAT_DROP, class_id, object_id, sub_id, arg);
	protect_object_access(OAT_DROP, class_id, object_id, sub_id, arg);
	audit_object_access(OAT_DROP, class_id, object_id, sub_id, arg);
}

static void
hub_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (access == OAT_DROP)
		check_drop(class_id, object_id, sub_id, arg);
	else
	{
		if (next_object_access_hook)
			next_object_access_hook(access, class_id, object_id, sub_id, arg);
		if (access == OAT_FUNCTION_EXECUTE)
			role_rights_check_function(object_id);
	}
}

static bool
hub_check_permissions(COMPAT_CHECK_PERMISSIONS_PARAMETERS)
{
	ListCell   *cell;

	foreach(cell, COMPAT_CHECK_PERMISSIONS_LIST)
	{
		CompatPermission *permission = lfirst_node(CompatPermission, cell);

		/* what a view reads, its owner reads */
		if (permission->requiredPerms != 0 && OidIsValid(permission->relid) && !OidIsValid(permission->checkAsUser))
			role_rights_check_relation(permission->relid, permission->requiredPerms);
	}
	return next_executor_check_perms_hook == NULL ||
		next_executor_check_perms_hook(COMPAT_CHECK_PERMISSIONS_ARGUMENTS);
}

static void
hub_get_relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *relation)
{
	if (next_get_relation_info_hook)
		next_get_relation_info_hook(root, relid, inhparent, relation);
	lookup_relation_planned(root, relation);
}

/* An attempt to authenticate is on record even though a refused one ends in an error */
static void
hub_audit_authentication(const char *details)
{
	audit_record_surviving(AUDIT_AUTHENTICATION, NULL, details);
}

static void
hub_emit_log(ErrorData *edata)
{
	if (!redact_log(edata) && next_emit_log_hook)
		next_emit_log_hook(edata);
}

static void
hub_record_denied(const char *details)
{
	audit_record_surviving(AUDIT_DENIED, NULL, details);
}

static void
hub_record_export(const char *details)
{
	audit_record_surviving(AUDIT_EXPORT, NULL, details);
}

/* Put our hooks in front of those that are there, and give each room its start */
void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("customer_hub must be loaded through shared_preload_libraries"),
				 errhint("Add customer_hub to shared_preload_libraries in postgresql.conf and restart the server.")));

	settings_init();
	catalog_init();
	run_scope_init();
	keyring_init();
	data_class_init();
	identity_init();
	disclosure_init();
	encrypted_init();
	encrypted_refuses_printed = unsealed_write_refuses_mask;
	governed_init();
	export_guard_init();
	export_limit_init();
	access_record_denied = hub_record_denied;
	access_record_export = hub_record_export;
	region_use_init();
	audit_init();
	reveal_init();
	launcher_init();

	purpose_limit_init();

	disclosure_rule.decide = replay_fence_decide;
	disclosure_rule.standing = identity_answer;
	disclosure_rule.limit = purpose_limit_disclosure;
	disclosure_rule.record = audit_record_reveal;
	disclosure_rule.count = export_guard_count_shown;
	disclosure_rule.allows_expression = hub_allows_expression;
	identity_audit_authentication = hub_audit_authentication;

	next_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = hub_shmem_request;
	next_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = hub_shmem_startup;
	next_executor_start_hook = ExecutorStart_hook;
	ExecutorStart_hook = hub_executor_start;
	next_executor_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = hub_executor_run;
	next_executor_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = hub_executor_finish;
	next_executor_end_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = hub_executor_end;
	next_process_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = hub_process_utility;
	next_executor_check_perms_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = hub_check_permissions;
	next_object_access_hook = object_access_hook;
	object_access_hook = hub_object_access;
	next_post_parse_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = hub_post_parse_analyze;
	next_emit_log_hook = emit_log_hook;
	emit_log_hook = hub_emit_log;
	next_get_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = hub_get_relation_info;
}
