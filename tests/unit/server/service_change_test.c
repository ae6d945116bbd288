/*
 * Changes of tunnels and forwards that exist.
 */
#include "tests/unit/server/service_world.h"

static const struct service_tunnel *update_tunnel(struct spec_tunnel spec, uint64_t generation)
{
    const struct service_tunnel *tunnel = NULL;
    struct problem problem = {0};
    if (service_update_tunnel(fx.service, &spec, &tunnel, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    assert_true(sodium_is_zero((const unsigned char *)&spec, sizeof(spec)));
    assert_int_equal(tunnel->generation, generation);
    return tunnel;
}

static const struct service_forward *update_forward(struct spec_forward spec, uint64_t generation)
{
    const struct service_forward *forward = NULL;
    struct problem problem = {0};
    if (service_update_forward(fx.service, &spec, &forward, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    assert_int_equal(forward->generation, generation);
    return forward;
}

static void refuse_change_of_tunnel(struct spec_tunnel spec, const char *code)
{
    struct problem problem = {0};
    const struct service_tunnel *tunnel;
    assert_int_equal(service_update_tunnel(fx.service, &spec, &tunnel, &problem), -1);
    assert_string_equal(problem.code, code);
}

static void refuse_change_of_forward(struct spec_forward spec, const char *code)
{
    struct problem problem = {0};
    const struct service_forward *forward;
    assert_int_equal(service_update_forward(fx.service, &spec, &forward, &problem), -1);
    assert_string_equal(problem.code, code);
}

static void add_peer(struct spec_tunnel *spec, uint8_t key)
{
    spec->peers = calloc(1, sizeof(*spec->peers));
    assert_non_null(spec->peers);
    spec->peers_count = 1;
    strcpy(spec->peers[0].name, "gw");
    memset(spec->peers[0].public_key, key, SPEC_KEY_LEN);
}

static void test_change_of_nothing(void **state)
{
    (void)state;
    struct spec_tunnel spec = make_tunnel("home");
    add_peer(&spec, 7);
    create_tunnel(spec);
    create_forward(make_forward("web", 0));
    size_t before = fake.updates;
    int listener = service_find_forward(fx.service, "web")->listener;
    spec = make_tunnel("home");
    add_peer(&spec, 7);
    update_tunnel(spec, 1);
    assert_int_equal(update_forward(make_forward("web", 0), 1)->listener, listener);
    assert_int_equal(fake.updates, before);
}

static void test_change_of_a_target(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    const struct service_forward *forward = create_forward(make_forward("web", 0));
    int listener = forward->listener;
    uint16_t port = forward->bound_port;
    struct spec_forward spec = make_forward("web", 0);
    spec.target_port = 81;
    size_t before = fake.updates;
    assert_ptr_equal(update_forward(spec, 2), forward);
    assert_int_equal(fake.updates, before + 1);
    assert_int_equal(forward->listener, listener);
    assert_int_equal(forward->spec.target_port, 81);
    /* The port that 0 became may be asked for by its number. */
    spec.listen_port = port;
    assert_int_equal(update_forward(spec, 3)->listener, listener);
    stop();
    start();
    forward = service_find_forward(fx.service, "web");
    assert_int_equal(forward->generation, 3);
    assert_int_equal(forward->spec.target_port, 81);
    assert_int_equal(forward->bound_port, port);
}

static bool is_free(uint16_t port)
{
    int fd = sockets_listen(&loopback, port, &port);
    sockets_close_listener(fd);
    return fd >= 0;
}

static void test_change_of_a_listen_port(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t old = create_forward(make_forward("web", 0))->bound_port;
    uint16_t port = 0;
    int fd = take_port(&port);
    refuse_change_of_forward(make_forward("web", port), "address_in_use");
    const struct service_forward *forward = service_find_forward(fx.service, "web");
    assert_int_equal(forward->generation, 1);
    assert_int_equal(forward->bound_port, old);
    assert_true(service_forward_is_ready(forward));
    assert_false(is_free(old));
    sockets_close_listener(fd);
    assert_int_equal(update_forward(make_forward("web", port), 2)->bound_port, port);
    assert_true(is_free(old));
    assert_false(is_free(port));
}

static void test_change_that_the_workers_refuse(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t old = create_forward(make_forward("web", 0))->bound_port;
    uint16_t port = 0;
    sockets_close_listener(take_port(&port));
    uint16_t outer = service_find_tunnel(fx.service, "home")->port;
    struct spec_tunnel tunnel = make_tunnel("home");
    tunnel.mtu = 1300;
    inet_addr_parse("127.0.0.2", &tunnel.listen_address);
    fake.fail = -ENOMEM;
    refuse_change_of_forward(make_forward("web", port), "exhausted");
    refuse_change_of_tunnel(tunnel, "exhausted");
    fake.fail = 0;
    assert_true(is_free(port));
    for (int i = 0; i < 2; i++) { /* in memory, then on disk */
        const struct service_forward *forward = service_find_forward(fx.service, "web");
        assert_int_equal(forward->generation, 1);
        assert_int_equal(forward->bound_port, old);
        assert_int_equal(service_find_tunnel(fx.service, "home")->generation, 1);
        assert_int_equal(service_find_tunnel(fx.service, "home")->spec.mtu, 1420);
        assert_int_equal(fake.forwards, 1);
        if (i == 0) {
            assert_int_equal(service_find_tunnel(fx.service, "home")->port, outer);
            stop();
            start();
        }
    }
}

/* What was bound for a change that cannot be stored is let go of. */
static void test_change_that_the_store_refuses(void **state)
{
    (void)state;
    const struct service_tunnel *tunnel = create_tunnel(make_tunnel("home"));
    const struct service_forward *forward = create_forward(make_forward("web", 0));
    uint16_t outer = tunnel->port;
    uint16_t old = forward->bound_port;
    uint16_t port = 0;
    sockets_close_listener(take_port(&port));
    corrupt("ALTER TABLE peer_secrets RENAME TO gone");
    corrupt("ALTER TABLE forwards RENAME TO gone_too");
    struct spec_tunnel spec = make_tunnel("home");
    inet_addr_parse("127.0.0.2", &spec.listen_address);
    size_t updates = fake.updates;
    refuse_change_of_tunnel(spec, "storage");
    refuse_change_of_forward(make_forward("web", port), "storage");
    assert_int_equal(fake.updates, updates);
    assert_int_equal(tunnel->port, outer);
    assert_int_equal(tunnel->generation, 1);
    assert_int_equal(forward->bound_port, old);
    assert_int_equal(forward->generation, 1);
    assert_true(is_free(port));
    corrupt("ALTER TABLE gone RENAME TO peer_secrets");
    corrupt("ALTER TABLE gone_too RENAME TO forwards");
    update_forward(make_forward("web", port), 2);
    update_tunnel(spec, 2);
}

static void test_disabling_and_enabling(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    uint16_t port = create_forward(make_forward("web", 0))->bound_port;
    struct spec_forward spec = make_forward("web", 0);
    spec.enabled = false;
    assert_int_equal(update_forward(spec, 2)->listener, -1);
    assert_int_equal(fake.forwards, 0);
    assert_true(is_free(port));
    spec.enabled = true;
    fake.fail = -ENOSPC;
    refuse_change_of_forward(spec, "exhausted");
    fake.fail = 0;
    assert_true(is_free(port));
    const struct service_forward *forward = update_forward(spec, 3);
    assert_int_equal(forward->bound_port, port);
    assert_true(service_forward_is_ready(forward));
    assert_int_equal(fake.forwards, 1);
}

static void test_change_of_the_tunnel(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    const struct service_tunnel *work = create_tunnel(make_tunnel("work"));
    int listener = create_forward(make_forward("web", 0))->listener;
    struct spec_forward spec = make_forward("web", 0);
    strcpy(spec.tunnel, "work");
    const struct service_forward *forward = update_forward(spec, 2);
    assert_ptr_equal(forward->tunnel, work);
    assert_int_equal(forward->listener, listener);
    assert_int_equal(work->forwards, 1);
    assert_int_equal(fake.forwards, 1);
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "home", false, &problem), 0);
    strcpy(spec.tunnel, "home");
    refuse_change_of_forward(spec, "validation");
}

static void test_change_of_peers_and_keys(void **state)
{
    (void)state;
    const struct service_tunnel *tunnel = create_tunnel(make_tunnel("home"));
    uint16_t port = tunnel->port;
    struct spec_tunnel spec = make_tunnel("home");
    add_peer(&spec, 7);
    spec.peers[0].has_preshared_key = true;
    memset(spec.peers[0].preshared_key, 9, SPEC_KEY_LEN);
    memset(spec.private_key, 2, SPEC_KEY_LEN);
    uint8_t public_key[SPEC_KEY_LEN];
    crypto_scalarmult_base(public_key, spec.private_key);
    update_tunnel(spec, 2);
    assert_int_equal(tunnel->port, port);
    assert_memory_equal(tunnel->public_key, public_key, SPEC_KEY_LEN);
    stop();
    start();
    tunnel = service_find_tunnel(fx.service, "home");
    assert_memory_equal(tunnel->public_key, public_key, SPEC_KEY_LEN);
    assert_int_equal(tunnel->spec.peers[0].preshared_key[31], 9);
    update_tunnel(make_tunnel("home"), 3);
    assert_int_equal(tunnel->spec.peers_count, 0);
}

static void test_change_of_an_outer_port(void **state)
{
    (void)state;
    const struct service_tunnel *tunnel = create_tunnel(make_tunnel("home"));
    uint16_t old = tunnel->port;
    uint16_t taken = create_tunnel(make_tunnel("work"))->port;
    struct spec_tunnel spec = make_tunnel("home");
    spec.listen_port = taken;
    refuse_change_of_tunnel(spec, "address_in_use");
    assert_int_equal(tunnel->port, old);
    assert_int_equal(tunnel->spec.listen_port, 0);
    struct problem problem = {0};
    assert_int_equal(service_delete_tunnel(fx.service, "work", false, &problem), 0);
    assert_int_equal(update_tunnel(spec, 2)->port, taken);
    /* And back: what was let go of can be had again. */
    spec = make_tunnel("home");
    spec.listen_port = old;
    assert_int_equal(update_tunnel(spec, 3)->port, old);
}

static void test_change_of_addresses_in_use(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    struct spec_tunnel spec = make_tunnel("home");
    inet_prefix_parse("fd00::2/128", &spec.addresses[0]);
    refuse_change_of_tunnel(spec, "validation");
    struct problem problem = {0};
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), 0);
    update_tunnel(spec, 2);
    refuse_change_of_tunnel(make_tunnel("nowhere"), "not_found");
    refuse_change_of_forward(make_forward("nowhere", 0), "not_found");
}

