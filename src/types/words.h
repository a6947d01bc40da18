/*
 * words.h: inside the types room. The words of a text, as keyed tokens.
 */
#ifndef CUSTOMER_HUB_WORDS_H
#define CUSTOMER_HUB_WORDS_H

#include "postgres.h"

#include "keyring/envelope.h"

/*
 * Make the tokens of the words of a text: sorted, each once, so that they tell
 * neither order nor number. Palloc'd; words_free() wipes nothing, tokens are no
 * secret to who has the value.
 */
extern void words_tokenize(uint16 class_id, const char *text, Size len, EnvelopeWords *words);
extern void words_free(EnvelopeWords *words);

#endif							/* CUSTOMER_HUB_WORDS_H */
