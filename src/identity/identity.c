/*
 * identity.c: who is asking, in this transaction.
 *
 * A token's identity, else that of the login if it is a member's own. Both are
 * held against hub.member each time, whose current row is cached.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "identity/carrier.h"
#include "identity/clearance.h"
#include "identity/identity.h"
#include "identity/member.h"
#include "identity/purpose.h"

PG_FUNCTION_INFO_V1(hub_whoami);
PG_FUNCTION_INFO_V1(hub_require_admin);
PG_FUNCTION_INFO_V1(hub_sees_configuration);

/* Identity of a direct login: it is a few words */
static Identity login_identity;

/*
 * Whether the login was a member's own when last looked at. Unlike the cache it
 * is never emptied, so that error paths, which may read no catalog, can ask.
 */
Oid			identity_known_login = InvalidOid;
bool		identity_known_login_is_member = false;

uint64		identity_known_login_at = 0;

/* The transaction in which it was looked at */
static LocalTransactionId known_login_lxid = InvalidLocalTransactionId;

bool		identity_held = false;

static const IdentityScope empty_scope;

uint64		identity_changes = 1;

/*
 * The last answer, and all that it depends on. Row policies ask for each row.
 */
static struct
{
	uint64		changes;
	LocalTransactionId lxid;
	Oid			user;
	Oid			session_user;
	TimestampTz statement;		/* for the expiry, which is a matter of statements */
	const Identity *identity;
	const IdentityScope *scope;
	const Purpose *purpose;
	bool		breaks_glass;
	TimestampTz break_glass_until;
	uint64		number;			/* how often it was worked out */
}			effective;

/* Extra clearance that ended before this has ended, whenever the statement began */
static TimestampTz break_glass_clock = DT_NOBEGIN;

/* Start the room; called once from _PG_init */
void
identity_init(void)
{
	member_init();
	clearance_init();
	purpose_init();
	carrier_init();
}

/* Return the identity of a login that is a member's own, or NULL */
static const Identity *
identity_of_login(void)
{
	Oid			login = GetSessionUserId();
	uint64		before = identity_changes;
	const Member *member;

	if (identity_known_login_at == before && identity_known_login == login)
		return identity_known_login_is_member ? &login_identity : NULL;

	/* who becomes a member does so between transactions: queries have begun without guards */
	if (identity_known_login == login && !identity_known_login_is_member &&
		known_login_lxid == compat_proc_lxid(MyProc))
		return NULL;

	member = catalog_installed() ? member_of_login(login) : NULL;
	identity_known_login = login;
	identity_known_login_is_member = member != NULL && member->active;
	/* while the extension is being installed, nothing tells when it is there */
	identity_known_login_at = catalog_installed() || !OidIsValid(catalog_schema(true)) ? before : 0;
	known_login_lxid = compat_proc_lxid(MyProc);
	if (!identity_known_login_is_member)
		return NULL;
	identity_held = true;
	login_identity.member_id = member->member_id;
	login_identity.role = member->role;
	login_identity.base_role = member->base_role;
	login_identity.by_token = false;
	login_identity.expires_at = DT_NOEND;
	return &login_identity;
}

/* Is the member still there, active and in the role that the identity has? */
static bool
identity_holds(const Identity *identity)
{
	const Member *member = member_by_id(identity->member_id);

	return member != NULL && member->active && OidIsValid(member->role) &&
		member->role == identity->role;
}

/* Raise the error for an identity whose time is over */
static void
raise_expired(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CH_IDENTITY_EXPIRED),
			 errmsg("the identity of this transaction has expired"),
			 errhint("Roll back and authenticate with a new token.")));
}

/* Return the identity of this transaction, or NULL */
const Identity *
identity_current(void)
{
	const Identity *identity;

	if (!IsTransactionState())
		return NULL;
	identity = carrier_identity();
	if (identity == NULL)
		return identity_of_login();

	/* no clock is read here, where row policies call; see identity_check_expiry() */
	if (identity->expires_at <= GetCurrentStatementStartTimestamp())
		raise_expired();
	return identity_holds(identity) ? identity : NULL;
}

/*
 * Tell whether there is an identity, in any state of the session.
 *
 * Until a login has been looked at, that of a superuser is taken for nobody's
 * and any other for a member's own.
 */
bool
identity_look_present(void)
{
	if (carrier_identity() != NULL)
		return true;
	if (!OidIsValid(MyDatabaseId) || MyProc == NULL)
		return false;
	if (identity_known_login == GetSessionUserId())
		return identity_known_login_is_member;
	return !GetSessionUserIsSuperuser();
}

/* Work out the identity that row policies go by, and its scope */
static void
find_effective(void)
{
	const Identity *identity;
	const Member *member;

	/* what changes while we look makes the answer old at once */
	effective.number++;
	effective.changes = identity_changes;
	effective.lxid = InvalidLocalTransactionId;
	effective.identity = NULL;
	effective.scope = &empty_scope;
	effective.breaks_glass = false;
	effective.purpose = NULL;
	effective.user = GetUserId();
	effective.session_user = GetSessionUserId();
	effective.statement = GetCurrentStatementStartTimestamp();

	identity = identity_current();
	if (identity != NULL &&
		(effective.user == identity->role ||
		 (!identity->by_token && effective.user == effective.session_user)))
	{
		member = member_by_id(identity->member_id);
		if (member != NULL)
		{
			effective.scope = &member->scope;
			effective.break_glass_until = member->break_glass_until;
			effective.breaks_glass = member->break_glass_until >
				Max(effective.statement, break_glass_clock);
		}
		effective.purpose = purpose_find(identity->purpose, identity->role, identity->base_role);
		effective.identity = identity;
	}
	effective.lxid = compat_proc_lxid(MyProc);
}

