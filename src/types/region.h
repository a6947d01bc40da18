/*
 * region.h: ISO 3166 regions in four bytes.
 *
 * Bits 27..18 hold the country (two letters, five bits each, A = 1), bits
 * 17..0 the subdivision (up to three characters, six bits each, left-aligned,
 * 0 = none, 1..26 letters, 27..36 digits). A country sorts right before its
 * subdivisions.
 */
#ifndef CUSTOMER_HUB_REGION_H
#define CUSTOMER_HUB_REGION_H

#include "postgres.h"

typedef uint32 Region;

#define REGION_COUNTRY_MASK 0x0FFC0000
#define REGION_COUNTRIES 1024	/* possible values of region_country() */

#define DatumGetRegion(d) ((Region) DatumGetUInt32(d))
#define RegionGetDatum(r) UInt32GetDatum(r)
#define PG_GETARG_REGION(n) DatumGetRegion(PG_GETARG_DATUM(n))
#define PG_RETURN_REGION(r) return RegionGetDatum(r)

/* Number of a region's country, 0..1023 */
static inline uint32
region_country(Region region)
{
	return region >> 18;
}

/* The country that a region lies in, as a region */
static inline Region
region_country_of(Region region)
{
	return region & REGION_COUNTRY_MASK;
}

static inline bool
region_is_country(Region region)
{
	return (region & ~REGION_COUNTRY_MASK) == 0;
}

/* US contains US-CA and itself */
static inline bool
region_contains(Region outer, Region inner)
{
	return outer == inner || (region_is_country(outer) && region_country_of(inner) == outer);
}

extern bool region_parse(const char *text, Region *region);
extern void region_format(Region region, char text[8]);

#endif							/* CUSTOMER_HUB_REGION_H */
