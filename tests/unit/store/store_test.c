#include "store/store.h"

#include "engine/log.h"
#include "store/lock.h"
#include "store/migrations.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static struct store *store;

/* --- Fixture ---------------------------------------------------------------------------------- */

static void open_store(void)
{
    char error[256] = "";
    if (store_open(directory, &store, error) < 0)
        fail_msg("%s", error);
}

static void reopen_store(void)
{
    store_close(store);
    open_store();
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/store-test-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    open_store();
    return 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    return nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

/* Another program's hand in the database. */
static void run_sql(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

static int count_rows(const char *table)
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

/* A tunnel with two peers, the first of which has a preshared key. The caller frees the spec. */
static struct store_tunnel make_tunnel(const char *name)
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

static struct store_forward make_forward(const char *name, const char *tunnel)
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

static void insert_tunnel(const char *name)
{
    struct store_tunnel tunnel = make_tunnel(name);
    int rc = store_insert_tunnel(store, &tunnel);
    spec_tunnel_fini(&tunnel.spec);
    if (rc < 0)
        fail_msg("%s", store_error(store));
}

static void insert_forward(const char *name, const char *tunnel)
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

static void add_name(struct seen *seen, const char *name)
{
    size_t used = strlen(seen->names);
    snprintf(seen->names + used, sizeof(seen->names) - used, "%s ", name);
}

static int see_tunnel(void *ctx, struct store_tunnel *tunnel)
{
    struct seen *seen = ctx;
    add_name(seen, tunnel->spec.name);
    spec_tunnel_fini(&seen->tunnel.spec);
    seen->tunnel = *tunnel;
    memset(&tunnel->spec, 0, sizeof(tunnel->spec)); /* moved out */
    return seen->stop;
}

static int see_forward(void *ctx, struct store_forward *forward)
{
    struct seen *seen = ctx;
    add_name(seen, forward->spec.name);
    seen->forward = *forward;
    return seen->stop;
}

static void assert_tunnels(const char *names)
{
    struct seen seen = {0};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), 0);
    spec_tunnel_fini(&seen.tunnel.spec);
    assert_string_equal(seen.names, names);
}

static void assert_forwards(const char *names)
{
    struct seen seen = {0};
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), 0);
    assert_string_equal(seen.names, names);
}

/* --- Round trips ------------------------------------------------------------------------------ */

static void test_tunnel_round_trip(void **state)
{
    (void)state;
    insert_tunnel("home");
    reopen_store();
    struct seen seen = {0};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), 0);
    struct store_tunnel wanted = make_tunnel("home");
    assert_int_equal(seen.tunnel.generation, wanted.generation);
    assert_int_equal(seen.tunnel.created_at.tv_sec, wanted.created_at.tv_sec);
    assert_int_equal(seen.tunnel.created_at.tv_nsec, wanted.created_at.tv_nsec);
    cJSON *left = spec_tunnel_to_json(&seen.tunnel.spec, SPEC_COMPLETE);
    cJSON *right = spec_tunnel_to_json(&wanted.spec, SPEC_COMPLETE);
    char *left_text = cJSON_PrintUnformatted(left);
    char *right_text = cJSON_PrintUnformatted(right);
    assert_string_equal(left_text, right_text);
    free(left_text);
    free(right_text);
    cJSON_Delete(left);
    cJSON_Delete(right);
    spec_tunnel_fini(&seen.tunnel.spec);
    spec_tunnel_fini(&wanted.spec);
}

/* Reading must not be quadratic in the peers. */
static void test_many_preshared_keys(void **state)
{
    (void)state;
    enum { PEERS = SPEC_PEERS_MAX };
    struct store_tunnel tunnel = make_tunnel("home");
    free(tunnel.spec.peers);
    tunnel.spec.peers_count = PEERS;
    tunnel.spec.peers = calloc(PEERS, sizeof(*tunnel.spec.peers));
    assert_non_null(tunnel.spec.peers);
    for (int i = 0; i < PEERS; i++) {
        struct spec_peer *peer = &tunnel.spec.peers[i];
        snprintf(peer->name, sizeof(peer->name), "p%d", i);
        memcpy(peer->public_key, &i, sizeof(i));
        peer->has_preshared_key = true;
        memcpy(peer->preshared_key, &i, sizeof(i));
    }
    assert_int_equal(store_insert_tunnel(store, &tunnel), 0);
    spec_tunnel_fini(&tunnel.spec);
    struct seen seen = {0};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), 0);
    assert_int_equal(seen.tunnel.spec.peers_count, PEERS);
    int last;
    memcpy(&last, seen.tunnel.spec.peers[PEERS - 1].preshared_key, sizeof(last));
    assert_int_equal(last, PEERS - 1);
    spec_tunnel_fini(&seen.tunnel.spec);
}

