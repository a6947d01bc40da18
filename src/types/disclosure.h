/*
 * disclosure.h: who may see what a sealed value holds.
 *
 * The types room asks; the rooms above answer through disclosure_rule, which
 * hub/ fills. Until it is filled nothing is ever shown.
 */
#ifndef CUSTOMER_HUB_DISCLOSURE_H
#define CUSTOMER_HUB_DISCLOSURE_H

#include "postgres.h"

#include "utils/uuid.h"

typedef enum Disclosure
{
	DISCLOSURE_SEALED,			/* no identity: the sealed token */
	DISCLOSURE_DENY,
	DISCLOSURE_TOKEN,
	DISCLOSURE_MASK,
	DISCLOSURE_REVEAL
} Disclosure;

typedef enum RevealKind
{
	REVEAL_FULL = 'f',			/* plaintext to the client or to hub.reveal() */
	REVEAL_PARTIAL = 'p',		/* a harmless part: domain, territory, year */
	REVEAL_RECLASS = 'c'		/* the class was changed by a cast or a copy */
} RevealKind;

typedef struct DisclosureRule
{
	/* by identity of the session and class of the value */
	Disclosure	(*decide) (uint16 class_id);

	/*
	 * Changes, and is never 0, whenever an answer may be another; NULL: ask anew
	 * each time. The others are told it, 0 when unknown: asked once for a value, it
	 * need not be worked out by each.
	 */
	uint64		(*standing) (void);

	/*
	 * Record a reveal before its plaintext is handed out. Raises an error when
	 * it cannot be recorded: then nothing is shown. mark, which may be NULL, is
	 * the word that the keyring keeps beside the subject's key: the rule may
	 * remember there that this was recorded.
	 */
	void		(*record) (const pg_uuid_t *subject, uint16 class_id, RevealKind kind,
						   uint64 *mark, uint64 standing);

	/* Count a value that is shown, in full, masked or as a pseudonym; an error when it is one too many */
	void		(*count) (const pg_uuid_t *subject, uint16 class_id, uint64 standing);

	/* May an expression of the query that runs, such as a cast to text, get plaintext? */
	bool		(*allows_expression) (void);

	/* Lower what the class alone allows, by whose value it is and what for; subject may be NULL */
	Disclosure	(*limit) (const pg_uuid_t *subject, Disclosure disclosure, uint64 standing);
} DisclosureRule;

extern DisclosureRule disclosure_rule;

extern void disclosure_init(void);

/* May output give plaintext, of a query whose rows are on their way to the client? */
extern bool disclosure_allows_output(void);

extern Disclosure disclosure_of(uint16 class_id);
extern Disclosure disclosure_of_value(uint16 class_id, const pg_uuid_t *subject);

/* after disclosure_of_value() of the same value */
extern void disclosure_count(const pg_uuid_t *subject, uint16 class_id);
extern void disclosure_record_marked(const pg_uuid_t *subject, uint16 class_id, RevealKind kind,
									 uint64 *mark);

extern void disclosure_record(const pg_uuid_t *subject, uint16 class_id, RevealKind kind);

#endif							/* CUSTOMER_HUB_DISCLOSURE_H */
