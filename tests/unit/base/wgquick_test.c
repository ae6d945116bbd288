#include "base/wgquick.h"

#include "base/spec_diff.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_A "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY_B "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define KEY_C "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="
#define KEY_D "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ="

#define INTERFACE "[Interface]\nPrivateKey = " KEY_A "\nAddress = 10.9.0.2\n"
#define PEER      "[Peer]\nPublicKey = " KEY_B "\n"

/* Everything that is read, as people and tools write it. */
static const char complete[] = "\xef\xbb\xbf"
                               "# made by hand\r\n"
                               "[Interface]\r\n"
                               "PrivateKey=" KEY_A "\r\n"
                               "address = 10.9.0.2/24 , fd00::2/64\r\n"
                               "Address = 10.8.0.2\r\n"
                               "  LISTENPORT =\t51820   # the outer one\r\n"
                               "MTU = 1380\r\n"
                               "\r\n"
                               "[peer]\r\n"
                               "# Name = Anna's Phone!\r\n"
                               "PublicKey = " KEY_B "\r\n"
                               "PresharedKey = " KEY_C "\r\n"
                               "AllowedIPs = 192.168.4.7/24,2001:db8::1\r\n"
                               "AllowedIPs = 10.1.2.3\r\n"
                               "Endpoint = [2001:db8::7]:51820\r\n"
                               "PersistentKeepalive = 25\r\n"
                               "[Peer]\r\n"
                               "#friendly_name=office\r\n"
                               "Endpoint = vpn.example.org:443\r\n"
                               "AllowedIPs =\r\n"
                               "PublicKey = " KEY_C "\r\n"
                               "PersistentKeepalive = off\r\n"
                               "[Peer]\r\n"
                               "PublicKey = " KEY_D "";

struct reading {
    struct spec_tunnel tunnel;
    struct spec_errors errors;
    struct spec_errors warnings;
    int rc;
};

static void read_text(struct reading *reading, const char *text, size_t len,
                      const struct spec_tunnel *present)
{
    struct wgquick_source source = {.text = text, .len = len, .name = "t", .present = present};
    memset(reading, 0, sizeof(*reading));
    reading->rc = wgquick_read(&source, &reading->tunnel, &reading->errors, &reading->warnings);
}

static void assert_prefix(const struct inet_prefix *prefix, const char *wanted)
{
    char text[INET_PREFIX_TEXT];
    assert_string_equal(inet_prefix_print(prefix, text), wanted);
}

static void reads_everything(void **state)
{
    (void)state;
    struct reading reading;
    read_text(&reading, complete, sizeof(complete) - 1, NULL);
    const struct spec_tunnel *tunnel = &reading.tunnel;
    assert_int_equal(reading.rc, 0);
    assert_int_equal(reading.warnings.count, 0);
    assert_string_equal(tunnel->name, "t");
    assert_int_equal(tunnel->private_key[31], 1);
    assert_int_equal(tunnel->addresses_count, 3);
    assert_prefix(&tunnel->addresses[0], "10.9.0.2/24");
    assert_prefix(&tunnel->addresses[1], "fd00::2/64");
    assert_prefix(&tunnel->addresses[2], "10.8.0.2/32");
    assert_int_equal(tunnel->listen_port, 51820);
    assert_int_equal(tunnel->mtu, 1380);
    assert_int_equal(tunnel->peers_count, 3);

    const struct spec_peer *peer = &tunnel->peers[0];
    assert_string_equal(peer->name, "anna-s-phone");
    assert_int_equal(peer->public_key[0], 2);
    assert_true(peer->has_preshared_key);
    assert_int_equal(peer->preshared_key[0], 3);
    assert_int_equal(peer->allowed_ips_count, 3);
    assert_prefix(&peer->allowed_ips[0], "192.168.4.0/24");
    assert_prefix(&peer->allowed_ips[1], "2001:db8::1/128");
    assert_prefix(&peer->allowed_ips[2], "10.1.2.3/32");
    assert_string_equal(peer->endpoint_host, "2001:db8::7");
    assert_int_equal(peer->endpoint_port, 51820);
    assert_int_equal(peer->keepalive_seconds, 25);

    peer = &tunnel->peers[1];
    assert_string_equal(peer->name, "office");
    assert_string_equal(peer->endpoint_host, "vpn.example.org");
    assert_false(peer->has_preshared_key);
    assert_int_equal(peer->allowed_ips_count, 0);
    assert_int_equal(peer->keepalive_seconds, 0);
    assert_string_equal(tunnel->peers[2].name, "peer-3");
    spec_tunnel_fini(&reading.tunnel);
}

