/*
 * protect.h: what keeps governed relations governed.
 */
#ifndef CUSTOMER_HUB_PROTECT_H
#define CUSTOMER_HUB_PROTECT_H

#include "postgres.h"

#include "catalog/objectaccess.h"
#include "nodes/parsenodes.h"

/*
 * While the engine works on a governed relation itself, nothing below refuses.
 * Nests; pair the two with PG_TRY and PG_FINALLY.
 */
extern void protect_enter_engine(void);
extern void protect_leave_engine(void);
extern bool protect_in_engine(void);

/* Protect as usual while code of others runs inside the engine */
extern int	protect_suspend_engine(void);
extern void protect_resume_engine(int depth);

/* hooks, dispatched by hub/ */
extern void protect_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
								  int sub_id, void *arg);
extern void protect_before_utility(Node *parsetree);
extern void protect_after_utility(Node *parsetree);

#endif							/* CUSTOMER_HUB_PROTECT_H */
