/*
 * acceptance: which segments of an established connection lwIP gets to see, and how much of them
 * (RFC 9293, 3.10.7.4; RFC 5961).
 *
 * lwIP takes data and FINs whatever they acknowledge, also without acknowledging anything, so
 * that who guesses a sequence number in the window can put bytes into a stream. It takes
 * acknowledgments and windows whatever their sequence numbers, so that who guesses what is on the
 * way can have it forgotten before it has arrived. And what comes
 * behind a hole and ends beyond the window, or covers a FIN that came before it, may not reach lwIP
 * when the hole is filled: what is left of the window would become negative, which to it is 4 GiB.
 *
 * Answers to what is not acceptable are limited per connection (RFC 5961, 7), which also ends the
 * exchange of acknowledgments between two ends that do not agree about their numbers.
 */
#ifndef MANYTUN_ENGINE_STACK_ACCEPTANCE_H
#define MANYTUN_ENGINE_STACK_ACCEPTANCE_H

#include <stdbool.h>
#include <stdint.h>

/* No more than one challenge in this time; who is honest repeats what was not answered. */
#define ACCEPTANCE_CHALLENGE_NS (UINT64_C(100) * 1000 * 1000)

struct segment;
struct tcp_pcb;

enum acceptance {
    ACCEPTANCE_TAKE,
    ACCEPTANCE_DROP,
    ACCEPTANCE_CHALLENGE, /* drop it, and tell the peer by an ACK where we are */
};

/* Embedded in a connection; all zero is valid. */
struct acceptance_state {
    uint64_t challenge_at; /* monotonic nanoseconds; not before */
    uint32_t end;          /* of the peer's stream: the number of its FIN */
    bool end_known;        /* from a FIN behind a hole */
};

/* By what it acknowledges. pcb is active, in any state. */
enum acceptance acceptance_of_ack(const struct tcp_pcb *pcb, const struct segment *segment);
/*
 * By its sequence number, when all that came before has been processed. What is behind the window,
 * or behind the end of the stream, is cut off the segment.
 */
enum acceptance acceptance_of_seq(struct acceptance_state *state, const struct tcp_pcb *pcb,
                                  struct segment *segment);

/* Whether a challenge may be sent now; then it counts as sent. */
bool acceptance_may_challenge(struct acceptance_state *state, uint64_t now);

#endif
