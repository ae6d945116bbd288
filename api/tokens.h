/*
 * tokens: who a bearer token belongs to. Tokens are 256 random bits; only their hashes are kept,
 * here and in the store. What is created or deleted counts from the next request on.
 */
#ifndef MANYTUN_API_TOKENS_H
#define MANYTUN_API_TOKENS_H

#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct events;

/* Most tokens; what the store has beyond is an error at start. */
#define TOKENS_MAX 1024

/* The text of a token: base64url of 32 bytes, with the terminating NUL. */
#define TOKEN_TEXT 44

/* What a caller may do; a higher role may all that a lower one may. Nobody has shown a token. */
enum api_role { API_ROLE_NOBODY, API_ROLE_READ, API_ROLE_ADMIN };

const char *api_role_name(enum api_role role);

struct token {
    char name[SPEC_NAME_MAX + 1];
    enum api_role role;
    struct timespec created_at;
    struct timespec expires_at;   /* zero = never */
    struct timespec last_used_at; /* zero = not since the program was started */
    uint8_t hash[STORE_TOKEN_HASH_LEN];
};

struct tokens {
    struct store *store;   /* borrowed */
    struct events *events; /* borrowed; told in the transaction of each change */
    struct token *items;   /* in the order of names */
    size_t count;
};

/* By which token somebody is served for longer than one request. */
struct token_lease {
    char name[SPEC_NAME_MAX + 1]; /* "" = without a token: it never ends */
    uint8_t hash[STORE_TOKEN_HASH_LEN];
};

/* Fills an empty (zeroed) list. events may be NULL. 0, -ENOMEM, -E2BIG (more than TOKENS_MAX) or
 * -EIO. */
int tokens_load(struct tokens *tokens, struct store *store, struct events *events);
void tokens_fini(struct tokens *tokens);

/*
 * The token in the value of an Authorization header ("Bearer …", NULL = absent), or NULL when it is
 * none, or one that has expired. Takes the same time whichever token it is, or none. What these
 * return is valid until a token is created or deleted.
 */
const struct token *tokens_authenticate(struct tokens *tokens, const char *authorization,
                                        const struct timespec *now);
struct token_lease token_lease_of(const struct token *token);
/* Whether that token is still there at this time: neither deleted, replaced nor expired. */
bool tokens_lease_holds(const struct tokens *tokens, const struct token_lease *lease,
                        const struct timespec *now);
const struct token *tokens_find(const struct tokens *tokens, const char *name);
/* The first one with a name > after ("" = from the start), or NULL. */
const struct token *tokens_next(const struct tokens *tokens, const char *after);

/*
 * Makes a token; its text, which is nowhere else, is for the one who asked. expires_at may be zero.
 * *out is the new one. 0, -EEXIST (the name is taken), -E2BIG (TOKENS_MAX), -ENOMEM or -EIO.
 */
int tokens_create(struct tokens *tokens, const char *name, enum api_role role,
                  const struct timespec *expires_at, const struct token **out,
                  char text[TOKEN_TEXT]);
/* 0, -ENOENT, -ENOMEM or -EIO. */
int tokens_delete(struct tokens *tokens, const char *name);

/* Whether no token but this one has the role admin and never expires. */
bool tokens_is_last_admin(const struct tokens *tokens, const struct token *token);

void token_generate(char text[TOKEN_TEXT]);
void token_hash(const char *text, uint8_t hash[STORE_TOKEN_HASH_LEN]);

#endif