/* --- What is wrong, and where ----------------------------------------------------------------- */

static const struct {
    const char *text;
    size_t line;
    const char *code;
} wrong[] = {
    {"", 1, "required"},
    {"PrivateKey = " KEY_A "\n", 1, "misplaced"},
    {INTERFACE "hello\n", 4, "invalid_line"},
    {INTERFACE "Colour = blue\n", 4, "unknown_field"},
    {INTERFACE "= blue\n", 4, "unknown_field"},
    {INTERFACE "[Pear]\nPublicKey = x\nwhatever\n", 4, "unknown_section"},
    {INTERFACE "[Peer\n", 4, "unknown_section"},
    {INTERFACE "[Interface]\nMTU = 1400\n", 4, "misplaced"},
    {INTERFACE "PublicKey = " KEY_B "\n", 4, "misplaced"},
    {INTERFACE PEER "MTU = 1400\n", 6, "misplaced"},
    {INTERFACE "\n\nPrivateKey = " KEY_B "\n", 6, "duplicate"},
    {INTERFACE PEER "Endpoint = a.example:1\nEndpoint = b.example:1\n", 7, "duplicate"},
    {INTERFACE "MTU = 1400\x01\n", 4, "invalid_text"},
    {INTERFACE "MTU = 14\r00\n", 4, "invalid_text"},

    {"# no key\n[Interface]\nAddress = 10.9.0.2\n", 2, "required"},
    {"[Interface]\nPrivateKey = " KEY_A "\n", 1, "required"},
    {"[Interface]\nPrivateKey = " KEY_A "\nAddress =\n", 3, "required"},
    {"[Interface]\nAddress = 10.9.0.2\nPrivateKey = abc\n", 3, "invalid_key"},
    {"[Interface]\nAddress = 10.9.0.2\nPrivateKey = (hidden)\n", 3, "invalid_key"},
    {INTERFACE "Address = 10.9.0.3,10.9.0.999\n", 4, "invalid_address"},
    {INTERFACE "Address = 10.9.0.3,,10.9.0.4\n", 4, "invalid_line"},
    {INTERFACE "Address = 10.9.0.2/24\n", 4, "duplicate"},
    {INTERFACE "MTU = big\n", 4, "invalid_type"},
    {INTERFACE "MTU = -1\n", 4, "invalid_type"},
    {INTERFACE "MTU = 99999999999999999999\n", 4, "invalid_type"},
    {INTERFACE "MTU = 70000\n", 4, "out_of_range"},
    {INTERFACE "ListenPort = off\n", 4, "invalid_type"},
    {INTERFACE "ListenPort =\n", 4, "invalid_type"},

    {INTERFACE "[Peer]\nEndpoint = a.example:1\n", 4, "required"},
    {INTERFACE PEER "Endpoint = a.example\n", 6, "invalid_endpoint"},
    {INTERFACE PEER "Endpoint = 2001:db8::1:51820\n", 6, "invalid_endpoint"},
    {INTERFACE PEER "AllowedIPs = 10.0.0.0/33\n", 6, "invalid_prefix"},
    {INTERFACE PEER "AllowedIPs = 10.0.0.0/8\nAllowedIPs = 10.1.0.0/16, x\n", 7, "invalid_prefix"},
    {INTERFACE PEER "PersistentKeepalive = 65536\n", 6, "out_of_range"},
    {INTERFACE PEER "PresharedKey = (hidden)\n", 6, "invalid_key"},
    {INTERFACE PEER "\n" PEER, 8, "duplicate"},
    {INTERFACE PEER "#Name=a\n[Peer]\nPublicKey = " KEY_C "\n# name = a\n", 9, "duplicate"},
    {INTERFACE PEER "AllowedIPs = 10.0.0.0/8\n[Peer]\nPublicKey = " KEY_C
                    "\nAllowedIPs = 10.1.0.0/16\nAllowedIPs = 10.0.0.1/8\n",
     10, "duplicate"},
};

