/*
 * authenticate.c: hub.authenticate, the way in for pooled connections.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "foundation/compat.h"
#include "foundation/errors.h"
#include "foundation/settings.h"
#include "identity/carrier.h"
#include "identity/identity.h"
#include "identity/member.h"
#include "identity/token.h"
#include "keyring/keyring.h"

PG_FUNCTION_INFO_V1(hub_authenticate);
PG_FUNCTION_INFO_V1(hub_challenge);
PG_FUNCTION_INFO_V1(hub_public_key_is_valid);

#define CHALLENGE_BYTES 16

/* What an attempt came to: for the audit, never for the caller */
typedef struct Attempt
{
	const char *reason;			/* keyword, or NULL when accepted */
	int32		member_id;		/* 0 until a verified signature has named one */
	const Identity *identity;	/* filled as far as verification got */
} Attempt;

void		(*identity_audit_authentication) (const char *details) = NULL;

/*
 * Whom this backend authenticated last, and in which transaction: taking back
 * the carrier (a savepoint, RESET) does not make room for somebody else.
 */
static LocalTransactionId authenticated_lxid = InvalidLocalTransactionId;
static Identity authenticated;

/*
 * What hub.challenge() gave this backend's client last: a token that carries it
 * is good here, once, and nowhere else. Empty when there is none.
 */
static char challenge[2 * CHALLENGE_BYTES + 1] = "";

/* Return whom this transaction authenticated */
const Identity *
authenticated_identity(void)
{
	if (MyProc == NULL || authenticated_lxid == InvalidLocalTransactionId ||
		authenticated_lxid != compat_proc_lxid(MyProc))
		return NULL;
	return &authenticated;
}

/* Seconds since 1970 as a timestamp */
static TimestampTz
timestamp_of_numeric_date(double seconds)
{
	return (TimestampTz) ((seconds -
						   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY) *
						  USECS_PER_SEC);
}

/* Hold a token's dates against the clock and the longest lifetime */
static const char *
check_dates(const TokenClaims *claims, TimestampTz now)
{
	double		seconds = (double) now / USECS_PER_SEC +
		(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (double) SECS_PER_DAY;
	double		skew = settings_token_clock_skew();
	double		longest = settings_token_max_lifetime();

	if (claims->expires_at + skew <= seconds)
		return "expired";
	if (claims->has_not_before && claims->not_before > seconds + skew)
		return "not_yet_valid";
	if (claims->has_issued_at)
	{
		if (claims->issued_at > seconds + skew)
			return "not_yet_valid";
		if (claims->expires_at <= claims->issued_at ||
			claims->expires_at - claims->issued_at > longest)
			return "lifetime";
	}
	/* an issue date in the past must not lend a longer life than a missing one */
	if (claims->expires_at - seconds > longest + (claims->has_issued_at ? skew : 0))
		return "lifetime";
	return NULL;
}

/* Is this the nonce that was asked for? Right or wrong, it was the only try. */
static bool
challenge_met(const char *nonce)
{
	bool		met = challenge[0] != '\0' && strcmp(nonce, challenge) == 0;

	challenge[0] = '\0';
	return met;
}

/* Verify a token and find its member; NULL, or a keyword that says why not */
static const char *
verify_token(const char *text, Size len, TimestampTz now, Attempt *attempt, Identity *identity)
{
	Token		token;
	TokenClaims claims;
	uint8		public_key[KEYRING_PUBLIC_KEY_BYTES];
	uint8		hash[KEYRING_HASH_BYTES];
	const char *reason;
	const Member *member;

	reason = token_split(text, len, &token);
	if (reason != NULL)
		return reason;
	if (!issuer_find(token.kid, now, public_key))
		return "issuer";
	if (!keyring_verify_signature(public_key, token.signed_part, token.signed_len,
								  token.signature))
		return "signature";

	reason = token_read_claims(&token, &claims);
	if (reason != NULL)
		return reason;
	reason = check_dates(&claims, now);
	if (reason != NULL)
		return reason;

	if (claims.nonce != NULL && !challenge_met(claims.nonce))
		return "nonce";

	/* a token without a name of its own is known by its signature */
	if (claims.token_id != NULL)
		keyring_sha256(claims.token_id, strlen(claims.token_id), hash);
	else
		keyring_sha256(token.signature, sizeof(token.signature), hash);
	memcpy(identity->token_id, hash, IDENTITY_TOKEN_ID_BYTES);
	attempt->identity = identity;

	member = member_by_external_id(claims.subject);
	if (member == NULL)
		return "member";
	attempt->member_id = member->member_id;
	if (!member->active)
		return "inactive_member";
	if (!OidIsValid(member->role) || !compat_may_set_role(GetSessionUserId(), member->role))
		return "role";

	identity->member_id = member->member_id;
	identity->role = member->role;
	identity->base_role = member->base_role;
	identity->by_token = true;
	identity->expires_at = timestamp_of_numeric_date(claims.expires_at +
													 settings_token_clock_skew());
	if (claims.purpose != NULL)
		strlcpy(identity->purpose, claims.purpose, sizeof(identity->purpose));
	return NULL;
}

/* Leave a trace of an attempt, if somebody wants it */
static void
audit_attempt(const Attempt *attempt)
{
	StringInfoData details;

	if (identity_audit_authentication == NULL)
		return;
	initStringInfo(&details);
	appendStringInfo(&details, "{\"action\": \"authenticate\", \"accepted\": %s",
					 attempt->reason == NULL ? "true" : "false");
	if (attempt->reason != NULL)
		appendStringInfo(&details, ", \"reason\": \"%s\"", attempt->reason);
	if (attempt->member_id != 0)
		appendStringInfo(&details, ", \"member\": %d", attempt->member_id);
	if (attempt->identity != NULL)
	{
		appendStringInfoString(&details, ", \"token\": \"");
		for (int i = 0; i < IDENTITY_TOKEN_ID_BYTES; i++)
			appendStringInfo(&details, "%02x", attempt->identity->token_id[i]);
		appendStringInfoChar(&details, '"');
		if (attempt->identity->purpose[0] != '\0')
		{
			appendStringInfoString(&details, ", \"purpose\": ");
			escape_json(&details, attempt->identity->purpose);
		}
	}
	appendStringInfoChar(&details, '}');
	identity_audit_authentication(details.data);
	pfree(details.data);
}

/*
 * Keep the statement and its parameters out of the server log, whatever the
 * error: a token that is refused now may be good in another minute.
 */
static void
hide_statement(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

/* Raise the one error that every bad token gets, whatever is wrong with it */
static void
reject_token(Attempt *attempt, const char *reason)
{
	attempt->reason = reason;
	audit_attempt(attempt);
	ereport(ERROR,
			(errcode(ERRCODE_CH_TOKEN_REJECTED),
			 errmsg("token is not accepted")));
}

/* Refuse a second identity in one transaction */
static void
refuse_second_identity(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CH_IDENTITY_ALREADY_SET),
			 errmsg("this transaction has an identity already"),
			 errhint("One transaction acts for one member: end it first. A login that is a member's own needs no token.")));
}

