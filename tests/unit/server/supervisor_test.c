/*
 * supervisor, worker_link, worker: workers are told what to do, die, and are told again; what they
 * count is kept.
 */
#include "tests/unit/server/supervisor_world.h"

static void workers_accept_what_they_are_given(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    add(f, &tunnel, &forward); /* before any worker is up */
    run_until(f, all_alive, NULL);
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    int client = connect_client(f);
    struct reaches accepted = {&counters->connections_active, 1};
    run_until(f, reached, &accepted);
    /* After the removal its connection is reset, and the slot's counters are zero. */
    supervisor_remove_forward(forward);
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), -1);
    struct reaches zero = {&counters->connections_total, 0};
    run_until(f, reached, &zero);
    supervisor_remove_tunnel(tunnel);
    close(client);
}

static void tunnels_are_spread(void **state)
{
    enum { COUNT = 6 };
    struct fixture *f = *state;
    struct supervised_tunnel *tunnels[COUNT];
    unsigned on[2] = {0};
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(add_tunnel(f, (int[]){-1, -1}, &tunnels[i]), 0);
        on[supervisor_tunnel_worker(tunnels[i])]++;
    }
    assert_int_equal(on[0], COUNT / 2);
    assert_int_equal(on[1], COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        supervisor_remove_tunnel(tunnels[i]);
}

/* Both processes are others than before, and at work. */
static bool replaced(struct fixture *f, const void *arg)
{
    const pid_t *before = arg;
    pid_t now[4];
    if (children(now, 4) != 2 || !all_alive(f, NULL))
        return false;
    for (int i = 0; i < 2; i++) {
        if (now[i] == before[0] || now[i] == before[1])
            return false;
    }
    return true;
}