static void names_the_line_of_an_error(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct reading reading;
        read_text(&reading, wrong[i].text, strlen(wrong[i].text), NULL);
        assert_int_equal(reading.rc, -EINVAL);
        assert_true(reading.errors.count >= 1);
        if (reading.errors.items[0].line != wrong[i].line ||
            strcmp(reading.errors.items[0].code, wrong[i].code) != 0)
            fail_msg("%s: line %zu: %s (%s)", wrong[i].text, reading.errors.items[0].line,
                     reading.errors.items[0].code, reading.errors.items[0].detail);
    }
}

static void reports_everything_in_the_order_of_lines(void **state)
{
    (void)state;
    static const char text[] = "[Interface]\n"
                               "PrivateKey = short\n"
                               "Address = nowhere\n"
                               "Speed = 9\n"
                               "[Peer]\n"
                               "PublicKey = short\n"
                               "Endpoint\n"
                               "AllowedIPs = x\n";
    static const size_t lines[] = {2, 3, 4, 6, 7, 8};
    struct reading reading;
    read_text(&reading, text, strlen(text), NULL);
    assert_int_equal(reading.errors.count, sizeof(lines) / sizeof(lines[0]));
    for (size_t i = 0; i < reading.errors.count; i++)
        assert_int_equal(reading.errors.items[i].line, lines[i]);
}

/* A key with a misspelt name, say, is in no text that goes out. */
static void repeats_nothing_of_the_file(void **state)
{
    (void)state;
    static const char text[] = INTERFACE "PrivatKey = " KEY_D "\n" KEY_D "\n" KEY_D " = 1\n"
                                         "[" KEY_D "]\n";
    struct reading reading;
    read_text(&reading, text, strlen(text), NULL);
    assert_int_equal(reading.errors.count, 4);
    for (size_t i = 0; i < reading.errors.count; i++) {
        assert_null(strstr(reading.errors.items[i].detail, "BAQE"));
        assert_null(strstr(reading.errors.items[i].pointer, "BAQE"));
    }
}

static void warns_of_what_it_does_not_do(void **state)
{
    (void)state;
    static const char text[] = INTERFACE "DNS = 10.9.0.1, example.org\n"
                                         "Table = off\n"
                                         "PreUp = iptables -A FORWARD -j ACCEPT # = ] [\n"
                                         "PostUp = x\n"
                                         "PostUp = y\n"
                                         "PreDown = x\n"
                                         "PostDown = x\n"
                                         "SaveConfig = true\n"
                                         "FwMark = 0x10\n" PEER;
    struct reading reading;
    read_text(&reading, text, strlen(text), NULL);
    assert_int_equal(reading.rc, 0);
    assert_int_equal(reading.errors.count, 0);
    assert_int_equal(reading.warnings.count, 9);
    for (size_t i = 0; i < reading.warnings.count; i++) {
        assert_string_equal(reading.warnings.items[i].code, "ignored");
        assert_int_equal(reading.warnings.items[i].line, 4 + i);
    }
    assert_string_equal(reading.warnings.items[0].detail,
                        "DNS is ignored: names are not resolved through the tunnel");
    spec_tunnel_fini(&reading.tunnel);
}

/* --- Limits ----------------------------------------------------------------------------------- */

/* Reads head and then unit, as often as a file may hold it. */
static void read_repeated(struct reading *reading, const char *head, const char *unit)
{
    char *text = malloc(WGQUICK_TEXT_MAX + 1);
    assert_non_null(text);
    size_t len = strlen(head);
    memcpy(text, head, len);
    while (len + strlen(unit) <= WGQUICK_TEXT_MAX) {
        memcpy(text + len, unit, strlen(unit));
        len += strlen(unit);
    }
    read_text(reading, text, len, NULL);
    free(text);
}

