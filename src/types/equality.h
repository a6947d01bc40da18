/*
 * equality.h: inside the types room. What equality goes by: the tags of sealed
 * values and of texts that are compared with them.
 */
#ifndef CUSTOMER_HUB_EQUALITY_H
#define CUSTOMER_HUB_EQUALITY_H

#include "postgres.h"

#include "fmgr.h"

#include "keyring/envelope.h"

/* Header and tag: all that a comparison reads of a value, toasted or not */
#define COMPARED_BYTES (ENVELOPE_HEADER_BYTES + ENVELOPE_NONCE_BYTES)

/* Read the equality tag of a value; raises CH103 when it has none. family may be NULL */
extern void equality_read_tag(Datum value, uint8 tag[ENVELOPE_TAG_BYTES], EnvelopeFamily *family);

/*
 * Compute the tag of a text as a value of a family. False, and a tag of zeros that
 * no value has, when it is no value of that type: then it equals none.
 */
extern bool equality_text_tag(EnvelopeFamily family, const char *input, Size len,
							  uint8 tag[ENVELOPE_TAG_BYTES]);

/* The same, computed once for as long as a caller is given the same text */
extern bool equality_cached_text_tag(FunctionCallInfo fcinfo, text *input, EnvelopeFamily family,
									 const uint8 **tag);

#endif							/* CUSTOMER_HUB_EQUALITY_H */
