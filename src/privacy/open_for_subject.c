/*
 * open_for_subject.c: the copy of their data that a person has a right to.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "foundation/compat.h"
#include "foundation/memory.h"
#include "keyring/envelope.h"
#include "types/disclosure.h"
#include "types/encrypted.h"

PG_FUNCTION_INFO_V1(hub_open_for_subject);

/* Open a value whatever the clearance of the session, and put that on record first */
Datum
hub_open_for_subject(PG_FUNCTION_ARGS)
{
	EnvelopeFamily family;
	EnvelopeView view;
	struct varlena *sealed;
	char	   *plaintext;
	Size		len;
	text	   *result;

	if (!encrypted_type_family(getBaseType(get_fn_expr_argtype(fcinfo->flinfo, 0)), &family))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("the value is not of an encrypted type")));
	sealed = PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
	envelope_view(sealed, &view);
	disclosure_record(&view.subject, view.class_id, REVEAL_FULL);
	plaintext = envelope_open(sealed, &len);
	if (plaintext == NULL)
		PG_RETURN_NULL();
	result = cstring_to_text_with_len(plaintext, len);
	memory_free_secret(plaintext, len);
	PG_RETURN_TEXT_P(result);
}
