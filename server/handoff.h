/*
 * handoff: what the older and the newer program say to each other in a takeover, over a channel
 * (base/channel.h) on the Unix socket <data>/takeover.sock.
 *
 *   newer → older                       older → newer
 *   HELLO    version                    REFUSED  a sentence: it is over
 *                                       ITEM     kind, name, descriptors: each listener and socket
 *                                       ALL      that was all; from here on nothing changes
 *   TAKE     everything is prepared     ITEM     bridges, and workers that have retired
 *                                       DONE     the older one does nothing any more
 *   READY    everything is restored
 *
 * Until TAKE either side may close the channel, and the older program goes on as if nothing had
 * happened; until READY it takes all of it back when the newer one dies. The two may be of
 * different versions: the numbers here stay what they are, and a change of meaning changes
 * HANDOFF_VERSION. Who does not know READY hangs up when it is said, and does not say it before it
 * hangs up.
 */
#ifndef MANYTUN_SERVER_HANDOFF_H
#define MANYTUN_SERVER_HANDOFF_H

#include "base/channel.h"
#include "server/inherited.h"

#define HANDOFF_VERSION    1
#define HANDOFF_SOCKET     "takeover.sock"
#define HANDOFF_REASON_MAX 255

enum handoff_type {
    HANDOFF_HELLO = 1,
    HANDOFF_REFUSED = 2,
    HANDOFF_ITEM = 3,
    HANDOFF_ALL = 4,
    HANDOFF_TAKE = 5,
    HANDOFF_DONE = 6,
    HANDOFF_READY = 7,
};

/* Each as channel_send(). */
int handoff_send_hello(struct channel *channel);
int handoff_send_refused(struct channel *channel, const char *reason);
/*
 * Of those kinds that there are thousands of (inherited_is_numerous()),
 * fds are lent, as with channel_lend(): their owners close them with descriptor_close().
 */
int handoff_send_item(struct channel *channel, enum inherited_kind kind, const char *name,
                      const int fds[INHERITED_FDS_MAX]);
/* ALL, TAKE, DONE and READY have nothing but their type. */
int handoff_send(struct channel *channel, enum handoff_type type);

/* 0; -EPROTONOSUPPORT (another version) or -EPROTO. */
int handoff_read_hello(const struct channel_message *message);
/* 0 or -EPROTO; control characters are replaced. */
int handoff_read_refused(const struct channel_message *message,
                         char reason[HANDOFF_REASON_MAX + 1]);
/* Takes the descriptors out of the message. 0, or -EPROTO, also when they were lost. */
int handoff_read_item(struct channel_message *message, struct inherited_item *out);
/* 0, or -EPROTO: there is something in it. */
int handoff_read_empty(const struct channel_message *message);

#endif
