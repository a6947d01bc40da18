/*
 * phone.h: E.164 numbers in eight bytes.
 *
 * The value is the digits as an integer, calling code first; a code never
 * starts with 0, so no digit is lost.
 */
#ifndef CUSTOMER_HUB_PHONE_H
#define CUSTOMER_HUB_PHONE_H

#include "postgres.h"

#include "utils/array.h"

#define PHONE_MAX_DIGITS 15
#define PHONE_TEXT_BYTES (PHONE_MAX_DIGITS + 2) /* plus sign and zero byte */

/* Check a number and return its value. Returns NULL, or why the number is bad */
extern const char *phone_parse(const char *text, Size len, int64 *phone);
extern void phone_format(int64 phone, char text[PHONE_TEXT_BYTES]);

/* The digits of the calling code, or 0; regions points at "DE" or "AG,AI,…" */
extern int	phone_calling_code(int64 phone, const char **regions);

/* Candidate territories of a number as an array of hub.region */
extern ArrayType *phone_region_array(int64 phone, Oid region_type);

#endif							/* CUSTOMER_HUB_PHONE_H */
