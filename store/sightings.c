/*
 * sightings: the table of where and when peers were seen last.
 */
#include "store/database.h"

#include <errno.h>

static bool bind_row(sqlite3_stmt *stmt, const struct store_sighting *row)
{
    const int64_t heard = row->heard_unix_ns > INT64_MAX ? INT64_MAX : (int64_t)row->heard_unix_ns;
    return store_bind_text(stmt, 1, row->tunnel) &&
           store_bind_blob(stmt, 2, row->public_key, SPEC_KEY_LEN) &&
           store_bind_text(stmt, 3, row->endpoint) && store_bind_text(stmt, 4, row->defined) &&
           store_bind_integer(stmt, 5, heard) &&
           store_bind_blob(stmt, 6, row->timestamp, STORE_TIMESTAMP_LEN);
}

int store_save_sightings(struct store *store, const struct store_sighting *rows, size_t count)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    sqlite3_stmt *stmt =
        store_prepare(store, "INSERT OR REPLACE INTO peer_sightings"
                             " (tunnel, public_key, endpoint, defined, heard_at, timestamp)"
                             " VALUES (?, ?, ?, ?, ?, ?)");
    rc = stmt != NULL ? 0 : store->failure;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = bind_row(stmt, &rows[i]) ? store_run(store, stmt)
                                      : store_fail(store, "storing where peers are");
    sqlite3_finalize(stmt);
    return store_end(store, rc);
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
        const int64_t heard = sqlite3_column_int64(row, 3);
        const struct store_sighting sighting = {
            .tunnel = tunnel,
            .public_key = public_key,
            .endpoint = store_column_text(row, 1),
            .defined = store_column_text(row, 2),
            .heard_unix_ns = heard > 0 ? (uint64_t)heard : 0,
            .timestamp = timestamp,
        };
        /* A damaged row costs what it tells. */
        if (sighting.endpoint != NULL && sighting.defined != NULL &&
            store_column_blob(row, 0, public_key, sizeof(public_key)) &&
            store_column_blob(row, 4, timestamp, sizeof(timestamp)))
            each(ctx, &sighting);
        rc = 0;
    }
    sqlite3_finalize(row);
    return rc;
}
