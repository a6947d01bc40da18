/*
 * folded_rows.h: rows of governed relations that a query folds into one value
 * count as if they were sent.
 */
#ifndef CUSTOMER_HUB_FOLDED_ROWS_H
#define CUSTOMER_HUB_FOLDED_ROWS_H

#include "postgres.h"

#include "executor/execdesc.h"

#include "identity/identity.h"

/* A statement under an identity has been started: watch what it folds */
extern void folded_rows_watch(QueryDesc *query, int eflags, const Identity *identity);

#endif							/* CUSTOMER_HUB_FOLDED_ROWS_H */
