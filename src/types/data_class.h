/* data_class.h: data classes by name and by the small number that typmods and envelopes carry. */
#ifndef CUSTOMER_HUB_DATA_CLASS_H
#define CUSTOMER_HUB_DATA_CLASS_H

#include "postgres.h"

#define DATA_CLASS_UNCLASSIFIED 0	/* treated as personal: nobody sees it */
#define DATA_CLASS_PUBLIC 1
#define DATA_CLASS_BASIC 2
#define DATA_CLASS_CONTACT 3
#define DATA_CLASS_CONTENT 4
#define DATA_CLASS_INTENT 5
#define DATA_CLASS_FINANCIAL 6
#define DATA_CLASS_SPECIAL 7
#define DATA_CLASS_FIRST_CUSTOM 100

extern void data_class_init(void);
extern bool data_class_find(const char *name, uint16 *class_id);
extern uint16 data_class_by_name(const char *name);
extern const char *data_class_name(uint16 class_id);
extern bool data_class_searchable(uint16 class_id);
extern bool data_class_word_searchable(uint16 class_id);

#endif							/* CUSTOMER_HUB_DATA_CLASS_H */
