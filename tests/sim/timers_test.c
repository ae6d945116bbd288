/* Every timer of section 6 in virtual time: attempts, renewal, keepalives and expiry. */
#include "tests/sim/network.h"

#include "engine/wg/exchange.h"

/* --- Attempts --------------------------------------------------------------------------------- */

static void initiations_are_retransmitted_and_given_up(void **state)
{
    struct pair *pair = *state;
    uint64_t began = pair->network->now;
    uint64_t last = began;
    uint64_t shortest = WG_NEVER;
    uint64_t longest = 0;
    unsigned sent = 1;

    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    while (pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP] == 0) {
        assert_true(network_step(pair->network, began + S(100)));
        if (pair->a->sent[MESSAGE_INITIATION] == sent)
            continue;
        sent++;
        const uint64_t pause = pair->network->now - last;
        assert_in_range(pause, S(5), S(5) + MS(333));
        shortest = pause < shortest ? pause : shortest;
        longest = pause > longest ? pause : longest;
        last = pair->network->now;
    }
    assert_true(longest - shortest > MS(100)); /* two that begin at once come apart */
    assert_in_range(sent, 17, 18);
    assert_in_range(pair->network->now - began, S(90), S(90) + S(5) + MS(333));
    network_run(pair->network, S(600));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], sent);
    assert_int_equal(wg_device_deadline(pair->a->device), WG_NEVER);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->unanswered, sent);

    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE); /* wiped, with its index */
    assert_int_equal(pair->a->device->indices.table.count, 0);

    /* The packet was purged; a new one starts over. */
    pair->network->loss_per_mille = 0;
    a_sends(pair, 2);
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->got[1], 0);
    assert_int_equal(pair->b->got[2], 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->unanswered, 0);
}

static void traffic_begins_the_attempts_anew(void **state)
{
    struct pair *pair = *state;
    pair->network->loss_per_mille = 1000;
    for (uint32_t i = 0; i < 5; i++) {
        a_sends(pair, i);
        network_run(pair->network, S(60));
    }
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 0);
    network_run(pair->network, S(40));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
}

static void unknown_endpoint_is_given_up(void **state)
{
    struct pair *pair = *state;
    const union inet_sockaddr nowhere = {.sa.sa_family = AF_UNSPEC};
    wg_peer_set_endpoint(pair->a_to_b, &nowhere);
    a_sends(pair, 1);
    network_run(pair->network, S(100));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 0);
    assert_int_equal(node_drops(pair->a, WG_DROP_NO_ENDPOINT), 1);
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_GAVE_UP], 1);
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    assert_in_range(wg_peer_stats(pair->a_to_b)->unanswered, 17, 19);
}

/* --- Renewal ---------------------------------------------------------------------------------- */

static void initiator_renews_after_120_seconds_without_loss(void **state)
{
    struct pair *pair = *state;
    uint32_t number = 0;
    uint64_t began;

    pair_connect(pair);
    began = pair->network->now;
    while (pair->network->now < began + S(300)) {
        number++;
        a_sends(pair, number);
        b_sends(pair, number);
        network_run(pair->network, MS(50));
    }
    network_run(pair->network, S(1));
    for (uint32_t i = 1; i <= number; i++) {
        assert_int_equal(pair->a->got[i], 1);
        assert_int_equal(pair->b->got[i], 1);
    }
    assert_true(pair->a->in_order);
    assert_true(pair->b->in_order);
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 3); /* at 0, 120 and 240 s */
    assert_int_equal(pair->b->sent[MESSAGE_INITIATION], 0); /* the responder never renews */
}

/* b, which hears nothing, initiates too; at the same time as a's this would need a second try. */
static enum fate drop_initiations_of_b(struct network *network, struct datagram *datagram)
{
    bool of_b = inet_sockaddr_equal(&datagram->from.remote, &network->nodes[1].addr);
    return of_b && datagram->data[0] == MESSAGE_INITIATION ? FATE_DROP : FATE_PASS;
}

