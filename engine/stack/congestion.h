/*
 * congestion: how much a connection may have on the way, and how fast.
 *
 * A control is a row of functions that are told what happens (struct congestion_ack) and set
 * window, threshold and rate. They know neither lwIP nor segments. The sender tells them, and
 * obeys.
 */
#ifndef MANYTUN_ENGINE_STACK_CONGESTION_H
#define MANYTUN_ENGINE_STACK_CONGESTION_H

#include "engine/stack/bbr.h"
#include "engine/stack/cubic.h"
#include "engine/stack/prr.h"
#include "engine/stack/stack.h"

#include <stdbool.h>
#include <stdint.h>

/* Segments; RFC 6928: ten, and at most 14600 bytes unless that were less than two. */
#define CONGESTION_INITIAL_SEGMENTS 10
#define CONGESTION_INITIAL_BYTES    14600

/* No window is larger: lwIP's buffer is not either. */
#define CONGESTION_WINDOW_MAX (UINT32_C(64) * 1024 * 1024)
/* No threshold yet: slow start. */
#define CONGESTION_NO_THRESHOLD UINT32_MAX

struct congestion_control;

/* An acknowledgment, all in bytes, microseconds, and bytes per second. */
struct congestion_ack {
    uint64_t now_us;
    uint32_t delivered;  /* by this one */
    uint32_t lost;       /* newly known to be */
    uint32_t prior_pipe; /* on the way before */
    uint32_t pipe;       /* and after it */
    uint32_t rtt_us;     /* 0 = none */
    uint32_t srtt_us;    /* 0 = none yet */
    uint32_t timeout_us; /* of retransmission; 0 = unknown */
    uint32_t delivered_total;
    uint32_t prior_delivered; /* delivered_total when what it acknowledges had been sent */
    uint64_t rate;            /* at which that was delivered; 0 = unknown */
    bool advanced;            /* it acknowledges more cumulatively */
    bool app_limited;         /* rate tells of the writer, not of the path */
    bool recovering;          /* from a loss, or a timeout */
};

/* Embedded in a connection. */
struct congestion {
    const struct congestion_control *control;
    uint32_t mss;
    uint32_t window;    /* bytes that may be on the way */
    uint32_t threshold; /* of slow start */
    uint64_t rate;      /* bytes per second to send at; 0 = as acknowledgments come */
    struct {
        uint32_t window, threshold; /* before the loss that may have been none */
    } prior;
    struct prr prr;
    union {
        struct cubic cubic;
        struct bbr bbr;
    };
};

struct congestion_control {
    void (*open)(struct congestion *congestion, uint64_t now_us);
    void (*acked)(struct congestion *congestion, const struct congestion_ack *ack);
    /*
     * The first loss of a window, or of what was sent since the last one; what else was on the way
     * and is lost, too, belongs to it, until recovered().
     */
    void (*loss)(struct congestion *congestion, uint32_t pipe, uint64_t now_us);
    void (*recovered)(struct congestion *congestion, uint64_t now_us);
    /* The retransmission timer ran out. */
    void (*timeout)(struct congestion *congestion, uint32_t pipe, uint64_t now_us);
    /* Nothing was on the way for idle_us, at least a timeout, and more is to be sent. */
    void (*restart)(struct congestion *congestion, uint64_t idle_us, uint32_t timeout_us);
    /* The last loss(), or timeout(), was none. */
    void (*undo)(struct congestion *congestion, uint64_t now_us);
    /*
     * Segments are of at most mss bytes from now on; congestion->mss is what they have been of.
     * NULL = all that it keeps is in bytes.
     */
    void (*resize)(struct congestion *congestion, uint32_t mss);
};

/* Of a connection that has just been established, with segments of at most mss bytes. */
void congestion_open(struct congestion *congestion, enum stack_congestion kind, uint32_t mss,
                     uint64_t now_us);
/* RFC 6928; also what may be sent at once. */
uint32_t congestion_initial_window(uint32_t mss);
/* With pipe bytes on the way: what may follow at once is no more than a first window. */
void congestion_limit_burst(struct congestion *congestion, uint32_t pipe);
/* Segments are of at most mss bytes from now on. */
void congestion_set_mss(struct congestion *congestion, uint32_t mss);

#endif
