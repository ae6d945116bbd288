/*
 * totals: the tables of what objects have counted, so that a restart does not begin at zero. They
 * go with their objects.
 */
#include "store/database.h"

/* --- Writing ---------------------------------------------------------------------------------- */

static bool bind_tunnel(sqlite3_stmt *stmt, const void *rows, size_t index)
{
    const struct store_tunnel_totals *row = (const struct store_tunnel_totals *)rows + index;
    return store_bind_text(stmt, 1, row->tunnel) && store_bind_uint64(stmt, 2, row->rx_bytes) &&
           store_bind_uint64(stmt, 3, row->tx_bytes) && store_bind_uint64(stmt, 4, row->handshakes);
}

int store_save_tunnel_totals(struct store *store, const struct store_tunnel_totals *rows,
                             size_t count)
{
    return store_run_rows(
        store,
        "INSERT OR REPLACE INTO tunnel_totals (tunnel, rx_bytes, tx_bytes, handshakes)"
        " VALUES (?, ?, ?, ?)",
        "storing totals", bind_tunnel, rows, count);
}

static bool bind_peer(sqlite3_stmt *stmt, const void *rows, size_t index)
{
    const struct store_peer_totals *row = (const struct store_peer_totals *)rows + index;
    return store_bind_text(stmt, 1, row->tunnel) &&
           store_bind_blob(stmt, 2, row->public_key, SPEC_KEY_LEN) &&
           store_bind_uint64(stmt, 3, row->rx_bytes) && store_bind_uint64(stmt, 4, row->tx_bytes) &&
           store_bind_uint64(stmt, 5, row->handshakes);
}

int store_save_peer_totals(struct store *store, const struct store_peer_totals *rows, size_t count)
{
    return store_run_rows(
        store,
        "INSERT OR REPLACE INTO peer_totals"
        " (tunnel, public_key, rx_bytes, tx_bytes, handshakes) VALUES (?, ?, ?, ?, ?)",
        "storing totals", bind_peer, rows, count);
}

static int delete_peer(struct store *store, const char *sql, const char *tunnel,
                       const uint8_t public_key[SPEC_KEY_LEN])
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_text(stmt, 1, tunnel) && store_bind_blob(stmt, 2, public_key, SPEC_KEY_LEN)
                 ? store_run(store, stmt)
                 : store_fail(store, "forgetting a peer");
    store_finish(store, stmt);
    return rc;
}

int store_forget_peer(struct store *store, const char *tunnel,
                      const uint8_t public_key[SPEC_KEY_LEN])
{
    int rc = delete_peer(store, "DELETE FROM peer_totals WHERE tunnel = ? AND public_key = ?",
                         tunnel, public_key);
    if (rc == 0)
        rc = delete_peer(store, "DELETE FROM peer_sightings WHERE tunnel = ? AND public_key = ?",
                         tunnel, public_key);
    return rc;
}

static bool bind_forward(sqlite3_stmt *stmt, const void *rows, size_t index)
{
    const struct store_forward_totals *row = (const struct store_forward_totals *)rows + index;
    return store_bind_text(stmt, 1, row->forward) && store_bind_uint64(stmt, 2, row->connections) &&
           store_bind_uint64(stmt, 3, row->connect_failures) &&
           store_bind_uint64(stmt, 4, row->bytes_in) && store_bind_uint64(stmt, 5, row->bytes_out);
}

int store_save_forward_totals(struct store *store, const struct store_forward_totals *rows,
                              size_t count)
{
    return store_run_rows(store,
                          "INSERT OR REPLACE INTO forward_totals"
                          " (forward, connections, connect_failures, bytes_in, bytes_out)"
                          " VALUES (?, ?, ?, ?, ?)",
                          "storing totals", bind_forward, rows, count);
}

/* --- Reading ---------------------------------------------------------------------------------- */

int store_load_tunnel_totals(struct store *store,
                             void (*each)(void *ctx, const struct store_tunnel_totals *totals),
                             void *ctx)
{
    sqlite3_stmt *row = store_prepare(store, "SELECT tunnel, rx_bytes, tx_bytes, handshakes"
                                             " FROM tunnel_totals");
    if (row == NULL)
        return store->failure;
    int rc;
    while ((rc = store_step(store, row)) == 1) {
        const struct store_tunnel_totals totals = {
            .tunnel = store_column_text(row, 0),
            .rx_bytes = store_column_uint64(row, 1),
            .tx_bytes = store_column_uint64(row, 2),
            .handshakes = store_column_uint64(row, 3),
        };
        if (totals.tunnel != NULL)
            each(ctx, &totals);
    }
    store_finish(store, row);
    return rc;
}

int store_load_peer_totals(struct store *store,
                           void (*each)(void *ctx, const struct store_peer_totals *totals),
                           void *ctx)
{
    sqlite3_stmt *row =
        store_prepare(store, "SELECT tunnel, public_key, rx_bytes, tx_bytes, handshakes"
                             " FROM peer_totals ORDER BY tunnel, public_key");
    if (row == NULL)
        return store->failure;
    int rc;
    while ((rc = store_step(store, row)) == 1) {
        uint8_t public_key[SPEC_KEY_LEN];
        const struct store_peer_totals totals = {
            .tunnel = store_column_text(row, 0),
            .public_key = public_key,
            .rx_bytes = store_column_uint64(row, 2),
            .tx_bytes = store_column_uint64(row, 3),
            .handshakes = store_column_uint64(row, 4),
        };
        if (totals.tunnel != NULL && store_column_blob(row, 1, public_key, sizeof(public_key)))
            each(ctx, &totals);
    }
    store_finish(store, row);
    return rc;
}

int store_load_forward_totals(struct store *store,
                              void (*each)(void *ctx, const struct store_forward_totals *totals),
                              void *ctx)
{
    sqlite3_stmt *row =
        store_prepare(store, "SELECT forward, connections, connect_failures, bytes_in, bytes_out"
                             " FROM forward_totals");
    if (row == NULL)
        return store->failure;
    int rc;
    while ((rc = store_step(store, row)) == 1) {
        const struct store_forward_totals totals = {
            .forward = store_column_text(row, 0),
            .connections = store_column_uint64(row, 1),
            .connect_failures = store_column_uint64(row, 2),
            .bytes_in = store_column_uint64(row, 3),
            .bytes_out = store_column_uint64(row, 4),
        };
        if (totals.forward != NULL)
            each(ctx, &totals);
    }
    store_finish(store, row);
    return rc;
}