static void receiving_initiator_renews_after_165_seconds_once(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    const struct keypair *keypair = pair->a_to_b->keypairs.current;
    uint64_t due = keypair->created_at + S(165);

    /* a cannot send, not even keepalives, so that only receiving can make it renew. */
    pair->a->blocked = true;
    pair->network->watch = drop_initiations_of_b;
    while (pair->network->now < due - S(1)) {
        b_sends(pair, 1);
        network_run(pair->network, MS(500));
    }
    assert_false(keypair->renewing);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    network_run(pair->network, S(1));
    b_sends(pair, 1);
    network_run(pair->network, MS(20));
    assert_true(keypair->renewing);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_CREATED_INITIATION);
    pair->a->blocked = false;
    network_run(pair->network, S(1));
    assert_ptr_not_equal(pair->a_to_b->keypairs.current, keypair);
}

static void unanswered_data_starts_a_handshake_after_15_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned before = pair->a->sent[MESSAGE_INITIATION];
    uint64_t began = pair->network->now;

    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    /* Later packets do not put it off. */
    while (pair->a->sent[MESSAGE_INITIATION] == before) {
        network_run(pair->network, MS(100));
        if (pair->network->now < began + S(14))
            a_sends(pair, 2);
    }
    assert_in_range(pair->network->now - began, S(15), S(15) + MS(333 + 100));
}

/* Two that lose each other at once come apart: each session has a jitter of its own. */
static void sessions_differ_in_when_silence_ends(void **state)
{
    struct pair *pair = *state;
    uint64_t shortest = WG_NEVER;
    uint64_t longest = 0;
    for (int session = 0; session < 12; session++) {
        keypairs_expire_sending(&pair->a_to_b->keypairs);
        a_sends(pair, 1); /* which needs a session, and is the first that is not answered */
        network_run(pair->network, S(30));
        const unsigned before = pair->a->sent[MESSAGE_INITIATION];
        const uint64_t began = pair->network->now;
        pair->network->loss_per_mille = 1000;
        a_sends(pair, 2);
        while (pair->a->sent[MESSAGE_INITIATION] == before)
            assert_true(network_step(pair->network, began + S(20)));
        const uint64_t pause = pair->network->now - began;
        assert_in_range(pause, S(15), S(15) + MS(333));
        shortest = pause < shortest ? pause : shortest;
        longest = pause > longest ? pause : longest;
        pair->network->loss_per_mille = 0;
        network_run(pair->network, S(20));
    }
    assert_true(longest - shortest > MS(100));
}

/* Only data that nobody answered begins a handshake; that the peer begins one is an answer. */
static void an_initiation_is_an_answer(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    network_run(pair->network, S(10));
    pair->network->loss_per_mille = 0;
    wg_exchange_initiate(pair->b_to_a);
    network_run(pair->network, MS(15));
    assert_int_equal(pair->a->sent[MESSAGE_RESPONSE], 1);
    pair->network->loss_per_mille = 1000; /* and so b is not heard a second time */
    network_run(pair->network, S(6));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1); /* the first session's */
}

/* --- Keepalives ------------------------------------------------------------------------------- */

static void passive_keepalive_answers_once(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned keepalives_a = pair->a->sent[0];
    unsigned keepalives_b = pair->b->sent[0];

    a_sends(pair, 1);
    network_run(pair->network, S(10));
    assert_int_equal(pair->b->sent[0], keepalives_b); /* 10 s after arrival, which is later */
    network_run(pair->network, S(1));
    assert_int_equal(pair->b->sent[0], keepalives_b + 1);
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->sent[0], keepalives_b + 1);
    assert_int_equal(pair->a->sent[0], keepalives_a); /* a keepalive is never answered */
}

/* In 5 s b's keepalive is due, for data that it has not answered; what b had sent before. */
static unsigned b_has_to_answer(struct pair *pair)
{
    pair_connect(pair);
    network_run(pair->network, S(30));
    unsigned before = pair->b->sent[0];
    a_sends(pair, 1);
    network_run(pair->network, S(5));
    return before;
}

/* What is sent anyway within the 10 s stands for the keepalive. */
static void an_answer_stands_for_the_keepalive(void **state)
{
    struct pair *pair = *state;
    unsigned before = b_has_to_answer(pair);
    b_sends(pair, 1);
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->sent[0], before);
}

