/*
 * Which connection is given up when there are too many, or when too much is being sent.
 */
#include "api/connections.h"

#include "base/inet.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LIMIT = 8, LIMIT_PER_ADDRESS = 4, ANSWERS = 1000, MANY = 16 };

static struct fixture {
    struct event_base *base;
    struct connections connections;
    struct client {
        struct connection *connection;
        int ends[2];    /* the service's, the client's */
        unsigned ended; /* how often it was told of */
    } clients[MANY];
    size_t count;
} fx;

static void on_ended(void *ctx, void *served)
{
    struct client *client = served;
    assert_ptr_equal(ctx, &fx);
    client->ended++;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.base = event_base_new();
    const struct connections_config config = {
        .limit = LIMIT,
        .limit_per_address = LIMIT_PER_ADDRESS,
        .answers = ANSWERS,
        .seconds = 60,
        .ended = on_ended,
        .ctx = &fx,
    };
    return connections_init(&fx.connections, fx.base, &config);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < fx.count; i++) {
        connections_remove(&fx.connections, fx.clients[i].connection);
        close(fx.clients[i].ends[0]);
        close(fx.clients[i].ends[1]);
    }
    assert_int_equal(fx.connections.count, 0);
    assert_int_equal(fx.connections.answers, 0);
    for (size_t i = 0; i < CONNECTIONS_ADDRESSES; i++)
        assert_int_equal(fx.connections.of_address[i], 0);
    connections_fini(&fx.connections);
    event_base_free(fx.base);
    return 0;
}

/* A client from an address; its index. */
static size_t add(const char *text)
{
    struct client *client = &fx.clients[fx.count];
    struct inet_addr address;
    union inet_sockaddr peer;
    assert_true(fx.count < MANY);
    assert_int_equal(inet_addr_parse(text, &address), 0);
    inet_sockaddr_make(&peer, &address, 1);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client->ends), 0);
    client->connection = connections_add(&fx.connections, client->ends[0], &peer.sa, client);
    assert_non_null(client->connection);
    return fx.count++;
}

static void answer(size_t index, size_t len)
{
    connections_answering(&fx.connections, fx.clients[index].connection, len);
}

/* "o" for each client that is open, "." for each that was given up. */
static void assert_open(const char *expected)
{
    char open[MANY + 1] = "";
    for (size_t i = 0; i < fx.count; i++) {
        char byte;
        open[i] = recv(fx.clients[i].ends[1], &byte, 1, 0) == 0 ? '.' : 'o';
    }
    assert_string_equal(open, expected);
}

/* While one waits, and after its answer, but not while it is being answered. */
static void test_end_of_the_client(void **state)
{
    (void)state;
    size_t waits = add("10.0.0.1");
    size_t asks = add("10.0.0.1");
    add("10.0.0.1");
    answer(asks, 10);
    for (size_t i = waits; i <= asks; i++) {
        assert_int_equal(send(fx.clients[i].ends[1], "x", 1, 0), 1); /* read by nobody */
        shutdown(fx.clients[i].ends[1], SHUT_WR);
    }
    for (int i = 0; i < 3; i++)
        event_base_loop(fx.base, EVLOOP_NONBLOCK);
    assert_int_equal(fx.clients[waits].ended, 1);
    assert_int_equal(fx.clients[asks].ended, 0);
    connections_answered(&fx.connections, fx.clients[asks].connection);
    assert_int_equal(fx.clients[asks].ended, 1);
    assert_int_equal(fx.clients[asks + 1].ended, 0);
}

static void test_longest_waiting_of_its_own_address(void **state)
{
    (void)state;
    add("10.0.0.9");
    for (int i = 0; i < LIMIT_PER_ADDRESS + 2; i++)
        add("10.0.0.1");
    assert_open("o..oooo");
}

/* Whoever has most loses first, also to a client that comes from elsewhere. */
static void test_longest_waiting_of_the_greediest_address(void **state)
{
    (void)state;
    add("10.0.0.2");
    for (int i = 0; i < LIMIT_PER_ADDRESS; i++)
        add("10.0.0.1");
    add("10.0.0.3");
    add("10.0.0.4");
    add("10.0.0.5");
    assert_open("oooooooo");
    add("10.0.0.6");
    assert_open("o.ooooooo");
}

static void test_one_that_was_answered_has_not_waited_long(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_PER_ADDRESS; i++)
        add("10.0.0.1");
    answer(0, 10);
    connections_answered(&fx.connections, fx.clients[0].connection);
    add("10.0.0.1");
    assert_open("o.ooo");
}

static void test_one_that_is_being_answered_goes_last(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_PER_ADDRESS; i++) {
        add("10.0.0.1");
        if (i < LIMIT_PER_ADDRESS - 1)
            answer((size_t)i, 10);
    }
    add("10.0.0.1");
    assert_open("ooo.o");
    answer(4, 10);
    add("10.0.0.1");
    assert_open(".oo.oo");
}

/* A stream is bounded by whoever sends it: it is counted, and never given up here. */
static void test_a_stream_stays(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_PER_ADDRESS; i++) {
        add("10.0.0.1");
        connections_streaming(&fx.connections, fx.clients[i].connection);
    }
    add("10.0.0.1");
    assert_open("ooooo");
    add("10.0.0.1");
    assert_open("oooo.o");
    connections_answered(&fx.connections, fx.clients[0].connection); /* it has ended, and waits */
    add("10.0.0.1");
    assert_open("oooo..o");
    add("10.0.0.1");
    assert_open(".ooo..oo");
}

static void test_ipv6_addresses_of_one_network(void **state)
{
    (void)state;
    char address[] = "2001:db8::0";
    for (int i = 0; i < LIMIT_PER_ADDRESS + 1; i++) {
        address[sizeof(address) - 2] = (char)('1' + i);
        add(address);
    }
    add("2001:db8:0:1::1");
    assert_open(".ooooo");
}

static void test_longest_sent_answer(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        add("10.0.0.1");
        answer((size_t)i, ANSWERS / 4);
    }
    assert_open("ooo");
    add("10.0.0.2");
    answer(3, ANSWERS / 2);
    assert_open(".ooo");
    add("10.0.0.3");
    answer(4, 5 * ANSWERS); /* larger than all that is allowed, and sent all the same */
    assert_open("....o");
    connections_answered(&fx.connections, fx.clients[4].connection);
    assert_int_equal(fx.connections.answers, 0);
}

int main(void)
{
    if (sodium_init() < 0)
        return 1;
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_end_of_the_client),
        TEST(test_longest_waiting_of_its_own_address),
        TEST(test_longest_waiting_of_the_greediest_address),
        TEST(test_one_that_was_answered_has_not_waited_long),
        TEST(test_one_that_is_being_answered_goes_last),
        TEST(test_a_stream_stays),
        TEST(test_ipv6_addresses_of_one_network),
        TEST(test_longest_sent_answer),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
