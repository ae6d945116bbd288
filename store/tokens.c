/*
 * tokens: the table of that name. Only hashes are kept: a copy of the database opens no door.
 */
#include "engine/log.h"
#include "store/database.h"

#include <errno.h>

int store_insert_token(struct store *store, const char *name, enum store_role role,
                       const uint8_t hash[STORE_TOKEN_HASH_LEN])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    sqlite3_stmt *stmt =
        store_prepare(store,
                      "INSERT INTO tokens (name, role, hash, created_at) VALUES (?, ?, ?, ?)");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_text(stmt, 1, name) && store_bind_integer(stmt, 2, role) &&
        store_bind_blob(stmt, 3, hash, STORE_TOKEN_HASH_LEN) && store_bind_time(stmt, 4, &now))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "storing a token");
    sqlite3_finalize(stmt);
    return rc;
}

int store_count_tokens(struct store *store, size_t *out)
{
    sqlite3_stmt *stmt = store_prepare(store, "SELECT count(*) FROM tokens");
    if (stmt == NULL)
        return store->failure;
    int rc = store_step(store, stmt);
    if (rc == 1)
        *out = (size_t)sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == 1 ? 0 : -EIO;
}

int store_load_tokens(struct store *store,
                      int (*each)(void *ctx, const char *name, enum store_role role,
                                  const uint8_t hash[STORE_TOKEN_HASH_LEN]),
                      void *ctx)
{
    sqlite3_stmt *row = store_prepare(store, "SELECT name, role, hash FROM tokens ORDER BY name");
    if (row == NULL)
        return store->failure;
    int rc;
    while ((rc = store_step(store, row)) == 1) {
        uint8_t hash[STORE_TOKEN_HASH_LEN];
        const char *name = store_column_text(row, 0);
        int64_t role = sqlite3_column_int64(row, 1);
        if (name == NULL || (role != STORE_ROLE_READ && role != STORE_ROLE_ADMIN) ||
            !store_column_blob(row, 2, hash, sizeof(hash))) {
            log_error("the stored token \"%s\" cannot be read and opens nothing",
                      name != NULL ? name : "?");
            continue;
        }
        rc = each(ctx, name, (enum store_role)role, hash);
        if (rc < 0)
            break;
    }
    sqlite3_finalize(row);
    return rc;
}
