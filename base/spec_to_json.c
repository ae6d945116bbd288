/*
 * spec_to_json: definitions to JSON, with as much of their secrets as the reader is to have.
 */
#include "base/json.h"
#include "base/spec.h"

#include <sodium.h>

static bool add_string(cJSON *object, const char *name, const char *value)
{
    return cJSON_AddStringToObject(object, name, value) != NULL;
}

static bool add_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, value) != NULL;
}

static bool add_address(cJSON *object, const char *name, const struct inet_addr *addr)
{
    char text[INET_ADDR_TEXT];
    return add_string(object, name, inet_addr_print(addr, text));
}

static bool add_key(cJSON *object, const char *name, const uint8_t key[SPEC_KEY_LEN])
{
    char text[SPEC_KEY_TEXT];
    bool ok = add_string(object, name, spec_key_print(key, text));
    sodium_memzero(text, sizeof(text));
    return ok;
}

static bool add_prefixes(cJSON *object, const char *name, const struct inet_prefix *prefixes,
                         size_t count)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    if (array == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        char text[INET_PREFIX_TEXT];
        cJSON *item = cJSON_CreateString(inet_prefix_print(&prefixes[i], text));
        if (!cJSON_AddItemToArray(array, item)) {
            cJSON_Delete(item);
            return false;
        }
    }
    return true;
}

static bool add_endpoint(cJSON *object, const struct spec_peer *peer)
{
    if (peer->endpoint_host[0] == '\0')
        return true;
    char text[INET_HOST_PORT_TEXT];
    inet_host_port_print(peer->endpoint_host, peer->endpoint_port, text);
    return add_string(object, "endpoint", text);
}

static bool add_preshared_key(cJSON *object, const struct spec_peer *peer,
                              enum spec_secrets secrets)
{
    switch (secrets) {
    case SPEC_REDACTED:
        return cJSON_AddBoolToObject(object, "has_preshared_key", peer->has_preshared_key) != NULL;
    case SPEC_COMPLETE:
        return !peer->has_preshared_key || add_key(object, "preshared_key", peer->preshared_key);
    case SPEC_WITHOUT_SECRETS:
        return true;
    }
    return false;
}

static bool fill_peer(cJSON *object, const struct spec_peer *peer, enum spec_secrets secrets)
{
    return add_string(object, "name", peer->name) &&
           add_key(object, "public_key", peer->public_key) &&
           add_preshared_key(object, peer, secrets) && add_endpoint(object, peer) &&
           add_prefixes(object, "allowed_ips", peer->allowed_ips, peer->allowed_ips_count) &&
           add_number(object, "keepalive_seconds", peer->keepalive_seconds);
}

cJSON *spec_peer_to_json(const struct spec_peer *peer, enum spec_secrets secrets)
{
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && !fill_peer(object, peer, secrets)) {
        json_free(object);
        object = NULL;
    }
    return object;
}

static bool add_peers(cJSON *object, const struct spec_tunnel *tunnel, enum spec_secrets secrets)
{
    cJSON *array = cJSON_AddArrayToObject(object, "peers");
    if (array == NULL)
        return false;
    for (size_t i = 0; i < tunnel->peers_count; i++) {
        cJSON *peer = spec_peer_to_json(&tunnel->peers[i], secrets);
        if (!cJSON_AddItemToArray(array, peer)) {
            json_free(peer);
            return false;
        }
    }
    return true;
}

static bool add_private_key(cJSON *object, const struct spec_tunnel *tunnel,
                            enum spec_secrets secrets)
{
    uint8_t public_key[SPEC_KEY_LEN];
    switch (secrets) {
    case SPEC_REDACTED:
        crypto_scalarmult_base(public_key, tunnel->private_key);
        return add_key(object, "public_key", public_key);
    case SPEC_COMPLETE:
        return add_key(object, "private_key", tunnel->private_key);
    case SPEC_WITHOUT_SECRETS:
        return true;
    }
    return false;
}

static bool fill_tunnel(cJSON *object, const struct spec_tunnel *tunnel, enum spec_secrets secrets)
{
    return add_string(object, "name", tunnel->name) && add_private_key(object, tunnel, secrets) &&
           add_prefixes(object, "addresses", tunnel->addresses, tunnel->addresses_count) &&
           add_number(object, "mtu", tunnel->mtu) &&
           add_string(object, "congestion_control",
                      spec_congestion_name(tunnel->congestion_control)) &&
           add_number(object, "listen_port", tunnel->listen_port) &&
           (tunnel->listen_address.family == AF_UNSPEC ||
            add_address(object, "listen_address", &tunnel->listen_address)) &&
           cJSON_AddBoolToObject(object, "required", tunnel->required) != NULL &&
           add_peers(object, tunnel, secrets);
}

cJSON *spec_tunnel_to_json(const struct spec_tunnel *tunnel, enum spec_secrets secrets)
{
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && !fill_tunnel(object, tunnel, secrets)) {
        json_free(object);
        object = NULL;
    }
    return object;
}

static bool fill_forward(cJSON *object, const struct spec_forward *forward)
{
    if (!add_string(object, "name", forward->name) ||
        !add_string(object, "tunnel", forward->tunnel) ||
        !add_string(object, "direction", spec_direction_name(forward->direction)) ||
        !add_string(object, "protocol", spec_protocol_name(forward->protocol)))
        return false;
    cJSON *listen = cJSON_AddObjectToObject(object, "listen");
    cJSON *target = cJSON_AddObjectToObject(object, "target");
    return listen != NULL && target != NULL &&
           add_address(listen, "address", &forward->listen_address) &&
           add_number(listen, "port", forward->listen_port) &&
           add_address(target, "host", &forward->target_address) &&
           add_number(target, "port", forward->target_port) &&
           cJSON_AddBoolToObject(object, "enabled", forward->enabled) != NULL &&
           add_number(object, "connect_timeout_seconds", forward->connect_timeout_seconds) &&
           add_number(object, "idle_timeout_seconds", forward->idle_timeout_seconds);
}

cJSON *spec_forward_to_json(const struct spec_forward *forward)
{
    cJSON *object = cJSON_CreateObject();
    if (object != NULL && !fill_forward(object, forward)) {
        json_free(object);
        object = NULL;
    }
    return object;
}
