/*
 * connections: owns the list, the numbers per address and the timer of the first deadline.
 *
 * All connections have the same time, so a new one, and one that was just answered, go to the end
 * of the list, which so is in the order of deadlines and in the order of who has waited longest.
 */
#include "api/connections.h"

#include "base/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S UINT64_C(1000000000)
/* The network part of an IPv6 address: one customer, who has all of the rest. */
#define IPV6_PREFIX_LEN 8

/* --- Deadlines -------------------------------------------------------------------------------- */

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void schedule(struct connections *connections)
{
    const struct connection *first = TAILQ_FIRST(&connections->list);
    if (first == NULL) {
        event_del(connections->late);
        return;
    }
    uint64_t now = monotonic_ns();
    uint64_t left = first->deadline > now ? first->deadline - now : 0;
    struct timeval delay = {.tv_sec = (time_t)(left / NS_PER_S),
                            .tv_usec = (suseconds_t)(left % NS_PER_S / 1000)};
    event_add(connections->late, &delay);
}

static void start_deadline(struct connections *connections, struct connection *connection)
{
    connection->deadline = monotonic_ns() + connections->config.seconds * NS_PER_S;
    TAILQ_INSERT_TAIL(&connections->list, connection, entry);
}

static void stop_deadline(struct connections *connections, struct connection *connection)
{
    if (!connection->streaming)
        TAILQ_REMOVE(&connections->list, connection, entry);
}

static void forget_answer(struct connections *connections, struct connection *connection)
{
    connections->answers -= connection->answer;
    connection->answer = 0;
}

static void give_up(struct connections *connections, struct connection *connection)
{
    forget_answer(connections, connection);
    shutdown(connection->fd, SHUT_RDWR);
    if (connection->given_up)
        return;
    connection->given_up = true;
    connections->count--;
    connections->of_address[connection->address]--;
}

static void on_late(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct connections *connections = ctx;
    uint64_t now = monotonic_ns();
    struct connection *connection;
    while ((connection = TAILQ_FIRST(&connections->list)) != NULL && connection->deadline <= now) {
        give_up(connections, connection);
        TAILQ_REMOVE(&connections->list, connection, entry);
        start_deadline(connections, connection);
    }
    schedule(connections);
}

/* --- Too many --------------------------------------------------------------------------------- */

static unsigned hash_address(const struct connections *connections, const struct sockaddr *peer)
{
    const void *data = connections->key; /* of a Unix socket's peer: nothing */
    unsigned long long len = 0;
    if (peer->sa_family == AF_INET) {
        data = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
        len = sizeof(struct in_addr);
    } else if (peer->sa_family == AF_INET6) {
        const struct in6_addr *address =
            &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(address);
        data = mapped ? &address->s6_addr[12] : address->s6_addr;
        len = mapped ? sizeof(struct in_addr) : IPV6_PREFIX_LEN;
    }
    uint64_t hash;
    _Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "the hash has 64 bits");
    crypto_shorthash((uint8_t *)&hash, data, len, connections->key);
    return (unsigned)(hash % CONNECTIONS_ADDRESSES);
}

/*
 * The one that is given up for a newcomer: of its own address, or of any. One that is being
 * answered only where none waits.
 */
static struct connection *find_victim(struct connections *connections,
                                      const struct connection *newcomer, bool own_address)
{
    struct connection *victim = NULL;
    struct connection *connection;
    TAILQ_FOREACH(connection, &connections->list, entry)
    {
        if (connection == newcomer || connection->given_up ||
            (own_address && connection->address != newcomer->address))
            continue;
        bool better = victim == NULL || (victim->answering && !connection->answering) ||
                      (victim->answering == connection->answering &&
                       connections->of_address[connection->address] >
                           connections->of_address[victim->address]);
        if (better)
            victim = connection;
    }
    return victim;
}

