/*
 * family.c: what differs between the encrypted types: the form that is stored,
 * what makes two values equal, and what a mask shows.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/jsonb.h"

#include "foundation/compat.h"
#include "foundation/memory.h"
#include "keyring/keyring.h"
#include "types/email.h"
#include "types/encrypted.h"
#include "types/family.h"
#include "types/phone.h"

#define MASK_FILL BULLET BULLET BULLET
#define BULLET_BYTES 3
#define MASKED_DATE BULLET BULLET BULLET BULLET "-" BULLET BULLET "-" BULLET BULLET
#define MASKED_JSONB "\"" MASK_FILL "\""

/* YYYY-MM-DD */
#define DATE_BYTES 10

/* How many digits of a phone number stay visible at its end */
#define PHONE_VISIBLE_DIGITS 2

/* tok_ and 16 bytes in base64url without padding */
#define PSEUDONYM_BYTES (4 + 22)

/* Return the name of a family's type, for messages */
const char *
family_name(EnvelopeFamily family)
{
	switch (family)
	{
		case ENVELOPE_TEXT:
			return "encrypted_text";
		case ENVELOPE_EMAIL:
			return "encrypted_email";
		case ENVELOPE_PHONE:
			return "encrypted_phone";
		case ENVELOPE_DATE:
			return "encrypted_date";
		case ENVELOPE_JSONB:
			return "encrypted_jsonb";
		case ENVELOPE_AUDIT:
			break;
	}
	return "sealed value";
}

/* Read an ISO 8601 date: the one form that means the same under every DateStyle */
static char *
normalize_date(const char *text, Size len, const char **reason)
{
	char		date[DATE_BYTES + 1] = {0};
	int			year,
				month,
				day,
				used = 0;
	int			last_day;

	*reason = "A date is written as YYYY-MM-DD.";
	if (len != DATE_BYTES)
		return NULL;
	memcpy(date, text, DATE_BYTES);		/* a text does not end with a zero byte */
	if (strspn(date, "0123456789-") < DATE_BYTES ||
		sscanf(date, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != DATE_BYTES)
		return NULL;
	*reason = "There is no such date.";
	if (year < 1 || month < 1 || month > 12 || day < 1)
		return NULL;
	last_day = day_tab[isleap(year)][month - 1];
	if (day > last_day)
		return NULL;
	return pnstrdup(text, len);
}

/* Read JSON into the text that jsonb prints, without letting its parser quote it in an error */
static char *
normalize_jsonb(const char *text, Size len, const char **reason)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *volatile stored = NULL;

	*reason = "It is not valid JSON.";
	PG_TRY();
	{
		Datum		value = DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(text, len)));

		stored = JsonbToCString(NULL, &DatumGetJsonbP(value)->root,
								VARSIZE(DatumGetJsonbP(value)));
	}
	PG_CATCH();
	{
		int			sqlstate;

		MemoryContextSwitchTo(context);
		sqlstate = geterrcode();
		/* only what the parser says of bad input; anything else goes on up */
		if (ERRCODE_TO_CATEGORY(sqlstate) != ERRCODE_DATA_EXCEPTION &&
			sqlstate != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
	}
	PG_END_TRY();
	return stored;
}

/* Check input and bring it into the form that is stored */
char *
family_normalize(EnvelopeFamily family, const char *text, Size len,
				 Size *stored_len, const char **reason)
{
	char	   *stored = NULL;

	switch (family)
	{
		case ENVELOPE_TEXT:
		case ENVELOPE_AUDIT:
			stored = pnstrdup(text, len);
			break;
		case ENVELOPE_EMAIL:
			stored = palloc(EMAIL_MAX_BYTES + 1);
			*reason = email_normalize(text, len, stored, stored_len);
			if (*reason != NULL)
				return NULL;
			stored[*stored_len] = '\0';
			return stored;
		case ENVELOPE_PHONE:
			{
				int64		phone;

				*reason = phone_parse(text, len, &phone);
				if (*reason != NULL)
					return NULL;
				stored = palloc(PHONE_TEXT_BYTES);
				phone_format(phone, stored);
				break;
			}
		case ENVELOPE_DATE:
			stored = normalize_date(text, len, reason);
			break;
		case ENVELOPE_JSONB:
			stored = normalize_jsonb(text, len, reason);
			break;
	}
	if (stored == NULL)
		return NULL;
	*stored_len = family == ENVELOPE_TEXT ? len : strlen(stored);
	return stored;
}

/* Return the key of a family's equality tags: equal values of two families stay unlike */
static ServiceKey
tag_key(EnvelopeFamily family)
{
	switch (family)
	{
		case ENVELOPE_EMAIL:
			return SERVICE_KEY_TAG_EMAIL;
		case ENVELOPE_PHONE:
			return SERVICE_KEY_TAG_PHONE;
		case ENVELOPE_DATE:
			return SERVICE_KEY_TAG_DATE;
		case ENVELOPE_JSONB:
			return SERVICE_KEY_TAG_JSONB;
		case ENVELOPE_TEXT:
		case ENVELOPE_AUDIT:
			break;
	}
	return SERVICE_KEY_TAG_TEXT;
}

