#include "base/spec_diff.h"

#include "tests/support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

/* --- Tunnels ---------------------------------------------------------------------------------- */

static void fill(struct spec_tunnel *spec)
{
    *spec = (struct spec_tunnel){.name = "home", .mtu = 1420, .addresses_count = 1};
    inet_prefix_parse("10.9.0.2/32", &spec->addresses[0]);
    spec->peers = calloc(2, sizeof(*spec->peers));
    assert_non_null(spec->peers);
    spec->peers_count = 2;
    for (int i = 0; i < 2; i++) {
        struct spec_peer *peer = &spec->peers[i];
        peer->name[0] = (char)('a' + i);
        peer->public_key[31] = (uint8_t)(2 - i);
        strcpy(peer->endpoint_host, "vpn.example.org");
        peer->endpoint_port = 51820;
        peer->allowed_ips = calloc(1, sizeof(*peer->allowed_ips));
        assert_non_null(peer->allowed_ips);
        peer->allowed_ips_count = 1;
        inet_prefix_parse("10.0.0.0/8", &peer->allowed_ips[0]);
    }
}

static void change_key(struct spec_tunnel *t)
{
    t->private_key[0] = 1;
}

static void change_mtu(struct spec_tunnel *t)
{
    t->mtu = 1400;
}

static void change_address(struct spec_tunnel *t)
{
    inet_prefix_parse("10.9.0.3/32", &t->addresses[0]);
}

static void change_prefix_length(struct spec_tunnel *t)
{
    inet_prefix_parse("10.9.0.2/24", &t->addresses[0]);
}

static void change_required(struct spec_tunnel *t)
{
    t->required = true;
}

static void change_congestion(struct spec_tunnel *t)
{
    t->congestion_control = SPEC_BBR;
}

static void change_listen_port(struct spec_tunnel *t)
{
    t->listen_port = 7;
}

static void change_listen_address(struct spec_tunnel *t)
{
    inet_addr_parse("127.0.0.1", &t->listen_address);
}

static void change_peer_name(struct spec_tunnel *t)
{
    t->peers[1].name[0] = 'c';
}

static void change_public_key(struct spec_tunnel *t)
{
    t->peers[1].public_key[0] = 1;
}

static void add_preshared_key(struct spec_tunnel *t)
{
    t->peers[1].has_preshared_key = true;
}

static void change_endpoint_host(struct spec_tunnel *t)
{
    t->peers[1].endpoint_host[0] = 'w';
}

static void change_endpoint_port(struct spec_tunnel *t)
{
    t->peers[1].endpoint_port = 1;
}

static void change_keepalive(struct spec_tunnel *t)
{
    t->peers[1].keepalive_seconds = 1;
}

static void change_allowed_ips(struct spec_tunnel *t)
{
    t->peers[1].allowed_ips[0].bits = 9;
}

static void drop_allowed_ips(struct spec_tunnel *t)
{
    t->peers[1].allowed_ips_count = 0;
}

static void change_order(struct spec_tunnel *t)
{
    struct spec_peer first = t->peers[0];
    t->peers[0] = t->peers[1];
    t->peers[1] = first;
}

static void change_everything(struct spec_tunnel *t)
{
    change_key(t);
    change_mtu(t);
    change_listen_port(t);
    change_order(t);
}

static const struct {
    void (*change)(struct spec_tunnel *tunnel);
    unsigned expected;
} cases[] = {
    {change_key, SPEC_TUNNEL_KEY},
    {change_mtu, SPEC_TUNNEL_STACK},
    {change_address, SPEC_TUNNEL_STACK},
    {change_prefix_length, SPEC_TUNNEL_STACK},
    {change_listen_port, SPEC_TUNNEL_LISTEN},
    {change_required, SPEC_TUNNEL_REQUIRED},
    {change_congestion, SPEC_TUNNEL_CONGESTION},
    {change_listen_address, SPEC_TUNNEL_LISTEN},
    {change_peer_name, SPEC_TUNNEL_PEERS},
    {change_public_key, SPEC_TUNNEL_PEERS},
    {add_preshared_key, SPEC_TUNNEL_PEERS},
    {change_endpoint_host, SPEC_TUNNEL_PEERS},
    {change_endpoint_port, SPEC_TUNNEL_PEERS},
    {change_keepalive, SPEC_TUNNEL_PEERS},
    {change_allowed_ips, SPEC_TUNNEL_PEERS},
    {drop_allowed_ips, SPEC_TUNNEL_PEERS},
    {change_order, SPEC_TUNNEL_PEERS},
    {change_everything,
     SPEC_TUNNEL_KEY | SPEC_TUNNEL_STACK | SPEC_TUNNEL_LISTEN | SPEC_TUNNEL_PEERS},
};

