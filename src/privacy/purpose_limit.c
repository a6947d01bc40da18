/*
 * purpose_limit.c: purposes, consent and restriction of processing, where values are shown.
 *
 * Each data subject is asked about once per statement. While nobody has
 * restricted anything and the purpose needs no consent, nobody is asked about.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "foundation/catalog.h"
#include "foundation/compat.h"
#include "foundation/engine.h"
#include "identity/identity.h"
#include "privacy/purpose_limit.h"

typedef struct SubjectAnswer
{
	pg_uuid_t	subject;		/* hash key */
	bool		allowed;
} SubjectAnswer;

/* Is anybody in hub.restricted_subject? */
static bool restrictions_known = false;
static bool anybody_restricted = true;
static Oid	restricted_relid = InvalidOid;

/* An answer of the identity's, by its number, under which nobody needs to be asked about */
static bool nobody_asked = false;
static uint64 nobody_asked_answer;

/* What was found out for the current statement, in TopTransactionContext */
static HTAB *answers = NULL;
static LocalTransactionId answers_lxid = InvalidLocalTransactionId;
static TimestampTz answers_statement;
static const Purpose *answers_purpose;

/* Forget when hub.restricted_subject changes */
static void
forget_restrictions(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && relid != restricted_relid)
		return;
	restrictions_known = false;
	nobody_asked = false;
	answers_statement = 0;
}

/* Watch the catalog; called once from _PG_init */
void
purpose_limit_init(void)
{
	catalog_watch_relations(forget_restrictions);
}

/* Look, with a snapshot of its own: an old one would be remembered past its transaction */
static bool
find_anybody_restricted(void)
{
	Relation	relation;
	SysScanDesc scan;

	restricted_relid = catalog_relation("restricted_subject");
	relation = table_open(restricted_relid, AccessShareLock);
	/* true until none is found: whoever is kept from looking shows less, not more */
	anybody_restricted = true;
	restrictions_known = true;
	scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	anybody_restricted = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return anybody_restricted;
}

/* Has this person restricted the processing? */
static bool
is_restricted(const pg_uuid_t *subject)
{
	TupleDesc	desc;

	return HeapTupleIsValid(catalog_row("restricted_subject", "restricted_subject_pkey", 1, F_UUID_EQ,
										UUIDPGetDatum(subject), &desc));
}

/* Has this person, under whichever of its records, consented to a purpose? */
static bool
consents(const pg_uuid_t *subject, const char *purpose)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID, TEXTOID};
	Datum		values[] = {UUIDPGetDatum(subject), CStringGetTextDatum(purpose)};
	EngineScope scope;
	bool		isnull;
	bool		allowed;

	engine_begin(&scope);
	SPI_execute_plan(engine_prepare(&plan, "SELECT hub.consent_allows($1, $2)", 2, types),
					 values, NULL, true, 1);
	allowed = SPI_processed == 1 &&
		DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	engine_end(&scope);
	return allowed;
}

/* Start anew with each statement, so that what a person says counts from the next one on */
static void
refresh_answers(const Purpose *purpose)
{
	LocalTransactionId lxid = compat_proc_lxid(MyProc);
	HASHCTL		info = {
		.keysize = sizeof(pg_uuid_t),
		.entrysize = sizeof(SubjectAnswer),
		.hcxt = TopTransactionContext
	};

	if (answers_lxid == lxid && answers_purpose == purpose &&
		answers_statement == GetCurrentStatementStartTimestamp())
		return;
	/* that of another transaction went with its memory */
	if (answers_lxid == lxid && answers != NULL)
		hash_destroy(answers);
	answers = NULL;
	answers_lxid = lxid;
	answers = hash_create("customer_hub data subjects asked about", 128, &info,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	answers_purpose = purpose;
	answers_statement = GetCurrentStatementStartTimestamp();
}

/* Ask about one data subject */
static bool
subject_allows(const pg_uuid_t *subject, const Purpose *purpose, bool needs_consent)
{
	SubjectAnswer *answer;
	bool		allowed;

	refresh_answers(purpose);
	answer = hash_search(answers, subject, HASH_FIND, NULL);
	if (answer != NULL)
		return answer->allowed;
	allowed = (purpose != NULL && purpose->serves_restricted) || !is_restricted(subject);
	if (allowed && needs_consent)
		allowed = consents(subject, purpose->name);

	/* what ran in between may have emptied the table */
	refresh_answers(purpose);
	answer = hash_search(answers, subject, HASH_ENTER, NULL);
	answer->allowed = allowed;
	return allowed;
}

/* Lower what a clearance shows to what the purpose and the data subject allow */
Disclosure
purpose_limit_disclosure(const pg_uuid_t *subject, Disclosure disclosure, uint64 standing)
{
	static const pg_uuid_t nobody;
	uint64		answer = standing != 0 ? standing : identity_answer();
	const Purpose *purpose;
	bool		needs_consent;
	bool		serves_restricted;

	/* a query comes here with each value */
	if (nobody_asked && nobody_asked_answer == answer)
		return disclosure;

	purpose = identity_purpose();
	needs_consent = purpose != NULL && purpose->needs_consent;
	serves_restricted = purpose != NULL && purpose->serves_restricted;
	if (purpose != NULL)
		disclosure = Min(disclosure, purpose->ceiling);
	if (!needs_consent &&
		(serves_restricted || !(restrictions_known ? anybody_restricted : find_anybody_restricted())))
	{
		nobody_asked = restrictions_known &&
			(purpose == NULL || purpose->ceiling == DISCLOSURE_REVEAL);
		nobody_asked_answer = answer;
		return disclosure;
	}
	if (disclosure <= DISCLOSURE_DENY)
		return disclosure;

	/* what belongs to nobody yet is the caller's own, and nobody has consented */
	if (subject == NULL || memcmp(subject, &nobody, sizeof(nobody)) == 0)
		return needs_consent ? DISCLOSURE_DENY : disclosure;
	return subject_allows(subject, purpose, needs_consent) ? disclosure : DISCLOSURE_DENY;
}
