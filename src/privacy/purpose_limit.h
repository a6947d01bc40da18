/* purpose_limit.h: what the data subject has to say about who sees its data. */
#ifndef CUSTOMER_HUB_PURPOSE_LIMIT_H
#define CUSTOMER_HUB_PURPOSE_LIMIT_H

#include "postgres.h"

#include "types/disclosure.h"

extern void purpose_limit_init(void);

/* disclosure_rule.limit: by the purpose of the identity, consent and restriction of processing */
extern Disclosure purpose_limit_disclosure(const pg_uuid_t *subject, Disclosure disclosure, uint64 standing);

#endif							/* CUSTOMER_HUB_PURPOSE_LIMIT_H */
