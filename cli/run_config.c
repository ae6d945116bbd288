/*
 * run_config: each option has one reader; all readers run, so that all errors are told. What they
 * fill is checked once more as a whole by the validator that the API uses.
 */
#include "cli/run_config.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void error_add(struct run_errors *errors, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void error_add(struct run_errors *errors, const char *format, ...)
{
    if (errors->count == RUN_ERRORS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(errors->texts[errors->count++], sizeof(errors->texts[0]), format, arguments);
    va_end(arguments);
}

/* --- Forwards --------------------------------------------------------------------------------- */

/* The parts of "a:[b:b]:c", brackets taken off. Returns how many, or -1 if there are too many. */
static int split(char *text, char *parts[], int max)
{
    int count = 0;
    while (count < max) {
        char *end;
        if (*text == '[') {
            end = strchr(++text, ']');
            if (!end)
                return -1;
            *end++ = '\0';
            if (*end != ':' && *end != '\0')
                return -1;
        } else {
            end = text + strcspn(text, ":");
        }
        parts[count++] = text;
        if (*end == '\0')
            return count;
        *end = '\0';
        text = end + 1;
    }
    return -1;
}

/* An address, or the one of a name: of the preferred family if it has one of that. 0 or -1. */
static int look_up(const char *host, sa_family_t preferred, struct inet_addr *out)
{
    if (inet_addr_parse(host, out) == 0)
        return 0;
    if (strcasecmp(host, "localhost") == 0) /* whatever the hosts file says, RFC 6761, 6.3 */
        return inet_addr_parse(preferred == AF_INET6 ? "::1" : "127.0.0.1", out);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return -1;
    const struct addrinfo *best = list;
    while (best && best->ai_family != preferred)
        best = best->ai_next;
    if (!best)
        best = list;
    union inet_sockaddr address;
    uint16_t port;
    int result = -1;
    if (best && best->ai_addrlen <= sizeof(address)) {
        memcpy(&address, best->ai_addr, best->ai_addrlen);
        inet_sockaddr_split(&address, out, &port);
        result = 0;
    }
    freeaddrinfo(list);
    return result;
}

/* "TCP", "UDP" or both; the predecessor's default is TCP. 0, or -1 with what is wrong in *why. */
static int check_protocols(char *text, const char **why)
{
    char *rest = NULL;
    *why = "the protocol is TCP or UDP";
    if (*text == '\0')
        return -1;
    for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        if (strcasecmp(name, "udp") == 0) {
            *why = "UDP is not yet available";
            return -1;
        }
        if (strcasecmp(name, "tcp") != 0)
            return -1;
    }
    return 0;
}

static bool looks_like_port(const char *text)
{
    uint16_t port;
    return inet_port_parse(text, &port) == 0;
}

int run_forward_parse(const char *text, sa_family_t inner_family, struct spec_forward *out,
                      struct run_errors *errors)
{
    enum { PARTS_MAX = 5 };
    char copy[1024];
    char *parts[PARTS_MAX];
    const char *why = "expected [ADDR:]PORT:HOST:PORT[:PROTOCOL]";
    *out = (struct spec_forward){
        .direction = SPEC_LOCAL,
        .protocol = SPEC_TCP,
        .enabled = true,
        .connect_timeout_seconds = SPEC_CONNECT_TIMEOUT_DEFAULT,
    };
    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        goto malformed;
    int count = split(copy, parts, PARTS_MAX);
    if (count < 3)
        goto malformed;
    /* With four parts the first is an address unless the last is a protocol: a:1:b:2 or 1:b:2:tcp.
     */
    bool has_protocol = count == 5 || (count == 4 && !looks_like_port(parts[3]));
    if (has_protocol && check_protocols(parts[--count], &why) < 0)
        goto malformed;
    const char *source = count == 4 ? parts[0] : "127.0.0.1";
    char **rest = count == 4 ? parts + 1 : parts;
    if (inet_port_parse(rest[0], &out->listen_port) < 0 ||
        inet_port_parse(rest[2], &out->target_port) < 0 || out->target_port == 0) {
        why = "a port is a number from 1 to 65535 (the first may be 0: any free one)";
        goto malformed;
    }
    /* Everybody expects "localhost" to be 127.0.0.1, whichever the system names first. */
    if (look_up(source, AF_INET, &out->listen_address) < 0) {
        why = "the address to listen on is unknown";
        goto malformed;
    }
    if (look_up(rest[1], inner_family, &out->target_address) < 0) {
        why = "the destination's address is unknown";
        goto malformed;
    }
    return 0;
malformed:
    error_add(errors, "forward \"%s\": %s", text, why);
    return -1;
}

