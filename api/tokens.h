/*
 * tokens: who a bearer token belongs to. Tokens are 256 random bits; only their hashes are kept,
 * here and in the store.
 */
#ifndef MANYTUN_API_TOKENS_H
#define MANYTUN_API_TOKENS_H

#include "store/store.h"

#include <stddef.h>

/* Most tokens that are looked at; what the store has beyond is an error at start. */
#define TOKENS_MAX 1024

/* The text of a token: base64url of 32 bytes, with the terminating NUL. */
#define TOKEN_TEXT 44

/* What a caller may do; a higher role may all that a lower one may. Nobody has shown a token. */
enum api_role { API_ROLE_NOBODY, API_ROLE_READ, API_ROLE_ADMIN };

const char *api_role_name(enum api_role role);

struct tokens {
    struct token {
        char name[SPEC_NAME_MAX + 1];
        enum api_role role;
        uint8_t hash[STORE_TOKEN_HASH_LEN];
    } * items;
    size_t count;
};

/* Fills an empty (zeroed) list. 0, -ENOMEM, -E2BIG (more than TOKENS_MAX) or -EIO. */
int tokens_load(struct tokens *tokens, struct store *store);
void tokens_fini(struct tokens *tokens);

/*
 * The token that the value of an Authorization header ("Bearer …", NULL = absent) is, or NULL.
 * Takes the same time whichever token it is, or none.
 */
const struct token *tokens_authenticate(const struct tokens *tokens, const char *authorization);

void token_generate(char text[TOKEN_TEXT]);
void token_hash(const char *text, uint8_t hash[STORE_TOKEN_HASH_LEN]);

#endif
