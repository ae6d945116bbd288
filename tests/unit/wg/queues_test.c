/* staged and handshake_queue: order and bounds. */
#include "tests/support/cmocka_all.h"

#include "engine/wg/handshake_queue.h"
#include "engine/wg/messages.h"
#include "engine/wg/staged.h"

#include <errno.h>
#include <stdlib.h>

static size_t push(struct staged *staged, uint32_t number)
{
    uint8_t bytes[4];
    store_le32(bytes, number);
    const struct iovec pieces[] = {{.iov_base = bytes, .iov_len = 3},
                                   {.iov_base = bytes + 3, .iov_len = 1}};
    return staged_push(staged, pieces, 2, sizeof(bytes));
}

static void staged_keeps_the_newest_in_order(void **state)
{
    (void)state;
    size_t total = 0;
    struct staged staged;
    size_t lost = 0;
    staged_init(&staged, &total);
    for (uint32_t i = 0; i < WG_STAGED_MAX + 50; i++)
        lost += push(&staged, i);
    assert_int_equal(lost, 50);
    assert_int_equal(staged.count, WG_STAGED_MAX);
    assert_int_equal(total, WG_STAGED_MAX);
    for (uint32_t i = 50; i < WG_STAGED_MAX + 50; i++) {
        assert_int_equal(staged.first->len, 4);
        assert_int_equal(load_le32(staged.first->data), i);
        staged_pop(&staged);
    }
    assert_null(staged.first);
    assert_null(staged.last);
    assert_int_equal(push(&staged, 1), 0);
    assert_int_equal(push(&staged, 2), 0);
    assert_int_equal(staged_clear(&staged), 2);
    assert_int_equal(staged_clear(&staged), 0);
    assert_int_equal(staged.bytes, 0);
    assert_int_equal(total, 0);
}

/* 10,000 peers that never answer cannot take all memory, and not the room of one that does. */
static void staged_bytes_are_bounded_in_all(void **state)
{
    (void)state;
    enum { PEERS = 10000, LEN = 1420 };
    static uint8_t bytes[LEN];
    static struct staged queues[PEERS];
    const struct iovec piece = {.iov_base = bytes, .iov_len = LEN};
    size_t total = 0, lost = 0, held = 0;
    for (size_t i = 0; i < PEERS; i++) {
        staged_init(&queues[i], &total);
        for (int n = 0; n < WG_STAGED_MAX; n++)
            lost += staged_push(&queues[i], &piece, 1, LEN);
    }
    for (size_t i = 0; i < PEERS; i++)
        held += queues[i].bytes;
    assert_true(held <= WG_STAGED_BYTES_MAX);
    assert_true(held > WG_STAGED_BYTES_MAX / 10 * 9);
    assert_int_equal(total + lost, (size_t)PEERS * WG_STAGED_MAX);
    assert_int_equal(queues[0].count, WG_STAGED_MAX); /* who came early has a whole queue */
    assert_int_equal(push(&queues[PEERS - 1], 1), 0); /* and who comes late has room for a SYN */
    assert_int_equal(queues[0].count, WG_STAGED_MAX);
    staged_push(&queues[0], &piece, 1, LEN); /* the newest one, instead of the oldest one */
    assert_int_equal(queues[0].count, WG_STAGED_MAX);
    for (size_t i = 0; i < PEERS; i++)
        staged_clear(&queues[i]);
    assert_int_equal(total, 0);
    assert_int_equal(staged_push(&queues[PEERS - 1], &piece, 1, LEN), 0);
    staged_clear(&queues[PEERS - 1]);
}

static void handshake_queue_is_bounded_and_in_order(void **state)
{
    (void)state;
    struct handshake_queue queue = {0};
    const struct wg_endpoint from = {.local_ifindex = 3};
    uint8_t message[INITIATION_LEN] = {0};
    for (uint32_t i = 0; i < WG_HANDSHAKE_QUEUE_MAX; i++) {
        store_le32(message, i);
        assert_int_equal(handshake_queue_push(&queue, &from, message, sizeof(message)), 0);
    }
    assert_int_equal(handshake_queue_push(&queue, &from, message, sizeof(message)), -ENOBUFS);
    for (uint32_t i = 0; i < WG_HANDSHAKE_QUEUE_MAX / 2; i++) {
        struct queued_handshake *entry = handshake_queue_pop(&queue);
        assert_int_equal(load_le32(entry->message), i);
        assert_int_equal(entry->len, sizeof(message));
        assert_int_equal(entry->from.local_ifindex, 3);
        free(entry);
    }
    handshake_queue_fini(&queue);
    assert_null(handshake_queue_pop(&queue));
    assert_int_equal(queue.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staged_keeps_the_newest_in_order),
        cmocka_unit_test(staged_bytes_are_bounded_in_all),
        cmocka_unit_test(handshake_queue_is_bounded_and_in_order),
    };
    return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
