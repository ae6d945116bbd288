/*
 * service_sightings: what was seen of a peer is there again after a restart, for its worker and in
 * what is told of it.
 */
#include "tests/unit/server/service_world.h"

#include <time.h>

/* A tunnel with a peer that has to call us. */
static struct spec_tunnel make_called(void)
{
    struct spec_tunnel spec = make_tunnel("home");
    spec.peers = calloc(1, sizeof(*spec.peers));
    assert_non_null(spec.peers);
    spec.peers_count = 1;
    strcpy(spec.peers[0].name, "laptop");
    memset(spec.peers[0].public_key, 7, SPEC_KEY_LEN);
    return spec;
}

/* The same with an endpoint of the peer's. */
static struct spec_tunnel make_calling(void)
{
    struct spec_tunnel spec = make_called();
    strcpy(spec.peers[0].endpoint_host, "198.51.100.1");
    spec.peers[0].endpoint_port = 51820;
    return spec;
}

static const struct service_tunnel *home(void)
{
    return service_find_tunnel(fx.service, "home");
}

static struct counters_peer *laptop(void)
{
    return &home()->supervised->peers[0];
}

/* TAI64N, long ago. */
static const uint8_t timestamp[COUNTERS_TIMESTAMP_LEN] = {0x40, [7] = 9, [11] = 1};

static void call_us(void)
{
    const struct inet_addr address = {.family = AF_INET, .bytes = {192, 0, 2, 7}};
    union inet_sockaddr endpoint;
    inet_sockaddr_make(&endpoint, &address, 51820);
    counters_set_endpoint(laptop(), &endpoint);
    counters_set_timestamp(laptop(), timestamp);
    counter_set(&laptop()->last_handshake_unix_ns, (uint64_t)time(NULL) * 1000000000);
}

static void assert_remembered(void)
{
    uint8_t found[COUNTERS_TIMESTAMP_LEN];
    union inet_sockaddr endpoint;
    char text[INET_SOCKADDR_TEXT];
    assert_true(counters_get_timestamp(laptop(), found));
    assert_memory_equal(found, timestamp, sizeof(timestamp));
    assert_true(counters_get_endpoint(laptop(), &endpoint));
    assert_string_equal(inet_sockaddr_print(&endpoint, text), "192.0.2.7:51820");
}

static void test_after_a_restart(void **state)
{
    (void)state;
    create_tunnel(make_called());
    assert_string_equal(home()->conditions[TUNNEL_HANDSHAKE_FRESH].is.reason, "WaitingForPeer");
    call_us();
    for (int i = 0; i < 2; i++) { /* the second time of what the first has read */
        stop();
        start();
        assert_remembered();
    }
    /* It can be called, so nobody waits for it to do so. */
    assert_string_equal(home()->conditions[TUNNEL_HANDSHAKE_FRESH].is.reason, "Idle");
}

static void note_timestamp(void *ctx, const struct store_sighting *sighting)
{
    memcpy(ctx, sighting->timestamp, STORE_TIMESTAMP_LEN);
}

/*
 * A timestamp that seems to be of the future is not gone by, and is still stored: it may be our
 * clock that is wrong, as after the boot of a machine that does not keep the time.
 */
static void test_timestamp_of_the_future(void **state)
{
    (void)state;
    static const uint8_t future[COUNTERS_TIMESTAMP_LEN] = {0x40, [2] = 1};
    uint8_t found[COUNTERS_TIMESTAMP_LEN] = {0};
    create_tunnel(make_called());
    call_us();
    counters_set_timestamp(laptop(), future);
    for (int i = 0; i < 2; i++) {
        stop();
        start();
        assert_false(counters_get_timestamp(laptop(), found));
        counter_set(&laptop()->last_handshake_unix_ns, (uint64_t)time(NULL) * 1000000000 + 1);
    }
    assert_int_equal(store_load_sightings(fx.store, "home", note_timestamp, found), 0);
    assert_memory_equal(found, future, sizeof(future));
    counters_set_timestamp(laptop(), timestamp); /* the peer's clock was wrong */
    stop();
    start();
    assert_true(counters_get_timestamp(laptop(), found));
    assert_memory_equal(found, timestamp, sizeof(timestamp));
}

/* A peer that has moved is called where it is as long as there may be a session, which no restart
 * in between makes any younger. */
static void test_with_an_endpoint(void **state)
{
    (void)state;
    create_tunnel(make_calling());
    call_us();
    for (int i = 0; i < 3; i++) {
        stop();
        start();
        assert_remembered();
    }
}

/* Who was told meanwhile that it is elsewhere is called there; what it has sent is refused as ever.
 */
static void test_with_another_endpoint(void **state)
{
    (void)state;
    uint8_t found[COUNTERS_TIMESTAMP_LEN];
    union inet_sockaddr endpoint;
    create_tunnel(make_called());
    call_us();
    stop();
    fake.fail = -ENOMEM;
    start();
    fake.fail = 0;
    struct spec_tunnel spec = make_calling();
    const struct service_tunnel *tunnel;
    struct problem problem = {0};
    spec.listen_address.bytes[3] = 2; /* other sockets, which are tried at once */
    assert_int_equal(service_update_tunnel(fx.service, &spec, &tunnel, &problem), 0);
    assert_non_null(home()->supervised);
    assert_false(counters_get_endpoint(laptop(), &endpoint));
    assert_true(counters_get_timestamp(laptop(), found));
    assert_memory_equal(found, timestamp, sizeof(timestamp));
}

/* A tunnel that cannot be started is changed, and then can. */
static void test_with_a_change_that_starts_it(void **state)
{
    (void)state;
    create_tunnel(make_called());
    call_us();
    stop();
    fake.fail = -ENOMEM;
    start();
    assert_null(home()->supervised);
    fake.fail = 0;
    struct spec_tunnel spec = make_called();
    const struct service_tunnel *tunnel;
    struct problem problem = {0};
    spec.listen_address.bytes[3] = 2; /* other sockets, which are tried at once */
    assert_int_equal(service_update_tunnel(fx.service, &spec, &tunnel, &problem), 0);
    assert_non_null(home()->supervised);
    assert_remembered();
}

/* A tunnel of the same name knows nothing of them. */
static void test_not_of_another_tunnel(void **state)
{
    (void)state;
    union inet_sockaddr endpoint;
    struct problem problem = {0};
    create_tunnel(make_called());
    call_us();
    stop();
    start();
    assert_int_equal(service_delete_tunnel(fx.service, "home", false, &problem), 0);
    create_tunnel(make_called());
    assert_false(counters_get_endpoint(laptop(), &endpoint));
    stop();
    start();
    assert_false(counters_get_endpoint(laptop(), &endpoint));
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_after_a_restart),
        TEST(test_timestamp_of_the_future),
        TEST(test_with_an_endpoint),
        TEST(test_with_another_endpoint),
        TEST(test_with_a_change_that_starts_it),
        TEST(test_not_of_another_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
