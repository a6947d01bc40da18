#include "postgres.h"

#include "foundation/errors.h"
#include "types/disclosure.h"

DisclosureRule disclosure_rule = {NULL, NULL, NULL};

/*
 * True while rows are on their way to the client. Also true between executor
 * and utility runs: rows of RETURNING, FETCH and held cursors are sent from a
 * store there.
 */
static bool to_client = true;

/* Tell whether output goes to the client */
bool
disclosure_to_client(void)
{
	return to_client;
}

/* Say whether output goes to the client; returns what it was before */
bool
disclosure_set_to_client(bool new_value)
{
	bool		old_value = to_client;

	to_client = new_value;
	return old_value;
}

/* Ask the rule; sealed while nobody has set one */
Disclosure
disclosure_of(uint16 class_id)
{
	if (disclosure_rule.decide == NULL)
		return DISCLOSURE_SEALED;
	return disclosure_rule.decide(class_id);
}

/* Have a value that is about to be shown counted */
void
disclosure_count(const pg_uuid_t *subject, uint16 class_id)
{
	if (disclosure_rule.count != NULL)
		disclosure_rule.count(subject, class_id);
}

/* Have a reveal recorded, or refuse to reveal */
void
disclosure_record(const pg_uuid_t *subject, uint16 class_id, RevealKind kind)
{
	disclosure_record_marked(subject, class_id, kind, NULL);
}

/* The same for a value that was just opened, with the mark of its key; see envelope.h */
void
disclosure_record_marked(const pg_uuid_t *subject, uint16 class_id, RevealKind kind, uint64 *mark)
{
	if (disclosure_rule.record == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CH_AUDIT_UNAVAILABLE),
				 errmsg("cannot reveal protected data: reveals are not being recorded")));
	disclosure_rule.record(subject, class_id, kind, mark);
}
