/*
 * merkle.h: Merkle trees as RFC 6962 section 2 defines them, over SHA-256.
 */
#ifndef CUSTOMER_HUB_MERKLE_H
#define CUSTOMER_HUB_MERKLE_H

#include "postgres.h"

#define MERKLE_HASH_BYTES 32
#define MERKLE_LEVELS 64

typedef struct MerkleHash
{
	uint8		bytes[MERKLE_HASH_BYTES];
} MerkleHash;

/*
 * The right edge of a growing tree: the roots of the full subtrees that its
 * leaves make up, one for each bit that is set in size.
 */
typedef struct MerkleRange
{
	uint64		size;
	MerkleHash	roots[MERKLE_LEVELS];	/* by level; valid where the bit is set */
} MerkleRange;

/* Told of every full subtree that a new leaf completes, the leaf included */
typedef void (*MerkleNodeSink) (int level, uint64 index, const MerkleHash *hash, void *arg);

/* Gives the root of the full subtree number index of a level */
typedef void (*MerkleNodeSource) (int level, uint64 index, MerkleHash *hash, void *arg);

/* All leaves of a tree, hashed */
typedef struct MerkleLeaves
{
	uint64		count;
	uint64		room;
	MerkleHash *hashes;
} MerkleLeaves;

/* SHA-256(0x00 || bytes); the caller leaves the first byte of bytes free for the 0x00 */
extern void merkle_leaf(char *prefixed_bytes, Size len, MerkleHash *hash);

extern void merkle_range_init(MerkleRange *range);
extern void merkle_range_append(MerkleRange *range, const MerkleHash *leaf,
								MerkleNodeSink sink, void *arg);
extern void merkle_range_root(const MerkleRange *range, MerkleHash *root);

extern void merkle_leaves_init(MerkleLeaves *leaves);
extern void merkle_leaves_append(MerkleLeaves *leaves, const MerkleHash *leaf);

/* MerkleNodeSource over MerkleLeaves */
extern void merkle_leaves_node(int level, uint64 index, MerkleHash *hash, void *leaves);

/* Proofs of a tree of size leaves; return the number of hashes put into path */
extern int	merkle_inclusion_path(uint64 leaf, uint64 size, MerkleNodeSource source, void *arg,
								  MerkleHash path[MERKLE_LEVELS]);
extern int	merkle_consistency_path(uint64 old_size, uint64 size, MerkleNodeSource source,
									void *arg, MerkleHash path[MERKLE_LEVELS * 2]);

#endif							/* CUSTOMER_HUB_MERKLE_H */
