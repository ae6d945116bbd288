/* messages: what one end sends the other reads, and what does not fit is refused. */
#include "engine/messages.h"

#include "engine/json.h"
#include "tests/support/cmocka_all.h"

#include <errno.h>
#include <event2/event.h>
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
        {"\1\0\0\0", 4, 0, -EPROTO},        {"\1\0\0", 3, -EPROTO, -EPROTO},
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
        {1, 1, -EPROTO},   {1, 2, -EPROTO},  {1, 3, -EPROTO},  {2, 0, -EPROTO},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(carries_a_definition),
        cmocka_unit_test(reads_only_what_has_the_right_form),
        cmocka_unit_test(reads_an_update_of_the_right_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
