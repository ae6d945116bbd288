/*
 * tokens: owns the list of hashes. A token has as much entropy as its hash, so a fast hash
 * (BLAKE2b) is enough: there is nothing to guess.
 */
#include "api/tokens.h"

#include "server/events.h"

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

/* --- The list --------------------------------------------------------------------------------- */

/* The place of the first token whose name is not before this one. */
static size_t find_place(const struct tokens *tokens, const char *name)
{
    size_t place = 0;
    while (place < tokens->count && strcmp(tokens->items[place].name, name) < 0)
        place++;
    return place;
}

static struct token *insert(struct tokens *tokens, const struct store_token *stored)
{
    size_t place = find_place(tokens, stored->name);
    struct token *token = &tokens->items[place];
    memmove(token + 1, token, (tokens->count - place) * sizeof(*token));
    *token = (struct token){
        .role = stored->role == STORE_ROLE_ADMIN ? API_ROLE_ADMIN : API_ROLE_READ,
        .created_at = stored->created_at,
        .expires_at = stored->expires_at,
    };
    memcpy(token->name, stored->name, sizeof(token->name));
    memcpy(token->hash, stored->hash, sizeof(token->hash));
    tokens->count++;
    return token;
}

static int add_stored(void *ctx, const struct store_token *stored)
{
    struct tokens *tokens = ctx;
    if (tokens->count == TOKENS_MAX)
        return -E2BIG;
    insert(tokens, stored);
    return 0;
}

int tokens_load(struct tokens *tokens, struct store *store, struct events *events)
{
    tokens->events = events;
    tokens->store = store;
    tokens->items = calloc(TOKENS_MAX, sizeof(*tokens->items));
    if (tokens->items == NULL)
        return -ENOMEM;
    return store_load_tokens(store, add_stored, tokens);
}

void tokens_fini(struct tokens *tokens)
{
    free(tokens->items);
    *tokens = (struct tokens){0};
}

const struct token *tokens_find(const struct tokens *tokens, const char *name)
{
    size_t place = find_place(tokens, name);
    return place < tokens->count && strcmp(tokens->items[place].name, name) == 0
               ? &tokens->items[place]
               : NULL;
}

const struct token *tokens_next(const struct tokens *tokens, const char *after)
{
    size_t place = find_place(tokens, after);
    if (place < tokens->count && strcmp(tokens->items[place].name, after) == 0)
        place++;
    return place < tokens->count ? &tokens->items[place] : NULL;
}

/* --- Authentication --------------------------------------------------------------------------- */

static bool never_expires(const struct token *token)
{
    return token->expires_at.tv_sec == 0 && token->expires_at.tv_nsec == 0;
}

static bool has_expired(const struct token *token, const struct timespec *now)
{
    const struct timespec *end = &token->expires_at;
    return !never_expires(token) && (now->tv_sec > end->tv_sec ||
                                     (now->tv_sec == end->tv_sec && now->tv_nsec >= end->tv_nsec));
}

const struct token *tokens_authenticate(struct tokens *tokens, const char *authorization,
                                        const struct timespec *now)
{
    static const char scheme[] = "Bearer ";

    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    const char *text = authorization + sizeof(scheme) - 1;
    text += strspn(text, " ");
    uint8_t hash[STORE_TOKEN_HASH_LEN];
    token_hash(text, hash);
    struct token *found = NULL;
    for (size_t i = 0; i < tokens->count; i++) {
        if (sodium_memcmp(hash, tokens->items[i].hash, sizeof(hash)) == 0)
            found = &tokens->items[i];
    }
    if (found == NULL || has_expired(found, now))
        return NULL;
    found->last_used_at = *now;
    return found;
}

struct token_lease token_lease_of(const struct token *token)
{
    struct token_lease lease;
    memcpy(lease.name, token->name, sizeof(lease.name));
    memcpy(lease.hash, token->hash, sizeof(lease.hash));
    return lease;
}

bool tokens_lease_holds(const struct tokens *tokens, const struct token_lease *lease,
                        const struct timespec *now)
{
    if (lease->name[0] == '\0')
        return true;
    const struct token *token = tokens_find(tokens, lease->name);
    return token != NULL && sodium_memcmp(token->hash, lease->hash, sizeof(lease->hash)) == 0 &&
           !has_expired(token, now);
}

/* --- Changing --------------------------------------------------------------------------------- */

/* The change and its audit record are on disk together, or neither is. */
static int store_change(struct tokens *tokens, int rc, enum event_type type, const char *name)
{
    const struct event_fact fact = {.type = type, .name = name};
    if (rc == 0)
        rc = events_record(tokens->events, &fact);
    return store_end(tokens->store, rc);
}

int tokens_create(struct tokens *tokens, const char *name, enum api_role role,
                  const struct timespec *expires_at, const struct token **out,
                  char text[TOKEN_TEXT])
{
    struct store_token stored = {
        .role = role == API_ROLE_ADMIN ? STORE_ROLE_ADMIN : STORE_ROLE_READ,
        .expires_at = *expires_at,
    };
    snprintf(stored.name, sizeof(stored.name), "%s", name);
    if (tokens_find(tokens, name) != NULL)
        return -EEXIST;
    if (tokens->count == TOKENS_MAX)
        return -E2BIG;
    clock_gettime(CLOCK_REALTIME, &stored.created_at);
    token_generate(text);
    token_hash(text, stored.hash);
    int rc = store_begin(tokens->store);
    if (rc == 0)
        rc = store_change(tokens, store_insert_token(tokens->store, &stored), EVENT_TOKEN_CREATED,
                          stored.name);
    if (rc < 0) {
        sodium_memzero(text, TOKEN_TEXT);
        return rc;
    }
    *out = insert(tokens, &stored);
    return 0;
}

int tokens_delete(struct tokens *tokens, const char *name)
{
    const struct token *token = tokens_find(tokens, name);
    if (token == NULL)
        return -ENOENT;
    int rc = store_begin(tokens->store);
    if (rc == 0)
        rc = store_change(tokens, store_delete_token(tokens->store, name), EVENT_TOKEN_DELETED,
                          name);
    if (rc < 0)
        return rc;
    size_t place = (size_t)(token - tokens->items);
    tokens->count--;
    memmove(&tokens->items[place], &tokens->items[place + 1],
            (tokens->count - place) * sizeof(*tokens->items));
    return 0;
}

bool tokens_is_last_admin(const struct tokens *tokens, const struct token *token)
{
    for (size_t i = 0; i < tokens->count; i++) {
        const struct token *other = &tokens->items[i];
        if (other != token && other->role == API_ROLE_ADMIN && never_expires(other))
            return false;
    }
    return token->role == API_ROLE_ADMIN;
}
