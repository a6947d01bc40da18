/*
 * family.h: inside the types room. What differs between the encrypted types.
 */
#ifndef CUSTOMER_HUB_FAMILY_H
#define CUSTOMER_HUB_FAMILY_H

#include "postgres.h"

#include "keyring/envelope.h"

#define BULLET "\xE2\x80\xA2"	/* U+2022 */

extern const char *family_name(EnvelopeFamily family);

/*
 * Check input and bring it into the form that is stored: palloc'd text with a
 * terminating zero byte. Returns NULL when it is bad; *reason says why and
 * never quotes it.
 */
extern char *family_normalize(EnvelopeFamily family, const char *text, Size len,
							  Size *stored_len, const char **reason);

/* Equality tag of a stored form, under the current generation of tag keys or another */
extern void family_tag(EnvelopeFamily family, const char *stored, Size len,
					   uint8 tag[ENVELOPE_TAG_BYTES]);
extern void family_tag_of_generation(EnvelopeFamily family, int generation, const char *stored,
									 Size len, uint8 tag[ENVELOPE_TAG_BYTES]);

/* What mask clearance shows of a stored form */
extern char *family_mask(EnvelopeFamily family, const char *stored, Size len);

/* Could a text be what output printed instead of a value: a mask, a pseudonym, a notice? */
extern bool family_looks_printed(EnvelopeFamily family, const char *text, Size len);

#endif							/* CUSTOMER_HUB_FAMILY_H */
