/*
 * jsonb_reader.c: read a webhook body that may hold anything.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

#include "channels/jsonb_reader.h"

/* Tell whether a container is an object. */
bool
reader_is_object(JsonbContainer *container)
{
	return container != NULL && JsonContainerIsObject(container);
}

/* Tell whether a container is an array, and not a scalar dressed up as one. */
bool
reader_is_array(JsonbContainer *container)
{
	return container != NULL && JsonContainerIsArray(container) &&
		!JsonContainerIsScalar(container);
}

/* Follow a path of keys; NULL when any step is missing, or the value is null. */
JsonbValue *
reader_value(JsonbContainer *from, const char *path)
{
	for (;;)
	{
		const char *dot = strchr(path, '.');
		int			len = dot ? dot - path : (int) strlen(path);
		JsonbValue *value;

		if (!reader_is_object(from))
			return NULL;
		value = getKeyJsonValueFromContainer(from, path, len, NULL);
		if (value == NULL || value->type == jbvNull)
			return NULL;
		if (dot == NULL)
			return value;
		if (value->type != jbvBinary)
			return NULL;
		from = value->val.binary.data;
		path = dot + 1;
	}
}

/* Tell whether a path leads to a value other than null. */
bool
reader_has(JsonbContainer *from, const char *path)
{
	return reader_value(from, path) != NULL;
}

/* Return the object at a path. */
JsonbContainer *
reader_object(JsonbContainer *from, const char *path)
{
	JsonbValue *value = reader_value(from, path);

	if (value == NULL || value->type != jbvBinary || !reader_is_object(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/* Return the array at a path. */
JsonbContainer *
reader_array(JsonbContainer *from, const char *path)
{
	JsonbValue *value = reader_value(from, path);

	if (value == NULL || value->type != jbvBinary || !reader_is_array(value->val.binary.data))
		return NULL;
	return value->val.binary.data;
}

/* Count the elements of an array. */
int
reader_count(JsonbContainer *array)
{
	return reader_is_array(array) ? (int) JsonContainerSize(array) : 0;
}

/* Return an element of an array that is itself an object or an array. */
JsonbContainer *
reader_element(JsonbContainer *array, int index)
{
	JsonbValue *value;

	if (index < 0 || index >= reader_count(array))
		return NULL;
	value = getIthJsonbValueFromContainer(array, index);
	if (value == NULL || value->type != jbvBinary)
		return NULL;
	return value->val.binary.data;
}

/* Return an element of an array as text. */
char *
reader_element_text(JsonbContainer *array, int index)
{
	if (index < 0 || index >= reader_count(array))
		return NULL;
	return reader_scalar_text(getIthJsonbValueFromContainer(array, index));
}

/* Spell a scalar as text. */
char *
reader_scalar_text(const JsonbValue *value)
{
	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			if (value->val.string.len == 0)
				return NULL;
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* Return the text at a path. */
char *
reader_text(JsonbContainer *from, const char *path)
{
	return reader_scalar_text(reader_value(from, path));
}

/* Start reading the members of an object. */
void
reader_members(ReaderMembers *members, JsonbContainer *object)
{
	JsonbValue	ignored;

	members->iterator = NULL;
	members->key = NULL;
	if (!reader_is_object(object))
		return;
	members->iterator = JsonbIteratorInit(object);
	(void) JsonbIteratorNext(&members->iterator, &ignored, true);
}

/* Read the next member of an object. */
bool
reader_next_member(ReaderMembers *members)
{
	JsonbValue	key;

	if (members->iterator == NULL ||
		JsonbIteratorNext(&members->iterator, &key, true) != WJB_KEY)
		return false;
	members->key = pnstrdup(key.val.string.val, key.val.string.len);
	(void) JsonbIteratorNext(&members->iterator, &members->value, true);
	return true;
}
