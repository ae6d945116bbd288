/*
 * tunnels: the tables tunnels, tunnel_secrets and peer_secrets. A definition is stored as JSON
 * without its secrets, which are sealed; reading puts them back before the codec sees it.
 */
#include "base/json.h"
#include "store/secrets.h"
#include "store/unreadable.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- Writing --------------------------------------------------------------------------------- */

static int insert_definition(struct store *store, const struct store_tunnel *tunnel,
                             const char *definition)
{
    sqlite3_stmt *stmt =
        store_prepare(store,
                      "INSERT INTO tunnels (name, definition, generation, created_at, source)"
                      " VALUES (?, ?, ?, ?, ?)");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_text(stmt, 1, tunnel->spec.name) && store_bind_text(stmt, 2, definition) &&
        store_bind_integer(stmt, 3, (int64_t)tunnel->generation) &&
        store_bind_time(stmt, 4, &tunnel->created_at) &&
        store_bind_integer(stmt, 5, tunnel->source))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "storing a tunnel");
    store_finish(store, stmt);
    return rc;
}

static int insert_private_key(struct store *store, const struct spec_tunnel *spec)
{
    sqlite3_stmt *stmt =
        store_prepare(store,
                      "INSERT INTO tunnel_secrets (tunnel, private_key, key_id) VALUES (?, ?, ?)");
    if (stmt == NULL)
        return store->failure;
    uint8_t sealed[VAULT_SEALED_LEN];
    vault_seal(store->vault, &private_key_place(spec->name), spec->private_key, sealed);
    int rc;
    if (store_bind_text(stmt, 1, spec->name) && store_bind_blob(stmt, 2, sealed, sizeof(sealed)) &&
        store_bind_blob(stmt, 3, vault_id(store->vault), VAULT_ID_LEN))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "storing a private key");
    store_finish(store, stmt);
    return rc;
}

static int insert_preshared_keys(struct store *store, const struct spec_tunnel *spec)
{
    sqlite3_stmt *stmt =
        store_prepare(store, "INSERT INTO peer_secrets (tunnel, peer, preshared_key, key_id)"
                             " VALUES (?, ?, ?, ?)");
    if (stmt == NULL)
        return store->failure;
    int rc = 0;
    for (size_t i = 0; i < spec->peers_count && rc == 0; i++) {
        const struct spec_peer *peer = &spec->peers[i];
        if (!peer->has_preshared_key)
            continue;
        uint8_t sealed[VAULT_SEALED_LEN];
        vault_seal(store->vault, &preshared_key_place(spec->name, peer->name), peer->preshared_key,
                   sealed);
        if (store_bind_text(stmt, 1, spec->name) && store_bind_text(stmt, 2, peer->name) &&
            store_bind_blob(stmt, 3, sealed, sizeof(sealed)) &&
            store_bind_blob(stmt, 4, vault_id(store->vault), VAULT_ID_LEN))
            rc = store_run(store, stmt);
        else
            rc = store_fail(store, "storing a preshared key");
    }
    store_finish(store, stmt);
    return rc;
}

/* The definition as it is stored, to be freed with cJSON_free(), or NULL (out of memory). */
static char *print_definition(const struct spec_tunnel *spec)
{
    cJSON *json = spec_tunnel_to_json(spec, SPEC_WITHOUT_SECRETS);
    char *definition = json != NULL ? cJSON_PrintUnformatted(json) : NULL;
    cJSON_Delete(json);
    return definition;
}

int store_insert_tunnel(struct store *store, const struct store_tunnel *tunnel)
{
    char *definition = print_definition(&tunnel->spec);
    if (definition == NULL)
        return -ENOMEM;
    int rc = store_begin(store);
    if (rc == 0) {
        rc = insert_definition(store, tunnel, definition);
        if (rc == 0)
            rc = insert_private_key(store, &tunnel->spec);
        if (rc == 0)
            rc = insert_preshared_keys(store, &tunnel->spec);
        rc = store_end(store, rc);
    }
    cJSON_free(definition);
    return rc;
}

static int update_definition(struct store *store, const struct store_tunnel *tunnel,
                             const char *definition)
{
    sqlite3_stmt *stmt =
        store_prepare(store, "UPDATE tunnels SET definition = ?, generation = ? WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_text(stmt, 1, definition) &&
        store_bind_integer(stmt, 2, (int64_t)tunnel->generation) &&
        store_bind_text(stmt, 3, tunnel->spec.name))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "changing a tunnel");
    store_finish(store, stmt);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = -ENOENT;
    return rc;
}

