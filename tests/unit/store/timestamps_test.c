/* The bounds of the timestamps that a tunnel sends: only forward, whatever the clock says. */
#include "tests/unit/store/store_world.h"

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

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        store_test(test_timestamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
