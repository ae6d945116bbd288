#include "server/service_takeover.h"
#include "tests/unit/server/service_world.h"

/* --- Creation and deletion -------------------------------------------------------------------- */

static void test_create_moves_the_definition(void **state)
{
    (void)state;
    struct spec_tunnel spec = make_tunnel("home");
    const struct service_tunnel *tunnel;
    struct problem problem = {0};
    assert_int_equal(service_create_tunnel(fx.service, &spec, &tunnel, &problem), 0);
    assert_true(sodium_is_zero((const unsigned char *)&spec, sizeof(spec)));
    assert_string_equal(tunnel->spec.name, "home");
    assert_true(tunnel->port > 0);
    assert_true(service_tunnel_is_ready(tunnel));
    assert_ptr_equal(service_find_tunnel(fx.service, "home"), tunnel);
    assert_int_equal(fake.tunnels, 1);
}

static void test_duplicates(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    refuse_tunnel(make_tunnel("home"), "name_taken");
    create_forward(make_forward("web", 0));
    refuse_forward(make_forward("web", 0), "name_taken", "/name");
}

static void test_unknown_tunnel_and_family(void **state)
{
    (void)state;
    refuse_forward(make_forward("web", 0), "validation", "/tunnel");
    create_tunnel(make_tunnel("home"));
    struct spec_forward spec = make_forward("web", 0);
    inet_addr_parse("fd00::1", &spec.target_address);
    refuse_forward(spec, "validation", "/target/host");
}

static void test_port_taken(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t port = 0;
    int fd = take_port(&port);
    refuse_forward(make_forward("web", port), "address_in_use", "/listen/port");
    assert_null(service_find_forward(fx.service, "web"));
    sockets_close_listener(fd);
    create_forward(make_forward("web", port));
    refuse_forward(make_forward("web2", port), "address_in_use", "/listen/port");
}

static void test_tunnel_port_taken(void **state)
{
    (void)state;
    uint16_t port = create_tunnel(make_tunnel("home"))->port;
    struct spec_tunnel spec = make_tunnel("work");
    spec.listen_port = port;
    refuse_tunnel(spec, "address_in_use");
}

static void test_address_of_another_host(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    struct spec_forward spec = make_forward("web", 0);
    inet_addr_parse("192.0.2.1", &spec.listen_address);
    refuse_forward(spec, "address_not_available", "/listen/port");
}

static void test_supervisor_refuses(void **state)
{
    (void)state;
    fake.fail = -ENOSPC;
    refuse_tunnel(make_tunnel("home"), "exhausted");
    fake.fail = 0;
    create_tunnel(make_tunnel("home"));
    fake.fail = -ENOMEM;
    refuse_forward(make_forward("web", 0), "exhausted", NULL);
    fake.fail = 0;
    /* Nor was anything stored. */
    stop();
    start();
    assert_null(service_find_forward(fx.service, "web"));
    assert_non_null(service_find_tunnel(fx.service, "home"));
}

static void test_disabled_forward_does_not_listen(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    struct spec_forward spec = make_forward("web", 0);
    spec.enabled = false;
    const struct service_forward *forward = create_forward(spec);
    assert_int_equal(forward->listener, -1);
    assert_int_equal(fake.forwards, 0);
    assert_string_equal(forward->conditions[FORWARD_READY].is.reason, "Disabled");
}

static void test_names_are_generated(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    const struct service_forward *one = create_forward(make_forward("", 0));
    const struct service_forward *two = create_forward(make_forward("", 0));
    assert_true(spec_name_valid(one->spec.name));
    assert_true(strcmp(one->spec.name, two->spec.name) != 0);
}

static void test_delete_in_use(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_tunnel(make_tunnel("work"));
    create_forward(make_forward("a", 0));
    create_forward(make_forward("c", 0));
    struct spec_forward other = make_forward("b", 0);
    strcpy(other.tunnel, "work");
    create_forward(other);
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "home", false, &problem), -1);
    assert_string_equal(problem.code, "in_use");
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), 0);
    assert_string_equal(service_next_forward(fx.service, "")->spec.name, "b");
    assert_null(service_next_forward(fx.service, "b"));
    assert_int_equal(fake.forwards, 1);
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), -1);
    assert_string_equal(problem.code, "not_found");
    stop();
    start();
    assert_null(service_find_tunnel(fx.service, "home"));
    assert_null(service_find_forward(fx.service, "a"));
    assert_non_null(service_find_forward(fx.service, "b"));
}

/* --- Ports are free when their object is gone ------------------------------------------------- */

