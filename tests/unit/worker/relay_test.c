/*
 * listener and relay: a client's socket on one side, a virtual stack behind a real tunnel on the
 * other. Two tunnels in one event loop talk over loopback; the far one's stack plays the target.
 */
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

static uint8_t pattern(size_t offset)
{
    return (uint8_t)(offset * 31 + (offset >> 8));
}

static void target_send(struct target *target)
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

static void target_readable(void *ctx)
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

static void target_writable(void *ctx)
{
    struct target *target = ctx;
    target_send(target);
    target_readable(target);
}

static void target_closed(void *ctx, int error)
{
    struct target *target = ctx;
    target->conn = NULL;
    target->closed = true;
    target->close_error = error;
}

static const struct stack_conn_ops target_ops = {.readable = target_readable,
                                                 .writable = target_writable,
                                                 .closed = target_closed};

static void target_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *peer,
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

static void on_event(void *ctx, const uint8_t public_key[WG_KEY_LEN], enum wg_event event)
{
    (void)ctx;
    (void)public_key;
    (void)event;
}

static const struct tunnel_ops tunnel_ops = {.event = on_event};

static int bind_loopback(int type, union inet_sockaddr *bound)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(*bound);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, &bound->sa, &len), 0);
    return fd;
}

static void describe(struct spec_tunnel *spec, const char *address, const uint8_t *private_key,
                     const uint8_t *peer_public_key, const union inet_sockaddr *endpoint)
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

static struct tunnel *make_tunnel(struct fixture *f, const struct spec_tunnel *spec, int fd,
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

static void make_tunnels(struct fixture *f)
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

static void on_timer(evutil_socket_t fd, short events, void *arg);

static int setup(void **state)
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

static int teardown(void **state)
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

static void start_listener(struct fixture *f)
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

static int connect_client(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &f->listen.sa, sizeof(f->listen.in)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* --- The loop --------------------------------------------------------------------------------- */

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    if (arg)
        *(bool *)arg = true;
}

/* One turn of the worker's loop. */
static void run_once(struct fixture *f)
{
    assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    clock_refresh();
    turn_end(&f->turn);
    tunnel_touch(f->far); /* for what the test did with the target */
}

/* Runs until done() says so; fails after 20 s. */
static void run_until(struct fixture *f, bool (*done)(struct fixture *f, void *arg), void *arg)
{
    bool late = false;
    struct event *deadline = evtimer_new(f->base, on_timer, &late);
    evtimer_add(deadline, &(struct timeval){.tv_sec = 20});
    while (!done(f, arg) && !late)
        run_once(f);
    event_free(deadline);
    assert_false(late);
}

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

static void client_work(struct client *client)
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

static bool client_at_end(struct fixture *f, void *arg)
{
    (void)f;
    struct client *client = arg;
    client_work(client);
    return client->eof || client->error != 0;
}

static bool none_active(struct fixture *f, void *arg)
{
    (void)arg;
    return counter_get(&f->counters.connections_active) == 0;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void carries_bytes_both_ways(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = LARGE, .shut = true};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, 0);
    assert_int_equal(client.received, LARGE);
    assert_int_equal(f->target.received, LARGE);
    assert_int_equal(f->target.sum, client.sum_sent);
    run_until(f, none_active, NULL);
    assert_int_equal(counter_get(&f->counters.bytes_in), LARGE);
    assert_int_equal(counter_get(&f->counters.bytes_out), LARGE);
    assert_int_equal(counter_get(&f->counters.connections_total), 1);
    assert_int_equal(counter_get(&f->counters.connect_failures), 0);
    close(client.fd);
}

static bool target_at_eof(struct fixture *f, void *arg)
{
    client_work(arg);
    return f->target.eof;
}

