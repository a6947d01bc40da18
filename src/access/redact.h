/*
 * redact.h: keep statements and values of those who hold an identity out of the
 * server log.
 */
#ifndef CUSTOMER_HUB_REDACT_H
#define CUSTOMER_HUB_REDACT_H

#include "postgres.h"

#include "access/xact.h"
#include "nodes/parsenodes.h"

#include "foundation/compat.h"

/* Hook, after analysis of a statement: what its text tells stays out of statistics of statements */
extern void redact_hide_from_statistics(const char *text, Query *query);

/* Is a session redacted, or does a text (NULL: none) carry a token? */
extern bool redact_applies(const char *text);

/* What PostgreSQL may keep of a statement: the text itself, or a copy of it without literals */
extern const char *redact_statement(const char *statement);

/* Hook, whenever a statement of the client's runs: take its literals out of pg_stat_activity */
extern void redact_replace_activity(void);
extern TimestampTz redact_activity_at;	/* start of the statement for which that was done */

static inline void
redact_activity(void)
{
	if (redact_activity_at != GetCurrentStatementStartTimestamp())
		redact_replace_activity();
}

/*
 * Log hook. Returns true when the message has been written to the log already, without
 * what it must not tell; the caller then leaves it alone.
 */
extern bool redact_log(ErrorData *edata);

/*
 * Raise the current error again without its values: an expression of the query had
 * plaintext, and the error may quote it. Call from PG_CATCH, with the context that
 * was current before.
 */
pg_noreturn extern void redact_rethrow(MemoryContext context);

#endif							/* CUSTOMER_HUB_REDACT_H */
