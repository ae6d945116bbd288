/*
 * object_json: tunnels, their peers and forwards as readers see them: the definition, without
 * secrets, and the status. Each returns an object that the caller frees, or NULL (out of memory).
 */
#ifndef MANYTUN_API_OBJECT_JSON_H
#define MANYTUN_API_OBJECT_JSON_H

#include "server/service.h"

#include <cjson/cJSON.h>

cJSON *object_json_tunnel(const struct service_tunnel *tunnel);
/* The peer at this place of the tunnel's definition. */
cJSON *object_json_peer(const struct service_tunnel *tunnel, size_t place);
cJSON *object_json_forward(const struct service_forward *forward);
/* Adds what a condition says to people as "message". False when memory ran out. */
bool object_json_add_message(cJSON *object, const struct verdict *verdict);

#endif