static int update_origin(struct store *store, const struct store_tunnel *tunnel)
{
    sqlite3_stmt *stmt =
        store_prepare(store, "UPDATE tunnels SET created_at = ?, source = ? WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc;
    if (store_bind_time(stmt, 1, &tunnel->created_at) &&
        store_bind_integer(stmt, 2, tunnel->source) && store_bind_text(stmt, 3, tunnel->spec.name))
        rc = store_run(store, stmt);
    else
        rc = store_fail(store, "changing a tunnel");
    store_finish(store, stmt);
    return rc;
}

/* Runs a statement whose one parameter is the tunnel's name. */
static int delete_rows(struct store *store, const char *sql, const char *tunnel)
{
    sqlite3_stmt *stmt = store_prepare(store, sql);
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_text(stmt, 1, tunnel)
                 ? store_run(store, stmt)
                 : store_fail(store, "deleting what belongs to a tunnel");
    store_finish(store, stmt);
    return rc;
}

static int replace_secrets(struct store *store, const struct spec_tunnel *spec)
{
    int rc = delete_rows(store, "DELETE FROM tunnel_secrets WHERE tunnel = ?", spec->name);
    if (rc == 0)
        rc = delete_rows(store, "DELETE FROM peer_secrets WHERE tunnel = ?", spec->name);
    if (rc == 0)
        rc = insert_private_key(store, spec);
    if (rc == 0)
        rc = insert_preshared_keys(store, spec);
    return rc;
}

int store_update_tunnel(struct store *store, const struct store_tunnel *tunnel)
{
    char *definition = print_definition(&tunnel->spec);
    if (definition == NULL)
        return -ENOMEM;
    int rc = store_begin(store);
    if (rc == 0) {
        rc = update_definition(store, tunnel, definition);
        if (rc == 0)
            rc = replace_secrets(store, &tunnel->spec);
        rc = store_end(store, rc);
    }
    cJSON_free(definition);
    return rc;
}

/* Not by deleting the row, which would delete the tunnel's forwards. */
int store_replace_tunnel(struct store *store, const struct store_tunnel *tunnel)
{
    int rc = store_begin(store);
    if (rc < 0)
        return rc;
    rc = store_update_tunnel(store, tunnel);
    if (rc == 0)
        rc = update_origin(store, tunnel);
    if (rc == 0)
        rc = delete_rows(store, "DELETE FROM tunnel_totals WHERE tunnel = ?", tunnel->spec.name);
    if (rc == 0)
        rc = delete_rows(store, "DELETE FROM peer_totals WHERE tunnel = ?", tunnel->spec.name);
    if (rc == 0)
        rc = delete_rows(store, "DELETE FROM peer_sightings WHERE tunnel = ?", tunnel->spec.name);
    return store_end(store, rc);
}

int store_delete_tunnel(struct store *store, const char *name)
{
    sqlite3_stmt *stmt = store_prepare(store, "DELETE FROM tunnels WHERE name = ?");
    if (stmt == NULL)
        return store->failure;
    int rc = store_bind_text(stmt, 1, name) ? store_run(store, stmt)
                                            : store_fail(store, "deleting a tunnel");
    store_finish(store, stmt);
    if (rc == 0 && sqlite3_changes(store->db) == 0)
        rc = -ENOENT;
    return rc;
}

/* --- Reading --------------------------------------------------------------------------------- */

static bool add_key(cJSON *object, const char *name, const uint8_t key[SPEC_KEY_LEN])
{
    char text[SPEC_KEY_TEXT];
    bool ok = cJSON_AddStringToObject(object, name, spec_key_print(key, text)) != NULL;
    sodium_memzero(text, sizeof(text));
    return ok;
}

/* The peers of a definition by their names, sorted. */
struct peer_index {
    struct peer_entry {
        const char *name;
        cJSON *json;
    } * entries;
    size_t count;
};

static int compare_entries(const void *a, const void *b)
{
    const struct peer_entry *left = a;
    const struct peer_entry *right = b;
    return strcmp(left->name, right->name);
}

/* Leaves out what has no name: the codec reports it. 0 or -ENOMEM. */
static int index_peers(struct peer_index *index, cJSON *json)
{
    cJSON *peers = cJSON_GetObjectItemCaseSensitive(json, "peers");
    index->entries = calloc((size_t)cJSON_GetArraySize(peers) + 1, sizeof(*index->entries));
    if (index->entries == NULL)
        return -ENOMEM;
    cJSON *peer;
    cJSON_ArrayForEach(peer, peers)
    {
        const cJSON *name = json_member(peer, "name");
        if (cJSON_IsString(name))
            index->entries[index->count++] =
                (struct peer_entry){.name = name->valuestring, .json = peer};
    }
    qsort(index->entries, index->count, sizeof(*index->entries), compare_entries);
    return 0;
}

static cJSON *find_peer(const struct peer_index *index, const char *name)
{
    const struct peer_entry wanted = {.name = name};
    const struct peer_entry *entry =
        bsearch(&wanted, index->entries, index->count, sizeof(*index->entries), compare_entries);
    return entry != NULL ? entry->json : NULL;
}

/* A sealed secret in a column. False when it is none, or not of this place and key. */
static bool open_column(struct store *store, sqlite3_stmt *row, int column,
                        const struct vault_place *place, uint8_t key[SPEC_KEY_LEN])
{
    uint8_t sealed[VAULT_SEALED_LEN];
    return store_column_blob(row, column, sealed, sizeof(sealed)) &&
           vault_open(store->vault, place, sealed, key) == 0;
}

/* Adds the preshared key of one row to its peer. 0 or -EINVAL (unreadable). */
static int add_preshared_key(struct store *store, sqlite3_stmt *row, const char *tunnel,
                             const struct peer_index *index, struct spec_errors *errors)
{
    const char *name = store_column_text(row, 0);
    cJSON *peer = name != NULL ? find_peer(index, name) : NULL;
    uint8_t key[SPEC_KEY_LEN];
    bool ok = peer != NULL && open_column(store, row, 1, &preshared_key_place(tunnel, name), key) &&
              add_key(peer, "preshared_key", key);
    sodium_memzero(key, sizeof(key));
    if (!ok)
        spec_errors_add(errors, "", "unreadable", "the preshared key of a peer is damaged");
    return ok ? 0 : -EINVAL;
}

/* Adds the preshared keys to the peers in json. 0, -EINVAL (unreadable) or as the store fails. */
static int add_preshared_keys(struct store *store, sqlite3_stmt *secrets, const char *tunnel,
                              cJSON *json, struct spec_errors *errors)
{
    struct peer_index index = {0};
    int rc = index_peers(&index, json);
    if (rc == 0 && !store_bind_text(secrets, 1, tunnel))
        rc = store_fail(store, "reading preshared keys");
    while (rc == 0 && (rc = store_step(store, secrets)) == 1)
        rc = add_preshared_key(store, secrets, tunnel, &index, errors);
    sqlite3_reset(secrets);
    free(index.entries);
    return rc;
}

/* Puts the secrets back into the definition. 0, -EINVAL (unreadable) or as the store fails. */
static int add_secrets(struct store *store, sqlite3_stmt *row, sqlite3_stmt *secrets,
                       const char *name, cJSON *json, struct spec_errors *errors)
{
    uint8_t key[SPEC_KEY_LEN];
    int rc = -EINVAL;
    if (cJSON_IsObject(json) && open_column(store, row, 4, &private_key_place(name), key))
        rc = add_key(json, "private_key", key) ? 0 : -ENOMEM;
    else
        spec_errors_add(errors, "", "unreadable", "the private key is damaged, or not there");
    sodium_memzero(key, sizeof(key));
    return rc == 0 ? add_preshared_keys(store, secrets, name, json, errors) : rc;
}

/* Columns: name, definition, generation, created_at, private_key, source. */
static int parse_row(struct store *store, sqlite3_stmt *row, sqlite3_stmt *secrets,
                     struct store_tunnel *out, struct spec_errors *errors)
{
    const char *name = store_column_text(row, 0);
    const char *definition = store_column_text(row, 1);
    if (name == NULL || definition == NULL)
        return -EINVAL;
    struct json_error error;
    cJSON *json = json_read(definition, strlen(definition), &error);
    if (json == NULL)
        return unreadable_json(&error, errors);
    int rc = add_secrets(store, row, secrets, name, json, errors);
    if (rc == 0)
        rc = spec_tunnel_from_json(json, &out->spec, errors);
    json_free(json);
    if (rc == 0 && strcmp(out->spec.name, name) != 0) {
        spec_errors_add(errors, "/name", "unreadable", "it is the definition of another tunnel");
        rc = -EINVAL;
    }
    if (rc == 0)
        rc = store_column_source(row, 5, &out->source);
    if (rc < 0)
        spec_tunnel_fini(&out->spec);
    out->generation = (uint64_t)sqlite3_column_int64(row, 2);
    out->created_at = store_column_time(row, 3);
    return rc;
}

/* One row to each(); one that cannot be read is told of, left where it is, and passed over. */
static int load_row(struct store *store, sqlite3_stmt *row, sqlite3_stmt *secrets,
                    int (*each)(void *ctx, struct store_tunnel *tunnel),
                    store_each_unreadable *unreadable, void *ctx)
{
    static const struct unreadable_columns columns = {
        .name = 0, .tunnel = -1, .generation = 2, .source = 5};
    struct store_tunnel tunnel = {0};
    struct spec_errors errors = {0};
    int rc = parse_row(store, row, secrets, &tunnel, &errors);
    if (rc == -EINVAL) {
        unreadable_tell(row, &columns, &errors, unreadable, ctx);
        return 0;
    }
    if (rc < 0)
        return rc;
    rc = each(ctx, &tunnel);
    spec_tunnel_fini(&tunnel.spec);
    return rc < 0 ? rc : 0;
}

int store_load_tunnels(struct store *store, int (*each)(void *ctx, struct store_tunnel *tunnel),
                       store_each_unreadable *unreadable, void *ctx)
{
    sqlite3_stmt *row = store_prepare(
        store, "SELECT t.name, t.definition, t.generation, t.created_at, s.private_key, t.source"
               " FROM tunnels t LEFT JOIN tunnel_secrets s ON s.tunnel = t.name ORDER BY t.name");
    sqlite3_stmt *secrets =
        store_prepare(store, "SELECT peer, preshared_key FROM peer_secrets WHERE tunnel = ?");
    int rc = row != NULL && secrets != NULL ? 0 : store->failure;
    while (rc == 0 && (rc = store_step(store, row)) == 1)
        rc = load_row(store, row, secrets, each, unreadable, ctx);
    store_finish(store, secrets);
    store_finish(store, row);
    return rc;
}
