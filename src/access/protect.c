/*
 * protect.c: what keeps governed relations governed.
 *
 * Dropping is refused where every drop passes, in the object access hook;
 * weakening by ALTER, where the statement passes. Neither stops a superuser who
 * writes to the system catalogs: hub.posture() shows the result.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "nodes/pg_list.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "access/access.h"
#include "access/govern.h"
#include "access/governed.h"
#include "access/protect.h"
#include "foundation/compat.h"
#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "identity/member.h"

#define EXTENSION_NAME "customer_hub"
#define UNGOVERN_HINT "hub.ungovern() releases a relation; a hub administrator needs an approval for it."

static int	engine_depth = 0;

/* Let the engine work on governed relations */
void
protect_enter_engine(void)
{
	engine_depth++;
}

/* End what protect_enter_engine() began */
void
protect_leave_engine(void)
{
	engine_depth--;
}

/* Protect as usual while code of others runs inside the engine; returns what protect_resume() takes */
int
protect_suspend_engine(void)
{
	int			depth = engine_depth;

	engine_depth = 0;
	return depth;
}

/* End what protect_suspend_engine() began */
void
protect_resume_engine(int depth)
{
	engine_depth = depth;
}

/* Tell whether the engine is at work */
bool
protect_in_engine(void)
{
	return engine_depth > 0;
}

pg_noreturn static void refuse(const char *what, const char *name, Oid relid, const char *hint);

/* Refuse to change what keeps a relation governed */
static void
refuse(const char *what, const char *name, Oid relid, const char *hint)
{
	access_record_attempt(what, relid);
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_PROTECTED_OBJECT),
				 errmsg("cannot %s \"%s\" of governed relation \"%s\"", what, name, get_rel_name(relid)),
				 errhint("%s", hint)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_CH_PROTECTED_OBJECT),
				 errmsg("cannot %s governed relation \"%s\"", what, get_rel_name(relid)),
				 errhint("%s", hint)));
}

/* Is this function one of ours? */
static bool
function_is_ours(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		ours = false;

	if (HeapTupleIsValid(tuple))
	{
		ours = ((Form_pg_proc) GETSTRUCT(tuple))->pronamespace == catalog_schema(true);
		ReleaseSysCache(tuple);
	}
	return ours;
}

/* Is there a trigger of this name on the relation that calls one of our functions? */
static bool
trigger_is_ours(Oid relid, const char *name)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		ours = false;

	ScanKeyInit(&keys[0], Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	ScanKeyInit(&keys[1], Anum_pg_trigger_tgname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum(name));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 2, keys);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		ours = function_is_ours(((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid);
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return ours;
}

/* Refuse to drop a trigger of ours from a governed relation */
static void
check_trigger_drop(Oid trigger)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (governed_is(form->tgrelid) && function_is_ours(form->tgfoid))
			refuse("drop trigger", NameStr(form->tgname), form->tgrelid, UNGOVERN_HINT);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
}

/* Is this the name of a policy that hub.govern() makes? Those of hub.policy_matrix(), and no others */
static bool
policy_is_ours(const char *name)
{
	static const struct
	{
		HubRole		role;
		const char *command;
	}			ours[] = {
		{HUB_ROLE_AGENT, "select"}, {HUB_ROLE_AGENT, "insert"}, {HUB_ROLE_AGENT, "update"},
		{HUB_ROLE_SALES, "select"}, {HUB_ROLE_SALES, "insert"}, {HUB_ROLE_SALES, "update"},
		{HUB_ROLE_MANAGER, "select"}, {HUB_ROLE_MANAGER, "insert"}, {HUB_ROLE_MANAGER, "update"},
		{HUB_ROLE_COMPLIANCE, "select"},
		{HUB_ROLE_CONNECTOR, "insert"},
		{HUB_ROLE_AI_AGENT, "select"}
	};

	for (int i = 0; i < lengthof(ours); i++)
	{
		const char *role_name = role_default_name(ours[i].role);
		size_t		len = strlen(role_name);

		if (strncmp(name, role_name, len) == 0 && name[len] == '_' &&
			strcmp(name + len + 1, ours[i].command) == 0)
			return true;
	}
	return false;
}

