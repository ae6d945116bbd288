/*
 * supervisor, worker_link, worker: real worker processes (this program, executed again), which are
 * told what to do, die, and are told again.
 */
#include "server/supervisor.h"

#include "engine/descriptor.h"
#include "engine/log.h"
#include "engine/worker.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct event_base *base;
    struct event *tick;
    struct supervisor *supervisor;
    struct spec_tunnel tunnel;
    struct spec_peer silent; /* of the tunnel at first: dials wait for it */
    struct inet_prefix beyond;
    struct spec_forward forward;
    int sockets[2];
    int listener;
    union inet_sockaddr listen;
};

static void on_tick(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
}

static int bind_loopback(int type, union inet_sockaddr *bound)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(*bound);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, &bound->sa, &len), 0);
    return fd;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct supervisor_config config = {.workers = 2};
    union inet_sockaddr bound;
    f->base = event_base_new();
    f->tick = event_new(f->base, -1, EV_PERSIST, on_tick, NULL);
    event_add(f->tick, &(struct timeval){.tv_usec = 2000});
    assert_int_equal(supervisor_new(f->base, &config, &f->supervisor), 0);

    strcpy(f->tunnel.name, "home");
    randombytes_buf(f->tunnel.private_key, SPEC_KEY_LEN);
    inet_prefix_parse("10.0.0.2/32", &f->tunnel.addresses[0]);
    f->tunnel.addresses_count = 1;
    f->tunnel.mtu = SPEC_MTU_DEFAULT;
    f->silent = (struct spec_peer){
        .name = "silent", .public_key = {7}, .allowed_ips = &f->beyond, .allowed_ips_count = 1};
    inet_prefix_parse("10.0.0.1/32", &f->beyond);
    f->tunnel.peers = &f->silent;
    f->tunnel.peers_count = 1;
    f->sockets[0] = bind_loopback(SOCK_DGRAM, &bound);
    f->sockets[1] = -1;
    f->forward = (struct spec_forward){.name = "web",
                                       .tunnel = "home",
                                       .target_port = 80,
                                       .enabled = true,
                                       .connect_timeout_seconds = 300};
    inet_addr_parse("127.0.0.1", &f->forward.listen_address);
    inet_addr_parse("10.0.0.1", &f->forward.target_address);
    f->listener = bind_loopback(SOCK_STREAM, &f->listen);
    assert_int_equal(listen(f->listener, 16), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    supervisor_free(f->supervisor);
    close(f->sockets[0]);
    close(f->listener);
    event_free(f->tick);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void run_until(struct fixture *f, bool (*done)(struct fixture *f, const void *arg),
                      const void *arg)
{
    for (int turns = 0; !done(f, arg); turns++) {
        assert_true(turns < 10000); /* of 2 ms at the most */
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    }
}

static bool all_alive(struct fixture *f, const void *arg)
{
    (void)arg;
    return supervisor_workers_alive(f->supervisor) == supervisor_workers(f->supervisor);
}

struct reaches {
    const counter *counter;
    uint64_t value;
};

static bool reached(struct fixture *f, const void *arg)
{
    (void)f;
    const struct reaches *reaches = arg;
    return counter_get(reaches->counter) == reaches->value;
}

static int connect_client(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &f->listen.sa, sizeof(f->listen.in)), 0);
    return fd;
}

/* The process ids of our children, from the kernel. */
static size_t children(pid_t *out, size_t max)
{
    char path[64];
    size_t count = 0;
    int pid;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (count < max && fscanf(file, "%d", &pid) == 1)
        out[count++] = pid;
    fclose(file);
    return count;
}

static int add_tunnel(struct fixture *f, const int sockets[2], struct supervised_tunnel **tunnel)
{
    int error = supervisor_reserve_tunnel(f->supervisor, &f->tunnel, &f->tunnel, sockets, tunnel);
    if (!error)
        supervisor_tell_tunnel(*tunnel);
    return error;
}

static void add(struct fixture *f, struct supervised_tunnel **tunnel,
                struct supervised_forward **forward)
{
    assert_int_equal(add_tunnel(f, f->sockets, tunnel), 0);
    assert_int_equal(
        supervisor_reserve_forward(*tunnel, &f->forward, &f->forward, f->listener, forward), 0);
    supervisor_tell_forward(*forward);
}

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
        assert_int_equal(counter_get(&counters->connections_active), 1);
        close(meanwhile);
    }
    close(first);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

static bool one_is_down(struct fixture *f, const void *arg)
{
    (void)arg;
    return supervisor_worker_alive(f->supervisor, 0) != supervisor_worker_alive(f->supervisor, 1);
}

