/*
 * What the sweep sees, keeps and tells: conditions of objects that nobody asks for, and events.
 */
#include "server/monotonic.h"
#include "tests/unit/server/service_world.h"

#include "server/events.h"
#include "server/service_internal.h"

#include <signal.h>

/* --- Events ----------------------------------------------------------------------------------- */

static struct {
    char text[16384]; /* "type name reason;" of each */
    size_t len, count;
    char message[EVENTS_MESSAGE_MAX + 1]; /* of the last one */
} told;

static int collect(void *ctx, const struct store_event *event)
{
    (void)ctx;
    told.len += (size_t)snprintf(told.text + told.len, sizeof(told.text) - told.len, "%s %s %s;",
                                 event->type, event->name, event->reason);
    assert_true(told.len < sizeof(told.text));
    const char *more = strstr(event->message, "\xe2"); /* the only character beyond ASCII */
    assert_true(more == NULL || strcmp(more, "…") == 0);
    snprintf(told.message, sizeof(told.message), "%s", event->message);
    told.count++;
    return 0;
}

/* The events since the last call. */
static const char *news(void)
{
    static uint64_t seen;
    struct events *events = service_events(fx.service);
    told.len = told.count = 0;
    told.text[0] = '\0';
    assert_int_equal(events_flush(events), 0);
    uint64_t first, last;
    assert_int_equal(events_span(events, &first, &last), 0);
    if (last < seen) /* another test's database */
        seen = 0;
    assert_int_equal(events_read(events, seen, collect, NULL), 0);
    seen = last;
    return told.text;
}

static void worker_comes(void)
{
    fake.alive = 1;
    fake.watcher->up(fake.watcher->ctx, 0, 100);
}

