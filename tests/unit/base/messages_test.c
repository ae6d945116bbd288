/* messages: what one end sends the other reads, and what does not fit is refused. */
#include "base/messages.h"

#include "base/json.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct received {
    unsigned count;
    struct message_forward_add add;
    char name[SPEC_NAME_MAX + 1];
};

static int on_message(void *ctx, struct channel_message *message)
{
    struct received *received = ctx;
    cJSON *json;
    int error = message_read_json(message, &received->add, sizeof(received->add), &json);
    if (error)
        return error;
    const cJSON *name = json_member(json, "name");
    strncpy(received->name, name->valuestring, SPEC_NAME_MAX);
    json_free(json);
    received->count++;
    return 0;
}

static void on_closed(void *ctx, int error)
{
    (void)ctx;
    (void)error;
}

static const struct channel_ops ops = {.message = on_message, .closed = on_closed};

static void carries_a_definition(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct channel *a, *b;
    struct received received = {0};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(channel_new(base, pair[0], &ops, &received, &a), 0);
    assert_int_equal(channel_new(base, pair[1], &ops, &received, &b), 0);

    struct message_forward_add add = {.slot = 7, .tunnel_slot = 3};
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", "web");
    assert_int_equal(message_send(a, MESSAGE_FORWARD_ADD, &add, sizeof(add), json, NULL), 0);
    json_free(json);
    while (received.count == 0)
        event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(received.add.slot, 7);
    assert_int_equal(received.add.tunnel_slot, 3);
    assert_string_equal(received.name, "web");
    channel_free(a);
    channel_free(b);
    event_base_free(base);
}

static void reads_only_what_has_the_right_form(void **state)
{
    (void)state;
    static const struct {
        const char *body; /* after a slot of four bytes */
        size_t len;
        int plain; /* message_read() */
        int json;  /* message_read_json() */
    } rows[] = {
        {"\1\0\0\0", 4, 0, -ENOMEM},        {"\1\0\0", 3, -EPROTO, -EPROTO},
        {"\1\0\0\0{}", 6, -EPROTO, 0},      {"\1\0\0\0{} x", 8, -EPROTO, -EPROTO},
        {"\1\0\0\0{", 5, -EPROTO, -EPROTO}, {"", 0, -EPROTO, -EPROTO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct channel_message message = {.body = (const uint8_t *)rows[i].body,
                                          .len = rows[i].len};
        struct message_slot slot;
        cJSON *json = NULL;
        assert_int_equal(message_read(&message, &slot, sizeof(slot)), rows[i].plain);
        assert_int_equal(message_read_json(&message, &slot, sizeof(slot), &json), rows[i].json);
        if (rows[i].json == 0) {
            assert_int_equal(slot.slot, 1);
            json_free(json);
        }
    }
}

static void reads_an_update_of_the_right_form(void **state)
{
    (void)state;
    static const char key[] = "0123456789abcdef0123456789ABCDEF";
    static const struct {
        uint8_t gone; /* of these keys one is there */
        size_t cut;   /* of the end */
        int result;
    } rows[] = {
        {1, 0, 0},         {0, 0, -EPROTO}, /* a key is no JSON */
        {1, 1, -EPROTO},   {1, 2, -ENOMEM},  {1, 3, -EPROTO},  {2, 0, -EPROTO},
        {255, 0, -EPROTO}, {1, 34, -EPROTO}, {1, 41, -EPROTO},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t body[8 + SPEC_KEY_LEN + 2] = {5, [4] = rows[i].gone};
        memcpy(body + 8, key, SPEC_KEY_LEN);
        memcpy(body + 8 + SPEC_KEY_LEN, "{}", 2); /* bytes, not a string: NOLINT */
        struct channel_message message = {.body = body, .len = sizeof(body) - rows[i].cut};
        struct message_tunnel_update update;
        const uint8_t(*keys)[SPEC_KEY_LEN];
        cJSON *json = NULL;
        assert_int_equal(message_read_update(&message, &update, &keys, &json), rows[i].result);
        if (rows[i].result == 0) {
            assert_int_equal(update.slot, 5);
            assert_memory_equal(keys[0], key, SPEC_KEY_LEN);
            json_free(json);
        }
    }
}

static char *fill(char *text, size_t size, size_t number)
{
    memset(text, 'a', size - 1);
    text[size - 1] = '\0';
    for (size_t i = 0; number > 0; i++, number /= 10)
        text[i] = (char)('0' + number % 10);
    return text;
}

/* What the validator lets pass can be sent to a worker: the limits of definitions at their worst,
 * with the longest texts there are. */
static void the_largest_tunnel_fits(void **state)
{
    (void)state;
    const size_t each = SPEC_TUNNEL_ALLOWED_IPS_MAX / SPEC_PEERS_MAX;
    struct spec_tunnel spec = {.mtu = SPEC_MTU_MAX, .peers_count = SPEC_PEERS_MAX};
    struct inet_prefix *prefixes = calloc(SPEC_TUNNEL_ALLOWED_IPS_MAX, sizeof(*prefixes));
    spec.peers = calloc(SPEC_PEERS_MAX, sizeof(*spec.peers));
    assert_true(prefixes != NULL && spec.peers != NULL);
    for (size_t i = 0; i < SPEC_TUNNEL_ALLOWED_IPS_MAX; i++) {
        prefixes[i] = (struct inet_prefix){.addr.family = AF_INET6, .bits = 128};
        memset(prefixes[i].addr.bytes, 0xff, sizeof(prefixes[i].addr.bytes));
    }
    fill(spec.name, sizeof(spec.name), 0);
    for (size_t i = 0; i < SPEC_PEERS_MAX; i++) {
        struct spec_peer *peer = &spec.peers[i];
        *peer = (struct spec_peer){.has_preshared_key = true,
                                   .endpoint_port = UINT16_MAX,
                                   .keepalive_seconds = UINT16_MAX,
                                   .allowed_ips = &prefixes[i * each],
                                   .allowed_ips_count = each};
        fill(peer->name, sizeof(peer->name), i);
        fill(peer->endpoint_host, sizeof(peer->endpoint_host), i);
    }
    cJSON *json = spec_tunnel_to_json(&spec, SPEC_COMPLETE);
    assert_non_null(json);
    char *text = cJSON_PrintUnformatted(json);
    assert_non_null(text);
    assert_in_range(strlen(text) + sizeof(struct message_tunnel_add), 16 << 20,
                    CHANNEL_MESSAGE_MAX);
    cJSON_free(text);
    json_free(json);
    free(spec.peers);
    free(prefixes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_tunnel_fits),
        cmocka_unit_test(carries_a_definition),
        cmocka_unit_test(reads_only_what_has_the_right_form),
        cmocka_unit_test(reads_an_update_of_the_right_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
