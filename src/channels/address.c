/*
 * address.c: what kind of address a channel's text is.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "foundation/compat.h"
#include "types/email.h"
#include "types/phone.h"

PG_FUNCTION_INFO_V1(hub_email_if_valid);
PG_FUNCTION_INFO_V1(hub_phone_if_valid);

/* hub.email_if_valid(address text) */
Datum
hub_email_if_valid(PG_FUNCTION_ARGS)
{
	text	   *address = PG_GETARG_TEXT_PP(0);
	char		stored[EMAIL_MAX_BYTES + 1];
	Size		len;

	if (email_normalize(VARDATA_ANY(address), VARSIZE_ANY_EXHDR(address), stored, &len) != NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(stored, len));
}

/* hub.phone_if_valid(address text); channels leave out the plus sign */
Datum
hub_phone_if_valid(PG_FUNCTION_ARGS)
{
	char	   *address = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char		formatted[PHONE_TEXT_BYTES];
	int64		phone;

	if (address[0] >= '1' && address[0] <= '9')
		address = psprintf("+%s", address);
	if (phone_parse(address, strlen(address), &phone) != NULL)
		PG_RETURN_NULL();
	phone_format(phone, formatted);
	PG_RETURN_TEXT_P(cstring_to_text(formatted));
}