static void make_room(struct connections *connections, const struct connection *newcomer)
{
    bool own_address =
        connections->of_address[newcomer->address] > connections->config.limit_per_address;
    if (!own_address && connections->count <= connections->config.limit)
        return;
    struct connection *victim = find_victim(connections, newcomer, own_address);
    if (victim == NULL)
        return;
    log_debug("api: too many connections: one that %s is given up",
              victim->answering ? "is being answered" : "waits");
    give_up(connections, victim);
}

/* The one whose answer has been sent for longest. */
static struct connection *find_slowest(struct connections *connections,
                                       const struct connection *newcomer)
{
    struct connection *connection;
    TAILQ_FOREACH(connection, &connections->list, entry)
    {
        if (connection != newcomer && connection->answer > 0)
            return connection;
    }
    return NULL;
}

static void make_room_for_answer(struct connections *connections, const struct connection *newcomer)
{
    while (connections->answers > connections->config.answers) {
        struct connection *slowest = find_slowest(connections, newcomer);
        if (slowest == NULL)
            return;
        log_debug("api: too much is being sent: a client that reads slowly is given up");
        give_up(connections, slowest);
    }
}

/* --- The client's end ------------------------------------------------------------------------- */

static void tell_end(const struct connection *connection)
{
    const struct connections_config *config = &connection->connections->config;
    if (connection->ended && !connection->answering && !connection->streaming)
        config->ended(config->ctx, connection->served);
}

static void on_end(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct connection *connection = ctx;
    connection->ended = true;
    tell_end(connection);
}

/* Of its edge only: what is reset is not reported here, and would be over and over. */
static int watch_end(struct connections *connections, struct connection *connection)
{
    connection->end =
        event_new(connections->base, connection->fd, EV_CLOSED | EV_ET, on_end, connection);
    return connection->end != NULL ? event_add(connection->end, NULL) : -ENOMEM;
}

/* --- Connections ------------------------------------------------------------------------------ */

static void free_connection(struct connection *connection)
{
    if (connection->end != NULL)
        event_free(connection->end);
    free(connection);
}

struct connection *connections_add(struct connections *connections, int fd,
                                   const struct sockaddr *peer, void *served)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return NULL;
    connection->connections = connections;
    connection->fd = fd;
    connection->served = served;
    if (watch_end(connections, connection) < 0) {
        free_connection(connection);
        return NULL;
    }
    connection->address = hash_address(connections, peer);
    connections->count++;
    connections->of_address[connection->address]++;
    start_deadline(connections, connection);
    make_room(connections, connection);
    schedule(connections);
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    if (!connection->given_up) {
        connections->count--;
        connections->of_address[connection->address]--;
    }
    forget_answer(connections, connection);
    stop_deadline(connections, connection);
    free_connection(connection);
    schedule(connections);
}

void connections_answering(struct connections *connections, struct connection *connection,
                           size_t len)
{
    connection->answering = true;
    if (connection->given_up)
        return;
    connection->answer = len;
    connections->answers += len;
    make_room_for_answer(connections, connection);
}

void connections_streaming(struct connections *connections, struct connection *connection)
{
    stop_deadline(connections, connection);
    connection->streaming = true;
    schedule(connections);
}

void connections_answered(struct connections *connections, struct connection *connection)
{
    stop_deadline(connections, connection);
    forget_answer(connections, connection);
    connection->answering = false;
    connection->streaming = false;
    start_deadline(connections, connection);
    schedule(connections);
    tell_end(connection);
}

int connections_init(struct connections *connections, struct event_base *base,
                     const struct connections_config *config)
{
    TAILQ_INIT(&connections->list);
    connections->base = base;
    connections->config = *config;
    crypto_shorthash_keygen(connections->key);
    connections->late = evtimer_new(base, on_late, connections);
    return connections->late != NULL ? 0 : -ENOMEM;
}

void connections_fini(struct connections *connections)
{
    if (connections->late != NULL)
        event_free(connections->late);
    connections->late = NULL;
}
