/*
 * tag_generation.c: which generation of tag keys equality tags are made under.
 *
 * One generation is current: everything that is written or looked up goes by it.
 * While tag keys are rotated a next one is open, under which copies of columns
 * are made; one transaction puts them in the columns' place and makes it current.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/htup_details.h"
#include "fmgr.h"

#include "foundation/catalog.h"
#include "keyring/envelope.h"
#include "keyring/keyring.h"
#include "keyring/service_keys.h"
#include "keyring/tag_generation.h"

/* Columns of hub.tag_generation */
#define ANUM_GENERATION 1
#define ANUM_CURRENT_SINCE 3

/* What this backend knows of hub.tag_generation */
static CatalogCopy generations = {.relation_name = "tag_generation"};
static int	current_generation = KEYRING_FIRST_GENERATION;
static int	next_generation = 0;

/* What reading hub.tag_generation finds */
typedef struct GenerationRange
{
	int			current;
	int			next;			/* 0 for none */
} GenerationRange;

/* Watch hub.tag_generation; called once from keyring_init */
void
tag_generation_init(void)
{
	catalog_copy_watch(&generations);
}

/* Take in a generation: one without current_since is open */
static void
read_generation(HeapTuple tuple, TupleDesc desc, void *state)
{
	GenerationRange *range = state;
	bool		isnull;
	int			generation = DatumGetInt32(heap_getattr(tuple, ANUM_GENERATION, desc, &isnull));

	(void) heap_getattr(tuple, ANUM_CURRENT_SINCE, desc, &isnull);
	if (isnull)
		range->next = generation;
	else
		range->current = Max(range->current, generation);
}

/* Read hub.tag_generation; a hub that has not rotated its tag keys has no row there */
static void
read_generations(void)
{
	GenerationRange range = {KEYRING_FIRST_GENERATION, 0};

	if (!catalog_copy_read(&generations, read_generation, &range))
		return;
	current_generation = range.current;
	next_generation = range.next > range.current ? range.next : 0;
}

/* Return the generation of what is written and looked up now */
int
keyring_tag_generation(void)
{
	if (unlikely(!generations.valid))
		read_generations();
	return current_generation;
}

/* Return the generation that a rotation of tag keys goes to, or 0 */
int
keyring_next_tag_generation(void)
{
	if (unlikely(!generations.valid))
		read_generations();
	return next_generation;
}

/* Return what the header of a value says of a generation */
uint8
tag_generation_bits(int generation)
{
	return (uint8) ((generation - 1) << ENVELOPE_GENERATION_SHIFT) & ENVELOPE_GENERATION_MASK;
}

/*
 * Return the generation that a header means: two bits are enough, as values are
 * of the next, the current, or one of the last generations.
 */
int
tag_generation_of_bits(uint8 bits)
{
	int			newest = Max(keyring_tag_generation(), next_generation);
	int			distance = ((newest - 1) - (bits >> ENVELOPE_GENERATION_SHIFT)) & 3;

	return Max(newest - distance, KEYRING_FIRST_GENERATION);
}

/* Compute an equality tag: keyed BLAKE2b under the key of a generation */
void
keyring_tag(ServiceKey key, int generation, const void *message, Size message_len,
			uint8 tag[KEYRING_TAG_BYTES])
{
	crypto_generichash(tag, KEYRING_TAG_BYTES, message, message_len,
					   generation == KEYRING_FIRST_GENERATION ? service_key(key) :
					   service_key_of_generation(key, generation), SERVICE_KEY_BYTES);
}
