/*
 * handshake: owns the secrets of one peer's handshake.
 *
 *     NONE → CREATED_INITIATION → CONSUMED_RESPONSE → (derived) NONE     as initiator
 *     NONE → CONSUMED_INITIATION → CREATED_RESPONSE → (derived) NONE     as responder
 *
 * An authentic initiation may arrive in any state and takes over: when both sides initiate at the
 * same time, both become responders, and the retransmission with the smaller jitter wins.
 */
#include "engine/wg/handshake.h"

#include "engine/wg/messages.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

static void begin(struct noise *noise, const uint8_t responder_static[X25519_LEN])
{
    noise_begin(noise, identifier, sizeof(identifier) - 1, responder_static);
}

void handshake_init(struct handshake *handshake, const uint8_t remote_static[X25519_LEN])
{
    memset(handshake, 0, sizeof(*handshake));
    memcpy(handshake->remote_static, remote_static, X25519_LEN);
}

void handshake_fini(struct handshake *handshake)
{
    sodium_memzero(handshake, sizeof(*handshake));
}

void handshake_forget(struct handshake *handshake)
{
    handshake->state = HANDSHAKE_NONE;
    sodium_memzero(&handshake->noise, sizeof(handshake->noise));
    sodium_memzero(&handshake->ephemeral, sizeof(handshake->ephemeral));
    sodium_memzero(handshake->remote_ephemeral, sizeof(handshake->remote_ephemeral));
}

void handshake_key_changed(struct handshake *handshake)
{
    handshake_forget(handshake);
    sodium_memzero(handshake->static_static, sizeof(handshake->static_static));
    handshake->static_static_known = false;
}

/*
 * The shared secret of the static keys, computed when first needed: adding thousands of peers or
 * changing the private key must not stop the loop. All zero for a low-order public key, which
 * noise.c refuses.
 */
static const uint8_t *static_static(struct handshake *handshake,
                                    const struct noise_keys *local_static)
{
    if (!handshake->static_static_known) {
        /* A failure leaves zeros, which are as good as an error code here. */
        (void)x25519_shared(handshake->static_static, local_static->private_key,
                            handshake->remote_static);
        handshake->static_static_known = true;
    }
    return handshake->static_static;
}

int handshake_create_initiation(struct handshake *handshake, const struct noise_keys *local_static,
                                const uint8_t ephemeral[X25519_LEN], uint8_t *out)
{
    handshake_forget(handshake);
    begin(&handshake->noise, handshake->remote_static);
    noise_keys_init(&handshake->ephemeral, ephemeral);
    const struct noise_initiation initiation = {
        .ephemeral = &handshake->ephemeral,
        .local_static = local_static,
        .remote_static = handshake->remote_static,
        .static_static = static_static(handshake, local_static),
        .payload = handshake->sent_timestamp,
        .payload_len = TAI64N_LEN,
    };
    int error = noise_write_initiation(&handshake->noise, &initiation, out);
    if (error) {
        handshake_forget(handshake);
        return error;
    }
    handshake->state = HANDSHAKE_CREATED_INITIATION;
    return 0;
}

int handshake_open_initiation(struct handshake_opening *opening,
                              const struct noise_keys *local_static, const uint8_t *in)
{
    begin(&opening->noise, local_static->public_key);
    return noise_read_initiation_static(&opening->noise, local_static, in, HANDSHAKE_INITIATION_LEN,
                                        opening->remote_ephemeral, opening->remote_static);
}

int handshake_consume_initiation(struct handshake *handshake, const struct noise_keys *local_static,
                                 const struct handshake_opening *opening, const uint8_t *in,
                                 uint64_t now)
{
    struct noise noise = opening->noise;
    uint8_t timestamp[TAI64N_LEN];
    int error = noise_read_initiation_payload(&noise, static_static(handshake, local_static), in,
                                              HANDSHAKE_INITIATION_LEN, timestamp);
    if (error)
        goto out;
    bool too_soon =
        handshake->consumed_at != 0 && now < handshake->consumed_at + WG_INITIATION_INTERVAL;
    if (too_soon || !tai64n_after(timestamp, handshake->received_timestamp)) {
        error = -EALREADY;
        goto out;
    }
    handshake_forget(handshake);
    handshake->noise = noise;
    memcpy(handshake->remote_ephemeral, opening->remote_ephemeral, X25519_LEN);
    memcpy(handshake->received_timestamp, timestamp, TAI64N_LEN);
    handshake->consumed_at = now;
    handshake->state = HANDSHAKE_CONSUMED_INITIATION;
out:
    sodium_memzero(&noise, sizeof(noise));
    return error;
}

int handshake_create_response(struct handshake *handshake, const uint8_t ephemeral[X25519_LEN],
                              uint8_t *out)
{
    if (handshake->state != HANDSHAKE_CONSUMED_INITIATION)
        return -EBADMSG;
    noise_keys_init(&handshake->ephemeral, ephemeral);
    const struct noise_response response = {
        .ephemeral = &handshake->ephemeral,
        .remote_ephemeral = handshake->remote_ephemeral,
        .remote_static = handshake->remote_static,
        .preshared_key = handshake->preshared_key,
    };
    int error = noise_write_response(&handshake->noise, &response, out);
    if (error) {
        handshake_forget(handshake);
        return error;
    }
    handshake->state = HANDSHAKE_CREATED_RESPONSE;
    return 0;
}

int handshake_consume_response(struct handshake *handshake, const struct noise_keys *local_static,
                               const uint8_t *in)
{
    if (handshake->state != HANDSHAKE_CREATED_INITIATION)
        return -EBADMSG;
    struct noise noise = handshake->noise;
    uint8_t nothing[1];
    const struct noise_response_reader keys = {
        .ephemeral = &handshake->ephemeral,
        .local_static = local_static,
        .preshared_key = handshake->preshared_key,
    };
    int error = noise_read_response(&noise, &keys, in, HANDSHAKE_RESPONSE_LEN, nothing);
    if (error == 0) {
        handshake->noise = noise;
        handshake->state = HANDSHAKE_CONSUMED_RESPONSE;
    }
    sodium_memzero(&noise, sizeof(noise));
    return error;
}

bool handshake_derive(struct handshake *handshake, struct aead_key *send, struct aead_key *receive)
{
    uint8_t first[NOISE_KEY_LEN];
    uint8_t second[NOISE_KEY_LEN];
    bool initiator = handshake->state == HANDSHAKE_CONSUMED_RESPONSE;

    noise_split(&handshake->noise, first, second);
    aead_key_init(send, initiator ? first : second);
    aead_key_init(receive, initiator ? second : first);
    sodium_memzero(first, sizeof(first));
    sodium_memzero(second, sizeof(second));
    handshake_forget(handshake);
    return initiator;
}
