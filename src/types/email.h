/* email.h: RFC 5321 addresses as plain text, for the types above plain text. */
#ifndef CUSTOMER_HUB_EMAIL_H
#define CUSTOMER_HUB_EMAIL_H

#include "postgres.h"

#include "mb/pg_wchar.h"

#define EMAIL_MAX_BYTES 254		/* RFC 5321 4.5.3.1.3, without the brackets */

/*
 * Check an address and write its stored form (domain lower-cased) to out, which
 * holds EMAIL_MAX_BYTES + 1 bytes. Returns NULL, or why the address is bad.
 */
extern const char *email_normalize(const char *text, Size len, char *out, Size *out_len);

/* Fold a stored form to what equality compares: all of it lower-cased */
extern void email_fold(const char *email, Size len, char *out, Size *out_len);

/* Fold one character, the same on every server */
extern pg_wchar email_fold_character(pg_wchar c);

#endif							/* CUSTOMER_HUB_EMAIL_H */
