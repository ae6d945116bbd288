/*
 * relay: owns one client socket and one stack connection, and the state of each direction:
 * client → target ("out") ends when the client's end of stream was passed on, target → client
 * ("in") when the target's was. A relay is freed at the end of the turn in which it was closed.
 */
#include "engine/forward/relay.h"

#include "base/log.h"
#include "engine/clock.h"
#include "engine/stack/stack.h"
#include "engine/tunnel.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Bytes read from a client at once. More in one turn would delay the other connections. */
#define READ_MAX 65536
/* Pieces of received data in one writev(). */
#define PIECES_MAX 64

struct relay {
    LIST_ENTRY(relay) link;
    struct turn_item end_of_turn; /* frees the relay */
    struct relay_group *group;
    struct stack_conn *conn; /* NULL once the stack's side is gone */
    int client;
    struct event readable; /* of the client's socket */
    struct event writable;
    struct event timer;    /* connect timeout, then idle timeout */
    uint64_t active_at;    /* when bytes last moved; kept only with an idle timeout */
    uint64_t idle_timeout; /* of when it was started; ns, 0 = never */
    bool connected;
    bool out_done; /* the client's end of stream was passed on */
    bool in_done;  /* the target's end of stream was passed on */
};

static uint8_t read_buffer[READ_MAX];

static const struct stack_conn_ops conn_ops;

/* --- The one way out -------------------------------------------------------------------------- */

static void on_end_of_turn(struct turn_item *item)
{
    free((char *)item - offsetof(struct relay, end_of_turn));
}

enum end { END_CLEAN, END_RESET };

/*
 * Ends a relay. END_RESET makes both sides see a reset, unless the client has the target's end of
 * stream already: then its answer is complete, and a reset could only destroy what the client has
 * not read of it.
 */
static void relay_end(struct relay *relay, enum end how, const char *reason)
{
    struct relay_group *group = relay->group;
    log_about(LOG_LEVEL_DEBUG, LOG_FORWARD, group->spec->name, "connection ended: %s", reason);
    if (relay->conn && how == END_CLEAN)
        stack_conn_close(relay->conn);
    else if (relay->conn)
        stack_conn_abort(relay->conn);
    relay->conn = NULL;
    event_del(&relay->readable);
    event_del(&relay->writable);
    event_del(&relay->timer);
    if (how == END_RESET && !relay->in_done) {
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        setsockopt(relay->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }
    close(relay->client);
    LIST_REMOVE(relay, link);
    counter_add(&group->counters->connections_active, (uint64_t)-1);
    tunnel_touch(group->tunnel);
    turn_defer(group->turn, &relay->end_of_turn);
}

/*
 * Stamps the outcome of a dial, with a later time than the other outcome has: which of the two came
 * last is told from their times, also when both come in one turn of the loop.
 */
static void stamp(counter *outcome, const counter *other)
{
    const uint64_t now = clock_now();
    const uint64_t before = counter_get(other);
    counter_set(outcome, now > before ? now : before + 1);
}

static void dial_failed(struct relay *relay, int error)
{
    struct counters_forward *counters = relay->group->counters;
    counter_add(&counters->connect_failures, 1);
    counter_set(&counters->last_error, (uint64_t)-error);
    counter_set(&counters->last_error_unix_ns, (uint64_t)clock_unix_ns());
    stamp(&counters->last_error_at, &counters->last_connect_at);
    relay_end(relay, END_RESET, strerror(-error));
}

/* --- Timeouts --------------------------------------------------------------------------------- */

static void set_timer(struct relay *relay, uint64_t wait_ns)
{
    struct timeval timeout = {
        .tv_sec = (time_t)(wait_ns / CLOCK_NS_PER_S),
        .tv_usec = (suseconds_t)(wait_ns % CLOCK_NS_PER_S / 1000),
    };
    event_add(&relay->timer, &timeout);
}

/* Bytes moved. Only the time is noted; the timer looks at it when it fires. */
static void active(struct relay *relay)
{
    relay->active_at = clock_now();
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct relay *relay = arg;
    clock_refresh();
    if (!relay->connected) {
        dial_failed(relay, -ETIMEDOUT);
        return;
    }
    uint64_t idle = clock_now() - relay->active_at;
    if (idle >= relay->idle_timeout)
        relay_end(relay, END_RESET, "idle timeout");
    else
        set_timer(relay, relay->idle_timeout - idle);
}

/* --- Client → target -------------------------------------------------------------------------- */

static void end_if_done(struct relay *relay)
{
    if (relay->in_done && relay->out_done)
        relay_end(relay, END_CLEAN, "both sides finished");
}

static void on_client_readable(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    struct relay *relay = arg;
    clock_refresh();
    size_t space = stack_conn_send_space(relay->conn);
    if (space == 0) { /* conn_writable() goes on */
        event_del(&relay->readable);
        return;
    }
    ssize_t len = read(fd, read_buffer, space < READ_MAX ? space : READ_MAX);
    if (len > 0) {
        int error = stack_conn_write(relay->conn, read_buffer, (size_t)len);
        if (error) {
            relay_end(relay, END_RESET, strerror(-error));
            return;
        }
        counter_add(&relay->group->counters->bytes_out, (uint64_t)len);
        active(relay);
    } else if (len == 0) {
        event_del(&relay->readable);
        relay->out_done = true;
        stack_conn_shutdown(relay->conn);
        end_if_done(relay);
    } else if (errno != EAGAIN && errno != EINTR) {
        relay_end(relay, END_RESET, strerror(errno));
        return;
    }
    tunnel_touch(relay->group->tunnel);
}

static void conn_connected(void *ctx)
{
    struct relay *relay = ctx;
    struct counters_forward *counters = relay->group->counters;
    relay->connected = true;
    stamp(&counters->last_connect_at, &counters->last_error_at);
    active(relay);
    if (relay->idle_timeout > 0)
        set_timer(relay, relay->idle_timeout);
    else
        event_del(&relay->timer);
    event_add(&relay->readable, NULL);
}

static void conn_writable(void *ctx)
{
    struct relay *relay = ctx;
    if (relay->connected && !relay->out_done)
        event_add(&relay->readable, NULL);
}

/* --- Target → client -------------------------------------------------------------------------- */

/* Passes on what the client's socket takes. False when the relay has ended. */
static bool pump_in(struct relay *relay)
{
    struct iovec pieces[PIECES_MAX];
    int count;
    while ((count = stack_conn_peek(relay->conn, pieces, PIECES_MAX)) > 0) {
        ssize_t len = writev(relay->client, pieces, count);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0 && errno == EAGAIN) {
            event_add(&relay->writable, NULL);
            return true;
        }
        if (len < 0) {
            relay_end(relay, END_RESET, strerror(errno));
            return false;
        }
        counter_add(&relay->group->counters->bytes_in, (uint64_t)len);
        active(relay);
        stack_conn_consume(relay->conn, (size_t)len);
    }
    event_del(&relay->writable);
    if (stack_conn_at_eof(relay->conn) && !relay->in_done) {
        relay->in_done = true;
        if (shutdown(relay->client, SHUT_WR) < 0 && errno != ENOTCONN) {
            relay_end(relay, END_RESET, strerror(errno));
            return false;
        }
        end_if_done(relay);
    }
    return relay->conn != NULL;
}