/* Refuse to drop a policy of ours from a governed relation */
static void
check_policy_drop(Oid policy)
{
	Relation	policies = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_policy_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(policy));
	scan = systable_beginscan(policies, PolicyOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy form = (Form_pg_policy) GETSTRUCT(tuple);

		if (policy_is_ours(NameStr(form->polname)) && governed_is(form->polrelid))
			refuse("drop policy", NameStr(form->polname), form->polrelid, UNGOVERN_HINT);
	}
	systable_endscan(scan);
	table_close(policies, AccessShareLock);
}

/* Is a column one that policies or the sealing of a governed relation go by? */
static bool
is_key_column(const GovernedRelation *governed, AttrNumber attnum)
{
	return attnum == governed->subject || attnum == governed->region ||
		attnum == governed->line || attnum == governed->team || attnum == governed->owner;
}

/* Refuse to drop a governed relation or a column it needs */
static void
check_drop(Oid class_id, Oid object_id, int sub_id)
{
	const GovernedRelation *governed;

	if (class_id == RelationRelationId && sub_id == 0)
	{
		char		relkind = get_rel_relkind(object_id);

		if ((relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
			governed_is(object_id))
			refuse("drop", NULL, object_id,
				   "Its rows go through erasure or retention; hub.ungovern() releases the relation.");
	}
	else if (class_id == RelationRelationId)
	{
		governed = governed_lookup(object_id);
		if (governed != NULL && is_key_column(governed, sub_id))
			refuse("drop column", get_attname(object_id, sub_id, true), object_id,
				   "Call hub.govern() again without the column first.");
	}
	else if (class_id == TriggerRelationId)
		check_trigger_drop(object_id);
	else if (class_id == PolicyRelationId)
		check_policy_drop(object_id);
}

/* Object access hook */
void
protect_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (access != OAT_DROP || engine_depth > 0 || !catalog_installed())
		return;
	switch (class_id)
	{
		case RelationRelationId:
		case TriggerRelationId:
		case PolicyRelationId:
			check_drop(class_id, object_id, sub_id);
			break;
		default:
			break;
	}
}

/* Resolve a relation that a statement names, if it is there and governed */
static Oid
governed_range_var(RangeVar *range)
{
	Oid			relid;

	if (range == NULL)
		return InvalidOid;
	relid = RangeVarGetRelid(range, NoLock, true);
	return OidIsValid(relid) && governed_is(relid) ? relid : InvalidOid;
}

/* Refuse the forms of ALTER TABLE that would weaken a governed relation */
static void
check_alter_table(AlterTableStmt *statement)
{
	Oid			relid = governed_range_var(statement->relation);
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		/* a relation outside may not take a governed one as a child: its readers would pass the policies by */
		if (command->subtype == AT_AttachPartition && !OidIsValid(relid))
		{
			Oid			child = governed_range_var(castNode(PartitionCmd, command->def)->name);

			if (OidIsValid(child))
				refuse("attach to an ungoverned table", NULL, child,
					   "Govern the partitioned table first, and release the partition with hub.ungovern().");
		}
		if (command->subtype == AT_AddInherit)
		{
			Oid			parent = governed_range_var(castNode(RangeVar, command->def));

			if (OidIsValid(parent) || OidIsValid(relid))
				refuse("use inheritance with", NULL, OidIsValid(relid) ? relid : parent,
					   "Use a partitioned table.");
		}
		if (!OidIsValid(relid))
			continue;

		switch (command->subtype)
		{
			case AT_DisableTrig:
			case AT_EnableTrig:
			case AT_EnableReplicaTrig:
				if (trigger_is_ours(relid, command->name))
					refuse("disable trigger", command->name, relid, UNGOVERN_HINT);
				break;
			case AT_DisableTrigAll:
			case AT_DisableTrigUser:
			case AT_EnableTrigAll:
			case AT_EnableTrigUser:
				refuse("disable triggers of", NULL, relid,
					   "Name the trigger; those of customer_hub stay enabled always.");
				break;
			case AT_AlterColumnType:
				{
					AttrNumber	attnum = get_attnum(relid, command->name);

					if (attnum > 0 && is_key_column(governed_lookup(relid), attnum))
						refuse("change the type of column", command->name, relid,
							   "The rows' data subject, or where they belong, is read from it; hub.ungovern() releases the relation.");
					break;
				}
			case AT_DisableRowSecurity:
			case AT_NoForceRowSecurity:
				refuse("disable row security of", NULL, relid, UNGOVERN_HINT);
				break;
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
				refuse("detach a partition of", NULL, relid,
					   "Its rows go through erasure or retention; hub.ungovern() releases the relation.");
				break;
			default:
				break;
		}
	}
}

