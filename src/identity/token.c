/*
 * token.c: JWS compact serialization (RFC 7515) with EdDSA (RFC 8037) and the
 * claims of RFC 7519, read strictly: what two parsers could read differently is
 * refused.
 */
#include "postgres.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "identity/identity.h"
#include "identity/token.h"

#define MAX_MEMBERS 64			/* of the header or claims object */
#define MAX_DEPTH 8
#define MAX_NUMBER_BYTES 40
#define AUDIENCE "customer_hub"

/* 9999-12-31, where timestamps of other systems end too */
#define MAX_NUMERIC_DATE 253402300799.0

typedef enum JsonKind
{
	JSON_NULL,
	JSON_BOOLEAN,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT
} JsonKind;

typedef struct JsonReader
{
	const char *at;
	const char *end;
	int			depth;
} JsonReader;

typedef struct JsonValue
{
	JsonKind	kind;
	double		number;
	char	   *string;
	Size		string_len;
	const char *start;			/* source text of the value */
	const char *end;
} JsonValue;

typedef struct JsonMember
{
	char	   *name;
	JsonValue	value;
} JsonMember;

static bool json_read_value(JsonReader *reader, JsonValue *value);

/* Return the six bits a base64url digit stands for, or -1 */
static int
base64url_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

/*
 * Decode base64url (RFC 4648 section 5) without padding; NULL when malformed.
 * Bits left over must be zero, so that a text has one encoding only.
 */
static char *
base64url_decode(const char *text, Size len, Size *out_len)
{
	char	   *out;
	Size		n = 0;
	uint32		bits = 0;
	int			bit_count = 0;

	if (len % 4 == 1)
		return NULL;
	out = palloc(len * 3 / 4 + 1);
	for (Size i = 0; i < len; i++)
	{
		int			digit = base64url_digit(text[i]);

		if (digit < 0)
			return NULL;
		bits = (bits << 6) | (uint32) digit;
		bit_count += 6;
		if (bit_count >= 8)
		{
			bit_count -= 8;
			out[n++] = (char) ((bits >> bit_count) & 0xFF);
			bits &= ((uint32) 1 << bit_count) - 1;
		}
	}
	if (bits != 0)
		return NULL;
	out[n] = '\0';
	*out_len = n;
	return out;
}

/* Move past JSON white space */
static void
json_skip_space(JsonReader *reader)
{
	while (reader->at < reader->end &&
		   (*reader->at == ' ' || *reader->at == '\t' ||
			*reader->at == '\n' || *reader->at == '\r'))
		reader->at++;
}

