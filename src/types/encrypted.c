/*
 * encrypted.c: input, output and casts of the encrypted types.
 *
 * One set of functions serves all five types: a value knows its family, and
 * input is told the type.
 */
#include "postgres.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "foundation/errors.h"
#include "foundation/run_scope.h"
#include "foundation/memory.h"
#include "keyring/keyring.h"
#include "types/data_class.h"
#include "types/disclosure.h"
#include "types/encrypted.h"
#include "types/family.h"
#include "types/words.h"

#define FIRST_FAMILY ENVELOPE_TEXT
#define LAST_FAMILY ENVELOPE_JSONB
#define PSEUDONYM_MAC_BYTES 16

PG_FUNCTION_INFO_V1(hub_encrypted_in);
PG_FUNCTION_INFO_V1(hub_encrypted_out);
PG_FUNCTION_INFO_V1(hub_encrypted_recv);
PG_FUNCTION_INFO_V1(hub_encrypted_send);
PG_FUNCTION_INFO_V1(hub_encrypted_from_text);
PG_FUNCTION_INFO_V1(hub_encrypted_from_date);
PG_FUNCTION_INFO_V1(hub_encrypted_reclass);
PG_FUNCTION_INFO_V1(hub_reveal);
PG_FUNCTION_INFO_V1(hub_disclose);
PG_FUNCTION_INFO_V1(hub_tag_generation_of);
PG_FUNCTION_INFO_V1(hub_sealed_subject);
PG_FUNCTION_INFO_V1(hub_sealed_class);

/* Type oids by family, looked up when first needed */
static Oid	type_oids[LAST_FAMILY + 1];
static bool type_oids_known = false;

bool		(*encrypted_refuses_printed) (void) = NULL;

/* Forget type oids when a type comes or goes */
static void
forget_type_oids(Datum arg, int cacheid, uint32 hashvalue)
{
	type_oids_known = false;
}

/* Watch pg_type; called once from _PG_init */
void
encrypted_init(void)
{
	CacheRegisterSyscacheCallback(TYPEOID, forget_type_oids, (Datum) 0);
}

/* Tell the family of a type; false when it is not an encrypted type of this extension */
bool
encrypted_type_family(Oid type_oid, EnvelopeFamily *family)
{
	if (!type_oids_known)
	{
		Oid			schema = catalog_schema(true);

		if (!OidIsValid(schema))
			return false;
		for (EnvelopeFamily f = FIRST_FAMILY; f <= LAST_FAMILY; f++)
			type_oids[f] = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
										   CStringGetDatum(family_name(f)),
										   ObjectIdGetDatum(schema));
		type_oids_known = true;
	}
	for (EnvelopeFamily f = FIRST_FAMILY; f <= LAST_FAMILY; f++)
	{
		if (type_oids[f] == type_oid && OidIsValid(type_oid))
		{
			*family = f;
			return true;
		}
	}
	return false;
}

/* Tell the family of a type that must be an encrypted one */
static EnvelopeFamily
require_family(Oid type_oid)
{
	EnvelopeFamily family;

	if (!encrypted_type_family(type_oid, &family))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %u is not an encrypted type of customer_hub", type_oid)));
	return family;
}

/* Raise an error unless a sealed value belongs to the type it is read as */
static void
check_family(const struct varlena *sealed, EnvelopeFamily family)
{
	EnvelopeView view;

	envelope_view(sealed, &view);
	if (view.family != family)
		ereport(ERROR,
				(errcode(ERRCODE_CH_SEALED_VALUE_INVALID),
				 errmsg("sealed value is of type %s, not %s",
						family_name(view.family), family_name(family)),
				 errhint("Sealed values keep their type; read it through a column of its own type.")));
}

