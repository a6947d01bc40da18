/*
 * governed.h: which relations are governed, and by which columns.
 */
#ifndef CUSTOMER_HUB_GOVERNED_H
#define CUSTOMER_HUB_GOVERNED_H

#include "postgres.h"

#include "access/attnum.h"
#include "utils/relcache.h"
#include "utils/uuid.h"

typedef struct GovernedColumn
{
	uint16		class_id;		/* DATA_CLASS_UNCLASSIFIED when nobody said */
	bool		encrypted;		/* one of the hub.encrypted_* types */
	uint8		family;			/* EnvelopeFamily of an encrypted column */
	bool		nested;			/* an array or composite that holds encrypted values */
	bool		copy;			/* being filled from another column, to take its place */
} GovernedColumn;

typedef struct GovernedRelation
{
	Oid			relid;
	Oid			root;			/* the partitioned table it was governed through, or relid */
	AttrNumber	subject;
	Oid			subject_type;	/* uuid or int8 */
	AttrNumber	region;			/* 0 when it has none; so for the next three */
	AttrNumber	line;
	AttrNumber	team;
	AttrNumber	owner;
	int			natts;
	bool		update_seals;	/* an UPDATE has to go through the sealing trigger */
	GovernedColumn *columns;	/* indexed by attnum - 1 */
} GovernedRelation;

extern void governed_init(void);

/* Cached look-up; NULL when the relation is not governed. Valid until the next invalidation */
extern const GovernedRelation *governed_lookup(Oid relid);
extern bool governed_is(Oid relid);

/* Is any relation governed in this database? */
extern bool governed_any(void);

/* Subject of a row; false when the column is NULL */
extern bool governed_row_subject(const GovernedRelation *governed, Datum value, bool isnull,
								 pg_uuid_t *subject);

#endif							/* CUSTOMER_HUB_GOVERNED_H */
