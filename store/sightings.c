/*
 * sightings: the table of where and when peers were seen last.
 */
#include "store/database.h"

static bool bind_row(sqlite3_stmt *stmt, const void *rows, size_t index)
{
    const struct store_sighting *row = (const struct store_sighting *)rows + index;
    return store_bind_text(stmt, 1, row->tunnel) &&
           store_bind_blob(stmt, 2, row->public_key, SPEC_KEY_LEN) &&
           store_bind_text(stmt, 3, row->endpoint) && store_bind_text(stmt, 4, row->defined) &&
           store_bind_uint64(stmt, 5, row->heard_unix_ns) &&
           store_bind_blob(stmt, 6, row->timestamp, STORE_TIMESTAMP_LEN);
}

int store_save_sightings(struct store *store, const struct store_sighting *rows, size_t count)
{
    return store_run_rows(store,
                          "INSERT OR REPLACE INTO peer_sightings"
                          " (tunnel, public_key, endpoint, defined, heard_at, timestamp)"
                          " VALUES (?, ?, ?, ?, ?, ?)",
                          "storing where peers are", bind_row, rows, count);
}

int store_load_sightings(struct store *store, const char *tunnel,
                         void (*each)(void *ctx, const struct store_sighting *sighting), void *ctx)
{
    sqlite3_stmt *row =
        store_prepare(store, "SELECT public_key, endpoint, defined, heard_at, timestamp"
                             " FROM peer_sightings WHERE tunnel = ?");
    if (row == NULL)
        return store->failure;
    int rc = store_bind_text(row, 1, tunnel) ? 0 : store_fail(store, "reading where peers are");
    while (rc == 0 && (rc = store_step(store, row)) == 1) {
        uint8_t public_key[SPEC_KEY_LEN];
        uint8_t timestamp[STORE_TIMESTAMP_LEN];
        const struct store_sighting sighting = {
            .tunnel = tunnel,
            .public_key = public_key,
            .endpoint = store_column_text(row, 1),
            .defined = store_column_text(row, 2),
            .heard_unix_ns = store_column_uint64(row, 3),
            .timestamp = timestamp,
        };
        /* A damaged row costs what it tells. */
        if (sighting.endpoint != NULL && sighting.defined != NULL &&
            store_column_blob(row, 0, public_key, sizeof(public_key)) &&
            store_column_blob(row, 4, timestamp, sizeof(timestamp)))
            each(ctx, &sighting);
        rc = 0;
    }
    store_finish(store, row);
    return rc;
}
