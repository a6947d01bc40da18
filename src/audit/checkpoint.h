/*
 * checkpoint.h: what the log of block headers is, signed: a checkpoint after
 * c2sp.org/tlog-checkpoint in a note after c2sp.org/signed-note.
 */
#ifndef CUSTOMER_HUB_CHECKPOINT_H
#define CUSTOMER_HUB_CHECKPOINT_H

#include "postgres.h"

#include "audit/merkle.h"

/* Channel that every new checkpoint is announced on */
#define CHECKPOINT_CHANNEL "customer_hub_checkpoint"

/* Name of the log, customer_hub/<uuid>; NULL before the first block. Within SPI */
extern char *checkpoint_origin(void);

/* Make that name, once. Within SPI */
extern char *checkpoint_create_origin(void);

extern char *checkpoint_sign(const char *origin, uint64 size, const MerkleHash *root);

/* Is the note a checkpoint of exactly that, signed by this hub's key? */
extern bool checkpoint_verify(const char *note, const char *origin, uint64 size,
							  const MerkleHash *root);

extern char *checkpoint_base64(const void *bytes, Size len);

#endif							/* CUSTOMER_HUB_CHECKPOINT_H */
