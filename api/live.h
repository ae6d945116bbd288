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
#include <sys/queue.h>

struct event;
struct event_base;
struct live;

/* All of one kind. */
struct live_group {
    TAILQ_HEAD(live_list, live) lives;
    unsigned count;
    const struct event *ending; /* the daemon whose answers were ended, none of which may wait */
};

/* Embedded in the stream; zero until live_join(). */
struct live {
    TAILQ_ENTRY(live) entry;
    struct live_group *group;
    struct MHD_Connection *connection;
    struct event *run;    /* the daemon */
    struct event *socket; /* tells when the client leaves */
    bool waiting;
    bool ended; /* the content reader is to say so when it is asked the next time */
};

void live_group_init(struct live_group *group);
/* Ends those of the daemon that `run` runs, and each that it begins from now on. */
void live_group_end(struct live_group *group, const struct event *run);

/* Makes it one of the group, which outlives it. */
void live_join(struct live *live, struct live_group *group);
/*
 * After live_join(), for the connection that is to be answered. `run` is an event that runs its
 * daemon, which is made active when there is more to send. A client that takes nothing of what it
 * is sent for so many seconds is disconnected. 0 or -errno.
 */
int live_start(struct live *live, struct event_base *base, struct MHD_Connection *connection,
               struct event *run, unsigned patience_seconds);
/*
 * Leaves the group. Where the response is freed, also after live_start() has failed or was not
 * called.
 */
void live_fini(struct live *live);

/* From the content reader, which then returns 0: there is nothing to send until live_wake(). */
void live_wait(struct live *live);
/* Lets the daemon ask again. */
void live_wake(struct live *live);
/* The same, to be told that it is over. */
void live_end(struct live *live);
/* Ends it without waiting for the client to take what was sent: disconnects it. */
void live_cut(struct live *live);

#endif