/* Refuse to store what output printed for a value */
static void
check_printed(EnvelopeFamily family)
{
	if (encrypted_refuses_printed != NULL && encrypted_refuses_printed())
		ereport(ERROR,
				(errcode(ERRCODE_CH_MASKED_INPUT),
				 errmsg("a masked value of type %s stands for nothing here", family_name(family)),
				 errhint("Only governed tables know which value a mask stands for. Leave the column out of the statement, or give the full value.")));
}

/* Give a value the class of a type modifier, keeping its data subject */
static struct varlena *
give_class(struct varlena *value, uint16 class_id)
{
	EnvelopeView view;

	envelope_view(value, &view);
	if ((view.flags & ENVELOPE_FLAG_PRINTED) != 0)
		check_printed(view.family);
	if (view.class_id == class_id || (view.flags & ENVELOPE_FLAG_PRINTED) != 0)
		return value;
	return encrypted_reclass(value, class_id, &view.subject, false);
}

/* Seal a value of a class, with the word tokens that its class asks for now */
static struct varlena *
seal_in_class(EnvelopeFamily family, uint8 flags, uint16 class_id, const pg_uuid_t *subject,
			  const uint8 *tag, int generation, const char *stored, Size len)
{
	EnvelopeWords words;
	struct varlena *sealed;

	if (family != ENVELOPE_TEXT || likely(!data_class_word_searchable(class_id)))
		return envelope_seal_of_generation(family, flags, class_id, subject, tag, generation, NULL,
										   stored, len);
	words_tokenize(class_id, stored, len, &words);
	sealed = envelope_seal_of_generation(family, flags, class_id, subject, tag, generation, &words,
										 stored, len);
	words_free(&words);
	return sealed;
}

/*
 * Seal a plain value, fresh without a type modifier.
 *
 * Returns NULL when it is not valid for the type; *reason says why.
 */
static struct varlena *
seal_plain(EnvelopeFamily family, const char *text, Size len, int32 typmod,
		   const pg_uuid_t *subject, const char **reason)
{
	const char *stored;
	char	   *normalized = NULL;
	Size		stored_len;
	uint8		tag[ENVELOPE_TAG_BYTES];
	bool		searchable = typmod < 0 || data_class_searchable((uint16) typmod);
	struct varlena *sealed;

	if (family == ENVELOPE_TEXT)
	{
		/* stored as it came: no copy to make, and none to clear away */
		stored = text;
		stored_len = len;
	}
	else
		stored = normalized = family_normalize(family, text, len, &stored_len, reason);
	if (stored == NULL)
		return NULL;
	if (searchable)
		family_tag(family, stored, stored_len, tag);
	if (typmod < 0)
		sealed = envelope_seal_fresh(family, 0, tag, stored, stored_len);
	else
		sealed = seal_in_class(family, 0, (uint16) typmod, subject, searchable ? tag : NULL,
							   searchable ? keyring_tag_generation() : 0, stored, stored_len);
	if (normalized != NULL)
	{
		memory_zero(normalized, stored_len);
		pfree(normalized);
	}
	return sealed;
}

/*
 * Seal a plain value, whatever it looks like: tokens and masks are text here.
 *
 * Returns NULL when it is not valid for the type; *reason says why.
 */
struct varlena *
encrypted_seal_plain(EnvelopeFamily family, const char *text, Size len, uint16 class_id,
					 const pg_uuid_t *subject, const char **reason)
{
	return seal_plain(family, text, len, class_id, subject, reason);
}

/*
 * Seal what the caller wrote.
 *
 * With a type modifier the value gets its class at once; without one it is
 * fresh, and the sizing cast or the sealing trigger gives it one.
 */
