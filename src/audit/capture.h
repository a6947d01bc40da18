/* capture.h: what the files of capture share. */
#ifndef CUSTOMER_HUB_CAPTURE_H
#define CUSTOMER_HUB_CAPTURE_H

#include "postgres.h"

/* the sealed image, described in capture.c */
#define IMAGE_VERSION 1
#define IMAGE_HAS_OLD 0x01
#define IMAGE_HAS_NEW 0x02
#define IMAGE_OLD_NULL 0x04
#define IMAGE_NEW_NULL 0x08

/* Is what happens the loading of a dump into a database that has no trail of its own yet? */
extern bool capture_is_restore(void);

#endif							/* CUSTOMER_HUB_CAPTURE_H */
