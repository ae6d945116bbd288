/*
 * connections: those of one listener: how long each may take, and which is given up when there are
 * too many.
 *
 * A connection waits (for a request, of which the head and some of the body may have come), or is
 * being answered. When there are more than the limit, of all or of one address, one that waits is
 * given up: the one that has waited longest, of the address that has the most. So whoever opens
 * connections and leaves them loses its own first, and a client that comes now and asks at once is
 * answered, however many others there are.
 *
 * Answers are in memory until they are sent. When there is too much of them, the one that has been
 * sent for longest is given up: its client reads slowly, or not at all.
 *
 * A client that has ended its side may still wait for an answer: its end is told of when there is
 * none that is being sent.
 *
 * An address is an IPv4 address, an IPv6 /64, or all of the Unix socket's peers together.
 */
#ifndef MANYTUN_API_CONNECTIONS_H
#define MANYTUN_API_CONNECTIONS_H

#include <event2/event.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

/* Addresses are told apart by a keyed hash of so many values. */
#define CONNECTIONS_ADDRESSES 1024

struct connection {
    TAILQ_ENTRY(connection) entry;
    struct connections *connections;
    int fd;             /* borrowed */
    void *served;       /* the server's own */
    struct event *end;  /* its client ends its side */
    uint64_t deadline;  /* monotonic, in ns */
    unsigned address;   /* the hash */
    const char *target; /* of the request line, with its query; gone once the request has begun */
    size_t target_len;
    bool answering;
    size_t answer;  /* bytes in memory that are being sent to it */
    bool streaming; /* in no list: it has no deadline, and is not given up for others */
    bool ended;     /* by the client, on its side */
    bool given_up;  /* shut down; it is about to end */
};

struct connections_config {
    unsigned limit;
    unsigned limit_per_address;
    size_t answers;   /* bytes in memory that are being sent */
    unsigned seconds; /* from a connection's start, or its previous answer, to the answer's end */
    /* The client of `served` has ended its side, and is not being answered. */
    void (*ended)(void *ctx, void *served);
    void *ctx;
};

struct connections {
    struct connections_config config;
    struct event_base *base;
    TAILQ_HEAD(connection_list, connection) list; /* in the order of the deadlines */
    unsigned count;                               /* without those given up */
    unsigned of_address[CONNECTIONS_ADDRESSES];   /* likewise */
    size_t answers;     /* bytes in memory that are being sent to those that are not given up */
    struct event *late; /* the first deadline */
    uint8_t key[crypto_shorthash_KEYBYTES];
};

/* 0 or -ENOMEM. */
int connections_init(struct connections *connections, struct event_base *base,
                     const struct connections_config *config);
/* There are no connections any more. A zeroed struct is allowed. */
void connections_fini(struct connections *connections);

/*
 * A connection began, from this peer; `served` is what ended() is told of. Others may be given up:
 * their sockets are shut down, and whoever serves them sees them end. NULL: out of memory.
 */
struct connection *connections_add(struct connections *connections, int fd,
                                   const struct sockaddr *peer, void *served);
/* Before its descriptor is closed. */
void connections_remove(struct connections *connections, struct connection *connection);

/* An answer that takes len bytes of memory is being sent. Others may be given up. */
void connections_answering(struct connections *connections, struct connection *connection,
                           size_t len);
/* Its answer has no end: it is bounded by whoever gives it. */
void connections_streaming(struct connections *connections, struct connection *connection);
/* It was answered, and waits; its time begins anew. */
void connections_answered(struct connections *connections, struct connection *connection);

#endif