static struct varlena *
seal_input(EnvelopeFamily family, const char *text, Size len, int32 typmod)
{
	const char *reason = NULL;
	uint8		tag[ENVELOPE_TAG_BYTES];
	struct varlena *sealed;

	if (envelope_is_token(text, len))
	{
		sealed = envelope_from_token(text, len);
		check_family(sealed, family);
		return typmod < 0 ? sealed : give_class(sealed, (uint16) typmod);
	}

	/* without identity nothing is ever printed so: then text is just text */
	if (family_looks_printed(family, text, len) &&
		(family != ENVELOPE_TEXT ||
		 disclosure_of(DATA_CLASS_UNCLASSIFIED) != DISCLOSURE_SEALED))
	{
		if (disclosure_of(DATA_CLASS_UNCLASSIFIED) == DISCLOSURE_SEALED)
			ereport(ERROR,
					(errcode(ERRCODE_CH_MASKED_INPUT),
					 errmsg("a masked value cannot be stored as type %s", family_name(family)),
					 errhint("Leave the column out of the statement, or give the full value.")));
		if (typmod >= 0)
			check_printed(family);
		/* any tag will do: such a value is never compared */
		family_tag(ENVELOPE_TEXT, text, len, tag);
		return envelope_seal_fresh(family, ENVELOPE_FLAG_PRINTED, tag, text, len);
	}

	sealed = seal_plain(family, text, len, typmod, NULL, &reason);
	if (sealed == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid input for type %s", family_name(family)),
				 errdetail("%s", reason)));
	return sealed;
}

/* Make a pseudonym: the equality tag keyed once more, so that it cannot be looked up */
static char *
make_pseudonym(EnvelopeFamily family, const uint8 tag[ENVELOPE_TAG_BYTES])
{
	uint8		message[1 + ENVELOPE_TAG_BYTES];
	uint8		mac[PSEUDONYM_MAC_BYTES];
	Size		text_size = sodium_base64_ENCODED_LEN(sizeof(mac),
													  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	char	   *pseudonym = palloc(4 + text_size);

	message[0] = family;
	memcpy(message + 1, tag, ENVELOPE_TAG_BYTES);
	keyring_mac(SERVICE_KEY_PSEUDONYM, message, sizeof(message), mac, sizeof(mac));
	memcpy(pseudonym, "tok_", 4);
	sodium_bin2base64(pseudonym + 4, text_size, mac, sizeof(mac),
					  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return pseudonym;
}

/* Make what token clearance shows of an opened value */
static char *
pseudonym_of(EnvelopeFamily family, const char *plaintext, Size len)
{
	uint8		tag[ENVELOPE_TAG_BYTES];

	family_tag(family, plaintext, len, tag);
	return make_pseudonym(family, tag);
}

/* Print a value at a clearance below reveal */
static char *
print_guarded(const struct varlena *value, const EnvelopeView *view, Disclosure disclosure)
{
	Size		len;
	char	   *plaintext;
	char	   *printed;

	if (disclosure == DISCLOSURE_SEALED)
		return envelope_to_token(value);
	if (disclosure == DISCLOSURE_DENY ||
		(disclosure == DISCLOSURE_TOKEN && (view->flags & ENVELOPE_FLAG_SEARCHABLE) != 0))
	{
		if (!envelope_is_unbound(view) && keyring_subject_is_erased(&view->subject))
			return pstrdup(ENCRYPTED_ERASED);
		return disclosure == DISCLOSURE_DENY ? pstrdup(ENCRYPTED_RESTRICTED) :
			make_pseudonym(view->family, view->nonce);
	}

	plaintext = envelope_open(value, &len);
	if (plaintext == NULL)
		return pstrdup(ENCRYPTED_ERASED);
	printed = disclosure == DISCLOSURE_MASK ? family_mask(view->family, plaintext, len) :
		pseudonym_of(view->family, plaintext, len);
	memory_free_secret(plaintext, len);
	return printed;
}

/* Print a value for the current identity, recording a reveal before it happens */
char *
encrypted_disclose(const struct varlena *value)
{
	EnvelopeView view;
	Disclosure	disclosure;
	char	   *plaintext;
	uint64	   *mark;

	envelope_view_to_open(value, &view);
	if ((view.flags & ENVELOPE_FLAG_PRINTED) != 0)
		return envelope_to_token(value);
	disclosure = disclosure_of_value(view.class_id, &view.subject);
	if (disclosure > DISCLOSURE_DENY)
		disclosure_count(&view.subject, view.class_id);
	if (disclosure != DISCLOSURE_REVEAL)
		return print_guarded(value, &view, disclosure);
	plaintext = envelope_open_string(value, &view, &mark);
	if (plaintext == NULL)
		return pstrdup(ENCRYPTED_ERASED);
	disclosure_record_marked(&view.subject, view.class_id, REVEAL_FULL, mark);
	return plaintext;
}

/* Print what the current identity would have been shown, to compare what it writes back */
static char *
print_as_shown(const struct varlena *value)
{
	EnvelopeView view;
	Disclosure	disclosure;
	Size		len;
	char	   *plaintext;

	envelope_view(value, &view);
	disclosure = disclosure_of_value(view.class_id, &view.subject);
	if (disclosure != DISCLOSURE_REVEAL)
		return print_guarded(value, &view, disclosure);
	plaintext = envelope_open(value, &len);
	return plaintext ? plaintext : pstrdup(ENCRYPTED_ERASED);
}

/*
 * Is a function of a procedural language or a trigger running?
 *
 * Such functions evaluate simple expressions without an executor run of their
 * own, so the flag of the enclosing query does not tell; an SPI connection does.
 * Deferred triggers run at commit, outside any query: what a constraint says of
 * a violation must not be plaintext either.
 */
static bool
inside_function(void)
{
	return engine_within_spi() ||
		DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) > 0;
}

/* Print a value: disclosed on its way to the client, sealed everywhere else */
static char *
print_value(const struct varlena *value)
{
	if (run_scope.to_client && !inside_function() && disclosure_allows_output())
		return encrypted_disclose(value);
	return envelope_to_token(value);
}

/* Input: seal at once, take sealed tokens as they are */
Datum
hub_encrypted_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);

	PG_RETURN_POINTER(seal_input(require_family(PG_GETARG_OID(1)), text, strlen(text),
								 PG_GETARG_INT32(2)));
}