static void test_forward_round_trip(void **state)
{
    (void)state;
    insert_tunnel("home");
    insert_forward("web", "home");
    assert_int_equal(store_set_bound_port(store, "web", 40002), 0);
    assert_int_equal(store_set_bound_port(store, "none", 40002), -ENOENT);
    reopen_store();
    struct seen seen = {0};
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), 0);
    struct store_forward wanted = make_forward("web", "home");
    assert_memory_equal(&seen.forward.spec, &wanted.spec, sizeof(wanted.spec));
    assert_int_equal(seen.forward.bound_port, 40002);
    assert_int_equal(seen.forward.generation, 1);
    assert_int_equal(seen.forward.created_at.tv_sec, 1700000001);
}

static void test_sources(void **state)
{
    (void)state;
    struct store_tunnel tunnel = make_tunnel("home");
    tunnel.source = SPEC_SOURCE_FILE;
    assert_int_equal(store_insert_tunnel(store, &tunnel), 0);
    tunnel.source = SPEC_SOURCE_API; /* an update leaves it as it is */
    assert_int_equal(store_update_tunnel(store, &tunnel), 0);
    spec_tunnel_fini(&tunnel.spec);
    struct store_forward forward = make_forward("web", "home");
    forward.source = SPEC_SOURCE_FILE;
    assert_int_equal(store_insert_forward(store, &forward), 0);
    insert_forward("xmpp", "home");
    reopen_store();
    struct seen seen = {0};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), 0);
    assert_int_equal(seen.tunnel.source, SPEC_SOURCE_FILE);
    spec_tunnel_fini(&seen.tunnel.spec);
    seen.stop = -ECANCELED;
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), -ECANCELED);
    assert_int_equal(seen.forward.source, SPEC_SOURCE_FILE);
    seen.stop = 0;
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), 0);
    assert_int_equal(seen.forward.source, SPEC_SOURCE_API);
    run_sql("UPDATE forwards SET source = 2 WHERE name = 'web'"); /* that of a later version */
    assert_forwards("xmpp ");
}

static uint64_t generation(void)
{
    uint64_t value;
    assert_int_equal(store_definitions_generation(store, &value), 0);
    return value;
}

/* Grows with every change of a definition, and with nothing else. */
static void test_generation_of_all_definitions(void **state)
{
    (void)state;
    uint64_t last = generation();
    assert_true(last > 0);
    insert_tunnel("home");
    assert_true(generation() > last);
    last = generation();
    insert_forward("web", "home");
    assert_true(generation() > last);
    last = generation();
    assert_int_equal(store_set_bound_port(store, "web", 40002), 0);
    reopen_store();
    assert_int_equal(generation(), last);
    struct store_forward forward = make_forward("web", "home");
    assert_int_equal(store_update_forward(store, &forward), 0);
    assert_true(generation() > last);
    last = generation();
    assert_int_equal(store_begin(store), 0);
    insert_tunnel("work");
    assert_int_equal(store_end(store, -ECANCELED), -ECANCELED);
    assert_int_equal(generation(), last);
    assert_int_equal(store_delete_forward(store, "web"), 0);
    assert_true(generation() > last);
    last = generation();
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_true(generation() > last);
}

static void test_order_and_stop(void **state)
{
    (void)state;
    insert_tunnel("c");
    insert_tunnel("a");
    insert_tunnel("b");
    assert_tunnels("a b c ");
    struct seen seen = {.stop = -ECANCELED};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), -ECANCELED);
    assert_string_equal(seen.names, "a ");
    spec_tunnel_fini(&seen.tunnel.spec);
}

