/*
 * supervisor, worker_link, worker: a worker has no memory for what it is told, or control none to
 * tell it. The worker's process shares a page with this one, which says what is refused.
 */
#include "tests/unit/server/supervisor_world.h"

#include "base/messages.h"
#include "engine/wg/device.h"

#include <stdatomic.h>
#include <sys/mman.h>

/* Where a worker finds the page: beyond what it opens. */
#define PAGE_FD 60
/* A handshake initiation (the paper, 5.4.2). */
#define INITIATION_LEN 148

enum refused { NOTHING, PEERS, DEFINITIONS, SENDING };

static _Atomic int *refused;

int __real_wg_peer_add(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN], void *ctx,
                       struct wg_peer **out);
int __wrap_wg_peer_add(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN], void *ctx,
                       struct wg_peer **out);
int __wrap_wg_peer_add(struct wg_device *device, const uint8_t public_key[WG_KEY_LEN], void *ctx,
                       struct wg_peer **out)
{
    return *refused == PEERS ? -ENOMEM : __real_wg_peer_add(device, public_key, ctx, out);
}

int __real_spec_tunnel_from_json(const cJSON *json, struct spec_tunnel *out,
                                 struct spec_errors *errors);
int __wrap_spec_tunnel_from_json(const cJSON *json, struct spec_tunnel *out,
                                 struct spec_errors *errors);
int __wrap_spec_tunnel_from_json(const cJSON *json, struct spec_tunnel *out,
                                 struct spec_errors *errors)
{
    return *refused == DEFINITIONS ? -ENOMEM : __real_spec_tunnel_from_json(json, out, errors);
}

int __real_message_send(struct channel *channel, enum message_type type, const void *fixed,
                        size_t len, const cJSON *json, const int fds[CHANNEL_FDS_MAX]);
int __wrap_message_send(struct channel *channel, enum message_type type, const void *fixed,
                        size_t len, const cJSON *json, const int fds[CHANNEL_FDS_MAX]);
int __wrap_message_send(struct channel *channel, enum message_type type, const void *fixed,
                        size_t len, const cJSON *json, const int fds[CHANNEL_FDS_MAX])
{
    return *refused == SENDING && json ? -ENOMEM
                                       : __real_message_send(channel, type, fixed, len, json, fds);
}

struct failure {
    const struct supervised_tunnel *tunnel;
    int error;
};

static bool fails(struct fixture *f, const void *arg)
{
    (void)f;
    const struct failure *failure = arg;
    return supervisor_tunnel_failure(failure->tunnel) == failure->error;
}

/* A peer that is called at once, at a socket of ours. */
static void make_peer(struct spec_peer *peer, const char *name, uint8_t key, int socket_fd)
{
    union inet_sockaddr at;
    socklen_t len = sizeof(at);
    assert_int_equal(getsockname(socket_fd, &at.sa, &len), 0);
    *peer = (struct spec_peer){.endpoint_port = ntohs(at.in.sin_port), .keepalive_seconds = 25};
    strcpy(peer->name, name);
    strcpy(peer->endpoint_host, "127.0.0.1");
    memset(peer->public_key, key, SPEC_KEY_LEN);
}

struct mail {
    int fd;
    size_t count; /* so far */
};

static bool comes(struct fixture *f, const void *arg)
{
    (void)f;
    uint8_t datagram[256];
    struct mail *mail = (struct mail *)arg;
    if (recv(mail->fd, datagram, sizeof(datagram), MSG_DONTWAIT) <= 0)
        return false;
    mail->count++;
    return true;
}

static uint64_t sent_to(const struct supervised_tunnel *tunnel, size_t index)
{
    struct supervised_peer peer;
    supervisor_peer(tunnel, index, &peer);
    return counter_get(&peer.counters->tx_bytes);
}

static bool all_count_initiations(struct fixture *f, const void *arg)
{
    (void)f;
    const struct supervised_tunnel *tunnel = arg;
    return sent_to(tunnel, 0) >= INITIATION_LEN && sent_to(tunnel, 1) >= INITIATION_LEN;
}

/* A tunnel that could not be started, or told, comes, and its forward with it. */
static void a_tunnel_is_started_later(void **state)
{
    struct fixture *f = *state;
    run_until(f, all_alive, NULL);
    for (int what = PEERS; what <= SENDING; what++) {
        struct supervised_tunnel *tunnel;
        struct supervised_forward *forward;
        *refused = what;
        assert_int_equal(add_tunnel(f, f->sockets, &tunnel), 0);
        struct failure failure = {tunnel, ENOMEM};
        run_until(f, fails, &failure);
        assert_int_equal(
            supervisor_reserve_forward(tunnel, &f->forward, &f->forward, f->listener, &forward), 0);
        supervisor_tell_forward(forward);
        *refused = NOTHING;
        failure.error = 0;
        run_until(f, fails, &failure);
        assert_int_equal(supervisor_forward_failure(forward), 0);
        expect_client(f, forward);
        supervisor_remove_forward(forward);
        supervisor_remove_tunnel(tunnel);
    }
}

