/* messages: one writer and one reader for all types; the types are in messages.h. */
#include "base/messages.h"

#include "base/json.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int message_send(struct channel *channel, enum message_type type, const void *fixed, size_t len,
                 const cJSON *json, const int fds[CHANNEL_FDS_MAX])
{
    if (!json)
        return channel_lend(channel, (uint16_t)type, fixed, len, fds);
    char *text = cJSON_PrintUnformatted(json);
    if (!text)
        return -ENOMEM;
    size_t text_len = strlen(text);
    uint8_t *body = malloc(len + text_len);
    int error = -ENOMEM;
    if (body) {
        memcpy(body, fixed, len);
        memcpy(body + len, text, text_len); /* bytes, not a string: NOLINT */
        error = channel_lend(channel, (uint16_t)type, body, len + text_len, fds);
        sodium_memzero(body, len + text_len);
        free(body);
    }
    cJSON_free(text);
    return error;
}

int message_read(const struct channel_message *message, void *fixed, size_t len)
{
    if (message->len != len)
        return -EPROTO;
    memcpy(fixed, message->body, len);
    return 0;
}

static int read_json(const struct channel_message *message, size_t from, cJSON **json)
{
    struct json_error error = {0};
    *json = NULL;
    if (message->len == from)
        return -ENOMEM;
    *json = json_read((const char *)message->body + from, message->len - from, &error);
    if (!*json)
        return error.no_memory ? -ENOMEM : -EPROTO;
    return 0;
}

int message_read_json(const struct channel_message *message, void *fixed, size_t len, cJSON **json)
{
    if (message->len < len)
        return -EPROTO;
    memcpy(fixed, message->body, len);
    return read_json(message, len, json);
}

int message_read_update(const struct channel_message *message, struct message_tunnel_update *update,
                        const uint8_t (**keys)[SPEC_KEY_LEN], cJSON **json)
{
    if (message->len < sizeof(*update))
        return -EPROTO;
    memcpy(update, message->body, sizeof(*update));
    const size_t room = message->len - sizeof(*update);
    if (update->gone > room / SPEC_KEY_LEN)
        return -EPROTO;
    *keys = (const uint8_t(*)[SPEC_KEY_LEN])(message->body + sizeof(*update));
    return read_json(message, sizeof(*update) + (size_t)update->gone * SPEC_KEY_LEN, json);
}
