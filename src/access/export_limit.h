/*
 * export_limit.h: how much of governed relations a member may be shown: rows and
 * persons per statement, reveals per day.
 */
#ifndef CUSTOMER_HUB_EXPORT_LIMIT_H
#define CUSTOMER_HUB_EXPORT_LIMIT_H

#include "postgres.h"

#include "identity/identity.h"
#include "utils/uuid.h"

typedef struct ExportLimit
{
	int64		max_rows;		/* rows, and persons of each data class, that one statement may show */
	int64		reveals_per_day;
} ExportLimit;

extern void export_limit_init(void);
extern Size export_limit_shmem_size(void);
extern void export_limit_shmem_startup(void);

/* Limits of the role of an identity */
extern const ExportLimit *export_limit_of(const Identity *identity);

/* Count one reveal against the day's quota of a member; an error when it is used up */
extern void export_limit_charge(int32 member_id, TimestampTz at);

/*
 * The same for the member who was charged last: false, and nothing is counted, when it
 * takes more than a look at shared memory. answer is identity_answer().
 */
extern bool export_limit_charge_again(int32 member_id, TimestampTz at, uint64 answer);

/* What a batch of records of the audit has revealed, by member and day, for hub.reveal_usage */
extern void export_limit_note_stored(int32 member_id, TimestampTz at);
extern void export_limit_flush_stored(void);

#endif							/* CUSTOMER_HUB_EXPORT_LIMIT_H */
