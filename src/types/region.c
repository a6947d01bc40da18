#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"

#include "foundation/compat.h"
#include "types/region.h"

#define COUNTRY_SHIFT 18
#define SUBDIVISION_CHARACTERS 3
#define SUBDIVISION_BITS 6

/*
 * Second letters of the officially assigned ISO 3166-1 alpha-2 codes, by first
 * letter. User-assigned codes (XK) and reserved ones (AC, TA, UK, EU) are none.
 */
static const char *const assigned_countries[26] = {
	"DEFGILMOQRSTUWXZ",			/* A */
	"ABDEFGHIJLMNOQRSTVWYZ",	/* B */
	"ACDFGHIKLMNORUVWXYZ",		/* C */
	"EJKMOZ",					/* D */
	"CEGHRST",					/* E */
	"IJKMOR",					/* F */
	"ABDEFGHILMNPQRSTUWY",		/* G */
	"KMNRTU",					/* H */
	"DELMNOQRST",				/* I */
	"EMOP",						/* J */
	"EGHIMNPRWYZ",				/* K */
	"ABCIKRSTUVY",				/* L */
	"ACDEFGHKLMNOPQRSTUVWXYZ",	/* M */
	"ACEFGILOPRUZ",				/* N */
	"M",						/* O */
	"AEFGHKLMNRSTWY",			/* P */
	"A",						/* Q */
	"EOSUW",					/* R */
	"ABCDEGHIJKLMNORSTVXYZ",	/* S */
	"CDFGHJKLMNORTVWZ",			/* T */
	"AGMSYZ",					/* U */
	"ACEGINU",					/* V */
	"FS",						/* W */
	"",							/* X */
	"ET",						/* Y */
	"AMW",						/* Z */
};

PG_FUNCTION_INFO_V1(hub_region_in);
PG_FUNCTION_INFO_V1(hub_region_out);
PG_FUNCTION_INFO_V1(hub_region_recv);
PG_FUNCTION_INFO_V1(hub_region_send);
PG_FUNCTION_INFO_V1(hub_region_eq);
PG_FUNCTION_INFO_V1(hub_region_ne);
PG_FUNCTION_INFO_V1(hub_region_lt);
PG_FUNCTION_INFO_V1(hub_region_le);
PG_FUNCTION_INFO_V1(hub_region_gt);
PG_FUNCTION_INFO_V1(hub_region_ge);
PG_FUNCTION_INFO_V1(hub_region_cmp);
PG_FUNCTION_INFO_V1(hub_region_hash);
PG_FUNCTION_INFO_V1(hub_region_hash_extended);
PG_FUNCTION_INFO_V1(hub_region_contains);
PG_FUNCTION_INFO_V1(hub_region_contained);
PG_FUNCTION_INFO_V1(hub_country_of);

/* Number of a letter, A = 1, in either case; 0 for anything else */
static inline int
letter_number(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A' + 1;
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 1;
	return 0;
}

/* Number of a subdivision character: letters, then digits from 27; 0 for anything else */
static inline int
subdivision_number(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0' + 27;
	return letter_number(c);
}

/* The character of such a number */
static inline char
subdivision_character(int number)
{
	return number <= 26 ? 'A' + number - 1 : '0' + number - 27;
}

/* Is this pair of letter numbers an assigned country code? */
static bool
country_is_assigned(int first, int second)
{
	return first >= 1 && first <= 26 && second >= 1 && second <= 26 &&
		strchr(assigned_countries[first - 1], 'A' + second - 1) != NULL;
}

/* Read "US" or "US-CA", in either case; false when it is no region */
bool
region_parse(const char *text, Region *region)
{
	int			first = letter_number(text[0]);
	int			second = first ? letter_number(text[1]) : 0;
	Region		result;
	int			shift = SUBDIVISION_BITS * SUBDIVISION_CHARACTERS;

	if (!country_is_assigned(first, second))
		return false;
	result = ((Region) first << 5 | second) << COUNTRY_SHIFT;

	text += 2;
	if (*text == '-')
	{
		do
		{
			int			number = subdivision_number(*++text);

			if (number == 0 || shift == 0)
				return false;
			shift -= SUBDIVISION_BITS;
			result |= (Region) number << shift;
		} while (text[1] != '\0');
		text++;
	}
	if (*text != '\0')
		return false;

	*region = result;
	return true;
}