/* A tunnel that could not be bound is moved to a port that it can have, and then carries. */
static void test_change_of_what_did_not_start(void **state)
{
    (void)state;
    struct spec_tunnel spec = make_tunnel("home");
    spec.listen_port = create_tunnel(make_tunnel("home"))->port;
    update_tunnel(spec, 2);
    create_forward(make_forward("web", 0));
    stop();
    struct sockets_released released = {0};
    int sockets[2];
    uint16_t bound;
    assert_int_equal(sockets_bind_udp(&loopback, spec.listen_port, &released, sockets, &bound), 0);
    start();
    const struct service_tunnel *tunnel = service_find_tunnel(fx.service, "home");
    assert_false(service_tunnel_is_ready(tunnel));
    spec.mtu = 1300;
    update_tunnel(spec, 3); /* still waits for its port */
    assert_false(service_tunnel_is_ready(tunnel));
    spec.listen_port = 0;
    update_tunnel(spec, 4);
    assert_true(service_tunnel_is_ready(tunnel));
    while (!service_forward_is_ready(service_find_forward(fx.service, "web")))
        event_base_loop(fx.base, EVLOOP_ONCE);
    sockets_close_udp(sockets, bound, &released);
}

/* What a file defines is neither changed nor deleted, not even with its tunnel. */
static void test_what_a_file_defines(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    stop();
    corrupt("UPDATE tunnels SET source = 1; UPDATE forwards SET source = 1");
    start();
    assert_int_equal(service_find_forward(fx.service, "web")->source, SPEC_SOURCE_FILE);
    struct spec_tunnel tunnel = make_tunnel("home");
    tunnel.mtu = 1400;
    refuse_change_of_tunnel(tunnel, "managed_by_file");
    struct spec_forward forward = make_forward("web", 0);
    forward.target_port = 81;
    refuse_change_of_forward(forward, "managed_by_file");
    struct problem problem = {0};
    assert_int_equal(service_delete_forward(fx.service, "web", &problem), -1);
    assert_int_equal(problem.status, 409);
    assert_string_equal(problem.code, "managed_by_file");
    assert_int_equal(service_delete_tunnel(fx.service, "home", true, &problem), -1);
    assert_string_equal(problem.code, "managed_by_file");
    assert_non_null(service_find_forward(fx.service, "web"));
    create_forward(make_forward("xmpp", 0)); /* the API may use the tunnel of a file */
    assert_int_equal(service_find_forward(fx.service, "xmpp")->source, SPEC_SOURCE_API);
}

