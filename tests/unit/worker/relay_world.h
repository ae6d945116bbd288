/*
 * relay_world: a client's socket on one side, a virtual stack behind a real tunnel on the other.
 * Two tunnels in one event loop talk over loopback; the far one's stack plays the target. Include
 * it in one file.
 */
#ifndef MANYTUN_TESTS_RELAY_WORLD_H
#define MANYTUN_TESTS_RELAY_WORLD_H

#include "engine/forward/listener.h"

#include "engine/bridge.h"
#include "engine/clock.h"
#include "engine/crypto/x25519.h"
#include "engine/stack/stack.h"
#include "engine/tunnel.h"
#include "engine/udp.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define relay_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#define TARGET_PORT 80
#define LARGE       3000000 /* more than windows and socket buffers together take */

/* What the target does with its connection. */
enum role { ECHO, HOLD /* reads nothing */, COLLECT };

struct target {
    struct stack_conn *conn;
    enum role role;
    size_t received;
    uint32_t sum; /* of the bytes received */
    size_t to_send;
    size_t sent;
    bool eof, shut, closed;
    int close_error;
};

struct fixture {
    struct event_base *base;
    struct turn turn;
    struct counters_tunnel tunnel_counters[2];
    struct counters_forward counters;
    struct counters_worker worker_counters;
    struct spec_tunnel near_spec;
    struct tunnel *near, *far;
    struct stack_listener *target_listener;
    struct target target;
    struct spec_forward spec;
    struct listener *listener;
    union inet_sockaddr listen;
    struct event *tick; /* the clients are not in the loop: it must not wait for them */
    bool timed_out;
};

/* --- The target ------------------------------------------------------------------------------- */

static inline uint8_t pattern(size_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

static inline void target_send(struct target *target)
{
    uint8_t buffer[16384];
    size_t space;
    while (target->sent < target->to_send && (space = stack_conn_send_space(target->conn)) > 0) {
        size_t len = target->to_send - target->sent;
        len = len < space ? len : space;
        len = len < sizeof(buffer) ? len : sizeof(buffer);
        for (size_t i = 0; i < len; i++)
            buffer[i] = pattern(target->sent + i);
        assert_int_equal(stack_conn_write(target->conn, buffer, len), 0);
        target->sent += len;
    }
}

static inline void target_readable(void *ctx)
{
    struct target *target = ctx;
    struct iovec piece;
    while (target->role != HOLD && stack_conn_peek(target->conn, &piece, 1) == 1) {
        size_t len = piece.iov_len;
        const uint8_t *bytes = piece.iov_base;
        if (target->role == ECHO) {
            size_t space = stack_conn_send_space(target->conn);
            len = len < space ? len : space;
            if (len == 0)
                return;
            assert_int_equal(stack_conn_write(target->conn, bytes, len), 0);
        }
        for (size_t i = 0; i < len; i++)
            target->sum += bytes[i];
        target->received += len;
        stack_conn_consume(target->conn, len);
    }
    target->eof = stack_conn_at_eof(target->conn);
    if (target->eof && target->role == ECHO && !target->shut) {
        target->shut = true;
        stack_conn_shutdown(target->conn);
    }
}

static inline void target_writable(void *ctx)
{
    struct target *target = ctx;
    target_send(target);
    target_readable(target);
}

static inline void target_closed(void *ctx, int error)
{
    struct target *target = ctx;
    target->conn = NULL;
    target->closed = true;
    target->close_error = error;
}

static const struct stack_conn_ops target_ops = {.readable = target_readable,
                                                 .writable = target_writable,
                                                 .closed = target_closed};

static inline void target_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *peer,
                                   uint16_t port)
{
    (void)peer;
    (void)port;
    struct target *target = ctx;
    target->conn = conn;
    stack_conn_attach(conn, &target_ops, target);
    target_send(target);
}

