#include "postgres.h"

#include <arpa/inet.h>

#include "common/hashfn.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "foundation/compat.h"
#include "types/email.h"

#define EMAIL_MAX_LOCAL_BYTES 64	/* RFC 5321 4.5.3.1.1 */
#define EMAIL_MAX_LABEL_BYTES 63	/* RFC 1035 2.3.4 */

PG_FUNCTION_INFO_V1(hub_email_in);
PG_FUNCTION_INFO_V1(hub_email_out);
PG_FUNCTION_INFO_V1(hub_email_recv);
PG_FUNCTION_INFO_V1(hub_email_send);
PG_FUNCTION_INFO_V1(hub_email_eq);
PG_FUNCTION_INFO_V1(hub_email_ne);
PG_FUNCTION_INFO_V1(hub_email_lt);
PG_FUNCTION_INFO_V1(hub_email_le);
PG_FUNCTION_INFO_V1(hub_email_gt);
PG_FUNCTION_INFO_V1(hub_email_ge);
PG_FUNCTION_INFO_V1(hub_email_cmp);
PG_FUNCTION_INFO_V1(hub_email_hash);
PG_FUNCTION_INFO_V1(hub_email_hash_extended);

/* Lower-case one ASCII letter */
static inline char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* Is this an ASCII letter or digit? */
static inline bool
ascii_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z');
}

/* May this ASCII character stand unquoted in a local part? (RFC 5322 atext) */
static inline bool
is_atext(char c)
{
	return ascii_alphanumeric(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * Lower-case a character of two UTF-8 bytes, to one of as many.
 *
 * Simple case pairs of the Latin, Greek, Cyrillic and Armenian blocks (Unicode
 * CaseFolding.txt, status C). Spelled out here because equality tags outlive any
 * locale, library version and server that could be asked instead.
 */
static pg_wchar
fold_character(pg_wchar c)
{
	if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) ||
		(c >= 0x391 && c <= 0x3AB && c != 0x3A2) ||
		(c >= 0x410 && c <= 0x42F))
		return c + 32;
	if ((c >= 0x100 && c <= 0x137 && c != 0x130 && c != 0x131) ||
		(c >= 0x14A && c <= 0x177) ||
		(c >= 0x460 && c <= 0x481) || (c >= 0x48A && c <= 0x4BF) ||
		(c >= 0x4D0 && c <= 0x52F))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E) ||
		(c >= 0x4C1 && c <= 0x4CE))
		return c + (c & 1);
	if (c >= 0x400 && c <= 0x40F)
		return c + 80;
	if (c >= 0x531 && c <= 0x556)
		return c + 48;
	if (c >= 0x388 && c <= 0x38A)
		return c + 37;
	switch (c)
	{
		case 0x178:
			return 0xFF;
		case 0x386:
			return 0x3AC;
		case 0x38C:
			return 0x3CC;
		case 0x38E:
		case 0x38F:
			return c + 63;
		case 0x3C2:				/* final sigma */
			return 0x3C3;
		case 0x4C0:
			return 0x4CF;
		default:
			return c;
	}
}

/* Is this a blank, an invisible or direction mark, or a look-alike of "@" or "."? */
static bool
is_treacherous(pg_wchar c)
{
	return (c >= 0x80 && c <= 0xA0) || c == 0xAD || c == 0x1680 ||
		(c >= 0x2000 && c <= 0x200B) || (c >= 0x200E && c <= 0x200F) ||
		(c >= 0x2028 && c <= 0x202F) || (c >= 0x205F && c <= 0x206F) ||
		c == 0x3000 || c == 0x3002 || c == 0xFE6B || c == 0xFEFF ||
		c == 0xFF0E || c == 0xFF20 || c == 0xFF61 || (c >= 0xFFF9 && c <= 0xFFFF);
}

/* Say what is wrong with an address's characters, wherever they stand, or NULL */
static const char *
check_characters(const char *text, Size len)
{
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (Size i = 0; i < len;)
	{
		unsigned char c = text[i];

		if (c < 0x20 || c == 0x7F)
			return "It has a control character.";
		if (c < 0x80 || !utf8)
			i++;
		else
		{
			if (is_treacherous(utf8_to_unicode((const unsigned char *) text + i)))
				return "It has a blank, an invisible character or a look-alike of \"@\" or \".\".";
			i += pg_utf_mblen((const unsigned char *) text + i);
		}
	}
	return NULL;
}

