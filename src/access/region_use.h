/*
 * region_use.h: which subdivisions occur in governed rows.
 *
 * A member of US may see rows of US-CA. An index finds them only by equality, so
 * somebody has to know which subdivisions there are: the sealing trigger notes
 * each, and hub.my_regions() reads them.
 */
#ifndef CUSTOMER_HUB_REGION_USE_H
#define CUSTOMER_HUB_REGION_USE_H

#include "postgres.h"

#include "types/region.h"

extern void region_use_init(void);

/* Note that a governed row has this region; cheap when it is known */
extern void region_note_use(Region region);

/*
 * The subdivisions in use that the active snapshot sees, sorted. Valid until
 * the next call.
 */
extern const Region *region_use_visible(int *count);

#endif							/* CUSTOMER_HUB_REGION_USE_H */
