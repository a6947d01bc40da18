/* nonce.h: inside the keyring only. Random bytes without a system call each. */
#ifndef CUSTOMER_HUB_NONCE_H
#define CUSTOMER_HUB_NONCE_H

#include "postgres.h"

extern void nonce_fill(void *out, Size out_len);

#endif							/* CUSTOMER_HUB_NONCE_H */
