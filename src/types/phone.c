#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "foundation/compat.h"
#include "types/calling_codes.h"
#include "types/phone.h"
#include "types/region.h"

#define CALLING_CODE_MAX_DIGITS 3
#define CALLING_CODE_MAX_REGIONS 32

PG_FUNCTION_INFO_V1(hub_phone_in);
PG_FUNCTION_INFO_V1(hub_phone_out);
PG_FUNCTION_INFO_V1(hub_phone_recv);
PG_FUNCTION_INFO_V1(hub_phone_send);
PG_FUNCTION_INFO_V1(hub_phone_eq);
PG_FUNCTION_INFO_V1(hub_phone_ne);
PG_FUNCTION_INFO_V1(hub_phone_lt);
PG_FUNCTION_INFO_V1(hub_phone_le);
PG_FUNCTION_INFO_V1(hub_phone_gt);
PG_FUNCTION_INFO_V1(hub_phone_ge);
PG_FUNCTION_INFO_V1(hub_phone_cmp);
PG_FUNCTION_INFO_V1(hub_phone_hash);
PG_FUNCTION_INFO_V1(hub_phone_hash_extended);
PG_FUNCTION_INFO_V1(hub_calling_code);
PG_FUNCTION_INFO_V1(hub_regions_of);

/* Order a calling code and a table entry for bsearch */
static int
compare_code(const void *key, const void *entry)
{
	return *(const int *) key - ((const CallingCode *) entry)->code;
}

/* Find the calling code that a string of digits starts with, and its length */
static const CallingCode *
find_calling_code(const char *digits, int *code_length)
{
	int			code = 0;

	if (digits[0] == '0')
		return NULL;			/* leading zeroes would vanish below */
	for (int length = 1; length <= CALLING_CODE_MAX_DIGITS && digits[length - 1]; length++)
	{
		const CallingCode *found;

		code = code * 10 + (digits[length - 1] - '0');
		found = bsearch(&code, calling_codes, lengthof(calling_codes),
						sizeof(CallingCode), compare_code);
		if (found)
		{
			*code_length = length;
			return found;
		}
	}
	return NULL;
}

/* Say what is wrong with a number's digits, or NULL */
static const char *
check_digits(const char *digits, int count)
{
	int			code_length;
	const CallingCode *entry = find_calling_code(digits, &code_length);

	if (entry == NULL)
		return "It does not begin with an assigned calling code.";
	if (count > PHONE_MAX_DIGITS)
		return "It has more than 15 digits.";
	if (count - code_length < entry->min_length)
		return "It has too few digits for its calling code.";
	if (count - code_length > entry->max_length)
		return "It has too many digits for its calling code.";
	return NULL;
}

/*
 * Check a number and return its value. Returns NULL, or why the number is bad.
 *
 * A trunk prefix in parentheses, "+49 (0)30", is refused: whether its zero
 * belongs to the number depends on the country, and guessing would reach
 * somebody else.
 */
const char *
phone_parse(const char *text, Size len, int64 *phone)
{
	char		digits[PHONE_MAX_DIGITS + 2];
	int			count = 0;
	int64		value = 0;
	bool		in_parentheses = false;
	const char *end = text + len;
	const char *reason;

	while (text < end && *text == ' ')
		text++;
	while (end > text && end[-1] == ' ')
		end--;
	if (text == end || *text != '+')
		return "It does not begin with \"+\" and a calling code.";

	for (text++; text < end; text++)
	{
		if (*text >= '0' && *text <= '9')
		{
			if (count > PHONE_MAX_DIGITS)
				return "It has more than 15 digits.";
			digits[count++] = *text;
			value = value * 10 + (*text - '0');
			continue;
		}
		switch (*text)
		{
			case ' ':
			case '.':
			case '-':
			case '/':
				break;
			case '(':
				if (in_parentheses)
					return "Its parentheses do not match.";
				if (end - text >= 3 && text[1] == '0' && text[2] == ')')
					return "It has a trunk prefix \"(0)\", which an international number does not.";
				in_parentheses = true;
				break;
			case ')':
				if (!in_parentheses)
					return "Its parentheses do not match.";
				in_parentheses = false;
				break;
			default:
				return "It has a character that is neither digit nor separator.";
		}
	}
	if (in_parentheses)
		return "Its parentheses do not match.";

	digits[count] = '\0';
	reason = check_digits(digits, count);
	if (reason == NULL)
		*phone = value;
	return reason;
}

/* Write a number as "+" and digits */
void
phone_format(int64 phone, char text[PHONE_TEXT_BYTES])
{
	text[0] = '+';
	pg_lltoa(phone, text + 1);
}

