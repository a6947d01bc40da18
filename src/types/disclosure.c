#include "postgres.h"

#include "foundation/catalog.h"
#include "foundation/errors.h"
#include "foundation/run_scope.h"
#include "types/disclosure.h"

DisclosureRule disclosure_rule = {0};

/*
 * Answers of the rule, while it stands by them: a query shows the same few classes
 * row after row.
 */
#define KNOWN_ANSWERS 8
static struct
{
	uint64		standing;		/* disclosure_rule.standing() then; 0 when there is none */
	uint16		class_id;
	Disclosure	disclosure;
}			known_answers[KNOWN_ANSWERS];

/* disclosure_rule.standing() when a disclosure was last asked for; 0 when unknown */
static uint64 value_standing = 0;

/* Grows with every invalidation, so that one which arrives while the rule decides is noticed */
static uint64 forgotten = 0;

/* Forget the answers: what they came from may have changed */
static void
forget_answers(Datum arg, Oid relid)
{
	memset(known_answers, 0, sizeof(known_answers));
	forgotten++;
}

/* Watch the catalogs; called once from _PG_init */
void
disclosure_init(void)
{
	catalog_watch_relations(forget_answers);
}

/* Tell whether output may give plaintext, and remember when it is to an expression */
bool
disclosure_allows_output(void)
{
	if (run_scope.sending)
		return true;
	if (disclosure_rule.allows_expression != NULL && !disclosure_rule.allows_expression())
		return false;
	run_scope.in_expression = true;
	return true;
}

/* Ask the rule; sealed while nobody has set one */
Disclosure
disclosure_of(uint16 class_id)
{
	int			place = class_id % KNOWN_ANSWERS;
	uint64		standing;
	uint64		before;
	Disclosure	disclosure;

	value_standing = 0;
	if (disclosure_rule.decide == NULL)
		return DISCLOSURE_SEALED;
	if (disclosure_rule.standing == NULL)
		return disclosure_rule.decide(class_id);
	standing = disclosure_rule.standing();
	value_standing = standing;
	if (known_answers[place].standing == standing && known_answers[place].class_id == class_id)
		return known_answers[place].disclosure;

	/* an answer that may be out of date already is not kept */
	before = forgotten;
	disclosure = disclosure_rule.decide(class_id);
	if (before == forgotten && disclosure_rule.standing() == standing)
	{
		known_answers[place].standing = standing;
		known_answers[place].class_id = class_id;
		known_answers[place].disclosure = disclosure;
	}
	return disclosure;
}

/* Have a value that is about to be shown counted */
void
disclosure_count(const pg_uuid_t *subject, uint16 class_id)
{
	if (disclosure_rule.count != NULL)
		disclosure_rule.count(subject, class_id, value_standing);
}

/* The same for a value of one data subject, who may have more to say */
Disclosure
disclosure_of_value(uint16 class_id, const pg_uuid_t *subject)
{
	Disclosure	disclosure = disclosure_of(class_id);

	if (disclosure <= DISCLOSURE_DENY || disclosure_rule.limit == NULL)
		return disclosure;
	return disclosure_rule.limit(subject, disclosure, value_standing);
}

/* Have a reveal recorded, or refuse to reveal */
void
disclosure_record(const pg_uuid_t *subject, uint16 class_id, RevealKind kind)
{
	value_standing = 0;
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
	disclosure_rule.record(subject, class_id, kind, mark, value_standing);
}
