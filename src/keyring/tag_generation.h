/* tag_generation.h: inside the keyring only. Generations of tag keys in headers of values. */
#ifndef CUSTOMER_HUB_TAG_GENERATION_H
#define CUSTOMER_HUB_TAG_GENERATION_H

#include "postgres.h"

extern void tag_generation_init(void);
extern uint8 tag_generation_bits(int generation);
extern int	tag_generation_of_bits(uint8 bits);

#endif							/* CUSTOMER_HUB_TAG_GENERATION_H */
