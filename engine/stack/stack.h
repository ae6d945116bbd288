/*
 * stack: one virtual TCP/IP stack: the addresses of a tunnel, and the TCP connections on them.
 *
 * It is fed inner IP packets and time, and hands back inner IP packets through struct stack_ops.
 * Any number of stacks live in one process, with any (also the same) addresses. Behind it is
 * unmodified lwIP, whose global lists are swapped to the one connection that is being worked on
 * (swap.h); nothing outside this folder includes lwIP.
 *
 * The owner's callbacks (struct stack_conn_ops) are never called from inside lwIP, but after it
 * has returned and its globals are restored: they may open, write to and end any connection and
 * listener of any stack. What they may not call is what calls them: stack_receive(), _flush(),
 * _resume(), _expire() and _free(). struct stack_ops.output is called from inside lwIP and may call
 * nothing here.
 */
#ifndef MANYTUN_ENGINE_STACK_STACK_H
#define MANYTUN_ENGINE_STACK_STACK_H

#include "base/inet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define STACK_NEVER UINT64_MAX

/*
 * Limits, each with a counter (enum stack_limit). Of what is limited for the process, a stack
 * takes at most as many as are left for all others (quota.h).
 */
#define STACK_CONNECTIONS_MAX         65536  /* per stack, TIME_WAIT included */
#define STACK_CONNECTIONS_PROCESS_MAX 262144 /* of all stacks; 2 kB each when idle */
#define STACK_ADDRESSES_MAX           16
#define STACK_MTU_MIN                 576  /* RFC 791; IPv6 wants 1280 */
#define STACK_SYN_RECEIVED_MAX        128  /* half-open connections per listener */
#define STACK_HALF_OPEN_PROCESS_MAX   8192 /* the same of all stacks, until they are accepted */

struct stack;
struct stack_conn;
struct stack_listener;

struct stack_ops {
    /*
     * Sends one inner IP packet, given in pieces (total length len; the first piece begins with
     * the whole IP header). The bytes are the stack's and valid during the call only.
     * 0 = taken; -EAGAIN = full, whatever the destination: the stack keeps the segment and tries
     * again when it is told (stack_resume()) or when its timer fires; any other negative errno =
     * dropped.
     */
    int (*output)(void *ctx, const struct iovec *pieces, int count, size_t len);
    /* Monotonic nanoseconds. */
    uint64_t (*now)(void *ctx);
    /*
     * A whole TCP packet that belongs to no connection and no listener of this stack, or an ICMP
     * message that says nothing about one. True: it was
     * taken care of; false (or NULL): it is answered with a RST, as usual. May call nothing here.
     */
    bool (*stranger)(void *ctx, const uint8_t *packet, size_t len);
};

/* How connections find out what the path takes. */
enum stack_congestion {
    STACK_CUBIC, /* loss-based: RFC 9438 */
    STACK_BBR,   /* by a model of the path, paced: for paths that lose packets at random */
};

struct stack_config {
    const struct inet_addr *addresses; /* the first one of a family is the default source */
    size_t addresses_count;
    uint16_t mtu;
    enum stack_congestion congestion;
};

/* Why received packets were dropped. */
enum stack_drop {
    STACK_DROP_MALFORMED,    /* version, lengths, checksum */
    STACK_DROP_FRAGMENT,     /* they are not put together, see packet.h */
    STACK_DROP_ADDRESS,      /* not for one of our addresses */
    STACK_DROP_PROTOCOL,     /* of a protocol, or for a port, that nobody here listens to */
    STACK_DROP_UNACCEPTABLE, /* with numbers that its connection does not take: acceptance.h */
    STACK_DROP_COUNT
};

