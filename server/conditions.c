/*
 * conditions: owns the words, and the rules that lead to them. No state.
 */
#include "server/conditions.h"

#include <errno.h>
#include <string.h>

#define NS_PER_S 1000000000ULL

/* --- Names ------------------------------------------------------------------------------------ */

const char *tunnel_condition_name(enum tunnel_condition condition)
{
    static const char *const names[TUNNEL_CONDITIONS] = {
        [TUNNEL_READY] = "Ready",
        [TUNNEL_BOUND] = "Bound",
        [TUNNEL_WORKER_ALIVE] = "WorkerAlive",
        [TUNNEL_ENDPOINT_RESOLVED] = "EndpointResolved",
        [TUNNEL_HANDSHAKE_FRESH] = "HandshakeFresh",
    };
    return names[condition];
}

const char *forward_condition_name(enum forward_condition condition)
{
    static const char *const names[FORWARD_CONDITIONS] = {
        [FORWARD_READY] = "Ready",
        [FORWARD_LISTENING] = "Listening",
        [FORWARD_TUNNEL_READY] = "TunnelReady",
        [FORWARD_TARGET_REACHABLE] = "TargetReachable",
    };
    return names[condition];
}

const char *condition_status_name(enum condition_status status)
{
    static const char *const names[] = {
        [CONDITION_UNKNOWN] = "Unknown",
        [CONDITION_FALSE] = "False",
        [CONDITION_TRUE] = "True",
    };
    return names[status];
}

static struct verdict say(enum condition_status status, const char *reason, const char *message)
{
    return (struct verdict){status, reason, message, ""};
}

static struct verdict say_of(const char *subject, struct verdict verdict)
{
    verdict.subject = subject != NULL ? subject : "";
    return verdict;
}

/* --- Why something did not start -------------------------------------------------------------- */

static const struct start_failure start_failures[] = {
    {EADDRINUSE, "address_in_use", "AddressInUse",
     "another socket has this address and port; it is tried again"},
    {EACCES, "permission_denied", "PermissionDenied",
     "the program may not have this port: those below 1024 need CAP_NET_BIND_SERVICE; it is tried "
     "again"},
    {EPERM, "permission_denied", "PermissionDenied",
     "the program may not have this port; it is tried again"},
    {EADDRNOTAVAIL, "address_not_available", "AddressNotAvailable",
     "this host does not have the address; it is tried again"},
    {EAFNOSUPPORT, "address_not_available", "AddressNotAvailable",
     "this host does not have the address family; it is tried again"},
    {0, "exhausted", "ResourcesExhausted",
     "descriptors, memory or room in the workers ran out; it is tried again"},
};

const struct start_failure *start_failure_find(int error)
{
    const struct start_failure *failure = start_failures;
    while (failure->error != 0 && failure->error != error)
        failure++;
    return failure;
}

static struct verdict not_started(int error)
{
    const struct start_failure *failure = start_failure_find(error);
    return say(CONDITION_FALSE, failure->reason, failure->message);
}

/* Of what is bound, and more than its worker could take. */
static struct verdict not_taken(int error)
{
    static const char reason[] = "WorkerExhausted";
    if (error == EMFILE)
        return say(CONDITION_FALSE, reason,
                   "its worker has no descriptors left for all of it: raise the limit of open "
                   "files (LimitNOFILE= of the unit), or end connections; it is tried again");
    return say(CONDITION_FALSE, reason,
               "its worker has no memory left for all of it: give the service more, or end "
               "connections; it is tried again");
}

/* --- Peers ------------------------------------------------------------------------------------ */

static bool is_fresh(uint64_t since_ns, uint64_t now_ns)
{
    return since_ns + CONDITION_HANDSHAKE_FRESH_SECONDS * NS_PER_S > now_ns;
}

/*
 * By its definition, or because it has called us, maybe in an earlier run. Else its initiations
 * were wanted and not sent.
 */
