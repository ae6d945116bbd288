/*
 * timestamps: the table of times that no timestamp of a tunnel's initiations passes. It goes with
 * the tunnels. Times are nanoseconds since 1970.
 */
#include "store/database.h"

#include <errno.h>

static int64_t as_integer(uint64_t unix_ns)
{
    return unix_ns > INT64_MAX ? INT64_MAX : (int64_t)unix_ns;
}

int store_save_timestamps(struct store *store, const struct store_timestamps *rows, size_t count)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    /* Never back: another program may have gone further on the same data. */
    sqlite3_stmt *stmt =
        store_prepare(store, "INSERT INTO tunnel_timestamps (tunnel, sent_until, may_reach)"
                             " VALUES (?, ?, ?) ON CONFLICT (tunnel) DO"
                             " UPDATE SET may_reach = max(may_reach, excluded.may_reach)");
    rc = stmt != NULL ? 0 : store->failure;
    for (size_t i = 0; i < count && rc == 0; i++) {
        bool bound = store_bind_text(stmt, 1, rows[i].tunnel) &&
                     store_bind_integer(stmt, 2, as_integer(rows[i].after_ns)) &&
                     store_bind_integer(stmt, 3, as_integer(rows[i].until_ns));
        rc = bound ? store_run(store, stmt) : store_fail(store, "storing timestamps");
    }
    sqlite3_finalize(stmt);
    return store_end(store, rc);
}

/* Runs a statement with these two integers. */
static int run_with(struct store *store, const char *sql, uint64_t first, uint64_t second)
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    if (stmt == NULL)
        return store->failure;
    bool bound = store_bind_integer(stmt, 1, as_integer(first)) &&
                 store_bind_integer(stmt, 2, as_integer(second));
    int rc = bound ? store_run(store, stmt) : store_fail(store, "storing timestamps");
    sqlite3_finalize(stmt);
    return rc;
}

int store_renew_timestamps(struct store *store, uint64_t until_ns, uint64_t step_ns)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    rc = run_with(store,
                  "UPDATE tunnel_timestamps SET sent_until = max(may_reach, 0),"
                  " may_reach = max(?, max(may_reach, 0) + ?)",
                  until_ns, step_ns);
    if (rc == 0)
        rc = run_with(store,
                      "INSERT OR IGNORE INTO tunnel_timestamps (tunnel, sent_until, may_reach)"
                      " SELECT name, ?2, ?1 FROM tunnels",
                      until_ns, 0);
    return store_end(store, rc);
}

int store_find_timestamps(struct store *store, const char *tunnel, struct store_timestamps *out)
{
    sqlite3_stmt *row =
        store_prepare(store,
                      "SELECT sent_until, may_reach FROM tunnel_timestamps WHERE tunnel = ?");
    if (row == NULL)
        return store->failure;
    int rc = store_bind_text(row, 1, tunnel) ? store_step(store, row)
                                             : store_fail(store, "reading timestamps");
    if (rc == 1) {
        const int64_t after = sqlite3_column_int64(row, 0);
        const int64_t until = sqlite3_column_int64(row, 1);
        out->tunnel = tunnel;
        out->after_ns = after > 0 ? (uint64_t)after : 0; /* else the row is damaged */
        out->until_ns = until > 0 ? (uint64_t)until : 0;
    }
    sqlite3_finalize(row);
    if (rc < 0)
        return rc;
    return rc == 1 ? 0 : -ENOENT;
}
