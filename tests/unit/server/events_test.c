/*
 * Events: their numbers, the ring, the queue, and the audit records of the service's changes.
 */
#include "server/events.h"

#include "tests/unit/server/service_world.h"

#define READ_MAX 32

/* --- Reading ---------------------------------------------------------------------------------- */

static struct seen {
    size_t count;
    uint64_t ids[READ_MAX];
    char lines[READ_MAX][512]; /* "type kind name reason message actor generation" */
} seen;

static int see(void *ctx, const struct store_event *event)
{
    (void)ctx;
    seen.ids[seen.count] = event->id;
    snprintf(seen.lines[seen.count], sizeof(seen.lines[0]), "%s %s [%s] [%s] [%s] %s %llu",
             event->type, event->kind, event->name, event->reason, event->message, event->actor,
             (unsigned long long)event->generation);
    assert_true(event->time.tv_sec > 1000000000);
    return ++seen.count == READ_MAX ? 1 : 0;
}

static struct events *events(void)
{
    return service_events(fx.service);
}

static void read_after(uint64_t after)
{
    seen.count = 0;
    assert_int_equal(events_read(events(), after, see, NULL), 0);
}

static uint64_t last_id(void)
{
    uint64_t first;
    uint64_t last;
    assert_int_equal(events_span(events(), &first, &last), 0);
    return last;
}

static void emit(const char *name)
{
    events_emit(events(), &(struct event_fact){.type = EVENT_FORWARD_CONDITION, .name = name});
}

static void restart(void)
{
    stop();
    start();
}

/* --- Numbers and the ring --------------------------------------------------------------------- */

static void test_every_type_has_a_name(void **state)
{
    (void)state;
    for (int type = 0; type < EVENT_TYPES; type++) {
        const char *name = event_type_name((enum event_type)type);
        const char *kind = event_type_kind((enum event_type)type);
        assert_non_null(strchr(name, '.'));
        assert_int_equal(strncmp(name, kind, strlen(kind)), 0);
        assert_int_equal(name[strlen(kind)], '.');
        for (int other = 0; other < type; other++)
            assert_string_not_equal(name, event_type_name((enum event_type)other));
    }
}

static void test_ids_go_on_after_a_restart(void **state)
{
    (void)state;
    assert_int_equal(last_id(), 1); /* service.started */
    emit("a");
    emit("b");
    assert_int_equal(last_id(), 1); /* they wait */
    restart();                      /* which writes them */
    assert_int_equal(last_id(), 5); /* after service.stopped and service.started */
    read_after(0);
    assert_int_equal(seen.count, 5);
    for (size_t i = 0; i < seen.count; i++)
        assert_int_equal(seen.ids[i], i + 1);
    assert_string_equal(seen.lines[0], "service.started service [] [Restored] "
                                       "[restored 0 tunnels and 0 forwards] system 0");
    assert_string_equal(seen.lines[1], "forward.condition forward [a] [] [] system 0");
    assert_string_equal(seen.lines[3], "service.stopped service [] [Stopped] [] system 0");
    read_after(4);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.ids[0], 5);
}

static void test_the_ring_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(events_flush(events()), 0);
    for (int i = 0; i < EVENTS_KEPT; i++)
        emit("a");
    assert_int_equal(events_flush(events()), 0);
    assert_int_equal(last_id(), EVENTS_KEPT + 1);
    read_after(0);
    assert_int_equal(seen.ids[0], 2);
    emit("b");
    assert_int_equal(events_flush(events()), 0);
    read_after(0);
    assert_int_equal(seen.ids[0], 3);
    uint64_t first;
    uint64_t last;
    assert_int_equal(events_span(events(), &first, &last), 0);
    assert_int_equal(first, 3);
    assert_int_equal(last, EVENTS_KEPT + 2);
}

/* What the queue cannot hold leaves a hole in the numbers. */
static void test_lost_facts_leave_a_hole(void **state)
{
    (void)state;
    assert_int_equal(events_flush(events()), 0);
    for (int i = 0; i < EVENTS_KEPT + 5; i++)
        emit("a");
    assert_int_equal(events_flush(events()), 0);
    assert_int_equal(last_id(), 1 + EVENTS_KEPT + 5);
    assert_int_equal(events_lost(events()), 5);
    read_after(EVENTS_KEPT - 1);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.ids[0], EVENTS_KEPT);
    assert_int_equal(seen.ids[1], EVENTS_KEPT + 6);
    emit("b");
    assert_int_equal(events_flush(events()), 0);
    assert_int_equal(last_id(), 1 + EVENTS_KEPT + 6);
}

/* --- The queue -------------------------------------------------------------------------------- */

static unsigned told;

static void on_changed(void *ctx)
{
    (void)ctx;
    told++;
    event_base_loopbreak(fx.base);
}

static void test_facts_are_written_together(void **state)
{
    (void)state;
    struct events_watcher watcher = {.changed = on_changed};
    event_base_loop(fx.base, EVLOOP_NONBLOCK); /* the start is told */
    events_watch(events(), &watcher);
    told = 0;
    for (int i = 0; i < 20; i++)
        emit("a");
    event_base_loop(fx.base, EVLOOP_NONBLOCK);
    assert_int_equal(told, 0);
    assert_int_equal(last_id(), 1);
    event_base_dispatch(fx.base);
    assert_int_equal(told, 1);
    assert_int_equal(last_id(), 21);
    events_unwatch(events(), &watcher);
}