/* What was refused or held back because of a limit. */
enum stack_limit {
    STACK_LIMIT_CONNECTIONS,         /* STACK_CONNECTIONS_MAX; either way in */
    STACK_LIMIT_CONNECTIONS_PROCESS, /* its part of STACK_CONNECTIONS_PROCESS_MAX */
    STACK_LIMIT_PORTS,               /* no free local port for this destination */
    STACK_LIMIT_HALF_OPEN,           /* SYNs: STACK_SYN_RECEIVED_MAX */
    STACK_LIMIT_HALF_OPEN_PROCESS,   /* SYNs: its part of STACK_HALF_OPEN_PROCESS_MAX */
    STACK_LIMIT_RECEIVE_WINDOW,      /* windows that could not grow: WINDOW_GROWTH_MAX */
    STACK_LIMIT_REASSEMBLY,          /* segments behind a hole, dropped: reassembly.h */
    STACK_LIMIT_SEND_QUEUE,          /* writes: SENDQUEUE_GROWTH_MAX */
    STACK_LIMIT_RESETS,              /* segments of no connection, not answered: RESET_RATE */
    STACK_LIMIT_ECHO_REPLIES,        /* pings, not answered: ECHO_RATE */
    STACK_LIMIT_COUNT
};

struct stack_stats {
    uint64_t rx_packets, tx_packets;
    uint64_t rx_dropped[STACK_DROP_COUNT];
    uint64_t rx_echo_replies;
    uint64_t rx_icmp_errors; /* about our segments, that were believed (icmp.h) */
    uint64_t limits[STACK_LIMIT_COUNT];
    uint64_t out_of_memory;
    uint32_t connections; /* live, TIME_WAIT included */
    uint32_t half_open;   /* of these, from inside the tunnel and not accepted yet */
};

/* 0, -ENOMEM, or -EINVAL (no addresses, more than STACK_ADDRESSES_MAX, or a tiny MTU). */
int stack_new(const struct stack_config *config, const struct stack_ops *ops, void *ctx,
              struct stack **out);
/*
 * Frees the stack. Every connection that is still open is aborted (a RST is sent if output takes
 * it) and its closed callback runs with -ECONNABORTED. NULL is allowed.
 */
void stack_free(struct stack *stack);

/*
 * An inner IP packet. It may be changed and is referred to until stack_flush(). In-order segments
 * of one connection are merged until the flush, so call this for every packet of a batch and then
 * stack_flush() once.
 */
void stack_receive(struct stack *stack, uint8_t *packet, size_t len);
/* Works off what was received; the connections' callbacks run here. */
void stack_flush(struct stack *stack);

/*
 * The output side has room again: connections that were refused with -EAGAIN send now, in turn,
 * until there is none left.
 */
void stack_resume(struct stack *stack);

/*
 * What was sent lately is known to be lost, and the path works again: connections whose timers have
 * backed off try within 100 ms, instead of when these are due. Nothing is sent
 * and no callback runs before it returns.
 */
void stack_hurry(struct stack *stack);

/* When stack_expire() wants to run, in ops->now() time; STACK_NEVER when all is idle. */
uint64_t stack_deadline(const struct stack *stack);
void stack_expire(struct stack *stack);

/* One bit per port, the lowest in each byte first. */
#define STACK_PORT_BYTES (65536 / 8)
/* The local ports that connections have, and those that are reserved. */
void stack_used_ports(const struct stack *stack, uint8_t ports[STACK_PORT_BYTES]);
/*
 * Local ports that stack_connect() must leave alone, because another stack with these addresses has
 * connections on them. They replace those of before; NULL = none. 0 or -ENOMEM.
 */
int stack_reserve_ports(struct stack *stack, const uint8_t ports[STACK_PORT_BYTES]);

/* Whether every byte that was written has arrived: connections are closed, or in TIME_WAIT. */
bool stack_is_quiet(const struct stack *stack);

/* For connections that are established from now on; those that are go on as they are. */
void stack_set_congestion(struct stack *stack, enum stack_congestion congestion);

const struct stack_stats *stack_stats(const struct stack *stack);

/* --- TCP connections --------------------------------------------------------------------------
 *
 *   stack_connect() ─▶ connecting ─connected()─▶ open ─▶ … ─closed()─▶ (handle is gone)
 *                                                └ stack_conn_close()/abort(): handle is gone
 *
 * After closed(), stack_conn_close() or stack_conn_abort() the handle must not be used again, and
 * no further callback comes.
 */