/* Say what is wrong with the part before the "@", or NULL */
static const char *
check_local_part(const char *local, Size len)
{
	if (len == 0)
		return "Nothing stands before the \"@\".";
	if (len > EMAIL_MAX_LOCAL_BYTES)
		return "The part before the \"@\" is longer than 64 bytes.";

	if (local[0] == '"')
	{
		if (len < 2 || local[len - 1] != '"')
			return "The quotation marks before the \"@\" do not match.";
		for (Size i = 1; i < len - 1; i++)
		{
			bool		escaped = local[i] == '\\';

			if (escaped)
				i++;
			if (i == len - 1 || (local[i] == '"' && !escaped))
				return "The quotation marks before the \"@\" do not match.";
		}
		return NULL;
	}

	for (Size i = 0; i < len; i++)
	{
		if (local[i] == '.')
		{
			if (i == 0 || i == len - 1 || local[i - 1] == '.')
				return "A dot before the \"@\" does not separate anything.";
		}
		else if (!IS_HIGHBIT_SET(local[i]) && !is_atext(local[i]))
			return "The part before the \"@\" has a character that needs quotation marks.";
	}
	return NULL;
}

/* Say what is wrong with an address in brackets, such as [192.0.2.1], or NULL */
static const char *
check_address_literal(const char *literal, Size len)
{
	char		text[64];
	unsigned char address[16];

	if (len > 2 && len - 2 < sizeof(text) && literal[len - 1] == ']')
	{
		strlcpy(text, literal + 1, len - 1);
		if (pg_strncasecmp(text, "IPv6:", 5) == 0 ?
			inet_pton(AF_INET6, text + 5, address) == 1 :
			inet_pton(AF_INET, text, address) == 1)
			return NULL;
	}
	return "The address in brackets is neither an IPv4 nor an IPv6 address.";
}

/* Say what is wrong with the part after the "@", or NULL */
static const char *
check_domain(const char *domain, Size len)
{
	Size		label_start = 0;

	if (len == 0)
		return "No domain stands after the \"@\".";
	if (domain[0] == '[')
		return check_address_literal(domain, len);

	for (Size i = 0; i <= len; i++)
	{
		if (i == len || domain[i] == '.')
		{
			Size		label_len = i - label_start;

			if (label_len == 0)
				return "The domain has an empty label.";
			if (label_len > EMAIL_MAX_LABEL_BYTES)
				return "A label of the domain is longer than 63 bytes.";
			if (domain[label_start] == '-' || domain[i - 1] == '-')
				return "A label of the domain begins or ends with a hyphen.";
			label_start = i + 1;
		}
		else if (!IS_HIGHBIT_SET(domain[i]) && domain[i] != '-' && !ascii_alphanumeric(domain[i]))
			return "The domain has a character that is neither letter, digit, hyphen nor dot.";
	}
	return NULL;
}

/* Check an address and write its stored form; NULL, or why the address is bad */
const char *
email_normalize(const char *text, Size len, char *out, Size *out_len)
{
	const char *at;
	const char *reason;
	Size		local_len;

	if (len == 0)
		return "It is empty.";
	if (len > EMAIL_MAX_BYTES)
		return "It is longer than 254 bytes.";
	at = memchr(text, '@', len);
	if (at == NULL)
		return "It has no \"@\".";
	local_len = at - text;
	if (memchr(at + 1, '@', len - local_len - 1) != NULL)
		return "It has more than one \"@\".";

	reason = check_characters(text, len);
	if (reason == NULL)
		reason = check_local_part(text, local_len);
	if (reason == NULL)
		reason = check_domain(at + 1, len - local_len - 1);
	if (reason)
		return reason;

	memcpy(out, text, local_len + 1);
	for (Size i = local_len + 1; i < len; i++)
		out[i] = ascii_lower(text[i]);
	out[len] = '\0';
	*out_len = len;
	return NULL;
}

/* Lower-case a character, by the same rules for ASCII and the rest */
pg_wchar
email_fold_character(pg_wchar c)
{
	if (c < 0x80)
		return (unsigned char) ascii_lower((unsigned char) c);
	return c < 0x800 ? fold_character(c) : c;
}

/* Fold a stored form to what equality compares: all of it lower-cased */
void
email_fold(const char *email, Size len, char *out, Size *out_len)
{
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (Size i = 0; i < len; i++)
	{
		unsigned char c = email[i];

		if (utf8 && c >= 0xC3 && c <= 0xDF && i + 1 < len)
		{
			unicode_to_utf8(fold_character(utf8_to_unicode((const unsigned char *) email + i)),
							(unsigned char *) out + i);
			i++;
		}
		else
			out[i] = ascii_lower(c);
	}
	out[len] = '\0';
	*out_len = len;
}