static bool has_address(const struct peer_facts *facts)
{
    return facts->seen || (facts->looked_up && !facts->calls_us) || facts->last_handshake_ns != 0;
}

enum peer_health peer_health_judge(const struct peer_facts *facts, uint64_t now_ns)
{
    if (facts->unanswered >= CONDITION_UNANSWERED_MAX && has_address(facts))
        return PEER_NO_ANSWER;
    if (facts->last_handshake_ns != 0 && is_fresh(facts->last_handshake_ns, now_ns))
        return PEER_FRESH;
    if (!facts->looked_up)
        return facts->lookup_error != LOOKUP_OK ? PEER_UNRESOLVED : PEER_RESOLVING;
    if (!has_address(facts))
        return PEER_AWAITED;
    if (facts->keepalive_seconds != 0 && !is_fresh(facts->since_ns, now_ns))
        return PEER_EXPIRED;
    if (facts->keepalive_seconds != 0 || facts->unanswered > 0)
        return PEER_CONNECTING;
    return PEER_IDLE;
}

struct verdict peer_health_verdict(enum peer_health health)
{
    static const struct verdict verdicts[PEER_HEALTHS] = {
        [PEER_IDLE] = {CONDITION_UNKNOWN, "Idle",
                       "no handshake lately; the next packet to the peer starts one", ""},
        [PEER_FRESH] = {CONDITION_TRUE, "Fresh", "", ""},
        [PEER_CONNECTING] = {CONDITION_UNKNOWN, "Connecting", "a handshake is under way", ""},
        [PEER_AWAITED] = {CONDITION_UNKNOWN, "WaitingForPeer",
                          "it has no endpoint, and has not called yet: nobody can be asked", ""},
        [PEER_RESOLVING] = {CONDITION_UNKNOWN, "Resolving", "its endpoint is being looked up", ""},
        [PEER_UNRESOLVED] = {CONDITION_UNKNOWN, "EndpointUnknown",
                             "there is no address that a handshake can be sent to", ""},
        [PEER_NO_ANSWER] = {CONDITION_FALSE, "NoAnswer",
                            "handshakes are not answered; check the endpoint, that its UDP port is "
                            "open, and that each side has the other's public key",
                            ""},
        [PEER_EXPIRED] = {CONDITION_FALSE, "Expired",
                          "there is a keepalive, but the last handshake is over three minutes ago; "
                          "check the peer",
                          ""},
    };
    return verdicts[health];
}

static struct verdict unresolved(enum lookup_error error)
{
    const struct lookup_failure *failure = lookup_failure_find(error);
    return say(CONDITION_FALSE, failure->reason, failure->message);
}

static const struct verdict resolved = {CONDITION_TRUE, "Resolved", "", ""};
static const struct verdict resolving = {CONDITION_UNKNOWN, "Resolving",
                                         "the endpoint is being looked up", ""};
static const struct verdict kept = {
    CONDITION_TRUE, "AddressKept",
    "the name of the endpoint could not be looked up again; its last addresses are kept", ""};

struct verdict peer_endpoint_verdict(const struct peer_facts *facts)
{
    if (facts->looked_up)
        return facts->lookup_error != LOOKUP_OK ? kept : resolved;
    return facts->lookup_error != LOOKUP_OK ? unresolved(facts->lookup_error) : resolving;
}

void peers_summary_add(struct peers_summary *summary, const char *name,
                       const struct peer_facts *facts, uint64_t now_ns)
{
    const enum peer_health health = peer_health_judge(facts, now_ns);
    const bool failed = facts->lookup_error != LOOKUP_OK;
    if (summary->count[health]++ == 0)
        summary->first[health] = name;
    if (facts->looked_up && failed && summary->kept++ == 0)
        summary->first_kept = name;
    if (facts->looked_up)
        return;
    if (!failed) {
        summary->resolving++;
    } else if (summary->unresolved++ == 0) {
        summary->first_unresolved = name;
        summary->first_error = facts->lookup_error;
    }
}