static void a_killed_worker_comes_back_with_the_same_listener(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    int first = connect_client(f);
    struct reaches accepted = {&counters->connections_active, 1};
    run_until(f, reached, &accepted);

    for (unsigned round = 1; round <= 3; round++) {
        pid_t pids[4];
        assert_int_equal(children(pids, 4), 2);
        kill(pids[0], SIGKILL);
        kill(pids[1], SIGKILL);
        int meanwhile = connect_client(f); /* waits in the backlog, is not refused */
        run_until(f, replaced, pids);
        /* The total goes on; the gauge starts again, with the one that waited. */
        struct reaches total = {&counters->connections_total, 1 + round};
        run_until(f, reached, &total);
        run_until(f, reached, &accepted);
        close(meanwhile);
    }
    close(first);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/* Each worker is seen by itself, and keeps its counters when its process is another. */
static void workers_are_told_apart(void **state)
{
    struct fixture *f = *state;
    run_until(f, all_alive, NULL);
    const struct counters_worker *before[2];
    for (unsigned i = 0; i < 2; i++) {
        assert_true(supervisor_worker_alive(f->supervisor, i));
        before[i] = supervisor_worker_counters(f->supervisor, i);
    }
    assert_ptr_not_equal(before[0], before[1]);
    pid_t pids[4];
    assert_int_equal(children(pids, 4), 2);
    kill(pids[0], SIGKILL);
    run_until(f, one_is_down, NULL);
    run_until(f, all_alive, NULL);
    for (unsigned i = 0; i < 2; i++)
        assert_ptr_equal(supervisor_worker_counters(f->supervisor, i), before[i]);
}

/* The worker is told of a change; open connections stay, and a worker that comes back knows it. */
static void workers_are_told_of_changes(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    struct spec_peer peers[2] = {{.name = "a",
                                  .public_key = {9},
                                  .endpoint_port = 51820,
                                  .allowed_ips = &f->beyond,
                                  .allowed_ips_count = 1},
                                 {.name = "b", .public_key = {8}, .endpoint_port = 51820}};
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    int first = connect_client(f);
    struct reaches one = {&counters->connections_active, 1};
    run_until(f, reached, &one);

    int old = f->listener;
    f->listener = bind_loopback(SOCK_STREAM, &f->listen);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(supervisor_prepare_forward(forward, &f->forward, f->listener), 0);
    supervisor_tell_forward(forward);
    shutdown(old, SHUT_RDWR);
    descriptor_close(old);
    f->tunnel.peers = peers;
    /* The first is looked up in /etc/hosts, the second cannot be found. */
    strcpy(peers[0].endpoint_host, "localhost");
    strcpy(peers[1].endpoint_host, "nowhere.invalid");
    for (f->tunnel.peers_count = 0; f->tunnel.peers_count <= 2; f->tunnel.peers_count++) {
        assert_int_equal(supervisor_prepare_tunnel(tunnel, &f->tunnel, NULL), 0);
        supervisor_tell_tunnel(tunnel);
    }
    f->tunnel.peers_count = 1;
    assert_int_equal(supervisor_prepare_tunnel(tunnel, &f->tunnel, f->sockets), 0);
    supervisor_tell_tunnel(tunnel);
    int second = connect_client(f);
    struct reaches two = {&counters->connections_active, 2};
    run_until(f, reached, &two);

    pid_t pids[4];
    assert_int_equal(children(pids, 4), 2);
    kill(pids[0], SIGKILL);
    kill(pids[1], SIGKILL);
    int third = connect_client(f);
    run_until(f, replaced, pids);
    struct reaches total = {&counters->connections_total, 3};
    run_until(f, reached, &total);
    close(first);
    close(second);
    close(third);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/* The worker hears nothing of what is not told: its slots would have had to be removed first. */
static void what_is_not_told_costs_nothing(void **state)
{
    struct fixture *f = *state;
    run_until(f, all_alive, NULL);
    for (unsigned i = 0; i < 3 * COUNTERS_TUNNELS_MAX; i++) {
        struct supervised_tunnel *tunnel;
        struct supervised_forward *forward;
        assert_int_equal(supervisor_reserve_tunnel(f->supervisor, &f->tunnel, &f->tunnel,
                                                   (int[]){-1, -1}, &tunnel),
                         0);
        assert_int_equal(
            supervisor_reserve_forward(tunnel, &f->forward, &f->forward, f->listener, &forward), 0);
        supervisor_remove_forward(forward);
        supervisor_remove_tunnel(tunnel);
    }
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    add(f, &tunnel, &forward);
    struct spec_forward other = f->forward;
    int nowhere = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(supervisor_prepare_tunnel(tunnel, &f->tunnel, (int[]){-1, -1}), 0);
    assert_int_equal(supervisor_prepare_forward(forward, &other, nowhere), 0);
    supervisor_forget_forward(forward);
    supervisor_forget_tunnel(tunnel);
    close(nowhere);
    expect_client(f, forward);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

static void slots_come_back(void **state)
{
    struct fixture *f = *state;
    run_until(f, all_alive, NULL);
    /* More than there are slots, one after the other. */
    for (unsigned i = 0; i < 3 * COUNTERS_TUNNELS_MAX; i++) {
        struct supervised_tunnel *tunnel;
        int error = add_tunnel(f, (int[]){-1, -1}, &tunnel);
        if (error == -ENOSPC) { /* all are being removed: the workers have to catch up */
            assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
            i--;
            continue;
        }
        assert_int_equal(error, 0);
        supervisor_remove_tunnel(tunnel);
    }
    run_until(f, all_alive, NULL);
}

static bool peer_reached(struct fixture *f, const void *arg)
{
    const struct supervised_tunnel *tunnel = arg;
    (void)f;
    for (size_t i = 0; i < supervisor_peers(tunnel); i++) {
        struct supervised_peer peer;
        supervisor_peer(tunnel, i, &peer);
        if (counter_get(&peer.counters->tx_bytes) == 0)
            return false;
    }
    return true;
}

static void make_peer(struct spec_peer *peer, const char *name, uint8_t key, uint16_t port)
{
    *peer = (struct spec_peer){.endpoint_port = port, .keepalive_seconds = 25};
    strcpy(peer->name, name);
    strcpy(peer->endpoint_host, "127.0.0.1");
    memset(peer->public_key, key, SPEC_KEY_LEN);
}

/* What is counted for a peer stays its own while others come and go, and when a worker dies. */
static void peers_are_counted_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_peer seen;
    struct spec_peer first[2], second[2];
    union inet_sockaddr silent, endpoint;
    int nobody = bind_loopback(SOCK_DGRAM, &silent);
    uint16_t port = ntohs(silent.in.sin_port);
    make_peer(&first[0], "a", 1, port);
    make_peer(&first[1], "b", 2, port);
    f->tunnel.peers = first;
    f->tunnel.peers_count = 2;
    run_until(f, all_alive, NULL);
    assert_int_equal(add_tunnel(f, f->sockets, &tunnel), 0);
    run_until(f, peer_reached, tunnel);
    supervisor_peer(tunnel, 1, &seen);
    const struct counters_peer *stays = seen.counters;
    assert_true(seen.looked_up && seen.since_ns != 0);
    assert_int_equal(counter_get(&stays->unanswered), 1);
    assert_int_equal(counter_get(&stays->handshakes), 0);
    assert_int_equal(counter_get(&stays->last_handshake_unix_ns), 0);
    assert_true(counters_get_endpoint(stays, &endpoint));
    assert_true(inet_sockaddr_equal(&endpoint, &silent));
    supervisor_peer(tunnel, 0, &seen);
    const struct counters_peer *goes = seen.counters;

    /* What comes to nothing changes nothing. */
    make_peer(&second[0], "b", 2, port);
    make_peer(&second[1], "c", 3, port);
    struct spec_tunnel next = f->tunnel;
    next.peers = second;
    assert_int_equal(supervisor_prepare_tunnel(tunnel, &next, NULL), 0);
    supervisor_forget_tunnel(tunnel);
    supervisor_peer(tunnel, 0, &seen);
    assert_ptr_equal(seen.counters, goes);

    uint64_t before = counter_get(&stays->tx_bytes);
    assert_int_equal(supervisor_prepare_tunnel(tunnel, &next, NULL), 0);
    f->tunnel = next;
    supervisor_tell_tunnel(tunnel);
    run_until(f, peer_reached, tunnel);
    run_until(f, reached, &(struct reaches){&goes->tx_bytes, 0});
    supervisor_peer(tunnel, 0, &seen);
    assert_ptr_equal(seen.counters, stays);
    assert_true(counter_get(&stays->tx_bytes) >= before);

    pid_t pids[4];
    assert_int_equal(children(pids, 4), 2);
    before = counter_get(&stays->tx_bytes);
    kill(pids[supervisor_tunnel_worker(tunnel)], SIGKILL);
    run_until(f, one_is_down, NULL);
    run_until(f, all_alive, NULL);
    while (counter_get(&stays->tx_bytes) <= before)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    supervisor_remove_tunnel(tunnel);
    run_until(f, reached, &(struct reaches){&stays->tx_bytes, 0});
    f->tunnel.peers = NULL;
    f->tunnel.peers_count = 0;
    close(nobody);
}

static bool has_mail(struct fixture *f, const void *arg)
{
    uint8_t first;
    (void)f;
    return recv(*(const int *)arg, &first, sizeof(first), MSG_DONTWAIT | MSG_PEEK) > 0;
}

/* A new worker looks for a peer where its predecessor saw it, unless the definition has changed. */
static void a_peer_is_looked_for_where_it_was_seen(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_peer seen;
    struct spec_peer peer, changed;
    union inet_sockaddr first, roamed, next;
    int sockets[3] = {bind_loopback(SOCK_DGRAM, &first), bind_loopback(SOCK_DGRAM, &roamed),
                      bind_loopback(SOCK_DGRAM, &next)};
    make_peer(&peer, "a", 1, ntohs(first.in.sin_port));
    f->tunnel.peers = &peer;
    f->tunnel.peers_count = 1;
    run_until(f, all_alive, NULL);
    assert_int_equal(add_tunnel(f, f->sockets, &tunnel), 0);
    run_until(f, has_mail, &sockets[0]);
    run_until(f, peer_reached, tunnel); /* so the worker writes no more of the endpoint */

    pid_t pids[4];
    supervisor_peer(tunnel, 0, &seen);
    counters_set_endpoint((struct counters_peer *)seen.counters, &roamed);
    assert_int_equal(children(pids, 4), 2);
    kill(pids[supervisor_tunnel_worker(tunnel)], SIGKILL);
    run_until(f, has_mail, &sockets[1]);
    run_until(f, all_alive, NULL);

    assert_int_equal(children(pids, 4), 2);
    kill(pids[supervisor_tunnel_worker(tunnel)], SIGKILL);
    run_until(f, one_is_down, NULL);
    changed = peer;
    changed.endpoint_port = ntohs(next.in.sin_port);
    struct spec_tunnel definition = f->tunnel;
    definition.peers = &changed;
    assert_int_equal(supervisor_prepare_tunnel(tunnel, &definition, NULL), 0);
    f->tunnel = definition;
    supervisor_tell_tunnel(tunnel);
    run_until(f, has_mail, &sockets[2]);

    supervisor_remove_tunnel(tunnel);
    f->tunnel.peers = NULL;
    f->tunnel.peers_count = 0;
    for (int i = 0; i < 3; i++)
        close(sockets[i]);
}

int main(int argc, char **argv)
{
    const int status = run_worker(argc, argv);
    if (status >= 0)
        return status;
    const struct CMUnitTest tests[] = {
        supervisor_test(workers_accept_what_they_are_given),
        supervisor_test(tunnels_are_spread),
        supervisor_test(a_killed_worker_comes_back_with_the_same_listener),
        supervisor_test(workers_are_told_apart),
        supervisor_test(workers_are_told_of_changes),
        supervisor_test(what_is_not_told_costs_nothing),
        supervisor_test(slots_come_back),
        supervisor_test(peers_are_counted_one_by_one),
        supervisor_test(a_peer_is_looked_for_where_it_was_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
