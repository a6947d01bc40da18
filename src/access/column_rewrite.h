/*
 * column_rewrite.h: columns that are turned into encrypted ones and back.
 */
#ifndef CUSTOMER_HUB_COLUMN_REWRITE_H
#define CUSTOMER_HUB_COLUMN_REWRITE_H

/*
 * The trigger that keeps a copy in step with its source is called this and the
 * number of the source column. It fires after the sealing trigger. Its arguments
 * are the names of the two columns.
 */
#define COLUMN_REWRITE_TRIGGER "zz_hub_seal_copy_"

#endif							/* CUSTOMER_HUB_COLUMN_REWRITE_H */
