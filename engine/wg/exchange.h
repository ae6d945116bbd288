/*
 * exchange: sends and receives handshake messages, and turns handshakes into sessions.
 */
#ifndef MANYTUN_ENGINE_WG_EXCHANGE_H
#define MANYTUN_ENGINE_WG_EXCHANGE_H

#include "engine/wg/device.h"

#include <stdbool.h>

/*
 * A session is wanted: sends an initiation, unless one went out within REKEY_TIMEOUT; then, and
 * when it cannot be sent now, a timer sees to it.
 */
void wg_exchange_initiate(struct wg_peer *peer);
/* The same for an initiation that was not answered. */
void wg_exchange_retry(struct wg_peer *peer);

/*
 * A handshake message (initiation or response, of the right length). Whoever does not know our
 * public key is ignored; under load, a sender must prove its address and is rate-limited; what
 * passes is queued.
 */
void wg_exchange_receive(struct wg_device *device, const struct wg_endpoint *from,
                         const uint8_t *message, size_t len);
/* Works off some of the queue. */
void wg_exchange_work(struct wg_device *device);

/* A cookie reply (of the right length). */
void wg_exchange_receive_cookie(struct wg_device *device, const uint8_t *message);

#endif