static void run_ms(unsigned ms)
{
    const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    event_base_loopexit(fx.base, &wait);
    event_base_dispatch(fx.base);
}

/* Its forwards do not wait for the next attempt, which comes later and later. */
static void test_change_starts_what_could_not_start(void **state)
{
    (void)state;
    create_tunnel(make_tunnel("home"));
    create_forward(make_forward("web", 0));
    stop();
    fake.fail = -ENOMEM;
    start();
    run_ms(1900); /* after 250, 500 and 1000; the next is in 2000 */
    fake.fail = 0;
    struct spec_tunnel spec = make_tunnel("home");
    inet_addr_parse("127.0.0.2", &spec.listen_address);
    update_tunnel(spec, 2);
    run_ms(800);
    assert_true(service_forward_is_ready(service_find_forward(fx.service, "web")));
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_change_of_nothing),
        TEST(test_change_of_a_target),
        TEST(test_change_of_a_listen_port),
        TEST(test_change_that_the_workers_refuse),
        TEST(test_change_that_the_store_refuses),
        TEST(test_disabling_and_enabling),
        TEST(test_change_of_the_tunnel),
        TEST(test_change_of_peers_and_keys),
        TEST(test_change_of_an_outer_port),
        TEST(test_change_of_addresses_in_use),
        TEST(test_change_of_what_did_not_start),
        TEST(test_what_a_file_defines),
        TEST(test_change_starts_what_could_not_start),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