/* Output: by identity and class for the client, sealed elsewhere */
Datum
hub_encrypted_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(print_value(PG_GETARG_VARLENA_PP(0)));
}

/* Binary input: the same text as hub_encrypted_in takes */
Datum
hub_encrypted_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buffer = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *text = pq_getmsgtext(buffer, buffer->len - buffer->cursor, &len);

	PG_RETURN_POINTER(seal_input(require_family(PG_GETARG_OID(1)), text, len,
								 PG_GETARG_INT32(2)));
}

/* Binary output: the same text as hub_encrypted_out prints */
Datum
hub_encrypted_send(PG_FUNCTION_ARGS)
{
	char	   *text = print_value(PG_GETARG_VARLENA_PP(0));
	StringInfoData buffer;

	pq_begintypsend(&buffer);
	pq_sendtext(&buffer, text, strlen(text));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

/* Cast from text: the same as input, with the class of the target */
Datum
hub_encrypted_from_text(PG_FUNCTION_ARGS)
{
	text	   *input = PG_GETARG_TEXT_PP(0);
	EnvelopeFamily family = (EnvelopeFamily) (uintptr_t) fcinfo->flinfo->fn_extra;

	if (family == 0)
	{
		family = require_family(get_fn_expr_rettype(fcinfo->flinfo));
		fcinfo->flinfo->fn_extra = (void *) (uintptr_t) family;
	}
	PG_RETURN_POINTER(seal_input(family, VARDATA_ANY(input),
								 VARSIZE_ANY_EXHDR(input), PG_GETARG_INT32(1)));
}

/* Cast from date: in ISO 8601, whatever the DateStyle */
Datum
hub_encrypted_from_date(PG_FUNCTION_ARGS)
{
	DateADT		date = PG_GETARG_DATEADT(0);
	struct pg_tm tm;
	char		text[MAXDATELEN + 1];

	if (DATE_NOT_FINITE(date))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("an infinite date cannot be stored as type encrypted_date")));
	j2date(date + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	EncodeDateOnly(&tm, USE_ISO_DATES, text);
	PG_RETURN_POINTER(seal_input(ENVELOPE_DATE, text, strlen(text), PG_GETARG_INT32(1)));
}

