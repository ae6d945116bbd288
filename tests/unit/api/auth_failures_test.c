/*
 * Failed authentication is reported, and not more often than it may be.
 */
#include "api/auth_failures.h"

#include "store/store.h"
#include "tests/support/folder.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fixture {
    char directory[64];
    struct event_base *base;
    struct store *store;
    struct events *events;
    size_t count;
    char message[EVENTS_MESSAGE_MAX + 1]; /* of the last one */
} fx;

static int set_up(void **state)
{
    (void)state;
    char error[256];
    strcpy(fx.directory, "/tmp/auth-test-XXXXXX");
    if (mkdtemp(fx.directory) == NULL || store_open(fx.directory, &fx.store, error) < 0)
        return -1;
    fx.base = event_base_new();
    return events_new(fx.base, fx.store, &fx.events);
}

static int tear_down(void **state)
{
    (void)state;
    events_free(fx.events);
    store_close(fx.store);
    event_base_free(fx.base);
    return folder_remove(fx.directory);
}

static int see(void *ctx, const struct store_event *event)
{
    (void)ctx;
    assert_string_equal(event->type, "auth.failed");
    assert_string_equal(event->actor, "system");
    snprintf(fx.message, sizeof(fx.message), "%s", event->message);
    fx.count++;
    return 0;
}

static void expect(size_t count, const char *message)
{
    fx.count = 0;
    assert_int_equal(events_flush(fx.events), 0);
    assert_int_equal(events_read(fx.events, 0, see, NULL), 0);
    assert_int_equal(fx.count, count);
    assert_string_equal(fx.message, message);
}

static void test_reports_are_rare(void **state)
{
    (void)state;
    struct auth_failures failures = {0};
    auth_failures_note(&failures, fx.events, "10.0.0.1", 5);
    expect(1, "1 request(s) with a token that opens nothing, the latest from 10.0.0.1");
    for (uint64_t now = 5; now < 5 + AUTH_FAILURES_SECONDS; now++)
        auth_failures_note(&failures, fx.events, "10.0.0.2", now);
    expect(1, "1 request(s) with a token that opens nothing, the latest from 10.0.0.1");
    auth_failures_note(&failures, fx.events, "::1", 5 + AUTH_FAILURES_SECONDS);
    expect(2, "11 request(s) with a token that opens nothing, the latest from ::1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reports_are_rare, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
