/* worker_link: one real worker (this program, executed again), told what a takeover tells it. */
#include "server/worker_link.h"

#include "base/descriptor.h"
#include "base/json.h"
#include "base/log.h"
#include "base/spec.h"
#include "engine/worker.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture {
    struct event_base *base;
    struct event *tick;
    struct worker_link *link;
    int ups, downs, drains;
    int status;      /* of the last process that ended */
    size_t to_tell;  /* messages of the greatest length, when it comes up */
    size_t not_told; /* … that were refused */
} fx;

static void on_up(void *ctx, struct worker_link *link)
{
    (void)ctx;
    uint8_t *body = calloc(1, CHANNEL_MESSAGE_MAX);
    fx.ups++;
    for (size_t i = 0; i < fx.to_tell; i++)
        fx.not_told += worker_link_try_send(link, MESSAGE_TUNNEL_TIMESTAMPS, body,
                                            CHANNEL_MESSAGE_MAX, NULL) < 0;
    free(body);
}

static void on_down(void *ctx, struct worker_link *link, const struct worker_end *end)
{
    (void)ctx;
    (void)link;
    fx.downs++;
    fx.status = end->status;
}

static void on_tunnel_event(void *ctx, struct worker_link *link,
                            const struct message_tunnel_event *event)
{
    (void)ctx;
    (void)link;
    (void)event;
}

static void on_drained(void *ctx, struct worker_link *link)
{
    (void)ctx;
    (void)link;
    fx.drains++;
}

static const struct worker_link_ops ops = {
    .up = on_up, .down = on_down, .tunnel_event = on_tunnel_event, .drained = on_drained};

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    worker_link_reap(fx.link);
}

static int set_up(void **state)
{
    (void)state;
    fx = (struct fixture){.base = event_base_new()};
    fx.tick = event_new(fx.base, -1, EV_PERSIST, on_tick, NULL);
    event_add(fx.tick, &(struct timeval){.tv_usec = 2000});
    return worker_link_new(fx.base, 0, "/proc/self/exe", &ops, NULL, &fx.link);
}

static int tear_down(void **state)
{
    (void)state;
    worker_link_free(fx.link);
    event_free(fx.tick);
    event_base_free(fx.base);
    return 0;
}

static void run_until(const int *count)
{
    for (int turns = 0; *count == 0; turns++) {
        assert_true(turns < 2500); /* of 2 ms at the most */
        assert_int_equal(event_base_loop(fx.base, EVLOOP_ONCE), 0);
    }
}

static void assert_ended_well(void)
{
    assert_true(WIFEXITED(fx.status));
    assert_int_equal(WEXITSTATUS(fx.status), 0);
}

/* Adds a tunnel with one peer, in the slot 0. */
static void add_tunnel(uint8_t peer_key[SPEC_KEY_LEN])
{
    struct spec_peer peer = {.name = "gw"};
    struct spec_tunnel tunnel = {.name = "home",
                                 .mtu = SPEC_MTU_DEFAULT,
                                 .addresses_count = 1,
                                 .peers = &peer,
                                 .peers_count = 1};
    const struct message_tunnel_add add = {0};
    randombytes_buf(tunnel.private_key, SPEC_KEY_LEN);
    randombytes_buf(peer.public_key, SPEC_KEY_LEN);
    memcpy(peer_key, peer.public_key, SPEC_KEY_LEN);
    inet_prefix_parse("10.0.0.2/32", &tunnel.addresses[0]);
    int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    cJSON *json = spec_tunnel_to_json(&tunnel, SPEC_COMPLETE);
    worker_link_send(fx.link, MESSAGE_TUNNEL_ADD, &add, sizeof(add), json, (int[]){socket_fd, -1});
    json_free(json);
    descriptor_close(socket_fd);
}

