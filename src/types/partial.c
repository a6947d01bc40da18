/*
 * partial.c: the harmless part of a value, for statistics without a full reveal.
 *
 * Token clearance is enough; each use is logged as a partial reveal. Without
 * clearance, without identity and for an erased subject the part is NULL.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rangetypes.h"

#include "foundation/compat.h"
#include "foundation/memory.h"
#include "types/disclosure.h"
#include "types/encrypted.h"
#include "types/phone.h"

PG_FUNCTION_INFO_V1(hub_email_domain);
PG_FUNCTION_INFO_V1(hub_phone_region);
PG_FUNCTION_INFO_V1(hub_year_of);
PG_FUNCTION_INFO_V1(hub_age_band);

/* Narrower bands come close to the year of birth and, day after day, to the day */
#define MIN_AGE_BAND 5

/* Open a value whose part may be shown, or return NULL */
static char *
open_for_part(const struct varlena *value, Size *len)
{
	EnvelopeView view;
	Disclosure	disclosure;

	envelope_view(value, &view);
	if ((view.flags & ENVELOPE_FLAG_PRINTED) != 0)
		return NULL;
	disclosure = disclosure_of_value(view.class_id, &view.subject);
	if (disclosure != DISCLOSURE_TOKEN && disclosure != DISCLOSURE_MASK &&
		disclosure != DISCLOSURE_REVEAL)
		return NULL;
	disclosure_record(&view.subject, view.class_id, REVEAL_PARTIAL);
	return envelope_open(value, len);
}

/* Return the domain of an encrypted address */
Datum
hub_email_domain(PG_FUNCTION_ARGS)
{
	Size		len;
	char	   *address = open_for_part(PG_GETARG_VARLENA_PP(0), &len);
	const char *at = address ? strrchr(address, '@') : NULL;
	text	   *domain;

	if (at == NULL)
		PG_RETURN_NULL();
	domain = cstring_to_text(at + 1);
	memory_free_secret(address, len);
	PG_RETURN_TEXT_P(domain);
}

/* Return the territories that an encrypted number may belong to */
Datum
hub_phone_region(PG_FUNCTION_ARGS)
{
	Oid			region_type = get_element_type(get_func_rettype(fcinfo->flinfo->fn_oid));
	Size		len;
	char	   *number = open_for_part(PG_GETARG_VARLENA_PP(0), &len);
	int64		phone;

	if (number == NULL || phone_parse(number, len, &phone) != NULL)
		PG_RETURN_NULL();
	memory_free_secret(number, len);
	PG_RETURN_ARRAYTYPE_P(phone_region_array(phone, region_type));
}

/* Return the year of an encrypted date */
Datum
hub_year_of(PG_FUNCTION_ARGS)
{
	Size		len;
	char	   *date = open_for_part(PG_GETARG_VARLENA_PP(0), &len);
	int			year;

	if (date == NULL)
		PG_RETURN_NULL();
	year = atoi(date);
	memory_free_secret(date, len);
	PG_RETURN_INT32(year);
}

/* Return the age in whole years that a date of birth gives today; negative before birth */
static int
age_today(const char *birth)
{
	int			year;
	int			month;
	int			day;
	int			this_year;
	int			this_month;
	int			this_day;

	if (sscanf(birth, "%4d-%2d-%2d", &year, &month, &day) != 3)
		return -1;
	j2date(GetSQLCurrentDate() + POSTGRES_EPOCH_JDATE, &this_year, &this_month, &this_day);
	return this_year - year -
		(this_month < month || (this_month == month && this_day < day) ? 1 : 0);
}

/* Return the band of ages that an encrypted date of birth lies in today */
Datum
hub_age_band(PG_FUNCTION_ARGS)
{
	int			width = PG_GETARG_INT32(1);
	Size		len;
	char	   *birth;
	int			age;
	RangeBound	lower = {0};
	RangeBound	upper = {0};

	if (width < MIN_AGE_BAND || width > 150)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an age band must be %d to 150 years wide", MIN_AGE_BAND)));
	birth = open_for_part(PG_GETARG_VARLENA_PP(0), &len);
	if (birth == NULL)
		PG_RETURN_NULL();
	age = age_today(birth);
	memory_free_secret(birth, len);
	if (age < 0)
		PG_RETURN_NULL();
	lower.val = Int32GetDatum(age - age % width);
	lower.inclusive = true;
	lower.lower = true;
	upper.val = Int32GetDatum(age - age % width + width);
	PG_RETURN_RANGE_P(compat_make_range(range_get_typcache(fcinfo, INT4RANGEOID), &lower, &upper));
}
