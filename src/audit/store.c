/*
 * store.c: the way of events into hub.audit_event.
 *
 * Events wait in a buffer and go into their partition many at a time: one WAL
 * record per page and one look at the catalogs per batch, where a bulk statement
 * would otherwise pay both per row. The buffer is emptied at the end of every
 * statement, and before the transaction commits, so a transaction reads its own
 * events and nothing is committed without them.
 *
 * A row carries the id of the subtransaction that inserts it. An event is
 * therefore only written by the subtransaction it belongs to, and goes with it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/xid8.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "audit/event_table.h"
#include "audit/table_writer.h"
#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/errors.h"

#define BUFFER_EVENTS 500
#define BUFFER_BYTES (256 * 1024)

typedef struct BufferedEvent
{
	HeapTuple	tuple;			/* in the root table's column order */
	TimestampTz recorded_at;
	SubTransactionId sub_id;
} BufferedEvent;

static MemoryContext buffer_context = NULL;
static BufferedEvent buffer[BUFFER_EVENTS];
static int	buffer_used = 0;
static Size buffer_bytes = 0;

/* Set while writing, so that a failure inside does not write again */
static bool writing = false;

/*
 * Column order of hub.audit_event, copied: one that is not counted costs nothing
 * per event. Made anew when the relation changes.
 */
static TupleDesc root_desc = NULL;
static Oid	root_relid = InvalidOid;
static Oid	kind_type = InvalidOid;

/*
 * The partition that was written last, and its range: opening the root and
 * searching it took as long as the row. Forgotten when the root changes.
 */
static struct
{
	Oid			partition;
	TimestampTz from;
	TimestampTz to;
	bool		same_order;		/* its columns are in the order of root_desc */
}			route;

/* Slots for writing, with root_desc, made as they are needed */
static TupleTableSlot *slots[BUFFER_EVENTS];
static int	slots_made = 0;

/* Return text of known length as a new datum */
static Datum
text_datum(const char *text, Size len)
{
	return PointerGetDatum(cstring_to_text_with_len(text, (int) len));
}

/* Return 16 bytes as a bytea with a short header, in memory of the caller */
static Datum
tag_datum(const uint8 *tag, char *space)
{
	SET_VARSIZE_SHORT(space, VARHDRSZ_SHORT + EVENT_TAG_BYTES);
	memcpy(space + VARHDRSZ_SHORT, tag, EVENT_TAG_BYTES);
	return PointerGetDatum(space);
}

/* Forget the column order when the table changes */
static void
forget_root(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == root_relid || relid == route.partition)
		route.partition = InvalidOid;
	if (!OidIsValid(relid) || relid == root_relid)
		root_relid = InvalidOid;
}

/* Watch the table; called once from _PG_init */
void
store_init(void)
{
	catalog_watch_relations(forget_root);
	table_writer_init();
}

/* Learn the column order, unless it is known */
static void
load_root(void)
{
	Relation	root;
	Oid			relid;
	MemoryContext old_context;

	if (OidIsValid(root_relid))
		return;
	relid = catalog_relation("audit_event");
	root = table_open(relid, AccessShareLock);
	if (RelationGetNumberOfAttributes(root) != EVENT_COLUMNS)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table hub.audit_event has columns that the loaded library does not know"),
				 errhint("Restart the server with the library that fits the installed version of the extension.")));
	if (root_desc == NULL || !equalTupleDescs(root_desc, RelationGetDescr(root)))
	{
		/* tuples that wait were made with the old one */
		if (buffer_used > 0)
			store_flush();
		for (int i = 0; i < slots_made; i++)
			ExecDropSingleTupleTableSlot(slots[i]);
		slots_made = 0;
		if (root_desc != NULL)
			FreeTupleDesc(root_desc);
		old_context = MemoryContextSwitchTo(TopMemoryContext);
		root_desc = CreateTupleDescCopy(RelationGetDescr(root));
		MemoryContextSwitchTo(old_context);
	}
	kind_type = TupleDescAttr(root_desc, EVENT_KIND)->atttypid;
	root_relid = relid;
	table_close(root, NoLock);
}

