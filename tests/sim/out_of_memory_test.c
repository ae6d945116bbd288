/*
 * Memory that runs out fails one operation: a session that is not made, a message that is not
 * queued, a packet that is not kept. The protocol's own retries do the rest. The linker puts the
 * functions here around those that allocate; what is refused is told by its size.
 */
#include "tests/sim/network.h"

#include "engine/wg/handshake_queue.h"
#include "engine/wg/staged.h"

static size_t refused_size; /* allocations of this size fail; 0 = none */
static unsigned refused;    /* how many did */

static bool is_refused(size_t size)
{
    if (size != refused_size)
        return false;
    refused++;
    return true;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return is_refused(size) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused(count * size) ? NULL : __real_calloc(count, size);
}

static void refuse(size_t size)
{
    refused_size = size;
    refused = 0;
}

static int teardown(void **state)
{
    refuse(0);
    return pair_teardown(state);
}

/* Nothing is left of the handshakes, on either side; the first retry with memory makes both. */
static void sessions_are_made_when_there_is_memory(void **state)
{
    struct pair *pair = *state;
    refuse(sizeof(struct keypair));
    a_sends(pair, 1);
    network_run(pair->network, S(1));
    assert_int_equal(refused, 1); /* by the responder, which therefore answers nothing */
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 0);
    assert_int_equal(pair->b->device->indices.table.count, 0);
    assert_int_equal(pair->b_to_a->handshake.state, HANDSHAKE_NONE);

    refuse(0);
    pair->network->delay = S(1);
    network_run(pair->network, MS(5500)); /* the next response is on its way */
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 1);
    refuse(sizeof(struct keypair));
    network_run(pair->network, S(1));
    assert_int_equal(refused, 1); /* by the initiator */
    assert_int_equal(pair->a->device->indices.table.count, 0);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 0);

    refuse(0);
    network_run(pair->network, S(8));
    assert_int_equal(pair->b->got[1], 1);
}

static void handshake_messages_are_lost_one_by_one(void **state)
{
    struct pair *pair = *state;
    refuse(sizeof(struct queued_handshake));
    a_sends(pair, 1);
    network_run(pair->network, S(1));
    assert_int_equal(refused, 1);
    assert_int_equal(node_drops(pair->b, WG_DROP_RATE_LIMITED), 1);
    assert_int_equal(pair->b->device->handshakes.count, 0);
    refuse(0);
    network_run(pair->network, S(6));
    assert_int_equal(pair->b->got[1], 1);
}

static void packets_that_cannot_be_kept_are_lost(void **state)
{
    struct pair *pair = *state;
    refuse(sizeof(struct staged_packet) + 100);
    a_sends(pair, 1);
    assert_int_equal(refused, 1);
    assert_int_equal(node_drops(pair->a, WG_DROP_STAGED_OVERFLOW), 1);
    refuse(0);
    a_sends(pair, 2);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[1], 0);
    assert_int_equal(pair->b->got[2], 1);
}

/* A peer is added whole or not at all. */
static void peers_are_added_whole_or_not(void **state)
{
    struct pair *pair = *state;
    static const uint8_t key[WG_KEY_LEN] = {9};
    struct wg_peer *peer;
    refuse(sizeof(struct wg_peer));
    assert_int_equal(wg_peer_add(pair->a->device, key, NULL, &peer), -ENOMEM);
    assert_null(wg_peer_find(pair->a->device, key));
    assert_int_equal(pair->a->device->peers_count, 1);
    refuse(0);
    assert_int_equal(wg_peer_add(pair->a->device, key, NULL, &peer), 0);
}

#define memory_test(f) cmocka_unit_test_setup_teardown(f, pair_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        memory_test(sessions_are_made_when_there_is_memory),
        memory_test(handshake_messages_are_lost_one_by_one),
        memory_test(packets_that_cannot_be_kept_are_lost),
        memory_test(peers_are_added_whole_or_not),
    };
    return cmocka_run_group_tests_name("out of memory", tests, NULL, NULL);
}
