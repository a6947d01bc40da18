/* root_keys.h: inside the keyring only. One root key per epoch, loaded by the postmaster. */
#ifndef CUSTOMER_HUB_ROOT_KEYS_H
#define CUSTOMER_HUB_ROOT_KEYS_H

#include "postgres.h"

#define ROOT_KEY_BYTES 32
#define ROOT_KEY_MAX_EPOCHS 64
#define FINGERPRINT_BYTES 16

/* What a root key is used for; never used directly */
typedef enum RootKeyUse
{
	ROOT_USE_FINGERPRINT = 1,
	ROOT_USE_WRAP_SUBJECT,
	ROOT_USE_SEALED_TOKEN,
	ROOT_USE_IDENTITY,
	ROOT_USE_WRAP_SERVICE,
	ROOT_USE_KEYRING_EXPORT,
	ROOT_USE_SERVICE = 1000,	/* plus the ServiceKey */
	ROOT_USE_SIGNING = 2000		/* plus the SigningKey */
} RootKeyUse;

extern void root_keys_load(void);
extern bool root_keys_any(void);
extern const char *root_keys_source(void);
extern bool root_keys_loaded(int epoch);
extern int	root_keys_highest_epoch(void);
extern int	root_keys_sqlstate(void);
extern const char *root_keys_problem(void);
extern const char *root_keys_hint(void);
extern void root_keys_derive(int epoch, uint64 use, uint8 *key, Size key_len);

#endif							/* CUSTOMER_HUB_ROOT_KEYS_H */
