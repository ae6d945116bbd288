/* Where peers were seen comes back, and goes with them. */
#include "tests/unit/store/store_world.h"

static struct {
    struct store_sighting last;
    uint8_t public_key[SPEC_KEY_LEN], timestamp[STORE_TIMESTAMP_LEN];
    char endpoint[64], defined[64];
    size_t count;
} seen;

static void see(void *ctx, const struct store_sighting *sighting)
{
    (void)ctx;
    seen.last = *sighting;
    memcpy(seen.public_key, sighting->public_key, SPEC_KEY_LEN);
    memcpy(seen.timestamp, sighting->timestamp, STORE_TIMESTAMP_LEN);
    snprintf(seen.endpoint, sizeof(seen.endpoint), "%s", sighting->endpoint);
    snprintf(seen.defined, sizeof(seen.defined), "%s", sighting->defined);
    seen.count++;
}

static size_t load(const char *tunnel)
{
    memset(&seen, 0, sizeof(seen));
    assert_int_equal(store_load_sightings(store, tunnel, see, NULL), 0);
    return seen.count;
}

static void test_sightings(void **state)
{
    (void)state;
    static const uint8_t keys[2][SPEC_KEY_LEN] = {"one", "two"};
    static const uint8_t times[2][STORE_TIMESTAMP_LEN] = {"@ 123", "@ 124"};
    struct store_tunnel home = make_tunnel("home");
    struct store_tunnel work = make_tunnel("work");
    assert_int_equal(store_insert_tunnel(store, &home), 0);
    assert_int_equal(store_insert_tunnel(store, &work), 0);
    assert_int_equal(load("home"), 0);
    struct store_sighting rows[] = {
        {"home", keys[0], "192.0.2.7:51820", "gw.example.org:51820", 5, times[0]},
        {"home", keys[1], "", "", 6, times[0]},
        {"work", keys[0], "[2001:db8::7]:1", "", UINT64_MAX, times[0]},
    };
    assert_int_equal(store_save_sightings(store, rows, 3), 0);
    assert_int_equal(load("work"), 1);
    assert_string_equal(seen.endpoint, "[2001:db8::7]:1");
    assert_string_equal(seen.defined, "");
    assert_int_equal(seen.last.heard_unix_ns, INT64_MAX);
    assert_int_equal(load("home"), 2);

    /* In place of what was there, and all or none. */
    rows[2].timestamp = times[1];
    assert_int_equal(store_save_sightings(store, &rows[2], 1), 0);
    assert_int_equal(load("work"), 1);
    assert_memory_equal(seen.timestamp, times[1], STORE_TIMESTAMP_LEN);
    rows[0].tunnel = "gone";
    assert_true(store_save_sightings(store, rows, 1) < 0);

    assert_int_equal(store_forget_peer(store, "home", keys[0]), 0);
    assert_int_equal(load("home"), 1);
    assert_memory_equal(seen.public_key, keys[1], SPEC_KEY_LEN);
    assert_int_equal(store_delete_tunnel(store, "home"), 0);
    assert_int_equal(load("home"), 0);
    assert_int_equal(load("work"), 1);

    /* A damaged row is left out. */
    run_sql("UPDATE peer_sightings SET timestamp = 'short'");
    assert_int_equal(load("work"), 0);
    spec_tunnel_fini(&home.spec);
    spec_tunnel_fini(&work.spec);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_sightings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
