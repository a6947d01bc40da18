/*
 * statement.c: signed statements, such as erasure receipts.
 *
 * A statement is a JSON object. Signed are the bytes of its canonical form, RFC
 * 8785 in UTF-8, without the member "signature". Numbers are integers that a
 * double holds exactly and member names are ASCII, so that any implementation
 * of RFC 8785 arrives at the same bytes.
 *
 * "public_key" and "signature" read "ed25519:" and hexadecimal digits.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "foundation/compat.h"
#include "keyring/keyring.h"

#define STATEMENT_SCHEME "ed25519:"
#define STATEMENT_SCHEME_LEN (sizeof(STATEMENT_SCHEME) - 1)
#define LARGEST_EXACT_INTEGER INT64CONST(9007199254740991)

typedef struct Member
{
	char	   *name;
	char	   *value;
} Member;

PG_FUNCTION_INFO_V1(hub_canonical_json);
PG_FUNCTION_INFO_V1(hub_statement_public_key);
PG_FUNCTION_INFO_V1(hub_sign_statement);
PG_FUNCTION_INFO_V1(hub_verify_statement);

static bool write_container(StringInfo out, JsonbContainer *container, const char *except);

/* Order members by name, as RFC 8785 does for ASCII names */
static int
compare_members(const void *a, const void *b)
{
	return strcmp(((const Member *) a)->name, ((const Member *) b)->name);
}

/* Is a JSON number an integer that a double holds exactly? */
static bool
number_as_integer(Numeric number, int64 *integer)
{
	Datum		limit = DirectFunctionCall1(int8_numeric, Int64GetDatum(LARGEST_EXACT_INTEGER));
	Datum		size = DirectFunctionCall1(numeric_abs, NumericGetDatum(number));

	if (DatumGetBool(DirectFunctionCall2(numeric_gt, size, limit)))
		return false;
	*integer = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number)));
	return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(number),
											DirectFunctionCall1(int8_numeric, Int64GetDatum(*integer))));
}

/* Write one value; false when it has no canonical form */
static bool
write_value(StringInfo out, JsonbValue *value)
{
	int64		integer;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			return true;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			return true;
		case jbvString:
			escape_json(out, pnstrdup(value->val.string.val, value->val.string.len));
			return true;
		case jbvNumeric:
			if (!number_as_integer(value->val.numeric, &integer))
				return false;
			appendStringInfo(out, INT64_FORMAT, integer);
			return true;
		case jbvBinary:
			return write_container(out, value->val.binary.data, NULL);
		default:
			return false;
	}
}

/* Write the members of an object in order, leaving out the one named except */
static bool
write_object(StringInfo out, JsonbIterator **iterator, const char *except)
{
	JsonbIteratorToken token;
	JsonbValue	value;
	Member	   *members = palloc(sizeof(Member) * 16);
	int			count = 0;
	int			room = 16;

	while ((token = JsonbIteratorNext(iterator, &value, true)) != WJB_END_OBJECT)
	{
		Member		member;
		StringInfoData text;

		member.name = pnstrdup(value.val.string.val, value.val.string.len);
		for (const char *c = member.name; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				return false;
		JsonbIteratorNext(iterator, &value, true);
		if (except != NULL && strcmp(member.name, except) == 0)
			continue;
		initStringInfo(&text);
		if (!write_value(&text, &value))
			return false;
		member.value = text.data;
		if (count == room)
			members = repalloc(members, sizeof(Member) * (room *= 2));
		members[count++] = member;
	}

	qsort(members, count, sizeof(Member), compare_members);
	appendStringInfoChar(out, '{');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		escape_json(out, members[i].name);
		appendStringInfoChar(out, ':');
		appendStringInfoString(out, members[i].value);
	}
	appendStringInfoChar(out, '}');
	return true;
}

/* Write an object, an array or a bare value */
static bool
write_container(StringInfo out, JsonbContainer *container, const char *except)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		bare;
	bool		first = true;

	check_stack_depth();
	token = JsonbIteratorNext(&iterator, &value, false);
	if (token == WJB_BEGIN_OBJECT)
		return write_object(out, &iterator, except);

	bare = value.val.array.rawScalar;
	if (!bare)
		appendStringInfoChar(out, '[');
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_END_ARRAY)
	{
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		if (!write_value(out, &value))
			return false;
	}
	if (!bare)
		appendStringInfoChar(out, ']');
	return true;
}