/* What control had under way for a peer when the tunnel went, and for one that never was. */
static void what_comes_too_late_is_ignored(void **state)
{
    (void)state;
    struct message_peer_endpoint endpoint = {0};
    struct message_peer_counters counters = {0};
    const struct message_slot slot = {0};
    int bridge[2];
    run_until(&fx.ups);
    add_tunnel(endpoint.public_key);
    const struct inet_addr address = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
    inet_sockaddr_make(&endpoint.remote, &address, 51820);
    memcpy(counters.public_key, endpoint.public_key, SPEC_KEY_LEN);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, bridge), 0);
    worker_link_send(fx.link, MESSAGE_PEER_ENDPOINT, &endpoint, sizeof(endpoint), NULL, NULL);
    endpoint.public_key[0] ^= 1;
    worker_link_send(fx.link, MESSAGE_PEER_ENDPOINT, &endpoint, sizeof(endpoint), NULL, NULL);
    endpoint.public_key[0] ^= 1;
    worker_link_send(fx.link, MESSAGE_TUNNEL_HAND_OVER, &slot, sizeof(slot), NULL,
                     (int[]){bridge[0], -1});
    worker_link_send(fx.link, MESSAGE_PEER_ENDPOINT, &endpoint, sizeof(endpoint), NULL, NULL);
    worker_link_send(fx.link, MESSAGE_PEER_COUNTERS, &counters, sizeof(counters), NULL, NULL);
    worker_link_retire(fx.link);
    run_until(&fx.downs);
    assert_ended_well();
    assert_int_equal(fx.drains, 1);
    descriptor_close(bridge[0]);
    close(bridge[1]);
}

/* It has nothing, and nobody would ever tell it to end. */
static void a_worker_that_starts_retires_too(void **state)
{
    (void)state;
    assert_false(worker_link_is_up(fx.link));
    worker_link_retire(fx.link);
    run_until(&fx.drains);
    assert_int_equal(fx.ups, 0);
    run_until(&fx.downs);
    assert_ended_well();
    assert_int_equal(fx.drains, 1);
}

static void a_worker_that_dies_has_retired(void **state)
{
    (void)state;
    run_until(&fx.ups);
    kill(worker_link_pid(fx.link), SIGKILL);
    worker_link_retire(fx.link);
    run_until(&fx.drains);
    assert_int_equal(fx.downs, 1);
    assert_int_equal(worker_link_pid(fx.link), 0);
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;
    while ((text = strchr(text, '\n')) != NULL) {
        text++;
        lines++;
    }
    return lines;
}

/* However many commands it misses, that is said once; the next process can be told again. */
static void a_worker_that_does_not_read_is_killed_once(void **state)
{
    (void)state;
    const struct message_peer_endpoint endpoint = {0};
    char text[4096] = "";
    int ends[2];
    run_until(&fx.ups);
    uint8_t *body = calloc(1, CHANNEL_MESSAGE_MAX);
    assert_non_null(body);
    assert_int_equal(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    log_set_level(LOG_LEVEL_ERROR);
    kill(worker_link_pid(fx.link), SIGSTOP);
    for (int i = 0; i < 6; i++)
        worker_link_send(fx.link, MESSAGE_PEER_ENDPOINT, body, CHANNEL_MESSAGE_MAX, NULL, NULL);
    int error =
        worker_link_try_send(fx.link, MESSAGE_PEER_ENDPOINT, &endpoint, sizeof(endpoint), NULL);
    log_set_level(LOG_LEVEL_OFF);
    dup2(saved, STDERR_FILENO); /* the last writer of the pipe is gone with it */
    close(saved);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    close(ends[0]);
    free(body);
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "cannot be told what to do"));
    assert_int_equal(error, -ENOTCONN);
    run_until(&fx.downs);
    assert_true(WIFSIGNALED(fx.status));
    fx.ups = 0;
    run_until(&fx.ups);
    assert_int_equal(
        worker_link_try_send(fx.link, MESSAGE_PEER_ENDPOINT, &endpoint, sizeof(endpoint), NULL), 0);
}

/* Else a service with many large tunnels would kill each worker as soon as it comes up. */
static void a_new_worker_is_told_all_there_is(void **state)
{
    (void)state;
    fx.to_tell = CHANNEL_QUEUE_MAX / CHANNEL_MESSAGE_MAX + 1;
    run_until(&fx.ups);
    assert_int_equal(fx.not_told, 0);
}

int main(int argc, char **argv)
{
    log_set_level(LOG_LEVEL_OFF);
    if (sodium_init() < 0)
        return 1;
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return worker_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_comes_too_late_is_ignored, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_that_starts_retires_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_that_dies_has_retired, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_worker_that_does_not_read_is_killed_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_new_worker_is_told_all_there_is, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
