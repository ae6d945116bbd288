/*
 * migrations: a database of each older schema, with rows in every table, has them all afterwards.
 */
#include "store/migrations.h"

#include "store/secrets.h"
#include "tests/unit/store/store_world.h"

#define SCHEMA_SOURCES 2 /* the first that knows who defines an object … */
#define SCHEMA_VAULT   6 /* … and the first that seals secrets */

#define TABLES_MAX 32
#define QUERY_MAX  512
#define ROWS_MAX   2048

/* All but secrets, by the first schema that has it. Rows that were deleted are counted. */
static const struct {
    int since;
    const char *sql;
} contents[] = {
    {1, "INSERT INTO tunnels (name, definition, generation, created_at) VALUES"
        " ('home', '{\"name\":\"home\",\"mtu\":1400,\"addresses\":[\"10.9.0.2/24\"],\"peers\":"
        "[{\"name\":\"gw\",\"public_key\":\"srKysrKysrKysrKysrKysrKysrKysrKysrKysrKysrI=\"}]}',"
        " 3, 1700000000123456789), ('gone', '{}', 9, 1)"},
    {1, "INSERT INTO forwards (name, tunnel, definition, generation, created_at, bound_port) VALUES"
        " ('web', 'home', '{\"name\":\"web\",\"tunnel\":\"home\",\"target\":"
        "{\"host\":\"10.0.0.1\",\"port\":80}}', 4, 1700000001000000000, 40001)"},
    {1, "INSERT INTO tokens (name, role, hash, created_at) VALUES ('ci', 2, randomblob(32), 5)"},
    {1, "DELETE FROM tunnels WHERE name = 'gone'"},
    {SCHEMA_SOURCES, "UPDATE tunnels SET source = 1; UPDATE forwards SET source = 1"},
    {3, "INSERT INTO events VALUES (7, 1700000002000000000, 'tunnel_created', 'tunnel', 'home', '',"
        " 'a message', 'token:ci', 3)"},
    {5, "UPDATE tokens SET expires_at = 1900000000000000000"},
    {7, "INSERT INTO tunnel_totals VALUES ('home', 10, 11, 12)"},
    {7, "INSERT INTO forward_totals VALUES ('web', 20, 21, 22, 23)"},
    {8, "INSERT INTO peer_totals VALUES ('home', randomblob(32), 30, 31, 32)"},
    {9, "INSERT INTO tunnel_timestamps VALUES ('home', 40, 41)"},
    {10, "INSERT INTO peer_sightings VALUES"
         " ('home', randomblob(32), '192.0.2.7:51820', '', 50, randomblob(12))"},
};

static const uint8_t private_key[SPEC_KEY_LEN] = "a private key";
static const uint8_t preshared_key[SPEC_KEY_LEN] = "a preshared key";

/* --- Making an old database ------------------------------------------------------------------- */

static sqlite3 *open_database(void)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    return db;
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

/* Runs a statement with two blobs. */
static void run_with(sqlite3 *db, const char *sql, const void *first, size_t len,
                     const uint8_t *key_id)
{
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_blob64(stmt, 1, first, len, SQLITE_STATIC), SQLITE_OK);
    if (key_id != NULL)
        assert_int_equal(sqlite3_bind_blob(stmt, 2, key_id, VAULT_ID_LEN, SQLITE_STATIC),
                         SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_finalize(stmt);
}

static void put_secrets_in_the_clear(sqlite3 *db)
{
    run_with(db, "INSERT INTO tunnel_secrets VALUES ('home', ?)", private_key, SPEC_KEY_LEN, NULL);
    run_with(db, "INSERT INTO peer_secrets VALUES ('home', 'gw', ?)", preshared_key, SPEC_KEY_LEN,
             NULL);
}

static void put_sealed_secrets(sqlite3 *db)
{
    struct vault *vault = vault_new();
    uint8_t sealed[VAULT_SEALED_LEN];
    assert_non_null(vault);
    assert_int_equal(vault_write(vault, path_of("master.key")), 0);
    const uint8_t *id = vault_id(vault);
    run_with(db, "INSERT INTO vault VALUES (?, 1)", id, VAULT_ID_LEN, NULL);
    vault_seal(vault, &private_key_place("home"), private_key, sealed);
    run_with(db, "INSERT INTO tunnel_secrets VALUES ('home', ?, ?)", sealed, sizeof(sealed), id);
    vault_seal(vault, &preshared_key_place("home", "gw"), preshared_key, sealed);
    run_with(db, "INSERT INTO peer_secrets VALUES ('home', 'gw', ?, ?)", sealed, sizeof(sealed),
             id);
    vault_free(vault);
}

