/*
 * admin_token: file first, hash second. After a crash in between, the store still has no token and
 * the next start makes another; the other order would leave a token that nobody knows.
 */
#include "api/admin_token.h"

#include "api/tokens.h"
#include "base/log.h"
#include "store/private_file.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_token(const char *path, const char *token)
{
    char line[TOKEN_TEXT + 1];
    int len = snprintf(line, sizeof(line), "%s\n", token);
    int rc = private_file_write(path, line, (size_t)len);
    sodium_memzero(line, sizeof(line));
    return rc;
}

static int make_token(const char *path, struct store *store, char error[256])
{
    char token[TOKEN_TEXT];
    struct store_token stored = {.name = "admin", .role = STORE_ROLE_ADMIN};
    clock_gettime(CLOCK_REALTIME, &stored.created_at);
    token_generate(token);
    token_hash(token, stored.hash);
    int rc = write_token(path, token);
    sodium_memzero(token, sizeof(token));
    if (rc < 0) {
        snprintf(error, 256, "cannot write the admin token to %.150s: %s", path, strerror(-rc));
        return rc;
    }
    rc = store_insert_token(store, &stored);
    if (rc < 0) {
        snprintf(error, 256, "cannot store the admin token: %.200s", store_error(store));
        return rc;
    }
    log_info("the API's admin token is in %s", path);
    return 0;
}

struct search {
    uint8_t hash[STORE_TOKEN_HASH_LEN];
    bool found;
};

static int compare_token(void *ctx, const struct store_token *token)
{
    struct search *search = ctx;
    if (sodium_memcmp(search->hash, token->hash, sizeof(search->hash)) == 0)
        search->found = true;
    return 0;
}

/* Whether the file is there; then its token's hash. */
static bool read_file_token(const char *path, uint8_t hash[STORE_TOKEN_HASH_LEN])
{
    char text[TOKEN_TEXT + 2] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    token_hash(text, hash);
    sodium_memzero(text, sizeof(text));
    return true;
}

/* Says where the token is, or how to get another. */
static int tell_token(const char *path, struct store *store, char error[256])
{
    struct search search = {0};
    bool there = read_file_token(path, search.hash);
    int rc = there ? store_load_tokens(store, compare_token, &search) : 0;
    if (rc < 0) {
        snprintf(error, 256, "cannot read the tokens: %.200s", store_error(store));
        return rc;
    }
    if (search.found)
        log_info("the API's admin token is in %s", path);
    else
        log_info("%s %s; POST /v1/tokens makes another token, without one over the Unix socket",
                 path, there ? "holds a token that is not valid any more" : "is gone");
    return 0;
}

int admin_token_ensure(const char *directory, struct store *store, char error[256])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/admin.token", directory) >= (int)sizeof(path)) {
        snprintf(error, 256, "the data directory's name is too long");
        return -ENAMETOOLONG;
    }
    size_t count = 0;
    int rc = store_count_tokens(store, &count);
    if (rc < 0) {
        snprintf(error, 256, "cannot read the tokens: %.200s", store_error(store));
        return rc;
    }
    if (count == 0)
        return make_token(path, store, error);
    return tell_token(path, store, error);
}