/* Compare two stored forms, byte by byte of what they fold to */
static int
compare_emails(const text *a, const text *b)
{
	const char *a_text = VARDATA_ANY(a);
	const char *b_text = VARDATA_ANY(b);
	Size		a_len = VARSIZE_ANY_EXHDR(a);
	Size		b_len = VARSIZE_ANY_EXHDR(b);
	Size		common = Min(a_len, b_len);

	for (Size i = 0; i < common; i++)
	{
		unsigned char a_char = a_text[i];
		unsigned char b_char = b_text[i];

		if ((a_char | b_char) & 0x80)
		{
			char		a_folded[EMAIL_MAX_BYTES + 1];
			char		b_folded[EMAIL_MAX_BYTES + 1];
			int			result;

			email_fold(a_text, a_len, a_folded, &a_len);
			email_fold(b_text, b_len, b_folded, &b_len);
			result = memcmp(a_folded, b_folded, common);
			if (result != 0)
				return result;
			break;
		}
		if (a_char != b_char)
		{
			a_char = ascii_lower(a_char);
			b_char = ascii_lower(b_char);
			if (a_char != b_char)
				return a_char < b_char ? -1 : 1;
		}
	}
	return a_len < b_len ? -1 : a_len > b_len;
}

/* Make a datum of a checked address, or say what is wrong with it */
static const char *
make_email(const char *address, Size len, text **email)
{
	char		stored[EMAIL_MAX_BYTES + 1];
	Size		stored_len;
	const char *reason = email_normalize(address, len, stored, &stored_len);

	if (reason == NULL)
		*email = cstring_to_text_with_len(stored, stored_len);
	return reason;
}

/* Read an e-mail address; the message does not quote it */
Datum
hub_email_in(PG_FUNCTION_ARGS)
{
	char	   *address = PG_GETARG_CSTRING(0);
	text	   *email;
	const char *reason = make_email(address, strlen(address), &email);

	if (reason)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s", "hub.email"),
				 errdetail("%s", reason)));
	PG_RETURN_TEXT_P(email);
}

/* Print an e-mail address */
Datum
hub_email_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(text_to_cstring(PG_GETARG_TEXT_PP(0)));
}

/* Read an e-mail address in binary: its text */
Datum
hub_email_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *address = pq_getmsgtext(buf, buf->len - buf->cursor, &len);
	text	   *email;
	const char *reason = make_email(address, len, &email);

	if (reason)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "hub.email"),
				 errdetail("%s", reason)));
	PG_RETURN_TEXT_P(email);
}

/* Send an e-mail address in binary */
Datum
hub_email_send(PG_FUNCTION_ARGS)
{
	text	   *email = PG_GETARG_TEXT_PP(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendtext(&buf, VARDATA_ANY(email), VARSIZE_ANY_EXHDR(email));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Compare the two arguments of an operator, and free what was detoasted for it */
static int
compare_arguments(FunctionCallInfo fcinfo)
{
	text	   *a = PG_GETARG_TEXT_PP(0);
	text	   *b = PG_GETARG_TEXT_PP(1);
	int			result = compare_emails(a, b);

	PG_FREE_IF_COPY(a, 0);
	PG_FREE_IF_COPY(b, 1);
	return result;
}

/* Are two addresses the same but for case? */
Datum
hub_email_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) == 0);
}

/* Do two addresses differ by more than case? */
Datum
hub_email_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) != 0);
}

/* Does an address sort before another? */
Datum
hub_email_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) < 0);
}

/* Does an address sort before another, or equal it? */
Datum
hub_email_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0);
}

/* Does an address sort after another? */
Datum
hub_email_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) > 0);
}

/* Does an address sort after another, or equal it? */
Datum
hub_email_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0);
}

/* Compare two addresses for btree */
Datum
hub_email_cmp(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(compare_arguments(fcinfo));
}

/* Hash an address, whatever its case */
Datum
hub_email_hash(PG_FUNCTION_ARGS)
{
	text	   *email = PG_GETARG_TEXT_PP(0);
	char		folded[EMAIL_MAX_BYTES + 1];
	Size		len;

	email_fold(VARDATA_ANY(email), VARSIZE_ANY_EXHDR(email), folded, &len);
	return hash_any((unsigned char *) folded, len);
}

/* Hash an address, whatever its case, to 64 bits with a seed */
Datum
hub_email_hash_extended(PG_FUNCTION_ARGS)
{
	text	   *email = PG_GETARG_TEXT_PP(0);
	char		folded[EMAIL_MAX_BYTES + 1];
	Size		len;

	email_fold(VARDATA_ANY(email), VARSIZE_ANY_EXHDR(email), folded, &len);
	return hash_any_extended((unsigned char *) folded, len, PG_GETARG_INT64(1));
}
