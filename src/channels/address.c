/*
 * address.c: the addresses of a customer that an event tells.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/tuplestore.h"

#include "foundation/compat.h"
#include "types/email.h"
#include "types/phone.h"

#include "channels/channel_event.h"

PG_FUNCTION_INFO_V1(hub_email_if_valid);
PG_FUNCTION_INFO_V1(hub_phone_if_valid);
PG_FUNCTION_INFO_V1(hub_event_addresses);

#define ADDRESS_COLUMNS 3

/* One address, as hub.event_address has it */
typedef struct EventAddress
{
	const char *kind;
	const char *address;
	bool		typed;			/* somebody typed it: no customer is found by it */
} EventAddress;

/* Return an e-mail address as hub.email stores it; NULL when it is none. */
static char *
email_if_valid(const char *address)
{
	char		stored[EMAIL_MAX_BYTES + 1];
	Size		len;

	if (address == NULL || email_normalize(address, strlen(address), stored, &len) != NULL)
		return NULL;
	return pnstrdup(stored, len);
}

/* Return a number in E.164; NULL when it is none. Channels leave out the plus sign. */
static char *
phone_if_valid(const char *address)
{
	char	   *formatted = palloc(PHONE_TEXT_BYTES);
	int64		phone;

	if (address == NULL)
		return NULL;
	if (address[0] >= '1' && address[0] <= '9')
		address = psprintf("+%s", address);
	if (phone_parse(address, strlen(address), &phone) != NULL)
		return NULL;
	phone_format(phone, formatted);
	return formatted;
}

/* hub.email_if_valid(address text) */
Datum
hub_email_if_valid(PG_FUNCTION_ARGS)
{
	char	   *email = email_if_valid(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (email == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(email));
}

/* hub.phone_if_valid(address text) */
Datum
hub_phone_if_valid(PG_FUNCTION_ARGS)
{
	char	   *phone = phone_if_valid(text_to_cstring(PG_GETARG_TEXT_PP(0)));

	if (phone == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(phone));
}

/* Tell what kind of address the recipient of an outbound message is. */
static const char *
recipient_kind(const char *channel, const char *recipient)
{
	if (strcmp(channel, "web") == 0 || strcmp(channel, "mixdesk") == 0)
		return SENDER_VISITOR;
	if (strcmp(channel, "email") == 0)
		return SENDER_EMAIL;
	if (strcmp(channel, "whatsapp") == 0 &&
		recipient[recipient[0] == '+'] != '\0' &&
		strspn(recipient + (recipient[0] == '+'), "0123456789") == strlen(recipient + (recipient[0] == '+')))
		return SENDER_PHONE;
	return SENDER_USER_ID;
}

/* Add an address unless it is there already. */
static void
add_address(EventAddress *list, int *count, const char *kind, const char *address, bool typed)
{
	if (kind == NULL || address == NULL || address[0] == '\0')
		return;
	if (strcmp(kind, SENDER_EMAIL) == 0)
		address = str_tolower(address, strlen(address), DEFAULT_COLLATION_OID);
	for (int i = 0; i < *count; i++)
	{
		if (strcmp(list[i].kind, kind) == 0 && strcmp(list[i].address, address) == 0)
			return;
	}
	list[*count].kind = kind;
	list[*count].address = address;
	list[*count].typed = typed;
	(*count)++;
}

/*
 * hub.event_addresses(channel text, sender_kind text, sender text, recipient text, details jsonb)
 *
 * First the address it goes by, then others of the same person; last what was
 * merely typed.
 */
Datum
hub_event_addresses(PG_FUNCTION_ARGS)
{
	char	   *channel = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *kind = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *sender = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *recipient = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	JsonbContainer *details = PG_ARGISNULL(4) ? NULL : &PG_GETARG_JSONB_P(4)->root;
	JsonbContainer *aliases = reader_array(details, "aliases");
	bool		web = strcmp(channel, "web") == 0;
	EventAddress *list = palloc(sizeof(EventAddress) * (reader_count(aliases) + 3));
	int			count = 0;
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	if (kind != NULL && (strcmp(kind, SENDER_BUSINESS) == 0 || strcmp(kind, SENDER_AGENT) == 0))
	{
		sender = recipient;
		kind = recipient ? recipient_kind(channel, recipient) : NULL;
	}
	add_address(list, &count, kind, sender,
				web && kind && (strcmp(kind, SENDER_EMAIL) == 0 || strcmp(kind, SENDER_PHONE) == 0));
	for (int i = 0; i < reader_count(aliases); i++)
	{
		JsonbContainer *alias = reader_element(aliases, i);

		add_address(list, &count, reader_text(alias, "kind"), reader_text(alias, "address"), false);
	}
	add_address(list, &count, SENDER_EMAIL, email_if_valid(reader_text(details, "email")), true);
	add_address(list, &count, SENDER_PHONE, phone_if_valid(reader_text(details, "phone")), true);

	InitMaterializedSRF(fcinfo, 0);
	for (int typed = 0; typed <= 1; typed++)
	{
		for (int i = 0; i < count; i++)
		{
			Datum		values[ADDRESS_COLUMNS];
			bool		nulls[ADDRESS_COLUMNS] = {false, false, false};

			if (list[i].typed != (typed == 1))
				continue;
			values[0] = CStringGetTextDatum(list[i].kind);
			values[1] = CStringGetTextDatum(list[i].address);
			values[2] = BoolGetDatum(list[i].typed);
			tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
