/*
 * CUBIC by itself: the window's growth against the formulae of RFC 9438, HyStart++ against RFC
 * 9406, and proportional rate reduction against RFC 9937.
 */
#include "engine/stack/congestion.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MSS 1000u

/* A path without loss: the window is used up, and all of it acknowledged once per round trip. */
struct path {
    struct congestion congestion;
    uint64_t now_us;
    uint32_t rtt_us, delivered;
    uint32_t timeout_us; /* 0 = unknown */
};

static void open_path(struct path *path, uint32_t rtt_us)
{
    *path = (struct path){.now_us = 1000000, .rtt_us = rtt_us};
    congestion_open(&path->congestion, STACK_CUBIC, MSS, path->now_us);
}

static void acknowledge(struct path *path, uint32_t len, uint32_t prior_pipe)
{
    const struct congestion_ack ack = {
        .now_us = path->now_us,
        .delivered = len,
        .prior_pipe = prior_pipe,
        .pipe = path->congestion.window - len,
        .rtt_us = path->rtt_us,
        .srtt_us = path->rtt_us,
        .timeout_us = path->timeout_us,
        .delivered_total = path->delivered += len,
    };

    path->congestion.control->acked(&path->congestion, &ack);
}

static void round_trip(struct path *path)
{
    uint32_t mss = path->congestion.mss;
    uint32_t segments = path->congestion.window / mss;

    for (uint32_t i = 0; i < segments; i++) {
        path->now_us += path->rtt_us / segments;
        acknowledge(path, mss, path->congestion.window);
    }
}

static void lose(struct path *path)
{
    const struct congestion_control *control = path->congestion.control;

    control->loss(&path->congestion, path->congestion.window, path->now_us);
    control->recovered(&path->congestion, path->now_us);
}

static void test_initial_window(void **state)
{
    static const struct {
        uint32_t mss, window;
    } rows[] = {{536, 5360}, {1380, 13800}, {1460, 14600}, {4000, 14600}, {8960, 17920}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct congestion congestion;

        congestion_open(&congestion, STACK_CUBIC, rows[i].mss, 0);
        assert_int_equal(congestion.window, rows[i].window);
    }
}

static void test_slow_start(void **state)
{
    struct path path;

    (void)state;
    open_path(&path, 50000);
    for (uint32_t window = 10; window <= 640; window *= 2) {
        assert_int_equal(path.congestion.window, window * MSS);
        round_trip(&path);
    }
    /* A window that is not used does not grow. */
    acknowledge(&path, MSS, 10 * MSS);
    assert_int_equal(path.congestion.window, 1280 * MSS);
}

/* The round trip grows by an eighth: slow start slows down, and ends after five rounds. */
static void test_hystart(void **state)
{
    struct path path;
    uint32_t window;

    (void)state;
    open_path(&path, 50000);
    for (int i = 0; i < 4; i++)
        round_trip(&path);
    path.rtt_us += 50000 / 8 + 1;
    round_trip(&path);
    window = path.congestion.window;
    assert_true(path.congestion.cubic.conservative);
    assert_true(window < 320 * MSS);
    round_trip(&path);
    assert_in_range(path.congestion.window, window * 124 / 100, window * 126 / 100);
    assert_true(path.congestion.threshold == CONGESTION_NO_THRESHOLD);
    for (int i = 0; i < 5; i++)
        round_trip(&path);
    assert_true(path.congestion.threshold <= path.congestion.window);

    /* The delay was of the moment: slow start goes on. */
    open_path(&path, 50000);
    for (int i = 0; i < 4; i++)
        round_trip(&path);
    path.rtt_us = 60000;
    round_trip(&path);
    assert_true(path.congestion.cubic.conservative);
    path.rtt_us = 50000;
    round_trip(&path);
    assert_false(path.congestion.cubic.conservative);

    /* The first slow start only (4.3): one after a timeout doubles the window. */
    path.rtt_us = 60000;
    round_trip(&path);
    assert_true(path.congestion.cubic.conservative);
    path.congestion.control->timeout(&path.congestion, MSS, path.now_us);
    for (uint32_t segments = 1; segments <= 64; segments *= 2) {
        assert_int_equal(path.congestion.window, segments * MSS);
        path.rtt_us += 10000;
        round_trip(&path);
    }
}