/* Compute the equality tag under the current generation of tag keys */
void
family_tag(EnvelopeFamily family, const char *stored, Size len, uint8 tag[ENVELOPE_TAG_BYTES])
{
	family_tag_of_generation(family, keyring_tag_generation(), stored, len, tag);
}

/* Compute the equality tag: keyed BLAKE2b of what equality compares */
void
family_tag_of_generation(EnvelopeFamily family, int generation, const char *stored, Size len,
						 uint8 tag[ENVELOPE_TAG_BYTES])
{
	if (family == ENVELOPE_EMAIL)
	{
		/* folding can make a character longer */
		char		folded[EMAIL_MAX_BYTES * 2 + 1];
		Size		folded_len;

		email_fold(stored, len, folded, &folded_len);
		keyring_tag(tag_key(family), generation, folded, folded_len, tag);
		memory_zero(folded, sizeof(folded));
	}
	else
		keyring_tag(tag_key(family), generation, stored, len, tag);
}

/* Mask an address: first character of each side, and the last label: j•••@e•••.com */
static char *
mask_email(const char *stored, Size len)
{
	const char *at = memchr(stored, '@', len);
	const char *domain;
	const char *last_dot;
	int			domain_len;

	if (at == NULL)
		return pstrdup(MASK_FILL);
	domain = at + 1;
	domain_len = (int) (stored + len - domain);
	last_dot = domain + domain_len;
	while (last_dot > domain && *last_dot != '.')
		last_dot--;
	if (last_dot == domain)
		last_dot = domain + domain_len;
	return psprintf("%.*s" MASK_FILL "@%.*s" MASK_FILL "%.*s",
					pg_mblen(stored), stored,
					domain_len > 0 ? pg_mblen(domain) : 0, domain,
					(int) (domain + domain_len - last_dot), last_dot);
}

/* Mask a number: calling code and the last digits: +49•••••67 */
static char *
mask_phone(const char *stored, Size len)
{
	int64		phone;
	int			code;
	const char *regions;
	StringInfoData masked;

	if (phone_parse(stored, len, &phone) != NULL)
		return pstrdup(MASK_FILL);
	code = phone_calling_code(phone, &regions);
	initStringInfo(&masked);
	appendStringInfo(&masked, "+%d", code);
	appendStringInfoString(&masked, BULLET BULLET BULLET BULLET BULLET);
	appendStringInfoString(&masked, stored + len - PHONE_VISIBLE_DIGITS);
	return masked.data;
}

/* Return what mask clearance shows; its length tells nothing of the value's */
char *
family_mask(EnvelopeFamily family, const char *stored, Size len)
{
	switch (family)
	{
		case ENVELOPE_EMAIL:
			return mask_email(stored, len);
		case ENVELOPE_PHONE:
			return mask_phone(stored, len);
		case ENVELOPE_DATE:
			return pstrdup(MASKED_DATE);
		case ENVELOPE_JSONB:
			return pstrdup(MASKED_JSONB);
		case ENVELOPE_TEXT:
		case ENVELOPE_AUDIT:
			break;
	}
	if (len == 0)
		return pstrdup("");
	return psprintf("%.*s" MASK_FILL, pg_mblen(stored), stored);
}

/* Is a text a pseudonym as token clearance prints it? */
static bool
looks_like_pseudonym(const char *text, Size len)
{
	char		pseudonym[PSEUDONYM_BYTES + 1] = {0};

	if (len != PSEUDONYM_BYTES)
		return false;
	memcpy(pseudonym, text, PSEUDONYM_BYTES);	/* a text does not end with a zero byte */
	return strncmp(pseudonym, "tok_", 4) == 0 &&
		strspn(pseudonym + 4, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
		PSEUDONYM_BYTES - 4;
}

/*
 * Could a text be what output printed instead of a value?
 *
 * People write bullets in messages, so a text counts only when it has exactly
 * the shape of a mask.
 */
bool
family_looks_printed(EnvelopeFamily family, const char *text, Size len)
{
	if (len == strlen(ENCRYPTED_RESTRICTED) && memcmp(text, ENCRYPTED_RESTRICTED, len) == 0)
		return true;
	if (len == strlen(ENCRYPTED_ERASED) && memcmp(text, ENCRYPTED_ERASED, len) == 0)
		return true;
	if (looks_like_pseudonym(text, len))
		return true;
	if (family == ENVELOPE_TEXT)
	{
		Size		fill_len = strlen(MASK_FILL);

		return len > fill_len &&
			memcmp(text + len - fill_len, MASK_FILL, fill_len) == 0 &&
			len == pg_mblen(text) + fill_len;
	}
	if (family == ENVELOPE_JSONB)
		return len == strlen(MASKED_JSONB) && memcmp(text, MASKED_JSONB, len) == 0;
	for (Size i = 0; i + BULLET_BYTES <= len; i++)
	{
		if (memcmp(text + i, BULLET, BULLET_BYTES) == 0)
			return true;
	}
	return false;
}
