/*
 * tunnel_update: the worker is told of the peers that are new, differ, or are gone, and of no
 * others; with everything else of the definition.
 */
#include "server/tunnel_update.h"

#include "base/messages.h"
#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

#define PEERS_MAX 4

/* A tunnel with a peer for each letter: its name, its key, and its allowed IP. */
static void make_tunnel(struct spec_tunnel *tunnel, const char *letters)
{
    *tunnel = (struct spec_tunnel){.name = "home", .mtu = 1420, .addresses_count = 1};
    memset(tunnel->private_key, 1, SPEC_KEY_LEN);
    assert_int_equal(inet_prefix_parse("10.0.0.1/32", &tunnel->addresses[0]), 0);
    tunnel->peers = calloc(PEERS_MAX, sizeof(*tunnel->peers));
    for (; *letters; letters++) {
        struct spec_peer *peer = &tunnel->peers[tunnel->peers_count++];
        peer->name[0] = *letters;
        memset(peer->public_key, *letters, SPEC_KEY_LEN);
        peer->allowed_ips = calloc(1, sizeof(*peer->allowed_ips));
        peer->allowed_ips_count = 1;
        assert_int_equal(inet_prefix_parse("10.1.0.0/32", &peer->allowed_ips[0]), 0);
        peer->allowed_ips[0].addr.bytes[3] = (uint8_t)*letters;
    }
}

/* The letters of the peers that are gone, and of those in the JSON. */
static void expect(const struct spec_tunnel *before, const struct spec_tunnel *after,
                   const char *gone, const char *told)
{
    struct tunnel_update update;
    struct message_tunnel_update head;
    struct spec_tunnel read;
    struct spec_errors errors = {0};
    assert_int_equal(tunnel_update_make(&update, 6, before, after), 0);
    memcpy(&head, update.head, sizeof(head));
    assert_int_equal(head.slot, 6);
    assert_int_equal(head.gone, strlen(gone));
    assert_int_equal(update.head_len, sizeof(head) + strlen(gone) * SPEC_KEY_LEN);
    for (size_t i = 0; i < head.gone; i++)
        assert_int_equal(((char *)update.head)[sizeof(head) + i * SPEC_KEY_LEN], gone[i]);
    assert_int_equal(spec_tunnel_from_json(update.json, &read, &errors), 0);
    assert_int_equal(read.peers_count, strlen(told));
    for (size_t i = 0; i < read.peers_count; i++)
        assert_int_equal(read.peers[i].name[0], told[i]);
    assert_memory_equal(read.private_key, after->private_key, SPEC_KEY_LEN);
    assert_int_equal(read.mtu, after->mtu);
    spec_tunnel_fini(&read);
    tunnel_update_free(&update);
    tunnel_update_free(&update);
}

static void tells_of_what_differs(void **state)
{
    static const struct {
        const char *before, *after, *gone, *told;
    } rows[] = {
        {"", "", "", ""},         {"", "ab", "", "ab"},     {"ab", "", "ab", ""},
        {"abc", "abc", "", ""},   {"abc", "cba", "", ""},   {"abc", "bcd", "a", "d"},
        {"abcd", "ac", "bd", ""}, {"ab", "cd", "ab", "cd"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_tunnel before, after;
        make_tunnel(&before, rows[i].before);
        make_tunnel(&after, rows[i].after);
        expect(&before, &after, rows[i].gone, rows[i].told);
        spec_tunnel_fini(&before);
        spec_tunnel_fini(&after);
    }
}

static void tells_of_peers_that_were_changed(void **state)
{
    struct spec_tunnel before, after;
    (void)state;
    make_tunnel(&before, "abcd");
    make_tunnel(&after, "abcd");
    after.mtu = 1280;
    memset(after.private_key, 2, SPEC_KEY_LEN);
    after.peers[0].keepalive_seconds = 5;
    after.peers[1].allowed_ips[0].addr.bytes[3] = 1;
    after.peers[3].has_preshared_key = true;
    expect(&before, &after, "", "abd");
    spec_tunnel_fini(&before);
    spec_tunnel_fini(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_of_what_differs),
        cmocka_unit_test(tells_of_peers_that_were_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
