/*
 * The table, and what is built on flows: ports and initial sequence numbers.
 */
#include "engine/stack/conntable.h"
#include "engine/stack/isn.h"
#include "engine/stack/ports.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES 20000

static struct flow flow_number(uint32_t number)
{
    struct flow flow = {.family = AF_INET, .local = {10, 0, 0, 1}, .remote = {10, 0, 0, 2}};

    flow.local_port = (uint16_t)number;
    flow.remote_port = (uint16_t)(number >> 16);
    return flow;
}

static void test_find(void **state)
{
    struct conntable_node *nodes = calloc(NODES, sizeof(*nodes));
    struct conntable table;

    (void)state;
    assert_int_equal(conntable_init(&table), 0);
    for (uint32_t i = 0; i < NODES; i++) {
        nodes[i].flow = flow_number(i * 7);
        assert_null(conntable_find(&table, &nodes[i].flow));
        conntable_insert(&table, &nodes[i]);
    }
    assert_int_equal(table.count, NODES);
    assert_true(table.buckets_count >= NODES);
    for (uint32_t i = 0; i < NODES; i += 2)
        conntable_remove(&table, &nodes[i]);
    for (uint32_t i = 0; i < NODES; i++)
        assert_ptr_equal(conntable_find(&table, &nodes[i].flow), i % 2 == 0 ? NULL : &nodes[i]);
    for (uint32_t i = 1; i < NODES; i += 2)
        conntable_remove(&table, &nodes[i]);
    assert_int_equal(table.count, 0);
    conntable_fini(&table);
    free(nodes);
}

/* Every part of a flow counts. */
static void test_distinct(void **state)
{
    struct conntable_node node = {.flow = flow_number(5)};
    struct conntable table;

    (void)state;
    assert_int_equal(conntable_init(&table), 0);
    conntable_insert(&table, &node);
    for (size_t i = 0; i < offsetof(struct flow, zero); i++) {
        struct flow flow = node.flow;

        ((uint8_t *)&flow)[i] ^= 1;
        assert_null(conntable_find(&table, &flow));
    }
    conntable_remove(&table, &node);
    conntable_fini(&table);
}

/* Nobody outside can tell which flows share a bucket. */
static void test_secret(void **state)
{
    struct conntable_node a = {.flow = flow_number(5)}, b = {.flow = flow_number(5)};
    struct conntable one, two;

    (void)state;
    assert_int_equal(conntable_init(&one), 0);
    assert_int_equal(conntable_init(&two), 0);
    conntable_insert(&one, &a);
    conntable_insert(&two, &b);
    assert_true(a.hash != b.hash);
    conntable_remove(&one, &a);
    conntable_remove(&two, &b);
    conntable_fini(&one);
    conntable_fini(&two);
}

static void test_ports(void **state)
{
    const size_t count = PORTS_LAST - PORTS_FIRST + 1;
    struct conntable_node *nodes = calloc(count, sizeof(*nodes));
    struct conntable table;
    size_t low = 0;

    (void)state;
    assert_int_equal(conntable_init(&table), 0);
    /* All different, all in the range, from all over it. */
    for (size_t i = 0; i < 1000; i++) {
        nodes[i].flow = flow_number(80 << 16);
        assert_int_equal(ports_pick(&table, NULL, &nodes[i].flow), 0);
        assert_true(nodes[i].flow.local_port >= PORTS_FIRST);
        assert_null(conntable_find(&table, &nodes[i].flow));
        conntable_insert(&table, &nodes[i]);
        low += nodes[i].flow.local_port < PORTS_FIRST + count / 2;
    }
    assert_true(low > 400 && low < 600);
    low = 0;
    for (size_t i = 0; i < 1000; i++) { /* also the first of each destination */
        struct flow flow = flow_number((81u + (uint32_t)i) << 16);

        assert_int_equal(ports_pick(&table, NULL, &flow), 0);
        low += flow.local_port < PORTS_FIRST + count / 2;
    }
    assert_true(low > 400 && low < 600);
    for (size_t i = 0; i < 1000; i++)
        conntable_remove(&table, &nodes[i]);

    for (size_t i = 0; i < count; i++) {
        nodes[i].flow = flow_number(80u << 16 | (uint32_t)(PORTS_FIRST + i));
        conntable_insert(&table, &nodes[i]);
    }
    {
        struct flow flow = flow_number(80 << 16);
        struct flow other = flow_number(81 << 16);

        assert_int_equal(ports_pick(&table, NULL, &flow), -EADDRNOTAVAIL);
        assert_int_equal(ports_pick(&table, NULL, &other), 0);
    }
    for (size_t i = 0; i < count; i++)
        conntable_remove(&table, &nodes[i]);
    conntable_fini(&table);
    free(nodes);
}

static void test_isn(void **state)
{
    struct flow a = flow_number(1), b = flow_number(2);
    struct isn one, two;

    (void)state;
    isn_init(&one);
    isn_init(&two);
    /* A clock of 4 µs for each flow; flows and secrets tell nothing about others. */
    assert_int_equal(isn_make(&one, &a, 4000) - isn_make(&one, &a, 0), 1);
    assert_int_equal(isn_make(&one, &a, 1000000000) - isn_make(&one, &a, 0), 250000);
    assert_int_not_equal(isn_make(&one, &a, 0), isn_make(&one, &b, 0));
    assert_int_not_equal(isn_make(&one, &a, 0), isn_make(&two, &a, 0));
    isn_fini(&one);
    isn_fini(&two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),   cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_secret), cmocka_unit_test(test_ports),
        cmocka_unit_test(test_isn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
