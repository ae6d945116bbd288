/* heap, against a plain array. */
#include "tests/support/cmocka_all.h"

#include "base/heap.h"

#include <stdlib.h>

#define COUNT 500

static void empty_heap_has_no_first(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node node = {0};
    assert_null(heap_first(&heap));
    heap_remove(&heap, &node);
    heap_fini(&heap);
}

static void elements_come_out_in_order(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node nodes[COUNT] = {0};
    uint64_t last = 0;

    assert_int_equal(heap_reserve(&heap, COUNT), 0);
    for (size_t i = 0; i < COUNT; i++)
        heap_set(&heap, &nodes[i], i * 7919 % 257);
    for (size_t i = 0; i < COUNT; i++) {
        struct heap_node *first = heap_first(&heap);
        assert_non_null(first);
        assert_true(first->key >= last);
        last = first->key;
        heap_remove(&heap, first);
        assert_int_equal(first->position, 0);
    }
    assert_null(heap_first(&heap));
    heap_fini(&heap);
}

static uint64_t smallest_key(const struct heap_node *nodes)
{
    uint64_t key = UINT64_MAX;
    for (size_t i = 0; i < COUNT; i++)
        if (nodes[i].position && nodes[i].key < key)
            key = nodes[i].key;
    return key;
}

static void random_operations_keep_the_smallest_first(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct heap_node nodes[COUNT] = {0};
    uint64_t random = 1;

    for (int i = 0; i < 20000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        struct heap_node *node = &nodes[(random >> 33) % COUNT];
        if ((random >> 20) % 3 == 0) {
            heap_remove(&heap, node);
        } else {
            assert_int_equal(heap_reserve(&heap, 1), 0);
            heap_set(&heap, node, (random >> 40) % 1000);
        }
        const struct heap_node *first = heap_first(&heap);
        assert_int_equal(first ? first->key : UINT64_MAX, smallest_key(nodes));
    }
    heap_fini(&heap);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(nodes[i].position, 0);
}

static void reserving_too_much_fails(void **state)
{
    (void)state;
    struct heap heap = {0};
    assert_true(heap_reserve(&heap, SIZE_MAX) < 0);
    assert_int_equal(heap.capacity, 0);
    heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_heap_has_no_first),
        cmocka_unit_test(elements_come_out_in_order),
        cmocka_unit_test(random_operations_keep_the_smallest_first),
        cmocka_unit_test(reserving_too_much_fails),
    };
    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
