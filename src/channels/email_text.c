/*
 * email_text.c: the pieces of e-mail text that inbound services leave to the reader.
 */
#include "postgres.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "channels/email_text.h"

/* Copy a stretch of text without surrounding blanks; NULL when nothing is left. */
static char *
trimmed(const char *text, Size len)
{
	while (len > 0 && isspace((unsigned char) *text))
	{
		text++;
		len--;
	}
	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	return len > 0 ? pnstrdup(text, len) : NULL;
}

/* Take a mailbox apart; of several the first counts. */
char *
email_text_address(const char *mailbox, char **name)
{
	const char *open = NULL;
	const char *close;
	const char *end;
	bool		quoted = false;
	char	   *display;

	if (name != NULL)
		*name = NULL;
	if (mailbox == NULL)
		return NULL;
	for (end = mailbox; *end != '\0'; end++)
	{
		if (*end == '\\' && quoted && end[1] != '\0')
			end++;
		else if (*end == '"')
			quoted = !quoted;
		else if (!quoted && *end == '<' && open == NULL)
			open = end;
		else if (!quoted && *end == ',')
			break;
	}
	if (open == NULL)
		return trimmed(mailbox, end - mailbox);
	close = memchr(open, '>', end - open);
	if (name != NULL)
	{
		display = trimmed(mailbox, open - mailbox);
		if (display != NULL && display[0] == '"' && strlen(display) > 1 &&
			display[strlen(display) - 1] == '"')
			display = trimmed(display + 1, strlen(display) - 2);
		*name = display;
	}
	return trimmed(open + 1, (close ? close : end) - open - 1);
}

/* Find a header and join its folded lines. */
char *
email_text_header(const char *headers, const char *name)
{
	Size		name_len = strlen(name);
	const char *line = headers;

	while (line != NULL && *line != '\0' && *line != '\r' && *line != '\n')
	{
		const char *end = strchr(line, '\n');

		if (pg_strncasecmp(line, name, name_len) == 0 && line[name_len] == ':')
		{
			StringInfoData value;

			while (end != NULL && (end[1] == ' ' || end[1] == '\t'))
				end = strchr(end + 1, '\n');
			initStringInfo(&value);
			for (const char *at = line + name_len + 1; *at != '\0' && at != end; at++)
			{
				if (*at == '\r' || *at == '\n')
					continue;
				appendStringInfoChar(&value, *at == '\t' ? ' ' : *at);
			}
			return trimmed(value.data, value.len);
		}
		line = end ? end + 1 : NULL;
	}
	return NULL;
}

/* Find the first message id, brackets and all. */
char *
email_text_message_id(const char *ids)
{
	const char *open = ids ? strchr(ids, '<') : NULL;
	const char *close = open ? strchr(open, '>') : NULL;

	return close ? pnstrdup(open, close - open + 1) : NULL;
}

/* Append what a character reference stands for; returns its length, 0 when it is none. */
static int
append_reference(StringInfo text, const char *at)
{
	static const struct
	{
		const char *name;
		const char *value;
	}			references[] = {
		{"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""},
		{"&apos;", "'"}, {"&nbsp;", " "}, {"&#39;", "'"}
	};
	char	   *end;
	unsigned long code;

	for (int i = 0; i < lengthof(references); i++)
	{
		int			len = strlen(references[i].name);

		if (strncmp(at, references[i].name, len) == 0)
		{
			appendStringInfoString(text, references[i].value);
			return len;
		}
	}
	if (at[1] != '#' || !isxdigit((unsigned char) at[at[2] == 'x' || at[2] == 'X' ? 3 : 2]))
		return 0;
	code = at[2] == 'x' || at[2] == 'X' ? strtoul(at + 3, &end, 16) : strtoul(at + 2, &end, 10);
	if (*end != ';' || code < 32 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF) ||
		GetDatabaseEncoding() != PG_UTF8)
		return 0;
	else
	{
		unsigned char utf8[MAX_MULTIBYTE_CHAR_LEN + 1];

		unicode_to_utf8((pg_wchar) code, utf8);
		appendBinaryStringInfo(text, (char *) utf8, pg_utf_mblen(utf8));
	}
	return end + 1 - at;
}

/* Tell whether a tag has this name. */
static bool
tag_is(const char *tag, const char *name)
{
	Size		len = strlen(name);

	return pg_strncasecmp(tag, name, len) == 0 && !isalnum((unsigned char) tag[len]);
}

/* Drop tags, styles and scripts; a block element or break ends a line. */
char *
email_text_from_html(const char *html)
{
	static const char *const blocks[] = {
		"br", "p", "/p", "div", "/div", "tr", "/tr", "li", "h1", "/h1", "h2", "/h2", "h3", "/h3",
		"blockquote", "/blockquote", "table", "/table"
	};
	static const char *const hidden[] = {"script", "style", "head", "title"};
	StringInfoData text;
	const char *at = html;

	initStringInfo(&text);
	while (at != NULL && *at != '\0')
	{
		if (*at == '<' && strncmp(at, "<!--", 4) == 0)
		{
			at = strstr(at, "-->");
			at = at ? at + 3 : NULL;
			continue;
		}
		if (*at == '<' && (isalpha((unsigned char) at[1]) || at[1] == '/' || at[1] == '!'))
		{
			const char *tag = at + 1;

			for (int i = 0; i < lengthof(hidden); i++)
			{
				if (tag_is(tag, hidden[i]))
				{
					/* go on at the end tag, so that its body is skipped */
					const char *end = tag;

					do
						end = strstr(end + 1, "</");
					while (end != NULL && !tag_is(end + 2, hidden[i]));
					if (end != NULL)
						tag = end + 1;
					break;
				}
			}
			for (int i = 0; i < lengthof(blocks); i++)
			{
				if (tag_is(tag, blocks[i]) && text.len > 0 && text.data[text.len - 1] != '\n')
					appendStringInfoChar(&text, '\n');
			}
			at = strchr(tag, '>');
			at = at ? at + 1 : NULL;
			continue;
		}
		if (*at == '&')
		{
			int			len = append_reference(&text, at);

			if (len > 0)
			{
				at += len;
				continue;
			}
		}
		if (!isspace((unsigned char) *at))
			appendStringInfoChar(&text, *at);
		else if (text.len > 0 && !isspace((unsigned char) text.data[text.len - 1]))
			appendStringInfoChar(&text, ' ');
		at++;
	}
	return trimmed(text.data, text.len);
}
