/*
 * read_ahead.c: wrapped keys, a page of hub.subject_key at a time.
 *
 * Who reads the rows of many people needs many keys, and looking each of them up
 * in the index takes ten times as long as opening what it is for. A page holds
 * some seventy keys, mostly of people who came one after the other, and copying
 * all of them takes no longer than one look-up. They stay wrapped, so they are no
 * secret; unwrapped is only what is used.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "foundation/compat.h"
#include "keyring/read_ahead.h"
#include "keyring/wrap.h"

#define INITIAL_ENTRIES 1024
#define MAX_ENTRIES 65536

/* Beyond this it is no wrapped key, and whoever needs it will say so */
#define MAX_WRAPPED_BYTES 80

typedef struct WrappedEntry
{
	pg_uuid_t	subject;
	int32		epoch;
	bool		used;			/* false marks a free entry */
	union
	{
		struct varlena header;
		char		bytes[VARHDRSZ + MAX_WRAPPED_BYTES];
	}			wrapped;
} WrappedEntry;

/* Open-addressing table; entries is a power of two */
static WrappedEntry *table = NULL;
static uint32 table_entries = 0;
static uint32 table_used = 0;
static BlockNumber last_block = InvalidBlockNumber;

/* Return the entry of a subject, or the free entry where it belongs */
static WrappedEntry *
find_slot(const pg_uuid_t *subject)
{
	uint64		halves[2];
	uint64		mixed;
	uint32		position;

	memcpy(halves, subject->data, UUID_LEN);
	mixed = (halves[0] ^ (halves[1] << 29 | halves[1] >> 35)) * UINT64CONST(0x9E3779B97F4A7C15);
	position = (uint32) (mixed >> 32) & (table_entries - 1);
	while (table[position].used &&
		   memcmp(&table[position].subject, subject, UUID_LEN) != 0)
		position = (position + 1) & (table_entries - 1);
	return &table[position];
}

/* Allocate an empty table */
static void
allocate(uint32 entries)
{
	table = MemoryContextAllocZero(TopMemoryContext, entries * sizeof(WrappedEntry));
	table_entries = entries;
	table_used = 0;
}

/* Make room for the keys of a page; beyond the largest size start over */
static void
make_room(uint32 count)
{
	WrappedEntry *old_table = table;
	uint32		old_entries = table_entries;

	if (table == NULL)
		allocate(INITIAL_ENTRIES);
	if (table_used + count <= table_entries / 2)
		return;
	if (table_entries >= MAX_ENTRIES)
	{
		memset(table, 0, table_entries * sizeof(WrappedEntry));
		table_used = 0;
		return;
	}
	allocate(table_entries * 4);
	for (uint32 i = 0; i < old_entries; i++)
	{
		if (!old_table[i].used)
			continue;
		*find_slot(&old_table[i].subject) = old_table[i];
		table_used++;
	}
	pfree(old_table);
}

/* Copy a row that has a key */
static void
copy_row(HeapTuple tuple, TupleDesc descriptor)
{
	bool		isnull;
	Datum		wrapped = heap_getattr(tuple, ANUM_WRAPPED, descriptor, &isnull);
	const struct varlena *value = (const struct varlena *) DatumGetPointer(wrapped);
	WrappedEntry *entry;
	Size		len;

	/* no wrapped key is so long that it would be compressed or moved out */
	if (isnull || VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		return;
	len = VARSIZE_ANY_EXHDR(value);
	if (len > MAX_WRAPPED_BYTES)
		return;
	entry = find_slot(DatumGetUUIDP(heap_getattr(tuple, ANUM_SUBJECT, descriptor, &isnull)));
	if (!entry->used)
		table_used++;
	entry->subject = *DatumGetUUIDP(heap_getattr(tuple, ANUM_SUBJECT, descriptor, &isnull));
	entry->epoch = DatumGetInt32(heap_getattr(tuple, ANUM_EPOCH, descriptor, &isnull));
	SET_VARSIZE(&entry->wrapped, VARHDRSZ + len);
	memcpy(VARDATA(&entry->wrapped.header), VARDATA_ANY(value), len);
	entry->used = true;
}

/* Copy the wrapped keys of a page */
void
read_ahead_page(Relation relation, BlockNumber block, Snapshot snapshot)
{
	TupleDesc	descriptor = RelationGetDescr(relation);
	Buffer		buffer;
	Page		page;
	OffsetNumber last;

	/* what a page lacks, looking again does not bring */
	if (block == last_block)
		return;
	make_room(MaxHeapTuplesPerPage);
	buffer = ReadBuffer(relation, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	last = PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleData tuple;

		if (!ItemIdIsNormal(item))
			continue;
		tuple.t_tableOid = RelationGetRelid(relation);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		ItemPointerSet(&tuple.t_self, block, offset);
		/* keys of this transaction's own making may go again before it ends */
		if (HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer) &&
			!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple.t_data)))
			copy_row(&tuple, descriptor);
	}
	UnlockReleaseBuffer(buffer);
	last_block = block;
}

/* Find the wrapped key of a subject, if it was read ahead */
const bytea *
read_ahead_find(const pg_uuid_t *subject, int *epoch)
{
	const WrappedEntry *entry;

	if (table_used == 0)
		return NULL;
	entry = find_slot(subject);
	if (!entry->used)
		return NULL;
	*epoch = entry->epoch;
	return &entry->wrapped.header;
}

/* Forget all of it */
void
read_ahead_forget(void)
{
	last_block = InvalidBlockNumber;
	if (table_used == 0)
		return;
	if (table_entries > INITIAL_ENTRIES)
	{
		pfree(table);
		table = NULL;
		table_entries = 0;
	}
	else
		memset(table, 0, table_entries * sizeof(WrappedEntry));
	table_used = 0;
}
