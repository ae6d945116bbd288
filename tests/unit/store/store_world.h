/*
 * store_world: a store in a folder of its own, what puts definitions into it and reads them back,
 * and another program's hand in its database. Include it in one file.
 */
#ifndef MANYTUN_TESTS_STORE_WORLD_H
#define MANYTUN_TESTS_STORE_WORLD_H

#include "store/store.h"

#include "base/log.h"
#include "tests/support/folder.h"

#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define store_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static char directory[64];
static struct store *store;

static inline void open_store(void)
{
    char error[256] = "";
    if (store_open(directory, &store, error) < 0)
        fail_msg("%s", error);
}

static inline void reopen_store(void)
{
    store_close(store);
    open_store();
}

static inline int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/store-test-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    open_store();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    return folder_remove(directory);
}

static inline const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static inline mode_t mode_of(const char *name)
{
    struct stat st;
    if (stat(path_of(name), &st) < 0)
        fail_msg("%s: %s", name, strerror(errno));
    return st.st_mode & 0777;
}

/* Another program's hand in the database. */
static inline void run_sql(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

static inline int count_rows(const char *table)
{
    sqlite3 *db;
    sqlite3_stmt *stmt;
    char sql[64];
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int count = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return count;
}

/* --- Definitions ------------------------------------------------------------------------------ */

/* A tunnel with two peers, the first of which has a preshared key. The caller frees the spec. */
static inline struct store_tunnel make_tunnel(const char *name)
{
    struct store_tunnel tunnel = {
        .spec = {.mtu = 1400, .addresses_count = 1, .listen_port = 51820, .peers_count = 2},
        .generation = 3,
        .created_at = {.tv_sec = 1700000000, .tv_nsec = 123456789},
    };
    struct spec_tunnel *spec = &tunnel.spec;
    snprintf(spec->name, sizeof(spec->name), "%s", name);
    memset(spec->private_key, 0xa1, SPEC_KEY_LEN);
    inet_prefix_parse("10.9.0.2/24", &spec->addresses[0]);
    spec->peers = calloc(2, sizeof(*spec->peers));
    assert_non_null(spec->peers);
    strcpy(spec->peers[0].name, "gw");
    memset(spec->peers[0].public_key, 0xb2, SPEC_KEY_LEN);
    spec->peers[0].has_preshared_key = true;
    memset(spec->peers[0].preshared_key, 0xc3, SPEC_KEY_LEN);
    strcpy(spec->peers[0].endpoint_host, "vpn.example.org");
    spec->peers[0].endpoint_port = 51820;
    strcpy(spec->peers[1].name, "other");
    memset(spec->peers[1].public_key, 0xd4, SPEC_KEY_LEN);
    return tunnel;
}

static inline struct store_forward make_forward(const char *name, const char *tunnel)
{
    struct store_forward forward = {
        .spec = {.listen_address = {.family = AF_INET, .bytes = {127, 0, 0, 1}},
                 .target_address = {.family = AF_INET, .bytes = {10, 0, 0, 1}},
                 .target_port = 80,
                 .enabled = true,
                 .connect_timeout_seconds = 10},
        .generation = 1,
        .created_at = {.tv_sec = 1700000001},
        .bound_port = 40001,
    };
    snprintf(forward.spec.name, sizeof(forward.spec.name), "%s", name);
    snprintf(forward.spec.tunnel, sizeof(forward.spec.tunnel), "%s", tunnel);
    return forward;
}

static inline void insert_tunnel(const char *name)
{
    struct store_tunnel tunnel = make_tunnel(name);
    int rc = store_insert_tunnel(store, &tunnel);
    spec_tunnel_fini(&tunnel.spec);
    if (rc < 0)
        fail_msg("%s", store_error(store));
}

static inline void insert_forward(const char *name, const char *tunnel)
{
    struct store_forward forward = make_forward(name, tunnel);
    assert_int_equal(store_insert_forward(store, &forward), 0);
}

struct seen {
    char names[256]; /* "a b " */
    struct store_tunnel tunnel;
    struct store_forward forward;
    int stop; /* what each() returns */
};

static inline void add_name(struct seen *seen, const char *name)
{
    size_t used = strlen(seen->names);
    snprintf(seen->names + used, sizeof(seen->names) - used, "%s ", name);
}

static inline int see_tunnel(void *ctx, struct store_tunnel *tunnel)
{
    struct seen *seen = ctx;
    add_name(seen, tunnel->spec.name);
    spec_tunnel_fini(&seen->tunnel.spec);
    seen->tunnel = *tunnel;
    memset(&tunnel->spec, 0, sizeof(tunnel->spec)); /* moved out */
    return seen->stop;
}

static inline int see_forward(void *ctx, struct store_forward *forward)
{
    struct seen *seen = ctx;
    add_name(seen, forward->spec.name);
    seen->forward = *forward;
    return seen->stop;
}

static inline void assert_tunnels(const char *names)
{
    struct seen seen = {0};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), 0);
    spec_tunnel_fini(&seen.tunnel.spec);
    assert_string_equal(seen.names, names);
}

static inline void assert_forwards(const char *names)
{
    struct seen seen = {0};
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), 0);
    assert_string_equal(seen.names, names);
}

#endif
