/*
 * encrypted.h: what rooms above may do with values of the encrypted types.
 */
#ifndef CUSTOMER_HUB_ENCRYPTED_H
#define CUSTOMER_HUB_ENCRYPTED_H

#include "postgres.h"

#include "keyring/envelope.h"

/* What output prints in the place of a value */
#define ENCRYPTED_RESTRICTED "[restricted]"
#define ENCRYPTED_ERASED "[erased]"

extern void encrypted_init(void);

/* Tell the family of a type oid; false when it is no encrypted type of this extension */
extern bool encrypted_type_family(Oid type_oid, EnvelopeFamily *family);

/* Tell family and class of a column; a domain over an encrypted type is one, with the domain's class */
extern bool encrypted_column_family(Oid type, int32 typmod, EnvelopeFamily *family,
									uint16 *class_id);

/* Does a type hold values of an encrypted type: itself, or as elements or fields? */
extern bool encrypted_type_held(Oid type);

/*
 * Is what output printed for a value refused (CH104) where it gets the class of a
 * column, since nothing is there to compare it with? Filled by hub/.
 */
extern bool (*encrypted_refuses_printed) (void);

/*
 * Seal a plain value, whatever it looks like: tokens and masks are text here.
 * Returns NULL when it is not valid for the type; *reason says why.
 */
extern struct varlena *encrypted_seal_plain(EnvelopeFamily family, const char *text, Size len,
											uint16 class_id, const pg_uuid_t *subject,
											const char **reason);

/* Does a sealed value hold what this plain one would be sealed to? */
extern bool encrypted_holds_plain(const struct varlena *value, const char *text, Size len);

/*
 * Bind a value to its data subject and class, as the sealing trigger does.
 *
 * old_value is the stored value of the same row and column, or NULL. Returns
 * value itself when it is already bound so. Raises CH101 on a class change
 * without clearance, CH102 when it was sealed for another subject, CH104 when it
 * is printed text (a mask) that does not stand for old_value.
 */
extern struct varlena *encrypted_bind(struct varlena *value, struct varlena *old_value,
									  EnvelopeFamily family, uint16 class_id,
									  const pg_uuid_t *subject);

/*
 * Print a value for the current identity: plaintext (recorded as a reveal), mask,
 * pseudonym, notice, or the sealed token without identity.
 */
extern char *encrypted_disclose(const struct varlena *value);

/*
 * Give a value another class, and bind it. classify lets the engine give a class
 * to stored values that have none. Raises CH101.
 */
extern struct varlena *encrypted_reclass(struct varlena *value, uint16 class_id,
										 const pg_uuid_t *subject, bool classify);

/*
 * The tag of a value under a generation of tag keys: its own where that is the
 * generation, else of what it holds. False for a value without tag or of an
 * erased data subject.
 */
extern bool encrypted_tag_of_generation(const struct varlena *value, int generation,
										uint8 tag[ENVELOPE_TAG_BYTES]);

/*
 * The same value with its tag under another generation. A value without tag, or
 * of an erased data subject, is returned as it is.
 */
extern struct varlena *encrypted_retag(struct varlena *value, int generation);

/*
 * The same value sealed anew, for the copy of a column that takes its place:
 * pass keyring_next_tag_generation(), or keyring_tag_generation() when that is 0.
 * That of an erased data subject is returned as it is.
 */
extern struct varlena *encrypted_seal_anew(struct varlena *value, int generation);

/* Do two values hold the same, for the same data subject and in the same class? */
extern bool encrypted_same_content(const struct varlena *one, const struct varlena *other);

#endif							/* CUSTOMER_HUB_ENCRYPTED_H */