static void test_listen_port_again_at_once(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t port = create_forward(make_forward("web", 0))->bound_port;
    struct problem problem = {0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(service_delete_forward(fx.service, "web", &problem), 0);
        create_forward(make_forward("web", port)); /* the worker has not caught up */
    }
}

static void test_outer_port_again_at_once(void **state)
{
    (void)state;
    struct spec_tunnel spec = make_tunnel("home");
    spec.listen_address = (struct inet_addr){.family = AF_UNSPEC};
    uint16_t port = create_tunnel(spec)->port;
    struct problem problem = {0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(service_delete_tunnel(fx.service, "home", false, &problem), 0);
        spec.listen_port = port;
        assert_int_equal(create_tunnel(spec)->port, port);
    }
}

/* --- Restoring -------------------------------------------------------------------------------- */

static void test_restore(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t port = create_forward(make_forward("web", 0))->bound_port;
    struct timespec created = service_find_forward(fx.service, "web")->created_at;
    stop();
    start();
    const struct service_forward *forward = service_find_forward(fx.service, "web");
    assert_int_equal(forward->bound_port, port);
    assert_int_equal(forward->spec.listen_port, 0);
    assert_int_equal(forward->created_at.tv_sec, created.tv_sec);
    assert_int_equal(forward->created_at.tv_nsec, created.tv_nsec);
    assert_true(service_forward_is_ready(forward));
    assert_int_equal(fake.tunnels, 1);
    assert_int_equal(fake.forwards, 1);
}

/* Turns the loop until the forward is ready; ctest's limit ends it otherwise. */
static void wait_ready(const char *name)
{
    while (!service_forward_is_ready(service_find_forward(fx.service, name)))
        event_base_loop(fx.base, EVLOOP_ONCE);
}

static int count_rows(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int count = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return count;
}

/* Ports that are chosen at the start are one change, which is made when it can be. */
static void test_restore_stores_ports_together(void **state)
{
    (void)state;
    enum { FORWARDS = 20 };
    char path[128];
    sqlite3 *db;
    create_tunnel(make_tunnel("home"));
    for (int i = 0; i < FORWARDS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        create_forward(make_forward(name, 0));
    }
    stop();
    snprintf(path, sizeof(path), "%s/manytun.db", fx.directory);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE forwards SET bound_port = 0; BEGIN IMMEDIATE", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    struct timespec before;
    struct timespec after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    start();
    clock_gettime(CLOCK_MONOTONIC, &after);
    /* The database is waited for once, for a quarter of a second, and not for each of them. */
    assert_in_range(after.tv_sec - before.tv_sec, 0, FORWARDS / 4 / 2);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    while (count_rows(db, "SELECT count(*) FROM forwards WHERE bound_port = 0") > 0)
        event_base_loop(fx.base, EVLOOP_ONCE);
    sqlite3_close(db);
}

/* The port that port 0 was, as the store has it: one of this process alone. Nothing runs. */
static int take_remembered_port(uint16_t *port)
{
    char sql[64];
    int fd = take_port(port);
    snprintf(sql, sizeof(sql), "UPDATE forwards SET bound_port = %u", (unsigned)*port);
    corrupt(sql);
    return fd;
}

/* The workers of a killed service still listen when the next one starts. */
static void test_restore_waits_for_its_port(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    stop();
    uint16_t port = 0;
    int fd = take_remembered_port(&port);
    start();
    assert_string_equal(
        service_find_forward(fx.service, "web")->conditions[FORWARD_READY].is.reason,
        "AddressInUse");
    while (service_find_forward(fx.service, "web")->attempts < 2)
        event_base_loop(fx.base, EVLOOP_ONCE);
    sockets_close_listener(fd);
    wait_ready("web");
    assert_int_equal(service_find_forward(fx.service, "web")->bound_port, port);
}

static void test_restore_chooses_another_port(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    stop();
    uint16_t port = 0;
    int fd = take_remembered_port(&port);
    start();
    wait_ready("web");
    uint16_t next = service_find_forward(fx.service, "web")->bound_port;
    assert_int_not_equal(next, port);
    stop();
    sockets_close_listener(fd);
    start();
    assert_int_equal(service_find_forward(fx.service, "web")->bound_port, next);
}

