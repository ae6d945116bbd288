/* inet: what is an address, a prefix, a port and a host, and what is not. */
#include "tests/support/cmocka_all.h"
#include "tests/support/prefix.h"

#include "base/inet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Interfaces of the test's own, instead of the C library's function. */
enum { LOOPBACK = 1, ODD };

char *if_indextoname(unsigned index, char name[IF_NAMESIZE])
{
    if (index != LOOPBACK && index != ODD)
        return NULL;
    return strcpy(name, index == ODD ? "a\xff\x1b[m" : "lo");
}

static void addresses_are_parsed_and_printed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *canonical; /* NULL: not an address */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1"},
        {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"},
        {"::", "::"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"", NULL},
        {"10.1", NULL},
        {"0x7f.0.0.1", NULL},
        {"010.0.0.1", NULL},
        {"1.2.3.4.5", NULL},
        {"256.0.0.1", NULL},
        {" 1.2.3.4", NULL},
        {"1.2.3.4 ", NULL},
        {"2001:db8::1%eth0", NULL},
        {"[::1]", NULL},
        {"1::2::3", NULL},
        {":::", NULL},
        {"12345::", NULL},
        {"localhost", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct inet_addr addr;
        char buf[INET_ADDR_TEXT];
        int error = inet_addr_parse(cases[i].text, &addr);
        assert_int_equal(error, cases[i].canonical ? 0 : -EINVAL);
        if (cases[i].canonical)
            assert_string_equal(inet_addr_print(&addr, buf), cases[i].canonical);
    }
}

static void kinds_of_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback, multicast, broadcast, unspecified;
    } cases[] = {
        {"127.0.0.1", true, false, false, false},
        {"127.255.0.1", true, false, false, false},
        {"::1", true, false, false, false},
        {"::ffff:127.0.0.1", true, false, false, false},
        {"224.0.0.1", false, true, false, false},
        {"239.255.255.255", false, true, false, false},
        {"255.255.255.255", false, false, true, false},
        {"::ffff:255.255.255.255", false, false, true, false},
        {"255.255.255.254", false, false, false, false},
        {"240.0.0.1", false, false, false, false},
        {"ff02::1", false, true, false, false},
        {"::ffff:224.0.0.1", false, true, false, false},
        {"0.0.0.0", false, false, false, true},
        {"::", false, false, false, true},
        {"192.0.2.1", false, false, false, false},
        {"2001:db8::1", false, false, false, false},
        {"::2", false, false, false, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct inet_addr addr;
        assert_int_equal(inet_addr_parse(cases[i].text, &addr), 0);
        assert_int_equal(inet_addr_is_loopback(&addr), cases[i].loopback);
        assert_int_equal(inet_addr_is_multicast(&addr), cases[i].multicast);
        assert_int_equal(inet_addr_is_broadcast(&addr), cases[i].broadcast);
        assert_int_equal(inet_addr_is_unspecified(&addr), cases[i].unspecified);
    }
}

static void prefixes_are_parsed_masked_and_printed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *printed; /* NULL: not a prefix */
        const char *masked;
    } cases[] = {
        {"192.0.2.7/24", "192.0.2.7/24", "192.0.2.0/24"},
        {"192.0.2.7", "192.0.2.7/32", "192.0.2.7/32"},
        {"255.255.255.255/0", "255.255.255.255/0", "0.0.0.0/0"},
        {"255.255.255.255/1", "255.255.255.255/1", "128.0.0.0/1"},
        {"255.255.255.255/31", "255.255.255.255/31", "255.255.255.254/31"},
        {"2001:db8::1", "2001:db8::1/128", "2001:db8::1/128"},
        {"2001:db8:ffff::1/33", "2001:db8:ffff::1/33", "2001:db8:8000::/33"},
        {"::/0", "::/0", "::/0"},
        {"192.0.2.0/33", NULL, NULL},
        {"::/129", NULL, NULL},
        {"192.0.2.0/", NULL, NULL},
        {"192.0.2.0/08", NULL, NULL},
        {"192.0.2.0/-1", NULL, NULL},
        {"192.0.2.0/+1", NULL, NULL},
        {"192.0.2.0/2 ", NULL, NULL},
        {"192.0.2.0/24/24", NULL, NULL},
        {"/24", NULL, NULL},
        {"192.0.2.0/4294967297", NULL, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct inet_prefix prefix;
        char buf[INET_PREFIX_TEXT];
        assert_int_equal(inet_prefix_parse(cases[i].text, &prefix), cases[i].printed ? 0 : -EINVAL);
        if (!cases[i].printed)
            continue;
        assert_string_equal(inet_prefix_print(&prefix, buf), cases[i].printed);
        inet_prefix_mask(&prefix);
        assert_string_equal(inet_prefix_print(&prefix, buf), cases[i].masked);
    }
}