/* Refuse triggers that would replace ours or run after the sealing trigger */
static void
check_create_trigger(CreateTrigStmt *statement)
{
	Oid			relid = governed_range_var(statement->relation);

	if (!OidIsValid(relid))
		return;
	if (statement->replace && trigger_is_ours(relid, statement->trigname))
		refuse("replace trigger", statement->trigname, relid, UNGOVERN_HINT);
	if (statement->row && TRIGGER_FOR_BEFORE(statement->timing) &&
		strcmp(statement->trigname, GOVERN_SEAL_TRIGGER) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_PROTECTED_OBJECT),
				 errmsg("trigger \"%s\" would run after the sealing trigger of governed relation \"%s\"",
						statement->trigname, get_rel_name(relid)),
				 errhint("Triggers fire in the order of their names; choose one that sorts before \"%s\".",
						 GOVERN_SEAL_TRIGGER)));
}

/* Refuse policies that would show more rows than ours; ours are there, or come from a dump */
static void
check_create_policy(CreatePolicyStmt *statement)
{
	Oid			relid = governed_range_var(statement->table);

	if (OidIsValid(relid) && statement->permissive && !policy_is_ours(statement->policy_name))
		refuse("create permissive policy", statement->policy_name, relid,
			   "It would show rows that the policies of customer_hub do not. CREATE POLICY ... AS RESTRICTIVE narrows them.");
}

/* Refuse to rename a trigger or policy of ours */
static void
check_rename(RenameStmt *statement)
{
	Oid			relid;

	if (statement->renameType != OBJECT_TRIGGER && statement->renameType != OBJECT_POLICY)
		return;
	relid = governed_range_var(statement->relation);
	if (!OidIsValid(relid))
		return;
	if (statement->renameType == OBJECT_TRIGGER && strcmp(statement->newname, GOVERN_SEAL_TRIGGER) > 0)
		refuse("rename to run after the sealing trigger a trigger", statement->subname, relid,
			   "Triggers fire in the order of their names; choose one that sorts before \"" GOVERN_SEAL_TRIGGER "\".");
	if (statement->renameType == OBJECT_POLICY ? policy_is_ours(statement->subname)
		: trigger_is_ours(relid, statement->subname))
		refuse(statement->renameType == OBJECT_POLICY ? "rename policy" : "rename trigger",
			   statement->subname, relid, UNGOVERN_HINT);
}

/* Refuse rules: they rewrite a statement before triggers and policies see it */
static void
check_create_rule(RuleStmt *statement)
{
	Oid			relid = governed_range_var(statement->relation);

	if (OidIsValid(relid))
		refuse("create rule", statement->rulename, relid, "Use a trigger.");
}

/* Refuse to take objects out of the extension while they are in use */
static void
check_extension_contents(AlterExtensionContentsStmt *statement)
{
	if (statement->action < 0 && strcmp(statement->extname, EXTENSION_NAME) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_PROTECTED_OBJECT),
				 errmsg("cannot take an object out of extension %s while relations are governed by it", EXTENSION_NAME),
				 errhint("hub.governed lists the relations; hub.ungovern() releases one.")));
}

/* Refuse inheritance children of a governed relation that are not partitions */
static void
check_create_table(CreateStmt *statement)
{
	ListCell   *cell;

	if (statement->partbound != NULL)
		return;
	foreach(cell, statement->inhRelations)
	{
		Oid			parent = governed_range_var(lfirst_node(RangeVar, cell));

		if (OidIsValid(parent))
			refuse("inherit from", NULL, parent, "Use a partitioned table.");
	}
}

/*
 * Refuse DROP TABLE and DROP EXTENSION by their names. The hook would name a
 * trigger or policy that goes with them, and of the extension it is asked last,
 * when the registry is gone.
 */
static void
check_drop_statement(DropStmt *statement)
{
	ListCell   *cell;

	if (statement->removeType == OBJECT_EXTENSION)
	{
		foreach(cell, statement->objects)
		{
			if (strcmp(strVal(lfirst(cell)), EXTENSION_NAME) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_CH_PROTECTED_OBJECT),
						 errmsg("cannot drop extension %s while relations are governed by it", EXTENSION_NAME),
						 errhint("hub.governed lists the relations; hub.ungovern() releases one.")));
		}
		return;
	}
	if (statement->removeType != OBJECT_TABLE)
		return;
	foreach(cell, statement->objects)
	{
		Oid			relid = governed_range_var(makeRangeVarFromNameList(lfirst_node(List, cell)));

		if (OidIsValid(relid))
			check_drop(RelationRelationId, relid, 0);
	}
}