bool peers_summary_out_of_reach(const struct peers_summary *summary)
{
    size_t reachable = 0;
    size_t all = 0;
    for (enum peer_health health = 0; health < PEER_HEALTHS; health++) {
        all += summary->count[health];
        if (health < PEER_UNRESOLVED)
            reachable += summary->count[health];
    }
    return all > 0 && reachable == 0;
}

/* --- Tunnels ---------------------------------------------------------------------------------- */

static struct verdict judge_endpoints(const struct peers_summary *peers)
{
    if (peers->unresolved > 0)
        return say_of(peers->first_unresolved, unresolved(peers->first_error));
    if (peers->resolving > 0)
        return resolving;
    return peers->kept > 0 ? say_of(peers->first_kept, kept) : resolved;
}

/* What is worst comes first; one peer that answers outweighs those that nobody talks to. */
static struct verdict judge_handshakes(const struct peers_summary *peers)
{
    static const enum peer_health order[] = {PEER_NO_ANSWER,  PEER_EXPIRED,    PEER_FRESH,
                                             PEER_CONNECTING, PEER_UNRESOLVED, PEER_RESOLVING,
                                             PEER_IDLE,       PEER_AWAITED};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if (peers->count[order[i]] == 0)
            continue;
        struct verdict verdict = peer_health_verdict(order[i]);
        return verdict.status == CONDITION_FALSE ? say_of(peers->first[order[i]], verdict)
                                                 : verdict;
    }
    return say(CONDITION_UNKNOWN, "NoPeers", "the tunnel has no peers yet");
}

static struct verdict judge_tunnel(const struct tunnel_facts *facts, const struct verdict *of)
{
    if (of[TUNNEL_BOUND].status != CONDITION_TRUE)
        return of[TUNNEL_BOUND];
    if (of[TUNNEL_WORKER_ALIVE].status != CONDITION_TRUE)
        return of[TUNNEL_WORKER_ALIVE];
    if (peers_summary_out_of_reach(facts->peers))
        return of[TUNNEL_HANDSHAKE_FRESH].status == CONDITION_FALSE ? of[TUNNEL_HANDSHAKE_FRESH]
                                                                    : of[TUNNEL_ENDPOINT_RESOLVED];
    return say(CONDITION_TRUE, "Bound", "");
}

void tunnel_facts_judge(const struct tunnel_facts *facts, struct verdict out[TUNNEL_CONDITIONS])
{
    const struct verdict waits = say(CONDITION_UNKNOWN, "NotBound", "the tunnel is not bound");
    const struct verdict down = say(CONDITION_UNKNOWN, "WorkerDown", "the worker does not run");
    if (!facts->started)
        out[TUNNEL_BOUND] = not_started(facts->start_error);
    else if (facts->worker_error != 0)
        out[TUNNEL_BOUND] = not_taken(facts->worker_error);
    else
        out[TUNNEL_BOUND] = say(CONDITION_TRUE, "Bound", "");
    out[TUNNEL_WORKER_ALIVE] = waits;
    out[TUNNEL_ENDPOINT_RESOLVED] = waits;
    out[TUNNEL_HANDSHAKE_FRESH] = waits;
    if (facts->started) {
        out[TUNNEL_WORKER_ALIVE] =
            facts->worker_alive
                ? say(CONDITION_TRUE, "Running", "")
                : say(CONDITION_FALSE, "WorkerDown", "the worker process is being restarted");
        out[TUNNEL_ENDPOINT_RESOLVED] = judge_endpoints(facts->peers);
        out[TUNNEL_HANDSHAKE_FRESH] = facts->worker_alive ? judge_handshakes(facts->peers) : down;
    }
    out[TUNNEL_READY] = judge_tunnel(facts, out);
}

