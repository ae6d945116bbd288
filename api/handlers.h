/*
 * handlers: what the routes lead to. Each returns 0 with the call's answer filled, or -1 with its
 * problem filled. openapi.yaml describes them.
 */
#ifndef MANYTUN_API_HANDLERS_H
#define MANYTUN_API_HANDLERS_H

#include "api/call.h"

int api_list_tunnels(struct api_call *call);
int api_create_tunnel(struct api_call *call);
int api_get_tunnel(struct api_call *call);
int api_put_tunnel(struct api_call *call);
int api_patch_tunnel(struct api_call *call);
int api_delete_tunnel(struct api_call *call);
int api_list_peers(struct api_call *call);
int api_get_peer(struct api_call *call);
int api_put_peer(struct api_call *call);
int api_delete_peer(struct api_call *call);

int api_get_tunnel_config(struct api_call *call);
int api_put_tunnel_config(struct api_call *call);
int api_get_capture(struct api_call *call);

int api_list_forwards(struct api_call *call);
int api_create_forward(struct api_call *call);
int api_get_forward(struct api_call *call);
int api_put_forward(struct api_call *call);
int api_patch_forward(struct api_call *call);
int api_delete_forward(struct api_call *call);

int api_list_tokens(struct api_call *call);
int api_create_token(struct api_call *call);
int api_get_token(struct api_call *call);
int api_delete_token(struct api_call *call);

int api_get_events(struct api_call *call);

int api_get_config(struct api_call *call);
int api_put_config(struct api_call *call);

int api_get_status(struct api_call *call);
int api_get_info(struct api_call *call);
int api_get_metrics(struct api_call *call);

int api_get_livez(struct api_call *call);
int api_get_readyz(struct api_call *call);
int api_get_openapi(struct api_call *call);

int api_get_page(struct api_call *call);
int api_get_asset(struct api_call *call);

#endif