static void test_facts_wait_while_the_store_refuses(void **state)
{
    (void)state;
    assert_int_equal(events_flush(events()), 0);
    corrupt("ALTER TABLE events RENAME TO hidden");
    emit("a");
    assert_true(events_flush(events()) < 0);
    corrupt("ALTER TABLE hidden RENAME TO events");
    assert_int_equal(last_id(), 1);
    assert_int_equal(events_flush(events()), 0);
    assert_int_equal(last_id(), 2);
}

static void test_a_successor_writes_from_then_on(void **state)
{
    (void)state;
    emit("before");
    events_hand_over(events());
    emit("after");
    assert_int_equal(last_id(), 2);
    assert_int_equal(events_flush(events()), 0);
    assert_int_equal(last_id(), 2);
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    (void)state;
    char message[EVENTS_MESSAGE_MAX + 3];
    memset(message, 'x', sizeof(message));
    memcpy(message + EVENTS_MESSAGE_MAX - 1, "\xc3\xa4", 3); /* its first byte fits, not its last */
    assert_int_equal(events_flush(events()), 0);
    events_emit(events(), &(struct event_fact){.type = EVENT_CONFIG_FAILED, .message = message});
    assert_int_equal(events_flush(events()), 0);
    read_after(1);
    const char *end = strrchr(seen.lines[0], ']');
    assert_int_equal(end - strchr(seen.lines[0], 'x'), EVENTS_MESSAGE_MAX - 1);
}

/* --- Audit ------------------------------------------------------------------------------------ */

static void test_a_record_goes_with_its_transaction(void **state)
{
    (void)state;
    const struct event_fact fact = {.type = EVENT_TOKEN_CREATED, .name = "ci", .actor = "uid:0"};
    assert_int_equal(store_begin(fx.store), 0);
    assert_int_equal(events_record(events(), &fact), 0);
    assert_int_equal(last_id(), 2);
    assert_int_equal(store_end(fx.store, -EIO), -EIO);
    assert_int_equal(last_id(), 1);
    assert_int_equal(store_begin(fx.store), 0);
    assert_int_equal(events_record(events(), &fact), 0);
    assert_int_equal(store_end(fx.store, 0), 0);
    read_after(1);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.lines[0], "token.created token [ci] [] [] uid:0 0");
}

static void test_changes_are_recorded_with_their_actor(void **state)
{
    (void)state;
    assert_int_equal(events_flush(events()), 0);
    service_set_actor(fx.service, "token:admin");
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    struct spec_forward spec = make_forward("web", 0);
    spec.target_port = 81;
    const struct service_forward *forward;
    struct problem problem = {0};
    assert_int_equal(service_update_forward(fx.service, &spec, &forward, &problem), 0);
    spec = make_forward("web", 0);
    spec.target_port = 81;
    assert_int_equal(service_update_forward(fx.service, &spec, &forward, &problem), 0);
    service_set_actor(fx.service, "uid:1000");
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), 0);
    static const char *const expected[] = {
        "tunnel.created tunnel [home] [] [] token:admin 1",
        "forward.created forward [web] [] [] token:admin 1",
        "forward.changed forward [web] [] [] token:admin 2",
        "forward.deleted forward [web] [TunnelDeleted] [] uid:1000 2",
        "tunnel.deleted tunnel [home] [] [] uid:1000 1",
    };
    read_after(1);
    assert_int_equal(seen.count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < seen.count; i++)
        assert_string_equal(seen.lines[i], expected[i]);
}

/* A change whose record cannot be written is not made. */
static void test_no_change_without_its_record(void **state)
{
    (void)state;
    assert_int_equal(events_flush(events()), 0);
    create_tunnel(make_tunnel("home"));
    corrupt("ALTER TABLE events RENAME TO hidden");
    refuse_tunnel(make_tunnel("work"), "storage");
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), -1);
    assert_string_equal(problem.code, "storage");
    assert_non_null(service_find_tunnel(fx.service, "home"));
    corrupt("ALTER TABLE hidden RENAME TO events");
    restart();
    assert_non_null(service_find_tunnel(fx.service, "home"));
    assert_null(service_find_tunnel(fx.service, "work"));
}

static void test_what_did_not_happen_is_not_recorded(void **state)
{
    (void)state;
    assert_int_equal(events_flush(events()), 0);
    fake.fail = -ENOSPC;
    refuse_tunnel(make_tunnel("home"), "exhausted");
    fake.fail = 0;
    read_after(1);
    assert_int_equal(seen.count, 0);
}

static void test_without_a_store_nothing_happens(void **state)
{
    (void)state;
    uint64_t first = 1;
    uint64_t last = 1;
    events_emit(NULL, &(struct event_fact){.type = EVENT_WORKER_DIED});
    assert_int_equal(events_record(NULL, &(struct event_fact){.type = EVENT_WORKER_DIED}), 0);
    assert_int_equal(events_flush(NULL), 0);
    assert_int_equal(events_span(NULL, &first, &last), 0);
    assert_int_equal(first, 0);
    assert_int_equal(last, 0);
    assert_int_equal(events_lost(NULL), 0);
    events_hand_over(NULL);
    events_free(NULL);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_every_type_has_a_name),
        TEST(test_ids_go_on_after_a_restart),
        TEST(test_the_ring_is_bounded),
        TEST(test_lost_facts_leave_a_hole),
        TEST(test_facts_are_written_together),
        TEST(test_facts_wait_while_the_store_refuses),
        TEST(test_a_successor_writes_from_then_on),
        TEST(test_long_texts_are_cut_between_characters),
        TEST(test_a_record_goes_with_its_transaction),
        TEST(test_changes_are_recorded_with_their_actor),
        TEST(test_no_change_without_its_record),
        TEST(test_what_did_not_happen_is_not_recorded),
        TEST(test_without_a_store_nothing_happens),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