static void prefixes_contain_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        const char *addr;
        bool contains;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.1.2.3/8", "10.9.9.9", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "1.2.3.4", false},
        {"10.0.0.1/32", "10.0.0.1", true},
        {"10.0.0.1/32", "10.0.0.0", false},
        {"10.0.0.0/31", "10.0.0.1", true},
        {"10.0.0.0/31", "10.0.0.2", false},
        {"fd00::/7", "fc00::1", true},
        {"2001:db8::/127", "2001:db8::2", false},
        {"2001:db8::/64", "2001:db8::f", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct inet_prefix prefix;
        struct inet_addr addr;
        assert_int_equal(inet_prefix_parse(cases[i].prefix, &prefix), 0);
        assert_int_equal(inet_addr_parse(cases[i].addr, &addr), 0);
        assert_int_equal(prefix_contains(&prefix, &addr), cases[i].contains);
    }
}

static void ports_are_decimal(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int port; /* -1: not a port */
    } cases[] = {{"0", 0},   {"1", 1},   {"65535", 65535}, {"65536", -1},
                 {"", -1},   {"01", -1}, {"-1", -1},       {"+1", -1},
                 {" 1", -1}, {"1 ", -1}, {"0x10", -1},     {"99999999999999999999", -1},
                 {"80a", -1}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint16_t port = 7;
        assert_int_equal(inet_port_parse(cases[i].text, &port), cases[i].port < 0 ? -EINVAL : 0);
        assert_int_equal(port, cases[i].port < 0 ? 7 : cases[i].port);
    }
}

#define LABEL63 "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0"

static void hosts_are_names_or_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"example.org", true},
        {"EXAMPLE.org.", true},
        {"a", true},
        {"_sip._udp.example", true},
        {"1and1.com", true},
        {"3com", true},
        {"192.0.2.1", true},
        {"2001:db8::1", true},
        {"fe80::1%eth0", true},
        {"febf::1%wlp0s20f3.7-a_b", true}, /* 15 characters: the longest */
        {"fe80::1%wlp0s20f3.7-a_bc", false},
        {"fe80::1%", false},
        {"fe80::1%eth0%eth0", false},
        {"fe80::1%eth/0", false},
        {"fe80::1%eth 0", false},
        {"fec0::1%eth0", false}, /* of wider scope */
        {"2001:db8::1%eth0", false},
        {"ff02::1%eth0", false},
        {"192.0.2.1%eth0", false},
        {"example.org%eth0", false},
        {"%eth0", false},
        {"", false},
        {".", false},
        {"a..b", false},
        {".a", false},
        {"-a.org", false},
        {"a-.org", false},
        {"a b", false},
        {"exa$mple", false},
        {"10.1", false},
        {"2130706433", false},
        {"0x7f000001", false},
        {"0x7f.1", false},
        {"1.2.3.4.5", false},
        {"256.0.0.1", false},
        {"[::1]", false},
        {LABEL63 ".org", true},
        {LABEL63 "a.org", false},
        {LABEL63 "." LABEL63 "." LABEL63 "." LABEL63, false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(inet_host_valid(cases[i].text), cases[i].valid);
}

static void host_and_port_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: invalid */
        uint16_t port;
    } cases[] = {
        {"example.org:51820", "example.org", 51820},
        {"192.0.2.1:0", "192.0.2.1", 0},
        {"[2001:db8::1]:1", "2001:db8::1", 1},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"fe80::1%eth0:1", NULL, 0},
        {"2001:db8::1:1", NULL, 0},
        {"[192.0.2.1]:1", NULL, 0},
        {"[example.org]:1", NULL, 0},
        {"[2001:db8::1]", NULL, 0},
        {"[2001:db8::1]1", NULL, 0},
        {"[]:1", NULL, 0},
        {"[:1", NULL, 0},
        {":1", NULL, 0},
        {"example.org", NULL, 0},
        {"example.org:", NULL, 0},
        {"example.org:65536", NULL, 0},
        {"example.org:1:2", NULL, 0},
        {"", NULL, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char host[INET_HOST_TEXT];
        uint16_t port;
        int error = inet_host_port_parse(cases[i].text, host, &port);
        assert_int_equal(error, cases[i].host ? 0 : -EINVAL);
        if (!cases[i].host)
            continue;
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
    }
}

