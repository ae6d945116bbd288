/*
 * definitions: the table of that name: one row, which triggers count up.
 */
#include "store/database.h"

#include <errno.h>

/* Reads the row's one number that the statement asks for. */
static int read_number(struct store *store, const char *sql, uint64_t *out)
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    if (stmt == NULL)
        return store->failure;
    int rc = store_step(store, stmt);
    if (rc == 1)
        *out = (uint64_t)sqlite3_column_int64(stmt, 0);
    store_finish(store, stmt);
    return rc == 1 ? 0 : -EIO;
}

int store_definitions_generation(struct store *store, uint64_t *out)
{
    return read_number(store, "SELECT generation FROM definitions", out);
}

int store_deleted_generation(struct store *store, uint64_t *out)
{
    return read_number(store, "SELECT deleted_generation FROM definitions", out);
}
