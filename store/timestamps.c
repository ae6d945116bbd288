/*
 * timestamps: the table of times that no timestamp of a tunnel's initiations passes. It goes with
 * the tunnels. Times are nanoseconds since 1970.
 */
#include "store/database.h"

#include <errno.h>

static bool bind_row(sqlite3_stmt *stmt, const void *rows, size_t index)
{
    const struct store_timestamps *row = (const struct store_timestamps *)rows + index;
    return store_bind_text(stmt, 1, row->tunnel) && store_bind_uint64(stmt, 2, row->after_ns) &&
           store_bind_uint64(stmt, 3, row->until_ns);
}

int store_save_timestamps(struct store *store, const struct store_timestamps *rows, size_t count)
{
    /* Never back: another program may have gone further on the same data. */
    return store_run_rows(store,
                          "INSERT INTO tunnel_timestamps (tunnel, sent_until, may_reach)"
                          " VALUES (?, ?, ?) ON CONFLICT (tunnel) DO"
                          " UPDATE SET may_reach = max(may_reach, excluded.may_reach)",
                          "storing timestamps", bind_row, rows, count);
}

/* Runs a statement with these two integers. */
static int run_with(struct store *store, const char *sql, uint64_t first, uint64_t second)
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    if (stmt == NULL)
        return store->failure;
    bool bound = store_bind_uint64(stmt, 1, first) && store_bind_uint64(stmt, 2, second);
    int rc = bound ? store_run(store, stmt) : store_fail(store, "storing timestamps");
    store_finish(store, stmt);
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
        out->tunnel = tunnel;
        out->after_ns = store_column_uint64(row, 0);
        out->until_ns = store_column_uint64(row, 1);
    }
    store_finish(store, row);
    if (rc < 0)
        return rc;
    return rc == 1 ? 0 : -ENOENT;
}
