/* capture: frames become a capture file; service_capture: who gets one, and what is on record. */
#include "tests/unit/server/service_world.h"

#include "server/capture.h"
#include "server/events.h"

#include <sys/socket.h>

static char types[256];

static int collect(void *ctx, const struct store_event *event)
{
    (void)ctx;
    strcat(types, event->type);
    strcat(types, " ");
    strcat(types, event->name);
    strcat(types, event->message[0] != '\0' ? ": " : "");
    strcat(types, event->message);
    strcat(types, "\n");
    return 0;
}

/* What is on disk after the event with this id. */
static const char *on_disk(uint64_t after)
{
    types[0] = '\0';
    assert_int_equal(events_read(service_events(fx.service), after, collect, NULL), 0);
    return types;
}

static uint64_t last_event(void)
{
    uint64_t first, last;
    assert_int_equal(events_flush(service_events(fx.service)), 0);
    assert_int_equal(events_span(service_events(fx.service), &first, &last), 0);
    return last;
}

static struct capture *begin(uint64_t max_bytes)
{
    struct capture *capture = NULL;
    struct problem problem = {0};
    if (service_capture(fx.service, "home", max_bytes, &capture, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    return capture;
}

static void refuse(const char *name, const char *code)
{
    struct capture *capture = NULL;
    struct problem problem = {0};
    assert_int_equal(service_capture(fx.service, name, 100, &capture, &problem), -1);
    assert_string_equal(problem.code, code);
}

static void send_frame(uint64_t packets, uint64_t dropped, const char *records)
{
    uint8_t frame[256];
    const struct tap_totals totals = {.packets = packets, .dropped = dropped};
    memcpy(frame, &totals, sizeof(totals));
    memcpy(frame + sizeof(totals), records, strlen(records));
    size_t len = sizeof(totals) + strlen(records);
    assert_int_equal(send(fake.tap, frame, len, 0), len);
}

static void expect_read(struct capture *capture, size_t max, const char *text)
{
    char out[256];
    assert_int_equal(capture_read(capture, out, max), strlen(text));
    assert_memory_equal(out, text, strlen(text));
}

static void skip_header(struct capture *capture)
{
    uint8_t expected[PCAP_FILE_HEADER];
    uint8_t header[PCAP_FILE_HEADER];
    pcap_file_header(expected);
    assert_int_equal(capture_read(capture, header, 10), 10);
    assert_int_equal(capture_read(capture, header + 10, 256), PCAP_FILE_HEADER - 10);
    assert_memory_equal(header, expected, sizeof(header));
}

static void test_frames_become_a_file(void **state)
{
    (void)state;
    char out[8];
    create_tunnel(make_tunnel("home"));
    struct capture *capture = begin(12345);
    assert_int_equal(fake.tap_bytes, 12345);
    skip_header(capture);
    assert_int_equal(capture_read(capture, out, sizeof(out)), -EAGAIN);
    send_frame(2, 0, "records");
    send_frame(3, 1, "more");
    expect_read(capture, 3, "rec");
    expect_read(capture, 100, "ords");
    assert_int_equal(capture_totals(capture).packets, 2);
    expect_read(capture, 100, "more");
    assert_int_equal(capture_totals(capture).dropped, 1);
    capture_stop(capture);
    assert_int_equal(recv(fake.tap, out, sizeof(out), 0), 0);
    send_frame(3, 7, "");
    close(fake.tap);
    assert_int_equal(capture_read(capture, out, sizeof(out)), 0);
    assert_int_equal(capture_totals(capture).dropped, 7);
    service_capture_end(fx.service, "home", capture);
}

static void test_a_frame_that_is_none(void **state)
{
    (void)state;
    static const uint8_t huge[TAP_FRAME_MAX + 1];
    char out[8];
    create_tunnel(make_tunnel("home"));
    for (int i = 0; i < 2; i++) {
        struct capture *capture = begin(1000);
        skip_header(capture);
        assert_true(send(fake.tap, huge, i == 0 ? 15 : sizeof(huge), 0) > 0);
        assert_int_equal(capture_read(capture, out, sizeof(out)), -EPROTO);
        close(fake.tap);
        service_capture_end(fx.service, "home", capture);
    }
}

/* The worker has died, and with it what it had not sent. */
static void test_the_worker_dies(void **state)
{
    (void)state;
    char out[8];
    create_tunnel(make_tunnel("home"));
    struct capture *capture = begin(1000);
    skip_header(capture);
    send_frame(1, 0, "one");
    close(fake.tap);
    expect_read(capture, 100, "one");
    assert_int_equal(capture_read(capture, out, sizeof(out)), 0);
    service_capture_end(fx.service, "home", capture);
}

static void test_both_ends_are_on_record(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint64_t before = last_event();
    struct capture *capture = begin(1000);
    /* Nothing was flushed: it was written before the worker was told. */
    assert_string_equal(on_disk(before), "tunnel.capture_started home\n");
    skip_header(capture);
    send_frame(5, 2, "x");
    expect_read(capture, 100, "x");
    close(fake.tap);
    service_capture_end(fx.service, "home", capture);
    last_event();
    assert_string_equal(on_disk(before + 1),
                        "tunnel.capture_ended home: 5 packets were captured, 2 left out for a slow "
                        "reader\n");
}

static void test_what_is_refused(void **state)
{
    (void)state;
    refuse("home", "not_found");
    create_tunnel(make_tunnel("home"));
    fake.alive = 0;
    refuse("home", "not_running");
    fake.alive = 1;
    corrupt("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(FAIL, 'full'); END");
    refuse("home", "storage");
    corrupt("DROP TRIGGER full");
    service_drain(fx.service, NULL, NULL);
    refuse("home", "draining");
}

/* The reader hears of it, and the record says that there was nothing to see. */
static void test_a_worker_that_cannot_be_told(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint64_t before = last_event();
    fake.tap_error = -EMFILE;
    refuse("home", "exhausted");
    fake.tap_error = 0;
    last_event();
    assert_string_equal(on_disk(before),
                        "tunnel.capture_started home\n"
                        "tunnel.capture_ended home: 0 packets were captured, 0 left out for a slow "
                        "reader\n");
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_frames_become_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_frame_that_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_worker_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_ends_are_on_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_worker_that_cannot_be_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