/* Put an event into the buffer, emptying it when it is full */
void
store_append(const AuditEvent *event)
{
	Datum		values[EVENT_COLUMNS];
	bool		nulls[EVENT_COLUMNS] = {false};
	char		tag[VARHDRSZ_SHORT + EVENT_TAG_BYTES];
	BufferedEvent *entry;
	MemoryContext old_context;

	if (buffer_used >= BUFFER_EVENTS || buffer_bytes >= BUFFER_BYTES)
		store_flush();
	if (buffer_used >= BUFFER_EVENTS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many audit events of enclosing subtransactions are waiting to be written"),
				 errhint("Split the statement, or avoid exception blocks in functions that it calls per row.")));
	if (buffer_context == NULL)
		buffer_context = AllocSetContextCreate(TopMemoryContext, "customer_hub audit buffer",
											   ALLOCSET_DEFAULT_SIZES);

	load_root();
	values[EVENT_XID] = FullTransactionIdGetDatum(FullTransactionIdFromU64(event->xid));
	values[EVENT_ORDINAL] = Int32GetDatum(event->ordinal);
	values[EVENT_RECORDED_AT] = TimestampTzGetDatum(event->recorded_at);
	values[EVENT_KIND] = ObjectIdGetDatum(event_kind_oid(event->kind, kind_type));
	values[EVENT_TAG] = tag_datum(event->tag, tag);
	if (!(nulls[EVENT_RELATION] = event->relation == NULL))
		values[EVENT_RELATION] = text_datum(event->relation, event->relation_len);
	if (!(nulls[EVENT_OPERATION] = event->operation == NULL))
		values[EVENT_OPERATION] = text_datum(event->operation, event->operation_len);
	if (!(nulls[EVENT_SUBJECT] = event->subject == NULL))
		values[EVENT_SUBJECT] = UUIDPGetDatum(event->subject);
	if (!(nulls[EVENT_ROW_KEY] = event->row_key == NULL))
		values[EVENT_ROW_KEY] = PointerGetDatum(event->row_key);
	if (!(nulls[EVENT_CHANGED] = event->changed == NULL))
		values[EVENT_CHANGED] = PointerGetDatum(event->changed);
	if (!(nulls[EVENT_SEALED] = event->sealed == NULL))
		values[EVENT_SEALED] = PointerGetDatum(event->sealed);
	if (!(nulls[EVENT_DETAILS] = event->details == NULL))
		values[EVENT_DETAILS] = PointerGetDatum(event->details);

	entry = &buffer[buffer_used];
	old_context = MemoryContextSwitchTo(buffer_context);
	entry->tuple = heap_form_tuple(root_desc, values, nulls);
	MemoryContextSwitchTo(old_context);
	entry->recorded_at = event->recorded_at;
	entry->sub_id = GetCurrentSubTransactionId();
	buffer_used++;
	buffer_bytes += entry->tuple->t_len;
}

/* Return a bound of a range, or what stands for an infinite one */
static TimestampTz
bound_time(PartitionBoundInfo bounds, int at, TimestampTz infinite)
{
	if (at < 0 || at >= bounds->ndatums ||
		bounds->kind[at][0] != PARTITION_RANGE_DATUM_VALUE)
		return infinite;
	return DatumGetTimestampTz(bounds->datums[at][0]);
}

/* Find the partition of a point in time, and from when to when it is the right one */
static Oid
find_route(TimestampTz recorded_at)
{
	Relation	root = table_open(catalog_relation("audit_event"), RowExclusiveLock);
	PartitionKey key = RelationGetPartitionKey(root);
	PartitionDesc desc = RelationGetPartitionDesc(root, false);
	PartitionBoundInfo bounds = desc->boundinfo;
	Datum		value = TimestampTzGetDatum(recorded_at);
	bool		equal;
	int			index = -1;
	Oid			found;

	route.same_order = false;
	if (bounds != NULL)
	{
		int			offset = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
														   bounds, 1, &value, &equal);

		index = bounds->indexes[offset + 1];
		if (index < 0)
			index = bounds->default_index;
		route.from = bound_time(bounds, offset, DT_NOBEGIN);
		route.to = bound_time(bounds, offset + 1, DT_NOEND);
	}
	if (index < 0)
		ereport(ERROR,
				(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
				 errmsg("the audit trail has no partition for the current time"),
				 errhint("Call hub.ensure_audit_partitions(), or restore partition hub.audit_event_default.")));
	found = desc->oids[index];
	route.partition = found;

	/* with the lock on the root, nobody takes the partition away before it is locked itself */
	LockRelationOid(found, RowExclusiveLock);
	table_close(root, NoLock);
	return found;
}

/* Tell whether the route that is known leads there */
static bool
route_leads(TimestampTz recorded_at)
{
	return OidIsValid(route.partition) && recorded_at >= route.from && recorded_at < route.to;
}

/* Open the partition of a point in time, locked for writing */
static Relation
open_partition(TimestampTz recorded_at)
{
	Relation	partition;

	if (route_leads(recorded_at))
	{
		/* the lock brings word of a partition that was detached before */
		partition = try_relation_open(route.partition, RowExclusiveLock);
		if (partition != NULL && route_leads(recorded_at))
			return partition;
		if (partition != NULL)
			relation_close(partition, RowExclusiveLock);
	}
	return table_open(find_route(recorded_at), NoLock);
}

