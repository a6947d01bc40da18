/* pending.c: weak stand-ins for functions of lower rooms that are not there yet; remove when they are. */
#include "postgres.h"

#include "keyring/keyring.h"
#include "types/data_class.h"
#include "types/encrypted.h"

__attribute__((weak)) bool
data_class_find(const char *name, uint16 *class_id)
{
	return false;
}

__attribute__((weak)) bool
encrypted_type_family(Oid type_oid, EnvelopeFamily *family)
{
	return false;
}

__attribute__((weak)) void
keyring_subject_from_int8(int64 id, pg_uuid_t *subject)
{
	memset(subject, 0, sizeof(*subject));
	memcpy(subject->data + 8, &id, sizeof(id));
}

#include "identity/identity.h"

__attribute__((weak)) const Identity *
identity_effective(void)
{
	return NULL;
}

__attribute__((weak)) bool
identity_present(void)
{
	return false;
}

#include "keyring/envelope.h"

__attribute__((weak)) void
envelope_view(const struct varlena *sealed, EnvelopeView *view)
{
	memset(view, 0, sizeof(*view));
}
