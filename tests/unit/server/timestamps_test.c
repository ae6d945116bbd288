/* timestamps: what is on disk is always ahead of what is sent, and is written rarely. */
#include "server/timestamps.h"

#include "tests/unit/server/service_world.h"

#include <inttypes.h>

#define S TIMESTAMPS_NS_PER_S

static uint64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

static uint64_t stored_until(const char *tunnel)
{
    struct store_timestamps row;
    assert_int_equal(store_find_timestamps(fx.store, tunnel, &row), 0);
    return row.until_ns;
}

static struct supervised_tunnel *home(void)
{
    return service_find_tunnel(fx.service, "home")->supervised;
}

/* --- The rule --------------------------------------------------------------------------------- */

static void test_reserve(void **state)
{
    (void)state;
    static const struct {
        uint64_t now, sent, until;
    } cases[] = {
        {1000 * S, 0, 1120 * S},        {1000 * S, 999 * S, 1120 * S},
        {1000 * S, 1100 * S, 1120 * S}, {1000 * S, 1110 * S, 1120 * S},
        {1000 * S, 5000 * S, 5010 * S}, /* the clock was set back */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t until = timestamps_reserve(cases[i].now, cases[i].sent);
        assert_int_equal(until, cases[i].until);
        assert_false(timestamps_are_short(cases[i].now, cases[i].sent, until));
    }
    assert_false(timestamps_are_short(1000 * S, 1000 * S, 1060 * S));
    assert_true(timestamps_are_short(1000 * S, 1000 * S, 1060 * S - 1));
    assert_true(timestamps_are_short(1000 * S, 5000 * S, 5005 * S - 1));
}

static void test_writes_of_an_hour(void **state)
{
    (void)state;
    uint64_t until = 0;
    unsigned writes = 0;
    for (uint64_t now = 1000 * S; now < 4600 * S; now += S) { /* a handshake each second */
        assert_true(writes == 0 || now <= until);
        if (!timestamps_are_short(now, now, until))
            continue;
        until = timestamps_reserve(now, now);
        writes++;
    }
    assert_in_range(writes, 55, 62);
    /* The same with the clock years behind: a step of 17 ms per handshake. */
    for (uint64_t sent = 900000 * S, i = 0; i < 3600; i++, sent += S / 60) {
        assert_true(i == 0 || sent <= until);
        if (!timestamps_are_short(1000 * S, sent, until))
            continue;
        until = timestamps_reserve(1000 * S, sent);
        writes++;
    }
    assert_in_range(writes, 60, 80);
}

/* --- The service ------------------------------------------------------------------------------ */

static void test_a_new_tunnel_has_a_reserve(void **state)
{
    (void)state;
    uint64_t began = unix_ns();
    create_tunnel(make_tunnel("home"));
    assert_int_equal(home()->timestamps_after, 0);
    assert_int_equal(home()->timestamps_until, stored_until("home"));
    assert_in_range(stored_until("home"), began + TIMESTAMPS_AHEAD, unix_ns() + TIMESTAMPS_AHEAD);
}

static void test_a_restart_goes_on_after_it(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint64_t before = stored_until("home");
    stop(); /* as good as a crash: nothing is written at the end */
    start();
    assert_int_equal(home()->timestamps_after, before);
    assert_int_equal(home()->timestamps_until, stored_until("home"));
    assert_true(home()->timestamps_until >= before + TIMESTAMPS_STEP);

    /* The clock was ahead, and was set back. */
    before = unix_ns() + 1000000 * S;
    stop();
    char sql[128];
    snprintf(sql, sizeof(sql), "UPDATE tunnel_timestamps SET may_reach = %" PRIu64, before);
    corrupt(sql);
    start();
    assert_int_equal(home()->timestamps_after, before);
    assert_int_equal(home()->timestamps_until, before + TIMESTAMPS_STEP);
    assert_int_equal(stored_until("home"), before + TIMESTAMPS_STEP);
}

static void test_what_runs_short_is_extended(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_tunnel(make_tunnel("idle"));
    const uint64_t idle = stored_until("idle");
    const uint64_t before = stored_until("home");
    counter_set(&home()->counters.latest_timestamp_unix_ns, unix_ns());
    service_sweep(fx.service);
    assert_int_equal(stored_until("home"), before); /* there is enough */

    const uint64_t sent = before - TIMESTAMPS_STEP / 2 + 1;
    counter_set(&home()->counters.latest_timestamp_unix_ns, sent);
    service_sweep(fx.service);
    assert_int_equal(stored_until("home"), home()->timestamps_until);
    assert_true(stored_until("home") > before);
    assert_int_equal(stored_until("idle"), idle);
}

static void test_a_database_that_refuses_stops_nothing(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    const uint64_t before = stored_until("home");
    corrupt("CREATE TRIGGER refuse_insert BEFORE INSERT ON tunnel_timestamps BEGIN"
            " SELECT RAISE(ABORT, 'no'); END;"
            "CREATE TRIGGER refuse_update BEFORE UPDATE ON tunnel_timestamps BEGIN"
            " SELECT RAISE(ABORT, 'no'); END;");
    counter_set(&home()->counters.latest_timestamp_unix_ns, before);
    service_sweep(fx.service);
    assert_int_equal(home()->timestamps_until, before); /* what is not on disk is not used */
    refuse_tunnel(make_tunnel("other"), "storage");
    stop();
    start(); /* handshakes go on, later than all there were */
    assert_int_equal(home()->timestamps_after, before);
    assert_true(home()->timestamps_until >= before + TIMESTAMPS_STEP);
    assert_int_equal(stored_until("home"), before);
}

/* A tunnel that has used up its reserve sends nothing more that would show that it needs one. */
static void test_a_database_that_recovers_is_noticed(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    const uint64_t before = stored_until("home");
    corrupt("CREATE TRIGGER refuse BEFORE UPDATE ON tunnel_timestamps BEGIN"
            " SELECT RAISE(ABORT, 'no'); END");
    counter_set(&home()->counters.latest_timestamp_unix_ns, before - 1);
    for (int i = 0; i < 3; i++)
        service_sweep(fx.service);
    assert_int_equal(home()->timestamps_until, before);
    corrupt("DROP TRIGGER refuse");
    service_sweep(fx.service);
    assert_true(stored_until("home") >= before - 1 + TIMESTAMPS_STEP);
    assert_int_equal(home()->timestamps_until, stored_until("home"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_writes_of_an_hour),
        TEST(test_a_new_tunnel_has_a_reserve),
        TEST(test_a_restart_goes_on_after_it),
        TEST(test_what_runs_short_is_extended),
        TEST(test_a_database_that_refuses_stops_nothing),
        TEST(test_a_database_that_recovers_is_noticed),
    };
    log_set_level(LOG_LEVEL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
