/*
 * supervisor, worker: workers end what they have begun, at the end of the program and when a newer
 * one takes over.
 */
#include "tests/unit/server/supervisor_world.h"

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
    assert_true(supervisor_bridge(tunnel) >= 0);
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
    close(fds[0][0]);
    close(fds[0][1]);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

int main(int argc, char **argv)
{
    const int status = run_worker(argc, argv);
    if (status >= 0)
        return status;
    const struct CMUnitTest tests[] = {
        supervisor_test(drains),
        supervisor_test(all_is_counted_when_it_has_drained),
        supervisor_test(drains_without_workers),
        supervisor_test(retires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
