/*
 * partial.c: the harmless part of a value, for statistics without a full reveal.
 *
 * Token clearance is enough; each use is logged as a partial reveal. Without
 * clearance, without identity and for an erased subject the part is NULL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "foundation/memory.h"
#include "types/disclosure.h"
#include "types/encrypted.h"
#include "types/phone.h"

PG_FUNCTION_INFO_V1(hub_email_domain);
PG_FUNCTION_INFO_V1(hub_phone_region);
PG_FUNCTION_INFO_V1(hub_year_of);

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
