#include "postgres.h"

#include "utils/memutils.h"

#include "foundation/memory.h"

typedef struct SecretGuard
{
	MemoryContextCallback callback;
	void	   *secret;
	Size		size;
} SecretGuard;

/* Zero memory in a way that the compiler may not remove */
void
memory_zero(void *ptr, Size size)
{
	explicit_bzero(ptr, size);
}

/* Zero a secret when its memory context is reset or deleted, errors included */
static void
zero_guarded_secret(void *arg)
{
	SecretGuard *guard = arg;

	if (guard->secret != NULL)
		memory_zero(guard->secret, guard->size);
}

/*
 * Allocate zeroed memory for a secret in the current context.
 *
 * The memory is zeroed again when the context goes away, whichever way it
 * goes; memory_free_secret() does so earlier.
 */
void *
memory_alloc_secret(Size size)
{
	SecretGuard *guard = palloc(sizeof(SecretGuard) + MAXIMUM_ALIGNOF + size);
	void	   *secret = (void *) MAXALIGN(guard + 1);

	memset(secret, 0, size);
	guard->secret = secret;
	guard->size = size;
	guard->callback.func = zero_guarded_secret;
	guard->callback.arg = guard;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &guard->callback);
	return secret;
}

/* Zero a secret of memory_alloc_secret() as soon as it is no longer needed */
void
memory_free_secret(void *secret, Size size)
{
	/* the block itself stays with its context: the callback still points at it */
	memory_zero(secret, size);
}
