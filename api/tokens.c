/*
 * tokens: owns the list of hashes. A token has as much entropy as its hash, so a fast hash
 * (BLAKE2b) is enough: there is nothing to guess.
 */
#include "api/tokens.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *api_role_name(enum api_role role)
{
    static const char *const names[] = {
        [API_ROLE_NOBODY] = "nobody", [API_ROLE_READ] = "read", [API_ROLE_ADMIN] = "admin"};
    return names[role];
}

void token_generate(char text[TOKEN_TEXT])
{
    uint8_t bytes[32];
    randombytes_buf(bytes, sizeof(bytes));
    sodium_bin2base64(text, TOKEN_TEXT, bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(bytes, sizeof(bytes));
}

void token_hash(const char *text, uint8_t hash[STORE_TOKEN_HASH_LEN])
{
    crypto_generichash(hash, STORE_TOKEN_HASH_LEN, (const unsigned char *)text, strlen(text), NULL,
                       0);
}

static int add_token(void *ctx, const char *name, enum store_role role,
                     const uint8_t hash[STORE_TOKEN_HASH_LEN])
{
    struct tokens *tokens = ctx;
    if (tokens->count == TOKENS_MAX)
        return -E2BIG;
    struct token *token = &tokens->items[tokens->count++];
    snprintf(token->name, sizeof(token->name), "%s", name);
    token->role = role == STORE_ROLE_ADMIN ? API_ROLE_ADMIN : API_ROLE_READ;
    memcpy(token->hash, hash, STORE_TOKEN_HASH_LEN);
    return 0;
}

int tokens_load(struct tokens *tokens, struct store *store)
{
    tokens->items = calloc(TOKENS_MAX, sizeof(*tokens->items));
    if (tokens->items == NULL)
        return -ENOMEM;
    return store_load_tokens(store, add_token, tokens);
}

void tokens_fini(struct tokens *tokens)
{
    free(tokens->items);
    *tokens = (struct tokens){0};
}

const struct token *tokens_authenticate(const struct tokens *tokens, const char *authorization)
{
    static const char scheme[] = "Bearer ";

    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    const char *text = authorization + sizeof(scheme) - 1;
    text += strspn(text, " ");
    uint8_t hash[STORE_TOKEN_HASH_LEN];
    token_hash(text, hash);
    const struct token *found = NULL;
    for (size_t i = 0; i < tokens->count; i++) {
        if (sodium_memcmp(hash, tokens->items[i].hash, sizeof(hash)) == 0)
            found = &tokens->items[i];
    }
    return found;
}