/* A peer that could not be had comes; what the others have counted is not counted twice. */
static void a_peer_comes_later(void **state)
{
    struct fixture *f = *state;
    union inet_sockaddr bound;
    run_until(f, all_alive, NULL);
    for (int what = PEERS; what <= SENDING; what++) {
        struct supervised_tunnel *tunnel;
        struct mail mail[3];
        struct spec_peer before[2], after[2];
        for (size_t i = 0; i < 3; i++)
            mail[i] = (struct mail){.fd = bind_loopback(SOCK_DGRAM, &bound)};
        make_peer(&before[0], "gone", 1, mail[0].fd);
        make_peer(&before[1], "stays", 2, mail[1].fd);
        after[0] = before[1];
        make_peer(&after[1], "new", 3, mail[2].fd);
        f->tunnel.peers = before;
        f->tunnel.peers_count = 2;
        assert_int_equal(add_tunnel(f, f->sockets, &tunnel), 0);
        run_until(f, comes, &mail[0]);
        run_until(f, comes, &mail[1]);
        run_until(f, all_count_initiations, tunnel);

        struct spec_tunnel next = f->tunnel;
        next.peers = after;
        *refused = what;
        assert_int_equal(supervisor_prepare_tunnel(tunnel, &next, NULL), 0);
        f->tunnel = next;
        supervisor_tell_tunnel(tunnel);
        struct failure failure = {tunnel, ENOMEM};
        run_until(f, fails, &failure);
        assert_int_equal(sent_to(tunnel, 1), 0);
        *refused = NOTHING;
        failure.error = 0;
        run_until(f, fails, &failure);
        run_until(f, comes, &mail[2]);
        run_until(f, all_count_initiations, tunnel);
        while (comes(f, &mail[1]))
            ;
        assert_int_equal(sent_to(tunnel, 0), mail[1].count * INITIATION_LEN);
        supervisor_remove_tunnel(tunnel);
        f->tunnel.peers = NULL;
        f->tunnel.peers_count = 0;
        for (size_t i = 0; i < 3; i++)
            close(mail[i].fd);
    }
}

static bool is_replaced(struct fixture *f, const void *arg)
{
    const int *before = arg;
    return supervisor_worker_pid(f->supervisor, 0) != before[0] &&
           supervisor_worker_pid(f->supervisor, 1) != before[1] && all_alive(f, NULL);
}

struct forward_failure {
    const struct supervised_forward *forward;
    int error;
};

static bool forward_fails(struct fixture *f, const void *arg)
{
    (void)f;
    const struct forward_failure *failure = arg;
    return supervisor_forward_failure(failure->forward) == failure->error;
}

/* It has failed, and does no longer: a client is accepted where it is now. */
static void expect_recovery(struct fixture *f, const struct supervised_forward *forward)
{
    const struct counters_forward *counters = supervisor_forward_counters(forward);
    struct forward_failure failure = {forward, ENOMEM};
    run_until(f, forward_fails, &failure);
    *refused = NOTHING;
    failure.error = 0;
    run_until(f, forward_fails, &failure);
    const struct reaches more = {&counters->connections_total,
                                 counter_get(&counters->connections_total) + 1};
    int client = connect_client(f);
    run_until(f, reached, &more);
    close(client);
}

/* A new forward, and another listener of it, that control had no memory to tell of. */
static void a_forward_is_told_later(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    run_until(f, all_alive, NULL);
    assert_int_equal(add_tunnel(f, f->sockets, &tunnel), 0);
    assert_int_equal(
        supervisor_reserve_forward(tunnel, &f->forward, &f->forward, f->listener, &forward), 0);
    *refused = SENDING;
    supervisor_tell_forward(forward);
    expect_recovery(f, forward);

    int old = f->listener;
    f->listener = bind_loopback(SOCK_STREAM, &f->listen);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(supervisor_prepare_forward(forward, &f->forward, f->listener), 0);
    *refused = SENDING;
    supervisor_tell_forward(forward);
    shutdown(old, SHUT_RDWR);
    descriptor_close(old);
    expect_recovery(f, forward);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/* What the one before it could not do says nothing of the next worker. */
static void the_next_worker_is_told_everything(void **state)
{
    struct fixture *f = *state;
    struct supervised_tunnel *tunnel;
    struct supervised_forward *forward;
    run_until(f, all_alive, NULL);
    *refused = PEERS;
    add(f, &tunnel, &forward);
    struct failure failure = {tunnel, ENOMEM};
    run_until(f, fails, &failure);
    const int pids[2] = {supervisor_worker_pid(f->supervisor, 0),
                         supervisor_worker_pid(f->supervisor, 1)};
    *refused = NOTHING;
    kill(pids[0], SIGKILL);
    kill(pids[1], SIGKILL);
    run_until(f, is_replaced, pids);
    assert_int_equal(supervisor_tunnel_failure(tunnel), 0);
    expect_client(f, forward);
    supervisor_remove_forward(forward);
    supervisor_remove_tunnel(tunnel);
}

/* In the program that runs the tests: makes the page. In a worker: finds it. */
static void share_page(bool is_worker)
{
    if (!is_worker) {
        int fd = memfd_create("refused", 0);
        assert_int_equal(ftruncate(fd, sizeof(*refused)), 0);
        assert_int_equal(dup2(fd, PAGE_FD), PAGE_FD);
        close(fd);
    }
    refused = mmap(NULL, sizeof(*refused), PROT_READ | PROT_WRITE, MAP_SHARED, PAGE_FD, 0);
    assert_ptr_not_equal(refused, MAP_FAILED);
}

int main(int argc, char **argv)
{
    share_page(argc > 1 && strcmp(argv[1], "worker") == 0);
    const int status = run_worker(argc, argv);
    if (status >= 0)
        return status;
    const struct CMUnitTest tests[] = {
        supervisor_test(a_tunnel_is_started_later),
        supervisor_test(a_peer_comes_later),
        supervisor_test(a_forward_is_told_later),
        supervisor_test(the_next_worker_is_told_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
