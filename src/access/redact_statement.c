/*
 * redact_statement.c: keep the literals of statements of those who hold an
 * identity out of what PostgreSQL keeps of a statement: pg_stat_activity,
 * pg_prepared_statements and pg_cursors.
 *
 * The text that takes the place of a statement has the same letters at the same
 * places outside of its literals and comments, so that positions in it stay
 * right and a DBA still sees what runs.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access/redact.h"

TimestampTz redact_activity_at = 0;

/* Put dots over the characters between two points, as many and as long as they were */
static void
blank(char *from, char *to)
{
	static const char *const dots[] = {".", "\302\267", "\342\200\246", "\360\237\227\272"};

	while (from < to)
	{
		int			len = GetDatabaseEncoding() == PG_UTF8 ? pg_utf_mblen((unsigned char *) from) : 1;

		if (len > to - from)
			len = 1;
		if (*from != '\n' && *from != '\r' && *from != '\t')
			memcpy(from, dots[len - 1], len);
		from += len;
	}
}

/* Is this a letter of an identifier or key word? */
static inline bool
is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || IS_HIGHBIT_SET(c);
}

/* Find the end of a quoted text, past its closing quote, from what follows the opening one */
static char *
end_of_quoted(char *text, char quote, bool escapes)
{
	while (*text != '\0')
	{
		if (escapes && *text == '\\' && text[1] != '\0')
			text += 2;
		else if (*text++ == quote)
		{
			if (*text != quote)
				return text;
			text++;
		}
	}
	return text;
}

/* Find the end of a comment, which may hold others, from what follows its beginning */
static char *
end_of_comment(char *text)
{
	int			depth = 1;

	while (*text != '\0' && depth > 0)
	{
		if (text[0] == '/' && text[1] == '*')
			depth++;
		else if (text[0] == '*' && text[1] == '/')
			depth--;
		else
		{
			text++;
			continue;
		}
		text += 2;
	}
	return text;
}

/* Return the length of a dollar quote's delimiter at this point, or 0 */
static Size
dollar_delimiter(const char *text)
{
	const char *end = text + 1;

	if (isdigit((unsigned char) *end))
		return 0;
	while (is_word(*end))
		end++;
	return *end == '$' ? end + 1 - text : 0;
}

/* Has a statement none of the characters that begin a literal, number or comment? */
static bool
has_no_literals(const char *statement)
{
	return statement[strcspn(statement, "'\"$-/0123456789")] == '\0';
}

/* Copy a statement, with dots in the place of its literals, numbers and comments */
static char *
without_literals(const char *statement)
{
	char	   *copy = pstrdup(statement);
	char	   *text = copy;

	while (*text != '\0')
	{
		char	   *start = text;
		Size		len;

		if (*text == '\'')
		{
			bool		escapes = !standard_conforming_strings ||
				(text > copy && (text[-1] == 'e' || text[-1] == 'E') &&
				 (text == copy + 1 || !is_word(text[-2])));

			text = end_of_quoted(text + 1, '\'', escapes);
			blank(start + 1, text[-1] == '\'' && text > start + 1 ? text - 1 : text);
		}
		else if (*text == '"')
			text = end_of_quoted(text + 1, '"', false);
		else if (text[0] == '-' && text[1] == '-')
		{
			text += strcspn(text, "\r\n");
			blank(start + 2, text);
		}
		else if (text[0] == '/' && text[1] == '*')
		{
			text = end_of_comment(text + 2);
			blank(start + 2, Max(start + 2, text - 2));
		}
		else if (*text == '$' && (len = dollar_delimiter(text)) > 0)
		{
			char	   *delimiter = pnstrdup(text, len);
			char	   *end = strstr(text + len, delimiter);

			blank(text + len, end ? end : text + strlen(text));
			text = end ? end + len : text + strlen(text);
			pfree(delimiter);
		}
		else if (*text == '$' && isdigit((unsigned char) text[1]))
			text += 1 + strspn(text + 1, "0123456789");
		else if (isdigit((unsigned char) *text))
		{
			text += strspn(text, "0123456789.");
			blank(start, text);
		}
		else if (is_word(*text))
		{
			while (is_word(*text) || *text == '$')
				text++;
		}
		else
			text++;
	}
	return copy;
}

/*
 * Copy what the client sent, once for all statements in it.
 *
 * The copy lives until the client sends something else.
 */
static const char *
client_text_without_literals(void)
{
	static char *copy = NULL;
	static const char *copied = NULL;
	static TimestampTz copied_at = 0;
	TimestampTz started = GetCurrentStatementStartTimestamp();

	if (copied != debug_query_string || copied_at != started)
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		if (copy != NULL)
			pfree(copy);
		copied = NULL;
		copy = NULL;
		copy = without_literals(debug_query_string);
		copied = debug_query_string;
		copied_at = started;
		MemoryContextSwitchTo(before);
	}
	return copy;
}

/* Return the text that PostgreSQL may keep of a statement: itself, or a copy without literals */
const char *
redact_statement(const char *statement)
{
	/* the scripts of extensions are long, and nobody's secret */
	if (statement == NULL || creating_extension || !redact_applies(statement))
		return statement;
	if (statement == debug_query_string)
		return client_text_without_literals();
	if (has_no_literals(statement))
		return statement;
	return without_literals(statement);
}

/* Replace the text of the current statement in pg_stat_activity */
void
redact_replace_activity(void)
{
	uint64		query_id;

	if (debug_query_string == NULL || !redact_applies(NULL))
		return;
	redact_activity_at = GetCurrentStatementStartTimestamp();
	query_id = pgstat_get_my_query_id();
	pgstat_report_activity(STATE_RUNNING, client_text_without_literals());
	pgstat_report_query_id(query_id, true);
}