static void conn_readable(void *ctx)
{
    struct relay *relay = ctx;
    /* While the socket is known to be full, its event goes on; here it would be a wasted call. */
    if (!event_pending(&relay->writable, EV_WRITE, NULL))
        pump_in(relay);
}

static void on_client_writable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    struct relay *relay = arg;
    clock_refresh();
    if (pump_in(relay))
        tunnel_touch(relay->group->tunnel);
}

static void conn_closed(void *ctx, int error)
{
    struct relay *relay = ctx;
    relay->conn = NULL;
    if (!relay->connected)
        dial_failed(relay, error ? error : -ECONNRESET);
    else if (error)
        relay_end(relay, END_RESET, strerror(-error));
    else
        relay_end(relay, END_CLEAN, "the stack finished");
}

static const struct stack_conn_ops conn_ops = {
    .connected = conn_connected,
    .readable = conn_readable,
    .writable = conn_writable,
    .closed = conn_closed,
};

/* --- Life cycle ------------------------------------------------------------------------------- */

static void prepare_client(int client)
{
    int on = 1;
    /* Both only make things better; a failure changes nothing that matters. */
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(client, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

/* Without a peer for the target no packet would ever leave: that is no matter of waiting. */
static int dial(struct relay *relay)
{
    const struct relay_group *group = relay->group;
    const struct spec_forward *spec = group->spec;
    if (!tunnel_has_route(group->tunnel, &spec->target_address))
        return -EHOSTUNREACH;
    return stack_connect(tunnel_stack(group->tunnel), &spec->target_address, spec->target_port,
                         &conn_ops, relay, &relay->conn);
}

int relay_start(struct relay_group *group, int client)
{
    counter_add(&group->counters->connections_total, 1);
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay) {
        close(client);
        return -ENOMEM;
    }
    relay->group = group;
    relay->client = client;
    relay->idle_timeout = group->spec->idle_timeout_seconds * CLOCK_NS_PER_S;
    relay->end_of_turn.run = on_end_of_turn;
    event_assign(&relay->readable, group->base, client, EV_READ | EV_PERSIST, on_client_readable,
                 relay);
    event_assign(&relay->writable, group->base, client, EV_WRITE | EV_PERSIST, on_client_writable,
                 relay);
    evtimer_assign(&relay->timer, group->base, on_timer, relay);
    prepare_client(client);
    LIST_INSERT_HEAD(&group->relays, relay, link);
    counter_add(&group->counters->connections_active, 1);

    int error = dial(relay);
    if (error) {
        dial_failed(relay, error);
        return error;
    }
    set_timer(relay, group->spec->connect_timeout_seconds * CLOCK_NS_PER_S);
    tunnel_touch(group->tunnel);
    return 0;
}

void relay_close_all(struct relay_group *group)
{
    struct relay *relay;
    while ((relay = LIST_FIRST(&group->relays)))
        relay_end(relay, END_RESET, "the forward was removed");
}