/* The client has nothing to say, ends its side, and then gets the whole answer. */
static void answers_after_the_client_has_ended(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = COLLECT};
    start_listener(f);
    struct client client = {.fd = connect_client(f), .shut = true};
    run_until(f, target_at_eof, &client);
    assert_false(client.eof);
    f->target.to_send = LARGE;
    target_send(&f->target);
    while (f->target.sent < LARGE) {
        run_once(f);
        client_work(&client);
        target_send(&f->target);
    }
    stack_conn_shutdown(f->target.conn);
    run_until(f, client_at_end, &client);
    assert_true(client.eof);
    assert_int_equal(client.received, LARGE);
    close(client.fd);
}

static bool all_arrived(struct fixture *f, void *arg)
{
    struct client *client = arg;
    client_work(client);
    return f->target.received == client->to_send && f->target.eof;
}

/* The mirror case: the target has ended, and still gets everything. */
static void goes_on_after_the_target_has_ended(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = COLLECT};
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = 1};
    run_once(f);
    client_work(&client);
    while (!f->target.conn)
        run_once(f);
    stack_conn_shutdown(f->target.conn);
    f->target.shut = true;
    run_until(f, client_at_end, &client);
    assert_true(client.eof);
    client.to_send = LARGE;
    client.shut = true;
    run_until(f, all_arrived, &client);
    assert_int_equal(f->target.sum, client.sum_sent);
    close(client.fd);
}

static bool out_is_full(struct fixture *f, void *arg)
{
    size_t *before = arg;
    size_t now = counter_get(&f->counters.bytes_out);
    bool same = now > 0 && now == *before;
    *before = now;
    return same;
}

/* What the target does not read stays with the client: neither side's buffers grow with it. */
static void reads_no_more_than_the_target_takes(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = HOLD};
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = 64 << 20};
    size_t before = 0;
    for (int calm = 0; calm < 50; calm++) {
        client_work(&client);
        if (before != counter_get(&f->counters.bytes_out))
            calm = 0;
        run_until(f, out_is_full, &before);
    }
    assert_true(client.sent < client.to_send);
    /* A send buffer here and a receive window there are 2 MiB. */
    assert_true(counter_get(&f->counters.bytes_out) <= 2 << 20);
    assert_true(stack_conn_pending(f->target.conn) <= 1 << 20);
    close(client.fd);
}

static void resets_the_client_when_the_dial_is_refused(void **state)
{
    struct fixture *f = *state;
    f->spec.target_port = TARGET_PORT + 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(counter_get(&f->counters.connect_failures), 1);
    assert_int_equal(counter_get(&f->counters.last_error), ECONNREFUSED);
    close(client.fd);
}

/* Which connection was the last shows in the times, also when they would be equal. */
static void tells_the_last_connection_from_those_before(void **state)
{
    struct fixture *f = *state;
    struct counters_forward *counters = &f->counters;
    const uint64_t ahead = clock_now() + 3600 * CLOCK_NS_PER_S;
    start_listener(f);
    counter_set(&counters->last_error_at, ahead);
    struct client client = {.fd = connect_client(f), .to_send = 1, .shut = true};
    run_until(f, client_at_end, &client);
    close(client.fd);
    assert_true(counter_get(&counters->last_connect_at) > ahead);

    f->spec.target_port = TARGET_PORT + 1;
    assert_int_equal(listener_update(f->listener, &f->spec, -1), 0);
    client = (struct client){.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    close(client.fd);
    assert_true(counter_get(&counters->last_error_at) > counter_get(&counters->last_connect_at));
}

static void gives_a_dial_up_after_its_timeout(void **state)
{
    struct fixture *f = *state;
    inet_addr_parse("10.0.0.9", &f->spec.target_address); /* nobody has it */
    f->spec.connect_timeout_seconds = 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(counter_get(&f->counters.last_error), ETIMEDOUT);
    close(client.fd);
}

static void ends_what_is_idle_if_asked_to(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = COLLECT};
    f->spec.idle_timeout_seconds = 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f), .to_send = 10};
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    assert_int_equal(f->target.received, 10);
    close(client.fd);
}

static bool target_is_closed(struct fixture *f, void *arg)
{
    (void)arg;
    return f->target.closed;
}

