/*
 * peer_set: what a worker is told of where peers are, with a link and lookups of the test's own.
 */
#include "server/peer_set.h"

#include "base/log.h"
#include "server/sockets.h"
#include "tests/support/cmocka_all.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 8

static struct {
    struct event_base *base;
    struct counters *counters;
    uint32_t slots;
    bool up;
    struct message_peer_endpoint told[TOLD_MAX];
    size_t told_count;
    struct resolved answer; /* what names stand for; empty = it takes time */
    struct lookup *pending;
    struct spec_tunnel spec;
    struct spec_peer peer, changed[2]; /* by turns: two sets are there at a time */
    unsigned changes;
    struct peer_set *set;
} fx;

/* --- The link --------------------------------------------------------------------------------- */

void worker_link_send(struct worker_link *link, enum message_type type, const void *fixed,
                      size_t len, const cJSON *json, const int fds[CHANNEL_FDS_MAX])
{
    (void)link;
    (void)json;
    (void)fds;
    if (!fx.up || type != MESSAGE_PEER_ENDPOINT)
        return;
    assert_true(fx.told_count < TOLD_MAX);
    memcpy(&fx.told[fx.told_count++], fixed, len);
}

bool worker_link_is_up(const struct worker_link *link)
{
    (void)link;
    return fx.up;
}

const struct counters *worker_link_counters(const struct worker_link *link)
{
    (void)link;
    return fx.counters;
}

struct counters_peer *worker_link_fresh_peer(struct worker_link *link, uint32_t slot)
{
    (void)link;
    return &fx.counters->peers[slot];
}

int worker_link_slot_get(struct worker_link *link, enum worker_slot_kind kind, uint32_t *slot)
{
    (void)link;
    (void)kind;
    *slot = fx.slots++;
    return 0;
}

void worker_link_slot_put(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot)
{
    (void)link;
    (void)kind;
    (void)slot;
    fx.slots--;
}

void worker_link_slot_remove(struct worker_link *link, enum worker_slot_kind kind, uint32_t slot)
{
    worker_link_slot_put(link, kind, slot);
}

bool sockets_has_route(const union inet_sockaddr *address)
{
    (void)address;
    return true;
}

/* --- Lookups ---------------------------------------------------------------------------------- */

struct lookup {
    lookup_done *done;
    void *ctx;
};

int lookup_new(struct resolver *resolver, const struct lookup_request *request, lookup_done *done,
               void *ctx, struct lookup **out)
{
    (void)resolver;
    (void)request;
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    assert_non_null(lookup);
    *lookup = (struct lookup){.done = done, .ctx = ctx};
    *out = lookup;
    fx.pending = lookup;
    if (fx.answer.count > 0)
        done(ctx, &fx.answer);
    return 0;
}

void lookup_again(struct lookup *lookup)
{
    fx.pending = lookup;
}

enum lookup_error lookup_error(const struct lookup *lookup)
{
    (void)lookup;
    return LOOKUP_OK;
}

bool lookup_next_at(const struct lookup *lookup, struct timespec *out)
{
    (void)lookup;
    (void)out;
    return false;
}

void lookup_free(struct lookup *lookup)
{
    free(lookup);
}

bool resolved_equal(const struct resolved *a, const struct resolved *b)
{
    return a->count == b->count && inet_sockaddr_equal(&a->addresses[0], &b->addresses[0]);
}

const char *resolved_print(const struct resolved *resolved, char text[RESOLVED_TEXT])
{
    (void)resolved;
    text[0] = '\0';
    return text;
}

/* --- The set ---------------------------------------------------------------------------------- */

static union inet_sockaddr make_address(const char *text)
{
    struct inet_addr address;
    union inet_sockaddr made;
    assert_int_equal(inet_addr_parse(text, &address), 0);
    inet_sockaddr_make(&made, &address, 51820);
    return made;
}

static void on_readdressed(void *ctx, const struct spec_peer *peer, const struct resolved *resolved)
{
    (void)ctx;
    (void)peer;
    (void)resolved;
}

static const struct peer_set_owner *owner(void)
{
    static struct peer_set_owner made;
    made = (struct peer_set_owner){.base = fx.base, .readdressed = on_readdressed};
    return &made;
}

static const int ipv4_only[2] = {3, -1};
static const int both[2] = {3, 4};

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.base = event_base_new();
    fx.counters = calloc(1, sizeof(*fx.counters));
    fx.spec = (struct spec_tunnel){.peers = &fx.peer, .peers_count = 1};
    fx.peer = (struct spec_peer){.name = "a", .public_key = {1}, .endpoint_port = 51820};
    return fx.base != NULL && fx.counters != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    peer_set_remove(fx.set);
    assert_int_equal(fx.slots, 0);
    free(fx.counters);
    event_base_free(fx.base);
    return 0;
}

