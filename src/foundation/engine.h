/* engine.h: run the extension's own statements as the owner of schema hub. */
#ifndef CUSTOMER_HUB_ENGINE_H
#define CUSTOMER_HUB_ENGINE_H

#include "postgres.h"

#include "executor/spi.h"

typedef struct EngineScope
{
	Oid			saved_user;
	int			saved_security_context;
	bool		own_snapshot;
} EngineScope;

extern void engine_begin(EngineScope *scope);
extern void engine_end(EngineScope *scope);
/* Is an SPI connection open: does a function of a procedural language run, or the engine? */
extern bool engine_within_spi(void);

extern SPIPlanPtr engine_prepare(SPIPlanPtr *slot, const char *query, int nargs, Oid *types);

#endif							/* CUSTOMER_HUB_ENGINE_H */