/* After a loss at 1000 segments: 700, and then W(t) = 0.4 (t - K)^3 + 1000, K = cbrt(300 / 0.4). */
static void test_growth(void **state)
{
    const double k = cbrt(300 / 0.4);
    struct path path;
    uint64_t begin;

    (void)state;
    assert_true(fabs(cubic_k(1000, 700) - k) < 1e-9);
    assert_true(cubic_k(700, 1000) == 0);
    open_path(&path, 100000);
    path.congestion.window = path.congestion.threshold = 1000 * MSS;
    lose(&path);
    assert_int_equal(path.congestion.window, 700 * MSS);
    begin = path.now_us;
    while (path.now_us - begin < 15000000) {
        double t = (double)(path.now_us - begin) * 1e-6 + 0.1; /* aimed at a round trip ahead */
        double expected = 0.4 * pow(t - k, 3) + 1000;
        double window = path.congestion.window / (double)MSS;

        if (path.now_us - begin > 200000 && fabs(window - expected) > expected * 0.02)
            fail_msg("%.1f s: %.1f segments, not %.1f", t, window, expected);
        round_trip(&path);
    }
}

/* A pause before a window that is used up again: the window goes on from where it was (4.2). */
static void test_idle_time_does_not_count(void **state)
{
    struct path path, paused;

    (void)state;
    open_path(&path, 100000);
    path.congestion.window = path.congestion.threshold = 1000 * MSS;
    lose(&path);
    for (int i = 0; i < 10; i++)
        round_trip(&path);
    paused = path;
    paused.now_us += UINT64_C(3600) * 1000000;
    for (int i = 0; i < 10; i++) {
        round_trip(&path);
        round_trip(&paused);
    }
    /* But for the round trip in which nothing could arrive. */
    assert_in_range(paused.congestion.window, path.congestion.window,
                    path.congestion.window * 101 / 100);
}

/* A window of which a part is used goes down half of the way to that, and no further. */
static void test_validation(void **state)
{
    struct path path;

    (void)state;
    open_path(&path, 100000);
    path.congestion.window = path.congestion.threshold = 1000 * MSS;
    for (int i = 0; i < 100; i++) {
        path.now_us += 10000;
        path.timeout_us = 300000;
        acknowledge(&path, MSS, 100 * MSS);
    }
    assert_in_range(path.congestion.window, 200 * MSS, 250 * MSS);
    assert_in_range(path.congestion.threshold, 750 * MSS, 1000 * MSS);
    for (int i = 0; i < 3000; i++) {
        path.now_us += 10000;
        acknowledge(&path, MSS, 100 * MSS);
    }
    assert_in_range(path.congestion.window, 100 * MSS, 250 * MSS);
}

/* A small window: Reno's growth is faster, and CUBIC is no slower (4.3). */
static void test_friendly_region(void **state)
{
    struct path path;
    uint32_t before;

    (void)state;
    open_path(&path, 20000);
    path.congestion.window = path.congestion.threshold = 20 * MSS;
    lose(&path);
    before = path.congestion.window;
    assert_int_equal(before, 14 * MSS);
    for (int i = 0; i < 10; i++)
        round_trip(&path);
    /* 3 (1 - 0.7) / (1 + 0.7) of a segment per round trip. */
    assert_in_range(path.congestion.window, before + 5 * MSS, before + 6 * MSS);
    /* From where it was on, a whole one. */
    for (int i = 0; i < 20; i++)
        round_trip(&path);
    assert_in_range(path.congestion.window, 36 * MSS, 40 * MSS);
}

/* A loss below the last maximum: others need room, and the maximum moves down (4.7). */
static void test_fast_convergence(void **state)
{
    struct path path;

    (void)state;
    open_path(&path, 100000);
    path.congestion.window = path.congestion.threshold = 1000 * MSS;
    lose(&path);
    assert_true(path.congestion.cubic.window_max == 1000);
    lose(&path);
    assert_int_equal(path.congestion.window, 490 * MSS);
    assert_true(fabs(path.congestion.cubic.window_max - 700 * 0.85) < 1e-9);
}

static void test_timeout(void **state)
{
    struct path path;

    (void)state;
    open_path(&path, 50000);
    path.congestion.window = 100 * MSS;
    path.congestion.control->timeout(&path.congestion, MSS, path.now_us);
    assert_int_equal(path.congestion.window, MSS);
    assert_int_equal(path.congestion.threshold, 70 * MSS);
    round_trip(&path);
    assert_int_equal(path.congestion.window, 2 * MSS);
    path.congestion.control->undo(&path.congestion, path.now_us);
    assert_int_equal(path.congestion.window, 100 * MSS);
    assert_true(path.congestion.threshold == CONGESTION_NO_THRESHOLD);
}