/* The predecessor's old form: exactly two arguments, each host:port. */
static bool is_pair(const struct option_values *values)
{
    char host[INET_HOST_TEXT];
    uint16_t port;
    return values->count == 2 && inet_host_port_parse(values->items[0], host, &port) == 0 &&
           inet_host_port_parse(values->items[1], host, &port) == 0;
}

static int add_forward(struct run_config *config, const char *text, struct run_errors *errors)
{
    struct spec_forward *forward = &config->forwards[config->forwards_count];
    sa_family_t inner_family = config->tunnel.addresses[0].addr.family;
    if (run_forward_parse(text, inner_family, forward, errors) < 0)
        return -1;
    config->forwards_count++;
    snprintf(forward->name, sizeof(forward->name), "forward-%zu", config->forwards_count);
    snprintf(forward->tunnel, sizeof(forward->tunnel), "%s", RUN_TUNNEL_NAME);
    return 0;
}

static void read_forwards(const struct options *options, struct run_config *config,
                          struct run_errors *errors)
{
    const struct option_values *values = &options->values[OPTION_FORWARD];
    if (values->count == 0) {
        error_add(errors, "no forward: give at least one PORT:HOST:PORT");
        return;
    }
    config->forwards = calloc(values->count, sizeof(*config->forwards));
    if (!config->forwards) {
        error_add(errors, "out of memory");
        return;
    }
    if (is_pair(values)) {
        char text[1024];
        snprintf(text, sizeof(text), "%s:%s", values->items[0], values->items[1]);
        add_forward(config, text, errors);
        return;
    }
    for (size_t i = 0; i < values->count; i++)
        add_forward(config, values->items[i], errors);
}

/* --- The tunnel ------------------------------------------------------------------------------- */

static const char *required(const struct options *options, enum option_id id,
                            struct run_errors *errors)
{
    const char *value = options_get(options, id);
    if (!value)
        error_add(errors, "%s is missing", options_name(id));
    return value;
}

static void read_key(const struct options *options, enum option_id id, uint8_t out[SPEC_KEY_LEN],
                     struct run_errors *errors)
{
    const char *value = options_get(options, id);
    if (value && spec_key_parse(value, out) < 0)
        error_add(errors, "%s: not a key (32 bytes in base64: 44 characters)", options_name(id));
}

static void read_private_key(const struct options *options, struct run_config *config,
                             struct run_errors *errors)
{
    const char *file = options_get(options, OPTION_PRIVATE_KEY_FILE);
    const char *key = options_get(options, OPTION_PRIVATE_KEY);
    if (file && key) {
        error_add(errors, "--private-key and --private-key-file exclude each other");
    } else if (key) {
        read_key(options, OPTION_PRIVATE_KEY, config->tunnel.private_key, errors);
    } else if (file) {
        int error = spec_key_read_file(file, config->tunnel.private_key, &config->key_file_shared);
        if (error == -EINVAL)
            error_add(errors, "--private-key-file: %s does not hold a key (32 bytes in base64)",
                      file);
        else if (error)
            error_add(errors, "--private-key-file: %s: %s", file, strerror(-error));
    } else {
        error_add(errors, "--private-key-file (or --private-key) is missing");
    }
}

static void read_endpoint(const struct options *options, struct run_config *config,
                          struct run_errors *errors)
{
    struct spec_peer *peer = &config->tunnel.peers[0];
    const char *value = required(options, OPTION_ENDPOINT_ADDR, errors);
    if (value && (inet_host_port_parse(value, peer->endpoint_host, &peer->endpoint_port) < 0 ||
                  peer->endpoint_port == 0))
        error_add(errors, "--endpoint-addr: \"%s\" is not HOST:PORT", value);
}

/* Call it after read_endpoint(): one socket cannot have an address of another family than the peer.
 */
static void read_bind_address(const struct options *options, struct run_config *config,
                              struct run_errors *errors)
{
    struct spec_tunnel *tunnel = &config->tunnel;
    struct inet_addr endpoint;
    char host[INET_HOST_TEXT];
    const char *value = options_get(options, OPTION_ENDPOINT_BIND_ADDR);
    if (!value)
        return;
    if (inet_host_port_parse(value, host, &tunnel->listen_port) < 0 ||
        inet_addr_parse(host, &tunnel->listen_address) < 0)
        error_add(errors, "--endpoint-bind-addr: \"%s\" is not ADDR:PORT", value);
    else if (inet_addr_parse(tunnel->peers[0].endpoint_host, &endpoint) == 0 &&
             endpoint.family != tunnel->listen_address.family)
        error_add(errors,
                  "--endpoint-bind-addr: \"%s\" and --endpoint-addr are not both IPv4 or both "
                  "IPv6",
                  value);
}

