/* Tunnels and forwards: what is stored comes back, and what changes beside them. */
#include "tests/unit/store/store_world.h"

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

/* --- Changes ---------------------------------------------------------------------------------- */

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

/* --- Secrets ---------------------------------------------------------------------------------- */

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

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_tunnel_round_trip),
        store_test(test_many_preshared_keys),
        store_test(test_forward_round_trip),
        store_test(test_sources),
        store_test(test_order_and_stop),
        store_test(test_names_are_unique),
        store_test(test_transactions_nest),
        store_test(test_forward_needs_its_tunnel),
        store_test(test_tunnel_update),
        store_test(test_forward_update),
        store_test(test_deletion),
        store_test(test_generation_of_all_definitions),
        store_test(test_deleted_generation),
        store_test(test_definitions_hold_no_secrets),
        store_test(test_keys_are_nowhere_in_the_clear),
        store_test(test_unreadable_tunnels_are_passed_over),
        store_test(test_unreadable_forwards_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