static void test_restore_with_a_taken_port(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t port = 0;
    int fd = take_port(&port);
    sockets_close_listener(fd);
    create_forward(make_forward("web", port));
    stop();
    fd = take_port(&port);
    start();
    const struct service_forward *forward = service_find_forward(fx.service, "web");
    assert_false(service_forward_is_ready(forward));
    assert_string_equal(forward->conditions[FORWARD_READY].is.reason, "AddressInUse");
    struct timespec since = forward->conditions[FORWARD_READY].since;
    assert_int_equal(
        service_find_forward(fx.service, "web")->conditions[FORWARD_READY].since.tv_nsec,
        since.tv_nsec);
    sockets_close_listener(fd);
    wait_ready("web");
    assert_string_equal(forward->conditions[FORWARD_READY].is.reason, "Listening");
    assert_int_equal(forward->bound_port, port);
    assert_int_equal(fake.forwards, 1);
}

static void test_restore_of_a_tunnel_that_cannot_start(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    stop();
    fake.fail = -ENOMEM;
    start();
    assert_string_equal(service_find_tunnel(fx.service, "home")->conditions[TUNNEL_READY].is.reason,
                        "ResourcesExhausted");
    const struct service_forward *forward = service_find_forward(fx.service, "web");
    assert_string_equal(forward->conditions[FORWARD_READY].is.reason, "TunnelNotReady");
    assert_true(forward->listener >= 0);
    fake.fail = 0;
    wait_ready("web");
    assert_true(service_tunnel_is_ready(service_find_tunnel(fx.service, "home")));
}

static void test_deletion_while_retrying(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    stop();
    fake.fail = -ENOMEM;
    start();
    fake.fail = 0;
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), 0);
    const struct timeval later = {.tv_usec = 300000}; /* than the timer, which finds nothing */
    event_base_loopexit(fx.base, &later);
    event_base_dispatch(fx.base);
}

static void test_unreadable_tunnel_does_not_stop_the_rest(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_tunnel(make_tunnel("work"));
    create_forward(make_forward("web", 0));
    struct spec_forward other = make_forward("app", 0);
    strcpy(other.tunnel, "work");
    create_forward(other);
    stop();
    corrupt("UPDATE tunnels SET definition = '{' WHERE name = 'home'");
    start();
    assert_null(service_find_tunnel(fx.service, "home"));
    assert_null(service_find_forward(fx.service, "web"));
    assert_true(service_forward_is_ready(service_find_forward(fx.service, "app")));
    /* Its name is still taken: the row is kept for a person to repair. */
    refuse_tunnel(make_tunnel("home"), "name_taken");
}

/* --- Conditions, order, scale ----------------------------------------------------------------- */

static void test_worker_down(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    fake.alive = 0;
    assert_string_equal(service_find_tunnel(fx.service, "home")->conditions[TUNNEL_READY].is.reason,
                        "WorkerDown");
    assert_string_equal(
        service_find_forward(fx.service, "web")->conditions[FORWARD_READY].is.reason,
        "TunnelNotReady");
    assert_false(service_ready(fx.service));
    fake.alive = 1;
    assert_true(service_forward_is_ready(service_find_forward(fx.service, "web")));
}

static void test_order(void **state)
{
    (void)state;
    static const char *const names[] = {"m", "a", "z", "b-1", "b", "0"};
    for (size_t i = 0; i < 6; i++)
        create_tunnel(make_tunnel(names[i]));
    static const char *const sorted[] = {"0", "a", "b", "b-1", "m", "z"};
    const char *after = "";
    for (size_t i = 0; i < 6; i++) {
        const struct service_tunnel *tunnel = service_next_tunnel(fx.service, after);
        assert_string_equal(tunnel->spec.name, sorted[i]);
        after = tunnel->spec.name;
    }
    assert_null(service_next_tunnel(fx.service, after));
    assert_string_equal(service_next_tunnel(fx.service, "aa")->spec.name, "b");
}

/* Without a store, as the one-shot command runs it. */
static void note_drained(void *ctx)
{
    *(bool *)ctx = true;
}

/* What no worker has is closed here, at once; nothing is tried again. */
static void test_drain(void **state)
{
    (void)state;
    bool drained = false;
    create_tunnel(make_tunnel("home"));
    fake.fail = 0;
    uint16_t port = create_forward(make_forward("web", 0))->bound_port;
    stop();
    fake.fail = -ENOSPC; /* the tunnel is not up, the forward listens */
    start();
    uint16_t taken = port;
    assert_int_equal(sockets_listen(&loopback, taken, &taken), -EADDRINUSE);
    service_drain(fx.service, note_drained, &drained);
    fake.fail = 0;
    assert_true(service_draining(fx.service));
    assert_false(service_ready(fx.service));
    close(take_port(&port));
    assert_false(drained);
    fake.drained(fake.drained_ctx);
    assert_true(drained);
}

