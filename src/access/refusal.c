/*
 * refusal.c: refusals that leave a trace.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "access/access.h"
#include "foundation/compat.h"
#include "foundation/errors.h"

void		(*access_record_denied) (const char *details) = NULL;
void		(*access_record_export) (const char *details) = NULL;

PG_FUNCTION_INFO_V1(hub_deny);

/* Record the refusal of an attempt on a relation */
void
access_record_attempt(const char *attempt, Oid relid)
{
	StringInfoData details;

	if (access_record_denied == NULL)
		return;
	initStringInfo(&details);
	appendStringInfoString(&details, "{\"attempt\": ");
	escape_json(&details, attempt);
	appendStringInfoString(&details, ", \"relation\": ");
	escape_json(&details, quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
													 get_rel_name(relid)));
	appendStringInfoChar(&details, '}');
	access_record_denied(details.data);
}

/* hub.deny(code, message, hint, details): raise an error whose record survives it */
Datum
hub_deny(PG_FUNCTION_ARGS)
{
	char	   *code;
	char	   *message;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("code and message of a refusal must not be null")));
	code = text_to_cstring(PG_GETARG_TEXT_PP(0));
	message = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strlen(code) != 5)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("SQLSTATE of a refusal must have five characters")));
	if (access_record_denied != NULL && !PG_ARGISNULL(3))
	{
		Jsonb	   *details = PG_GETARG_JSONB_P(3);

		access_record_denied(JsonbToCString(NULL, &details->root, VARSIZE(details)));
	}
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4])),
			 errmsg("%s", message),
			 PG_ARGISNULL(2) ? 0 : errhint("%s", text_to_cstring(PG_GETARG_TEXT_PP(2)))));
	PG_RETURN_VOID();
}
