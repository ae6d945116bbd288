/*
 * service_world: a real service and store on a fake supervisor, and what makes, changes and refuses
 * objects in them. Include it in one file.
 */
#ifndef MANYTUN_TESTS_SERVICE_WORLD_H
#define MANYTUN_TESTS_SERVICE_WORLD_H

#include "server/service.h"

#include "base/log.h"
#include "server/sockets.h"
#include "store/store.h"
#include "tests/support/folder.h"
#include "tests/unit/fake_supervisor.h"

#include <errno.h>
#include <setjmp.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct inet_addr loopback = {.family = AF_INET, .bytes = {127, 0, 0, 1}};

static struct fixture {
    char directory[64];
    struct event_base *base;
    struct store *store;
    struct service *service;
} fx;

/* --- Fixture ---------------------------------------------------------------------------------- */

static inline void start(void)
{
    char error[256];
    if (store_open(fx.directory, &fx.store, error) < 0)
        fail_msg("%s", error);
    assert_int_equal(service_new(fx.base, NULL, fx.store, &fx.service), 0);
    assert_false(service_ready(fx.service));
    struct problem problem = {0};
    assert_int_equal(service_restore(fx.service, &problem), 0);
    assert_true(service_ready(fx.service));
}

static inline void stop(void)
{
    service_free(fx.service);
    store_close(fx.store);
    fake_worker_catch_up();
    assert_int_equal(fake.tunnels, 0);
    assert_int_equal(fake.forwards, 0);
}

static inline int set_up(void **state)
{
    (void)state;
    strcpy(fx.directory, "/tmp/service-test-XXXXXX");
    if (mkdtemp(fx.directory) == NULL)
        return -1;
    fake.fail = 0;
    fake.alive = 1;
    fx.base = event_base_new();
    start();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    stop();
    event_base_free(fx.base);
    return folder_remove(fx.directory);
}

static inline struct spec_tunnel make_tunnel(const char *name)
{
    struct spec_tunnel spec = {.mtu = 1420, .addresses_count = 1, .listen_address = loopback};
    snprintf(spec.name, sizeof(spec.name), "%s", name);
    memset(spec.private_key, 1, sizeof(spec.private_key));
    inet_prefix_parse("10.9.0.2/32", &spec.addresses[0]);
    return spec;
}

static inline struct spec_forward make_forward(const char *name, uint16_t port)
{
    struct spec_forward spec = {.listen_address = loopback,
                                .listen_port = port,
                                .target_address = {.family = AF_INET, .bytes = {10, 0, 0, 1}},
                                .target_port = 80,
                                .enabled = true,
                                .connect_timeout_seconds = 10};
    snprintf(spec.name, sizeof(spec.name), "%s", name);
    strcpy(spec.tunnel, "home");
    return spec;
}

static inline const struct service_tunnel *create_tunnel(struct spec_tunnel spec)
{
    const struct service_tunnel *tunnel = NULL;
    struct problem problem = {0};
    if (service_create_tunnel(fx.service, &spec, &tunnel, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    return tunnel;
}

static inline const struct service_forward *create_forward(struct spec_forward spec)
{
    const struct service_forward *forward = NULL;
    struct problem problem = {0};
    if (service_create_forward(fx.service, &spec, &forward, &problem) < 0)
        fail_msg("%s: %s", problem.code, problem.detail);
    return forward;
}

/* Nothing may be left of an attempt that failed. */
static inline void refuse_tunnel(struct spec_tunnel spec, const char *code)
{
    struct problem problem = {0};
    const struct service_tunnel *tunnel;
    struct spec_tunnel before = spec;
    size_t added = fake.tunnels;
    assert_int_equal(service_create_tunnel(fx.service, &spec, &tunnel, &problem), -1);
    assert_string_equal(problem.code, code);
    assert_memory_equal(&spec, &before, sizeof(spec));
    assert_int_equal(fake.tunnels, added);
}

static inline void refuse_forward(struct spec_forward spec, const char *code, const char *pointer)
{
    struct problem problem = {0};
    const struct service_forward *forward;
    size_t added = fake.forwards;
    assert_int_equal(service_create_forward(fx.service, &spec, &forward, &problem), -1);
    assert_string_equal(problem.code, code);
    if (pointer != NULL)
        assert_string_equal(problem.errors.items[0].pointer, pointer);
    assert_int_equal(fake.forwards, added);
}

static inline void corrupt(const char *sql)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/manytun.db", fx.directory);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/*
 * A port below those that the kernel gives out, and of this process alone: what a test lets go of
 * and asks for again is not somebody else's in between, however many tests run beside it.
 */
static inline uint16_t next_port(void)
{
    enum { FIRST = 10000, PROCESSES = 1400, EACH = 16 };
    static unsigned used;
    return (uint16_t)(FIRST + (unsigned)getpid() % PROCESSES * EACH + used++ % EACH);
}

/* Listens on a port, which is chosen where it is 0. */
static inline int take_port(uint16_t *port)
{
    bool any = *port == 0;
    int fd;
    int attempts = 0;
    do {
        fd = sockets_listen(&loopback, any ? next_port() : *port, port);
    } while (fd == -EADDRINUSE && any && ++attempts < 16);
    assert_true(fd >= 0);
    return fd;
}

#endif