/* Write a region as "US" or "US-CA" */
void
region_format(Region region, char text[8])
{
	uint32		country = region_country(region);

	*text++ = 'A' + (country >> 5) - 1;
	*text++ = 'A' + (country & 31) - 1;
	if (!region_is_country(region))
	{
		*text++ = '-';
		for (int shift = 12; shift >= 0; shift -= SUBDIVISION_BITS)
		{
			int			number = (region >> shift) & 63;

			if (number == 0)
				break;
			*text++ = subdivision_character(number);
		}
	}
	*text = '\0';
}

/* Could region_parse have made this value? */
static bool
region_is_valid(Region region)
{
	uint32		country = region_country(region);
	bool		ended = false;

	if (country >= REGION_COUNTRIES || !country_is_assigned(country >> 5, country & 31))
		return false;
	for (int shift = 12; shift >= 0; shift -= SUBDIVISION_BITS)
	{
		uint32		number = (region >> shift) & 63;

		if (number > 36 || (ended && number != 0))
			return false;
		ended = number == 0;
	}
	return true;
}

/* Read a region */
Datum
hub_region_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	Region		region;

	if (!region_parse(text, &region))
		ereturn(fcinfo->context, (Datum) 0,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input syntax for type %s: \"%s\"", "hub.region", text),
				 errhint("Give an ISO 3166-1 alpha-2 country code, optionally with a subdivision, such as DE or US-CA.")));
	PG_RETURN_REGION(region);
}

/* Print a region */
Datum
hub_region_out(PG_FUNCTION_ARGS)
{
	char	   *text = palloc(8);

	region_format(PG_GETARG_REGION(0), text);
	PG_RETURN_CSTRING(text);
}

/* Read a region in binary: the four bytes in network order */
Datum
hub_region_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	Region		region = pq_getmsgint(buf, 4);

	if (!region_is_valid(region))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary value for type %s", "hub.region")));
	PG_RETURN_REGION(region);
}

/* Send a region in binary */
Datum
hub_region_send(PG_FUNCTION_ARGS)
{
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendint32(&buf, PG_GETARG_REGION(0));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* Are two regions the same? */
Datum
hub_region_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_REGION(0) == PG_GETARG_REGION(1));
}

/* Do two regions differ? */
Datum
hub_region_ne(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_REGION(0) != PG_GETARG_REGION(1));
}

/* Does a region sort before another? */
Datum
hub_region_lt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_REGION(0) < PG_GETARG_REGION(1));
}

/* Does a region sort before another, or equal it? */
Datum
hub_region_le(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_REGION(0) <= PG_GETARG_REGION(1));
}

/* Does a region sort after another? */
Datum
hub_region_gt(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_REGION(0) > PG_GETARG_REGION(1));
}

/* Does a region sort after another, or equal it? */
Datum
hub_region_ge(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(PG_GETARG_REGION(0) >= PG_GETARG_REGION(1));
}

/* Compare two regions for btree */
Datum
hub_region_cmp(PG_FUNCTION_ARGS)
{
	Region		a = PG_GETARG_REGION(0);
	Region		b = PG_GETARG_REGION(1);

	PG_RETURN_INT32(a < b ? -1 : a > b);
}

/* Hash a region */
Datum
hub_region_hash(PG_FUNCTION_ARGS)
{
	return hash_uint32(PG_GETARG_REGION(0));
}

/* Hash a region to 64 bits with a seed */
Datum
hub_region_hash_extended(PG_FUNCTION_ARGS)
{
	return hash_uint32_extended(PG_GETARG_REGION(0), PG_GETARG_INT64(1));
}

/* Does the first region contain the second? */
Datum
hub_region_contains(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(region_contains(PG_GETARG_REGION(0), PG_GETARG_REGION(1)));
}

/* Does the second region contain the first? */
Datum
hub_region_contained(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(region_contains(PG_GETARG_REGION(1), PG_GETARG_REGION(0)));
}

/* Return the country that a region lies in */
Datum
hub_country_of(PG_FUNCTION_ARGS)
{
	PG_RETURN_REGION(region_country_of(PG_GETARG_REGION(0)));
}