static void test_names_are_unique(void **state)
{
    (void)state;
    insert_tunnel("home");
    struct store_tunnel tunnel = make_tunnel("home");
    assert_int_equal(store_insert_tunnel(store, &tunnel), -EEXIST);
    spec_tunnel_fini(&tunnel.spec);
    insert_forward("web", "home");
    struct store_forward forward = make_forward("web", "home");
    assert_int_equal(store_insert_forward(store, &forward), -EEXIST);
    insert_tunnel("work"); /* no transaction was left open */
}

/* An inner part that fails is undone alone; the outer one decides about all of it. */
static void test_transactions_nest(void **state)
{
    (void)state;
    assert_int_equal(store_begin(store), 0);
    insert_tunnel("a");
    struct store_tunnel again = make_tunnel("a");
    assert_int_equal(store_insert_tunnel(store, &again), -EEXIST);
    spec_tunnel_fini(&again.spec);
    insert_tunnel("b");
    assert_int_equal(store_end(store, 0), 0);
    assert_tunnels("a b ");
    assert_int_equal(store_begin(store), 0);
    insert_tunnel("c");
    assert_int_equal(store_end(store, -ECANCELED), -ECANCELED);
    assert_tunnels("a b ");
    insert_tunnel("d");
    assert_tunnels("a b d ");
}

static void test_forward_needs_its_tunnel(void **state)
{
    (void)state;
    struct store_forward forward = make_forward("web", "none");
    assert_int_equal(store_insert_forward(store, &forward), -EIO);
    assert_true(strlen(store_error(store)) > 0);
}

/* --- Totals ----------------------------------------------------------------------------------- */

static struct {
    struct store_tunnel_totals tunnel;
    struct store_forward_totals forward;
    struct store_peer_totals peer;
    uint8_t public_key[SPEC_KEY_LEN];
    size_t count;
} loaded;

static void see_tunnel_totals(void *ctx, const struct store_tunnel_totals *totals)
{
    (void)ctx;
    loaded.tunnel = *totals;
    loaded.count++;
}

static void see_forward_totals(void *ctx, const struct store_forward_totals *totals)
{
    (void)ctx;
    loaded.forward = *totals;
    loaded.count++;
}

static void see_peer_totals(void *ctx, const struct store_peer_totals *totals)
{
    (void)ctx;
    loaded.peer = *totals;
    memcpy(loaded.public_key, totals->public_key, SPEC_KEY_LEN);
    loaded.count++;
}

static void load_totals(void)
{
    memset(&loaded, 0, sizeof(loaded));
    assert_int_equal(store_load_tunnel_totals(store, see_tunnel_totals, NULL), 0);
    assert_int_equal(store_load_forward_totals(store, see_forward_totals, NULL), 0);
    assert_int_equal(store_load_peer_totals(store, see_peer_totals, NULL), 0);
}

static void test_totals(void **state)
{
    (void)state;
    struct store_tunnel home = make_tunnel("home");
    const struct store_forward web = make_forward("web", "home");
    assert_int_equal(store_insert_tunnel(store, &home), 0);
    assert_int_equal(store_insert_forward(store, &web), 0);
    load_totals();
    assert_int_equal(loaded.count, 0);

    struct store_tunnel_totals tunnel = {"home", 1, 2, 3};
    struct store_forward_totals forwards[] = {{"web", 4, 5, 6, INT64_MAX}, {"gone", 1, 1, 1, 1}};
    assert_int_equal(store_save_tunnel_totals(store, &tunnel, 1), 0);
    assert_int_equal(store_save_forward_totals(store, forwards, 1), 0);
    tunnel.rx_bytes = 10;
    assert_int_equal(store_save_tunnel_totals(store, &tunnel, 1), 0);
    static const uint8_t keys[2][SPEC_KEY_LEN] = {"one", "two"};
    const struct store_peer_totals peers[] = {{"home", keys[0], 7, 8, 9},
                                              {"home", keys[1], 1, 1, 1}};
    assert_int_equal(store_save_peer_totals(store, peers, 2), 0);
    assert_int_equal(store_delete_peer_totals(store, "home", keys[1]), 0);
    assert_int_equal(store_delete_peer_totals(store, "home", keys[1]), 0);
    /* All or none: there is no forward of the second name. */
    forwards[0].connections = 99;
    assert_true(store_save_forward_totals(store, forwards, 2) < 0);
    reopen_store();
    load_totals();
    assert_int_equal(loaded.count, 3);
    assert_memory_equal(loaded.public_key, keys[0], SPEC_KEY_LEN);
    assert_int_equal(loaded.peer.rx_bytes, 7);
    assert_int_equal(loaded.peer.tx_bytes, 8);
    assert_int_equal(loaded.peer.handshakes, 9);
    assert_int_equal(loaded.tunnel.rx_bytes, 10);
    assert_int_equal(loaded.tunnel.tx_bytes, 2);
    assert_int_equal(loaded.tunnel.handshakes, 3);
    assert_int_equal(loaded.forward.connections, 4);
    assert_int_equal(loaded.forward.connect_failures, 5);
    assert_int_equal(loaded.forward.bytes_in, 6);
    assert_int_equal(loaded.forward.bytes_out, INT64_MAX);

    /* A change of the object leaves them, its deletion does not. */
    assert_int_equal(store_update_forward(store, &web), 0);
    load_totals();
    assert_int_equal(loaded.count, 3);
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    load_totals();
    assert_int_equal(loaded.count, 0);
    spec_tunnel_fini(&home.spec);
}

