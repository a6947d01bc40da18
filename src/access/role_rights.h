/*
 * role_rights.h: what hub roles were granted in schema hub is for members who
 * act as one.
 */
#ifndef CUSTOMER_HUB_ROLE_RIGHTS_H
#define CUSTOMER_HUB_ROLE_RIGHTS_H

#include "postgres.h"

#include "access/transam.h"
#include "nodes/pg_list.h"

/*
 * Functions and relations found to be no affair of ours, each at the place of its
 * oid: every statement asks. What PUBLIC may do is PostgreSQL's to check, so an
 * old answer does no harm.
 */
#define ROLE_RIGHTS_PLACES 256
extern Oid	role_rights_free_functions[ROLE_RIGHTS_PLACES];
extern Oid	role_rights_free_relations[ROLE_RIGHTS_PLACES];

extern void role_rights_look_at_function(Oid function);
extern void role_rights_look_at_relation(Oid relation, uint32 rights);

/* Refuse a function of schema hub to a hub role that is nobody's identity */
static inline void
role_rights_check_function(Oid function)
{
	if (function >= FirstNormalObjectId &&
		role_rights_free_functions[function % ROLE_RIGHTS_PLACES] != function)
		role_rights_look_at_function(function);
}

/* The same for a relation; rights is one of the ACL_ bits or several */
static inline void
role_rights_check_relation(Oid relation, uint32 rights)
{
	if (relation >= FirstNormalObjectId &&
		role_rights_free_relations[relation % ROLE_RIGHTS_PLACES] != relation)
		role_rights_look_at_relation(relation, rights);
}

#endif							/* CUSTOMER_HUB_ROLE_RIGHTS_H */