/* hub.authenticate(token text) returns void */
Datum
hub_authenticate(PG_FUNCTION_ARGS)
{
	Attempt		attempt = {0};
	Identity	identity;
	const char *reason;
	char	   *role_name;
	text	   *token;
	ErrorContextCallback hide = {.previous = error_context_stack, .callback = hide_statement};

	error_context_stack = &hide;

	/* these have nothing to do with the token, so they may be told apart */
	if (InLocalUserIdChange() || InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot authenticate within a security-definer function"),
				 errhint("Call hub.authenticate as a statement of its own.")));
	if (IsInParallelMode())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot authenticate during a parallel operation")));
	keyring_require();

	/* other sessions of the same login can read what this one is running */
	pgstat_report_activity(STATE_RUNNING, "SELECT hub.authenticate($1)");
	if (carrier_identity() != NULL || identity_current() != NULL)
		refuse_second_identity();

	if (PG_ARGISNULL(0))
		reject_token(&attempt, "malformed");
	token = PG_GETARG_TEXT_PP(0);

	memset(&identity, 0, sizeof(Identity));
	reason = verify_token(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), GetCurrentTimestamp(),
						  &attempt, &identity);
	if (reason != NULL)
		reject_token(&attempt, reason);
	if (authenticated_identity() != NULL &&
		authenticated_identity()->member_id != identity.member_id)
		refuse_second_identity();

	authenticated = identity;
	authenticated_lxid = compat_proc_lxid(MyProc);
	carrier_set(&identity);

	/* as SET LOCAL ROLE does; the right to it was checked above */
	role_name = GetUserNameFromId(identity.role, false);
	set_config_option("role", role_name, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
					  false);
	audit_attempt(&attempt);
	error_context_stack = hide.previous;
	PG_RETURN_VOID();
}

/* hub.challenge() returns text: what the nonce of the next token has to be, if it has one */
Datum
hub_challenge(PG_FUNCTION_ARGS)
{
	uint8		random[CHALLENGE_BYTES];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate a random challenge")));
	hex_encode((const char *) random, sizeof(random), challenge);
	challenge[2 * CHALLENGE_BYTES] = '\0';
	PG_RETURN_TEXT_P(cstring_to_text(challenge));
}

/* hub.public_key_is_valid(public_key bytea) returns bool */
Datum
hub_public_key_is_valid(PG_FUNCTION_ARGS)
{
	bytea	   *key = PG_GETARG_BYTEA_PP(0);

	PG_RETURN_BOOL(VARSIZE_ANY_EXHDR(key) == KEYRING_PUBLIC_KEY_BYTES &&
				   keyring_public_key_valid((const uint8 *) VARDATA_ANY(key)));
}
