/*
 * redact.c: keep statements and values of those who hold an identity out of the
 * server log.
 *
 * A message that goes to the client as well must reach it unchanged, and there
 * is one text for both. So the hook puts a copy of the message without its values
 * in its place, has that written to the log, and puts the original back for the
 * client. What is left is the format string of the message, the SQLSTATE and the
 * names of the objects concerned.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "access/redact.h"
#include "foundation/settings.h"
#include "identity/identity.h"

#define PLACEHOLDER "…"

static bool writing = false;

/* Messages whose values are the server's own */
static const char *const harmless[] = {
	"connection ", "disconnection: ", "temporary file: ", "process %d ", "could not send data to client",
	"could not receive data from client", "unexpected EOF on client connection",
	"terminating connection", "canceling statement due to ", "replication connection ",
	/* the trail itself, where the server log stands in for it */
	"customer_hub reveal on a standby: ", "customer_hub audit event of kind "
};

/*
 * Does a text carry a token? Recognised by the function's name, whatever the
 * search_path, and by the first letters of every JWT.
 */
static bool
carries_token(const char *text)
{
	if (text == NULL)
		return false;
	if (strstr(text, "eyJ") != NULL)
		return true;
	for (; *text != '\0'; text++)
	{
		if ((*text == 'a' || *text == 'A') && pg_strncasecmp(text, "authenticate", 12) == 0)
			return true;
	}
	return false;
}

/*
 * Keep statements out of pg_stat_statements and its like that would put more there
 * than a text with its constants replaced: those that carry a token, be it in a
 * comment, and utility statements of those who hold an identity, which are kept as
 * they were written. Without a query id a statement is not counted.
 */
void
redact_hide_from_statistics(const char *text, Query *query)
{
	if (query->queryId == 0)
		return;
	if ((text != NULL && strstr(text, "eyJ") != NULL) ||
		(query->utilityStmt != NULL && (identity_held || identity_present()) && settings_redact_log()))
		query->queryId = 0;
}

/* Is the session redacted, or does a text carry a token? See redact.h */
bool
redact_applies(const char *text)
{
	return ((identity_held || identity_present()) && settings_redact_log()) || carries_token(text);
}

/* Are the values of this message the server's own? */
static bool
is_harmless(const char *message_id)
{
	for (int i = 0; i < lengthof(harmless); i++)
	{
		if (strncmp(message_id, harmless[i], strlen(harmless[i])) == 0)
			return true;
	}
	return false;
}

/* Append a format string with a placeholder for each value */
static void
append_without_values(StringInfo text, const char *format)
{
	while (*format != '\0')
	{
		if (*format != '%')
			appendStringInfoChar(text, *format++);
		else if (format[1] == '%')
		{
			appendStringInfoChar(text, '%');
			format += 2;
		}
		else
		{
			/* flags, width, precision and length, then the conversion */
			format++;
			format += strspn(format, "-+ #0123456789.*$hlzjtq");
			if (*format != '\0')
				format++;
			appendStringInfoString(text, PLACEHOLDER);
		}
	}
}

/* Write the text of a message that is left when its values are taken out */
static char *
message_without_values(const ErrorData *edata)
{
	StringInfoData text;

	if (edata->message_id == NULL || strcmp(edata->message_id, "%s") == 0)
		return psprintf("message redacted (SQLSTATE %s)", unpack_sql_state(edata->sqlerrcode));
	if (strchr(edata->message_id, '%') == NULL || is_harmless(edata->message_id))
		return pstrdup(edata->message);

	initStringInfo(&text);
	if (edata->message != NULL && strncmp(edata->message_id, "duration: ", 10) == 0)
	{
		/* how long it took is worth keeping */
		const char *end = strstr(edata->message, " ms");

		if (end != NULL)
		{
			appendBinaryStringInfo(&text, edata->message, end + 3 - edata->message);
			if (end[3] != '\0')
				appendStringInfoString(&text, "  statement redacted");
			return text.data;
		}
	}
	append_without_values(&text, edata->message_id);
	if (edata->constraint_name != NULL)
		appendStringInfo(&text, " (constraint \"%s\")", edata->constraint_name);
	else if (edata->table_name != NULL)
		appendStringInfo(&text, " (table \"%s\")", edata->table_name);
	return text.data;
}

/* Log hook: write what may be written; see redact.h */
bool
redact_log(ErrorData *edata)
{
	ErrorData	original;

	if (writing || !edata->output_to_server)
		return false;
	/* the postmaster quotes the statement of a process that crashed, and cannot know whose it was */
	if (!IsUnderPostmaster && MyProcPid == PostmasterPid && settings_redact_log() && edata->detail != NULL &&
		edata->message_id != NULL && strncmp(edata->message_id, "%s (PID %d) ", 12) == 0)
	{
		edata->detail = NULL;
		return false;
	}
	/* the message may be about a statement that is no longer the current one */
	if (!redact_applies(debug_query_string) && !carries_token(edata->message) && !carries_token(edata->detail))
		return false;
	if (edata->elevel >= ERROR && edata->elevel < PANIC)
		redact_activity();

	original = *edata;
	edata->message = message_without_values(&original);
	edata->detail = NULL;
	edata->detail_log = NULL;
	edata->hint = NULL;
	edata->context = NULL;
	edata->internalquery = NULL;
	edata->hide_stmt = true;
	edata->hide_ctx = true;
	edata->output_to_client = false;

	/* the message is on top of the error stack: this writes the copy to the log */
	writing = true;
	EmitErrorReport();
	writing = false;

	pfree(edata->message);
	*edata = original;
	edata->output_to_server = false;
	return true;
}

/* Raise the current error again without its values; see redact.h */
void
redact_rethrow(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	/* errors of our own quote no values */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == MAKE_SQLSTATE('C', 'H', '0', '0', '0'))
		ReThrowError(error);
	error->message = message_without_values(error);
	error->detail = "Values are left out: the query had an encrypted value as text, and the error may quote it.";
	error->detail_log = NULL;
	error->hint = NULL;
	error->context = NULL;
	error->internalquery = NULL;
	ReThrowError(error);
}
