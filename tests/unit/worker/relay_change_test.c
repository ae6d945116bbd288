/* What a change of the forward or of the tunnel does to connections that are open. */
#include "tests/unit/worker/relay_world.h"

/* --- Of the forward --------------------------------------------------------------------------- */

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

/* The listener, and a first connection over which bytes have passed. */
static struct client open_client(struct fixture *f)
{
    start_listener(f);
    struct client client = {.fd = connect_client(f)};
    talk(f, &client);
    return client;
}

/* What is open goes on with what it was started with; what comes goes by what there is now. */
static void update_is_for_new_connections(void **state)
{
    struct fixture *f = *state;
    struct client lasting = open_client(f);
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
    struct client client = open_client(f);
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
    struct client lasting = open_client(f);
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

/* --- Of the tunnel ---------------------------------------------------------------------------- */

/* Without the peers that are gone, and with the others as they are in spec. */
static int update(struct fixture *f, const struct spec_tunnel *spec, const int *sockets,
                  const struct spec_peer *gone)
{
    const struct tunnel_change change = {
        .spec = spec,
        .gone = gone ? &gone->public_key : NULL,
        .gone_count = gone != NULL,
        .sockets = {sockets ? sockets[0] : -1, sockets ? sockets[1] : -1},
    };
    return tunnel_update(f->near, &change);
}

/* The near tunnel's definition, as make_tunnels() made it, to be changed. */
static void copy_spec(struct fixture *f, struct spec_tunnel *spec)
{
    assert_int_equal(spec_tunnel_copy(spec, &f->near_spec), 0);
}

static void connections_outlive_a_change_of_peers(void **state)
{
    struct fixture *f = *state;
    struct client client = open_client(f);
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
    assert_int_equal(update(f, &spec, NULL, NULL), 0);
    talk(f, &client);
    /* Only one of them is told of: the other stays. */
    struct spec_tunnel part = spec;
    part.peers_count = 1;
    part.peers[0].keepalive_seconds = 7;
    assert_int_equal(update(f, &part, NULL, NULL), 0);
    talk(f, &client);
    assert_int_equal(update(f, &f->near_spec, NULL, &part.peers[0]), 0);
    talk(f, &client);
    spec_tunnel_fini(&spec);
    close(client.fd);
}

/* A peer that is taken away and given back has forgotten its session, and makes another. */
static void connections_outlive_the_loss_of_a_session(void **state)
{
    struct fixture *f = *state;
    struct client client = open_client(f);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    size_t peers_count = spec.peers_count;
    spec.peers_count = 0;
    assert_int_equal(update(f, &spec, NULL, &spec.peers[0]), 0);
    spec.peers_count = peers_count;
    assert_int_equal(update(f, &spec, NULL, NULL), 0);
    talk(f, &client);
    spec_tunnel_fini(&spec);
    close(client.fd);
}

static void connections_outlive_a_change_of_sockets(void **state)
{
    struct fixture *f = *state;
    struct client client = open_client(f);
    union inet_sockaddr bound;
    const int sockets[2] = {bind_loopback(SOCK_DGRAM, &bound), -1};
    assert_int_equal(update(f, &f->near_spec, sockets, NULL), 0);
    talk(f, &client);
    close(client.fd);
}

static void another_mtu_ends_connections(void **state)
{
    struct fixture *f = *state;
    struct client client = open_client(f);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    spec.mtu = 1300;
    assert_int_equal(update(f, &spec, NULL, NULL), 0);
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
    assert_int_equal(update(f, &spec, NULL, NULL), 0);
    assert_int_equal(recv(pair[0], hello, 1, MSG_DONTWAIT), 0); /* it was closed */
    assert_true(tunnel_is_quiet(f->near));
    close(pair[0]);
}

/* An older worker that cannot be told of a forward's end loses its connections, and their ports. */
static void ports_of_an_older_worker_come_back(void **state)
{
    struct fixture *f = *state;
    uint8_t hello[] = {1, BRIDGE_VERSION, 0, 0, 0};
    uint8_t ports[1 + BRIDGE_PORT_BYTES];
    int pair[2];
    memset(ports, 0xff, sizeof(ports)); /* all of them */
    ports[0] = 3;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(send(pair[0], hello, sizeof(hello), 0), sizeof(hello));
    assert_int_equal(send(pair[0], ports, sizeof(ports), 0), sizeof(ports));
    assert_int_equal(tunnel_adopt(f->near, pair[1]), 0);
    close(pair[0]);
    tunnel_forward_gone(f->near, "web");
    assert_true(tunnel_is_quiet(f->near));
    struct client client = open_client(f);
    close(client.fd);
}

/* Totals do not go back when a peer goes. */
static void totals_outlive_peers(void **state)
{
    struct fixture *f = *state;
    struct client client = open_client(f);
    uint64_t least = 10000;
    run_until(f, counted, &least);
    uint64_t before = counter_get(&f->tunnel_counters[0].rx_bytes);
    struct spec_tunnel spec;
    copy_spec(f, &spec);
    size_t peers_count = spec.peers_count;
    spec.peers_count = 0;
    assert_int_equal(update(f, &spec, NULL, &spec.peers[0]), 0);
    spec.peers_count = peers_count;
    assert_int_equal(update(f, &spec, NULL, NULL), 0);
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
        relay_test(update_is_for_new_connections),
        relay_test(update_leaves_timeouts_alone),
        relay_test(update_moves_the_listener),
        relay_test(connections_outlive_a_change_of_peers),
        relay_test(connections_outlive_the_loss_of_a_session),
        relay_test(connections_outlive_a_change_of_sockets),
        relay_test(another_mtu_ends_connections),
        relay_test(another_mtu_ends_older_connections),
        relay_test(ports_of_an_older_worker_come_back),
        relay_test(totals_outlive_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
