/*
 * event_feed: what one subscriber of the events reads, as text/event-stream (WHATWG HTML, "Server-
 * sent events"): first where it begins, then what is new. Nothing of HTTP is here.
 *
 * A feed has no queue. It is a place in the events that are kept; whoever reads too slowly finds
 * that the next ones are gone, and is told so:
 *
 *   event: snapshot   the first one: id is where the feed begins, data.last_event_id is the newest
 *                     event of this moment
 *   (no event: line)  an event
 *   event: gap        data.from to data.to are not kept (any more): what they changed is to be read
 *                     anew
 *   :                 a comment (heartbeat)
 *
 * Each has an id to go on from.
 */
#ifndef MANYTUN_API_EVENT_FEED_H
#define MANYTUN_API_EVENT_FEED_H

#include "api/query.h"
#include "server/events.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How much text is made at once; the event that goes beyond is the last. */
#define EVENT_FEED_TEXT 8192

struct event_feed {
    struct events *events; /* borrowed */
    struct query query;    /* whose kind and name are looked at */
    uint64_t position;     /* everything up to it is in the text, or is not wanted */
    char *text;
    size_t room, len, sent;
};

/*
 * Begins after the event `since`, NULL = after the newest one. 0, -ENOMEM, or as the store failed;
 * then there is nothing to free.
 */
int event_feed_init(struct event_feed *feed, struct events *events, const struct query *query,
                    const uint64_t *since);
void event_feed_fini(struct event_feed *feed);

/* Reads up to max bytes. How many, 0 = there is nothing new yet, or a negative errno. */
ssize_t event_feed_read(struct event_feed *feed, char *buf, size_t max);

/* Has something to read, in any case. 0 or -ENOMEM. */
int event_feed_heartbeat(struct event_feed *feed);

#endif