static void passes_resets_on(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = HOLD};
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    while (!f->target.conn)
        run_once(f);
    struct linger reset = {.l_onoff = 1};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(client.fd);
    run_until(f, target_is_closed, NULL);
    assert_int_equal(f->target.close_error, -ECONNRESET);

    f->target = (struct target){.role = HOLD};
    client = (struct client){.fd = connect_client(f)};
    while (!f->target.conn)
        run_once(f);
    stack_conn_abort(f->target.conn);
    f->target.conn = NULL;
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    close(client.fd);
}

static void ends_its_connections_when_it_is_freed(void **state)
{
    struct fixture *f = *state;
    f->target = (struct target){.role = HOLD};
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    while (!f->target.conn)
        run_once(f);
    listener_free(f->listener);
    f->listener = NULL;
    assert_int_equal(counter_get(&f->counters.connections_active), 0);
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    run_until(f, target_is_closed, NULL);
    close(client.fd);
}

/* --- Changes ---------------------------------------------------------------------------------- */

static bool target_has_all(struct fixture *f, void *arg)
{
    struct client *client = arg;
    client_work(client);
    return f->target.received == client->to_send && client->received == client->to_send;
}

/* Echoes more bytes over a connection that is open. */
static void talk(struct fixture *f, struct client *client)
{
    client->to_send += 10000;
    run_until(f, target_has_all, client);
}

/* What is open goes on with what it was started with; what comes goes by what there is now. */
static void update_is_for_new_connections(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client lasting = {.fd = connect_client(f)};
    talk(f, &lasting);
    struct spec_forward spec = f->spec;
    spec.target_port = TARGET_PORT + 1;
    spec.idle_timeout_seconds = 1;
    assert_int_equal(listener_update(f->listener, &spec, -1), 0);
    struct client refused = {.fd = connect_client(f)};
    run_until(f, client_at_end, &refused);
    assert_int_equal(refused.error, ECONNRESET);
    talk(f, &lasting);
    close(refused.fd);
    close(lasting.fd);
}

/* Turning the idle timeout off does not end what has one. */
static void update_leaves_timeouts_alone(void **state)
{
    struct fixture *f = *state;
    f->spec.idle_timeout_seconds = 1;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    struct spec_forward spec = f->spec;
    spec.idle_timeout_seconds = 0;
    assert_int_equal(listener_update(f->listener, &spec, -1), 0);
    talk(f, &client);
    run_until(f, client_at_end, &client); /* after a second, as it was started */
    assert_int_equal(client.error, ECONNRESET);
    close(client.fd);
}

static void update_moves_the_listener(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client lasting = {.fd = connect_client(f)};
    talk(f, &lasting);
    int fd = bind_loopback(SOCK_STREAM, &f->listen);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(listener_update(f->listener, &f->spec, fd), 0);
    talk(f, &lasting);
    struct client other = {.fd = connect_client(f)};
    while (counter_get(&f->counters.connections_total) < 2)
        run_once(f);
    talk(f, &lasting);
    close(other.fd);
    close(lasting.fd);
}

static const int no_sockets[2] = {-1, -1};

/* The near tunnel's definition, as make_tunnels() made it, to be changed. */
static void copy_spec(struct fixture *f, struct spec_tunnel *spec)
{
    assert_int_equal(spec_tunnel_copy(spec, &f->near_spec), 0);
}

static void connections_outlive_a_change_of_peers(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    struct spec_peer *peers = calloc(2, sizeof(*peers));
    peers[1] = spec.peers[0];
    strcpy(peers[0].name, "other");
    randombytes_buf(peers[0].public_key, SPEC_KEY_LEN);
    free(spec.peers);
    spec.peers = peers;
    spec.peers_count = 2;
    peers[1].keepalive_seconds = 5;
    assert_int_equal(inet_prefix_parse("10.0.0.0/16", &peers[1].allowed_ips[0]), 0);
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    talk(f, &client);
    assert_int_equal(tunnel_update(f->near, &f->near_spec, no_sockets), 0);
    talk(f, &client);
    spec_tunnel_fini(&spec);
    close(client.fd);
}