struct stack_conn_ops {
    /* The handshake is complete: the connection may be written to. */
    void (*connected)(void *ctx);
    /*
     * There is something new to peek at, or the end of the stream (stack_conn_at_eof()). Consume
     * what can be taken now; the stack keeps the rest (its own copy, bounded by the receive
     * window) and closes the window for it.
     */
    void (*readable)(void *ctx);
    /* There is room worth a write again, after stack_conn_send_space() had told of too little. */
    void (*writable)(void *ctx);
    /*
     * The connection is over and the handle is gone. error is 0 after both sides finished cleanly,
     * else -ECONNREFUSED (RST in answer to the SYN), -ENETUNREACH, -EHOSTUNREACH or -EACCES (ICMP
     * in answer to the SYN), -ECONNRESET, -ETIMEDOUT (retransmission gave
     * up), -ECONNABORTED (stack freed) or -ENOMEM.
     */
    void (*closed)(void *ctx, int error);
};

/*
 * Starts a connection to addr:port from the stack's address of that family and a random free port.
 * 0; -EAFNOSUPPORT (no address of that family), -EADDRNOTAVAIL (no port), -ENFILE (limit),
 * -ENOMEM. No callback runs before it returns.
 */
int stack_connect(struct stack *stack, const struct inet_addr *addr, uint16_t port,
                  const struct stack_conn_ops *ops, void *ctx, struct stack_conn **out);

/* Fills up to max pieces of received bytes, oldest first; returns how many. */
int stack_conn_peek(const struct stack_conn *conn, struct iovec *pieces, int max);
/* Received bytes waiting. */
size_t stack_conn_pending(const struct stack_conn *conn);
/* Takes len bytes (at most what is pending) off, and opens the receive window for them. */
void stack_conn_consume(struct stack_conn *conn, size_t len);
/* The peer has sent FIN and everything before it was consumed. */
bool stack_conn_at_eof(const struct stack_conn *conn);

/* How many bytes stack_conn_write() takes now. */
size_t stack_conn_send_space(struct stack_conn *conn);
/*
 * Copies len bytes (at most the send space) into the stream; sent at once. 0; -EPIPE (not connected
 * yet, shut down, or over); or -ENOMEM, after which the stream is broken: abort the connection.
 */
int stack_conn_write(struct stack_conn *conn, const void *data, size_t len);
/* Sends FIN after everything written; reading goes on. */
void stack_conn_shutdown(struct stack_conn *conn);

/*
 * Both are the end of the handle. close: whatever was written is still delivered, then FIN (the
 * stack finishes alone, TIME_WAIT included); unread received bytes make it a RST, as in any TCP.
 * abort: RST, everything unsent is lost.
 */
void stack_conn_close(struct stack_conn *conn);
void stack_conn_abort(struct stack_conn *conn);

/* --- Listeners: connections that are opened from inside the tunnel ---------------------------- */

struct stack_listen_ops {
    /*
     * peer:port has connected, the handshake is complete. The owner takes the connection with
     * stack_conn_attach() before it returns, or it is aborted. readable() may follow at once.
     */
    void (*accepted)(void *ctx, struct stack_conn *conn, const struct inet_addr *peer,
                     uint16_t port);
};

/*
 * Listens on one of the stack's addresses. 0; -EADDRNOTAVAIL (not an address of the stack, or
 * port 0), -EADDRINUSE, -ENOMEM.
 */
int stack_listen(struct stack *stack, const struct inet_addr *addr, uint16_t port,
                 const struct stack_listen_ops *ops, void *ctx, struct stack_listener **out);
/* Ends it; connections that were not accepted yet are aborted, accepted ones live on. */
void stack_unlisten(struct stack_listener *listener);
/* Makes the caller the owner of a connection that accepted() offers. */
void stack_conn_attach(struct stack_conn *conn, const struct stack_conn_ops *ops, void *ctx);

#endif