static void a_handshake_stands_for_the_keepalive(void **state)
{
    struct pair *pair = *state;
    unsigned before = b_has_to_answer(pair);
    wg_exchange_initiate(pair->a_to_b);
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->sent[MESSAGE_RESPONSE], 2);
    assert_int_equal(pair->b->sent[0], before);
}

static void passive_keepalive_follows_more_data(void **state)
{
    struct pair *pair = *state;
    unsigned before = b_has_to_answer(pair);
    a_sends(pair, 2);
    network_run(pair->network, S(30));
    assert_int_equal(pair->b->sent[0], before + 2);
}

/* Each packet in either direction puts the persistent keepalive off. */
static void persistent_keepalive_waits_for_silence(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    wg_peer_set_keepalive(pair->b_to_a, 20);
    network_run(pair->network, MS(100));
    wg_peer_set_keepalive(pair->a_to_b, 25);
    network_run(pair->network, MS(100));
    unsigned before = pair->a->sent[0];
    network_run(pair->network, S(50));
    assert_int_equal(pair->a->sent[0], before); /* b's own came every 20 s */
    wg_peer_set_keepalive(pair->b_to_a, 0);
    b_sends(pair, 1);
    network_run(pair->network, S(20));
    before = pair->a->sent[0]; /* one was the answer to that, 10 s ago */
    a_sends(pair, 2);
    network_run(pair->network, S(24));
    assert_int_equal(pair->a->sent[0], before);
    network_run(pair->network, S(12)); /* b's answer after 10 s put it off once more */
    assert_int_equal(pair->a->sent[0], before + 1);
}

/* Not even a sending side that is full for longer than attempts are made ends it. */
static void persistent_keepalive_never_stops_trying(void **state)
{
    struct pair *pair = *state;
    pair->a->blocked = true;
    wg_peer_set_keepalive(pair->a_to_b, 200);
    network_run(pair->network, S(150));
    assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, 1);
    pair->a->blocked = false;
    network_run(pair->network, S(60));
    assert_int_equal(pair->b->events[WG_EVENT_HANDSHAKE_DONE], 1);
}

/* Another interval counts from now on, also a shorter one. */
static void persistent_keepalive_follows_its_interval(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    wg_peer_set_keepalive(pair->a_to_b, 200);
    network_run(pair->network, S(20));
    const unsigned before = pair->a->sent[0];
    wg_peer_set_keepalive(pair->a_to_b, 10);
    network_run(pair->network, S(9));
    assert_int_equal(pair->a->sent[0], before);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->sent[0], before + 1);
}

/* Where it is now, by its definition, hears of us at once, or what it sends goes astray. */
static void persistent_keepalive_goes_to_another_endpoint_at_once(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    wg_peer_set_keepalive(pair->a_to_b, 25);
    network_run(pair->network, S(5));
    sockaddr_of(&pair->b->addr, "198.51.100.9", PORT);
    const uint64_t received = wg_peer_stats(pair->b_to_a)->rx_packets;
    wg_peer_set_endpoint(pair->a_to_b, &pair->b->addr);
    network_run(pair->network, MS(20));
    assert_int_equal(wg_peer_stats(pair->b_to_a)->rx_packets, received + 1);
}

/* What is due while the sending side is full goes as soon as it is not. */
static void keepalives_survive_a_full_sending_side(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    const unsigned passive = pair->b->sent[0];
    a_sends(pair, 1);
    pair->b->blocked = true;
    network_run(pair->network, S(11));
    pair->b->blocked = false;
    network_run(pair->network, MS(20));
    assert_int_equal(pair->b->sent[0], passive + 1);

    const unsigned persistent = pair->a->sent[0];
    wg_peer_set_keepalive(pair->a_to_b, 25);
    pair->a->blocked = true;
    network_run(pair->network, S(1));
    pair->a->blocked = false;
    network_run(pair->network, MS(20));
    assert_int_equal(pair->a->sent[0], persistent + 1);
}

