/*
 * sender: what a connection sends, and when, beside lwIP.
 *
 * lwIP cuts the stream into segments, keeps them until they are acknowledged, and has the timer of
 * last resort. As a sender it knows only cumulative acknowledgments, Reno, and round trips in units
 * of its timer. All of this is done here: what is in flight (flight.h), what of it is lost
 * (rack.h), tail loss probes (RFC 8985, 7), the round-trip time (rtt.h), how much may be sent
 * (congestion.h) and how fast (pacing.h). lwIP learns it as its congestion window. What has arrived
 * is known from selective acknowledgments (RFC 2018), or from counting duplicate ones (dupack.h).
 */
#ifndef MANYTUN_ENGINE_STACK_SENDER_H
#define MANYTUN_ENGINE_STACK_SENDER_H

#include "engine/stack/congestion.h"
#include "engine/stack/flight.h"
#include "engine/stack/pacing.h"
#include "engine/stack/packet.h"
#include "engine/stack/rack.h"
#include "engine/stack/rtt.h"

#include <stdbool.h>
#include <stdint.h>

struct pbuf;
struct swap;
struct tcp_pcb;

/*
 * Bytes in lwIP's queue that have not been sent yet: enough for the time until the writer has its
 * turn, and few enough for lwIP, which walks them for every write.
 */
#define SENDER_AHEAD_MAX (UINT32_C(512) * 1024)

enum sender_state {
    SENDER_OPEN,
    SENDER_RECOVERY, /* from losses that acknowledgments told of */
    SENDER_LOSS,     /* after a timeout */
};

/* So many SYNs for one connection: the path loses much, or has no room (RFC 6928, 2). */
#define SENDER_SYNS_LOST 3

/* Embedded in a connection; all zero before sender_open(). */
struct sender {
    struct flight flight;
    struct rtt rtt;
    struct rack rack;
    struct congestion congestion;
    struct pacing pacing;

    struct sack_block blocks[PACKET_SACK_MAX]; /* of the segment that is being processed */
    int blocks_count;
    bool had_data; /* that segment, when it was received */
    bool repeats;  /* it says what the one before has said, and nothing else */

    uint64_t sent_ns;      /* when something was last sent, or the window was last looked after */
    uint64_t handshake_ns; /* when our SYN was sent; 0 = not yet, or more than once */
    uint64_t reorder_ns;   /* when more may be lost; 0 = never, as the next two */
    uint64_t probe_ns;     /* when to send a tail loss probe */
    uint64_t pace_ns;      /* when there is more to send */

    uint32_t point;     /* recovery ends, or ended last, when this is acknowledged */
    uint32_t begin;     /* nothing before this was sent again in it */
    uint32_t begin_us;  /* when it began, as times in the flight */
    uint32_t undo_left; /* retransmissions since it began that were not proved needless */
    uint32_t proved;    /* of those that were, by time: the peer may still report them */
    uint32_t probe_end; /* what acknowledges the probe */
    uint8_t state;      /* enum sender_state */
    bool active;        /* the connection is established */
    bool has_sack;      /* the peer reports what has arrived out of order */
    uint8_t syns;       /* that we have sent; no more than SENDER_SYNS_LOST are counted */
    bool partial;       /* without SACK: a part of what this recovery is of was acknowledged */
    int16_t timer;      /* lwIP's retransmission timer before the segment, in ticks */
    bool doubted;       /* a timeout may have been too early: nothing has arrived since */
    bool probing;       /* a probe was sent, and not acknowledged yet */
    bool probe_resent;  /* it was a retransmission */
    bool moved;         /* something was sent, or acknowledged, since the probe was last set */
};

/* The handshake is complete: sets the first window. */
void sender_open(struct sender *sender, struct tcp_pcb *pcb, enum stack_congestion kind,
                 uint64_t now);
void sender_fini(struct sender *sender);

/* Notes the SACK option of a segment; call it before lwIP has the segment. */
void sender_note(struct sender *sender, const struct segment *segment);
/*
 * Around a segment for lwIP, in one swap. p begins with its header.
 */
void sender_before_input(struct sender *sender, struct swap *swap, const struct pbuf *p);
void sender_after_input(struct sender *sender, struct swap *swap);

/* Sends what may be sent: losses first, then what is new. Instead of tcp_output(). */
void sender_output(struct sender *sender, struct swap *swap);
/* Bytes that are worth having in lwIP's queue. */
uint32_t sender_queue(const struct sender *sender, const struct tcp_pcb *pcb);

/*
 * Segments have at most mss bytes from now on; longer ones that are in flight are lost, in pieces
 * of that size, as lwIP's have been cut before. 0, or -ENOMEM and nothing has changed.
 */
int sender_resegment(struct sender *sender, const struct tcp_pcb *pcb, uint16_t mss);

/* After lwIP's slow timer, which may have sent something again, in the same swap. */
void sender_slow_timer(struct sender *sender, struct swap *swap);
/* When sender_alarm() wants to run, in the stack's time; 0 = never. */
uint64_t sender_alarm_at(const struct sender *sender);
void sender_alarm(struct sender *sender, struct swap *swap);

/*
 * lwIP hands a packet to the interface: before and after it is sent. False: there is no memory to
 * remember it, and it is to be sent later. pcb may be NULL for a SYN.
 */
bool sender_may_send(struct sender *sender);
void sender_sent(struct sender *sender, const struct tcp_pcb *pcb, const struct pbuf *packet,
                 uint16_t family, uint64_t now);

#endif
