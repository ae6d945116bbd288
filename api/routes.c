/*
 * routes: everything that is served, and the role that each of it needs.
 */
#include "api/handlers.h"
#include "api/router.h"

#define PAGE    (QUERY_LIMIT | QUERY_CURSOR)
#define FILTER  (PAGE | QUERY_READY | QUERY_TEXT)
#define CAPTURE (QUERY_SECONDS | QUERY_MAX_BYTES)
#define EVENTS  (QUERY_LIMIT | QUERY_SINCE | QUERY_KIND | QUERY_NAME)

const struct api_route api_routes[] = {
    {"GET", "/v1/tunnels", API_ROLE_READ, FILTER, API_NO_BODY, api_list_tunnels},
    {"POST", "/v1/tunnels", API_ROLE_ADMIN, 0, API_JSON_BODY, api_create_tunnel},
    {"GET", "/v1/tunnels/{name}", API_ROLE_READ, 0, API_NO_BODY, api_get_tunnel},
    {"PUT", "/v1/tunnels/{name}", API_ROLE_ADMIN, 0, API_JSON_BODY, api_put_tunnel},
    {"PATCH", "/v1/tunnels/{name}", API_ROLE_ADMIN, 0, API_JSON_BODY, api_patch_tunnel},
    {"DELETE", "/v1/tunnels/{name}", API_ROLE_ADMIN, QUERY_CASCADE, API_NO_BODY, api_delete_tunnel},
    {"GET", "/v1/tunnels/{name}/peers", API_ROLE_READ, PAGE, API_NO_BODY, api_list_peers},
    {"GET", "/v1/tunnels/{name}/peers/{peer}", API_ROLE_READ, 0, API_NO_BODY, api_get_peer},
    {"PUT", "/v1/tunnels/{name}/peers/{peer}", API_ROLE_ADMIN, 0, API_JSON_BODY, api_put_peer},
    {"DELETE", "/v1/tunnels/{name}/peers/{peer}", API_ROLE_ADMIN, 0, API_NO_BODY, api_delete_peer},
    {"GET", "/v1/tunnels/{name}/config", API_ROLE_READ, 0, API_NO_BODY, api_get_tunnel_config},
    {"PUT", "/v1/tunnels/{name}/config", API_ROLE_ADMIN, QUERY_DRY_RUN, API_TEXT_BODY,
     api_put_tunnel_config},
    {"GET", "/v1/tunnels/{name}/capture", API_ROLE_ADMIN, CAPTURE, API_NO_BODY, api_get_capture},
    {"GET", "/v1/forwards", API_ROLE_READ, FILTER | QUERY_TUNNEL, API_NO_BODY, api_list_forwards},
    {"POST", "/v1/forwards", API_ROLE_ADMIN, 0, API_JSON_BODY, api_create_forward},
    {"GET", "/v1/forwards/{name}", API_ROLE_READ, 0, API_NO_BODY, api_get_forward},
    {"PUT", "/v1/forwards/{name}", API_ROLE_ADMIN, 0, API_JSON_BODY, api_put_forward},
    {"PATCH", "/v1/forwards/{name}", API_ROLE_ADMIN, 0, API_JSON_BODY, api_patch_forward},
    {"DELETE", "/v1/forwards/{name}", API_ROLE_ADMIN, 0, API_NO_BODY, api_delete_forward},
    {"GET", "/v1/tokens", API_ROLE_ADMIN, PAGE, API_NO_BODY, api_list_tokens},
    {"POST", "/v1/tokens", API_ROLE_ADMIN, 0, API_JSON_BODY, api_create_token},
    {"GET", "/v1/tokens/{name}", API_ROLE_ADMIN, 0, API_NO_BODY, api_get_token},
    {"DELETE", "/v1/tokens/{name}", API_ROLE_ADMIN, 0, API_NO_BODY, api_delete_token},
    {"GET", "/v1/events", API_ROLE_READ, EVENTS, API_NO_BODY, api_get_events},
    {"GET", "/v1/config", API_ROLE_READ, 0, API_NO_BODY, api_get_config},
    {"PUT", "/v1/config", API_ROLE_ADMIN, QUERY_DRY_RUN | QUERY_PRUNE, API_CONFIG_BODY,
     api_put_config},
    {"GET", "/v1/status", API_ROLE_READ, 0, API_NO_BODY, api_get_status},
    {"GET", "/v1/info", API_ROLE_READ, 0, API_NO_BODY, api_get_info},
    {"GET", "/metrics", API_ROLE_READ, 0, API_NO_BODY, api_get_metrics},
    {"GET", "/livez", API_ROLE_READ, 0, API_NO_BODY, api_get_livez},
    {"GET", "/readyz", API_ROLE_READ, QUERY_VERBOSE, API_NO_BODY, api_get_readyz},
    {"GET", "/openapi.yaml", API_ROLE_READ, 0, API_NO_BODY, api_get_openapi},
    {"GET", "/", API_ROLE_NOBODY, 0, API_NO_BODY, api_get_page},
    {"GET", "/assets/{file}", API_ROLE_NOBODY, 0, API_NO_BODY, api_get_asset},
    {0},
};

const struct api_route api_health_routes[] = {
    {"GET", "/livez", API_ROLE_NOBODY, 0, API_NO_BODY, api_get_livez},
    {"GET", "/readyz", API_ROLE_NOBODY, QUERY_VERBOSE, API_NO_BODY, api_get_readyz},
    {"GET", "/metrics", API_ROLE_NOBODY, 0, API_NO_BODY, api_get_metrics},
    {0},
};