static void make_database(int schema)
{
    char set_version[48];
    unlink(path_of("manytun.db"));
    unlink(path_of("master.key"));
    sqlite3 *db = open_database();
    run(db, "PRAGMA journal_mode = WAL");
    for (int i = 0; i < schema; i++)
        run(db, store_migrations.sql[i]);
    snprintf(set_version, sizeof(set_version), "PRAGMA user_version = %d", schema);
    run(db, set_version);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        if (contents[i].since <= schema)
            run(db, contents[i].sql);
    }
    if (schema < SCHEMA_VAULT)
        put_secrets_in_the_clear(db);
    else
        put_sealed_secrets(db);
    sqlite3_close(db);
}

/* --- What there was, and what there is -------------------------------------------------------- */

/* A query per table for all rows of its present columns, and what it answered. */
struct snapshot {
    size_t count;
    char queries[TABLES_MAX][QUERY_MAX];
    char rows[TABLES_MAX][ROWS_MAX];
};

static void read_rows(sqlite3 *db, const char *query, char out[ROWS_MAX])
{
    sqlite3_stmt *stmt;
    size_t used = 0;
    assert_int_equal(sqlite3_prepare_v2(db, query, -1, &stmt, NULL), SQLITE_OK);
    out[0] = '\0';
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        used += (size_t)snprintf(out + used, ROWS_MAX - used, "%s\n",
                                 (const char *)sqlite3_column_text(stmt, 0));
        assert_true(used < ROWS_MAX);
    }
    sqlite3_finalize(stmt);
}

/* Secrets are not in it: they are sealed, perhaps, and read through the store. */
static void take_snapshot(struct snapshot *out)
{
    sqlite3 *db = open_database();
    sqlite3_stmt *tables;
    assert_int_equal(
        sqlite3_prepare_v2(
            db,
            "SELECT 'SELECT ''' || t.name || ': '' || ' ||"
            " group_concat('quote(' || c.name || ')', ' || '', '' || ') ||"
            " ' FROM ' || t.name || ' ORDER BY 1'"
            " FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'"
            " AND t.name NOT IN ('tunnel_secrets', 'peer_secrets', 'vault') GROUP BY t.name",
            -1, &tables, NULL),
        SQLITE_OK);
    for (out->count = 0; sqlite3_step(tables) == SQLITE_ROW; out->count++) {
        assert_true(out->count < TABLES_MAX);
        char *query = out->queries[out->count];
        const char *text = (const char *)sqlite3_column_text(tables, 0);
        assert_true(snprintf(query, QUERY_MAX, "%s", text) < QUERY_MAX);
        read_rows(db, query, out->rows[out->count]);
        if (out->rows[out->count][0] == '\0')
            fail_msg("no row is put into the table: %s", query);
    }
    sqlite3_finalize(tables);
    sqlite3_close(db);
    assert_true(out->count > 0);
}

static void assert_rows_are_there(const struct snapshot *before)
{
    static char rows[ROWS_MAX];
    sqlite3 *db = open_database();
    for (size_t i = 0; i < before->count; i++) {
        read_rows(db, before->queries[i], rows);
        assert_string_equal(rows, before->rows[i]);
    }
    read_rows(db, "PRAGMA foreign_key_check", rows);
    assert_string_equal(rows, "");
    read_rows(db, "PRAGMA user_version", rows);
    assert_int_equal(atoi(rows), store_migrations.count);
    sqlite3_close(db);
}

static void assert_definitions_are_read(int schema)
{
    const enum spec_source source = schema < SCHEMA_SOURCES ? SPEC_SOURCE_API : SPEC_SOURCE_FILE;
    struct seen seen = {0};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), 0);
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), 0);
    assert_string_equal(seen.names, "home web ");
    const struct spec_tunnel *tunnel = &seen.tunnel.spec;
    assert_memory_equal(tunnel->private_key, private_key, SPEC_KEY_LEN);
    assert_int_equal(tunnel->peers_count, 1);
    assert_true(tunnel->peers[0].has_preshared_key);
    assert_memory_equal(tunnel->peers[0].preshared_key, preshared_key, SPEC_KEY_LEN);
    assert_int_equal(seen.tunnel.generation, 3);
    assert_int_equal(seen.tunnel.source, source);
    assert_int_equal(seen.forward.generation, 4);
    assert_int_equal(seen.forward.bound_port, 40001);
    assert_int_equal(seen.forward.source, source);
    spec_tunnel_fini(&seen.tunnel.spec);
}

/* Today's schema, too: the next one finds its rows here. */
static void test_rows_of_every_schema(void **state)
{
    (void)state;
    static struct snapshot before;
    for (int schema = 1; schema <= store_migrations.count; schema++) {
        store_close(store);
        store = NULL;
        make_database(schema);
        take_snapshot(&before);
        open_store();
        assert_rows_are_there(&before);
        assert_definitions_are_read(schema);
    }
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_rows_of_every_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
