/*
 * transport: sends and receives data messages (section 5.4.6).
 */
#ifndef MANYTUN_ENGINE_WG_TRANSPORT_H
#define MANYTUN_ENGINE_WG_TRANSPORT_H

#include "engine/wg/device.h"

struct packet_info;

/*
 * Sends a packet, given in pieces and with what its header says, behind what is staged; stages it
 * when there is no session. 0 or -EAGAIN (the sending side is full).
 */
int wg_transport_send(struct wg_peer *peer, const struct packet_info *info,
                      const struct iovec *pieces, int count, size_t len);
/* Sends what is staged, in order, as far as possible; asks for a session if there is none. */
void wg_transport_flush(struct wg_peer *peer);
/*
 * Sends a keepalive; asks for a session if there is none. 0, or -EAGAIN (the sending side is full).
 */
int wg_transport_send_keepalive(struct wg_peer *peer);
/* A data message of at least DATA_OVERHEAD bytes; it is decrypted in place. */
void wg_transport_receive(struct wg_device *device, const struct wg_endpoint *from, uint8_t tos,
                          uint8_t *message, size_t len);

#endif