/* Return the bytes that are signed, in UTF-8; NULL when there is no canonical form */
static char *
signed_bytes(Jsonb *statement, Size *len)
{
	StringInfoData out;
	char	   *utf8;

	initStringInfo(&out);
	if (!write_container(&out, &statement->root, "signature"))
		return NULL;
	utf8 = pg_server_to_any(out.data, out.len, PG_UTF8);
	*len = strlen(utf8);
	return utf8;
}

/* Return a string member of a statement, or NULL */
static char *
string_member(Jsonb *statement, const char *name)
{
	JsonbValue	buffer;
	JsonbValue *value;

	if (!JB_ROOT_IS_OBJECT(statement))
		return NULL;
	value = getKeyJsonValueFromContainer(&statement->root, name, strlen(name), &buffer);
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* Write bytes as scheme and hexadecimal digits */
static text *
scheme_text(const uint8 *bytes, Size len)
{
	char	   *out = palloc(STATEMENT_SCHEME_LEN + 2 * len);

	memcpy(out, STATEMENT_SCHEME, STATEMENT_SCHEME_LEN);
	hex_encode((const char *) bytes, len, out + STATEMENT_SCHEME_LEN);
	return cstring_to_text_with_len(out, STATEMENT_SCHEME_LEN + 2 * len);
}

/* Read exactly len bytes from scheme and lower-case hexadecimal digits */
static bool
scheme_bytes(const char *in, uint8 *bytes, Size len)
{
	if (in == NULL || strlen(in) != STATEMENT_SCHEME_LEN + 2 * len ||
		strncmp(in, STATEMENT_SCHEME, STATEMENT_SCHEME_LEN) != 0 ||
		strspn(in + STATEMENT_SCHEME_LEN, "0123456789abcdef") != 2 * len)
		return false;
	hex_decode(in + STATEMENT_SCHEME_LEN, 2 * len, (char *) bytes);
	return true;
}

/* Complain that a value cannot be written canonically */
static void
refuse_statement(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the JSON value has no canonical form"),
			 errdetail("Member names must be ASCII, and numbers integers of at most 53 bits.")));
}

/* Return a JSON value in its canonical form */
Datum
hub_canonical_json(PG_FUNCTION_ARGS)
{
	StringInfoData out;

	initStringInfo(&out);
	if (!write_container(&out, &PG_GETARG_JSONB_P(0)->root, NULL))
		refuse_statement();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* Return the public key that statements are verified with */
Datum
hub_statement_public_key(PG_FUNCTION_ARGS)
{
	uint8		key[KEYRING_PUBLIC_KEY_BYTES];

	keyring_public_key(SIGNING_KEY_RECEIPT, KEYRING_FIRST_GENERATION, key);
	PG_RETURN_TEXT_P(scheme_text(key, sizeof(key)));
}

/* Return the signature of a statement */
Datum
hub_sign_statement(PG_FUNCTION_ARGS)
{
	uint8		signature[KEYRING_SIGNATURE_BYTES];
	Size		len;
	char	   *bytes = signed_bytes(PG_GETARG_JSONB_P(0), &len);

	if (bytes == NULL)
		refuse_statement();
	keyring_sign(SIGNING_KEY_RECEIPT, KEYRING_FIRST_GENERATION, bytes, len, signature);
	PG_RETURN_TEXT_P(scheme_text(signature, sizeof(signature)));
}

/* Is this a statement of that type, signed with that key? */
Datum
hub_verify_statement(PG_FUNCTION_ARGS)
{
	Jsonb	   *statement = PG_GETARG_JSONB_P(0);
	char	   *type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *key_text = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *stated_type = string_member(statement, "type");
	char	   *stated_key = string_member(statement, "public_key");
	uint8		key[KEYRING_PUBLIC_KEY_BYTES];
	uint8		signature[KEYRING_SIGNATURE_BYTES];
	char	   *bytes;
	Size		len;

	if (!scheme_bytes(key_text, key, sizeof(key)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the public key is not valid"),
				 errhint("Write ed25519: and 64 hexadecimal digits, as hub.receipt_public_key() does.")));
	if (stated_type == NULL || strcmp(stated_type, type) != 0 ||
		stated_key == NULL || strcmp(stated_key, key_text) != 0 ||
		!scheme_bytes(string_member(statement, "signature"), signature, sizeof(signature)))
		PG_RETURN_BOOL(false);
	bytes = signed_bytes(statement, &len);
	PG_RETURN_BOOL(bytes != NULL && keyring_verify_signature(key, bytes, len, signature));
}
