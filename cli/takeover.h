/*
 * takeover: the newer side: asks the program that runs on <data> for everything that it has.
 *
 *   takeover_begin()   the older program goes on, frozen; its descriptors are here, too
 *   takeover_take()    the older program has stopped
 *
 * Until takeover_take() has been called, takeover_free() (or our death) leaves the older program as
 * it was. Both run the loop until they have an answer, and are for the start of the program.
 */
#ifndef MANYTUN_CLI_TAKEOVER_H
#define MANYTUN_CLI_TAKEOVER_H

struct event_base;
struct inherited;
struct takeover;

/* The older program must answer within so many seconds. */
#define TAKEOVER_SECONDS 60

/* 0; or -1 with a sentence for a person in error. */
int takeover_begin(struct event_base *base, const char *directory, struct takeover **out,
                   char error[256]);
int takeover_take(struct takeover *takeover, char error[256]);
/* NULL is allowed. */
void takeover_free(struct takeover *takeover);

/* What the older program had; borrowed. */
struct inherited *takeover_inherited(struct takeover *takeover);

#endif
