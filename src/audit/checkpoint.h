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

/* A signature line begins with an em dash and a space */
#define NOTE_SIGNATURE_MARK "\xE2\x80\x94 "

/* Name of the log, customer_hub/<uuid>; NULL before the first block. Within SPI */
extern char *checkpoint_origin(void);

/* Make that name, once. Within SPI */
extern char *checkpoint_create_origin(void);

/* Generations of the key that signs; two where it changes */
typedef struct CheckpointKeys
{
	int			before;
	int			now;
} CheckpointKeys;

extern char *checkpoint_public_key(const char *origin, int generation);
extern char *checkpoint_sign(const char *origin, uint64 size, const MerkleHash *root,
							 CheckpointKeys keys);

/*
 * A note is a checkpoint of exactly this, and signed by exactly these keys: the
 * first takes the log, the second takes most of the time. A note that was kept
 * elsewhere may have signatures of others besides.
 */
extern bool checkpoint_is_of(const char *note, const char *origin, uint64 size,
							 const MerkleHash *root, CheckpointKeys keys);
extern bool checkpoint_is_signed(const char *note, const char *origin, CheckpointKeys keys,
								 bool others);

extern char *checkpoint_base64(const void *bytes, Size len);

#endif							/* CUSTOMER_HUB_CHECKPOINT_H */
