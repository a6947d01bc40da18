/*
 * verify_share.c: checking blocks and pages with several processes.
 *
 * Leader and workers take the next part from one counter, so a worker that has
 * a large block leaves the others to the rest. A plan of the executor would hand
 * out whole pages of hub.audit_block, with many blocks each. Breaks that workers
 * find come back through a queue each.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "port/atomics.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/memutils.h"

#include "audit/checkpoint.h"
#include "audit/log_key.h"
#include "audit/verify.h"

#define PAGES_AT_A_TIME 128
#define QUEUE_BYTES 16384

#define KEY_WORK UINT64CONST(1)
#define KEY_QUEUES UINT64CONST(2)

/* What is to be done, and how much of it was taken */
typedef struct Work
{
	pg_atomic_uint64 next;
	uint64		parts;
	int			range_count;
	VerifyRange ranges[FLEXIBLE_ARRAY_MEMBER];
} Work;

/* A break on its way to the leader, with its two texts behind it */
typedef struct Message
{
	int64		block;
	uint64		xid;
	int32		ordinal;
	int			kind_len;		/* with the terminating zero */
} Message;

typedef struct QueueSink
{
	VerifySink	sink;
	shm_mq_handle *queue;
} QueueSink;

/* Return into how many parts a range is split */
static uint64
parts_of(const VerifyRange *range)
{
	if (!OidIsValid(range->relid))
		return range->count;
	return (range->count + PAGES_AT_A_TIME - 1) / PAGES_AT_A_TIME;
}

/* Check one part */
static void
check_part(const Work *work, const VerifyLog *log, uint64 part, VerifySink *sink)
{
	const VerifyRange *range = work->ranges;

	while (part >= parts_of(range))
		part -= parts_of(range++);
	if (!OidIsValid(range->relid))
		verify_block(log, range->first + (int64) part, sink);
	else
		verify_pages(range->relid,
					 (BlockNumber) (range->first + (int64) part * PAGES_AT_A_TIME),
					 (BlockNumber) Min(PAGES_AT_A_TIME, range->count - (int64) part * PAGES_AT_A_TIME),
					 sink);
}

/* Take the next part and check it; false when there is none */
static bool
take_part(Work *work, const VerifyLog *log, VerifySink *sink, MemoryContext part_context)
{
	uint64		part = pg_atomic_fetch_add_u64(&work->next, 1);
	MemoryContext old_context;

	if (part >= work->parts)
		return false;
	CHECK_FOR_INTERRUPTS();
	MemoryContextReset(part_context);
	old_context = MemoryContextSwitchTo(part_context);
	check_part(work, log, part, sink);
	MemoryContextSwitchTo(old_context);
	return true;
}

/* Return memory for the check of one part */
static MemoryContext
make_part_context(void)
{
	return AllocSetContextCreate(CurrentMemoryContext, "customer_hub verification",
								 ALLOCSET_DEFAULT_SIZES);
}

/* Read what all blocks have in common */
static void
read_log(VerifyLog *log)
{
	log->origin = checkpoint_origin();
	log->keys = log_keys_read();
}

/* Send a break to the leader */
static void
send_break(VerifySink *sink, const VerifyBreak *found)
{
	Message		message = {found->block, found->xid, found->ordinal, (int) strlen(found->kind) + 1};
	shm_mq_iovec parts[3] = {
		{(const char *) &message, sizeof(message)},
		{found->kind, message.kind_len},
		{found->detail, strlen(found->detail) + 1}
	};

	/* a leader that is gone has no use for it */
	(void) shm_mq_sendv(((QueueSink *) sink)->queue, parts, 3, false, true);
}

/* Hand on a break that a worker sent */
static void
receive_break(const char *data, VerifySink *sink)
{
	Message		message;
	const char *kind = data + sizeof(message);

	memcpy(&message, data, sizeof(message));
	verify_report(sink, kind, message.block, message.xid, message.ordinal, kind + message.kind_len);
}

/* Take what workers have sent; with wait, until they have all ended */
static void
receive_breaks(shm_mq_handle **queues, int count, bool wait, VerifySink *sink)
{
	for (int i = 0; i < count; i++)
	{
		Size		len;
		void	   *data;

		while (queues[i] != NULL)
		{
			shm_mq_result result = shm_mq_receive(queues[i], &len, &data, !wait);

			if (result == SHM_MQ_DETACHED)
				queues[i] = NULL;
			if (result != SHM_MQ_SUCCESS)
				break;
			receive_break(data, sink);
		}
	}
}

