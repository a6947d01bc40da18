/*
 * log_key.h: which key signs the log, and since when.
 *
 * The key changes with the block that holds the event which says so. Its
 * checkpoint names the old key and the new one and is signed by both; those
 * before are signed by the old one, those after by the new one. So the block
 * alone decides, on every reading, in every copy.
 */
#ifndef CUSTOMER_HUB_LOG_KEY_H
#define CUSTOMER_HUB_LOG_KEY_H

#include "postgres.h"

#include "audit/block.h"
#include "audit/checkpoint.h"

typedef struct LogKeyChange
{
	int			generation;		/* of the new key */
	uint64		xid;			/* of the event that says so */
} LogKeyChange;

typedef struct LogKeys
{
	int			count;
	LogKeyChange *changes;		/* in order */
} LogKeys;

/* Read the changes of the key; within SPI */
extern LogKeys *log_keys_read(void);

/* The generation of the key after a block; NULL is before the first */
extern int	log_keys_after(const LogKeys *keys, const AuditBlock *block);

/* The keys that the checkpoint of a block of that number is signed by; within SPI */
extern CheckpointKeys log_keys_of_size(const LogKeys *keys, uint64 size);

#endif							/* CUSTOMER_HUB_LOG_KEY_H */