/* Return the calling code of a number and the territories that use it; 0 when it has none */
int
phone_calling_code(int64 phone, const char **regions)
{
	char		text[PHONE_TEXT_BYTES];
	int			code_length;
	const CallingCode *entry;

	phone_format(phone, text);
	entry = find_calling_code(text + 1, &code_length);
	if (regions)
		*regions = entry ? entry->regions : NULL;
	return entry ? entry->code : 0;
}

/* Read a phone number; the message does not quote it */
Datum
hub_phone_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	int64		phone;
	const char *reason = phone_parse(text, strlen(text), &phone);

	if (reason)
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s", "hub.phone"),
				 errdetail("%s", reason),
				 errhint("Give the number in international form, such as +49 30 1234567.")));
	PG_RETURN_INT64(phone);
}

/* Print a phone number */
Datum
hub_phone_out(PG_FUNCTION_ARGS)
{
	char	   *text = palloc(PHONE_TEXT_BYTES);

	phone_format(PG_GETARG_INT64(0), text);
	PG_RETURN_CSTRING(text);
}

/* Read a phone number in binary: its digits as an integer of eight bytes */
Datum
hub_phone_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int64		phone = pq_getmsgint64(buf);
	bool		valid = phone > 0 && phone < INT64CONST(1000000000000000);

	if (valid)
	{
		char		text[PHONE_TEXT_BYTES];

		phone_format(phone, text);
		valid = check_digits(text + 1, strlen(text + 1)) == NULL;
	}
	if (!valid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "hub.phone")));
	PG_RETURN_INT64(phone);
}

/* Send a phone number in binary */
Datum
hub_phone_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint64(&buf, PG_GETARG_INT64(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Are two phone numbers the same? */
Datum
hub_phone_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) == PG_GETARG_INT64(1));
}

/* Do two phone numbers differ? */
Datum
hub_phone_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) != PG_GETARG_INT64(1));
}

/* Does a phone number sort before another? */
Datum
hub_phone_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) < PG_GETARG_INT64(1));
}

/* Does a phone number sort before another, or equal it? */
Datum
hub_phone_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) <= PG_GETARG_INT64(1));
}

/* Does a phone number sort after another? */
Datum
hub_phone_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) > PG_GETARG_INT64(1));
}

/* Does a phone number sort after another, or equal it? */
Datum
hub_phone_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_INT64(0) >= PG_GETARG_INT64(1));
}

/* Compare two phone numbers for btree */
Datum
hub_phone_cmp(PG_FUNCTION_ARGS)
{
	int64		a = PG_GETARG_INT64(0);
	int64		b = PG_GETARG_INT64(1);

	PG_RETURN_INT32(a < b ? -1 : a > b);
}

/* Hash a phone number */
Datum
hub_phone_hash(PG_FUNCTION_ARGS)
{
	int64		phone = PG_GETARG_INT64(0);

	return hash_any((unsigned char *) &phone, sizeof(phone));
}

/* Hash a phone number to 64 bits with a seed */
Datum
hub_phone_hash_extended(PG_FUNCTION_ARGS)
{
	int64		phone = PG_GETARG_INT64(0);

	return hash_any_extended((unsigned char *) &phone, sizeof(phone), PG_GETARG_INT64(1));
}

/* Return the calling code of a phone number */
Datum
hub_calling_code(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(phone_calling_code(PG_GETARG_INT64(0), NULL));
}

/*
 * Read one territory of the table as a region. Ascension and Tristan da Cunha
 * have codes of their own there, and are subdivisions of SH in ISO 3166-2;
 * what ISO has not assigned (XK, and 001 for the world) is no region.
 */
static bool
territory_region(const char *territory, Region *region)
{
	if (strcmp(territory, "AC") == 0)
		territory = "SH-AC";
	else if (strcmp(territory, "TA") == 0)
		territory = "SH-TA";
	return region_parse(territory, region);
}

/* Return the territories that a phone number may belong to, as an array of regions */
ArrayType *
phone_region_array(int64 phone, Oid region_type)
{
	Datum		elements[CALLING_CODE_MAX_REGIONS];
	int			count = 0;
	const char *regions;

	if (phone_calling_code(phone, &regions) == 0)
		regions = "";
	while (*regions && count < CALLING_CODE_MAX_REGIONS)
	{
		char		territory[8];
		Size		length = strcspn(regions, ",");
		Region		region;

		strlcpy(territory, regions, Min(length + 1, sizeof(territory)));
		if (territory_region(territory, &region))
			elements[count++] = RegionGetDatum(region);
		regions += length;
		if (*regions == ',')
			regions++;
	}
	return construct_array(elements, count, region_type, sizeof(Region), true, TYPALIGN_INT);
}

/* The same for SQL */
Datum
hub_regions_of(PG_FUNCTION_ARGS)
{
	Oid			region_type = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));

	PG_RETURN_ARRAYTYPE_P(phone_region_array(PG_GETARG_INT64(0), region_type));
}