static void check_timestamps(const char *tunnel, uint64_t after_ns, uint64_t until_ns)
{
    struct store_timestamps row = {0};
    assert_int_equal(store_find_timestamps(store, tunnel, &row), 0);
    assert_int_equal(row.after_ns, after_ns);
    assert_int_equal(row.until_ns, until_ns);
}

static void test_timestamps(void **state)
{
    (void)state;
    struct store_tunnel home = make_tunnel("home");
    struct store_tunnel other = make_tunnel("other");
    struct store_timestamps row = {"home", 0, 1000};
    assert_int_equal(store_insert_tunnel(store, &home), 0);
    assert_int_equal(store_insert_tunnel(store, &other), 0);
    assert_int_equal(store_find_timestamps(store, "home", &row), -ENOENT);
    assert_int_equal(store_save_timestamps(store, &row, 1), 0);
    row.until_ns = 900; /* never back */
    assert_int_equal(store_save_timestamps(store, &row, 1), 0);
    reopen_store();
    check_timestamps("home", 0, 1000);

    /* A start: one that is new to the table begins with it; the clock may have been set back. */
    assert_int_equal(store_renew_timestamps(store, 5000, 10), 0);
    check_timestamps("home", 1000, 5000);
    check_timestamps("other", 0, 5000);
    assert_int_equal(store_renew_timestamps(store, 2000, 10), 0);
    check_timestamps("home", 5000, 5010);
    row.until_ns = UINT64_MAX; /* what cannot be stored is the most that can */
    assert_int_equal(store_save_timestamps(store, &row, 1), 0);
    check_timestamps("home", 5000, INT64_MAX);
    run_sql("UPDATE tunnel_timestamps SET sent_until = -5, may_reach = 'x' WHERE tunnel = 'other'");
    check_timestamps("other", 0, 0);

    /* The part of a transaction, all or none, and gone with the tunnel. */
    const struct store_timestamps rows[] = {{"other", 0, 77}, {"gone", 0, 1}};
    assert_true(store_save_timestamps(store, rows, 2) < 0);
    check_timestamps("other", 0, 0);
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_int_equal(store_find_timestamps(store, "home", &row), -ENOENT);
    spec_tunnel_fini(&home.spec);
    spec_tunnel_fini(&other.spec);
}