/* Was a value's tag, if it has one, made under the current generation? */
static inline bool
tag_is_current(const EnvelopeView *view)
{
	return (view->flags & ENVELOPE_FLAG_SEARCHABLE) == 0 ||
		envelope_tag_generation(view) == keyring_tag_generation();
}

/*
 * Give a value another class.
 *
 * What the caller just wrote may take any class; a stored value may only be
 * given another by who may see it, and that is a reveal. Raises CH101.
 */
struct varlena *
encrypted_reclass(struct varlena *value, uint16 class_id, const pg_uuid_t *subject, bool classify)
{
	EnvelopeView view;
	Size		len;
	char	   *plaintext;
	uint8		tag[ENVELOPE_TAG_BYTES];
	bool		searchable = data_class_searchable(class_id);
	struct varlena *sealed;

	envelope_view(value, &view);
	if (view.class_id != class_id && !envelope_is_fresh(value) &&
		!(classify && view.class_id == DATA_CLASS_UNCLASSIFIED &&
		  disclosure_of(view.class_id) == DISCLOSURE_SEALED))
	{
		const char *from = data_class_name(view.class_id);
		const char *to = data_class_name(class_id);

		if (disclosure_of_value(view.class_id, &view.subject) != DISCLOSURE_REVEAL)
			ereport(ERROR,
					(errcode(ERRCODE_CH_CLASS_CHANGE),
					 errmsg("cannot change data class \"%s\" of a sealed value to \"%s\"",
							from ? from : "unclassified", to ? to : "unclassified"),
					 view.class_id == DATA_CLASS_UNCLASSIFIED
					 ? errhint("A literal takes the class of its column only in the session that wrote it; in a DEFAULT it is better set by the application or a trigger.")
					 : errhint("Changing the class of a value is a reveal: it needs reveal clearance for its present class.")));
		disclosure_record(&view.subject, view.class_id, REVEAL_RECLASS);
	}

	plaintext = envelope_open(value, &len);
	if (plaintext == NULL)
		return value;			/* of an erased subject: nothing left to classify */
	if (searchable && (view.flags & ENVELOPE_FLAG_SEARCHABLE) != 0 && tag_is_current(&view))
		memcpy(tag, view.nonce, ENVELOPE_TAG_BYTES);
	else if (searchable)
		family_tag(view.family, plaintext, len, tag);
	sealed = seal_in_class(view.family, 0, class_id, subject, searchable ? tag : NULL,
						   searchable ? keyring_tag_generation() : 0, plaintext, len);
	memory_free_secret(plaintext, len);
	return sealed;
}

/* Sizing cast: put the class of the type modifier on a value */
Datum
hub_encrypted_reclass(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	int32		typmod = PG_GETARG_INT32(1);

	PG_RETURN_POINTER(typmod < 0 ? value : give_class(value, (uint16) typmod));
}

