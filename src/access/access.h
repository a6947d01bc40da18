/*
 * access.h: what this room asks of the rooms above it.
 */
#ifndef CUSTOMER_HUB_ACCESS_H
#define CUSTOMER_HUB_ACCESS_H

#include "postgres.h"

/*
 * Record a refusal so that it survives the error that follows. details is JSON
 * text. Filled by hub/; NULL while nobody listens.
 */
extern void (*access_record_denied) (const char *details);

/* Record the refusal of an attempt on a relation */
extern void access_record_attempt(const char *attempt, Oid relid);

/* Record rows that were handed out by hub.export(), rolled back or not */
extern void (*access_record_export) (const char *details);

#endif							/* CUSTOMER_HUB_ACCESS_H */
