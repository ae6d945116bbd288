/*
 * Running out of memory fails one operation, never the process, and leaks nothing.
 *
 * The allocator is replaced by one that counts and fails at random; so does AddressSanitizer, in
 * whose builds this program is left out.
 */
#include "tests/unit/stack/world.h"

static unsigned failing; /* permille */
static unsigned failures;
static long allocations;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static uint64_t failure_seed = 1;

static bool fails(void)
{
    if (failing == 0)
        return false;
    failure_seed = failure_seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    if ((failure_seed >> 33) % 1000 >= failing)
        return false;
    failures++;
    return true;
}

void *malloc(size_t size)
{
    void *p = fails() ? NULL : __libc_malloc(size);

    allocations += p != NULL;
    return p;
}

void *calloc(size_t count, size_t size)
{
    void *p = fails() ? NULL : __libc_calloc(count, size);

    allocations += p != NULL;
    return p;
}

void *realloc(void *p, size_t size)
{
    void *moved = fails() ? NULL : __libc_realloc(p, size);

    allocations += p == NULL && moved != NULL;
    return moved;
}

void free(void *p)
{
    allocations -= p != NULL;
    __libc_free(p);
}

/* Writes that fail end the connection, as the contract says. */
static void frail_write(struct end *end)
{
    static uint8_t buffer[20000];

    while (end->conn != NULL && end->sent < end->total) {
        size_t space = stack_conn_send_space(end->conn);
        size_t len = end->total - end->sent;

        if (len > space)
            len = space;
        if (len > sizeof(buffer))
            len = sizeof(buffer);
        if (len == 0)
            return;
        for (size_t i = 0; i < len; i++)
            buffer[i] = end_pattern(end->pattern, end->sent + i);
        if (stack_conn_write(end->conn, buffer, len) != 0) {
            stack_conn_abort(end->conn);
            end->conn = NULL;
            end->closed = true;
            end->error = -ENOMEM;
            return;
        }
        end->sent += len;
    }
    if (end->conn != NULL && !end->shut) {
        end->shut = true;
        stack_conn_shutdown(end->conn);
    }
}

static void frail_told(void *ctx)
{
    frail_write(ctx);
}

static void frail_readable(void *ctx)
{
    struct end *end = ctx;

    /* Not all of it, so that the stack has to keep some. */
    if (world_chance(700))
        end_readable(end);
}

static const struct stack_conn_ops frail_ops = {
    .connected = frail_told,
    .readable = frail_readable,
    .writable = frail_told,
    .closed = end_closed,
};

struct frail_server {
    struct end *ends;
    size_t accepted;
};

static void frail_accepted(void *ctx, struct stack_conn *conn, const struct inet_addr *peer,
                           uint16_t port)
{
    struct frail_server *server = ctx;
    struct end *end = &server->ends[server->accepted++];

    (void)peer;
    (void)port;
    end->conn = conn;
    stack_conn_attach(conn, &frail_ops, end);
    frail_write(end);
}

static const struct stack_listen_ops frail_listen_ops = {.accepted = frail_accepted};

#define ENDS ((size_t)100)

static void run_world(unsigned permille, uint64_t seed)
{
    struct end *clients = calloc(ENDS, sizeof(*clients));
    struct end *peers = calloc(ENDS * 2, sizeof(*peers));
    struct frail_server server = {.ends = peers};
    struct stack_listener *listener = NULL;
    struct world world;

    world_init(&world, seed, 1420);
    world.loss = 10;
    assert_int_equal(stack_listen(world.sides[1].stack, &world.addresses[1][0], 80,
                                  &frail_listen_ops, &server, &listener),
                     0);
    for (size_t i = 0; i < ENDS; i++) {
        ends_pair(&clients[i], &peers[i], 100000);
        failing = permille;
        if (stack_connect(world.sides[0].stack, &world.addresses[1][0], 80, &frail_ops, &clients[i],
                          &clients[i].conn) != 0)
            clients[i].closed = true;
        failing = 0;
    }
    for (uint64_t limit = world.now + 60 * SECOND; world.now < limit;) {
        uint64_t step = world.now + 10 * MILLISECOND;

        failing = permille;
        while (world_step(&world, step)) {
        }
        failing = 0;
    }
    world_fini(&world);
    for (size_t i = 0; i < ENDS; i++)
        assert_true(clients[i].closed);
    free(clients);
    free(peers);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    for (unsigned permille = 1; permille <= 300; permille *= 7) {
        long before = allocations;

        failures = 0;
        run_world(permille, permille);
        print_message("%u failures\n", failures);
        assert_true(failures > 0);
        assert_int_equal(allocations, before);
    }
}

static void test_new(void **state)
{
    const struct stack_ops ops = {.output = world_output, .now = world_now};
    struct inet_addr address = world_ip4(1);
    struct stack_config config = {.addresses = &address, .addresses_count = 1, .mtu = 1420};
    struct stack *stack = NULL;
    struct world world = {0};
    struct world_side side = {.world = &world};
    long before = allocations;

    (void)state;
    failing = 700;
    for (int i = 0; i < 1000; i++) {
        if (stack_new(&config, &ops, &side, &stack) == 0)
            stack_free(stack);
    }
    failing = 0;
    assert_int_equal(allocations, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
