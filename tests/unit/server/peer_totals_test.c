/*
 * peer_totals: what single peers have counted follows their keys, and goes on after a restart.
 */
#include "server/peer_totals.h"

#include "tests/unit/server/service_world.h"

/* A tunnel whose peers have these letters as their names and keys. */
static struct spec_tunnel make_peers(const char *name, const char *letters)
{
    struct spec_tunnel spec = make_tunnel(name);
    spec.peers_count = strlen(letters);
    spec.peers = calloc(spec.peers_count + 1, sizeof(*spec.peers));
    assert_non_null(spec.peers);
    for (size_t i = 0; i < spec.peers_count; i++) {
        struct spec_peer *peer = &spec.peers[i];
        snprintf(peer->name, sizeof(peer->name), "%c", letters[i]);
        memset(peer->public_key, letters[i], SPEC_KEY_LEN);
    }
    return spec;
}

static void change_peers(const char *letters)
{
    struct spec_tunnel spec = make_peers("home", letters);
    const struct service_tunnel *tunnel;
    struct problem problem = {0};
    spec.listen_port = 0;
    if (service_update_tunnel(fx.service, &spec, &tunnel, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    /* As the real one does, which keeps slots with keys. */
    memset(tunnel->supervised->peers, 0, sizeof(tunnel->supervised->peers));
}

static void count(const struct service_tunnel *tunnel, size_t place, uint64_t n)
{
    struct counters_peer *counters = &tunnel->supervised->peers[place];
    counter_set(&counters->rx_bytes, n);
    counter_set(&counters->tx_bytes, n + 1);
    counter_set(&counters->handshakes, n + 2);
}

static void expect(size_t place, uint64_t n)
{
    const struct service_tunnel *tunnel = service_find_tunnel(fx.service, "home");
    const struct peer_totals totals = service_peer_totals(tunnel, place);
    assert_int_equal(totals.rx_bytes, n);
    assert_int_equal(totals.tx_bytes, n == 0 ? 0 : n + 1);
    assert_int_equal(totals.handshakes, n == 0 ? 0 : n + 2);
}

static void restart(void)
{
    stop();
    start();
}

static int number(const char *sql)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    snprintf(path, sizeof(path), "%s/manytun.db", fx.directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int value = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(db);
    return value;
}

static void test_they_go_on_after_a_restart(void **state)
{
    (void)state;
    const struct service_tunnel *tunnel = create_tunnel(make_peers("home", "abc"));
    expect(0, 0);
    count(tunnel, 0, 10);
    count(tunnel, 2, 30);
    expect(0, 10);
    restart();
    expect(0, 10);
    expect(1, 0);
    expect(2, 30);
    counter_set(&service_find_tunnel(fx.service, "home")->supervised->peers[0].rx_bytes, 5);
    assert_int_equal(service_peer_totals(service_find_tunnel(fx.service, "home"), 0).rx_bytes, 15);
}

static void test_they_follow_the_key(void **state)
{
    (void)state;
    const struct service_tunnel *tunnel = create_tunnel(make_peers("home", "abc"));
    count(tunnel, 0, 10);
    count(tunnel, 1, 20);
    count(tunnel, 2, 30);
    restart();
    change_peers("cxa"); /* b has gone, and x has come to its place */
    expect(0, 30);
    expect(1, 0);
    expect(2, 10);
    assert_int_equal(number("SELECT count(*) FROM peer_totals"), 2);
    change_peers("bca"); /* b is another one */
    expect(0, 0);
    restart();
    expect(0, 0);
    expect(1, 30);
    expect(2, 10);
}

/* A change that is refused leaves them where they are. */
static void test_refused_change(void **state)
{
    (void)state;
    const struct service_tunnel *tunnel = create_tunnel(make_peers("home", "ab"));
    count(tunnel, 0, 10);
    restart();
    corrupt("CREATE TRIGGER stop_it BEFORE UPDATE ON tunnels BEGIN SELECT RAISE(ABORT, 'no'); END");
    struct spec_tunnel spec = make_peers("home", "b");
    struct problem problem = {0};
    assert_int_equal(service_update_tunnel(fx.service, &spec, &tunnel, &problem), -1);
    spec_tunnel_fini(&spec);
    expect(0, 10);
    assert_int_equal(number("SELECT count(*) FROM peer_totals"), 1);
}

static void test_they_go_with_their_tunnel(void **state)
{
    (void)state;
    count(create_tunnel(make_peers("home", "a")), 0, 10);
    restart();
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "home", false, &problem), 0);
    assert_int_equal(number("SELECT count(*) FROM peer_totals"), 0);
    create_tunnel(make_peers("home", "a"));
    expect(0, 0);
    restart();
    expect(0, 0);
}

/* More than one portion; and what has not changed is not written again. */
static void test_only_what_changed_is_written(void **state)
{
    (void)state;
    enum { TUNNELS = 300, EACH = FAKE_PEERS_MAX };
    char name[16];
    for (unsigned i = 0; i < TUNNELS; i++) {
        snprintf(name, sizeof(name), "t%u", i);
        const struct service_tunnel *tunnel = create_tunnel(make_peers(name, "abcd"));
        for (size_t place = 0; place < EACH; place++)
            count(tunnel, place, i + place + 1);
    }
    restart();
    assert_int_equal(number("SELECT count(*) FROM peer_totals"), TUNNELS * EACH);
    for (unsigned i = 0; i < TUNNELS; i++) {
        snprintf(name, sizeof(name), "t%u", i);
        const struct service_tunnel *tunnel = service_find_tunnel(fx.service, name);
        for (size_t place = 0; place < EACH; place++)
            assert_int_equal(service_peer_totals(tunnel, place).rx_bytes, i + place + 1);
    }
    corrupt("CREATE TABLE written (n); CREATE TRIGGER note AFTER INSERT ON peer_totals"
            " BEGIN INSERT INTO written VALUES (1); END");
    service_save_totals(fx.service);
    assert_int_equal(number("SELECT count(*) FROM written"), 0);
    count(service_find_tunnel(fx.service, "t7"), 2, 1);
    service_save_totals(fx.service);
    assert_int_equal(number("SELECT count(*) FROM written"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_they_go_on_after_a_restart),
        TEST(test_they_follow_the_key),
        TEST(test_refused_change),
        TEST(test_they_go_with_their_tunnel),
        TEST(test_only_what_changed_is_written),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