/* Move past one given character after white space, if it is there */
static bool
json_take(JsonReader *reader, char c)
{
	json_skip_space(reader);
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

/* Read four hexadecimal digits of a \u escape */
static bool
json_read_hex4(JsonReader *reader, uint32 *code)
{
	if (reader->end - reader->at < 4)
		return false;
	*code = 0;
	for (int i = 0; i < 4; i++)
	{
		char		c = *reader->at++;

		*code <<= 4;
		if (c >= '0' && c <= '9')
			*code |= (uint32) (c - '0');
		else if (c >= 'a' && c <= 'f')
			*code |= (uint32) (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			*code |= (uint32) (c - 'A' + 10);
		else
			return false;
	}
	return true;
}

/* Read what follows \u: one code point, surrogate pairs joined, never zero */
static bool
json_read_code_point(JsonReader *reader, uint32 *code)
{
	uint32		low;

	if (!json_read_hex4(reader, code))
		return false;
	if (*code >= 0xDC00 && *code <= 0xDFFF)
		return false;
	if (*code >= 0xD800 && *code <= 0xDBFF)
	{
		if (reader->end - reader->at < 2 || reader->at[0] != '\\' || reader->at[1] != 'u')
			return false;
		reader->at += 2;
		if (!json_read_hex4(reader, &low) || low < 0xDC00 || low > 0xDFFF)
			return false;
		*code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
	}
	return *code != 0;
}

/* Read a string; the opening quote has not been taken yet */
static bool
json_read_string(JsonReader *reader, char **string, Size *string_len)
{
	const char *quote;
	char	   *out;
	Size		n = 0;

	if (!json_take(reader, '"'))
		return false;

	/* an escape never gets longer than its source */
	for (quote = reader->at; quote < reader->end && *quote != '"'; quote++)
	{
		if (*quote == '\\')
			quote++;
	}
	out = palloc(Max(quote - reader->at, 0) + 1);
	while (reader->at < reader->end)
	{
		char		c = *reader->at++;
		uint32		code;

		if (c == '"')
		{
			out[n] = '\0';
			*string = out;
			*string_len = n;
			return true;
		}
		if ((unsigned char) c < 0x20)
			return false;
		if (c != '\\')
		{
			out[n++] = c;
			continue;
		}
		if (reader->at == reader->end)
			return false;
		switch (c = *reader->at++)
		{
			case '"':
			case '\\':
			case '/':
				out[n++] = c;
				break;
			case 'b':
				out[n++] = '\b';
				break;
			case 'f':
				out[n++] = '\f';
				break;
			case 'n':
				out[n++] = '\n';
				break;
			case 'r':
				out[n++] = '\r';
				break;
			case 't':
				out[n++] = '\t';
				break;
			case 'u':
				if (!json_read_code_point(reader, &code))
					return false;
				unicode_to_utf8(code, (unsigned char *) out + n);
				n += pg_utf_mblen((unsigned char *) out + n);
				break;
			default:
				return false;
		}
	}
	return false;
}

/* Move past decimal digits; tell whether there was one */
static bool
json_skip_digits(JsonReader *reader)
{
	const char *start = reader->at;

	while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
		reader->at++;
	return reader->at > start;
}

/* Read a number by the grammar of RFC 8259, which is narrower than strtod()'s */
static bool
json_read_number(JsonReader *reader, double *number)
{
	const char *start = reader->at;
	char		text[MAX_NUMBER_BYTES + 1];

	if (*reader->at == '-')
		reader->at++;
	if (reader->at < reader->end && *reader->at == '0')
		reader->at++;
	else if (!json_skip_digits(reader))
		return false;
	if (reader->at < reader->end && *reader->at == '.')
	{
		reader->at++;
		if (!json_skip_digits(reader))
			return false;
	}
	if (reader->at < reader->end && (*reader->at == 'e' || *reader->at == 'E'))
	{
		reader->at++;
		if (reader->at < reader->end && (*reader->at == '+' || *reader->at == '-'))
			reader->at++;
		if (!json_skip_digits(reader))
			return false;
	}
	if (reader->at - start > MAX_NUMBER_BYTES)
		return false;
	memcpy(text, start, reader->at - start);
	text[reader->at - start] = '\0';
	*number = strtod(text, NULL);
	return isfinite(*number);
}

/* Read true, false or null */
static bool
json_read_word(JsonReader *reader, JsonValue *value)
{
	static const struct
	{
		const char *word;
		JsonKind	kind;
	}			words[] = {{"true", JSON_BOOLEAN}, {"false", JSON_BOOLEAN}, {"null", JSON_NULL}};

	for (int i = 0; i < lengthof(words); i++)
	{
		Size		len = strlen(words[i].word);

		if (reader->end - reader->at >= len && memcmp(reader->at, words[i].word, len) == 0)
		{
			reader->at += len;
			value->kind = words[i].kind;
			return true;
		}
	}
	return false;
}

/* Check an array that is not looked into */
static bool
json_skip_array(JsonReader *reader)
{
	JsonValue	element;

	if (!json_take(reader, '['))
		return false;
	if (json_take(reader, ']'))
		return true;
	do
	{
		if (!json_read_value(reader, &element))
			return false;
	} while (json_take(reader, ','));
	return json_take(reader, ']');
}

/*
 * Read an object. With members NULL it is only checked. More than max_members
 * members, or two of the same name, make it malformed.
 */
static bool
json_read_object(JsonReader *reader, JsonMember *members, int max_members, int *count)
{
	int			n = 0;

	if (!json_take(reader, '{'))
		return false;
	if (!json_take(reader, '}'))
	{
		do
		{
			JsonMember	member;
			Size		name_len;

			if (!json_read_string(reader, &member.name, &name_len) ||
				!json_take(reader, ':') ||
				!json_read_value(reader, &member.value))
				return false;
			if (members != NULL)
			{
				if (n == max_members)
					return false;
				for (int i = 0; i < n; i++)
				{
					if (strcmp(members[i].name, member.name) == 0)
						return false;
				}
				members[n++] = member;
			}
		} while (json_take(reader, ','));
		if (!json_take(reader, '}'))
			return false;
	}
	if (count != NULL)
		*count = n;
	return true;
}

/* Read any value; arrays and objects are checked and kept as source text */
static bool
json_read_value(JsonReader *reader, JsonValue *value)
{
	bool		ok;

	json_skip_space(reader);
	if (reader->at == reader->end)
		return false;
	memset(value, 0, sizeof(JsonValue));
	value->start = reader->at;
	switch (*reader->at)
	{
		case '"':
			value->kind = JSON_STRING;
			ok = json_read_string(reader, &value->string, &value->string_len);
			break;
		case '[':
		case '{':
			if (++reader->depth > MAX_DEPTH)
				return false;
			value->kind = *reader->at == '[' ? JSON_ARRAY : JSON_OBJECT;
			ok = value->kind == JSON_ARRAY ? json_skip_array(reader) :
				json_read_object(reader, NULL, 0, NULL);
			reader->depth--;
			break;
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			value->kind = JSON_NUMBER;
			ok = json_read_number(reader, &value->number);
			break;
		default:
			ok = json_read_word(reader, value);
			break;
	}
	value->end = reader->at;
	return ok;
}

/* Read a whole document that must be one object in valid UTF-8 */
static bool
json_read_document(const char *text, Size len, JsonMember *members, int max_members, int *count)
{
	JsonReader	reader = {text, text + len, 0};

	if (pg_encoding_verifymbstr(PG_UTF8, text, (int) len) != (int) len)
		return false;
	if (!json_read_object(&reader, members, max_members, count))
		return false;
	json_skip_space(&reader);
	return reader.at == reader.end;
}

/* Find a member by name; NULL when absent */
static const JsonValue *
json_member(const JsonMember *members, int count, const char *name)
{
	for (int i = 0; i < count; i++)
	{
		if (strcmp(members[i].name, name) == 0)
			return &members[i].value;
	}
	return NULL;
}

/* Can this UTF-8 text stand in a column of this database? */
static bool
fits_database_encoding(const char *text)
{
	if (GetDatabaseEncoding() == PG_UTF8)
		return true;
	for (; *text; text++)
	{
		if (IS_HIGHBIT_SET(*text))
			return false;
	}
	return true;
}

/* Take a string of 1 to max_len bytes that has no control characters */
static bool
take_name(const JsonValue *value, Size max_len, char **name)
{
	if (value->kind != JSON_STRING || value->string_len == 0 || value->string_len > max_len)
		return false;
	for (Size i = 0; i < value->string_len; i++)
	{
		unsigned char c = (unsigned char) value->string[i];

		if (c < 0x20 || c == 0x7F)
			return false;
	}
	if (!fits_database_encoding(value->string))
		return false;
	*name = value->string;
	return true;
}

/* Take a NumericDate (RFC 7519 section 2) */
static bool
take_date(const JsonValue *value, double *date)
{
	if (value->kind != JSON_NUMBER || value->number < 0 || value->number > MAX_NUMERIC_DATE)
		return false;
	*date = value->number;
	return true;
}

/*
 * A token that names its audience must name this one (RFC 7519 section
 * 4.1.3), so that a token for another service of the same issuer is no use here.
 */
static bool
audience_is_hub(const JsonValue *value)
{
	JsonReader	reader = {value->start, value->end, 0};
	JsonValue	element;

	if (value->kind == JSON_STRING)
		return strcmp(value->string, AUDIENCE) == 0;
	if (value->kind != JSON_ARRAY || !json_take(&reader, '['))
		return false;
	do
	{
		if (!json_read_value(&reader, &element))
			return false;
		if (element.kind == JSON_STRING && strcmp(element.string, AUDIENCE) == 0)
			return true;
	} while (json_take(&reader, ','));
	return false;
}

/* Read the header: alg must be EdDSA, kid must be there, nothing critical unknown */
static const char *
read_header(const char *header, Size header_len, Token *token)
{
	JsonMember	members[MAX_MEMBERS];
	int			count;
	const JsonValue *value;

	if (!json_read_document(header, header_len, members, MAX_MEMBERS, &count))
		return "malformed_header";

	value = json_member(members, count, "alg");
	if (value == NULL || value->kind != JSON_STRING || strcmp(value->string, "EdDSA") != 0)
		return "algorithm";

	/* RFC 7515 section 4.1.11: what we do not understand must be refused */
	if (json_member(members, count, "crit") != NULL)
		return "critical_header";

	value = json_member(members, count, "typ");
	if (value != NULL &&
		(value->kind != JSON_STRING || pg_strcasecmp(value->string, "JWT") != 0))
		return "type";

	value = json_member(members, count, "kid");
	if (value == NULL || !take_name(value, TOKEN_MAX_NAME_BYTES, &token->kid))
		return "issuer";
	return NULL;
}

/* Split a token and read its header */
const char *
token_split(const char *text, Size len, Token *token)
{
	const char *first_dot;
	const char *second_dot;
	const char *end = text + len;
	char	   *header;
	char	   *signature;
	Size		header_len;
	Size		signature_len;

	memset(token, 0, sizeof(Token));
	if (len == 0 || len > TOKEN_MAX_BYTES)
		return "size";

	first_dot = memchr(text, '.', len);
	if (first_dot == NULL)
		return "malformed";
	second_dot = memchr(first_dot + 1, '.', end - first_dot - 1);
	if (second_dot == NULL)
		return "malformed";

	/* a third dot is no base64url digit */
	header = base64url_decode(text, first_dot - text, &header_len);
	token->payload = base64url_decode(first_dot + 1, second_dot - first_dot - 1,
									  &token->payload_len);
	signature = base64url_decode(second_dot + 1, end - second_dot - 1, &signature_len);
	if (header == NULL || token->payload == NULL || signature == NULL ||
		signature_len != KEYRING_SIGNATURE_BYTES)
		return "malformed";

	memcpy(token->signature, signature, KEYRING_SIGNATURE_BYTES);
	token->signed_part = text;
	token->signed_len = second_dot - text;
	return read_header(header, header_len, token);
}

/* Read the claims of a token whose signature has been verified */
const char *
token_read_claims(const Token *token, TokenClaims *claims)
{
	JsonMember	members[MAX_MEMBERS];
	int			count;
	const JsonValue *value;

	memset(claims, 0, sizeof(TokenClaims));
	if (!json_read_document(token->payload, token->payload_len, members, MAX_MEMBERS, &count))
		return "malformed_claims";

	value = json_member(members, count, "sub");
	if (value == NULL || !take_name(value, TOKEN_MAX_NAME_BYTES, &claims->subject))
		return "subject";

	value = json_member(members, count, "exp");
	if (value == NULL || !take_date(value, &claims->expires_at))
		return "expiry";

	value = json_member(members, count, "iat");
	claims->has_issued_at = value != NULL;
	if (value != NULL && !take_date(value, &claims->issued_at))
		return "issue_date";

	value = json_member(members, count, "nbf");
	claims->has_not_before = value != NULL;
	if (value != NULL && !take_date(value, &claims->not_before))
		return "start_date";

	value = json_member(members, count, "jti");
	if (value != NULL && !take_name(value, TOKEN_MAX_NAME_BYTES, &claims->token_id))
		return "token_id";

	value = json_member(members, count, "purpose");
	if (value != NULL && value->kind != JSON_NULL &&
		!take_name(value, IDENTITY_PURPOSE_BYTES - 1, &claims->purpose))
		return "purpose";

	value = json_member(members, count, "nonce");
	if (value != NULL && !take_name(value, TOKEN_MAX_NAME_BYTES, &claims->nonce))
		return "nonce";

	value = json_member(members, count, "aud");
	if (value != NULL && !audience_is_hub(value))
		return "audience";
	return NULL;
}
