/*
 * The rules of conditions, as tables.
 */
#include "server/conditions.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define S            1000000000ULL
#define NOW          (1000000 * S)

/* --- Peers ------------------------------------------------------------------------------------ */

static const struct {
    const char *what;
    struct peer_facts facts;
    enum peer_health health;
} peers[] = {
    {"never asked for", {.looked_up = true}, PEER_IDLE},
    {"a session", {.looked_up = true, .last_handshake_ns = NOW - 179 * S}, PEER_FRESH},
    {"a session that ended", {.looked_up = true, .last_handshake_ns = NOW - 180 * S}, PEER_IDLE},
    {"the first initiation", {.looked_up = true, .unanswered = 1}, PEER_CONNECTING},
    {"a lost packet or two", {.looked_up = true, .unanswered = 2}, PEER_CONNECTING},
    {"no answer", {.looked_up = true, .unanswered = 3}, PEER_NO_ANSWER},
    {"no answer to the renewal of a session",
     {.looked_up = true, .unanswered = 3, .last_handshake_ns = NOW - 130 * S},
     PEER_NO_ANSWER},
    {"renewal of a session",
     {.looked_up = true, .unanswered = 1, .last_handshake_ns = NOW - 121 * S},
     PEER_FRESH},
    {"keepalive, just begun",
     {.looked_up = true, .keepalive_seconds = 25, .since_ns = NOW - 10 * S},
     PEER_CONNECTING},
    {"keepalive, never a handshake",
     {.looked_up = true, .keepalive_seconds = 25, .since_ns = NOW - 180 * S},
     PEER_EXPIRED},
    {"keepalive, a session that ended",
     {.looked_up = true,
      .keepalive_seconds = 25,
      .since_ns = NOW - 900 * S,
      .last_handshake_ns = NOW - 200 * S},
     PEER_EXPIRED},
    {"keepalive, a worker that was just started again",
     {.looked_up = true,
      .keepalive_seconds = 25,
      .since_ns = NOW - 1 * S,
      .last_handshake_ns = NOW - 200 * S},
     PEER_CONNECTING},
    {"a name that is being looked up", {.keepalive_seconds = 25}, PEER_RESOLVING},
    {"a name that is not known", {.lookup_error = LOOKUP_NOT_FOUND}, PEER_UNRESOLVED},
    {"a name that is not known, of a peer that called us",
     {.lookup_error = LOOKUP_NOT_FOUND, .last_handshake_ns = NOW - 1 * S},
     PEER_FRESH},
    {"a name that is not known, of a peer that packets wait for",
     {.lookup_error = LOOKUP_NOT_FOUND, .unanswered = 9},
     PEER_UNRESOLVED},
    {"a name that is being looked up, for long", {.unanswered = 9}, PEER_RESOLVING},
    {"a name that is not known, of a peer that called us and answers no more",
     {.lookup_error = LOOKUP_NOT_FOUND, .unanswered = 3, .last_handshake_ns = NOW - 130 * S},
     PEER_NO_ANSWER},
    {"an address without a socket", {.lookup_error = LOOKUP_OTHER_FAMILY}, PEER_UNRESOLVED},
    {"no endpoint, never called", {.calls_us = true, .looked_up = true}, PEER_AWAITED},
    {"no endpoint, and packets wait for it",
     {.calls_us = true, .looked_up = true, .unanswered = 9},
     PEER_AWAITED},
    {"no endpoint, and a keepalive",
     {.calls_us = true, .looked_up = true, .keepalive_seconds = 25, .since_ns = NOW - 900 * S},
     PEER_AWAITED},
    {"no endpoint, has called in an earlier run",
     {.calls_us = true, .looked_up = true, .seen = true},
     PEER_IDLE},
    {"no endpoint, has called in an earlier run, and answers no more",
     {.calls_us = true, .looked_up = true, .seen = true, .unanswered = 3},
     PEER_NO_ANSWER},
    {"no endpoint, has called",
     {.calls_us = true, .looked_up = true, .last_handshake_ns = NOW - 1 * S},
     PEER_FRESH},
    {"no endpoint, has called once",
     {.calls_us = true, .looked_up = true, .last_handshake_ns = NOW - 900 * S},
     PEER_IDLE},
    {"no endpoint, has called and answers no more",
     {.calls_us = true, .looked_up = true, .unanswered = 3, .last_handshake_ns = NOW - 130 * S},
     PEER_NO_ANSWER},
    {"a clock that was set back", {.looked_up = true, .last_handshake_ns = NOW + S}, PEER_FRESH},
};

