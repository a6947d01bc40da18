/*
 * role_rights.h: what hub roles were granted in schema hub is for members who
 * act as one.
 */
#ifndef CUSTOMER_HUB_ROLE_RIGHTS_H
#define CUSTOMER_HUB_ROLE_RIGHTS_H

#include "postgres.h"

#include "nodes/pg_list.h"

/* Refuse a function of schema hub to a hub role that is nobody's identity */
extern void role_rights_check_function(Oid function);

/* The same for a relation; right is one of the ACL_ bits or several */
extern void role_rights_check_relation(Oid relation, uint32 rights);

#endif							/* CUSTOMER_HUB_ROLE_RIGHTS_H */
