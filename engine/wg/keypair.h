/*
 * keypair: the keys of one session, and the up to three sessions that a peer has at a time.
 */
#ifndef MANYTUN_ENGINE_WG_KEYPAIR_H
#define MANYTUN_ENGINE_WG_KEYPAIR_H

#include "engine/crypto/aead.h"
#include "engine/wg/indices.h"
#include "engine/wg/replay.h"

#include <stdbool.h>
#include <stdint.h>

struct keypair {
    struct index_entry entry; /* our index, by which the remote addresses this session */
    uint32_t remote_index;
    struct aead_key send;
    struct aead_key receive;
    uint64_t send_counter; /* of the next message */
    uint64_t created_at;
    bool initiator;    /* of its handshake: the side that renews it by time */
    bool send_expired; /* our private key has changed since */
    bool renewing;     /* a renewal was asked for because of what was received */
    struct replay replay;
};

struct keypairs {
    struct keypair *current;  /* used for sending */
    struct keypair *previous; /* still received on, for what is on the way */
    struct keypair *next;     /* as responder: not used until the initiator has used it */
};

/* A zeroed keypair, or NULL (out of memory). */
struct keypair *keypair_new(void);
bool keypair_can_send(const struct keypair *keypair, uint64_t now);
/* Whether a message with this counter may be received. */
bool keypair_can_receive(const struct keypair *keypair, uint64_t counter, uint64_t now);
/* Whether it is time to renew a session on which something was just sent. */
bool keypair_stale_after_send(const struct keypair *keypair, uint64_t now);
/* The same for something just received. True once per session. */
bool keypair_stale_after_receive(struct keypair *keypair, uint64_t now);

/* Takes over a new session, and frees the ones that it supersedes. */
void keypairs_add(struct keypairs *keypairs, struct keypair *keypair, struct indices *indices);
/*
 * To be called when an authentic message came in on a session: when it is the next one, it becomes
 * the current one, and true is returned.
 */
bool keypairs_confirm(struct keypairs *keypairs, const struct keypair *keypair,
                      struct indices *indices);
/* Our private key has changed: nothing more is sent on the sessions there are. */
void keypairs_expire_sending(struct keypairs *keypairs);
/* Frees all sessions. */
void keypairs_clear(struct keypairs *keypairs, struct indices *indices);

#endif
