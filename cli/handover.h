/*
 * handover: the older side of a takeover: waits on <data>/takeover.sock for a newer program
 * (server/handoff.h), and gives it everything.
 */
#ifndef MANYTUN_CLI_HANDOVER_H
#define MANYTUN_CLI_HANDOVER_H

#include <stdbool.h>

struct api;
struct event_base;
struct handover;
struct inherited;
struct retired;
struct service;
struct store;

/* A newer program that has not taken over by then is given up. */
#define HANDOVER_SECONDS 120
/* After it has everything, a newer program that has not hung up by then is not waited for. */
#define HANDOVER_GIVEN_SECONDS 60
/*
 * How long those who are connected to the API may still be answered, and after the program was told
 * to end, how long the newer one may still read what it was given.
 */
#define HANDOVER_LINGER_MS 1000

struct handover_config {
    const char *directory; /* all of it is borrowed */
    struct service *service;
    struct api *api;
    struct store *store;
    struct retired *retired;
    unsigned wait_ms; /* for a newer program to take over and to hang up, 0 = as above */
};

/* 0 or -errno: then nobody can take over. */
int handover_new(struct event_base *base, const struct handover_config *config,
                 struct handover **out);
void handover_free(struct handover *handover);

/*
 * Whether everything is another process's now: the loop was broken for it, and this process must
 * end without unwinding anything.
 */
bool handover_is_done(const struct handover *handover);
/*
 * Whether a newer program had taken over, and is gone: nobody goes on. The loop was broken for it.
 * Nothing is to be unwound: sockets may be another's all the same.
 */
bool handover_is_lost(const struct handover *handover);
/*
 * Whether the newer program died before it was ready, and this one is to go on with what it had:
 * the loop was broken for it. That is done by beginning anew with what is in *kept (cli/resume.h),
 * which has descriptors that are the service's, too: neither may be freed. Again nothing is to be
 * unwound.
 */
bool handover_is_back(struct handover *handover, struct inherited **kept);

/*
 * The program is told to end. True: it ends by itself, soon, because a newer one has what it had,
 * or is about to; nothing of that may be shut down. False: whoever was preparing to take over was
 * refused. NULL = false.
 */
bool handover_stop(struct handover *handover);

#endif
