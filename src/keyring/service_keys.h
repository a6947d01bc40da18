/* service_keys.h: inside the keyring only. Where hub-wide keys come from. */
#ifndef CUSTOMER_HUB_SERVICE_KEYS_H
#define CUSTOMER_HUB_SERVICE_KEYS_H

#include "postgres.h"

#include "keyring/keyring.h"

#define SERVICE_KEY_BYTES 32

extern void service_keys_init(void);

/* A hub-wide key, valid until the next keyring call */
extern const uint8 *service_key(ServiceKey key);

/* The tag key of a generation; key is one of SERVICE_KEY_TAG_... */
extern const uint8 *service_key_of_generation(ServiceKey key, int generation);

/* A signing key pair of a generation, valid until the next keyring call */
extern const uint8 *signing_key_secret(SigningKey key, int generation);
extern const uint8 *signing_key_public(SigningKey key, int generation);

/* The key that tokens of an epoch are authenticated with; false when it is gone */
extern bool service_keys_token_key(int epoch, uint8 key[SERVICE_KEY_BYTES]);

#endif							/* CUSTOMER_HUB_SERVICE_KEYS_H */
