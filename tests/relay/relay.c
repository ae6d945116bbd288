/* relay: owns the sockets, the flows and both paths. A flow lives as long as the relay. */
#include "tests/relay/relay.h"

#include "tests/relay/sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int relay_new(const union inet_sockaddr *listen, const union inet_sockaddr *target, uint64_t seed,
              struct relay **out)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return -ENOMEM;
    relay->target = *target;
    path_init(&relay->paths[RELAY_UP], seed);
    path_init(&relay->paths[RELAY_DOWN], ~seed);
    relay->listener = sockets_open(listen, NULL);
    if (relay->listener < 0) {
        const int error = relay->listener;
        relay_free(relay);
        return error;
    }
    *out = relay;
    return 0;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    for (unsigned i = 0; i < relay->flows_count; i++)
        close(relay->flows[i].fd);
    if (relay->listener >= 0)
        close(relay->listener);
    path_fini(&relay->paths[RELAY_UP]);
    path_fini(&relay->paths[RELAY_DOWN]);
    free(relay);
}

size_t relay_poll(const struct relay *relay, struct pollfd out[RELAY_POLL_MAX])
{
    out[0] = (struct pollfd){.fd = relay->listener, .events = POLLIN};
    for (unsigned i = 0; i < relay->flows_count; i++)
        out[1 + i] = (struct pollfd){.fd = relay->flows[i].fd, .events = POLLIN};
    return 1 + relay->flows_count;
}

uint64_t relay_deadline(const struct relay *relay)
{
    const uint64_t up = path_deadline(&relay->paths[RELAY_UP]);
    const uint64_t down = path_deadline(&relay->paths[RELAY_DOWN]);
    return up < down ? up : down;
}

/* --- Receiving ------------------------------------------------------------------------------ */

/* The number of a client's flow, made if there is none; RELAY_FLOWS_MAX: no more can be had. */
static unsigned flow_of(struct relay *relay, const union inet_sockaddr *client)
{
    for (unsigned i = 0; i < relay->flows_count; i++)
        if (inet_sockaddr_equal(&relay->flows[i].client, client))
            return i;
    if (relay->flows_count == RELAY_FLOWS_MAX)
        return RELAY_FLOWS_MAX;
    const int fd = sockets_open(NULL, &relay->target);
    if (fd < 0)
        return RELAY_FLOWS_MAX;
    relay->flows[relay->flows_count] = (struct relay_flow){.client = *client, .fd = fd};
    return relay->flows_count++;
}

static void receive_from_clients(struct relay *relay, uint64_t now, struct received *batch)
{
    const size_t count = sockets_receive(relay->listener, batch);
    for (size_t i = 0; i < count; i++) {
        const unsigned flow = flow_of(relay, &batch->from[i]);
        if (flow < RELAY_FLOWS_MAX)
            path_offer(&relay->paths[RELAY_UP], now, flow, batch->data[i], batch->lens[i]);
    }
}

static void receive_from_target(struct relay *relay, uint64_t now, unsigned flow,
                                struct received *batch)
{
    const size_t count = sockets_receive(relay->flows[flow].fd, batch);
    for (size_t i = 0; i < count; i++)
        path_offer(&relay->paths[RELAY_DOWN], now, flow, batch->data[i], batch->lens[i]);
}

void relay_receive(struct relay *relay, const struct pollfd *polled, size_t count, uint64_t now)
{
    static struct received batch; /* large, and of no meaning between two calls */
    for (size_t i = 1; i < count; i++)
        if (polled[i].revents)
            receive_from_target(relay, now, (unsigned)i - 1, &batch);
    if (polled[0].revents)
        receive_from_clients(relay, now, &batch);
}

/* --- Sending -------------------------------------------------------------------------------- */

static void send_run(struct relay *relay, enum relay_direction direction, struct parcel **parcels,
                     size_t count)
{
    struct outgoing run[SOCKETS_BATCH];
    int fd = relay->listener;
    for (size_t i = 0; i < count; i++) {
        const struct relay_flow *flow = &relay->flows[parcels[i]->flow];
        run[i] = (struct outgoing){.data = parcels[i]->data, .len = parcels[i]->len};
        if (direction == RELAY_DOWN)
            run[i].to = &flow->client;
        else
            fd = flow->fd;
    }
    relay->refused[direction] += count - sockets_send(fd, run, count);
}

/* Sends a batch as runs that go through one socket each. */
static void send_batch(struct relay *relay, enum relay_direction direction, struct parcel **parcels,
                       size_t count)
{
    size_t from = 0;
    for (size_t i = 1; i <= count; i++) {
        if (i < count && (direction == RELAY_DOWN || parcels[i]->flow == parcels[from]->flow))
            continue;
        send_run(relay, direction, parcels + from, i - from);
        from = i;
    }
    for (size_t i = 0; i < count; i++)
        free(parcels[i]);
}

void relay_forward(struct relay *relay, uint64_t now)
{
    struct parcel *parcels[SOCKETS_BATCH];
    for (enum relay_direction direction = 0; direction < RELAY_DIRECTIONS; direction++) {
        size_t count = 0;
        while (count < SOCKETS_BATCH && (parcels[count] = path_take(&relay->paths[direction], now)))
            count++;
        if (count > 0)
            send_batch(relay, direction, parcels, count);
    }
}

/* --- Attacks -------------------------------------------------------------------------------- */

int relay_inject(struct relay *relay, enum relay_direction direction,
                 const union inet_sockaddr *from, const uint8_t *data, size_t len)
{
    const struct relay_flow *flow = relay->flows;
    if (relay->flows_count == 0 && (direction == RELAY_DOWN || !from))
        return -ENOTCONN;
    struct outgoing datagram = {.data = data, .len = len};
    int fd = direction == RELAY_DOWN ? relay->listener : flow->fd;
    if (direction == RELAY_DOWN)
        datagram.to = &flow->client;
    if (from) {
        fd = sockets_open(from, NULL);
        if (fd < 0)
            return fd;
        datagram.to = direction == RELAY_DOWN ? &flow->client : &relay->target;
    }
    const size_t sent = sockets_send(fd, &datagram, 1);
    if (from)
        close(fd);
    return sent == 1 ? 0 : -EIO;
}

int relay_rebind(struct relay *relay, const struct inet_addr *address)
{
    union inet_sockaddr local;
    if (address)
        inet_sockaddr_make(&local, address, 0);
    for (unsigned i = 0; i < relay->flows_count; i++) {
        const int fd = sockets_open(address ? &local : NULL, &relay->target);
        if (fd < 0)
            return fd;
        close(relay->flows[i].fd);
        relay->flows[i].fd = fd;
    }
    return 0;
}

uint64_t relay_missed(const struct relay *relay, enum relay_direction direction)
{
    uint64_t missed = 0;
    if (direction == RELAY_UP)
        return sockets_missed(relay->listener);
    for (unsigned i = 0; i < relay->flows_count; i++)
        missed += sockets_missed(relay->flows[i].fd);
    return missed;
}

int relay_outside(const struct relay *relay, unsigned flow, union inet_sockaddr *out)
{
    return sockets_name(relay->flows[flow].fd, out);
}
