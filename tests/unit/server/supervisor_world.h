/*
 * supervisor_world: a supervisor of two real workers (the test program, executed again), a tunnel
 * and a forward to give them, and what their counters and processes are waited for with. Include it
 * in one file.
 */
#ifndef MANYTUN_TESTS_SUPERVISOR_WORLD_H
#define MANYTUN_TESTS_SUPERVISOR_WORLD_H

#include "server/supervisor.h"

#include "base/descriptor.h"
#include "base/log.h"
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

#define supervisor_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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

static inline void on_tick(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
}

static inline int bind_loopback(int type, union inet_sockaddr *bound)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(*bound);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, &bound->sa, &len), 0);
    return fd;
}

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline void run_until(struct fixture *f, bool (*done)(struct fixture *f, const void *arg),
                             const void *arg)
{
    for (int turns = 0; !done(f, arg); turns++) {
        assert_true(turns < 10000); /* of 2 ms at the most */
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    }
}

static inline bool all_alive(struct fixture *f, const void *arg)
{
    (void)arg;
    return supervisor_workers_alive(f->supervisor) == supervisor_workers(f->supervisor);
}

static inline bool one_is_down(struct fixture *f, const void *arg)
{
    (void)arg;
    return supervisor_worker_alive(f->supervisor, 0) != supervisor_worker_alive(f->supervisor, 1);
}

static inline bool all_down(struct fixture *f, const void *arg)
{
    (void)arg;
    return supervisor_workers_alive(f->supervisor) == 0;
}

struct reaches {
    const counter *counter;
    uint64_t value;
};

static inline bool reached(struct fixture *f, const void *arg)
{
    (void)f;
    const struct reaches *reaches = arg;
    return counter_get(reaches->counter) == reaches->value;
}

static inline int connect_client(const struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &f->listen.sa, sizeof(f->listen.in)), 0);
    return fd;
}

/* A client is accepted, and stays until the forward goes: what it is let to is silent. */
static inline void expect_client(struct fixture *f, const struct supervised_forward *forward)
{
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    const struct reaches more = {&counters->connections_total,
                                 counter_get(&counters->connections_total) + 1};
    close(connect_client(f));
    run_until(f, reached, &more);
}

/* The process ids of our children, from the kernel. */
static inline size_t children(pid_t *out, size_t max)
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

static inline int add_tunnel(struct fixture *f, const int sockets[2],
                             struct supervised_tunnel **tunnel)
{
    int error = supervisor_reserve_tunnel(f->supervisor, &f->tunnel, &f->tunnel, sockets, tunnel);
    if (!error)
        supervisor_tell_tunnel(*tunnel);
    return error;
}

static inline void add(struct fixture *f, struct supervised_tunnel **tunnel,
                       struct supervised_forward **forward)
{
    assert_int_equal(add_tunnel(f, f->sockets, tunnel), 0);
    assert_int_equal(
        supervisor_reserve_forward(*tunnel, &f->forward, &f->forward, f->listener, forward), 0);
    supervisor_tell_forward(*forward);
}

static inline void note_drained(void *ctx)
{
    (*(int *)ctx)++;
}

static inline bool is_drained(struct fixture *f, const void *arg)
{
    (void)f;
    return *(const int *)arg > 0;
}

/* What main() begins with: a worker's exit status, or -1 in the program that runs the tests. */
static inline int run_worker(int argc, char **argv)
{
    log_set_level(LOG_LEVEL_OFF);
    if (sodium_init() < 0)
        return EXIT_FAILURE;
    return argc > 1 && strcmp(argv[1], "worker") == 0 ? worker_main() : -1;
}

#endif
