/*
 * identity.h: who is asking, in this transaction.
 */
#ifndef CUSTOMER_HUB_IDENTITY_H
#define CUSTOMER_HUB_IDENTITY_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "miscadmin.h"

#include "types/disclosure.h"
#include "types/region.h"

#define IDENTITY_PURPOSE_BYTES 64
#define IDENTITY_TOKEN_ID_BYTES 16

/* The eight roles of the default matrix; a created role behaves like one of them */
typedef enum HubRole
{
	HUB_ROLE_AGENT = 1,
	HUB_ROLE_SALES,
	HUB_ROLE_MANAGER,
	HUB_ROLE_COMPLIANCE,
	HUB_ROLE_ADMIN,
	HUB_ROLE_CONNECTOR,
	HUB_ROLE_AI_AGENT
} HubRole;

typedef struct Identity
{
	int32		member_id;
	Oid			role;			/* PostgreSQL role of the hub role */
	HubRole		base_role;		/* which default role it behaves like */
	bool		by_token;		/* hub.authenticate, not a login of its own */
	TimestampTz expires_at;		/* DT_NOEND for a login */
	char		purpose[IDENTITY_PURPOSE_BYTES];	/* empty when none is claimed */
	uint8		token_id[IDENTITY_TOKEN_ID_BYTES];	/* hash of the jti, zero for a login */
} Identity;

/* Scope of the current member; arrays sorted, in TopTransactionContext or cache memory */
typedef struct IdentityScope
{
	int			region_count;
	const Region *regions;		/* as granted; US stands for its subdivisions too */
	int			line_count;
	const int32 *lines;
	int			team_count;
	const int32 *teams;
	uint64		country_bits[REGION_COUNTRIES / 64];	/* whole countries granted */
} IdentityScope;

/*
 * Records an attempt to authenticate, refused ones too, so that the record
 * survives the error; filled by hub/. details is JSON text.
 */
extern void (*identity_audit_authentication) (const char *details);

extern void identity_init(void);

/* Counts what may have made the identity or a scope another; for the room's own use */
extern uint64 identity_changes;

/*
 * The identity of this transaction, or NULL. A token's identity that belongs to
 * another transaction does not count. Raises CH202 when it has expired.
 */
extern const Identity *identity_current(void);

/*
 * Was there an identity in this session, ever? What it leaves behind stays telling: in
 * a transaction that an error has ended, statements are still sent.
 */
extern bool identity_held;

/* What identity_present() goes by; for the room's own use */
extern bool identity_carried;	/* the carrier has one, of whichever transaction */
extern Oid	identity_known_login;
extern bool identity_known_login_is_member;
extern uint64 identity_known_login_at;	/* identity_changes then: while it stays, that is so */
extern bool identity_look_present(void);

/* The same, but never raises and ignores expiry: for log redaction, error paths, and to go on at once when nobody is there */
static inline bool
identity_present(void)
{
	if (!identity_carried && OidIsValid(identity_known_login) &&
		identity_known_login == GetSessionUserId())
		return identity_known_login_is_member;
	return identity_look_present();
}

/*
 * Whom the audit names: the identity of this transaction even if it has expired,
 * was taken back with a savepoint or reset since. Never raises CH202.
 */
extern const Identity *identity_of_record(void);

/*
 * The identity, but only while the current user is the member's own role or
 * login; else NULL. Row policies go by this.
 */
extern const Identity *identity_effective(void);
extern uint64 identity_answer(void);	/* changes whenever what these functions return may */
extern const IdentityScope *identity_scope(void);	/* of identity_effective(); empty scope when NULL */

/*
 * Called at executor start: raises CH202 when the identity has expired, or when
 * its member was deactivated or moved to another role meanwhile. Returns what
 * identity_current() would.
 */
extern const Identity *identity_look_at(void);

static inline const Identity *
identity_check_expiry(void)
{
	if (likely(!identity_carried && !identity_known_login_is_member &&
			   identity_known_login_at == identity_changes &&
			   identity_known_login == GetSessionUserId()))
		return NULL;
	return identity_look_at();
}

/*
 * Raises CH205 unless the caller is a superuser or an effective identity whose
 * role behaves like hub_admin. For functions that change the configuration; also
 * right inside SECURITY DEFINER functions.
 */
extern void identity_require_admin(const char *action);

/* What the purpose of an identity allows; see hub.purpose */
typedef struct Purpose
{
	char		name[IDENTITY_PURPOSE_BYTES];
	bool		needs_consent;	/* of the data subject, to this purpose */
	bool		serves_restricted;	/* may see who has restricted the processing */
	Disclosure	ceiling;		/* no more than this, whatever the clearance */
} Purpose;

/* The purpose of the effective identity; NULL when none is claimed or assumed. It must be there. */
extern const Purpose *identity_purpose(void);

/* Has the effective identity taken extra clearance with hub.break_glass? */
extern bool identity_breaks_glass(void);

/* Clearance of the current identity for a data class; SEALED without identity */
extern Disclosure identity_clearance(uint16 class_id);

#endif							/* CUSTOMER_HUB_IDENTITY_H */
