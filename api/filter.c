/*
 * filter: texts are made one by one as readers see them, and searched.
 */
#include "api/filter.h"

#include <string.h>

static bool is_in(const struct query *query, const char *text)
{
    return strcasestr(text, query->text) != NULL;
}

static bool is_in_key(const struct query *query, const uint8_t key[SPEC_KEY_LEN])
{
    char text[SPEC_KEY_TEXT];
    return is_in(query, spec_key_print(key, text));
}

static bool is_in_socket(const struct query *query, const struct inet_addr *address, uint16_t port)
{
    char text[INET_SOCKADDR_TEXT];
    union inet_sockaddr sa;
    inet_sockaddr_make(&sa, address, port);
    return is_in(query, inet_sockaddr_print(&sa, text));
}

static bool is_in_peer(const struct query *query, const struct spec_peer *peer)
{
    char endpoint[INET_HOST_PORT_TEXT];
    return is_in(query, peer->name) || is_in_key(query, peer->public_key) ||
           (peer->endpoint_host[0] != '\0' &&
            is_in(query, inet_host_port_print(peer->endpoint_host, peer->endpoint_port, endpoint)));
}

static bool is_in_tunnel(const struct query *query, const struct service_tunnel *tunnel)
{
    const struct spec_tunnel *spec = &tunnel->spec;
    if (is_in(query, spec->name) || is_in_key(query, tunnel->public_key))
        return true;
    for (size_t i = 0; i < spec->addresses_count; i++) {
        char text[INET_PREFIX_TEXT];
        if (is_in(query, inet_prefix_print(&spec->addresses[i], text)))
            return true;
    }
    for (size_t i = 0; i < spec->peers_count; i++) {
        if (is_in_peer(query, &spec->peers[i]))
            return true;
    }
    return false;
}

static bool is_in_forward(const struct query *query, const struct service_forward *forward)
{
    const struct spec_forward *spec = &forward->spec;
    uint16_t port = forward->listener >= 0 ? forward->bound_port : spec->listen_port;
    return is_in(query, spec->name) || is_in(query, spec->tunnel) ||
           is_in_socket(query, &spec->listen_address, port) ||
           is_in_socket(query, &spec->target_address, spec->target_port);
}

static bool wants_readiness(const struct query *query, bool ready)
{
    return (query->present & QUERY_READY) == 0 || query->ready == ready;
}

bool api_filter_tunnel(const struct query *query, const struct service_tunnel *tunnel)
{
    return wants_readiness(query, service_tunnel_is_ready(tunnel)) &&
           (query->text[0] == '\0' || is_in_tunnel(query, tunnel));
}

bool api_filter_forward(const struct query *query, const struct service_forward *forward)
{
    return wants_readiness(query, service_forward_is_ready(forward)) &&
           (query->tunnel[0] == '\0' || strcmp(forward->spec.tunnel, query->tunnel) == 0) &&
           (query->text[0] == '\0' || is_in_forward(query, forward));
}
