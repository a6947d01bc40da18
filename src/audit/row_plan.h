/* row_plan.h: how the rows of one relation are recorded, worked out once. */
#ifndef CUSTOMER_HUB_ROW_PLAN_H
#define CUSTOMER_HUB_ROW_PLAN_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/relcache.h"

#include "access/governed.h"

/* What becomes of a column's value */
typedef enum ColumnUse
{
	COLUMN_DROPPED,
	COLUMN_PLAIN,				/* readable in changed */
	COLUMN_SEALED,				/* in the sealed image only */
	COLUMN_NAMED				/* named as changed, its value left out */
} ColumnUse;

/* How a plain value becomes JSON */
typedef enum JsonForm
{
	JSON_FORM_INT,
	JSON_FORM_BOOL,
	JSON_FORM_TEXT,				/* a varlena of characters */
	JSON_FORM_UUID,
	JSON_FORM_TIME,				/* date, timestamp, timestamptz: ISO 8601 whatever DateStyle says */
	JSON_FORM_JSONB,
	JSON_FORM_OUTPUT			/* by the output function, as a string */
} JsonForm;

/* How a value is laid down in the sealed image; the letters are stored */
typedef enum ImageFormat
{
	IMAGE_ENCRYPTED = 'e',		/* of an encrypted type: see capture.c */
	IMAGE_BYTES = 'b',			/* content of a varlena or of a uuid */
	IMAGE_SEND = 's',			/* as the type's send function gives it */
	IMAGE_TEXT = 't'			/* as its output function gives it */
} ImageFormat;

typedef struct PlanColumn
{
	ColumnUse	use;
	JsonForm	json;
	ImageFormat format;
	bool		byval;
	int16		length;			/* attlen */
	Oid			type;			/* domains resolved */
	FmgrInfo	function;		/* send or output function */
	bool		has_function;
	bool		is_key;			/* one of the readable keys, which row_key holds */
	const char *name;
	int			name_len;
	const char *image_prefix;	/* what stands before its values in the image */
	int			image_prefix_len;
} PlanColumn;

typedef struct RowPlan
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;
	Oid			root;
	const GovernedRelation *governed;	/* NULL for a table of the hub's own */
	AttrNumber	subject;
	const char *relation;		/* qualified name of the root */
	int			relation_len;
	int			natts;
	PlanColumn *columns;		/* by attnum - 1 */
	int		   *json_order;		/* all of them, in the order that jsonb has its keys in */
	int			key_count;		/* readable primary key columns */
	bool		has_named;		/* a column is COLUMN_NAMED */
} RowPlan;

extern void row_plan_init(void);

/* Plan for a governed relation; NULL when it is not governed */
extern RowPlan *row_plan_governed(Relation relation);

/* Plan for a table of the hub's own: all columns plain, but those in secret are only named */
extern RowPlan *row_plan_config(Relation relation, char **secret, int secret_count);

#endif							/* CUSTOMER_HUB_ROW_PLAN_H */
