/*
 * events: the table of that name, a ring: what is written pushes out the oldest. The newest row is
 * never removed, so that its id is the last one that was given.
 */
#include "store/database.h"

#include <errno.h>

/* Removes what is too old. */
static int trim(struct store *store, uint64_t last, uint64_t kept)
{
    if (last <= kept)
        return 0;
    sqlite3_stmt *stmt = store_prepare(store, "DELETE FROM events WHERE id <= ?");
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_integer(stmt, 1, (int64_t)(last - kept))
                 ? store_run(store, stmt)
                 : store_fail(store, "removing old events");
    store_finish(store, stmt);
    return rc;
}

static bool bind_event(sqlite3_stmt *stmt, const struct store_event *event, uint64_t skipped)
{
    return store_bind_integer(stmt, 1, (int64_t)skipped) &&
           store_bind_time(stmt, 2, &event->time) && store_bind_text(stmt, 3, event->type) &&
           store_bind_text(stmt, 4, event->kind) && store_bind_text(stmt, 5, event->name) &&
           store_bind_text(stmt, 6, event->reason) && store_bind_text(stmt, 7, event->message) &&
           store_bind_text(stmt, 8, event->actor) &&
           store_bind_integer(stmt, 9, (int64_t)event->generation);
}

static int insert_row(struct store *store, const struct store_event *event, uint64_t skipped)
{
    sqlite3_stmt *stmt =
        store_prepare(store,
                      "INSERT INTO events"
                      " (id, time, type, kind, name, reason, message, actor, generation)"
                      " SELECT coalesce(max(id), 0) + 1 + ?, ?, ?, ?, ?, ?, ?, ?, ? FROM events");
    if (stmt == NULL)
        return store->failure;
    int rc = bind_event(stmt, event, skipped) ? store_run(store, stmt)
                                              : store_fail(store, "storing an event");
    store_finish(store, stmt);
    return rc;
}

int store_insert_event(struct store *store, const struct store_event *event, uint64_t skipped,
                       uint64_t kept)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    rc = insert_row(store, event, skipped);
    if (rc == 0)
        rc = trim(store, (uint64_t)sqlite3_last_insert_rowid(store->db), kept);
    return store_end(store, rc);
}

int store_event_span(struct store *store, uint64_t *first, uint64_t *last)
{
    /* Two look-ups: asked for in one, SQLite reads the whole table. */
    sqlite3_stmt *stmt = store_prepare(store, "SELECT (SELECT coalesce(min(id), 0) FROM events),"
                                              " (SELECT coalesce(max(id), 0) FROM events)");
    if (stmt == NULL)
        return store->failure;
    int rc = store_step(store, stmt);
    if (rc == 1) {
        *first = (uint64_t)sqlite3_column_int64(stmt, 0);
        *last = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
    store_finish(store, stmt);
    return rc == 1 ? 0 : -EIO;
}

/* The text, never NULL: what was damaged reads as empty. */
static const char *text_at(sqlite3_stmt *row, int column)
{
    const char *text = store_column_text(row, column);
    return text != NULL ? text : "";
}

int store_load_events(struct store *store, uint64_t after, store_each_event *each, void *ctx)
{
    sqlite3_stmt *row =
        store_prepare(store, "SELECT id, time, type, kind, name, reason, message, actor, generation"
                             " FROM events WHERE id > ? ORDER BY id");
    if (row == NULL)
        return store->failure;
    int rc = store_bind_integer(row, 1, (int64_t)after) ? 0 : store_fail(store, "reading events");
    while (rc == 0 && (rc = store_step(store, row)) == 1) {
        const struct store_event event = {
            .id = (uint64_t)sqlite3_column_int64(row, 0),
            .time = store_column_time(row, 1),
            .type = text_at(row, 2),
            .kind = text_at(row, 3),
            .name = text_at(row, 4),
            .reason = text_at(row, 5),
            .message = text_at(row, 6),
            .actor = text_at(row, 7),
            .generation = (uint64_t)sqlite3_column_int64(row, 8),
        };
        rc = each(ctx, &event);
    }
    store_finish(store, row);
    return rc < 0 ? rc : 0;
}