/* Look at a utility statement before it runs */
void
protect_before_utility(Node *parsetree)
{
	Oid			relid;

	if (engine_depth > 0)
		return;
	switch (nodeTag(parsetree))
	{
		case T_AlterTableStmt:
			if (catalog_installed() && governed_any())
				check_alter_table((AlterTableStmt *) parsetree);
			break;
		case T_RuleStmt:
			if (catalog_installed() && governed_any())
				check_create_rule((RuleStmt *) parsetree);
			break;
		case T_AlterExtensionContentsStmt:
			if (catalog_installed() && governed_any())
				check_extension_contents((AlterExtensionContentsStmt *) parsetree);
			break;
		case T_CreateTrigStmt:
			if (catalog_installed() && governed_any())
				check_create_trigger((CreateTrigStmt *) parsetree);
			break;
		case T_RenameStmt:
			if (catalog_installed() && governed_any())
				check_rename((RenameStmt *) parsetree);
			break;
		case T_CreateStmt:
			if (catalog_installed() && governed_any())
				check_create_table((CreateStmt *) parsetree);
			break;
		case T_DropStmt:
			if (catalog_installed() && governed_any())
				check_drop_statement((DropStmt *) parsetree);
			break;
		case T_CreatePolicyStmt:
			if (catalog_installed() && governed_any())
				check_create_policy((CreatePolicyStmt *) parsetree);
			break;
		case T_AlterPolicyStmt:
			if (!catalog_installed() || !governed_any())
				break;
			relid = governed_range_var(((AlterPolicyStmt *) parsetree)->table);
			if (OidIsValid(relid) && policy_is_ours(((AlterPolicyStmt *) parsetree)->policy_name))
				refuse("alter policy", ((AlterPolicyStmt *) parsetree)->policy_name, relid, UNGOVERN_HINT);
			break;
		default:
			break;
	}
}

/* Extend governance to a partition that a statement has made */
static void
follow_partition(RangeVar *range)
{
	Oid			relid = governed_range_var(range);

	if (OidIsValid(relid) && get_rel_relispartition(relid))
		govern_partition(relid);
}

/* Look at a utility statement after it ran: new partitions and new column names */
void
protect_after_utility(Node *parsetree)
{
	ListCell   *cell;

	if (engine_depth > 0)
		return;
	/* by now the names are locked: somebody may have renamed relations while the statement waited */
	switch (nodeTag(parsetree))
	{
		case T_AlterTableStmt:
		case T_CreateTrigStmt:
		case T_CreatePolicyStmt:
		case T_AlterPolicyStmt:
		case T_RuleStmt:
			protect_before_utility(parsetree);
			break;
		default:
			break;
	}
	switch (nodeTag(parsetree))
	{
		case T_CreateStmt:
			if (((CreateStmt *) parsetree)->partbound != NULL && catalog_installed() && governed_any())
				follow_partition(((CreateStmt *) parsetree)->relation);
			break;
		case T_AlterTableStmt:
			foreach(cell, ((AlterTableStmt *) parsetree)->cmds)
			{
				AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

				if (command->subtype == AT_AttachPartition && catalog_installed() && governed_any())
					follow_partition(castNode(PartitionCmd, command->def)->name);
			}
			break;
		case T_RenameStmt:
			{
				RenameStmt *statement = (RenameStmt *) parsetree;

				if (statement->renameType == OBJECT_TRIGGER && catalog_installed() && governed_any())
				{
					Oid			relid = governed_range_var(statement->relation);

					if (OidIsValid(relid) && trigger_is_ours(relid, statement->newname))
						refuse("rename trigger", statement->subname, relid, UNGOVERN_HINT);
				}
				if (statement->renameType == OBJECT_COLUMN && catalog_installed() && governed_any())
				{
					Oid			relid = RangeVarGetRelid(statement->relation, NoLock, true);

					if (OidIsValid(relid))
						govern_column_renamed(relid, statement->subname, statement->newname);
				}
				break;
			}
		default:
			break;
	}
}