/*
 * The path takes less per packet: what the window was at the last loss is as many bytes as before.
 * It is grown back to on the curve of as many smaller segments, and not beyond that at once.
 */
static void test_smaller_segments(void **state)
{
    const double k = cbrt(2 * 300 / 0.4);
    struct path path;

    (void)state;
    open_path(&path, 100000);
    path.congestion.window = path.congestion.threshold = 1000 * MSS;
    lose(&path);
    congestion_set_mss(&path.congestion, MSS / 2);
    assert_int_equal(path.congestion.window, 700 * MSS);
    for (uint64_t begin = path.now_us; path.now_us - begin < 15000000;) {
        double t = (double)(path.now_us - begin) * 1e-6 + 0.1; /* aimed at a round trip ahead */
        double expected = 0.4 * pow(t - k, 3) + 2 * 1000;
        double window = path.congestion.window / (MSS / 2.0);

        if (path.now_us - begin > 200000 && fabs(window - expected) > expected * 0.02)
            fail_msg("%.1f s: %.1f segments, not %.1f", t, window, expected);
        round_trip(&path);
    }
    /* One that is below what it was, and others need room (4.7): by bytes, too. */
    open_path(&path, 100000);
    path.congestion.window = path.congestion.threshold = 1000 * MSS;
    lose(&path);
    congestion_set_mss(&path.congestion, MSS / 2);
    lose(&path);
    assert_true(fabs(path.congestion.cubic.window_max - 2 * 700 * 0.85) < 1e-9);
    path.congestion.control->undo(&path.congestion, path.now_us);
    assert_true(path.congestion.cubic.window_max == 2 * 1000);
}

/* 7 segments out for 10 in while more is on the way than is to be. */
static void test_prr(void **state)
{
    struct prr prr;
    uint32_t pipe = 19 * MSS;

    (void)state;
    prr_begin(&prr, 20 * MSS);
    for (uint32_t i = 0; i < 19; i++) {
        uint32_t window;

        pipe -= MSS;
        window = prr_window(&prr, MSS, pipe, 14 * MSS, MSS, false);
        while (pipe + MSS <= window) {
            prr_sent(&prr, MSS);
            pipe += MSS;
        }
    }
    assert_in_range(prr.sent, 13 * MSS, 14 * MSS);
    /* Far below the target (many were lost at once): as slow start, not in a burst. */
    prr_begin(&prr, 20 * MSS);
    assert_int_equal(prr_window(&prr, MSS, 2 * MSS, 14 * MSS, MSS, true), 4 * MSS);
    /* And as many as have arrived while more is lost, or nothing is repaired. */
    prr_begin(&prr, 20 * MSS);
    assert_int_equal(prr_window(&prr, MSS, 2 * MSS, 14 * MSS, MSS, false), 3 * MSS);
    /* But a segment when all that was sent is lost: no acknowledgment would come. */
    prr_sent(&prr, 10 * MSS);
    assert_int_equal(prr_window(&prr, 0, MSS, 14 * MSS, MSS, false), MSS);
    assert_int_equal(prr_window(&prr, 0, 0, 14 * MSS, MSS, false), MSS);
}

/* The window after a segment has arrived of a recovery in which most is known to be lost. */
static uint32_t window_in_recovery(bool advanced, uint32_t lost)
{
    const struct congestion_ack ack = {
        .now_us = 2000000,
        .delivered = MSS,
        .lost = lost,
        .pipe = 10 * MSS,
        .advanced = advanced,
        .recovering = true,
    };
    struct path path;

    open_path(&path, 50000);
    path.congestion.window = 100 * MSS;
    path.congestion.control->loss(&path.congestion, 100 * MSS, path.now_us);
    path.congestion.control->acked(&path.congestion, &ack);
    return path.congestion.window;
}

/* Slow start only while what was lost is repaired, and no more is (RFC 9937). */
static void test_safe_acknowledgments(void **state)
{
    (void)state;
    assert_int_equal(window_in_recovery(true, 0), 12 * MSS);
    assert_int_equal(window_in_recovery(false, 0), 11 * MSS);
    assert_int_equal(window_in_recovery(true, MSS), 11 * MSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initial_window),
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_hystart),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_friendly_region),
        cmocka_unit_test(test_validation),
        cmocka_unit_test(test_fast_convergence),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_prr),
        cmocka_unit_test(test_safe_acknowledgments),
        cmocka_unit_test(test_idle_time_does_not_count),
        cmocka_unit_test(test_smaller_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