static void socket_addresses_go_both_ways(void **state)
{
    (void)state;
    static const struct {
        const char *addr;
        const char *printed;
        socklen_t len;
    } cases[] = {
        {"192.0.2.1", "192.0.2.1:443", sizeof(struct sockaddr_in)},
        {"2001:db8::1", "[2001:db8::1]:443", sizeof(struct sockaddr_in6)},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct inet_addr addr;
        struct inet_addr back;
        union inet_sockaddr sa;
        union inet_sockaddr other;
        char buf[INET_SOCKADDR_TEXT];
        uint16_t port;
        assert_int_equal(inet_addr_parse(cases[i].addr, &addr), 0);
        inet_sockaddr_make(&sa, &addr, 443);
        assert_int_equal(inet_sockaddr_len(&sa), cases[i].len);
        assert_string_equal(inet_sockaddr_print(&sa, buf), cases[i].printed);
        inet_sockaddr_split(&sa, &back, &port);
        assert_true(inet_addr_equal(&addr, &back));
        assert_int_equal(port, 443);
        inet_sockaddr_make(&other, &addr, 443);
        assert_true(inet_sockaddr_equal(&sa, &other));
        inet_sockaddr_make(&other, &addr, 444);
        assert_false(inet_sockaddr_equal(&sa, &other));
    }
}

/* The zone is the name of an interface; where that is gone, its number is printed. */
static void zones_are_interfaces(void **state)
{
    (void)state;
    union inet_sockaddr sa = {.sa.sa_family = AF_INET};
    char buf[INET_SOCKADDR_TEXT];
    assert_int_equal(inet_sockaddr_make_zoned(&sa, "fe80::1", 1), -EINVAL);
    assert_int_equal(inet_sockaddr_make_zoned(&sa, "example.org", 1), -EINVAL);
    assert_int_equal(inet_sockaddr_make_zoned(&sa, "fe80::1%nowhere", 1), -ENODEV);
    assert_int_equal(sa.sa.sa_family, AF_INET);
    assert_int_equal(inet_sockaddr_make_zoned(&sa, "fe80::1%lo", 51820), 0);
    assert_int_equal(sa.in6.sin6_scope_id, LOOPBACK);
    assert_string_equal(inet_sockaddr_print(&sa, buf), "[fe80::1%lo]:51820");
    sa.in6.sin6_scope_id = ODD; /* a name that is no text */
    assert_string_equal(inet_sockaddr_print(&sa, buf), "[fe80::1%2]:51820");
    assert_int_equal(
        inet_sockaddr_make_zoned(&sa, "fe80:1111:1111:1111:1111:1111:1111:1111%lo", UINT16_MAX), 0);
    sa.in6.sin6_scope_id = UINT32_MAX;
    assert_string_equal(inet_sockaddr_print(&sa, buf),
                        "[fe80:1111:1111:1111:1111:1111:1111:1111%4294967295]:65535");
}

static void mapped_addresses_come_out_as_ipv4(void **state)
{
    (void)state;
    struct inet_addr addr;
    union inet_sockaddr sa;
    char buf[INET_SOCKADDR_TEXT];
    uint16_t port;
    assert_int_equal(inet_addr_parse("::ffff:192.0.2.1", &addr), 0);
    inet_sockaddr_make(&sa, &addr, 80);
    inet_sockaddr_split(&sa, &addr, &port);
    assert_int_equal(addr.family, AF_INET);
    assert_string_equal(inet_sockaddr_print(&sa, buf), "192.0.2.1:80");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_parsed_and_printed),
        cmocka_unit_test(kinds_of_addresses),
        cmocka_unit_test(prefixes_are_parsed_masked_and_printed),
        cmocka_unit_test(prefixes_contain_addresses),
        cmocka_unit_test(ports_are_decimal),
        cmocka_unit_test(hosts_are_names_or_addresses),
        cmocka_unit_test(host_and_port_are_split),
        cmocka_unit_test(socket_addresses_go_both_ways),
        cmocka_unit_test(zones_are_interfaces),
        cmocka_unit_test(mapped_addresses_come_out_as_ipv4),
    };
    return cmocka_run_group_tests_name("inet", tests, NULL, NULL);
}