/* Check parts until none is left, in a worker */
void
audit_verify_worker_main(dsm_segment *segment, shm_toc *toc)
{
	Work	   *work = shm_toc_lookup(toc, KEY_WORK, false);
	char	   *queues = shm_toc_lookup(toc, KEY_QUEUES, false);
	shm_mq	   *queue = (shm_mq *) (queues + (Size) ParallelWorkerNumber * QUEUE_BYTES);
	QueueSink	sink = {{send_break}};
	MemoryContext part_context = make_part_context();
	VerifyLog	log;

	shm_mq_set_sender(queue, MyProc);
	sink.queue = shm_mq_attach(queue, segment, NULL);
	SPI_connect();
	read_log(&log);
	while (take_part(work, &log, &sink.sink, part_context))
		;
	SPI_finish();
	shm_mq_detach(sink.queue);
}

/* Describe the work */
static void
fill_work(Work *work, const VerifyRange *ranges, int count)
{
	pg_atomic_init_u64(&work->next, 0);
	work->parts = 0;
	work->range_count = count;
	for (int i = 0; i < count; i++)
	{
		work->ranges[i] = ranges[i];
		work->parts += parts_of(&ranges[i]);
	}
}

/* Check all ranges, with workers */
static void
share(Work *work, Size work_size, const VerifyLog *log, int workers, VerifySink *sink)
{
	ParallelContext *context;
	Work	   *shared;
	char	   *space;
	shm_mq_handle **queues = palloc0(sizeof(shm_mq_handle *) * workers);
	MemoryContext part_context = make_part_context();

	EnterParallelMode();
	context = CreateParallelContext("customer_hub", "audit_verify_worker_main", workers);
	shm_toc_estimate_chunk(&context->estimator, work_size);
	shm_toc_estimate_chunk(&context->estimator, (Size) workers * QUEUE_BYTES);
	shm_toc_estimate_keys(&context->estimator, 2);
	InitializeParallelDSM(context);
	shared = shm_toc_allocate(context->toc, work_size);
	memcpy(shared, work, work_size);
	pg_atomic_init_u64(&shared->next, 0);
	shm_toc_insert(context->toc, KEY_WORK, shared);
	space = shm_toc_allocate(context->toc, (Size) workers * QUEUE_BYTES);
	shm_toc_insert(context->toc, KEY_QUEUES, space);
	for (int i = 0; i < context->nworkers; i++)
		shm_mq_set_receiver(shm_mq_create(space + (Size) i * QUEUE_BYTES, QUEUE_BYTES), MyProc);
	LaunchParallelWorkers(context);
	for (int i = 0; i < context->nworkers_launched; i++)
		queues[i] = shm_mq_attach((shm_mq *) (space + (Size) i * QUEUE_BYTES), context->seg,
								  context->worker[i].bgwhandle);
	while ((parallel_leader_participation || context->nworkers_launched == 0) &&
		   take_part(shared, log, sink, part_context))
		receive_breaks(queues, context->nworkers_launched, false, sink);
	receive_breaks(queues, context->nworkers_launched, true, sink);
	WaitForParallelWorkersToFinish(context);
	DestroyParallelContext(context);
	ExitParallelMode();
	MemoryContextDelete(part_context);
}

/* Check all ranges; see verify.h */
void
verify_share(const VerifyRange *ranges, int count, int workers, VerifySink *sink)
{
	Size		size = offsetof(Work, ranges) + sizeof(VerifyRange) * (Size) count;
	Work	   *work = palloc_extended(size, MCXT_ALLOC_HUGE);
	VerifyLog	log;

	read_log(&log);
	fill_work(work, ranges, count);
	workers = (int) Min((uint64) workers, work->parts > 0 ? work->parts - 1 : 0);
	if (workers > 0 && !IsInParallelMode())
		share(work, size, &log, workers, sink);
	else
	{
		MemoryContext part_context = make_part_context();

		while (take_part(work, &log, sink, part_context))
			;
		MemoryContextDelete(part_context);
	}
	pfree(work);
}
