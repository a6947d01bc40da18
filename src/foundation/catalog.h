/* catalog.h: find the extension's own relations in schema hub. */
#ifndef CUSTOMER_HUB_CATALOG_H
#define CUSTOMER_HUB_CATALOG_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "utils/inval.h"

extern void catalog_init(void);
extern bool catalog_installed(void);
extern Oid	catalog_schema(bool missing_ok);
extern Oid	catalog_relation(const char *name);
extern Oid	catalog_relation_if_exists(const char *name);

/* A copy of the row that an index of a hub catalog has under one key, or NULL */
extern HeapTuple catalog_row(const char *relation_name, const char *index_name, AttrNumber attnum,
							 RegProcedure equals, Datum key, TupleDesc *desc);

/*
 * What a backend keeps of all rows of a hub catalog; callers name it and read valid.
 * It is valid once it was read to the end and nothing changed meanwhile: an error
 * while it is read leaves it to be read again.
 */
typedef struct CatalogCopy
{
	const char *relation_name;
	bool		valid;
	bool		changed;		/* since reading began */
	Oid			relid;
	struct CatalogCopy *next;
} CatalogCopy;

typedef void (*CatalogRowReader) (HeapTuple tuple, TupleDesc desc, void *state);

extern void catalog_copy_watch(CatalogCopy *copy);
extern bool catalog_copy_read(CatalogCopy *copy, CatalogRowReader read_row, void *state);

/* Use this instead of CacheRegisterRelcacheCallback(): PostgreSQL has room for ten */
extern void catalog_watch_relations(RelcacheCallbackFunction watcher);

#endif							/* CUSTOMER_HUB_CATALOG_H */