static void is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        const char *unit;
        const char *code; /* of some error; NULL = accepted */
    } rows[] = {
        {INTERFACE, "#\n", NULL},
        {INTERFACE, "PostUp = x\n", NULL},
        {INTERFACE, "[Peer]\n", "too_many"},
        {INTERFACE, "Address = 10.9.0.3\n", "too_many"},
        {INTERFACE PEER "AllowedIPs = ::/0", ",::/0", "too_many"},
        {INTERFACE PEER, "AllowedIPs=1.1.1.1\n", NULL},
        {INTERFACE "MTU = ", "1", "too_long"},
        {INTERFACE, "x", "invalid_line"},
        {INTERFACE, "[", "unknown_section"},
        {INTERFACE, "[Interface]\n", "misplaced"},
        {INTERFACE "Address = ", ",", "invalid_line"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reading reading;
        read_repeated(&reading, rows[i].head, rows[i].unit);
        assert_int_equal(reading.rc, rows[i].code == NULL ? 0 : -EINVAL);
        bool found = rows[i].code == NULL;
        for (size_t n = 0; n < reading.errors.count; n++)
            found |=
                rows[i].code != NULL && strcmp(reading.errors.items[n].code, rows[i].code) == 0;
        assert_true(found);
        spec_tunnel_fini(&reading.tunnel);
    }
    char *text = calloc(1, WGQUICK_TEXT_MAX + 1);
    struct reading reading;
    read_text(&reading, text, WGQUICK_TEXT_MAX + 1, NULL);
    assert_int_equal(reading.rc, -EINVAL);
    assert_string_equal(reading.errors.items[0].code, "too_long");
    free(text);
}

/* --- Printing --------------------------------------------------------------------------------- */

static void prints_without_secrets(void **state)
{
    (void)state;
    struct reading reading;
    read_text(&reading, complete, sizeof(complete) - 1, NULL);
    char *text = wgquick_print(&reading.tunnel);
    assert_string_equal(text, "[Interface]\n"
                              "PrivateKey = (hidden)\n"
                              "Address = 10.9.0.2/24, fd00::2/64, 10.8.0.2/32\n"
                              "ListenPort = 51820\n"
                              "MTU = 1380\n"
                              "\n"
                              "[Peer]\n"
                              "# Name = anna-s-phone\n"
                              "PublicKey = " KEY_B "\n"
                              "PresharedKey = (hidden)\n"
                              "AllowedIPs = 192.168.4.0/24, 2001:db8::1/128, 10.1.2.3/32\n"
                              "Endpoint = [2001:db8::7]:51820\n"
                              "PersistentKeepalive = 25\n"
                              "\n"
                              "[Peer]\n"
                              "# Name = office\n"
                              "PublicKey = " KEY_C "\n"
                              "Endpoint = vpn.example.org:443\n"
                              "\n"
                              "[Peer]\n"
                              "# Name = peer-3\n"
                              "PublicKey = " KEY_D "\n");
    free(text);
    spec_tunnel_fini(&reading.tunnel);
}

/* What was printed can be read again over the tunnel that it is of: its secrets stay. */
static void assert_comes_back(const struct spec_tunnel *tunnel)
{
    struct reading again;
    char *text = wgquick_print(tunnel);
    assert_non_null(text);
    read_text(&again, text, strlen(text), tunnel);
    free(text);
    assert_int_equal(again.rc, 0);
    assert_int_equal(again.warnings.count, 0);
    assert_int_equal(spec_tunnel_diff(tunnel, &again.tunnel), 0);
    spec_tunnel_fini(&again.tunnel);
}

static void what_is_printed_comes_back(void **state)
{
    (void)state;
    struct reading reading;
    read_text(&reading, complete, sizeof(complete) - 1, NULL);
    assert_comes_back(&reading.tunnel);
    spec_tunnel_fini(&reading.tunnel);
}