/* The first one, with the peer at host. */
static void make_set(const char *host, const int sockets[2])
{
    strcpy(fx.peer.endpoint_host, host);
    assert_int_equal(peer_set_new(owner(), &fx.spec, sockets, NULL, false, &fx.set), 0);
}

static void restore(const char *seen)
{
    const struct sighting sighting = {.endpoint = make_address(seen), .timestamp = {0x40}};
    peer_set_restore(fx.set, 0, &sighting);
}

static void start_worker(void)
{
    fx.up = true;
    peer_set_tell(fx.set);
}

/* The peer's packets come from there. */
static void see(const char *address)
{
    const union inet_sockaddr seen = make_address(address);
    counters_set_endpoint(&fx.counters->peers[0], &seen);
}

/* The definition becomes another, with the peer at host. */
static void change(const char *host, const int sockets[2])
{
    struct spec_peer *peer = &fx.changed[fx.changes++ % 2];
    struct spec_tunnel spec = fx.spec;
    struct peer_set *next;
    *peer = fx.peer;
    strcpy(peer->endpoint_host, host);
    peer->keepalive_seconds = (uint16_t)fx.changes;
    spec.peers = peer;
    assert_int_equal(peer_set_new(owner(), &spec, sockets, fx.set, false, &next), 0);
    peer_set_replace(fx.set, next);
    fx.set = next;
}

static void assert_told(const char *address, bool offered)
{
    const union inet_sockaddr expected = make_address(address);
    assert_int_equal(fx.told_count, 1);
    assert_true(inet_sockaddr_equal(&fx.told[0].remote, &expected));
    assert_int_equal(fx.told[0].offered, offered);
    fx.told_count = 0;
}

static void assert_told_nothing(void)
{
    assert_int_equal(fx.told_count, 0);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void a_new_worker_looks_where_the_peer_was_seen(void **state)
{
    (void)state;
    make_set("192.0.2.1", ipv4_only);
    start_worker();
    assert_told_nothing(); /* it is in the definition */
    see("192.0.2.9");
    start_worker();
    assert_told("192.0.2.9", true);
}

static void what_was_seen_before_is_restored(void **state)
{
    (void)state;
    make_set("2001:db8::1", both);
    restore("192.0.2.9");
    start_worker();
    assert_told("192.0.2.9", true);
}

/* Not where no socket reaches; of old initiations it is told nevertheless. */
static void an_address_of_a_family_that_is_gone_is_not_restored(void **state)
{
    (void)state;
    uint8_t timestamp[COUNTERS_TIMESTAMP_LEN];
    make_set("192.0.2.1", ipv4_only);
    restore("2001:db8::9");
    start_worker();
    assert_told_nothing();
    assert_true(counters_get_timestamp(&fx.counters->peers[0], timestamp));
}

static void a_new_worker_is_not_sent_where_no_socket_reaches(void **state)
{
    (void)state;
    make_set("192.0.2.1", both);
    start_worker();
    see("2001:db8::9");
    change("192.0.2.1", ipv4_only);
    start_worker();
    assert_told_nothing();
}

/* The worker dies before it has written that the peer is elsewhere. */
static void a_changed_endpoint_is_where_the_next_worker_looks(void **state)
{
    (void)state;
    make_set("192.0.2.1", ipv4_only);
    start_worker();
    see("192.0.2.1");
    change("192.0.2.2", ipv4_only);
    change("192.0.2.2", ipv4_only); /* of something else */
    start_worker();
    assert_told_nothing();
    see("192.0.2.3");
    start_worker();
    assert_told("192.0.2.3", true);
}

static void a_peer_that_gets_a_name_is_not_looked_for_where_it_was(void **state)
{
    (void)state;
    make_set("192.0.2.1", ipv4_only);
    start_worker();
    see("192.0.2.1");
    change("gw.example.org", ipv4_only);
    start_worker();
    assert_told_nothing();
    const struct resolved answer = {.count = 1, .addresses = {make_address("192.0.2.2")}};
    fx.pending->done(fx.pending->ctx, &answer);
    assert_told("192.0.2.2", false);
}

/* Also when its tunnel is changed once more while the name is being looked up. */
static void a_name_that_is_not_looked_up_yet_moves_the_peer_after_further_changes(void **state)
{
    (void)state;
    const struct resolved answer = {.count = 1, .addresses = {make_address("192.0.2.2")}};
    make_set("192.0.2.1", ipv4_only);
    start_worker();
    see("192.0.2.1");
    change("gw.example.org", ipv4_only);
    change("gw.example.org", ipv4_only); /* of something else */
    fx.pending->done(fx.pending->ctx, &answer);
    assert_told("192.0.2.2", false);
}

/* A peer that gets a name is where the name says first; from then on it may be elsewhere. */
static void a_name_that_says_where_the_peer_is_moves_it_nowhere(void **state)
{
    (void)state;
    const struct resolved first = {
        .count = 2, .addresses = {make_address("192.0.2.1"), make_address("192.0.2.2")}};
    const struct resolved second = {.count = 1, .addresses = {make_address("192.0.2.3")}};
    make_set("192.0.2.1", ipv4_only);
    start_worker();
    see("192.0.2.1");
    change("gw.example.org", ipv4_only);
    fx.pending->done(fx.pending->ctx, &first);
    assert_told("192.0.2.1", false);
    fx.pending->done(fx.pending->ctx, &second);
    assert_told("192.0.2.3", true);
}

/* The worker, which hears it, knows better; so also of a tunnel that has just been made. */
static void a_peer_that_calls_before_its_name_is_looked_up_is_offered_a_move(void **state)
{
    (void)state;
    const struct resolved answer = {.count = 1, .addresses = {make_address("192.0.2.2")}};
    make_set("gw.example.org", ipv4_only);
    start_worker();
    see("192.0.2.9");
    fx.pending->done(fx.pending->ctx, &answer);
    assert_told("192.0.2.2", true);
}

/* A peer whose endpoint is no longer defined stays where it is. */
static void a_peer_that_is_to_call_us_is_looked_for_where_it_was(void **state)
{
    (void)state;
    make_set("192.0.2.1", ipv4_only);
    start_worker();
    see("192.0.2.1");
    change("", ipv4_only);
    start_worker();
    assert_told("192.0.2.1", true);
}

/* A change that comes before the name is looked up; then the answer is there at once. */
static void what_is_restored_outlives_an_early_change(void **state)
{
    (void)state;
    make_set("gw.example.org", ipv4_only);
    restore("192.0.2.9");
    start_worker();
    assert_told("192.0.2.9", true);
    fx.answer = (struct resolved){.count = 1, .addresses = {make_address("192.0.2.2")}};
    change("gw.example.org", ipv4_only);
    assert_told("192.0.2.9", true);
}

static enum peer_news note(bool answered)
{
    return peer_set_note_handshake(fx.set, fx.peer.public_key, answered);
}

/* Each time that it ends otherwise than before, however often that was. */
static void what_becomes_of_handshakes_is_news_once(void **state)
{
    (void)state;
    static const uint8_t nobody[SPEC_KEY_LEN] = {9};
    make_set("192.0.2.1", ipv4_only);
    assert_int_equal(peer_set_note_handshake(fx.set, nobody, true), PEER_NO_NEWS);
    assert_int_equal(note(true), PEER_ANSWERS);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(note(true), PEER_NO_NEWS);
        assert_int_equal(note(false), PEER_SILENT);
        assert_int_equal(note(false), PEER_NO_NEWS);
        change("192.0.2.1", ipv4_only); /* of something else */
        assert_int_equal(note(false), PEER_NO_NEWS);
        assert_int_equal(note(true), PEER_ANSWERS_AGAIN);
    }
    change("192.0.2.2", ipv4_only);
    assert_int_equal(note(true), PEER_ANSWERS);
    change("192.0.2.3", ipv4_only);
    assert_int_equal(note(false), PEER_SILENT);
    change("192.0.2.4", ipv4_only);
    assert_int_equal(note(false), PEER_SILENT);
}

