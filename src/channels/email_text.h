/*
 * email_text.h: the pieces of e-mail text that inbound services leave to the reader.
 */
#ifndef CUSTOMER_HUB_EMAIL_TEXT_H
#define CUSTOMER_HUB_EMAIL_TEXT_H

#include "postgres.h"

/* "A Name" <a@b.example> taken apart; name may be NULL */
extern char *email_text_address(const char *mailbox, char **name);

/* the value of a header in a block of header lines, unfolded; NULL when absent */
extern char *email_text_header(const char *headers, const char *name);

/* the first <id> of a list of message ids */
extern char *email_text_message_id(const char *ids);

/* readable text of an HTML body */
extern char *email_text_from_html(const char *html);

#endif							/* CUSTOMER_HUB_EMAIL_TEXT_H */
