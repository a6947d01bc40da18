/* replay_fence.h: a database that was restored from before an erasure shows nothing. */
#ifndef CUSTOMER_HUB_REPLAY_FENCE_H
#define CUSTOMER_HUB_REPLAY_FENCE_H

#include "postgres.h"

#include "types/disclosure.h"

/* disclosure_rule.decide: the clearance of the identity, once erasures are replayed */
extern Disclosure replay_fence_decide(uint16 class_id);

#endif							/* CUSTOMER_HUB_REPLAY_FENCE_H */
