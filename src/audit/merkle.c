#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "audit/merkle.h"
#include "foundation/compat.h"
#include "foundation/errors.h"
#include "keyring/keyring.h"

PG_FUNCTION_INFO_V1(hub_merkle_root);
PG_FUNCTION_INFO_V1(hub_merkle_inclusion);
PG_FUNCTION_INFO_V1(hub_merkle_consistency);

/* Hash a leaf; bytes begin with a byte that is ours to set */
void
merkle_leaf(char *prefixed_bytes, Size len, MerkleHash *hash)
{
	prefixed_bytes[0] = 0x00;
	keyring_sha256_bulk(prefixed_bytes, len, hash->bytes);
}

/* Hash two nodes: SHA-256(0x01 || left || right) */
static void
merkle_parent(const MerkleHash *left, const MerkleHash *right, MerkleHash *hash)
{
	uint8		bytes[1 + 2 * MERKLE_HASH_BYTES];

	bytes[0] = 0x01;
	memcpy(bytes + 1, left->bytes, MERKLE_HASH_BYTES);
	memcpy(bytes + 1 + MERKLE_HASH_BYTES, right->bytes, MERKLE_HASH_BYTES);
	keyring_sha256_bulk(bytes, sizeof(bytes), hash->bytes);
}

/* Begin an empty tree */
void
merkle_range_init(MerkleRange *range)
{
	range->size = 0;
}

/* Add a leaf, telling sink (may be NULL) of every full subtree this completes */
void
merkle_range_append(MerkleRange *range, const MerkleHash *leaf, MerkleNodeSink sink, void *arg)
{
	MerkleHash	hash = *leaf;
	int			level = 0;

	if (sink)
		sink(0, range->size, &hash, arg);
	while ((range->size >> level) & 1)
	{
		merkle_parent(&range->roots[level], &hash, &hash);
		level++;
		if (sink)
			sink(level, range->size >> level, &hash, arg);
	}
	range->roots[level] = hash;
	range->size++;
}

/* Compute the root of the tree; that of the empty tree is the hash of nothing */
void
merkle_range_root(const MerkleRange *range, MerkleHash *root)
{
	bool		begun = false;

	if (range->size == 0)
		keyring_sha256_bulk("", 0, root->bytes);
	for (int level = 0; level < MERKLE_LEVELS; level++)
	{
		if (((range->size >> level) & 1) == 0)
			continue;
		if (begun)
			merkle_parent(&range->roots[level], root, root);
		else
			*root = range->roots[level];
		begun = true;
	}
}

/* Return the largest power of two smaller than n, which is at least 2 */
static uint64
split_of(uint64 n)
{
	uint64		k = 1;

	while (k < n - k)
		k <<= 1;
	return k;
}

/* Compute MTH(D[from:to]) out of full subtrees */
static void
merkle_subtree_root(uint64 from, uint64 to, MerkleNodeSource source, void *arg, MerkleHash *root)
{
	uint64		n = to - from;
	uint64		k;
	MerkleHash	left;
	MerkleHash	right;

	if ((n & (n - 1)) == 0 && from % n == 0)
	{
		int			level = 0;

		while ((n >> level) > 1)
			level++;
		source(level, from / n, root, arg);
		return;
	}
	k = split_of(n);
	merkle_subtree_root(from, from + k, source, arg, &left);
	merkle_subtree_root(from + k, to, source, arg, &right);
	merkle_parent(&left, &right, root);
}

/* Collect PATH(leaf, D[from:to]) */
static int
inclusion_path(uint64 leaf, uint64 from, uint64 to, MerkleNodeSource source, void *arg,
			   MerkleHash *path)
{
	uint64		k;
	int			n;

	if (to - from == 1)
		return 0;
	k = split_of(to - from);
	if (leaf < from + k)
	{
		n = inclusion_path(leaf, from, from + k, source, arg, path);
		merkle_subtree_root(from + k, to, source, arg, &path[n]);
	}
	else
	{
		n = inclusion_path(leaf, from + k, to, source, arg, path);
		merkle_subtree_root(from, from + k, source, arg, &path[n]);
	}
	return n + 1;
}

/* Prove that a leaf is in a tree of size leaves (RFC 6962 section 2.1.1) */
int
merkle_inclusion_path(uint64 leaf, uint64 size, MerkleNodeSource source, void *arg,
					  MerkleHash path[MERKLE_LEVELS])
{
	Assert(leaf < size);
	return inclusion_path(leaf, 0, size, source, arg, path);
}

/* Collect SUBPROOF(m, D[from:to], complete) */
static int
consistency_path(uint64 m, uint64 from, uint64 to, bool complete, MerkleNodeSource source,
				 void *arg, MerkleHash *path)
{
	uint64		k;
	int			n;

	if (m == to - from)
	{
		if (complete)
			return 0;
		merkle_subtree_root(from, to, source, arg, &path[0]);
		return 1;
	}
	k = split_of(to - from);
	if (m <= k)
	{
		n = consistency_path(m, from, from + k, complete, source, arg, path);
		merkle_subtree_root(from + k, to, source, arg, &path[n]);
	}
	else
	{
		n = consistency_path(m - k, from + k, to, false, source, arg, path);
		merkle_subtree_root(from, from + k, source, arg, &path[n]);
	}
	return n + 1;
}

