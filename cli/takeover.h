/*
 * takeover: the newer side: asks the program that runs on <data> for everything that it has.
 *
 *   takeover_begin()   the older program goes on, frozen; its descriptors are here, too
 *   takeover_take()    the older program has stopped, or has died
 *
 *   takeover_tell_ready()   the older program may end
 *
 * Until takeover_take() has been called, takeover_free() (or our death) leaves the older program as
 * it was, and until takeover_tell_ready() our death makes it take everything back. The first two
 * run the loop until they have an answer, and are for the start of the program.
 *
 * An older program that dies once its descriptors are here is no reason to end: nobody would go on.
 * One that is told to end meanwhile refuses, and is not gone on from: it shuts its sockets down.
 * One that hangs after it was told to hand over is killed, which is the same then.
 */
#ifndef MANYTUN_CLI_TAKEOVER_H
#define MANYTUN_CLI_TAKEOVER_H

struct event_base;
struct inherited;
struct takeover;

/*
 * The older program must offer what it has within so many seconds, and have handed over within so
 * many, in which nobody is served: its workers have 5 to retire.
 */
#define TAKEOVER_OFFER_SECONDS 60
#define TAKEOVER_DONE_SECONDS  15
/* One that hung up, or was killed, is looked at for so long: has it ended? */
#define TAKEOVER_END_SECONDS 2

/* What became of the older program. */
enum takeover_outcome {
    TAKEOVER_DONE,    /* it has handed over */
    TAKEOVER_ALONE,   /* it has died: the connections that its workers had are lost */
    TAKEOVER_REFUSED, /* it goes on, or ends as it was told to; this program must end */
};

/* 0; or -1 with a sentence for a person in error. */
int takeover_begin(struct event_base *base, const char *directory, struct takeover **out,
                   char error[256]);
/* error is set when it is not TAKEOVER_DONE. */
enum takeover_outcome takeover_take(struct takeover *takeover, char error[256]);
/* Everything is restored: from here on the older program does not go on. */
void takeover_tell_ready(struct takeover *takeover);
/* NULL is allowed. */
void takeover_free(struct takeover *takeover);

/* What the older program had; borrowed. */
struct inherited *takeover_inherited(struct takeover *takeover);

#endif