static void every_change_of_a_tunnel(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct spec_tunnel before, after;
        fill(&before);
        fill(&after);
        assert_int_equal(spec_tunnel_diff(&before, &after), 0);
        cases[i].change(&after);
        assert_int_equal(spec_tunnel_diff(&before, &after), cases[i].expected);
        assert_int_equal(spec_tunnel_diff(&after, &before), cases[i].expected);
        spec_tunnel_fini(&before);
        spec_tunnel_fini(&after);
    }
}

static void another_preshared_key(void **state)
{
    (void)state;
    struct spec_tunnel before, after;
    fill(&before);
    fill(&after);
    before.peers[0].has_preshared_key = after.peers[0].has_preshared_key = true;
    assert_int_equal(spec_tunnel_diff(&before, &after), 0);
    after.peers[0].preshared_key[31] = 1;
    assert_int_equal(spec_tunnel_diff(&before, &after), SPEC_TUNNEL_PEERS);
    spec_tunnel_fini(&before);
    spec_tunnel_fini(&after);
}

/* --- Forwards --------------------------------------------------------------------------------- */

static void every_change_of_a_forward(void **state)
{
    (void)state;
    const struct spec_forward forward = {
        .name = "web", .tunnel = "home", .target_port = 80, .enabled = true};
    struct spec_forward others[] = {forward, forward, forward, forward, forward, forward,
                                    forward, forward, forward, forward, forward};
    size_t n = 0;
    others[n++].name[0] = 'x';
    others[n++].tunnel[0] = 'x';
    others[n++].direction = SPEC_REMOTE;
    others[n++].protocol = SPEC_UDP;
    others[n++].listen_address.family = AF_INET;
    others[n++].listen_port = 1;
    others[n++].target_address.bytes[3] = 1;
    others[n++].target_port = 81;
    others[n++].enabled = false;
    others[n++].connect_timeout_seconds = 1;
    others[n++].idle_timeout_seconds = 1;
    assert_int_equal(n, sizeof(others) / sizeof(others[0]));
    assert_true(spec_forward_equal(&forward, &forward));
    for (size_t i = 0; i < n; i++)
        assert_false(spec_forward_equal(&forward, &others[i]));
}

/* --- The index -------------------------------------------------------------------------------- */

static void peers_by_their_keys(void **state)
{
    (void)state;
    struct spec_tunnel tunnel;
    struct spec_peer_index index;
    fill(&tunnel);
    assert_int_equal(spec_peer_index_init(&index, &tunnel), 0);
    for (size_t i = 0; i < 2; i++)
        assert_ptr_equal(spec_peer_index_find(&index, tunnel.peers[i].public_key),
                         &tunnel.peers[i]);
    const uint8_t unknown[SPEC_KEY_LEN] = {[31] = 3};
    assert_null(spec_peer_index_find(&index, unknown));
    spec_peer_index_fini(&index);
    assert_null(spec_peer_index_find(&index, unknown));
    spec_tunnel_fini(&tunnel);
    assert_int_equal(spec_peer_index_init(&index, &tunnel), 0);
    assert_null(spec_peer_index_find(&index, unknown));
    spec_peer_index_fini(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_change_of_a_tunnel),
        cmocka_unit_test(another_preshared_key),
        cmocka_unit_test(every_change_of_a_forward),
        cmocka_unit_test(peers_by_their_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