static struct inherited *offered;

static int keep_offer(void *ctx, enum inherited_kind kind, const char *name,
                      const int fds[INHERITED_FDS_MAX])
{
    (void)ctx;
    struct inherited_item item = {.kind = (uint8_t)kind};
    snprintf(item.name, sizeof(item.name), "%s", name);
    for (int i = 0; i < INHERITED_FDS_MAX; i++)
        item.fds[i] = fds[i] >= 0 ? dup(fds[i]) : -1;
    return inherited_add(offered, &item);
}

/* While it is handed over nothing changes; when that comes to nothing, all goes on. */
static void test_freeze(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    service_freeze(fx.service);
    assert_true(service_frozen(fx.service));
    assert_true(service_ready(fx.service));
    refuse_tunnel(make_tunnel("other"), "draining");
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), -1);
    service_thaw(fx.service);
    create_tunnel(make_tunnel("other"));
}

/* The newer service has the sockets of the older one, which are still bound, and its bridges. */
static void test_inherit(void **state)
{
    (void)state;
    uint16_t outer = create_tunnel(make_tunnel("home"))->port;
    uint16_t port = create_forward(make_forward("web", 0))->bound_port;
    struct spec_forward off = make_forward("off", 0);
    off.enabled = false;
    create_forward(off);
    assert_int_equal(inherited_new(&offered), 0);
    struct service *older = fx.service;
    service_freeze(older);
    assert_int_equal(service_offer_sockets(older, keep_offer, NULL), 0);
    assert_int_equal(service_offer_bridges(older, keep_offer, NULL), 0);
    assert_int_equal(service_offer_workers(older, keep_offer, NULL), 0);

    assert_int_equal(service_new(fx.base, NULL, fx.store, &fx.service), 0);
    service_inherit(fx.service, offered);
    struct problem problem = {0};
    fake.adopted = 0;
    assert_int_equal(service_restore(fx.service, &problem), 0);
    service_inherit(fx.service, NULL);
    const struct service_forward *forward = service_find_forward(fx.service, "web");
    assert_int_equal(service_find_tunnel(fx.service, "home")->port, outer);
    assert_int_equal(forward->bound_port, port);
    assert_true(forward->listener >= 0);
    assert_int_equal(forward->start_error, 0);
    assert_int_equal(fake.adopted, 1);
    int fds[INHERITED_FDS_MAX];
    assert_false(inherited_take(offered, INHERITED_FORWARD, NULL, fds));
    assert_false(inherited_take(offered, INHERITED_TUNNEL, NULL, fds));
    inherited_free(offered);
    /* In one process the older one can be freed; it would shut the newer one's listener. */
    service_free(older);
}

static void test_without_a_store(void **state)
{
    (void)state;
    struct service *service;
    assert_int_equal(service_new(fx.base, NULL, NULL, &service), 0);
    struct problem problem = {0};
    assert_int_equal(service_restore(service, &problem), 0);
    struct spec_tunnel tunnel = make_tunnel("home");
    struct spec_forward forward = make_forward("web", 0);
    const struct service_tunnel *made_tunnel;
    const struct service_forward *made_forward;
    assert_int_equal(service_create_tunnel(service, &tunnel, &made_tunnel, &problem), 0);
    assert_int_equal(service_create_forward(service, &forward, &made_forward, &problem), 0);
    assert_int_equal(service_delete_forward(service, "web", &problem), 0);
    service_free(service);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_create_moves_the_definition),
        TEST(test_duplicates),
        TEST(test_unknown_tunnel_and_family),
        TEST(test_port_taken),
        TEST(test_tunnel_port_taken),
        TEST(test_address_of_another_host),
        TEST(test_supervisor_refuses),
        TEST(test_disabled_forward_does_not_listen),
        TEST(test_names_are_generated),
        TEST(test_delete_in_use),
        TEST(test_listen_port_again_at_once),
        TEST(test_outer_port_again_at_once),
        TEST(test_restore),
        TEST(test_restore_waits_for_its_port),
        TEST(test_restore_chooses_another_port),
        TEST(test_restore_stores_ports_together),
        TEST(test_restore_with_a_taken_port),
        TEST(test_restore_of_a_tunnel_that_cannot_start),
        TEST(test_deletion_while_retrying),
        TEST(test_unreadable_tunnel_does_not_stop_the_rest),
        TEST(test_worker_down),
        TEST(test_drain),
        TEST(test_freeze),
        TEST(test_inherit),
        TEST(test_order),
        TEST(test_without_a_store),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
