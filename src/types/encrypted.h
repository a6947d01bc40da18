/*
 * encrypted.h: what rooms above may do with values of the encrypted types.
 */
#ifndef CUSTOMER_HUB_ENCRYPTED_H
#define CUSTOMER_HUB_ENCRYPTED_H

#include "postgres.h"

#include "keyring/envelope.h"

/* Tell the family of a type oid; false when it is no encrypted type of this extension */
extern bool encrypted_type_family(Oid type_oid, EnvelopeFamily *family);

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

/* Copy without equality tag, for the audit: tags outlive the key */
extern struct varlena *encrypted_without_tag(struct varlena *value);

#endif							/* CUSTOMER_HUB_ENCRYPTED_H */
