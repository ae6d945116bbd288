/*
 * merge: joins the in-order data segments of one connection within a receive batch, so that lwIP
 * processes and acknowledges one large segment instead of many.
 *
 * Only what TCP cannot tell apart is merged: plain data, exactly at rcv_nxt, with nothing queued
 * out of order and acknowledgments that do not go back. Everything else goes to lwIP as it came:
 * duplicate acknowledgments and holes carry meaning.
 */
#ifndef MANYTUN_ENGINE_STACK_MERGE_H
#define MANYTUN_ENGINE_STACK_MERGE_H

#include "engine/stack/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pbuf;
struct stack_conn;

/* Most bytes in one merged segment, TCP header included: lwIP's lengths are 16 bits. */
#define MERGE_MAX 65000

/* Embedded in a connection; all zero is a valid, empty one. */
struct merge {
    struct pbuf *first; /* begins with the TCP header; borrowed */
    struct pbuf *last;
    uint8_t *header; /* the first segment's, kept up to date */
    size_t len;      /* header and data */
    uint32_t next_seq;
    uint32_t ack;
    unsigned count; /* segments */
};

/* Adds the segment to what waits for the connection. False: it has to go to lwIP by itself. */
bool merge_add(struct stack_conn *conn, const struct segment *segment);
/* Hands what waits to lwIP. */
void merge_flush(struct stack_conn *conn);
/* Drops what waits. */
void merge_clear(struct stack_conn *conn);

#endif