/* A peer that is taken away and given back has forgotten its session, and makes another. */
static void connections_outlive_the_loss_of_a_session(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    size_t peers_count = spec.peers_count;
    spec.peers_count = 0;
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    spec.peers_count = peers_count;
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    talk(f, &client);
    spec_tunnel_fini(&spec);
    close(client.fd);
}

static void connections_outlive_a_change_of_sockets(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    union inet_sockaddr bound;
    const int sockets[2] = {bind_loopback(SOCK_DGRAM, &bound), -1};
    assert_int_equal(tunnel_update(f->near, &f->near_spec, sockets), 0);
    talk(f, &client);
    close(client.fd);
}

static void another_mtu_ends_connections(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    spec.mtu = 1300;
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    run_until(f, client_at_end, &client);
    assert_int_equal(client.error, ECONNRESET);
    close(client.fd);
    run_until(f, target_is_closed, NULL);
    f->target = (struct target){0};
    client = (struct client){.fd = connect_client(f)};
    talk(f, &client);
    spec_tunnel_fini(&spec);
    close(client.fd);
}

static bool counted(struct fixture *f, void *arg)
{
    const uint64_t *least = arg;
    return counter_get(&f->tunnel_counters[0].tx_bytes) >= *least;
}

/* Totals do not go back when a peer goes. */
/* A takeover before makes no difference: their addresses may be the tunnel's no more. */
static void another_mtu_ends_older_connections(void **state)
{
    struct fixture *f = *state;
    uint8_t hello[] = {1, BRIDGE_VERSION, 0, 0, 0};
    uint8_t ports[1 + BRIDGE_PORT_BYTES] = {3};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(send(pair[0], hello, sizeof(hello), 0), sizeof(hello));
    assert_int_equal(send(pair[0], ports, sizeof(ports), 0), sizeof(ports));
    assert_int_equal(tunnel_adopt(f->near, pair[1]), 0);
    assert_int_equal(recv(pair[0], hello, 1, MSG_DONTWAIT), -1); /* it is there */
    struct spec_tunnel spec = f->near_spec;
    spec.mtu = 1300;
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    assert_int_equal(recv(pair[0], hello, 1, MSG_DONTWAIT), 0); /* it was closed */
    assert_true(tunnel_is_quiet(f->near));
    close(pair[0]);
}

static void totals_outlive_peers(void **state)
{
    struct fixture *f = *state;
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    uint64_t least = 10000;
    run_until(f, counted, &least);
    uint64_t before = counter_get(&f->tunnel_counters[0].rx_bytes);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    size_t peers_count = spec.peers_count;
    spec.peers_count = 0;
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    spec.peers_count = peers_count;
    assert_int_equal(tunnel_update(f->near, &spec, no_sockets), 0);
    talk(f, &client);
    least = counter_get(&f->tunnel_counters[0].tx_bytes) + 10000;
    run_until(f, counted, &least);
    assert_true(counter_get(&f->tunnel_counters[0].rx_bytes) >= before);
    spec_tunnel_fini(&spec);
    close(client.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(carries_bytes_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_after_the_client_has_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(goes_on_after_the_target_has_ended, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_no_more_than_the_target_takes, setup, teardown),
        cmocka_unit_test_setup_teardown(resets_the_client_when_the_dial_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(tells_the_last_connection_from_those_before, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(gives_a_dial_up_after_its_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_what_is_idle_if_asked_to, setup, teardown),
        cmocka_unit_test_setup_teardown(passes_resets_on, setup, teardown),
        cmocka_unit_test_setup_teardown(ends_its_connections_when_it_is_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(update_is_for_new_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(update_leaves_timeouts_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(update_moves_the_listener, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_outlive_a_change_of_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_outlive_the_loss_of_a_session, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_outlive_a_change_of_sockets, setup, teardown),
        cmocka_unit_test_setup_teardown(another_mtu_ends_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(another_mtu_ends_older_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(totals_outlive_peers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