static void worker_dies(int status)
{
    const struct worker_end end = {.pid = 100, .status = status, .again = true, .wait_ms = 200};
    fake.alive = 0;
    fake.watcher->down(fake.watcher->ctx, 0, &end);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static struct supervised_tunnel *create_with_peer(void)
{
    static struct spec_peer peer;
    struct spec_tunnel spec = make_tunnel("home");
    peer = (struct spec_peer){
        .name = "gw", .public_key = {9}, .endpoint_host = "192.0.2.7", .endpoint_port = 51820};
    struct spec_tunnel copy;
    spec.peers = &peer;
    spec.peers_count = 1;
    assert_int_equal(spec_tunnel_copy(&copy, &spec), 0);
    return create_tunnel(copy)->supervised;
}

/* The object as it is, without asking for it, which would look at it. */
static const struct service_forward *web;
static const struct service_tunnel *home;

static void make_objects(void)
{
    create_with_peer();
    web = create_forward(make_forward("web", 0));
    home = web->tunnel;
    worker_comes();
    news();
}

static void test_worker_that_dies(void **state)
{
    (void)state;
    make_objects();
    assert_true(service_tunnel_is_ready(home) && service_forward_is_ready(web));
    worker_dies(SIGKILL);
    assert_string_equal(home->conditions[TUNNEL_WORKER_ALIVE].is.reason, "WorkerDown");
    assert_false(service_tunnel_is_ready(home) || service_forward_is_ready(web));
    assert_string_equal(web->conditions[FORWARD_READY].is.reason, "TunnelNotReady");
    assert_string_equal(news(), "worker.died 0 Killed;"
                                "tunnel.condition home WorkerDown;"
                                "tunnel.condition home WorkerDown;"
                                "tunnel.condition home WorkerDown;"
                                "forward.condition web TunnelNotReady;"
                                "forward.condition web TunnelNotReady;");
    worker_comes();
    assert_true(service_tunnel_is_ready(home) && service_forward_is_ready(web));
    assert_string_equal(news(), "worker.started 0 Running;"
                                "tunnel.condition home Bound;"
                                "tunnel.condition home Running;"
                                "tunnel.condition home Idle;"
                                "forward.condition web Listening;"
                                "forward.condition web TunnelReady;");
    worker_dies(3 << 8);
    assert_non_null(strstr(news(), "worker.died 0 Exited;"));
}

/* What its worker cannot take is not ready, until it can. */
static void test_worker_that_has_not_all(void **state)
{
    (void)state;
    make_objects();
    web->supervised->failure = EMFILE;
    service_sweep(fx.service);
    assert_true(service_tunnel_is_ready(home));
    assert_false(service_forward_is_ready(web));
    assert_string_equal(news(), "forward.condition web WorkerExhausted;"
                                "forward.condition web WorkerExhausted;");
    web->supervised->failure = 0;
    home->supervised->failure = ENOMEM;
    service_sweep(fx.service);
    assert_false(service_tunnel_is_ready(home) || service_forward_is_ready(web));
    assert_string_equal(news(), "tunnel.condition home WorkerExhausted;"
                                "tunnel.condition home WorkerExhausted;"
                                "forward.condition web Listening;"
                                "forward.condition web TunnelNotReady;"
                                "forward.condition web TunnelNotReady;");
    home->supervised->failure = 0;
    service_sweep(fx.service);
    assert_true(service_tunnel_is_ready(home) && service_forward_is_ready(web));
    news();
}

static void test_peer_that_does_not_answer(void **state)
{
    (void)state;
    make_objects();
    struct counters_peer *counters = &home->supervised->peers[0];
    counter_set(&counters->unanswered, 3);
    service_sweep(fx.service);
    assert_string_equal(home->conditions[TUNNEL_HANDSHAKE_FRESH].is.reason, "NoAnswer");
    assert_string_equal(home->conditions[TUNNEL_HANDSHAKE_FRESH].is.subject, "gw");
    assert_string_equal(web->conditions[FORWARD_READY].is.reason, "TunnelNotReady");
    assert_string_equal(news(), "tunnel.condition home NoAnswer;tunnel.condition home NoAnswer;"
                                "forward.condition web TunnelNotReady;"
                                "forward.condition web TunnelNotReady;");
    service_sweep(fx.service);
    assert_string_equal(news(), "");
    counter_set(&counters->unanswered, 0);
    /* Wherever the wall clock is, or was. */
    counter_set(&counters->last_handshake_unix_ns, 1);
    counter_set(&counters->last_handshake_at, monotonic_ns());
    service_sweep(fx.service);
    assert_true(service_tunnel_is_ready(home) && service_forward_is_ready(web));
    assert_string_equal(news(), "tunnel.condition home Bound;tunnel.condition home Fresh;"
                                "forward.condition web Listening;"
                                "forward.condition web TunnelReady;");
}

static void enable(bool enabled)
{
    struct spec_forward spec = make_forward("web", 0);
    spec.enabled = enabled;
    struct problem problem = {0};
    assert_int_equal(service_update_forward(fx.service, &spec, &web, &problem), 0);
}

/* Two tunnels, with this many forwards each: "home-0" … and "work-0" …. */
static void make_followers(unsigned home_count, unsigned work_count)
{
    const struct {
        const char *tunnel;
        unsigned count;
    } rows[] = {{"home", home_count}, {"work", work_count}};
    for (size_t row = 0; row < 2; row++) {
        create_tunnel(make_tunnel(rows[row].tunnel));
        for (unsigned i = 0; i < rows[row].count; i++) {
            char name[32];
            snprintf(name, sizeof(name), "%s-%u", rows[row].tunnel, i);
            struct spec_forward spec = make_forward(name, 0);
            strcpy(spec.tunnel, rows[row].tunnel);
            create_forward(spec);
        }
    }
    worker_comes();
    news();
}

/* Of many forwards, one event of each tunnel tells; and once. */
static void test_followers_of_a_dead_worker(void **state)
{
    (void)state;
    make_followers(FOLLOWERS_EACH_MAX, 3);
    worker_dies(SIGKILL);
    const char *text = news();
    assert_null(strstr(text, "forward.condition"));
    assert_non_null(strstr(text, "tunnel.forwards home TunnelNotReady;"
                                 "tunnel.forwards work TunnelNotReady;"));
    service_sweep(fx.service);
    assert_string_equal(news(), "");
    worker_comes();
    assert_non_null(strstr(news(), "tunnel.forwards home TunnelReady;"
                                   "tunnel.forwards work TunnelReady;"));
    assert_string_equal(told.message,
                        "TunnelReady is True of 3 forward(s), and Ready follows in 3: "
                        "work-0, work-1, work-2");
}

/* Of many tunnels one event of their worker tells, and of their forwards it alone. */
static void test_tunnels_of_a_dead_worker(void **state)
{
    (void)state;
    for (unsigned i = 0; i <= FOLLOWERS_EACH_MAX; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t-%02u", i);
        create_tunnel(make_tunnel(name));
        struct spec_forward spec = make_forward(name, 0);
        strcpy(spec.tunnel, name);
        create_forward(spec);
    }
    worker_comes();
    news();
    worker_dies(SIGKILL);
    const char *text = news();
    assert_null(strstr(text, "tunnel."));
    assert_null(strstr(text, "forward."));
    assert_non_null(strstr(text, "worker.died 0 Killed;worker.tunnels 0 WorkerDown;"));
    assert_string_equal(told.message, "WorkerAlive is False of 33 tunnels with 33 forwards, and "
                                      "Ready follows in 33: t-00, t-01, t-02, t-03, t-04, …");
    service_sweep(fx.service);
    assert_string_equal(news(), "");
    worker_comes();
    assert_null(strstr(news(), "tunnel."));
    assert_non_null(strstr(told.message, "WorkerAlive is True of 33 tunnels"));
    /* One by one what is of one alone. */
    struct problem problem = {0};
    assert_int_equal(service_delete_forward(fx.service, "t-00", &problem), 0);
    assert_non_null(strstr(news(), "forward.deleted t-00"));
}

/* However long names are, what is told of them is whole characters. */
static void test_followers_with_long_names(void **state)
{
    (void)state;
    const int longest = SPEC_NAME_MAX - 2; /* behind the tunnel's letter and its own */
    for (int cut = 0; cut < 16; cut++) {
        char tunnel[] = {(char)('a' + cut), '\0'};
        create_tunnel(make_tunnel(tunnel));
        for (int i = 0; i < 4; i++) {
            char name[SPEC_NAME_MAX + 1];
            snprintf(name, sizeof(name), "%s%d%0*d", tunnel, i, i == 2 ? longest - cut : longest,
                     0);
            struct spec_forward spec = make_forward(name, 0);
            strcpy(spec.tunnel, tunnel);
            create_forward(spec);
        }
    }
    worker_comes();
    news();
    worker_dies(SIGKILL);
    assert_non_null(strstr(news(), "tunnel.forwards a TunnelNotReady;"));
    assert_non_null(strstr(told.message, "…"));
}

/* What one is seen to be by somebody who asks is told of, too, both there and back. */
static void test_follower_that_is_asked_for(void **state)
{
    (void)state;
    make_followers(1, 0);
    fake.alive = 0;
    assert_false(service_forward_is_ready(service_find_forward(fx.service, "home-0")));
    fake.alive = 1;
    assert_true(service_forward_is_ready(service_find_forward(fx.service, "home-0")));
    service_sweep(fx.service);
    /* In the order of what was seen. */
    assert_non_null(strstr(news(), "forward.condition home-0 Listening;"
                                   "forward.condition home-0 TunnelReady;"));
    assert_int_equal(told.count, 4);
}

static void test_follower_that_is_disabled(void **state)
{
    (void)state;
    make_objects();
    enable(false);
    service_sweep(fx.service);
    assert_string_equal(news(), "forward.changed web ;"
                                "forward.condition web Disabled;"
                                "forward.condition web Disabled;"
                                "forward.condition web Disabled;"
                                "forward.condition web Disabled;");
}

static void test_name_that_cannot_be_looked_up(void **state)
{
    (void)state;
    make_objects();
    fake.lookup_pending = true;
    service_sweep(fx.service);
    assert_true(service_tunnel_is_ready(home));
    assert_string_equal(home->conditions[TUNNEL_ENDPOINT_RESOLVED].is.reason, "Resolving");
    fake.lookup_failed = true;
    service_sweep(fx.service);
    assert_string_equal(home->conditions[TUNNEL_READY].is.reason, "NameNotFound");
    fake.lookup_pending = fake.lookup_failed = false;
}

static void test_target(void **state)
{
    (void)state;
    make_objects();
    struct counters_forward *counters = &web->supervised->counters;
    counter_set(&counters->last_error, ECONNREFUSED);
    counter_set(&counters->last_error_at, 5);
    service_sweep(fx.service);
    assert_string_equal(web->conditions[FORWARD_TARGET_REACHABLE].is.reason, "ConnectionRefused");
    assert_true(service_forward_is_ready(web));
    assert_string_equal(news(), "forward.condition web ConnectionRefused;");
    counter_set(&counters->last_connect_at, 6);
    service_sweep(fx.service);
    assert_string_equal(news(), "forward.condition web Connected;");

    /* Another target: what was tried before says nothing of it. */
    struct spec_forward other = make_forward("web", 0);
    other.target_port = 81;
    struct problem problem = {0};
    assert_int_equal(service_update_forward(fx.service, &other, &web, &problem), 0);
    assert_string_equal(web->conditions[FORWARD_TARGET_REACHABLE].is.reason, "NotTried");
    /* What was tried since does, wherever the wall clock is. */
    web->supervised->counters.last_error_unix_ns = 1;
    counter_set(&web->supervised->counters.last_error_at, monotonic_ns());
    service_sweep(fx.service);
    assert_string_equal(web->conditions[FORWARD_TARGET_REACHABLE].is.reason, "ConnectionRefused");
}

/* Before the workers are up nothing is told; then what is wrong is. */
static void test_start(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t port = create_forward(make_forward("web", 0))->bound_port;
    stop();
    int fd = take_port(&port);
    start();
    news();
    fake.alive = 0;
    service_sweep(fx.service);
    assert_string_equal(news(), "");
    worker_comes();
    assert_string_equal(news(), "worker.started 0 Running;"
                                "forward.condition web AddressInUse;"
                                "forward.condition web AddressInUse;");
    sockets_close_listener(fd);
}

/* --- Who must be up --------------------------------------------------------------------------- */

static void require(bool required)
{
    struct spec_tunnel spec;
    struct problem problem = {0};
    assert_int_equal(spec_tunnel_copy(&spec, &home->spec), 0);
    spec.required = required;
    assert_int_equal(service_update_tunnel(fx.service, &spec, &home, &problem), 0);
    assert_int_equal(home->spec.required, required);
}

static void expect_awaited(enum service_ready_when when, size_t count, const char *missing)
{
    struct service_awaited awaited;
    service_set_ready_when(fx.service, when);
    service_await(fx.service, &awaited);
    assert_int_equal(awaited.count, count);
    assert_int_equal(awaited.up, count - (missing != NULL));
    assert_string_equal(awaited.missing != NULL ? awaited.missing : "", missing ? missing : "");
    assert_int_equal(service_ready(fx.service), missing == NULL);
}

static void test_ready_when(void **state)
{
    (void)state;
    enum service_ready_when when = SERVICE_READY_STARTED;
    assert_int_equal(service_ready_when_parse("all", &when), 0);
    assert_int_equal(when, SERVICE_READY_ALL);
    assert_int_equal(service_ready_when_parse("required", &when), 0);
    assert_int_equal(when, SERVICE_READY_REQUIRED);
    assert_int_equal(service_ready_when_parse("", &when), -EINVAL);
    make_objects();
    expect_awaited(SERVICE_READY_STARTED, 0, NULL);
    expect_awaited(SERVICE_READY_REQUIRED, 0, NULL);
    expect_awaited(SERVICE_READY_ALL, 1, "home");
    require(true);
    expect_awaited(SERVICE_READY_REQUIRED, 1, "home");
    expect_awaited(SERVICE_READY_STARTED, 0, NULL);
    /* A handshake, and a long time ago: it is idle, and up. */
    counter_set(&home->supervised->counters.last_handshake_unix_ns, 1);
    expect_awaited(SERVICE_READY_REQUIRED, 1, NULL);
    expect_awaited(SERVICE_READY_ALL, 1, NULL);
    counter_set(&home->supervised->peers[0].unanswered, 3);
    service_sweep(fx.service);
    expect_awaited(SERVICE_READY_REQUIRED, 1, "home");
    require(false);
    expect_awaited(SERVICE_READY_REQUIRED, 0, NULL);
    stop();
    start();
}

/* --- Totals ----------------------------------------------------------------------------------- */

static void count(const struct service_forward *forward, uint64_t n)
{
    struct counters_forward *counters = &forward->supervised->counters;
    counter_set(&counters->connections_total, n);
    counter_set(&counters->connect_failures, n + 1);
    counter_set(&counters->bytes_in, n + 2);
    counter_set(&counters->bytes_out, n + 3);
}

static void expect_totals(uint64_t connections, uint64_t failures, uint64_t in, uint64_t out)
{
    const struct forward_totals totals =
        service_forward_totals(service_find_forward(fx.service, "web"));
    assert_int_equal(totals.connections, connections);
    assert_int_equal(totals.connect_failures, failures);
    assert_int_equal(totals.bytes_in, in);
    assert_int_equal(totals.bytes_out, out);
}

/* What a person looks at goes on, whatever is restarted. */
static void test_totals(void **state)
{
    (void)state;
    make_objects();
    expect_totals(0, 0, 0, 0);
    count(web, 10);
    expect_totals(10, 11, 12, 13);
    enable(false);
    expect_totals(10, 11, 12, 13);
    enable(true);
    count(web, 100);
    counter_set(&home->supervised->counters.rx_bytes, 7);
    expect_totals(110, 112, 114, 116);
    stop();
    start();
    expect_totals(110, 112, 114, 116);
    count(service_find_forward(fx.service, "web"), 1000);
    expect_totals(1110, 1113, 1116, 1119);
    const struct service_tunnel *tunnel = service_find_tunnel(fx.service, "home");
    assert_int_equal(service_tunnel_totals(tunnel).rx_bytes, 7);

    /* Another one of the same name has counted nothing. */
    service_save_totals(fx.service);
    struct problem problem = {0};
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), 0);
    create_forward(make_forward("web", 0));
    expect_totals(0, 0, 0, 0);
    stop();
    start();
    expect_totals(0, 0, 0, 0);
}

