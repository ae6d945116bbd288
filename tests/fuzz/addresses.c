/*
 * The parsers of addresses, prefixes, ports, "host:port" and keys, all on one text: what they take
 * is printed and parsed again as the same, and the system's own parser knows the address too.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/support/prefix.h"

#include "base/inet.h"
#include "base/spec.h"

#include <arpa/inet.h>
#include <errno.h>

static void check_addr(const char *text)
{
    struct inet_addr addr, again;
    char printed[INET_ADDR_TEXT];
    uint8_t theirs[16] = {0};
    if (inet_addr_parse(text, &addr) != 0) {
        fuzz_check(inet_pton(AF_INET, text, theirs) != 1);
        return;
    }
    fuzz_check(inet_pton(addr.family, text, theirs) == 1);
    fuzz_check(memcmp(addr.bytes, theirs, sizeof(theirs)) == 0);
    fuzz_check(inet_addr_parse(inet_addr_print(&addr, printed), &again) == 0);
    fuzz_check(inet_addr_equal(&addr, &again));
    fuzz_check(inet_host_valid(printed));
}

static void check_prefix(const char *text)
{
    struct inet_prefix prefix, again;
    char printed[INET_PREFIX_TEXT];
    if (inet_prefix_parse(text, &prefix) != 0)
        return;
    fuzz_check(prefix.bits <= 8 * inet_addr_len(prefix.addr.family));
    fuzz_check(prefix_contains(&prefix, &prefix.addr));
    fuzz_check(inet_prefix_parse(inet_prefix_print(&prefix, printed), &again) == 0);
    fuzz_check(prefix.bits == again.bits && inet_addr_equal(&prefix.addr, &again.addr));
    struct inet_addr host = prefix.addr;
    inet_prefix_mask(&prefix);
    fuzz_check(prefix_contains(&prefix, &host));
}

static void check_host_port(const char *text)
{
    char host[INET_HOST_TEXT], host_again[INET_HOST_TEXT];
    char printed[INET_HOST_PORT_TEXT];
    uint16_t port, port_again;
    if (inet_host_port_parse(text, host, &port) != 0)
        return;
    fuzz_check(inet_host_valid(host));
    inet_host_port_print(host, port, printed);
    fuzz_check(inet_host_port_parse(printed, host_again, &port_again) == 0);
    fuzz_check(strcmp(host, host_again) == 0 && port == port_again);
}

static void check_port(const char *text)
{
    uint16_t port;
    char *end;
    if (inet_port_parse(text, &port) == 0)
        fuzz_check(strtoul(text, &end, 10) == port && *end == '\0');
}

static void check_key(const char *text)
{
    uint8_t key[SPEC_KEY_LEN];
    char printed[SPEC_KEY_TEXT];
    if (spec_key_parse(text, key) == 0)
        fuzz_check(strcmp(spec_key_print(key, printed), text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_text(data, size);
    check_addr(text);
    check_prefix(text);
    check_host_port(text);
    check_port(text);
    check_key(text);
    free(text);
    return 0;
}