/* --- Forwards --------------------------------------------------------------------------------- */

static const struct dial_failure {
    int error; /* 0 in the entry that stands for every other error */
    const char *reason;
    const char *message;
} dial_failures[] = {
    {ECONNREFUSED, "ConnectionRefused",
     "the target refused the last connection; check that something listens there"},
    {ETIMEDOUT, "Timeout",
     "the target did not answer the last connection; check its address, its firewall and the peer"},
    {EHOSTUNREACH, "NoRoute",
     "no peer's allowed IPs contain the target, or the network behind the peer has no way to it"},
    {ENETUNREACH, "NoRoute", "the network behind the peer has no way to the target"},
    {0, "ConnectFailed", "the last connection to the target failed; last_error says why"},
};

static struct verdict judge_target(const struct forward_facts *facts)
{
    bool connected = facts->last_connect_ns > facts->target_since_ns;
    bool failed = facts->last_error_ns > facts->target_since_ns;
    if (failed && facts->last_error_ns > facts->last_connect_ns) {
        const struct dial_failure *failure = dial_failures;
        while (failure->error != 0 && failure->error != facts->last_error)
            failure++;
        return say(CONDITION_FALSE, failure->reason, failure->message);
    }
    if (connected)
        return say(CONDITION_TRUE, "Connected", "");
    return say(CONDITION_UNKNOWN, "NotTried", "no connection was made yet");
}

static struct verdict judge_tunnel_of(const struct forward_facts *facts)
{
    if (!facts->tunnel_up)
        return say(CONDITION_FALSE, "TunnelNotReady",
                   "it listens, but its tunnel is not up: connections wait");
    if (facts->tunnel_incomplete)
        return say(CONDITION_FALSE, "TunnelNotReady",
                   "its worker has not all of its tunnel: see the tunnel");
    if (facts->peers_out_of_reach)
        return say(CONDITION_FALSE, "TunnelNotReady",
                   "its tunnel's peers cannot be reached: see the tunnel");
    return say(CONDITION_TRUE, "TunnelReady", "");
}

void forward_facts_judge(const struct forward_facts *facts, struct verdict out[FORWARD_CONDITIONS])
{
    if (!facts->enabled) {
        const struct verdict off = say(CONDITION_UNKNOWN, "Disabled", "the forward is not enabled");
        out[FORWARD_TUNNEL_READY] = off;
        out[FORWARD_TARGET_REACHABLE] = off;
        out[FORWARD_LISTENING] = off;
        out[FORWARD_LISTENING].status = CONDITION_FALSE;
        out[FORWARD_READY] = out[FORWARD_LISTENING];
        return;
    }
    if (facts->start_error != 0)
        out[FORWARD_LISTENING] = not_started(facts->start_error);
    else if (facts->worker_error != 0)
        out[FORWARD_LISTENING] = not_taken(facts->worker_error);
    else
        out[FORWARD_LISTENING] = say(CONDITION_TRUE, "Listening", "");
    out[FORWARD_TUNNEL_READY] = judge_tunnel_of(facts);
    out[FORWARD_TARGET_REACHABLE] = judge_target(facts);
    out[FORWARD_READY] = out[FORWARD_LISTENING];
    if (out[FORWARD_READY].status == CONDITION_TRUE &&
        out[FORWARD_TUNNEL_READY].status != CONDITION_TRUE)
        out[FORWARD_READY] = out[FORWARD_TUNNEL_READY];
}

/* --- Time ------------------------------------------------------------------------------------- */

bool condition_apply(struct condition *condition, const struct verdict *verdict,
                     const struct timespec *now)
{
    bool other = condition->is.reason == NULL || condition->is.status != verdict->status ||
                 strcmp(condition->is.reason, verdict->reason) != 0;
    if (other) {
        condition->was = condition->is.status;
        condition->since = *now;
    }
    condition->is = *verdict;
    return other;
}
