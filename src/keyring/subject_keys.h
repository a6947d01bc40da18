/* subject_keys.h: inside the keyring only. One key per data subject. */
#ifndef CUSTOMER_HUB_SUBJECT_KEYS_H
#define CUSTOMER_HUB_SUBJECT_KEYS_H

#include "postgres.h"

#include "utils/uuid.h"

#include "keyring/keyring.h"

#define SUBJECT_KEY_BYTES 32

/*
 * Key of a subject in locked memory, valid until the next keyring call; NULL
 * unless the subject is alive. state and mark may be NULL. mark is a word beside
 * the key for whoever has something to remember of the subject: 0 at first. When the
 * cache lets go of the key within a transaction, keyring_mark_lost gets it.
 */
extern const uint8 *subject_key_find(const pg_uuid_t *subject, SubjectState *state,
									 uint64 **mark);

extern void subject_key_prefetch(const pg_uuid_t *subject);

extern void subject_keys_init(void);

#endif							/* CUSTOMER_HUB_SUBJECT_KEYS_H */