static void persistent_keepalive_goes_on(void **state)
{
    struct pair *pair = *state;
    wg_peer_set_keepalive(pair->a_to_b, 25);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->sent[MESSAGE_INITIATION], 1); /* no session: it starts one */
    assert_int_equal(pair->a->sent[0], 1);
    network_run(pair->network, S(100));
    assert_int_equal(pair->a->sent[0], 5);
    assert_int_equal(pair->b->sent[0], 0);

    /* It goes on trying while the peer is away, and finds it when it is back. */
    pair->network->loss_per_mille = 1000;
    network_run(pair->network, S(1000));
    pair->network->loss_per_mille = 0;
    network_run(pair->network, S(31));
    unsigned done = pair->b->events[WG_EVENT_HANDSHAKE_DONE];
    assert_int_equal(done, 2);

    wg_peer_set_keepalive(pair->a_to_b, 0);
    network_run(pair->network, S(20));
    unsigned before = pair->a->sent[0];
    network_run(pair->network, S(100));
    assert_int_equal(pair->a->sent[0], before);
}

/* --- Expiry ----------------------------------------------------------------------------------- */

/* What waited for the initiator is sent in answer to its first message, and is itself unanswered.
 */
static void unanswered_staged_data_starts_a_handshake_too(void **state)
{
    struct pair *pair = *state;
    a_sends(pair, 0);
    network_run(pair->network, MS(15)); /* b has answered the initiation, and a is not back yet */
    b_sends(pair, 1);
    assert_int_equal(pair->b_to_a->staged.count, 1);
    network_run(pair->network, MS(20));
    assert_int_equal(pair->b->delivered, 1);
    assert_int_equal(pair->b->sent[MESSAGE_DATA], 1);
    pair->network->loss_per_mille = 1000;
    network_run(pair->network, MS(14900));
    assert_int_equal(pair->b->sent[MESSAGE_INITIATION], 0);
    network_run(pair->network, MS(500));
    assert_int_equal(pair->b->sent[MESSAGE_INITIATION], 1);
}

static void silence_after_180_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    struct keypair *keypair = pair->a_to_b->keypairs.current;
    uint64_t created_at = keypair->created_at;
    pair->network->loss_per_mille = 1000;

    network_run(pair->network, created_at + S(180) - 1 - pair->network->now);
    unsigned sent = pair->a->sent[MESSAGE_DATA];
    a_sends(pair, 1);
    assert_int_equal(pair->a->sent[MESSAGE_DATA], sent + 1);
    network_run(pair->network, 1);
    a_sends(pair, 2);
    assert_int_equal(pair->a->sent[MESSAGE_DATA], sent + 1);
    assert_int_equal(pair->a_to_b->staged.count, 1);
}

static void nothing_is_received_after_180_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t created_at = pair->b_to_a->keypairs.current->created_at;
    /* Sent in time, received too late. */
    network_run(pair->network, created_at + S(179) - pair->network->now);
    pair->network->delay = S(2);
    a_sends(pair, 5);
    network_run(pair->network, S(2));
    assert_int_equal(pair->b->got[5], 0);
    assert_int_equal(node_drops(pair->b, WG_DROP_EXPIRED_KEY), 1);
}

static void keys_are_wiped_after_540_seconds(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t created_at = pair->a_to_b->keypairs.current->created_at;
    network_run(pair->network, created_at + S(540) - 1 - pair->network->now);
    assert_non_null(pair->a_to_b->keypairs.current);
    network_run(pair->network, 1);
    assert_null(pair->a_to_b->keypairs.current);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    network_run(pair->network, S(1));
    assert_int_equal(pair->a->device->indices.table.count, 0);
    assert_int_equal(pair->b->device->indices.table.count, 0);
    assert_int_equal(wg_device_deadline(pair->a->device), WG_NEVER);
    assert_int_equal(wg_device_deadline(pair->b->device), WG_NEVER);
}

/* A handshake that is going on when the keys are wiped goes with them. */
static void a_handshake_is_wiped_with_the_keys(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    uint64_t wiped_at = pair->a_to_b->keypairs.current->created_at + S(540);
    network_run(pair->network, wiped_at - S(2) - pair->network->now);
    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1);
    network_run(pair->network, wiped_at - 1 - pair->network->now);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_CREATED_INITIATION);
    network_run(pair->network, 1);
    assert_int_equal(pair->a_to_b->handshake.state, HANDSHAKE_NONE);
    assert_int_equal(pair->a->device->indices.table.count, 0);
}