static void peers_are_known_in_the_order_of_their_keys(void **state)
{
    (void)state;
    static struct spec_peer peers[] = {{.name = "c", .public_key = {0xff}},
                                       {.name = "a", .public_key = {1}},
                                       {.name = "b", .public_key = {1, 1}}};
    static const size_t expected[] = {1, 2, 0};
    fx.spec = (struct spec_tunnel){.peers = peers, .peers_count = 3};
    assert_int_equal(peer_set_new(owner(), &fx.spec, both, NULL, false, &fx.set), 0);
    for (size_t rank = 0; rank < 3; rank++)
        assert_int_equal(peer_set_by_key(fx.set, rank), expected[rank]);
}

int main(void)
{
    log_set_level(LOG_LEVEL_OFF);
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_new_worker_looks_where_the_peer_was_seen),
        TEST(what_was_seen_before_is_restored),
        TEST(an_address_of_a_family_that_is_gone_is_not_restored),
        TEST(a_new_worker_is_not_sent_where_no_socket_reaches),
        TEST(a_changed_endpoint_is_where_the_next_worker_looks),
        TEST(a_peer_that_gets_a_name_is_not_looked_for_where_it_was),
        TEST(a_name_that_is_not_looked_up_yet_moves_the_peer_after_further_changes),
        TEST(a_name_that_says_where_the_peer_is_moves_it_nowhere),
        TEST(a_peer_that_calls_before_its_name_is_looked_up_is_offered_a_move),
        TEST(a_peer_that_is_to_call_us_is_looked_for_where_it_was),
        TEST(what_is_restored_outlives_an_early_change),
        TEST(what_becomes_of_handshakes_is_news_once),
        TEST(peers_are_known_in_the_order_of_their_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
