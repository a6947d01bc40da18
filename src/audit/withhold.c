/*
 * withhold.c: rows that wait for the reveals in them to be committed.
 *
 * With customer_hub.durable_reveal no plaintext leaves the server before its reveal
 * is on disk. To wait for each value would be a commit for each. So the messages that
 * carry rows are kept back, before they reach the buffer of the socket, until there
 * are enough of them or the statement ends; then one wait does for all.
 */
#include "postgres.h"

/*
 * libpq.h leads to the headers of GSSAPI, which are a package more. Without them a
 * connection is laid out the same, for just such cases, and nothing here looks into it.
 */
#undef ENABLE_GSS

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "libpq/libpq.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include "audit/withhold.h"
#include "audit/worker.h"

/* Rows that are kept back at most, in bytes; a longer row counts alone */
#define WITHHELD_MAX_BYTES (256 * 1024)

/* Types of messages of the protocol; PostgreSQL names them since 17 only */
#define MESSAGE_ROW 'D'
#define MESSAGE_ERROR 'E'
#define MESSAGE_NOTICE 'N'
#define MESSAGE_NOTIFICATION 'A'
#define MESSAGE_PARAMETER 'S'

/* What sends messages without us; NULL until it is needed */
static const PQcommMethods *next_methods = NULL;
static PQcommMethods methods;

/* The rows, each after its length, and what they wait for */
static StringInfoData withheld;
static AuditSlot *awaited_slot = NULL;	/* NULL: nothing is kept back */
static uint64 awaited_position = 0;

/* Forget the rows without sending them */
static void
drop_rows(void)
{
	awaited_slot = NULL;
	if (withheld.len == 0)
		return;
	explicit_bzero(withheld.data, withheld.len);
	if (withheld.maxlen > 2 * WITHHELD_MAX_BYTES)
	{
		pfree(withheld.data);
		withheld.data = NULL;
	}
	withheld.len = 0;
}

/* Send the rows once their reveals are committed; raises CH401, and then sends none */
static int
release_rows(void)
{
	int			result = 0;

	if (awaited_slot == NULL)
		return 0;
	worker_wait_committed(awaited_slot, awaited_position);
	for (int at = 0; at < withheld.len && result == 0;)
	{
		uint32		len;

		memcpy(&len, withheld.data + at, sizeof(len));
		at += sizeof(len);
		result = next_methods->putmessage(MESSAGE_ROW, withheld.data + at, len);
		at += len;
	}
	drop_rows();
	return result;
}

/* Keep a row back */
static void
keep_row(const char *data, Size len)
{
	uint32		prefix = (uint32) len;

	if (withheld.data == NULL)
	{
		MemoryContext old_context = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&withheld);
		MemoryContextSwitchTo(old_context);
	}
	appendBinaryStringInfo(&withheld, (char *) &prefix, sizeof(prefix));
	appendBinaryStringInfo(&withheld, data, (int) len);
}

/* Send a message, or keep it back */
static int
withhold_message(char type, const char *data, size_t len)
{
	if (awaited_slot != NULL)
	{
		switch (type)
		{
			case MESSAGE_ROW:
				/* long rows are not gathered: StringInfo has a limit, and so has memory */
				if (len > WITHHELD_MAX_BYTES)
				{
					if (release_rows() != 0)
						return EOF;
					break;
				}
				keep_row(data, len);
				return withheld.len >= WITHHELD_MAX_BYTES ? release_rows() : 0;
			case MESSAGE_NOTICE:
			case MESSAGE_NOTIFICATION:
			case MESSAGE_PARAMETER:
				break;			/* may come between rows, wherever */
			case MESSAGE_ERROR:
				break;			/* the end of the transaction drops the rows */
			default:
				if (release_rows() != 0)
					return EOF;
				break;
		}
	}
	return next_methods->putmessage(type, data, len);
}

/* Start over after an error */
static void
withhold_reset(void)
{
	drop_rows();
	next_methods->comm_reset();
}

/* Keep rows back; see withhold.h */
bool
withhold_until(AuditSlot *slot, uint64 position)
{
	if (whereToSendOutput != DestRemote)
		return false;
	if (PqCommMethods != &methods)
	{
		next_methods = PqCommMethods;
		methods = *next_methods;
		methods.putmessage = withhold_message;
		methods.comm_reset = withhold_reset;
		PqCommMethods = &methods;
	}
	awaited_slot = slot;
	awaited_position = position;
	return true;
}

/* Send what was kept back; see withhold.h */
void
withhold_end(void)
{
	(void) release_rows();		/* a lost connection is noticed by the next message */
}

/* Forget the rows of a transaction that failed */
static void
forget_rows(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		drop_rows();
}

/* Watch transactions fail; called once from _PG_init */
void
withhold_init(void)
{
	RegisterXactCallback(forget_rows, NULL);
}