static const struct stack_listen_ops listen_ops = {.accepted = target_accepted};

/* --- The tunnels ------------------------------------------------------------------------------ */

static inline void on_event(void *ctx, const uint8_t public_key[WG_KEY_LEN], enum wg_event event)
{
    (void)ctx;
    (void)public_key;
    (void)event;
}

static const struct tunnel_ops tunnel_ops = {.event = on_event};

static inline int bind_loopback(int type, union inet_sockaddr *bound)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(*bound);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, &bound->sa, &len), 0);
    return fd;
}

static inline void describe(struct spec_tunnel *spec, const char *address,
                            const uint8_t *private_key, const uint8_t *peer_public_key,
                            const union inet_sockaddr *endpoint)
{
    memset(spec, 0, sizeof(*spec));
    memcpy(spec->private_key, private_key, SPEC_KEY_LEN);
    assert_int_equal(inet_prefix_parse(address, &spec->addresses[0]), 0);
    spec->addresses_count = 1;
    spec->mtu = SPEC_MTU_DEFAULT;
    spec->peers = calloc(1, sizeof(*spec->peers));
    spec->peers_count = 1;
    memcpy(spec->peers[0].public_key, peer_public_key, SPEC_KEY_LEN);
    spec->peers[0].allowed_ips = calloc(1, sizeof(struct inet_prefix));
    spec->peers[0].allowed_ips_count = 1;
    assert_int_equal(inet_prefix_parse("10.0.0.0/24", &spec->peers[0].allowed_ips[0]), 0);
    if (endpoint) {
        strcpy(spec->peers[0].endpoint_host, "127.0.0.1");
        spec->peers[0].endpoint_port = ntohs(endpoint->in.sin_port);
    }
}

static inline struct tunnel *make_tunnel(struct fixture *f, const struct spec_tunnel *spec, int fd,
                                         size_t number)
{
    struct tunnel_config config = {
        .base = f->base,
        .turn = &f->turn,
        .spec = spec,
        .sockets = {fd, -1},
        .timestamps_until = UINT64_MAX,
        .counters = &f->tunnel_counters[number],
        .worker_counters = &f->worker_counters,
        .ops = &tunnel_ops,
    };
    struct tunnel *tunnel;
    assert_int_equal(tunnel_new(&config, &tunnel), 0);
    return tunnel;
}

static inline void make_tunnels(struct fixture *f)
{
    uint8_t near_key[32], far_key[32], near_public[32], far_public[32];
    union inet_sockaddr near_address, far_address;
    struct spec_tunnel spec;
    randombytes_buf(near_key, 32);
    randombytes_buf(far_key, 32);
    x25519_public(near_public, near_key);
    x25519_public(far_public, far_key);
    int near_fd = bind_loopback(SOCK_DGRAM, &near_address);
    int far_fd = bind_loopback(SOCK_DGRAM, &far_address);
    describe(&f->near_spec, "10.0.0.2/24", near_key, far_public, &far_address);
    f->near = make_tunnel(f, &f->near_spec, near_fd, 0);
    describe(&spec, "10.0.0.1/24", far_key, near_public, NULL);
    f->far = make_tunnel(f, &spec, far_fd, 1);
    spec_tunnel_fini(&spec);
}

static inline void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    if (arg)
        *(bool *)arg = true;
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->base = event_base_new();
    f->tick = event_new(f->base, -1, EV_PERSIST, on_timer, NULL);
    event_add(f->tick, &(struct timeval){.tv_usec = 1000});
    turn_init(&f->turn);
    clock_refresh();
    make_tunnels(f);
    struct inet_addr target;
    inet_addr_parse("10.0.0.1", &target);
    assert_int_equal(stack_listen(tunnel_stack(f->far), &target, TARGET_PORT, &listen_ops,
                                  &f->target, &f->target_listener),
                     0);
    f->spec = (struct spec_forward){
        .name = "test",
        .target_address = target,
        .target_port = TARGET_PORT,
        .connect_timeout_seconds = 10,
    };
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    listener_free(f->listener);
    assert_int_equal(counter_get(&f->counters.connections_active), 0);
    if (f->target.conn)
        stack_conn_abort(f->target.conn);
    tunnel_free(f->near);
    tunnel_free(f->far);
    spec_tunnel_fini(&f->near_spec);
    turn_end(&f->turn);
    assert_true(TAILQ_EMPTY(&f->turn.ends));
    udp_pools_free();
    event_free(f->tick);
    event_base_free(f->base);
    free(f);
    return 0;
}

