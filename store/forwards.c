/*
 * forwards: the table of that name.
 */
#include "base/json.h"
#include "store/database.h"
#include "store/unreadable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int insert_row(struct store *store, const struct store_forward *forward,
                      const char *definition)
{
    sqlite3_stmt *stmt = store_prepare(
        store, "INSERT INTO forwards (name, tunnel, definition, generation, created_at, bound_port,"
               " source) VALUES (?, ?, ?, ?, ?, ?, ?)");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_text(stmt, 1, forward->spec.name) &&
        store_bind_text(stmt, 2, forward->spec.tunnel) && store_bind_text(stmt, 3, definition) &&
        store_bind_integer(stmt, 4, (int64_t)forward->generation) &&
        store_bind_time(stmt, 5, &forward->created_at) &&
        store_bind_integer(stmt, 6, forward->bound_port) &&
        store_bind_integer(stmt, 7, forward->source))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "storing a forward");
    store_finish(store, stmt);
    return rc;
}

static int update_row(struct store *store, const struct store_forward *forward,
                      const char *definition)
{
    sqlite3_stmt *stmt = store_prepare(
        store, "UPDATE forwards SET tunnel = ?, definition = ?, generation = ?, bound_port = ?"
               " WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_text(stmt, 1, forward->spec.tunnel) && store_bind_text(stmt, 2, definition) &&
        store_bind_integer(stmt, 3, (int64_t)forward->generation) &&
        store_bind_integer(stmt, 4, forward->bound_port) &&
        store_bind_text(stmt, 5, forward->spec.name))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "changing a forward");
    store_finish(store, stmt);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = -ENOENT;
    return rc;
}

/* What cannot be read may be in any column but the name. */
static int replace_row(struct store *store, const struct store_forward *forward,
                       const char *definition)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    rc = store_delete_forward(store, forward->spec.name);
    if (rc == 0)
        rc = insert_row(store, forward, definition);
    return store_end(store, rc);
}

static int write_row(struct store *store, const struct store_forward *forward,
                     int (*write)(struct store *store, const struct store_forward *forward,
                                  const char *definition))
{
    cJSON *json = spec_forward_to_json(&forward->spec);
    char *definition = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    if (definition == NULL)
        return -ENOMEM;
    int rc = write(store, forward, definition);
    cJSON_free(definition);
    return rc;
}

int store_insert_forward(struct store *store, const struct store_forward *forward)
{
    return write_row(store, forward, insert_row);
}

int store_update_forward(struct store *store, const struct store_forward *forward)
{
    return write_row(store, forward, update_row);
}

int store_replace_forward(struct store *store, const struct store_forward *forward)
{
    return write_row(store, forward, replace_row);
}

int store_delete_forward(struct store *store, const char *name)
{
    sqlite3_stmt *stmt = store_prepare(store, "DELETE FROM forwards WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_text(stmt, 1, name) ? store_run(store, stmt)
                                            : store_fail(store, "deleting a forward");
    store_finish(store, stmt);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = -ENOENT;
    return rc;
}

int store_set_bound_port(struct store *store, const char *forward, uint16_t port)
{
    sqlite3_stmt *stmt = store_prepare(store, "UPDATE forwards SET bound_port = ? WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_integer(stmt, 1, port) && store_bind_text(stmt, 2, forward))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "storing a port");
    store_finish(store, stmt);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = -ENOENT;
    return rc;
}

/* Columns: name, tunnel, definition, generation, created_at, bound_port, source. */
static int parse_row(sqlite3_stmt *row, struct store_forward *out, struct spec_errors *errors)
{
    const char *name = store_column_text(row, 0);
    const char *tunnel = store_column_text(row, 1);
    const char *definition = store_column_text(row, 2);
    if (name == NULL || tunnel == NULL || definition == NULL)
        return -EINVAL;
    struct json_error error;
    cJSON *json = json_read(definition, strlen(definition), &error);
    if (json == NULL)
        return unreadable_json(&error, errors);
    int rc = spec_forward_from_json(json, &out->spec, errors);
    json_free(json);
    int64_t port = sqlite3_column_int64(row, 5);
    if (rc == 0 && (strcmp(out->spec.name, name) != 0 || strcmp(out->spec.tunnel, tunnel) != 0)) {
        spec_errors_add(errors, "/name", "unreadable", "it is the definition of another forward");
        rc = -EINVAL;
    } else if (rc == 0 && (port < 0 || port > UINT16_MAX)) {
        spec_errors_add(errors, "", "unreadable", "the port that was bound is no port");
        rc = -EINVAL;
    }
    if (rc == 0)
        rc = store_column_source(row, 6, &out->source);
    out->generation = (uint64_t)sqlite3_column_int64(row, 3);
    out->created_at = store_column_time(row, 4);
    out->bound_port = (uint16_t)port;
    return rc;
}

/* One row to each(); one that cannot be read is told of, left where it is, and passed over. */
static int load_row(sqlite3_stmt *row, int (*each)(void *ctx, struct store_forward *forward),
                    store_each_unreadable *unreadable, void *ctx)
{
    static const struct unreadable_columns columns = {
        .name = 0, .tunnel = 1, .generation = 3, .source = 6};
    struct store_forward forward = {0};
    struct spec_errors errors = {0};
    int rc = parse_row(row, &forward, &errors);
    if (rc == -EINVAL) {
        unreadable_tell(row, &columns, &errors, unreadable, ctx);
        return 0;
    }
    return rc < 0 ? rc : each(ctx, &forward);
}

int store_load_forwards(struct store *store, int (*each)(void *ctx, struct store_forward *forward),
                        store_each_unreadable *unreadable, void *ctx)
{
    sqlite3_stmt *row =
        store_prepare(store, "SELECT name, tunnel, definition, generation, created_at, bound_port,"
                             " source FROM forwards ORDER BY name");
    if (row == NULL)
        return store->failure;
    int rc = 0;
    while (rc == 0 && (rc = store_step(store, row)) == 1)
        rc = load_row(row, each, unreadable, ctx);
    store_finish(store, row);
    return rc;
}
