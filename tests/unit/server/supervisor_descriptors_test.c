/*
 * supervisor, worker_link, worker: control or a worker has no descriptor left.
 */
#include "tests/unit/server/supervisor_world.h"

#include <dirent.h>

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
    assert_int_equal(supervisor_bridge(tunnel), -1);
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
    union inet_sockaddr bound;
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
    int listener = bind_loopback(SOCK_STREAM, &bound);
    assert_int_equal(
        supervisor_reserve_forward(tunnel, &f->forward, &f->forward, listener, &silent), 0);
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
    descriptor_close(listener);
}

struct fails {
    const struct supervised_tunnel *tunnels[2];
    const struct supervised_forward *forwards[2];
    int error;
};

static bool all_fail(struct fixture *f, const void *arg)
{
    (void)f;
    const struct fails *fails = arg;
    for (int i = 0; i < 2; i++) {
        if (supervisor_tunnel_failure(fails->tunnels[i]) != fails->error ||
            supervisor_forward_failure(fails->forwards[i]) != fails->error)
            return false;
    }
    return true;
}

static int listen_anew(struct fixture *f)
{
    int fd = bind_loopback(SOCK_STREAM, &f->listen);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static int open_descriptors(int pid)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

/* Both workers have as many as told. */
struct open {
    int pids[2];
    int counts[2];
};

static bool have_open(struct fixture *f, const void *arg)
{
    (void)f;
    const struct open *open = arg;
    return open_descriptors(open->pids[0]) == open->counts[0] &&
           open_descriptors(open->pids[1]) == open->counts[1];
}

/*
 * A new tunnel with a forward, a new forward, and another listener and other sockets for those that
 * there are: the workers cannot take any of it, say so, and are told again until they can.
 */
static void what_was_left_out_comes_later(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *home, *new_tunnel;
    struct supervised_forward *web, *new_forward, *of_new_tunnel;
    union inet_sockaddr bound;
    struct rlimit limit;
    run_until(f, all_alive, NULL);
    add(f, &home, &web);
    expect_client(f, web);
    const unsigned of_home = supervisor_tunnel_worker(home);
    struct open open = {.pids = {supervisor_worker_pid(f->supervisor, of_home),
                                 supervisor_worker_pid(f->supervisor, 1 - of_home)}};
    for (int i = 0; i < 2; i++)
        open.counts[i] = open_descriptors(open.pids[i]);
    assert_int_equal(prlimit(open.pids[0], RLIMIT_NOFILE, NULL, &limit), 0);
    limit_descriptors(open.pids, &(struct rlimit){.rlim_cur = 3, .rlim_max = limit.rlim_max});

    int sockets[2][2] = {{bind_loopback(SOCK_DGRAM, &bound), -1},
                         {bind_loopback(SOCK_DGRAM, &bound), -1}};
    assert_int_equal(add_tunnel(f, sockets[0], &new_tunnel), 0);
    assert_int_equal(supervisor_prepare_tunnel(home, &f->tunnel, sockets[1]), 0);
    supervisor_tell_tunnel(home);
    union inet_sockaddr listens[3];
    int listeners[3];
    for (int i = 0; i < 3; i++) {
        listeners[i] = listen_anew(f);
        listens[i] = f->listen;
    }
    assert_int_equal(supervisor_prepare_forward(web, &f->forward, listeners[0]), 0);
    supervisor_tell_forward(web);
    shutdown(f->listener, SHUT_RDWR);
    assert_int_equal(
        supervisor_reserve_forward(home, &f->forward, &f->forward, listeners[1], &new_forward), 0);
    supervisor_tell_forward(new_forward);
    assert_int_equal(supervisor_reserve_forward(new_tunnel, &f->forward, &f->forward, listeners[2],
                                                &of_new_tunnel),
                     0);
    supervisor_tell_forward(of_new_tunnel);
    struct fails fails = {{home, new_tunnel}, {web, new_forward}, EMFILE};
    run_until(f, all_fail, &fails);
    assert_int_equal(supervisor_forward_failure(of_new_tunnel), 0);
    /* A listener that was shut down is always readable, and may not keep a worker busy. */
    open.counts[0]--;
    run_until(f, have_open, &open);

    limit_descriptors(open.pids, &limit);
    fails.error = 0;
    run_until(f, all_fail, &fails);
    const struct supervised_forward *const forwards[] = {web, new_forward, of_new_tunnel};
    for (int i = 0; i < 3; i++) {
        f->listen = listens[i];
        expect_client(f, forwards[i]);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(supervisor_worker_pid(f->supervisor, i == 0 ? of_home : 1 - of_home),
                         open.pids[i]);
    supervisor_remove_forward(of_new_tunnel);
    supervisor_remove_forward(new_forward);
    supervisor_remove_forward(web);
    supervisor_remove_tunnel(new_tunnel);
    supervisor_remove_tunnel(home);
    for (int i = 0; i < 3; i++)
        descriptor_close(listeners[i]);
    for (int i = 0; i < 2; i++)
        descriptor_close(sockets[i][0]);
}

int main(int argc, char **argv)
{
    const int status = run_worker(argc, argv);
    if (status >= 0)
        return status;
    const struct CMUnitTest tests[] = {
        supervisor_test(retires_without_descriptors),
        supervisor_test(what_waits_for_a_worker_takes_no_descriptors),
        supervisor_test(a_worker_without_descriptors_goes_on),
        supervisor_test(what_was_left_out_comes_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
