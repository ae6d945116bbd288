/*
 * tap_frame: what a worker's tap (tap.h) sends to control's end of a capture (server/capture.h).
 *
 * A SOCK_SEQPACKET socket pair carries it. A frame is a header and whole records of a capture file
 * (pcap.h); the file header is not sent. Control asks for the end with shutdown(SHUT_WR), upon
 * which the worker sends what it still has and closes its end; either may close its end at any
 * time.
 */
#ifndef MANYTUN_BASE_TAP_FRAME_H
#define MANYTUN_BASE_TAP_FRAME_H

#include "base/pcap.h"

/* Counted from the start of the capture up to this frame. */
struct tap_totals {
    uint64_t packets; /* that are in the frames */
    uint64_t dropped; /* that are not: the reader was too slow */
};

#define TAP_FRAME_MAX (sizeof(struct tap_totals) + PCAP_RECORD_HEADER + PCAP_SNAPLEN)

#endif