static inline void start_listener(struct fixture *f)
{
    int fd = bind_loopback(SOCK_STREAM, &f->listen);
    assert_int_equal(listen(fd, 16), 0);
    struct listener_config config = {
        .base = f->base,
        .turn = &f->turn,
        .tunnel = f->near,
        .fd = fd,
        .counters = &f->counters,
        .worker_counters = &f->worker_counters,
    };
    assert_int_equal(listener_new(&config, &f->spec, &f->listener), 0);
}

static inline int connect_client(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &f->listen.sa, sizeof(f->listen.in)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* --- The loop --------------------------------------------------------------------------------- */

/* One turn of the worker's loop. */
static inline void run_once(struct fixture *f)
{
    assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    clock_refresh();
    turn_end(&f->turn);
    tunnel_touch(f->far); /* for what the test did with the target */
}

/* Runs until done() says so; fails after 20 s. */
static inline void run_until(struct fixture *f, bool (*done)(struct fixture *f, void *arg),
                             void *arg)
{
    bool late = false;
    struct event *deadline = evtimer_new(f->base, on_timer, &late);
    evtimer_add(deadline, &(struct timeval){.tv_sec = 20});
    while (!done(f, arg) && !late)
        run_once(f);
    event_free(deadline);
    assert_false(late);
}

/* --- The client ------------------------------------------------------------------------------- */

struct client {
    int fd;
    size_t sent, to_send;
    bool shut;    /* shut the sending side down when all is sent */
    bool stopped; /* reads nothing */
    size_t received;
    uint32_t sum_sent;
    bool eof;
    int error;
};

static inline void client_work(struct client *client)
{
    uint8_t buffer[65536];
    while (client->sent < client->to_send) {
        size_t len = client->to_send - client->sent;
        len = len < sizeof(buffer) ? len : sizeof(buffer);
        for (size_t i = 0; i < len; i++)
            buffer[i] = pattern(client->sent + i);
        ssize_t done = send(client->fd, buffer, len, MSG_NOSIGNAL);
        if (done <= 0)
            break;
        for (ssize_t i = 0; i < done; i++)
            client->sum_sent += buffer[i];
        client->sent += (size_t)done;
    }
    if (client->shut && client->sent == client->to_send) {
        client->shut = false;
        shutdown(client->fd, SHUT_WR);
    }
    while (!client->stopped && !client->eof && !client->error) {
        ssize_t len = recv(client->fd, buffer, sizeof(buffer), 0);
        if (len < 0 && errno == EAGAIN)
            break;
        client->eof = len == 0;
        client->error = len < 0 ? errno : 0;
        for (ssize_t i = 0; i < len; i++)
            assert_int_equal(buffer[i], pattern(client->received + (size_t)i));
        client->received += len > 0 ? (size_t)len : 0;
    }
}

static inline bool client_at_end(struct fixture *f, void *arg)
{
    (void)f;
    struct client *client = arg;
    client_work(client);
    return client->eof || client->error != 0;
}

static inline bool target_is_closed(struct fixture *f, void *arg)
{
    (void)arg;
    return f->target.closed;
}

static inline bool none_active(struct fixture *f, void *arg)
{
    (void)arg;
    return counter_get(&f->counters.connections_active) == 0;
}

#endif