static void test_peers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(peers); i++) {
        enum peer_health health = peer_health_judge(&peers[i].facts, NOW);
        if (health != peers[i].health)
            fail_msg("%s: %d", peers[i].what, health);
    }
}

/* --- Tunnels ---------------------------------------------------------------------------------- */

#define ANSWERS                                                                                    \
    {                                                                                              \
        .looked_up = true, .last_handshake_ns = NOW - 1 * S                                        \
    }
#define IDLE                                                                                       \
    {                                                                                              \
        .looked_up = true                                                                          \
    }
#define SILENT                                                                                     \
    {                                                                                              \
        .looked_up = true, .unanswered = 9                                                         \
    }
#define UNKNOWN                                                                                    \
    {                                                                                              \
        .lookup_error = LOOKUP_NOT_FOUND                                                           \
    }
#define KEPT                                                                                       \
    {                                                                                              \
        .looked_up = true, .lookup_error = LOOKUP_NOT_FOUND                                        \
    }
#define LOOKING_UP                                                                                 \
    {                                                                                              \
        .looked_up = false                                                                         \
    }

#define AWAITED                                                                                    \
    {                                                                                              \
        .looked_up = true, .calls_us = true                                                        \
    }
#define NO_SOCKET                                                                                  \
    {                                                                                              \
        .lookup_error = LOOKUP_OTHER_FAMILY                                                        \
    }

static const struct {
    const char *what;
    bool started;
    int error; /* of its start, or else of its worker */
    bool worker_dead;
    size_t peers_count;
    struct peer_facts peers[3];
    const char *said[TUNNEL_CONDITIONS]; /* status/reason, in the order of the enum */
    const char *subject;                 /* of HandshakeFresh or EndpointResolved */
} tunnels[] = {
    {"a port that is taken",
     false,
     EADDRINUSE,
     false,
     1,
     {IDLE},
     {"False/AddressInUse", "False/AddressInUse", "Unknown/NotBound", "Unknown/NotBound",
      "Unknown/NotBound"},
     NULL},
    {"no descriptors",
     false,
     EMFILE,
     false,
     1,
     {IDLE},
     {"False/ResourcesExhausted", "False/ResourcesExhausted", "Unknown/NotBound",
      "Unknown/NotBound", "Unknown/NotBound"},
     NULL},
    {"a dead worker",
     true,
     0,
     true,
     1,
     {ANSWERS},
     {"False/WorkerDown", "True/Bound", "False/WorkerDown", "True/Resolved", "Unknown/WorkerDown"},
     NULL},
    {"a worker without descriptors",
     true,
     EMFILE,
     false,
     1,
     {IDLE},
     {"False/WorkerExhausted", "False/WorkerExhausted", "True/Running", "True/Resolved",
      "Unknown/Idle"},
     NULL},
    {"a worker without memory for a peer",
     true,
     ENOMEM,
     false,
     1,
     {SILENT},
     {"False/WorkerExhausted", "False/WorkerExhausted", "True/Running", "True/Resolved",
      "False/NoAnswer"},
     "a"},
    {"a peer that has to call",
     true,
     0,
     false,
     1,
     {AWAITED},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "Unknown/WaitingForPeer"},
     NULL},
    {"a peer that has to call beside one that is idle",
     true,
     0,
     false,
     2,
     {AWAITED, IDLE},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "Unknown/Idle"},
     NULL},
    {"an endpoint of a family that is not there",
     true,
     0,
     false,
     1,
     {NO_SOCKET},
     {"False/FamilyNotAvailable", "True/Bound", "True/Running", "False/FamilyNotAvailable",
      "Unknown/EndpointUnknown"},
     "a"},
    {"no peers",
     true,
     0,
     false,
     0,
     {IDLE},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "Unknown/NoPeers"},
     NULL},
    {"idle",
     true,
     0,
     false,
     1,
     {IDLE},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "Unknown/Idle"},
     NULL},
    {"in use",
     true,
     0,
     false,
     2,
     {IDLE, ANSWERS},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "True/Fresh"},
     NULL},
    {"a peer that does not answer",
     true,
     0,
     false,
     1,
     {SILENT},
     {"False/NoAnswer", "True/Bound", "True/Running", "True/Resolved", "False/NoAnswer"},
     "a"},
    {"one of two does not answer",
     true,
     0,
     false,
     2,
     {ANSWERS, SILENT},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "False/NoAnswer"},
     "b"},
    {"one does not answer, the other is idle",
     true,
     0,
     false,
     2,
     {SILENT, IDLE},
     {"True/Bound", "True/Bound", "True/Running", "True/Resolved", "False/NoAnswer"},
     "a"},
    {"a name that is not known",
     true,
     0,
     false,
     1,
     {UNKNOWN},
     {"False/NameNotFound", "True/Bound", "True/Running", "False/NameNotFound",
      "Unknown/EndpointUnknown"},
     "a"},
    {"a name that is not known, and a peer that answers",
     true,
     0,
     false,
     2,
     {UNKNOWN, ANSWERS},
     {"True/Bound", "True/Bound", "True/Running", "False/NameNotFound", "True/Fresh"},
     "a"},
    {"nobody can be reached",
     true,
     0,
     false,
     2,
     {UNKNOWN, SILENT},
     {"False/NoAnswer", "True/Bound", "True/Running", "False/NameNotFound", "False/NoAnswer"},
     "b"},
    {"a name that is not found again",
     true,
     0,
     false,
     2,
     {ANSWERS, KEPT},
     {"True/Bound", "True/Bound", "True/Running", "True/AddressKept", "True/Fresh"},
     "b"},
    {"a name that is looked up",
     true,
     0,
     false,
     1,
     {LOOKING_UP},
     {"True/Bound", "True/Bound", "True/Running", "Unknown/Resolving", "Unknown/Resolving"},
     NULL},
};

