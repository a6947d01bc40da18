/*
 * token.h: take a JSON Web Token apart. No catalog, no clock, no secret: what
 * a token says, not whether to believe it.
 */
#ifndef CUSTOMER_HUB_TOKEN_H
#define CUSTOMER_HUB_TOKEN_H

#include "postgres.h"

#include "keyring/keyring.h"

#define TOKEN_MAX_BYTES 8192
#define TOKEN_MAX_NAME_BYTES 255	/* of kid, sub and jti */

/* A token split into its parts; strings are allocated in the current context */
typedef struct Token
{
	char	   *kid;
	const char *signed_part;	/* leads into the token */
	Size		signed_len;
	uint8		signature[KEYRING_SIGNATURE_BYTES];
	char	   *payload;
	Size		payload_len;
} Token;

/* What the payload claims; NumericDate values are seconds since 1970 */
typedef struct TokenClaims
{
	char	   *subject;
	char	   *token_id;		/* jti, or NULL */
	char	   *purpose;		/* or NULL */
	char	   *nonce;			/* or NULL */
	bool		has_issued_at;
	bool		has_not_before;
	double		expires_at;
	double		issued_at;
	double		not_before;
} TokenClaims;

/*
 * Both return NULL, or a keyword that says what is wrong. The keyword is for the
 * audit, never for the caller. Payload claims are read only once the signature
 * has been verified.
 */
extern const char *token_split(const char *text, Size len, Token *token);
extern const char *token_read_claims(const Token *token, TokenClaims *claims);

#endif							/* CUSTOMER_HUB_TOKEN_H */
