/*
 * tunnel_peers: a tunnel's peers: as they are defined, where they are, and what they count. Shared
 * by the files of a tunnel, as tunnel_internal.h is. What a change costs depends on what is
 * changed, not on how many peers there are.
 */
#ifndef MANYTUN_ENGINE_TUNNEL_PEERS_H
#define MANYTUN_ENGINE_TUNNEL_PEERS_H

#include "engine/tunnel.h"

/*
 * Takes the private key, and of a change's definition the peers, which are added, or changed in
 * what differs; those that are gone, if there are any left, go first. One that is left out for want
 * of memory does not stop the others. 0 or the first error: -ENOMEM, or what wg_peer_add() says.
 */
int tunnel_peers_change(struct tunnel *tunnel, const struct tunnel_change *change);
/* With their contexts; the device goes too, or its peers would have none. */
void tunnel_peers_free(struct tunnel *tunnel);
/* Brings the shared counters of those that have counted something up to date. */
void tunnel_peers_publish(struct tunnel *tunnel);

#endif