/* Everything changes but the name and the time of creation. */
static void test_tunnel_update(void **state)
{
    (void)state;
    insert_tunnel("home");
    insert_tunnel("work");
    struct store_tunnel wanted = make_tunnel("home");
    wanted.generation = 4;
    wanted.created_at = (struct timespec){0};
    wanted.spec.mtu = 1300;
    memset(wanted.spec.private_key, 0xe5, SPEC_KEY_LEN);
    wanted.spec.peers[0].has_preshared_key = false;
    memset(wanted.spec.peers[0].preshared_key, 0, SPEC_KEY_LEN);
    for (int i = 0; i < 2; i++) {
        char name[8];
        snprintf(name, sizeof(name), "new-%d", i);
        strcpy(wanted.spec.peers[1].name, name);
        wanted.spec.peers[1].has_preshared_key = true;
        memset(wanted.spec.peers[1].preshared_key, 0xf0 + i, SPEC_KEY_LEN);
        assert_int_equal(store_update_tunnel(store, &wanted), 0);
    }
    reopen_store();
    struct seen seen = {.stop = -ECANCELED};
    assert_int_equal(store_load_tunnels(store, see_tunnel, NULL, &seen), -ECANCELED);
    assert_int_equal(seen.tunnel.generation, 4);
    assert_int_equal(seen.tunnel.created_at.tv_sec, 1700000000);
    assert_int_equal(seen.tunnel.spec.mtu, 1300);
    assert_memory_equal(seen.tunnel.spec.private_key, wanted.spec.private_key, SPEC_KEY_LEN);
    assert_false(seen.tunnel.spec.peers[0].has_preshared_key);
    assert_memory_equal(seen.tunnel.spec.peers[1].preshared_key, wanted.spec.peers[1].preshared_key,
                        SPEC_KEY_LEN);
    assert_int_equal(count_rows("tunnel_secrets"), 2);
    assert_int_equal(count_rows("peer_secrets"), 2);
    strcpy(wanted.spec.name, "none");
    assert_int_equal(store_update_tunnel(store, &wanted), -ENOENT);
    spec_tunnel_fini(&seen.tunnel.spec);
    spec_tunnel_fini(&wanted.spec);
    assert_tunnels("home work ");
}

static void test_forward_update(void **state)
{
    (void)state;
    insert_tunnel("home");
    insert_tunnel("work");
    insert_forward("web", "home");
    struct store_forward wanted = make_forward("web", "work");
    wanted.generation = 2;
    wanted.bound_port = 40003;
    wanted.spec.target_port = 81;
    assert_int_equal(store_update_forward(store, &wanted), 0);
    reopen_store();
    struct seen seen = {0};
    assert_int_equal(store_load_forwards(store, see_forward, NULL, &seen), 0);
    assert_memory_equal(&seen.forward.spec, &wanted.spec, sizeof(wanted.spec));
    assert_int_equal(seen.forward.generation, 2);
    assert_int_equal(seen.forward.bound_port, 40003);
    wanted = make_forward("web", "none");
    assert_int_equal(store_update_forward(store, &wanted), -EIO);
    wanted = make_forward("none", "home");
    assert_int_equal(store_update_forward(store, &wanted), -ENOENT);
    /* It belongs to its new tunnel. */
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_forwards("web ");
}

static void test_deletion(void **state)
{
    (void)state;
    insert_tunnel("home");
    insert_tunnel("work");
    insert_forward("a", "home");
    insert_forward("b", "work");
    insert_forward("c", "home");
    assert_int_equal(store_delete_forward(store, "c"), 0);
    assert_int_equal(store_delete_forward(store, "c"), -ENOENT);
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_int_equal(store_delete_tunnel(store, "home"), -ENOENT);
    assert_tunnels("work ");
    assert_forwards("b ");
    assert_int_equal(count_rows("tunnel_secrets"), 1);
    assert_int_equal(count_rows("peer_secrets"), 1);
}

static int see_token(void *ctx, const struct store_token *token)
{
    char *text = ctx;
    sprintf(text + strlen(text), "%s %d %lld %02x ", token->name, (int)token->role,
            (long long)token->expires_at.tv_sec, token->hash[31]);
    return 0;
}