/* More than one portion, of which every row is written. */
static void test_totals_of_many(void **state)
{
    (void)state;
    enum { MANY = 1100 };
    char name[32];
    make_objects();
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        struct spec_forward spec = make_forward(name, 0);
        count(create_forward(spec), i);
    }
    stop();
    start();
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        const struct service_forward *forward = service_find_forward(fx.service, name);
        assert_int_equal(service_forward_totals(forward).bytes_out, i + 3);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* The addresses have room, however long the name is. */
static void test_other_addresses(void **state)
{
    (void)state;
    make_objects();
    struct spec_peer peer = {.name = "gw"};
    struct resolved resolved = {.count = 1};
    struct inet_addr address;
    memset(peer.endpoint_host, 'a', sizeof(peer.endpoint_host) - 1);
    assert_int_equal(inet_addr_parse("2001:db8::7", &address), 0);
    inet_sockaddr_make(&resolved.addresses[0], &address, 51820);
    fake.watcher->readdressed(fake.watcher->ctx, &home->spec, &peer, &resolved);
    assert_string_equal(news(), "tunnel.readdressed home Readdressed;");
    assert_non_null(strstr(told.message, "aaa is [2001:db8::7]:51820 now"));
}

/* Each of several; of one alone the conditions tell, and of very many the log. */
static void test_peers_that_are_silent(void **state)
{
    (void)state;
    static struct spec_peer peers[33] = {{.name = "a"}, {.name = "b"}};
    static const struct {
        size_t peers;
        enum peer_news news;
        const char *told;
    } cases[] = {
        {1, PEER_SILENT, ""},
        {2, PEER_SILENT, "tunnel.peer home NoAnswer;"},
        {2, PEER_ANSWERS_AGAIN, "tunnel.peer home AnswersAgain;"},
        {32, PEER_SILENT, "tunnel.peer home NoAnswer;"},
        {33, PEER_SILENT, ""},
    };
    make_objects();
    news();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct spec_tunnel spec = home->spec;
        spec.peers = peers;
        spec.peers_count = cases[i].peers;
        fake.watcher->peer_news(fake.watcher->ctx, &spec, &peers[1], cases[i].news);
        assert_string_equal(news(), cases[i].told);
    }
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
    const struct CMUnitTest tests[] = {
        TEST(test_worker_that_dies),
        TEST(test_worker_that_has_not_all),
        TEST(test_peer_that_does_not_answer),
        TEST(test_followers_of_a_dead_worker),
        TEST(test_tunnels_of_a_dead_worker),
        TEST(test_followers_with_long_names),
        TEST(test_follower_that_is_asked_for),
        TEST(test_follower_that_is_disabled),
        TEST(test_name_that_cannot_be_looked_up),
        TEST(test_other_addresses),
        TEST(test_peers_that_are_silent),
        TEST(test_target),
        TEST(test_start),
        TEST(test_ready_when),
        TEST(test_totals),
        TEST(test_totals_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
