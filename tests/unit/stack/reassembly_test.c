/*
 * What has arrived behind a hole: every byte once and in order, whatever way segments overlap; what
 * is told of it; and its bounds.
 */
#include "engine/stack/reassembly.h"

#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <lwip/pbuf.h>
#include <stdlib.h>
#include <string.h>

#define BASE   0xffffff00u /* wraps */
#define PLENTY (64u * 1024 * 1024)

static uint8_t byte_at(uint32_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251);
}

static int add(struct reassembly *queue, uint32_t from, uint32_t to)
{
    uint8_t data[4096];

    assert_true(to - from <= sizeof(data));
    for (uint32_t i = from; i < to; i++)
        data[i - from] = byte_at(i);
    return reassembly_add(queue, BASE + from, data, to - from, PLENTY);
}

/* Takes what follows at `from`, checks each byte, and returns where the next hole begins. */
static uint32_t drain(struct reassembly *queue, uint32_t from, size_t max)
{
    struct pbuf *chain;

    while ((chain = reassembly_take(queue, BASE + from, max)) != NULL) {
        size_t left = chain->tot_len;

        for (const struct pbuf *piece = chain; piece != NULL; piece = piece->next) {
            assert_int_equal(piece->tot_len, left);
            for (u16_t i = 0; i < piece->len; i++)
                assert_int_equal(((const uint8_t *)piece->payload)[i], byte_at(from + i));
            from += piece->len;
            left -= piece->len;
        }
        assert_int_equal(left, 0);
        pbuf_free(chain);
    }
    return from;
}

static void expect_blocks(const struct reassembly *queue, const uint32_t (*expected)[2], int count)
{
    struct sack_block blocks[PACKET_SACK_MAX];

    assert_int_equal(reassembly_blocks(queue, blocks, PACKET_SACK_MAX), count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(blocks[i].left, BASE + expected[i][0]);
        assert_int_equal(blocks[i].right, BASE + expected[i][1]);
    }
}

static void test_order(void **state)
{
    struct reassembly queue = {0};

    (void)state;
    assert_true(reassembly_is_empty(&queue));
    assert_int_equal(drain(&queue, 0, 1000), 0);
    add(&queue, 300, 400);
    add(&queue, 100, 200);
    add(&queue, 200, 300);
    assert_int_equal(queue.count, 1);
    assert_int_equal(drain(&queue, 0, 1000), 0);
    assert_int_equal(drain(&queue, 100, 1000), 400);
    assert_true(reassembly_is_empty(&queue));
    assert_int_equal(queue.cost, 0);
    assert_null(queue.ranges);
}

/* Chains are as long as is asked for, and a piece is never cut but at its front. */
static void test_portions(void **state)
{
    struct reassembly queue = {0};
    struct pbuf *chain;

    (void)state;
    for (uint32_t i = 0; i < 10; i++)
        add(&queue, 100 + i * 100, 200 + i * 100);
    chain = reassembly_take(&queue, BASE + 150, 350);
    assert_int_equal(chain->tot_len, 350);
    pbuf_free(chain);
    chain = reassembly_take(&queue, BASE + 500, 99);
    assert_int_equal(chain->tot_len, 100);
    pbuf_free(chain);
    assert_int_equal(drain(&queue, 600, 250), 1100);
    assert_true(reassembly_is_empty(&queue));
}

/* RFC 2018, 4: the block of what came last first, then those that were told before it. */
static void test_blocks(void **state)
{
    struct reassembly queue = {0};

    (void)state;
    expect_blocks(&queue, NULL, 0);
    add(&queue, 100, 200);
    add(&queue, 300, 400);
    add(&queue, 500, 600);
    expect_blocks(&queue, (const uint32_t[][2]){{500, 600}, {300, 400}, {100, 200}}, 3);
    add(&queue, 200, 250);
    expect_blocks(&queue, (const uint32_t[][2]){{100, 250}, {500, 600}, {300, 400}}, 3);
    add(&queue, 700, 800);
    add(&queue, 900, 1000);
    expect_blocks(&queue, (const uint32_t[][2]){{900, 1000}, {700, 800}, {100, 250}, {500, 600}},
                  4);
    /* Two become one, and it is told once. */
    add(&queue, 800, 900);
    expect_blocks(&queue, (const uint32_t[][2]){{700, 1000}, {100, 250}, {500, 600}}, 3);
    /* What came twice is told first, too. */
    add(&queue, 510, 520);
    expect_blocks(&queue, (const uint32_t[][2]){{500, 600}, {700, 1000}, {100, 250}}, 3);
    assert_int_equal(drain(&queue, 100, 1000), 250);
    expect_blocks(&queue, (const uint32_t[][2]){{500, 600}, {700, 1000}}, 2);
    reassembly_clear(&queue);
    expect_blocks(&queue, NULL, 0);
}