static void test_tokens(void **state)
{
    (void)state;
    struct store_token a = {.name = "a", .role = STORE_ROLE_ADMIN, .hash = {[31] = 0x5a}};
    struct store_token b = {.name = "b", .role = STORE_ROLE_READ, .expires_at = {.tv_sec = 9}};
    size_t count = 7;
    assert_int_equal(store_count_tokens(store, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(store_insert_token(store, &b), 0);
    assert_int_equal(store_insert_token(store, &a), 0);
    assert_int_equal(store_insert_token(store, &a), -EEXIST);
    run_sql("INSERT INTO tokens VALUES ('c', 9, zeroblob(32), 0, 0), ('d', 2, zeroblob(31), 0, 0),"
            " ('D', 2, zeroblob(32), 0, 0)");
    char text[128] = "";
    assert_int_equal(store_load_tokens(store, see_token, text), 0);
    assert_string_equal(text, "a 2 0 5a b 1 9 00 ");
    assert_int_equal(store_delete_token(store, "a"), 0);
    assert_int_equal(store_delete_token(store, "a"), -ENOENT);
    text[0] = '\0';
    assert_int_equal(store_load_tokens(store, see_token, text), 0);
    assert_string_equal(text, "b 1 9 00 ");
}

/* --- Secrets and files ------------------------------------------------------------------------ */

static void test_definitions_hold_no_secrets(void **state)
{
    (void)state;
    insert_tunnel("home");
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_open(path_of("manytun.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT definition FROM tunnels", -1, &stmt, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    const char *definition = (const char *)sqlite3_column_text(stmt, 0);
    assert_null(strstr(definition, "private"));
    assert_null(strstr(definition, "preshared"));
    assert_null(strstr(definition, "oaGhoaGh"));
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

static mode_t mode_of(const char *name)
{
    struct stat st;
    if (stat(path_of(name), &st) < 0)
        fail_msg("%s: %s", name, strerror(errno));
    return st.st_mode & 0777;
}

static void test_files_are_private(void **state)
{
    (void)state;
    insert_tunnel("home");
    assert_int_equal(mode_of("manytun.db"), 0600);
    assert_int_equal(mode_of("manytun.db-wal"), 0600);
    assert_int_equal(mode_of("manytun.db-shm"), 0600);
    assert_int_equal(mode_of("lock"), 0600);

    char nested[128];
    snprintf(nested, sizeof(nested), "%s/nested", directory);
    struct store *other;
    char error[256];
    mode_t mask = umask(0);
    assert_int_equal(store_open(nested, &other, error), 0);
    umask(mask);
    assert_int_equal(mode_of("nested"), 0700);
    assert_int_equal(mode_of("nested/manytun.db"), 0600);
    store_close(other);
}

static bool file_contains(const char *name, uint8_t byte, size_t run)
{
    FILE *file = fopen(path_of(name), "r");
    if (file == NULL)
        return false;
    size_t length = 0;
    int c;
    while (length < run && (c = fgetc(file)) != EOF)
        length = c == byte ? length + 1 : 0;
    fclose(file);
    return length == run;
}

static void test_keys_are_nowhere_in_the_clear(void **state)
{
    (void)state;
    insert_tunnel("home");
    for (int i = 0; i < 2; i++) {
        assert_false(file_contains("manytun.db", 0xa1, SPEC_KEY_LEN));
        assert_false(file_contains("manytun.db", 0xc3, SPEC_KEY_LEN));
        assert_false(file_contains("manytun.db-wal", 0xa1, SPEC_KEY_LEN));
        assert_false(file_contains("manytun.db-wal", 0xc3, SPEC_KEY_LEN));
        reopen_store(); /* the log is merged into the file */
    }
}

static void test_second_instance_is_refused(void **state)
{
    (void)state;
    struct store *second = NULL;
    char error[256] = "";
    assert_int_equal(store_open(directory, &second, error), -EBUSY);
    assert_null(second);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(error, pid));
}

static void test_unusable_directories(void **state)
{
    (void)state;
    struct store *other;
    char error[256] = "";
    assert_int_equal(store_open("/nonexistent/data", &other, error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/data"));
    assert_int_equal(store_open(path_of("manytun.db"), &other, error), -ENOTDIR);
}

/* --- Rows that cannot be read ----------------------------------------------------------------- */

static void test_unreadable_tunnels_are_passed_over(void **state)
{
    (void)state;
    static const char *const damages[] = {
        "UPDATE tunnels SET definition = '{' WHERE name = 'b'",
        "UPDATE tunnels SET definition = '[]' WHERE name = 'b'",
        "UPDATE tunnels SET definition = '{\"name\":\"b\"}' WHERE name = 'b'",
        "UPDATE tunnels SET definition = x'00ff' WHERE name = 'b'",
        "UPDATE tunnels SET definition = replace(definition, '\"b\"', '\"x\"') WHERE name = 'b'",
        "UPDATE tunnels SET definition = replace(definition, '\"gw\"', '\"wg\"') WHERE name = 'b'",
        "UPDATE tunnels SET definition = replace(definition, '1400', '7') WHERE name = 'b'",
        "UPDATE tunnel_secrets SET private_key = x'00' WHERE tunnel = 'b'",
        "DELETE FROM tunnel_secrets WHERE tunnel = 'b'",
        "UPDATE peer_secrets SET preshared_key = 'text' WHERE tunnel = 'b'",
    };
    insert_tunnel("a");
    insert_tunnel("c");
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        insert_tunnel("b");
        assert_tunnels("a b c ");
        run_sql(damages[i]);
        assert_tunnels("a c ");
        assert_int_equal(count_rows("tunnels"), 3);
        assert_int_equal(store_delete_tunnel(store, "b"), 0);
    }
}

static void test_unreadable_forwards_are_passed_over(void **state)
{
    (void)state;
    static const char *const damages[] = {
        "UPDATE forwards SET definition = 'x' WHERE name = 'b'",
        "UPDATE forwards SET definition = replace(definition, '\"b\"', '\"x\"') WHERE name = 'b'",
        "UPDATE forwards SET definition = replace(definition, 'tcp', 'sctp') WHERE name = 'b'",
        "UPDATE forwards SET bound_port = 70000 WHERE name = 'b'",
        "UPDATE forwards SET bound_port = -1 WHERE name = 'b'",
    };
    insert_tunnel("home");
    insert_forward("a", "home");
    insert_forward("c", "home");
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        insert_forward("b", "home");
        run_sql(damages[i]);
        assert_forwards("a c ");
        assert_int_equal(count_rows("forwards"), 3);
        assert_int_equal(store_delete_forward(store, "b"), 0);
    }
}

static void test_file_that_is_no_database(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    FILE *file = fopen(path_of("manytun.db"), "w");
    for (int i = 0; i < 1000; i++)
        fputs("not a database ", file);
    fclose(file);
    char error[256] = "";
    assert_true(store_open(directory, &store, error) < 0);
    assert_non_null(strstr(error, "manytun.db"));
}

/* Wherever the damage is, and whether or not what is read at the start is there. */
static void test_damage_is_found_at_the_start(void **state)
{
    (void)state;
    enum { PAGE = 4096, PAGES = 16 };
    static uint8_t damage[PAGE];
    memset(damage, 0xa5, sizeof(damage));
    insert_tunnel("home");
    insert_forward("web", "home");
    store_close(store);
    store = NULL;
    FILE *file = fopen(path_of("manytun.db"), "r+");
    assert_non_null(file);
    for (long page = 1; page < PAGES; page++) {
        uint8_t saved[PAGE];
        assert_int_equal(fseek(file, page * PAGE, SEEK_SET), 0);
        if (fread(saved, sizeof(saved), 1, file) != 1)
            break; /* the file has fewer */
        fseek(file, page * PAGE, SEEK_SET);
        fwrite(damage, sizeof(damage), 1, file);
        fflush(file);
        char error[256] = "";
        assert_int_equal(store_open(directory, &store, error), -EIO);
        assert_null(store);
        assert_non_null(strstr(error, "manytun.db: database disk image is malformed"));
        assert_non_null(strstr(error, "restore a backup"));
        assert_null(strchr(error, '\n'));
        fseek(file, page * PAGE, SEEK_SET);
        fwrite(saved, sizeof(saved), 1, file);
        fflush(file);
    }
    fclose(file);
    open_store();
    assert_tunnels("home ");
}

/* A cascade counts as well, and nothing ever counts down. */
static void test_deleted_generation(void **state)
{
    (void)state;
    uint64_t generation = UINT64_MAX;
    assert_int_equal(store_deleted_generation(store, &generation), 0);
    assert_int_equal(generation, 0);
    insert_tunnel("home");
    insert_forward("web", "home");
    run_sql("UPDATE forwards SET generation = 7");
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_int_equal(store_deleted_generation(store, &generation), 0);
    assert_int_equal(generation, 7);
    insert_tunnel("home");
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_int_equal(store_deleted_generation(store, &generation), 0);
    assert_int_equal(generation, 7);
}

/* What a killed process was about to start may hold the lock a moment longer. */
static void test_lock_is_waited_for(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    pid_t holder = 0;
    int fd = store_lock(directory, &holder);
    assert_true(fd >= 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(100000);
        _exit(0);
    }
    close(fd); /* the child has the lock now */
    open_store();
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* --- Durability ------------------------------------------------------------------------------- */

/* The child tells the name of every row after its insertion returned, until it is killed. */
static void insert_until_killed(int out)
{
    char error[256];
    if (store_open(directory, &store, error) < 0)
        _exit(1);
    for (int i = 0;; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%06d", i % 1000000);
        struct store_tunnel tunnel = make_tunnel(name);
        if (store_insert_tunnel(store, &tunnel) < 0 || write(out, &i, sizeof(i)) != sizeof(i))
            _exit(1);
        spec_tunnel_fini(&tunnel.spec);
    }
}

static void test_what_was_told_survives_sigkill(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        insert_until_killed(ends[1]);
    close(ends[1]);
    int last = -1;
    int number;
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
        last = number;
        if (number == 40)
            kill(child, SIGKILL);
    }
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_true(last >= 40);
    open_store(); /* the lock went with the process */
    int rows = count_rows("tunnels");
    assert_true(rows == last + 1 || rows == last + 2);
    assert_int_equal(count_rows("tunnel_secrets"), rows);
}

/* --- Migrations ------------------------------------------------------------------------------- */

static void test_newer_schema_is_refused(void **state)
{
    (void)state;
    store_close(store);
    store = NULL;
    run_sql("PRAGMA user_version = 1000");
    char error[256] = "";
    assert_int_equal(store_open(directory, &store, error), -EPROTO);
    assert_non_null(strstr(error, "newer version"));
    assert_non_null(strstr(error, "1000"));
    char sql[64];
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", store_migrations.count);
    run_sql(sql);
    open_store();
}

/* Migrates from the present schema to one with this step more. */
static int migrate(const char *sql)
{
    const char *history[64];
    assert_true(store_migrations.count < 64);
    for (int i = 0; i < store_migrations.count; i++)
        history[i] = store_migrations.sql[i];
    history[store_migrations.count] = sql;
    const struct store_migrations migrations = {.sql = history,
                                                .count = store_migrations.count + 1};
    return store_migrate(store, path_of("manytun.db"), &migrations);
}

static void test_migration_with_backup(void **state)
{
    (void)state;
    insert_tunnel("home");
    const char sql[] = "ALTER TABLE tunnels ADD COLUMN note TEXT";
    char backup[64];
    snprintf(backup, sizeof(backup), "manytun.db.v%d.backup", store_migrations.count);
    assert_int_equal(migrate(sql), 0);
    assert_int_equal(mode_of(backup), 0600);
    assert_int_not_equal(access(path_of("manytun.db.backup.partial"), F_OK), 0);
    run_sql("UPDATE tunnels SET note = 'x'");

    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of(backup), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "SELECT definition FROM tunnels", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_not_equal(sqlite3_exec(db, "SELECT note FROM tunnels", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    /* Again: nothing to do. */
    assert_int_equal(migrate(sql), 0);
}

static void test_failed_migration_changes_nothing(void **state)
{
    (void)state;
    insert_tunnel("home");
    const char sql[] = "ALTER TABLE tunnels ADD COLUMN note TEXT; SELECT nonsense";
    assert_int_equal(migrate(sql), -EIO);
    reopen_store();
    assert_tunnels("home ");
    assert_int_equal(migrate(sql), -EIO); /* over the backup of the first attempt */
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tunnel_round_trip),
        TEST(test_many_preshared_keys),
        TEST(test_forward_round_trip),
        TEST(test_sources),
        TEST(test_generation_of_all_definitions),
        TEST(test_order_and_stop),
        TEST(test_names_are_unique),
        TEST(test_transactions_nest),
        TEST(test_forward_needs_its_tunnel),
        TEST(test_totals),
        TEST(test_timestamps),
        TEST(test_tunnel_update),
        TEST(test_forward_update),
        TEST(test_deletion),
        TEST(test_tokens),
        TEST(test_definitions_hold_no_secrets),
        TEST(test_files_are_private),
        TEST(test_keys_are_nowhere_in_the_clear),
        TEST(test_second_instance_is_refused),
        TEST(test_unusable_directories),
        TEST(test_unreadable_tunnels_are_passed_over),
        TEST(test_unreadable_forwards_are_passed_over),
        TEST(test_file_that_is_no_database),
        TEST(test_damage_is_found_at_the_start),
        TEST(test_deleted_generation),
        TEST(test_lock_is_waited_for),
        TEST(test_what_was_told_survives_sigkill),
        TEST(test_newer_schema_is_refused),
        TEST(test_migration_with_backup),
        TEST(test_failed_migration_changes_nothing),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