/* Is the last answer still good? */
static inline bool
effective_holds(void)
{
	return effective.changes == identity_changes &&
		effective.lxid == compat_proc_lxid(MyProc) &&
		effective.lxid != InvalidLocalTransactionId &&
		effective.user == GetUserId() &&
		effective.session_user == GetSessionUserId() &&
		effective.statement == GetCurrentStatementStartTimestamp();
}

/* Return the identity if the current user is the one it stands for */
const Identity *
identity_effective(void)
{
	if (!effective_holds())
		find_effective();
	return effective.identity;
}

/* Return what the purpose of the effective identity allows, or NULL */
const Purpose *
identity_purpose(void)
{
	if (!effective_holds())
		find_effective();
	return effective.purpose;
}

/* Tell whether the effective identity has extra clearance now */
bool
identity_breaks_glass(void)
{
	if (!effective_holds())
		find_effective();
	return effective.breaks_glass;
}

/* Return the number of the current answer: while it stays, so does all that identity is */
uint64
identity_answer(void)
{
	if (!effective_holds())
		find_effective();
	return effective.number;
}

/* Return whom the audit names for this transaction */
const Identity *
identity_of_record(void)
{
	const Identity *identity = authenticated_identity();

	if (identity != NULL)
		return identity;
	return IsTransactionState() ? identity_of_login() : NULL;
}

/* Return what the effective identity may see; nothing when there is none */
const IdentityScope *
identity_scope(void)
{
	if (!effective_holds())
		find_effective();
	return effective.scope;
}

/* Refuse to start a statement under an identity that is over; returns the one that there is */
const Identity *
identity_look_at(void)
{
	const Identity *identity = identity_carried ? carrier_identity() : NULL;

	if (identity != NULL && identity->expires_at <= GetCurrentTimestamp())
		raise_expired();

	/* a statement may run for long, and run others within it */
	if (effective.breaks_glass)
	{
		break_glass_clock = GetCurrentTimestamp();
		effective.breaks_glass = effective.break_glass_until > break_glass_clock;
		effective.number++;
	}

	/* relations locked earlier in the transaction would not make us look */
	AcceptInvalidationMessages();
	if (identity == NULL)
		return identity_of_login();	/* identity_present() is to know */
	if (!identity_holds(identity))
		ereport(ERROR,
				(errcode(ERRCODE_CH_IDENTITY_EXPIRED),
				 errmsg("the identity of this transaction is no longer valid"),
				 errdetail("The member was deactivated or given another role."),
				 errhint("Roll back and authenticate again.")));
	return identity;
}

/* Refuse those who may not change the configuration */
void
identity_require_admin(const char *action)
{
	const Identity *identity = identity_current();

	/* in a SECURITY DEFINER function the outer user is who called */
	if (identity == NULL)
	{
		if (superuser_arg(GetOuterUserId()))
			return;
	}
	else if (identity->base_role == HUB_ROLE_ADMIN &&
			 (GetOuterUserId() == identity->role ||
			  (!identity->by_token && GetOuterUserId() == GetSessionUserId())))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CH_NOT_PERMITTED),
			 errmsg("permission denied to %s", action),
			 errhint("Only a superuser, or a member whose role is hub_admin or was made like it, may do this.")));
}

/* hub.require_admin(action text) returns void */
Datum
hub_require_admin(PG_FUNCTION_ARGS)
{
	identity_require_admin(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

/* hub.sees_configuration() returns bool */
Datum
hub_sees_configuration(PG_FUNCTION_ARGS)
{
	const Identity *identity = identity_effective();

	PG_RETURN_BOOL(identity != NULL &&
				   (identity->base_role == HUB_ROLE_ADMIN ||
					identity->base_role == HUB_ROLE_COMPLIANCE));
}

/* Make an array of four-byte values */
static Datum
make_array(const void *values, int count, Oid element_type)
{
	Datum	   *elements = palloc(Max(count, 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		elements[i] = Int32GetDatum(((const int32 *) values)[i]);
	return PointerGetDatum(construct_array(elements, count, element_type, sizeof(int32), true,
										   TYPALIGN_INT));
}

/*
 * hub.whoami() returns TABLE(member_id, external_id, role, regions, lines,
 * teams, purpose, expires_at): one row, or none without identity
 */
Datum
hub_whoami(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const Identity *identity = identity_current();
	const Member *member = identity == NULL ? NULL : member_by_id(identity->member_id);
	Datum		values[8];
	bool		nulls[8] = {false};
	Oid			region_array;

	InitMaterializedSRF(fcinfo, 0);
	if (member == NULL)
		return (Datum) 0;

	region_array = TupleDescAttr(rsinfo->setDesc, 3)->atttypid;
	values[0] = Int32GetDatum(member->member_id);
	values[1] = CStringGetTextDatum(member->external_id);
	values[2] = NameGetDatum(&member->role_name);
	values[3] = make_array(member->scope.regions, member->scope.region_count,
						   get_element_type(region_array));
	values[4] = make_array(member->scope.lines, member->scope.line_count, INT4OID);
	values[5] = make_array(member->scope.teams, member->scope.team_count, INT4OID);
	if (identity->purpose[0] != '\0')
		values[6] = CStringGetTextDatum(identity->purpose);
	else
		nulls[6] = true;
	if (identity->by_token)
		values[7] = TimestampTzGetDatum(identity->expires_at);
	else
		nulls[7] = true;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