static void read_source(const struct options *options, struct run_config *config,
                        struct run_errors *errors)
{
    struct inet_prefix *address = &config->tunnel.addresses[0];
    const char *value = required(options, OPTION_SOURCE_PEER_IP, errors);
    if (value && inet_addr_parse(value, &address->addr) < 0)
        error_add(errors, "--source-peer-ip: \"%s\" is not an IP address", value);
    address->bits = address->addr.family == AF_INET6 ? 128 : 32;
    config->tunnel.addresses_count = 1;
}

static void read_number(const struct options *options, enum option_id id, unsigned long min,
                        unsigned long max, uint16_t *out, struct run_errors *errors)
{
    const char *value = options_get(options, id);
    if (!value)
        return;
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || number < min || number > max)
        error_add(errors, "%s: \"%s\" is not a number from %lu to %lu", options_name(id), value,
                  min, max);
    else
        *out = (uint16_t)number;
}

static void read_congestion(const struct options *options, enum spec_congestion *out,
                            struct run_errors *errors)
{
    const char *value = options_get(options, OPTION_CONGESTION_CONTROL);
    if (!value || strcmp(value, spec_congestion_name(SPEC_CUBIC)) == 0)
        return;
    if (strcmp(value, spec_congestion_name(SPEC_BBR)) == 0)
        *out = SPEC_BBR;
    else
        error_add(errors, "%s: \"%s\" is neither cubic nor bbr",
                  options_name(OPTION_CONGESTION_CONTROL), value);
}

/* As with the predecessor, everything may come from the one peer. */
static int allow_everything(struct spec_peer *peer)
{
    peer->allowed_ips = calloc(2, sizeof(*peer->allowed_ips));
    if (!peer->allowed_ips)
        return -ENOMEM;
    peer->allowed_ips[0].addr.family = AF_INET;
    peer->allowed_ips[1].addr.family = AF_INET6;
    peer->allowed_ips_count = 2;
    return 0;
}

static void refuse_unavailable(const struct options *options, struct run_errors *errors)
{
    if (options_get(options, OPTION_REMOTE))
        error_add(errors, "%s is not yet available", options_name(OPTION_REMOTE));
}

/* What only shows when all is put together, by the same rules as in the API. */
static void check_whole(const struct options *options, const struct run_config *config,
                        struct run_errors *errors)
{
    struct spec_errors found = {0};
    spec_tunnel_check(&config->tunnel, &found);
    for (size_t i = 0; i < found.count; i++)
        error_add(errors, "%s", found.items[i].detail);
    for (size_t i = 0; i < config->forwards_count; i++) {
        const struct spec_forward *forward = &config->forwards[i];
        if (forward->target_address.family != config->tunnel.addresses[0].addr.family)
            error_add(errors,
                      "forward \"%s\": its destination and --source-peer-ip are not both IPv4 or "
                      "both IPv6",
                      options->values[OPTION_FORWARD].items[i]);
    }
}

int run_config_read(const struct options *options, struct run_config *config,
                    struct run_errors *errors)
{
    *config = (struct run_config){.tunnel = {.name = RUN_TUNNEL_NAME, .mtu = SPEC_MTU_DEFAULT}};
    errors->count = 0;
    config->tunnel.peers = calloc(1, sizeof(*config->tunnel.peers));
    if (!config->tunnel.peers || allow_everything(config->tunnel.peers) < 0) {
        free(config->tunnel.peers);
        config->tunnel.peers = NULL;
        error_add(errors, "out of memory");
        return -1;
    }
    config->tunnel.peers_count = 1;
    struct spec_peer *peer = &config->tunnel.peers[0];
    snprintf(peer->name, sizeof(peer->name), "endpoint");

    read_private_key(options, config, errors);
    if (required(options, OPTION_ENDPOINT_PUBLIC_KEY, errors))
        read_key(options, OPTION_ENDPOINT_PUBLIC_KEY, peer->public_key, errors);
    read_key(options, OPTION_PRESHARED_KEY, peer->preshared_key, errors);
    peer->has_preshared_key = options_get(options, OPTION_PRESHARED_KEY) != NULL;
    read_endpoint(options, config, errors);
    read_bind_address(options, config, errors);
    read_source(options, config, errors);
    read_number(options, OPTION_KEEP_ALIVE, 0, UINT16_MAX, &peer->keepalive_seconds, errors);
    read_number(options, OPTION_MTU, SPEC_MTU_MIN, SPEC_MTU_MAX, &config->tunnel.mtu, errors);
    read_congestion(options, &config->tunnel.congestion_control, errors);
    read_forwards(options, config, errors);
    refuse_unavailable(options, errors);
    if (errors->count == 0)
        check_whole(options, config, errors);
    return errors->count == 0 ? 0 : -1;
}

void run_config_fini(struct run_config *config)
{
    spec_tunnel_fini(&config->tunnel);
    free(config->forwards);
    config->forwards = NULL;
    config->forwards_count = 0;
}
