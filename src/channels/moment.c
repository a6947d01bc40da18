/*
 * moment.c: the notations of time that channels use.
 *
 * Written out by hand and not left to timestamptz_in, whose answer depends on
 * DateStyle and TimeZone: the parsers are immutable. A time without a zone is
 * taken as UTC.
 */
#include "postgres.h"

#include <ctype.h>

#include "common/int.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "channels/jsonb_reader.h"

/* Read between min_len and max_len digits and step past them. */
static bool
read_digits(const char **at, int min_len, int max_len, int *number)
{
	int			len = 0;

	*number = 0;
	while (len < max_len && isdigit((unsigned char) **at))
	{
		*number = *number * 10 + (**at - '0');
		(*at)++;
		len++;
	}
	return len >= min_len;
}

/* Step past one character when it is there. */
static bool
read_char(const char **at, char expected)
{
	if (**at != expected)
		return false;
	(*at)++;
	return true;
}

/* Put date, time and offset (minutes east of UTC) together. */
static bool
moment_build(int year, int month, int day, int hour, int minute, int second,
			 int microsecond, int offset, TimestampTz *moment)
{
	int64		days;
	int64		seconds;

	if (year < 1970 || year > 9999 || month < 1 || month > 12 || day < 1 ||
		day > day_tab[isleap(year)][month - 1] ||
		hour > 23 || minute > 59 || second > 60 || abs(offset) > 16 * 60)
		return false;
	days = (int64) date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	seconds = days * SECS_PER_DAY + (hour * 60 + minute - offset) * SECS_PER_MINUTE + second;
	*moment = seconds * USECS_PER_SEC + microsecond;
	return true;
}

/* Read a fraction of a second after its point. */
static bool
read_fraction(const char **at, int *microsecond)
{
	int			scale = 100000;

	*microsecond = 0;
	if (!isdigit((unsigned char) **at))
		return false;
	while (isdigit((unsigned char) **at))
	{
		*microsecond += (**at - '0') * scale;
		scale /= 10;
		(*at)++;
	}
	return true;
}

/* Read +0100, +01:00 or Z; nothing at all is UTC. */
static bool
read_offset(const char **at, int *offset)
{
	int			sign;
	int			hours;
	int			minutes = 0;

	*offset = 0;
	if (read_char(at, 'Z') || read_char(at, 'z'))
		return true;
	if (**at != '+' && **at != '-')
		return true;
	sign = *(*at)++ == '-' ? -1 : 1;
	if (!read_digits(at, 2, 2, &hours))
		return false;
	(void) read_char(at, ':');
	if (isdigit((unsigned char) **at) && !read_digits(at, 2, 2, &minutes))
		return false;
	*offset = sign * (hours * 60 + minutes);
	return true;
}

/* Read seconds, or milliseconds when there are too many digits for seconds. */
bool
moment_from_epoch(const char *text, TimestampTz *moment)
{
	int64		number = 0;
	int64		fraction = 0;
	int64		usecs_per_unit;
	int			len = 0;

	if (text == NULL)
		return false;
	while (isdigit((unsigned char) text[len]) && len < 16)
		number = number * 10 + (text[len++] - '0');
	if (len == 0 || number == 0)
		return false;
	if (text[len] == '.')
	{
		const char *at = text + len + 1;
		int			microsecond;

		if (!read_fraction(&at, &microsecond) || *at != '\0')
			return false;
		fraction = microsecond;
	}
	else if (text[len] != '\0')
		return false;

	/* ten digits of seconds last until 2286 */
	if (len <= 10)
		usecs_per_unit = USECS_PER_SEC;
	else if (len <= 13)
		usecs_per_unit = 1000;
	else
		usecs_per_unit = 1;
	if (usecs_per_unit != USECS_PER_SEC)
		fraction = 0;
	*moment = (number * usecs_per_unit + fraction) -
		((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)) * USECS_PER_DAY;
	return true;
}