static bool all_down(struct fixture *f, const void *arg)
{
    (void)arg;
    return supervisor_workers_alive(f->supervisor) == 0;
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
    int client = connect_client(f);
    struct reaches accepted = {&supervisor_forward_counters(forward)->connections_active, 1};
    run_until(f, reached, &accepted);
    close(client);
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

static void note_drained(void *ctx)
{
    (*(int *)ctx)++;
}

static bool is_drained(struct fixture *f, const void *arg)
{
    (void)f;
    return *(const int *)arg > 0;
}

static bool refuses(struct fixture *f, const void *arg)
{
    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused = connect(fd, &f->listen.sa, sizeof(f->listen.in)) < 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* Nobody is accepted any more; who is connected may finish, and then it is done. */
static void drains(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    int done = 0;
    f->forward.connect_timeout_seconds = 1; /* how its connection ends */
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    int client = connect_client(f);
    struct reaches one = {&supervisor_forward_counters(forward)->connections_active, 1};
    run_until(f, reached, &one);
    supervisor_drain(f->supervisor, note_drained, &done);
    run_until(f, refuses, NULL);
    assert_int_equal(done, 0);
    assert_true(counter_get(one.counter) >= 1);
    /* The one that has no connection, too, is left alone. */
    assert_true(all_alive(f, NULL));
    run_until(f, is_drained, &done);
    assert_int_equal(done, 1);
    close(client);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/* What a worker has counted, which tells what was taken from whom, is kept at the end. */
static void all_is_counted_when_it_has_drained(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    union inet_sockaddr outer;
    socklen_t len = sizeof(outer);
    int done = 0;
    assert_int_equal(getsockname(f->sockets[0], &outer.sa, &len), 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    run_until(f, all_alive, NULL);
    assert_int_equal(add_tunnel(f, f->sockets, &tunnel), 0);
    /* By the first one it is known that the worker listens. */
    assert_int_equal(sendto(fd, "x", 1, 0, &outer.sa, sizeof(outer.in)), 1);
    const counter *dropped = &supervisor_tunnel_counters(tunnel)->dropped_in;
    struct reaches one = {dropped, 1};
    run_until(f, reached, &one);
    assert_int_equal(sendto(fd, "x", 1, 0, &outer.sa, sizeof(outer.in)), 1);
    supervisor_drain(f->supervisor, note_drained, &done);
    run_until(f, is_drained, &done);
    assert_int_equal(counter_get(dropped), 2);
    close(fd);
    supervisor_remove_tunnel(tunnel);
}

/* A worker that is down, or dies, has nothing to finish; its listener must not be left behind. */
static void drains_without_workers(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    int done = 0;
    pid_t pids[4];
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    assert_int_equal(children(pids, 4), 2);
    kill(pids[0], SIGKILL);
    run_until(f, one_is_down, NULL);
    supervisor_drain(f->supervisor, note_drained, &done);
    kill(pids[1], SIGKILL);
    run_until(f, is_drained, &done);
    assert_true(refuses(f, NULL));
    assert_int_equal(done, 1);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/* Workers go on alone with what they have, and end with it; the listener is left to others. */
static void retires(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    int done = 0;
    int fds[2][2];
    pid_t pids[2];
    f->forward.connect_timeout_seconds = 1; /* how its connection ends */
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    int client = connect_client(f);
    struct reaches one = {&supervisor_forward_counters(forward)->connections_active, 1};
    run_until(f, reached, &one);
    supervisor_retire(f->supervisor, note_drained, &done);
    run_until(f, is_drained, &done);
    assert_int_equal(done, 1);
    int bridge = supervisor_take_bridge(tunnel);
    assert_true(bridge >= 0);
    assert_int_equal(supervisor_take_bridge(tunnel), -1);
    unsigned busy = supervisor_tunnel_worker(tunnel);
    assert_int_equal(supervisor_share_worker(f->supervisor, busy, fds[0], &pids[0]), 0);
    int waiting = connect_client(f); /* in the backlog, which nobody serves */
    run_until(f, one_is_down, NULL); /* the other had nothing */
    assert_int_equal(supervisor_share_worker(f->supervisor, 1 - busy, fds[1], &pids[1]), -ESRCH);
    assert_true(supervisor_worker_alive(f->supervisor, busy));
    assert_int_equal(*one.counter, 1);
    struct reaches none = {one.counter, 0};
    run_until(f, reached, &none);
    assert_int_equal(accept(f->listener, NULL, NULL) < 0, 0);
    close(waiting);
    close(client);
    close(bridge);
    close(fds[0][0]);
    close(fds[0][1]);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/*
 * Where there is no descriptor for a bridge, a tunnel is let go of all the same: two workers at one
 * socket would take each other's packets.
 */
static void retires_without_descriptors(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    struct rlimit limit;
    int done = 0;
    char byte;
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    int client = connect_client(f);
    struct reaches one = {&supervisor_forward_counters(forward)->connections_active, 1};
    run_until(f, reached, &one);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    supervisor_retire(f->supervisor, note_drained, &done);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    run_until(f, is_drained, &done);
    assert_int_equal(supervisor_take_bridge(tunnel), -1);
    run_until(f, all_down, NULL); /* none has anything left */
    assert_int_equal(recv(client, &byte, 1, 0), -1);
    assert_int_equal(errno, ECONNRESET);
    close(client);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

static bool is_closed(struct fixture *f, const void *arg)
{
    (void)f;
    return fcntl(*(const int *)arg, F_GETFD) < 0;
}

/*
 * A change of many objects is told while there is no descriptor left, to a worker that does not
 * read it yet; then the objects go again, and their listener with them.
 */
static void what_waits_for_a_worker_takes_no_descriptors(void **state)
{
    enum { COUNT = 400 };
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward, *many[COUNT];
    struct rlimit limit;
    union inet_sockaddr bound;
    int pair[2];
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    int first = connect_client(f);
    struct reaches one = {&counters->connections_active, 1};
    run_until(f, reached, &one);
    const unsigned worker = supervisor_tunnel_worker(tunnel);
    const int pid = supervisor_worker_pid(f->supervisor, worker);

    int listener = bind_loopback(SOCK_STREAM, &bound);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(
            supervisor_reserve_forward(tunnel, &f->forward, &f->forward, listener, &many[i]), 0);
    kill(pid, SIGSTOP);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {.rlim_cur = 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < COUNT; i++)
        supervisor_tell_forward(many[i]);
    int error = supervisor_capture_tunnel(tunnel, pair[1], 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(error, 0);
    for (int i = 0; i < COUNT; i++)
        supervisor_remove_forward(many[i]);
    descriptor_close(listener);
    assert_false(is_closed(f, &listener)); /* not all of it is on its way */
    kill(pid, SIGCONT);
    run_until(f, is_closed, &listener);

    int second = connect_client(f);
    struct reaches two = {&counters->connections_active, 2};
    run_until(f, reached, &two);
    assert_int_equal(supervisor_worker_pid(f->supervisor, worker), pid);
    close(pair[0]);
    close(first);
    close(second);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

static void limit_descriptors(const int pids[2], const struct rlimit *limit)
{
    for (int i = 0; i < 2; i++)
        assert_int_equal(prlimit(pids[i], RLIMIT_NOFILE, limit, NULL), 0);
}

/* It is told of it after all that it was told before, and lets go of it at once. */
static void capture_in_vain(struct supervised_tunnel *tunnel)
{
    int pair[2];
    char byte;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 10},
                                sizeof(struct timeval)),
                     0);
    assert_int_equal(supervisor_capture_tunnel(tunnel, pair[1], 1000), 0);
    assert_int_equal(recv(pair[0], &byte, 1, 0), 0); /* the reader is not left waiting */
    close(pair[0]);
}

/*
 * A worker whose clients have taken every descriptor cannot have a new object, another socket or a
 * capture; nothing that it has is lost by that.
 */
static void a_worker_without_descriptors_goes_on(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel, *left_out;
    struct supervised_forward *forward, *silent;
    struct rlimit limit;
    run_until(f, all_alive, NULL);
    add(f, &tunnel, &forward);
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    int first = connect_client(f);
    struct reaches one = {&counters->connections_active, 1};
    run_until(f, reached, &one);
    const int pids[2] = {supervisor_worker_pid(f->supervisor, 0),
                         supervisor_worker_pid(f->supervisor, 1)};
    assert_int_equal(prlimit(pids[0], RLIMIT_NOFILE, NULL, &limit), 0);
    limit_descriptors(pids, &(struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max});
    assert_int_equal(add_tunnel(f, f->sockets, &left_out), 0); /* the other worker's */
    assert_int_equal(
        supervisor_reserve_forward(tunnel, &f->forward, &f->forward, f->listener, &silent), 0);
    supervisor_tell_forward(silent);
    assert_int_equal(supervisor_prepare_forward(forward, &f->forward, f->listener), 0);
    supervisor_tell_forward(forward);
    assert_int_equal(supervisor_prepare_tunnel(tunnel, &f->tunnel, f->sockets), 0);
    supervisor_tell_tunnel(tunnel);
    capture_in_vain(tunnel);
    capture_in_vain(left_out);
    limit_descriptors(pids, &limit);

    int second = connect_client(f);
    struct reaches two = {&counters->connections_active, 2};
    run_until(f, reached, &two);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(supervisor_worker_pid(f->supervisor, i), pids[i]);
    close(first);
    close(second);
    supervisor_remove_forward(silent);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(left_out);
    supervisor_remove_tunnel(tunnel);
}

int main(int argc, char **argv)
{
    log_set_level(LOG_LEVEL_OFF);
    if (sodium_init() < 0)
        return 1;
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return worker_main();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(workers_accept_what_they_are_given, setup, teardown),
        cmocka_unit_test_setup_teardown(drains, setup, teardown),
        cmocka_unit_test_setup_teardown(all_is_counted_when_it_has_drained, setup, teardown),
        cmocka_unit_test_setup_teardown(retires, setup, teardown),
        cmocka_unit_test_setup_teardown(retires_without_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(drains_without_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(tunnels_are_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_worker_comes_back_with_the_same_listener, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(workers_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(workers_are_told_of_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_told_costs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(peers_are_counted_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(a_peer_is_looked_for_where_it_was_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_without_descriptors_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_a_worker_takes_no_descriptors, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