/* Return the plaintext of a value to code that needs it; raises CH205 without clearance */
Datum
hub_reveal(PG_FUNCTION_ARGS)
{
	struct varlena *value = PG_GETARG_VARLENA_PP(0);
	EnvelopeView view;
	text	   *plaintext;
	uint64	   *mark;

	envelope_view_to_open(value, &view);
	if (disclosure_of_value(view.class_id, &view.subject) != DISCLOSURE_REVEAL ||
		(view.flags & ENVELOPE_FLAG_PRINTED) != 0)
	{
		const char *class_name = data_class_name(view.class_id);
		Size		len;
		char	   *unseen;

		/* one that was altered gives the same error as ever, whatever class it claims */
		unseen = envelope_open(value, &len);
		if (unseen != NULL)
			memory_free_secret(unseen, len);
		ereport(ERROR,
				(errcode(ERRCODE_CH_NOT_PERMITTED),
				 errmsg("no clearance to reveal data of class \"%s\"",
						class_name ? class_name : "unclassified"),
				 errhint("hub.whoami() shows the identity in force; hub.set_clearance() changes what its role may see.")));
	}
	disclosure_count(&view.subject, view.class_id);
	plaintext = envelope_open_text(value, &view, &mark);
	if (plaintext == NULL)
		PG_RETURN_TEXT_P(cstring_to_text(ENCRYPTED_ERASED));
	disclosure_record_marked(&view.subject, view.class_id, REVEAL_FULL, mark);
	PG_RETURN_TEXT_P(plaintext);
}

/* Return what output would print, for code that builds documents of its own */
Datum
hub_disclose(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(encrypted_disclose(PG_GETARG_VARLENA_PP(0))));
}

/* Return the data subject that a value is bound to, or NULL */
Datum
hub_sealed_subject(PG_FUNCTION_ARGS)
{
	EnvelopeView view;
	pg_uuid_t  *subject;

	envelope_view(PG_GETARG_VARLENA_PP(0), &view);
	if (envelope_is_unbound(&view))
		PG_RETURN_NULL();
	subject = palloc(sizeof(pg_uuid_t));
	*subject = view.subject;
	PG_RETURN_UUID_P(subject);
}

/* Return the data class of a value, or NULL */
Datum
hub_sealed_class(PG_FUNCTION_ARGS)
{
	EnvelopeView view;
	const char *name;

	envelope_view(PG_GETARG_VARLENA_PP(0), &view);
	name = data_class_name(view.class_id);
	if (name == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(name));
}

/*
 * Bind a value to its data subject and class, as the sealing trigger does.
 *
 * See encrypted.h for the errors.
 */
struct varlena *
encrypted_bind(struct varlena *value, struct varlena *old_value, EnvelopeFamily family,
			   uint16 class_id, const pg_uuid_t *subject)
{
	EnvelopeView view;

	envelope_view(value, &view);
	if (view.family != family)
		check_family(value, family);

	if ((view.flags & ENVELOPE_FLAG_PRINTED) != 0)
	{
		Size		len;
		char	   *printed = envelope_open(value, &len);

		if (old_value != NULL && printed != NULL &&
			strcmp(printed, print_as_shown(old_value)) == 0)
			return old_value;
		ereport(ERROR,
				(errcode(ERRCODE_CH_MASKED_INPUT),
				 errmsg("a masked value of type %s does not stand for the stored one",
						family_name(family)),
				 errhint("Leave the column out of the statement, or give the full value.")));
	}

	if (!envelope_is_unbound(&view))
	{
		if (memcmp(&view.subject, subject, UUID_LEN) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_CH_SUBJECT_MISMATCH),
					 errmsg("sealed value of type %s belongs to another data subject",
							family_name(family)),
					 errhint("A sealed value cannot be moved to another person; write the value itself.")));
		if (view.class_id == class_id)
			return tag_is_current(&view) ? value : encrypted_retag(value, keyring_tag_generation());
	}
	return encrypted_reclass(value, class_id, subject, true);
}

/* Give the tag of a value under a generation of tag keys; false when it cannot have one */
bool
encrypted_tag_of_generation(const struct varlena *value, int generation,
							uint8 tag[ENVELOPE_TAG_BYTES])
{
	EnvelopeView view;
	Size		len;
	char	   *plaintext;

	envelope_view(value, &view);
	if ((view.flags & ENVELOPE_FLAG_SEARCHABLE) == 0)
		return false;
	if (envelope_tag_generation(&view) == generation)
	{
		memcpy(tag, view.nonce, ENVELOPE_TAG_BYTES);
		return true;
	}
	plaintext = envelope_open(value, &len);
	if (plaintext == NULL)
		return false;
	family_tag_of_generation(view.family, generation, plaintext, len, tag);
	memory_free_secret(plaintext, len);
	return true;
}

