/*
 * recovery: when a sender recovers from losses (RFC 6675, RFC 6582), when it does so once more, and
 * when what it took for a loss was none (RFC 5682, RFC 8985, RFC 2883). It tells congestion
 * control; what is lost is found by rack.h, and sent again by the sender.
 */
#ifndef MANYTUN_ENGINE_STACK_RECOVERY_H
#define MANYTUN_ENGINE_STACK_RECOVERY_H

#include <stdint.h>

struct flight_sample;
struct sender;
struct tcp_pcb;

/* An acknowledgment was processed; before it is looked for what is lost. */
void recovery_acked(struct sender *sender, const struct tcp_pcb *pcb,
                    const struct flight_sample *sample, uint64_t now_us);
/* Something is lost, of prior_pipe bytes that were on the way. */
void recovery_lost(struct sender *sender, const struct tcp_pcb *pcb, uint32_t prior_pipe,
                   uint64_t now_us);
/* The retransmission timer ran out, and all that was on the way is lost. */
void recovery_timed_out(struct sender *sender, const struct tcp_pcb *pcb, uint64_t now_us);

#endif