/* Read 2026-01-31T12:00:00.5+01:00, 2026-01-31 12:00:00 and 20260131T120000. */
bool
moment_from_iso8601(const char *text, TimestampTz *moment)
{
	const char *at = text;
	int			year;
	int			month;
	int			day;
	int			hour = 0;
	int			minute = 0;
	int			second = 0;
	int			microsecond = 0;
	int			offset = 0;

	if (text == NULL || !read_digits(&at, 4, 4, &year))
		return false;
	(void) read_char(&at, '-');
	if (!read_digits(&at, 2, 2, &month))
		return false;
	(void) read_char(&at, '-');
	if (!read_digits(&at, 2, 2, &day))
		return false;
	if (read_char(&at, 'T') || read_char(&at, 't') || read_char(&at, ' '))
	{
		if (!read_digits(&at, 2, 2, &hour))
			return false;
		(void) read_char(&at, ':');
		if (!read_digits(&at, 2, 2, &minute))
			return false;
		(void) read_char(&at, ':');
		if (isdigit((unsigned char) *at) && !read_digits(&at, 2, 2, &second))
			return false;
		if (read_char(&at, '.') && !read_fraction(&at, &microsecond))
			return false;
		while (*at == ' ')
			at++;
		if (!read_offset(&at, &offset))
			return false;
	}
	return *at == '\0' &&
		moment_build(year, month, day, hour, minute, second, microsecond, offset, moment);
}

/* Read the name of a month by its first three letters. */
static bool
read_month(const char **at, int *month)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

	for (*month = 1; *month <= 12; (*month)++)
	{
		if (pg_strncasecmp(*at, names + (*month - 1) * 3, 3) == 0)
		{
			while (isalpha((unsigned char) **at))
				(*at)++;
			return true;
		}
	}
	return false;
}

/* Read the date of an e-mail, RFC 5322 3.3: Fri, 5 May 2023 17:41:16 -0400 (EDT). */
bool
moment_from_rfc2822(const char *text, TimestampTz *moment)
{
	static const struct
	{
		const char *name;
		int			hours;
	}			zones[] = {
		{"GMT", 0}, {"UT", 0}, {"UTC", 0}, {"EST", -5}, {"EDT", -4}, {"CST", -6},
		{"CDT", -5}, {"MST", -7}, {"MDT", -6}, {"PST", -8}, {"PDT", -7}
	};
	const char *at = text;
	const char *comma;
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second = 0;
	int			offset = 0;

	if (text == NULL)
		return false;
	comma = strchr(text, ',');
	if (comma != NULL)
		at = comma + 1;
	while (isspace((unsigned char) *at))
		at++;
	if (!read_digits(&at, 1, 2, &day))
		return false;
	while (*at == ' ' || *at == '-')
		at++;
	if (!read_month(&at, &month))
		return false;
	while (*at == ' ' || *at == '-')
		at++;
	if (!read_digits(&at, 2, 4, &year))
		return false;
	if (year < 50)
		year += 2000;
	else if (year < 1000)
		year += 1900;
	while (*at == ' ')
		at++;
	if (!read_digits(&at, 1, 2, &hour) || !read_char(&at, ':') || !read_digits(&at, 2, 2, &minute))
		return false;
	if (read_char(&at, ':') && !read_digits(&at, 2, 2, &second))
		return false;
	while (isspace((unsigned char) *at))
		at++;
	if (*at == '+' || *at == '-')
	{
		if (!read_offset(&at, &offset))
			return false;
	}
	else
	{
		for (int i = 0; i < lengthof(zones); i++)
		{
			int			len = strlen(zones[i].name);

			if (pg_strncasecmp(at, zones[i].name, len) == 0 && !isalpha((unsigned char) at[len]))
				offset = zones[i].hours * 60;
		}
	}
	return moment_build(year, month, day, hour, minute, second, 0, offset, moment);
}