/* Seal a value anew, its tag under a generation of tag keys */
struct varlena *
encrypted_seal_anew(struct varlena *value, int generation)
{
	EnvelopeView view;
	Size		len;
	char	   *plaintext;
	uint8		tag[ENVELOPE_TAG_BYTES];
	bool		has_tag = false;
	struct varlena *sealed;

	envelope_view(value, &view);
	plaintext = envelope_open(value, &len);
	if (plaintext == NULL)
		return value;
	if ((view.flags & ENVELOPE_FLAG_SEARCHABLE) != 0)
	{
		has_tag = true;
		family_tag_of_generation(view.family, generation, plaintext, len, tag);
	}
	sealed = seal_in_class(view.family, view.flags, view.class_id, &view.subject,
						   has_tag ? tag : NULL, generation, plaintext, len);
	memory_free_secret(plaintext, len);
	return sealed;
}

/* Give a value a tag under another generation of tag keys; as it is when it has that, or none */
struct varlena *
encrypted_retag(struct varlena *value, int generation)
{
	EnvelopeView view;

	envelope_view(value, &view);
	if ((view.flags & ENVELOPE_FLAG_SEARCHABLE) == 0 ||
		envelope_tag_generation(&view) == generation)
		return value;
	return encrypted_seal_anew(value, generation);
}

/* Do two values hold the same, for the same data subject and in the same class? */
bool
encrypted_same_content(const struct varlena *one, const struct varlena *other)
{
	EnvelopeView one_view;
	EnvelopeView other_view;
	char	   *one_text;
	char	   *other_text;
	Size		one_len = 0;
	Size		other_len = 0;
	bool		same;

	envelope_view(one, &one_view);
	envelope_view(other, &other_view);
	if (one_view.family != other_view.family || one_view.class_id != other_view.class_id ||
		memcmp(&one_view.subject, &other_view.subject, UUID_LEN) != 0)
		return false;
	one_text = envelope_open(one, &one_len);
	other_text = envelope_open(other, &other_len);
	same = (one_text == NULL) == (other_text == NULL) &&
		(one_text == NULL || (one_len == other_len && memcmp(one_text, other_text, one_len) == 0));
	if (one_text != NULL)
		memory_free_secret(one_text, one_len);
	if (other_text != NULL)
		memory_free_secret(other_text, other_len);
	return same;
}

/* Return the generation of tag keys of a value, or NULL when it has no tag */
Datum
hub_tag_generation_of(PG_FUNCTION_ARGS)
{
	EnvelopeView view;

	envelope_view(PG_GETARG_VARLENA_PP(0), &view);
	if ((view.flags & ENVELOPE_FLAG_SEARCHABLE) == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(envelope_tag_generation(&view));
}

/* Does a sealed value hold what a plain one would be sealed to? */
bool
encrypted_holds_plain(const struct varlena *value, const char *text, Size len)
{
	EnvelopeView view;
	const char *reason;
	char	   *stored;
	Size		stored_len;
	char	   *plaintext;
	Size		plaintext_len;
	bool		same;

	envelope_view(value, &view);
	if ((view.flags & ENVELOPE_FLAG_PRINTED) != 0)
		return false;
	stored = family_normalize(view.family, text, len, &stored_len, &reason);
	if (stored == NULL)
		return false;
	plaintext = envelope_open(value, &plaintext_len);
	same = plaintext != NULL && plaintext_len == stored_len &&
		memcmp(plaintext, stored, stored_len) == 0;
	if (plaintext != NULL)
		memory_free_secret(plaintext, plaintext_len);
	memory_zero(stored, stored_len);
	pfree(stored);
	return same;
}