/* However often nobody answers: what the keys are for is over. */
static void giving_up_does_not_put_the_wiping_off(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    const uint64_t wiped_at = pair->a_to_b->keypairs.current->created_at + S(540);
    pair->network->loss_per_mille = 1000;
    network_run(pair->network, S(200));
    for (int i = 1; i <= 3; i++) {
        a_sends(pair, 1);
        network_run(pair->network, S(100));
        assert_int_equal(wg_peer_stats(pair->a_to_b)->handshakes_given_up, i);
    }
    network_run(pair->network, wiped_at - 1 - pair->network->now);
    assert_non_null(pair->a_to_b->keypairs.current);
    network_run(pair->network, 1);
    assert_null(pair->a_to_b->keypairs.current);
}

/*
 * A machine was suspended for so long that the keys go when it wakes, together with what had been
 * pending: the session that is begun then is not wiped with the old ones.
 */
static void what_was_pending_begins_a_session_after_a_suspension(void **state)
{
    struct pair *pair = *state;
    pair_connect(pair);
    network_run(pair->network, S(30));
    pair->network->loss_per_mille = 1000;
    a_sends(pair, 1); /* which is not answered */
    pair->network->loss_per_mille = 0;
    pair->network->now += S(3600);
    network_run(pair->network, MS(100));
    assert_int_equal(pair->a->events[WG_EVENT_HANDSHAKE_DONE], 2);
    assert_int_equal(pair->b->events[WG_EVENT_HANDSHAKE_DONE], 2);
}

/* --- Many ------------------------------------------------------------------------------------- */

/* However many are due at once, the loop gets its turn in between. */
static void timers_of_few_peers_run_per_turn(void **state)
{
    enum { PEERS = 100 };
    struct pair *pair = *state;
    for (unsigned i = 0; i < PEERS; i++) {
        struct wg_peer *peer;
        struct noise_keys keys;
        node_random(pair->a, keys.private_key, WG_KEY_LEN);
        noise_keys_init(&keys, keys.private_key);
        assert_int_equal(wg_peer_add(pair->a->device, keys.public_key, NULL, &peer), 0);
        wg_peer_set_endpoint(peer, &pair->b->addr);
        wg_peer_set_keepalive(peer, 25);
    }
    for (unsigned done = WG_PEERS_PER_TURN; done < PEERS; done += WG_PEERS_PER_TURN) {
        assert_true(wg_device_deadline(pair->a->device) <= pair->network->now);
        wg_device_expire(pair->a->device);
        assert_int_equal(pair->a->sent[MESSAGE_INITIATION], done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        pair_test(initiations_are_retransmitted_and_given_up),
        pair_test(traffic_begins_the_attempts_anew),
        pair_test(unknown_endpoint_is_given_up),
        pair_test(initiator_renews_after_120_seconds_without_loss),
        pair_test(receiving_initiator_renews_after_165_seconds_once),
        pair_test(unanswered_data_starts_a_handshake_after_15_seconds),
        pair_test(sessions_differ_in_when_silence_ends),
        pair_test(an_initiation_is_an_answer),
        pair_test(passive_keepalive_answers_once),
        pair_test(an_answer_stands_for_the_keepalive),
        pair_test(a_handshake_stands_for_the_keepalive),
        pair_test(passive_keepalive_follows_more_data),
        pair_test(persistent_keepalive_waits_for_silence),
        pair_test(persistent_keepalive_never_stops_trying),
        pair_test(persistent_keepalive_follows_its_interval),
        pair_test(persistent_keepalive_goes_to_another_endpoint_at_once),
        pair_test(keepalives_survive_a_full_sending_side),
        pair_test(persistent_keepalive_goes_on),
        pair_test(unanswered_staged_data_starts_a_handshake_too),
        pair_test(silence_after_180_seconds),
        pair_test(nothing_is_received_after_180_seconds),
        pair_test(keys_are_wiped_after_540_seconds),
        pair_test(a_handshake_is_wiped_with_the_keys),
        pair_test(giving_up_does_not_put_the_wiping_off),
        pair_test(what_was_pending_begins_a_session_after_a_suspension),
        pair_test(timers_of_few_peers_run_per_turn),
    };
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
