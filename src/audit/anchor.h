/*
 * anchor.h: checkpoints outside the database, where nobody changes them who
 * changes tables. One file per log and database, one signed note after another.
 */
#ifndef CUSTOMER_HUB_ANCHOR_H
#define CUSTOMER_HUB_ANCHOR_H

#include "postgres.h"

/* Append a checkpoint to the file of the log, and see it on disk; tries anew next time when it fails */
extern void anchor_append(const char *note);

/* The last checkpoint in the file of a log; NULL when there is none */
extern char *anchor_last(const char *origin);

/* Say what is wrong with a log of size blocks, when this was a checkpoint of it; NULL: nothing */
extern const char *anchor_check(const char *kept, const char *origin, uint64 size);

#endif							/* CUSTOMER_HUB_ANCHOR_H */