static void check(const char *what, const char *type, const struct verdict *verdict,
                  const char *expected)
{
    char said[64];
    snprintf(said, sizeof(said), "%s/%s", condition_status_name(verdict->status), verdict->reason);
    if (strcmp(said, expected) != 0)
        fail_msg("%s: %s is %s, not %s", what, type, said, expected);
    /* Who reads that something is wrong is told what. */
    assert_true(verdict->status != CONDITION_FALSE || verdict->message[0] != '\0');
}

static void test_tunnels(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < COUNT(tunnels); i++) {
        struct peers_summary summary = {0};
        struct verdict verdicts[TUNNEL_CONDITIONS];
        for (size_t peer = 0; peer < tunnels[i].peers_count; peer++)
            peers_summary_add(&summary, names[peer], &tunnels[i].peers[peer], NOW);
        const struct tunnel_facts facts = {
            .started = tunnels[i].started,
            .start_error = tunnels[i].started ? 0 : tunnels[i].error,
            .worker_alive = !tunnels[i].worker_dead,
            .worker_error = tunnels[i].started ? tunnels[i].error : 0,
            .peers = &summary,
        };
        tunnel_facts_judge(&facts, verdicts);
        for (enum tunnel_condition type = 0; type < TUNNEL_CONDITIONS; type++)
            check(tunnels[i].what, tunnel_condition_name(type), &verdicts[type],
                  tunnels[i].said[type]);
        const struct verdict *handshakes = &verdicts[TUNNEL_HANDSHAKE_FRESH];
        const struct verdict *worst = handshakes->status == CONDITION_FALSE
                                          ? handshakes
                                          : &verdicts[TUNNEL_ENDPOINT_RESOLVED];
        assert_string_equal(worst->subject, tunnels[i].subject ? tunnels[i].subject : "");
    }
}

/* --- Forwards --------------------------------------------------------------------------------- */

