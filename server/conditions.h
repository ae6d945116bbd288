/*
 * conditions: what is true of a tunnel and of a forward, judged from plain facts.
 *
 * An object has several conditions, each True, False or Unknown, with a reason. Ready is derived
 * from the others:
 *
 *   tunnel   Bound             its outer sockets are bound, and its worker has all of it
 *            WorkerAlive       the process that carries it runs
 *            EndpointResolved  every peer's endpoint that is a name was looked up, and there is a
 *                              socket for it
 *            HandshakeFresh    False only when handshakes are asked for and not answered; a peer
 *                              that nobody talks to is idle, and one without an endpoint that has
 *                              not called yet is waited for, which are no errors
 *            Ready             Bound and WorkerAlive, and not every peer is out of reach
 *
 *   forward  Listening         its listener is bound, and its worker has all of it
 *            TunnelReady       what its tunnel's Ready says
 *            TargetReachable   what came of the last attempt to reach the target
 *            Ready             Listening and TunnelReady: it can take connections
 *
 * A forward's TunnelReady, and its Ready where that follows from it, repeat the tunnel's: of many
 * forwards, one event tells.
 *
 * Of a worker that does not run it is not asked what it has: the next one is told everything.
 *
 * Times of facts are of the clock that never goes back (monotonic.h): that the wall clock is set
 * changes no verdict. Judging has no state and no clock: a verdict follows from the facts alone.
 * Applying a verdict keeps the time at which it was first reached.
 */
#ifndef MANYTUN_SERVER_CONDITIONS_H
#define MANYTUN_SERVER_CONDITIONS_H

#include "server/lookup_error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A session is renewed after two minutes and cannot be used after three (the paper, 6.1). */
#define CONDITION_HANDSHAKE_FRESH_SECONDS 180
/* So many initiations in a row without an answer are no longer the loss of a packet: 10 to 15 s. */
#define CONDITION_UNANSWERED_MAX 3

enum condition_status { CONDITION_UNKNOWN, CONDITION_FALSE, CONDITION_TRUE, CONDITION_STATUSES };

/* What was found. The texts are static, but for subject: borrowed from the facts. */
struct verdict {
    enum condition_status status;
    const char *reason;  /* one word in CamelCase: stable */
    const char *message; /* what it means and what to do, or "" */
    const char *subject; /* the name of the peer that it is about, or "" */
};

struct condition {
    struct verdict is;         /* reason is NULL until the first verdict */
    enum condition_status was; /* before status or reason last became another */
    struct timespec since;     /* when that was */
};

enum tunnel_condition {
    TUNNEL_READY,
    TUNNEL_BOUND,
    TUNNEL_WORKER_ALIVE,
    TUNNEL_ENDPOINT_RESOLVED,
    TUNNEL_HANDSHAKE_FRESH,
    TUNNEL_CONDITIONS
};

enum forward_condition {
    FORWARD_READY,
    FORWARD_LISTENING,
    FORWARD_TUNNEL_READY,
    FORWARD_TARGET_REACHABLE,
    FORWARD_CONDITIONS
};

/* The names that readers see: "Ready", "Bound", …, and "True", "False", "Unknown". */
const char *tunnel_condition_name(enum tunnel_condition condition);
const char *forward_condition_name(enum forward_condition condition);
const char *condition_status_name(enum condition_status status);

/* --- Peers ------------------------------------------------------------------------------------ */

struct peer_facts {
    bool calls_us;                  /* its endpoint is not defined: where it is, it must say */
    bool seen;                      /* its worker knows an address of it, wherever from */
    bool looked_up;                 /* its endpoint is known, or need not be looked up */
    enum lookup_error lookup_error; /* of the last attempt to do so; or why it cannot be used */
    uint16_t keepalive_seconds;
    uint64_t unanswered;        /* initiations since the last handshake */
    uint64_t last_handshake_ns; /* 0 = never */
    uint64_t since_ns;          /* from which on a handshake could be expected */
};

enum peer_health {
    PEER_IDLE,       /* nothing asked for a handshake, or not lately */
    PEER_FRESH,      /* there is a session */
    PEER_CONNECTING, /* a handshake is under way, or about to be */
    PEER_AWAITED,    /* it has to call us, and has not yet */
    PEER_RESOLVING,  /* its endpoint is being looked up */
    /* From here on it is out of reach. */
    PEER_UNRESOLVED, /* its endpoint cannot be looked up, or cannot be used */
    PEER_NO_ANSWER,  /* handshakes are not answered */
    PEER_EXPIRED,    /* there should be a session, and is none */
    PEER_HEALTHS
};

enum peer_health peer_health_judge(const struct peer_facts *facts, uint64_t now_ns);
/* The peer's handshakes in the words of a condition. */
struct verdict peer_health_verdict(enum peer_health health);
/* The same of its endpoint. */
struct verdict peer_endpoint_verdict(const struct peer_facts *facts);

/* All peers of a tunnel. */
struct peers_summary {
    size_t count[PEER_HEALTHS];
    const char *first[PEER_HEALTHS]; /* the name of the first one */
    size_t unresolved, resolving;    /* whatever their handshakes say */
    size_t kept;                     /* were looked up once, and cannot be now */
    const char *first_unresolved, *first_kept;
    enum lookup_error first_error; /* of the first unresolved one */
};

void peers_summary_add(struct peers_summary *summary, const char *name,
                       const struct peer_facts *facts, uint64_t now_ns);
/* Whether there are peers and none of them can be reached. */
bool peers_summary_out_of_reach(const struct peers_summary *summary);

/* --- Objects ---------------------------------------------------------------------------------- */

struct tunnel_facts {
    bool started;    /* bound, and given to a worker */
    int start_error; /* errno: why not */
    bool worker_alive;
    int worker_error; /* errno: why its worker has not all of it; 0 = it has */
    const struct peers_summary *peers;
};

struct forward_facts {
    bool enabled;
    int start_error;          /* errno: why it does not listen */
    int worker_error;         /* errno: why its worker has not all of it; 0 = it has */
    bool tunnel_up;           /* a worker that is alive has the tunnel and this forward */
    bool tunnel_incomplete;   /* … but not all of the tunnel */
    bool peers_out_of_reach;  /* peers_summary_out_of_reach() of the tunnel */
    uint64_t target_since_ns; /* from which on the target is what it is */
    uint64_t last_connect_ns; /* the last dial that succeeded; 0 = none */
    uint64_t last_error_ns;   /* … that failed */
    int last_error;           /* errno of that */
};

void tunnel_facts_judge(const struct tunnel_facts *facts, struct verdict out[TUNNEL_CONDITIONS]);
void forward_facts_judge(const struct forward_facts *facts, struct verdict out[FORWARD_CONDITIONS]);

/*
 * Applies a verdict. True when status or reason became another; since is now then.
 */
bool condition_apply(struct condition *condition, const struct verdict *verdict,
                     const struct timespec *now);

/* What a bind that failed with this errno is called: in a problem's code, and in a condition. */
struct start_failure {
    int error; /* 0 in the entry that stands for every other error */
    const char *code;
    const char *reason;
    const char *message;
};
const struct start_failure *start_failure_find(int error);

#endif
