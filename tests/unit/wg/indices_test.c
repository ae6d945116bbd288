/* indices (and the table beneath): random, unique, inherited, given back. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/indices.h"

#include <string.h>

#define COUNT 1000

/* Numbers from a small range, so that collisions are certain. */
static void few_numbers(void *ctx, void *out, size_t len)
{
    uint32_t *last = ctx;
    assert_int_equal(len, sizeof(*last));
    *last = (*last * 1103515245 + 12345) & 0x7fffffff;
    uint32_t value = (*last >> 8) % 2048;
    memcpy(out, &value, sizeof(value));
}

static void every_entry_is_found_by_its_own_index(void **state)
{
    (void)state;
    static struct index_entry entries[COUNT];
    struct indices indices;
    uint32_t seed = 1;
    memset(entries, 0, sizeof(entries));
    indices_init(&indices, few_numbers, &seed);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(indices_reserve(&indices, i + 1), 0);
        indices_insert(&indices, &entries[i], INDEX_HANDSHAKE, NULL);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_ptr_equal(indices_find(&indices, index_value(&entries[i])), &entries[i]);
    for (size_t i = 0; i < COUNT; i += 2)
        indices_remove(&indices, &entries[i]);
    for (size_t i = 0; i < COUNT; i++) {
        struct index_entry *found = indices_find(&indices, index_value(&entries[i]));
        assert_ptr_equal(found, i % 2 ? &entries[i] : NULL);
    }
    for (size_t i = 0; i < COUNT; i++)
        indices_remove(&indices, &entries[i]); /* those that are gone, too */
    assert_int_equal(indices.table.count, 0);
    indices_fini(&indices);
}

static void session_inherits_the_handshakes_index(void **state)
{
    (void)state;
    struct indices indices;
    struct index_entry handshake = {0};
    struct index_entry keypair = {0};
    struct wg_peer *peer = (struct wg_peer *)(void *)&indices;
    uint32_t seed = 5;
    indices_init(&indices, few_numbers, &seed);
    assert_null(indices_find(&indices, 1));
    assert_int_equal(indices_reserve(&indices, 2), 0);
    indices_insert(&indices, &handshake, INDEX_HANDSHAKE, peer);
    uint32_t value = index_value(&handshake);
    indices_inherit(&indices, &handshake, &keypair);
    assert_int_equal(handshake.kind, INDEX_NONE);
    assert_int_equal(keypair.kind, INDEX_KEYPAIR);
    assert_ptr_equal(keypair.peer, peer);
    assert_ptr_equal(indices_find(&indices, value), &keypair);
    assert_int_equal(indices.table.count, 1);
    indices_remove(&indices, &keypair);
    indices_fini(&indices);
}

static void elements_with_the_same_hash_are_all_found(void **state)
{
    (void)state;
    struct table table = {0};
    struct table_node nodes[3];
    assert_null(table_first(&table, 7));
    assert_int_equal(table_reserve(&table, 3), 0);
    for (size_t i = 0; i < 3; i++)
        table_insert(&table, &nodes[i], 7);
    assert_int_equal(table_reserve(&table, 100), 0);
    unsigned found = 0;
    for (struct table_node *node = table_first(&table, 7); node; node = table_next(node))
        found++;
    assert_int_equal(found, 3);
    assert_null(table_first(&table, 7 + 8));
    table_remove(&table, &nodes[1]);
    assert_int_equal(table.count, 2);
    table_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_found_by_its_own_index),
        cmocka_unit_test(session_inherits_the_handshakes_index),
        cmocka_unit_test(elements_with_the_same_hash_are_all_found),
    };
    return cmocka_run_group_tests_name("indices", tests, NULL, NULL);
}
