/*
 * live: an answer that goes on for as long as there is something to tell (event_stream,
 * capture_stream), inside libmicrohttpd.
 *
 * A client that has been sent everything is suspended, so it takes no part in the daemon's work
 * until there is more; libmicrohttpd then sees neither its end nor its idleness. So its socket is
 * watched here.
 */
#ifndef MANYTUN_API_LIVE_H
#define MANYTUN_API_LIVE_H

#include <microhttpd.h>
#include <stdbool.h>

struct event;
struct event_base;

/* Embedded in the stream; zero until live_start(). */
struct live {
    struct MHD_Connection *connection;
    struct event *run;    /* the daemon */
    struct event *socket; /* tells when the client leaves */
    bool waiting;
    bool ended; /* the content reader is to say so when it is asked the next time */
};

/*
 * For the connection that is to be answered. `run` is an event that runs its daemon, which is made
 * active when there is more to send. A client that takes nothing of what it is sent for so many
 * seconds is disconnected. 0 or -errno.
 */
int live_start(struct live *live, struct event_base *base, struct MHD_Connection *connection,
               struct event *run, unsigned patience_seconds);
/* Where the response is freed, also after live_start() has failed or was not called. */
void live_fini(struct live *live);

/* From the content reader, which then returns 0: there is nothing to send until live_wake(). */
void live_wait(struct live *live);
/* Lets the daemon ask again. */
void live_wake(struct live *live);
/* The same, to be told that it is over. */
void live_end(struct live *live);

#endif
