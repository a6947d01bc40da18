/*
 * locked_memory.c: memory for keys.
 *
 * sodium_malloc() locks what it returns but does not tell when the kernel
 * refuses, as it does beyond RLIMIT_MEMLOCK. Then keys may be swapped out, so
 * that is said, once per server start. Core dumps leave them out in any case.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"
#include "port/atomics.h"

#include "keyring/locked_memory.h"

/* The process that the kernel refused, if it is this one */
static int	refused_to_pid = 0;

static pg_atomic_flag *warned = NULL;

/* Remember that the kernel refuses, and say so unless that was said before */
static void
note_refusal(void)
{
	int			saved_errno = errno;

	refused_to_pid = MyProcPid;
	if (warned != NULL && !pg_atomic_test_set_flag(warned))
		return;
	errno = saved_errno;
	ereport(WARNING,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("customer_hub: could not lock the memory that holds keys: %m"),
			 errdetail("Keys are kept out of core dumps, but may be swapped out."),
			 errhint("Raise the limit of locked memory of the server: LimitMEMLOCK of systemd, or \"ulimit -l\". This is said once; hub.keyring_status shows it.")));
}

/* Allocate zeroed memory for keys */
void *
locked_alloc(Size size)
{
	void	   *memory = sodium_malloc(size);

	if (memory == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory for the keyring")));
	sodium_memzero(memory, size);
	locked_again(memory, size);
	return memory;
}

/* Lock memory and tell whether that worked; locks do not nest, so once more does no harm */
void
locked_again(void *memory, Size size)
{
	if (sodium_mlock(memory, size) != 0)
		note_refusal();
}

/* Has the kernel locked all that this process asked for? */
bool
locked_all(void)
{
	return refused_to_pid != MyProcPid;
}

/* Know the flag in shared memory that keeps the warning to one */
void
locked_share_warning(pg_atomic_flag *flag)
{
	warned = flag;
}