static void test_end(void **state)
{
    struct reassembly queue = {0};

    (void)state;
    add(&queue, 100, 200);
    reassembly_add_end(&queue, BASE + 200);
    expect_blocks(&queue, (const uint32_t[][2]){{100, 201}}, 1);
    assert_int_equal(drain(&queue, 100, 1000), 200);
    assert_false(reassembly_is_empty(&queue));
    assert_false(reassembly_ends_at(&queue, BASE + 100));
    assert_true(reassembly_ends_at(&queue, BASE + 200));
    reassembly_clear(&queue);
    assert_true(reassembly_is_empty(&queue));
}

/* Tiny segments cost what they take, and holes are counted; what is there stays. */
static void test_bounds(void **state)
{
    struct reassembly queue = {0};
    const uint8_t byte = byte_at(1);
    uint32_t kept = 0;

    (void)state;
    while (reassembly_add(&queue, BASE + 1 + kept * 251 * 2, &byte, 1, 65536) == 0)
        kept++;
    assert_true(queue.cost <= 65536);
    assert_int_equal(kept, 65536 / (REASSEMBLY_PIECE_COST + 1));
    assert_int_equal(queue.count, kept);
    reassembly_clear(&queue);
    for (kept = 0; add(&queue, 100 + kept * 200, 200 + kept * 200) == 0;)
        kept++;
    assert_int_equal(kept, REASSEMBLY_RANGES_MAX);
    assert_int_equal(add(&queue, 50, 60), -ENOBUFS);
    assert_int_equal(add(&queue, 200, 300), 0); /* one hole less */
    assert_int_equal(add(&queue, 50, 60), 0);
    assert_int_equal(drain(&queue, 50, 1000), 60);
    assert_int_equal(drain(&queue, 100, 1000), 400);
    reassembly_clear(&queue);
    assert_int_equal(queue.cost, 0);
}

#define SPAN 3000

/* Segments of any length and place, against a map of bytes. */
static void run_random(unsigned seed)
{
    struct reassembly queue = {0};
    bool present[SPAN + 1] = {false};
    uint32_t next = 0;

    srand(seed);
    while (next < SPAN) {
        uint32_t from = (uint32_t)rand() % SPAN, to = from + 1 + (uint32_t)rand() % 40;
        struct sack_block blocks[PACKET_SACK_MAX];
        int count;

        if (rand() % 10 == 0)
            from = next, to = next + 30;
        to = to < SPAN ? to : SPAN;
        if (to <= next || from >= to)
            continue;
        assert_int_equal(add(&queue, from, to), 0);
        memset(present + from, true, to - from);
        count = reassembly_blocks(&queue, blocks, PACKET_SACK_MAX);
        assert_true(count > 0);
        assert_false((int32_t)(blocks[0].left - (BASE + from)) > 0);
        for (int i = 0; i < count; i++) {
            assert_false(blocks[i].right - BASE < SPAN && present[blocks[i].right - BASE]);
            for (uint32_t at = blocks[i].left - BASE; at < blocks[i].right - BASE; at++)
                assert_true(present[at]);
        }
        if (rand() % 3 != 0)
            continue;
        next = drain(&queue, next, 1 + (size_t)rand() % 200);
        assert_false(present[next]);
        for (uint32_t i = 0; i + 1 < queue.count; i++)
            assert_true(queue.ranges[i].right != queue.ranges[i + 1].left);
    }
    reassembly_clear(&queue);
    assert_int_equal(queue.cost, 0);
}

static void test_random(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 200; seed++)
        run_random(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),  cmocka_unit_test(test_portions),
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_end),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
