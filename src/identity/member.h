/*
 * member.h: members, hub roles and token issuers, as the catalogs have them now.
 */
#ifndef CUSTOMER_HUB_MEMBER_H
#define CUSTOMER_HUB_MEMBER_H

#include "postgres.h"

#include "datatype/timestamp.h"

#include "identity/identity.h"
#include "keyring/keyring.h"

/* A member; valid until the end of the transaction, even when it changes meanwhile */
typedef struct Member
{
	int32		member_id;
	char	   *external_id;
	NameData	role_name;
	Oid			role;			/* InvalidOid when the role is gone */
	HubRole		base_role;
	bool		active;
	TimestampTz break_glass_until;	/* extra clearance; in the past when it has none */
	IdentityScope scope;
} Member;

extern void member_init(void);

/* NULL when there is none; a deactivated member is found too */
extern const Member *member_by_id(int32 member_id);
extern const Member *member_by_external_id(const char *external_id);

/* The active member whose own login this is, if it may still act as its hub role; else NULL */
extern const Member *member_of_login(Oid login);

/* Find what default role a hub role behaves like, and which role it was made like */
extern bool role_find(const char *name, HubRole *base, NameData *like_role);
extern const char *role_default_name(HubRole base);

/* Find the public key of an issuer that is valid at a time */
extern bool issuer_find(const char *kid, TimestampTz at,
						uint8 public_key[KEYRING_PUBLIC_KEY_BYTES]);

#endif							/* CUSTOMER_HUB_MEMBER_H */