static void a_hidden_secret_is_that_of_the_same_peer(void **state)
{
    (void)state;
    static const char moved[] =
        INTERFACE "[Peer]\nPublicKey = " KEY_D "\nPresharedKey = (hidden)\n";
    static const char removed[] = "[Interface]\nPrivateKey=(hidden)\nAddress = 10.9.0.2\n" PEER;
    struct reading present;
    struct reading reading;
    read_text(&present, complete, sizeof(complete) - 1, NULL);
    read_text(&reading, moved, strlen(moved), &present.tunnel);
    assert_int_equal(reading.rc, -EINVAL);
    assert_int_equal(reading.errors.items[0].line, 6);

    read_text(&reading, removed, strlen(removed), &present.tunnel);
    assert_int_equal(reading.rc, 0);
    assert_memory_equal(reading.tunnel.private_key, present.tunnel.private_key, SPEC_KEY_LEN);
    assert_false(reading.tunnel.peers[0].has_preshared_key);
    spec_tunnel_fini(&reading.tunnel);
    spec_tunnel_fini(&present.tunnel);
}

/* --- Anything at all -------------------------------------------------------------------------- */

#define ROUNDS 20000

static uint64_t random_state = 0x9e3779b97f4a7c15; /* the same files in every run */

static size_t draw(size_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % below);
}

/* Changes some of the text, which has room for twice its length. */
static size_t mutate(char *text, size_t len)
{
    static const char *const pieces[] = {
        "\n", "=", "#",   ",", "[Peer]\n", "[Interface]\n", "MTU = ", "\r\n", "\0", "\xff",
        "/",  ":", "off", "]", "10",       "(hidden)"};
    size_t room = 2 * len;
    for (size_t changes = 1 + draw(4); changes > 0 && len > 1; changes--) {
        size_t at = draw(len);
        size_t run = draw(len - at) % 40;
        const char *piece = pieces[draw(sizeof(pieces) / sizeof(pieces[0]))];
        size_t piece_len = piece[0] == '\0' ? 1 : strlen(piece);
        switch (draw(4)) {
        case 0:
            text[at] = (char)draw(256);
            break;
        case 1: /* cut a run out */
            memmove(text + at, text + at + run, len - at - run);
            len -= run;
            break;
        case 2: /* put a piece in */
            if (len + piece_len > room)
                break;
            memmove(text + at + piece_len, text + at, len - at);
            memcpy(text + at, piece, piece_len);
            len += piece_len;
            break;
        default: /* repeat a run */
            if (len + run > room)
                break;
            memmove(text + at + run, text + at, len - at);
            len += run;
            break;
        }
    }
    return len;
}

static void takes_anything(void **state)
{
    (void)state;
    static const struct spec_tunnel none;
    size_t accepted = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* Exactly as long as it is, so that reading past it is noticed. */
        char scratch[2 * sizeof(complete)];
        memcpy(scratch, complete, sizeof(complete));
        size_t len = mutate(scratch, sizeof(complete) - 1);
        char *text = malloc(len);
        assert_non_null(text);
        memcpy(text, scratch, len);
        size_t lines = 1;
        for (size_t i = 0; i < len; i++)
            lines += text[i] == '\n';

        struct reading reading;
        read_text(&reading, text, len, NULL);
        if (reading.rc == 0) {
            accepted++;
            assert_comes_back(&reading.tunnel);
        } else {
            assert_int_equal(reading.rc, -EINVAL);
            assert_true(reading.errors.count > 0);
            assert_memory_equal(&reading.tunnel, &none, sizeof(none));
        }
        for (size_t i = 0; i < reading.errors.count; i++)
            assert_in_range(reading.errors.items[i].line, 1, lines);
        spec_tunnel_fini(&reading.tunnel);
        free(text);
    }
    assert_in_range(accepted, ROUNDS / 100, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_everything),
        cmocka_unit_test(names_the_line_of_an_error),
        cmocka_unit_test(reports_everything_in_the_order_of_lines),
        cmocka_unit_test(repeats_nothing_of_the_file),
        cmocka_unit_test(warns_of_what_it_does_not_do),
        cmocka_unit_test(is_bounded),
        cmocka_unit_test(prints_without_secrets),
        cmocka_unit_test(what_is_printed_comes_back),
        cmocka_unit_test(a_hidden_secret_is_that_of_the_same_peer),
        cmocka_unit_test(takes_anything),
    };
    return sodium_init() < 0 || cmocka_run_group_tests(tests, NULL, NULL);
}
