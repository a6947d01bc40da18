/*
 * jsonb_reader.h: read a webhook body that may hold anything.
 *
 * Nothing here raises an error over the shape of the input: what is missing or
 * of another type is NULL, and the parser decides what that means. A path is
 * keys with dots between: "context.id".
 */
#ifndef CUSTOMER_HUB_JSONB_READER_H
#define CUSTOMER_HUB_JSONB_READER_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* containers; NULL in, NULL out */
extern JsonbContainer *reader_object(JsonbContainer *from, const char *path);
extern JsonbContainer *reader_array(JsonbContainer *from, const char *path);
extern bool reader_is_object(JsonbContainer *container);
extern bool reader_is_array(JsonbContainer *container);
extern bool reader_has(JsonbContainer *from, const char *path);

/* elements of an array; 0 and NULL when it is none */
extern int	reader_count(JsonbContainer *array);
extern JsonbContainer *reader_element(JsonbContainer *array, int index);
extern char *reader_element_text(JsonbContainer *array, int index);

/* a string, number or boolean as text; NULL when absent, null or empty */
extern char *reader_text(JsonbContainer *from, const char *path);

/* any value as a value of its own; NULL when absent or null */
extern JsonbValue *reader_value(JsonbContainer *from, const char *path);

/* members of an object in stored order; false after the last */
typedef struct ReaderMembers
{
	JsonbIterator *iterator;
	char	   *key;
	JsonbValue	value;
} ReaderMembers;

extern void reader_members(ReaderMembers *members, JsonbContainer *object);
extern bool reader_next_member(ReaderMembers *members);

/* a scalar's text; NULL for containers, null and the empty string */
extern char *reader_scalar_text(const JsonbValue *value);

/* moments: false when the text is none */
extern bool moment_from_epoch(const char *text, TimestampTz *moment);
extern bool moment_from_iso8601(const char *text, TimestampTz *moment);
extern bool moment_from_rfc2822(const char *text, TimestampTz *moment);

#endif							/* CUSTOMER_HUB_JSONB_READER_H */