static const struct {
    const char *what;
    struct forward_facts facts;
    const char *said[FORWARD_CONDITIONS];
} forwards[] = {
    {"not enabled",
     {.tunnel_up = true},
     {"False/Disabled", "False/Disabled", "Unknown/Disabled", "Unknown/Disabled"}},
    {"a port that is taken",
     {.enabled = true, .start_error = EADDRINUSE, .tunnel_up = true},
     {"False/AddressInUse", "False/AddressInUse", "True/TunnelReady", "Unknown/NotTried"}},
    {"a right that is missing",
     {.enabled = true, .start_error = EACCES, .tunnel_up = true},
     {"False/PermissionDenied", "False/PermissionDenied", "True/TunnelReady", "Unknown/NotTried"}},
    {"a worker without descriptors",
     {.enabled = true, .tunnel_up = true, .worker_error = EMFILE},
     {"False/WorkerExhausted", "False/WorkerExhausted", "True/TunnelReady", "Unknown/NotTried"}},
    {"a worker without memory for its tunnel",
     {.enabled = true, .tunnel_up = true, .tunnel_incomplete = true},
     {"False/TunnelNotReady", "True/Listening", "False/TunnelNotReady", "Unknown/NotTried"}},
    {"its tunnel is down",
     {.enabled = true},
     {"False/TunnelNotReady", "True/Listening", "False/TunnelNotReady", "Unknown/NotTried"}},
    {"its tunnel's peers are gone",
     {.enabled = true, .tunnel_up = true, .peers_out_of_reach = true},
     {"False/TunnelNotReady", "True/Listening", "False/TunnelNotReady", "Unknown/NotTried"}},
    {"never used",
     {.enabled = true, .tunnel_up = true},
     {"True/Listening", "True/Listening", "True/TunnelReady", "Unknown/NotTried"}},
    {"used",
     {.enabled = true, .tunnel_up = true, .last_connect_ns = 5},
     {"True/Listening", "True/Listening", "True/TunnelReady", "True/Connected"}},
    {"refused",
     {.enabled = true, .tunnel_up = true, .last_error_ns = 5, .last_error = ECONNREFUSED},
     {"True/Listening", "True/Listening", "True/TunnelReady", "False/ConnectionRefused"}},
    {"not answered",
     {.enabled = true, .tunnel_up = true, .last_error_ns = 5, .last_error = ETIMEDOUT},
     {"True/Listening", "True/Listening", "True/TunnelReady", "False/Timeout"}},
    {"no way",
     {.enabled = true, .tunnel_up = true, .last_error_ns = 5, .last_error = EHOSTUNREACH},
     {"True/Listening", "True/Listening", "True/TunnelReady", "False/NoRoute"}},
    {"something else",
     {.enabled = true, .tunnel_up = true, .last_error_ns = 5, .last_error = ECONNRESET},
     {"True/Listening", "True/Listening", "True/TunnelReady", "False/ConnectFailed"}},
    {"refused, then used",
     {.enabled = true,
      .tunnel_up = true,
      .last_error_ns = 5,
      .last_error = ECONNREFUSED,
      .last_connect_ns = 6},
     {"True/Listening", "True/Listening", "True/TunnelReady", "True/Connected"}},
    {"used, then refused",
     {.enabled = true,
      .tunnel_up = true,
      .last_error_ns = 7,
      .last_error = ECONNREFUSED,
      .last_connect_ns = 6},
     {"True/Listening", "True/Listening", "True/TunnelReady", "False/ConnectionRefused"}},
    {"refused by the target of before",
     {.enabled = true,
      .tunnel_up = true,
      .last_error_ns = 7,
      .last_error = ECONNREFUSED,
      .last_connect_ns = 6,
      .target_since_ns = 8},
     {"True/Listening", "True/Listening", "True/TunnelReady", "Unknown/NotTried"}},
};

static void test_forwards(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(forwards); i++) {
        struct verdict verdicts[FORWARD_CONDITIONS];
        forward_facts_judge(&forwards[i].facts, verdicts);
        for (enum forward_condition type = 0; type < FORWARD_CONDITIONS; type++)
            check(forwards[i].what, forward_condition_name(type), &verdicts[type],
                  forwards[i].said[type]);
    }
}

/* --- Time ------------------------------------------------------------------------------------- */

/* The time is that of the last change of status or reason, whatever the message says. */
static void test_since(void **state)
{
    (void)state;
    static const struct {
        struct verdict verdict;
        bool other;
        time_t since;
    } steps[] = {
        {{CONDITION_TRUE, "Bound", "", ""}, true, 0},
        {{CONDITION_TRUE, "Bound", "", ""}, false, 0},
        {{CONDITION_FALSE, "NoAnswer", "why", "a"}, true, 2},
        {{CONDITION_FALSE, "NoAnswer", "why", "b"}, false, 2},
        {{CONDITION_FALSE, "Expired", "why", "b"}, true, 4},
        {{CONDITION_UNKNOWN, "Expired", "why", "b"}, true, 5},
    };
    struct condition condition = {0};
    for (size_t i = 0; i < COUNT(steps); i++) {
        struct timespec now = {.tv_sec = (time_t)i};
        assert_int_equal(condition_apply(&condition, &steps[i].verdict, &now), steps[i].other);
        assert_int_equal(condition.since.tv_sec, steps[i].since);
        assert_string_equal(condition.is.subject, steps[i].verdict.subject);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers),
        cmocka_unit_test(test_tunnels),
        cmocka_unit_test(test_forwards),
        cmocka_unit_test(test_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
