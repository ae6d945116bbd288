/*
 * tokens: the table of that name. Only hashes are kept: a copy of the database opens no door.
 */
#include "base/log.h"
#include "store/database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int store_insert_token(struct store *store, const struct store_token *token)
{
    sqlite3_stmt *stmt = store_prepare(
        store,
        "INSERT INTO tokens (name, role, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?)");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_text(stmt, 1, token->name) && store_bind_integer(stmt, 2, token->role) &&
        store_bind_blob(stmt, 3, token->hash, STORE_TOKEN_HASH_LEN) &&
        store_bind_time(stmt, 4, &token->created_at) &&
        store_bind_time(stmt, 5, &token->expires_at))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "storing a token");
    store_finish(store, stmt);
    return rc;
}

int store_delete_token(struct store *store, const char *name)
{
    sqlite3_stmt *stmt = store_prepare(store, "DELETE FROM tokens WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_text(stmt, 1, name) ? store_run(store, stmt)
                                            : store_fail(store, "deleting a token");
    store_finish(store, stmt);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = -ENOENT;
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
    store_finish(store, stmt);
    return rc == 1 ? 0 : -EIO;
}

/* Columns: name, role, hash, created_at, expires_at. */
static bool parse_row(sqlite3_stmt *row, struct store_token *out)
{
    const char *name = store_column_text(row, 0);
    int64_t role = sqlite3_column_int64(row, 1);
    if (name == NULL || !spec_name_valid(name) ||
        (role != STORE_ROLE_READ && role != STORE_ROLE_ADMIN) ||
        !store_column_blob(row, 2, out->hash, sizeof(out->hash)))
        return false;
    snprintf(out->name, sizeof(out->name), "%s", name);
    out->role = (enum store_role)role;
    out->created_at = store_column_time(row, 3);
    out->expires_at = store_column_time(row, 4);
    return true;
}

int store_load_tokens(struct store *store, int (*each)(void *ctx, const struct store_token *token),
                      void *ctx)
{
    sqlite3_stmt *row =
        store_prepare(store,
                      "SELECT name, role, hash, created_at, expires_at FROM tokens ORDER BY name");
    if (row == NULL)
        return store->failure;
    int rc;
    while ((rc = store_step(store, row)) == 1) {
        struct store_token token;
        if (!parse_row(row, &token)) {
            const char *name = store_column_text(row, 0);
            log_error("the stored token \"%s\" cannot be read and opens nothing",
                      name != NULL ? name : "?");
            continue;
        }
        rc = each(ctx, &token);
        if (rc < 0)
            break;
    }
    store_finish(store, row);
    return rc;
}