/* Put events into slots in the column order of root_desc */
static void
fill_slots(TupleTableSlot **rows, BufferedEvent *events, int count)
{
	MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

	for (; slots_made < count; slots_made++)
		slots[slots_made] = MakeSingleTupleTableSlot(root_desc, &TTSOpsHeapTuple);
	MemoryContextSwitchTo(old_context);
	for (int i = 0; i < count; i++)
		rows[i] = ExecStoreHeapTuple(events[i].tuple, slots[i], false);
}

/* Put events into slots of a partition whose columns have another order */
static void
fill_slots_mapped(TupleTableSlot **rows, BufferedEvent *events, int count, Relation partition,
				  TupleConversionMap *map)
{
	for (int i = 0; i < count; i++)
	{
		rows[i] = MakeSingleTupleTableSlot(RelationGetDescr(partition), &TTSOpsHeapTuple);
		ExecStoreHeapTuple(execute_attr_map_tuple(events[i].tuple, map), rows[i], false);
	}
}

/* Tell whether a partition takes events in the column order of root_desc */
static bool
same_order(Relation partition)
{
	TupleConversionMap *map;

	if (route.same_order && route.partition == RelationGetRelid(partition))
		return true;
	map = convert_tuples_by_name(root_desc, RelationGetDescr(partition));
	route.same_order = map == NULL && route.partition == RelationGetRelid(partition);
	return map == NULL;
}

/* Write events that all belong to one partition, which is open */
static void
write_batch(Relation partition, BufferedEvent *events, int count)
{
	bool		same = same_order(partition);
	TupleTableSlot **rows = palloc(sizeof(TupleTableSlot *) * count);

	if (same)
		fill_slots(rows, events, count);
	else
		fill_slots_mapped(rows, events, count, partition,
						  convert_tuples_by_name(root_desc, RelationGetDescr(partition)));
	table_writer_insert(partition, rows, count);
	for (int i = 0; i < count; i++)
	{
		if (same)
			ExecClearTuple(rows[i]);
		else
			ExecDropSingleTupleTableSlot(rows[i]);
	}
}

/* Forget the tail of the buffer */
static void
truncate_buffer(int first)
{
	if (first > 0)
	{
		for (int i = first; i < buffer_used; i++)
		{
			buffer_bytes -= buffer[i].tuple->t_len;
			heap_freetuple(buffer[i].tuple);
		}
	}
	else
	{
		buffer_bytes = 0;
		if (buffer_context != NULL)
			MemoryContextReset(buffer_context);
	}
	buffer_used = first;
}

/* Write the events of the current subtransaction; there are some */
static pg_noinline void
flush_buffer(void)
{
	static MemoryContext work_context = NULL;
	SubTransactionId sub_id;
	int			first = buffer_used;
	MemoryContext old_context;

	if (writing)
		return;
	sub_id = GetCurrentSubTransactionId();
	while (first > 0 && buffer[first - 1].sub_id == sub_id)
		first--;
	if (first == buffer_used)
		return;

	writing = true;
	if (work_context == NULL)
		work_context = AllocSetContextCreate(TopMemoryContext, "customer_hub audit write",
											 ALLOCSET_DEFAULT_SIZES);
	old_context = MemoryContextSwitchTo(work_context);
	for (int start = first; start < buffer_used;)
	{
		Relation	partition = open_partition(buffer[start].recorded_at);
		int			end = start + 1;

		while (end < buffer_used && route_leads(buffer[end].recorded_at))
			end++;
		write_batch(partition, buffer + start, end - start);
		table_close(partition, NoLock);
		start = end;
	}
	MemoryContextSwitchTo(old_context);
	MemoryContextReset(work_context);
	truncate_buffer(first);
	writing = false;
}

/* Write the events of the current subtransaction; asked after every statement */
void
store_flush(void)
{
	if (buffer_used > 0)
		flush_buffer();
}

/* Drop the events of a subtransaction that was rolled back */
void
store_forget_subtransaction(SubTransactionId sub_id)
{
	int			first = buffer_used;

	writing = false;
	while (first > 0 && buffer[first - 1].sub_id == sub_id)
		first--;
	if (first < buffer_used)
		truncate_buffer(first);
}

/* Hand the events of a subtransaction that ended well to its parent */
void
store_keep_subtransaction(SubTransactionId sub_id, SubTransactionId parent_id)
{
	for (int i = buffer_used - 1; i >= 0 && buffer[i].sub_id == sub_id; i--)
		buffer[i].sub_id = parent_id;
}

/* Drop all events: the transaction is over */
void
store_forget(void)
{
	writing = false;
	if (buffer_used > 0)
		truncate_buffer(0);
}