/* Prove that a tree of size leaves begins with one of old_size (RFC 6962 section 2.1.2) */
int
merkle_consistency_path(uint64 old_size, uint64 size, MerkleNodeSource source, void *arg,
						MerkleHash path[MERKLE_LEVELS * 2])
{
	Assert(old_size <= size);
	if (old_size == 0 || old_size == size)
		return 0;
	return consistency_path(old_size, 0, size, true, source, arg, path);
}

/* Begin a tree whose leaves are all kept, in the current context */
void
merkle_leaves_init(MerkleLeaves *leaves)
{
	leaves->count = 0;
	leaves->room = 64;
	leaves->hashes = palloc(sizeof(MerkleHash) * leaves->room);
}

/* Add a leaf */
void
merkle_leaves_append(MerkleLeaves *leaves, const MerkleHash *leaf)
{
	if (leaves->count == leaves->room)
	{
		leaves->room *= 2;
		leaves->hashes = repalloc_huge(leaves->hashes, sizeof(MerkleHash) * leaves->room);
	}
	leaves->hashes[leaves->count++] = *leaf;
}

/* MerkleNodeSource over MerkleLeaves */
void
merkle_leaves_node(int level, uint64 index, MerkleHash *hash, void *arg)
{
	MerkleLeaves *leaves = arg;
	MerkleRange range;

	merkle_range_init(&range);
	for (uint64 i = index << level; i < (index + 1) << level; i++)
		merkle_range_append(&range, &leaves->hashes[i], NULL, NULL);
	merkle_range_root(&range, hash);
}

/* Hash the leaves of an array of byte strings */
static void
hash_leaves(ArrayType *array, MerkleLeaves *leaves)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	merkle_leaves_init(leaves);
	for (int i = 0; i < count; i++)
	{
		bytea	   *value;
		char	   *prefixed;
		MerkleHash	hash;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("leaves of a Merkle tree must not be null")));
		value = DatumGetByteaPP(values[i]);
		prefixed = palloc(1 + VARSIZE_ANY_EXHDR(value));
		memcpy(prefixed + 1, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
		merkle_leaf(prefixed, 1 + VARSIZE_ANY_EXHDR(value), &hash);
		merkle_leaves_append(leaves, &hash);
		pfree(prefixed);
	}
}

/* Return hashes as an array of byte strings */
static Datum
bytea_array(const MerkleHash *hashes, int count)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		bytea	   *value = palloc(VARHDRSZ + MERKLE_HASH_BYTES);

		SET_VARSIZE(value, VARHDRSZ + MERKLE_HASH_BYTES);
		memcpy(VARDATA(value), hashes[i].bytes, MERKLE_HASH_BYTES);
		values[i] = PointerGetDatum(value);
	}
	return PointerGetDatum(construct_array(values, count, BYTEAOID, -1, false, TYPALIGN_INT));
}

/* Return the root over leaves */
Datum
hub_merkle_root(PG_FUNCTION_ARGS)
{
	MerkleLeaves leaves;
	MerkleRange range;
	MerkleHash	root;
	bytea	   *result = palloc(VARHDRSZ + MERKLE_HASH_BYTES);

	hash_leaves(PG_GETARG_ARRAYTYPE_P(0), &leaves);
	merkle_range_init(&range);
	for (uint64 i = 0; i < leaves.count; i++)
		merkle_range_append(&range, &leaves.hashes[i], NULL, NULL);
	merkle_range_root(&range, &root);
	SET_VARSIZE(result, VARHDRSZ + MERKLE_HASH_BYTES);
	memcpy(VARDATA(result), root.bytes, MERKLE_HASH_BYTES);
	PG_RETURN_BYTEA_P(result);
}

/* Return the inclusion proof of one of the leaves, counted from 0 */
Datum
hub_merkle_inclusion(PG_FUNCTION_ARGS)
{
	MerkleLeaves leaves;
	int64		leaf = PG_GETARG_INT64(1);
	MerkleHash	path[MERKLE_LEVELS];

	hash_leaves(PG_GETARG_ARRAYTYPE_P(0), &leaves);
	if (leaf < 0 || leaf >= leaves.count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("leaf %lld is not in the tree", (long long) leaf)));
	PG_RETURN_DATUM(bytea_array(path, merkle_inclusion_path(leaf, leaves.count, merkle_leaves_node,
														   &leaves, path)));
}

/* Return the proof that the first old_size leaves are the beginning of all of them */
Datum
hub_merkle_consistency(PG_FUNCTION_ARGS)
{
	MerkleLeaves leaves;
	int64		old_size = PG_GETARG_INT64(1);
	MerkleHash	path[MERKLE_LEVELS * 2];

	hash_leaves(PG_GETARG_ARRAYTYPE_P(0), &leaves);
	if (old_size < 0 || old_size > leaves.count)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("the tree has fewer than %lld leaves", (long long) old_size)));
	PG_RETURN_DATUM(bytea_array(path, merkle_consistency_path(old_size, leaves.count,
															 merkle_leaves_node, &leaves, path)));
}
