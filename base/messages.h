/*
 * messages: what control and a worker say to each other over their channel.
 *
 * Both ends are the same binary (the first message checks that), so fixed parts are plain structs,
 * copied with memcpy; definitions follow them as JSON (spec.h, SPEC_COMPLETE).
 *
 *   control → worker                         worker → control
 *   HELLO                                    HELLO
 *   TUNNEL_ADD      tunnel_add, JSON, fds    TUNNEL_REMOVED  slot
 *   TUNNEL_UPDATE   tunnel_update, keys, JSON, new fds   FORWARD_REMOVED slot
 *   TUNNEL_REMOVE   slot                     TUNNEL_EVENT    tunnel_event
 *   FORWARD_ADD     forward_add, JSON, fd
 *   FORWARD_UPDATE  slot, JSON, new fd
 *   FORWARD_REMOVE  slot
 *   PEER_ENDPOINT   peer_endpoint            DRAINED
 *   PEER_COUNTERS   peer_counters            PEER_REMOVED    slot
 *   PEER_REMOVE     slot                     TUNNEL_RESULT   result
 *   DRAIN                                    FORWARD_RESULT  result
 *   TUNNEL_HAND_OVER slot, bridge           RETIRED
 *   TUNNEL_ADOPT     slot, bridge
 *   RETIRE
 *   TUNNEL_CAPTURE  tunnel_capture, socket
 *   TUNNEL_TIMESTAMPS tunnel_timestamps
 *
 * A slot is the index of the object's counters. It is free again when REMOVED has come back, and
 * zero then. An UPDATE of a forward carries the whole definition, that of a tunnel all but the
 * peers that stay as they are, and the keys of those that go: what it costs does not depend on how
 * many there are. Either has descriptors only when they are others than before. A peer's slot comes
 * after the tunnel has the peer, and goes after the peer has.
 *
 * Where control has no memory for the JSON of a message, the message has none. What a worker has no
 * memory or no descriptors for, or was not told, it leaves out, and says so with a RESULT. Then
 * control tells it again, whole: an ADD that is answered in any case, and changes what is there
 * already. Of the forwards of a tunnel that is absent nothing is said; they come after it.
 *
 * DRAIN ends accepting: clients in the backlogs are taken, then the listeners are shut down for
 * every duplicate of them. DRAINED comes once, when no connection is left and all is counted.
 *
 * In a takeover, the older worker is told to hand its tunnels over (without a bridge where there
 * could not be one: then their connections end), and then to retire: it closes
 * its duplicates of the listeners, says RETIRED, and ends by itself when no connection is left. The
 * newer one adopts a tunnel with the other end of its bridge (bridge.h). Both may be said once
 * more, when the newer one is lost and another comes in its place.
 */
#ifndef MANYTUN_BASE_MESSAGES_H
#define MANYTUN_BASE_MESSAGES_H

#include "base/channel.h"
#include "base/inet.h"
#include "base/spec.h"

#include <cjson/cJSON.h>

/* Changes with every change of this file or of spec.h's JSON. */
#define MESSAGES_VERSION 9

enum message_type {
    MESSAGE_HELLO = 1,
    MESSAGE_TUNNEL_ADD,
    MESSAGE_TUNNEL_REMOVE,
    MESSAGE_TUNNEL_REMOVED,
    MESSAGE_TUNNEL_EVENT,
    MESSAGE_FORWARD_ADD,
    MESSAGE_FORWARD_REMOVE,
    MESSAGE_FORWARD_REMOVED,
    MESSAGE_PEER_ENDPOINT,
    MESSAGE_TUNNEL_UPDATE,
    MESSAGE_FORWARD_UPDATE,
    MESSAGE_DRAIN,
    MESSAGE_DRAINED,
    MESSAGE_PEER_COUNTERS,
    MESSAGE_PEER_REMOVE,
    MESSAGE_PEER_REMOVED,
    MESSAGE_TUNNEL_HAND_OVER,
    MESSAGE_TUNNEL_ADOPT,
    MESSAGE_RETIRE,
    MESSAGE_RETIRED,
    MESSAGE_TUNNEL_CAPTURE,
    MESSAGE_TUNNEL_TIMESTAMPS,
    MESSAGE_TUNNEL_RESULT,
    MESSAGE_FORWARD_RESULT,
};

struct message_hello {
    uint32_t version;       /* MESSAGES_VERSION */
    uint32_t counters_size; /* sizeof(struct counters) */
};

struct message_slot {
    uint32_t
        slot; /* of a FORWARD_UPDATE: JSON of the object follows; descriptors as those of its ADD */
};

/* wg_device_limit_timestamps(). */
struct message_tunnel_timestamps {
    uint64_t after_unix_ns, until_unix_ns;
    uint32_t slot;
    uint32_t zero;
};

struct message_tunnel_add {
    uint64_t timestamps_after, timestamps_until; /* as in message_tunnel_timestamps */
    uint32_t slot;
    uint32_t again; /* 0 or 1. JSON of the tunnel follows; descriptors: outer UDP, IPv4 and IPv6 */
};

struct message_tunnel_update {
    uint32_t slot;
    uint32_t gone; /* public keys of so many peers follow, then JSON; descriptors as of an ADD */
};

struct message_forward_add {
    uint32_t slot;
    uint32_t tunnel_slot;
    uint32_t again; /* 0 or 1. JSON of the forward follows; descriptor 0: its listener */
};

/* A looked-up name: where a peer is, or, when it is offered, may be (wg_peer_offer_endpoint). */
struct message_peer_endpoint {
    uint32_t tunnel_slot;
    uint32_t offered; /* 0 or 1 */
    uint8_t public_key[SPEC_KEY_LEN];
    union inet_sockaddr remote;
};

/* Whoever is at the other end of the socket (tap_frame.h) is sent the inner packets. */
struct message_tunnel_capture {
    uint64_t max_bytes;
    uint32_t tunnel_slot;
    uint32_t zero;
};

/* Where a peer is counted. */
struct message_peer_counters {
    uint32_t tunnel_slot;
    uint32_t slot;
    uint8_t public_key[SPEC_KEY_LEN];
};

struct message_tunnel_event {
    uint32_t slot;
    uint32_t event; /* enum wg_event */
    uint8_t public_key[SPEC_KEY_LEN];
};

/* Of a command that could not be carried out wholly, and of an ADD that came again. */
struct message_result {
    uint32_t slot;
    uint32_t error;  /* errno; 0 = the worker has all of the object */
    uint32_t absent; /* of a tunnel, 0 or 1: the worker has nothing of it */
};

/* Sends a fixed part of len bytes, followed by json (may be NULL) printed. As channel_lend(). */
int message_send(struct channel *channel, enum message_type type, const void *fixed, size_t len,
                 const cJSON *json, const int fds[CHANNEL_FDS_MAX]);

/* Copies the fixed part of a message that has nothing else. 0 or -EPROTO. */
int message_read(const struct channel_message *message, void *fixed, size_t len);
/*
 * The same, and the JSON behind it, which the caller frees. 0, -EPROTO, or -ENOMEM, here or where
 * it was sent: then only the rest is there.
 */
int message_read_json(const struct channel_message *message, void *fixed, size_t len, cJSON **json);

/* A TUNNEL_UPDATE. *keys is in the message. As message_read_json(). */
int message_read_update(const struct channel_message *message, struct message_tunnel_update *update,
                        const uint8_t (**keys)[SPEC_KEY_LEN], cJSON **json);

#endif
