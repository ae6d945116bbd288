/* handoff: the messages of a takeover as bytes. */
#include "server/handoff.h"

#include <errno.h>
#include <string.h>

int handoff_send(struct channel *channel, enum handoff_type type)
{
    return channel_send(channel, (uint16_t)type, NULL, 0, NULL);
}

int handoff_send_hello(struct channel *channel)
{
    static const uint32_t version = HANDOFF_VERSION;
    return channel_send(channel, HANDOFF_HELLO, &version, sizeof(version), NULL);
}

int handoff_send_refused(struct channel *channel, const char *reason)
{
    size_t len = strnlen(reason, HANDOFF_REASON_MAX);
    return channel_send(channel, HANDOFF_REFUSED, reason, len, NULL);
}

int handoff_send_item(struct channel *channel, enum inherited_kind kind, const char *name,
                      const int fds[INHERITED_FDS_MAX])
{
    uint8_t body[1 + INHERITED_NAME_MAX];
    size_t len = strlen(name);
    if (len > INHERITED_NAME_MAX)
        return -EMSGSIZE;
    body[0] = (uint8_t)kind;
    memcpy(body + 1, name, len); /* bytes, not a string: NOLINT */
    return inherited_is_numerous(kind) ? channel_lend(channel, HANDOFF_ITEM, body, 1 + len, fds)
                                       : channel_send(channel, HANDOFF_ITEM, body, 1 + len, fds);
}

int handoff_read_hello(const struct channel_message *message)
{
    uint32_t version;
    if (message->len != sizeof(version))
        return -EPROTO;
    memcpy(&version, message->body, sizeof(version));
    return version == HANDOFF_VERSION ? 0 : -EPROTONOSUPPORT;
}

int handoff_read_refused(const struct channel_message *message, char reason[HANDOFF_REASON_MAX + 1])
{
    if (message->len > HANDOFF_REASON_MAX)
        return -EPROTO;
    for (size_t i = 0; i < message->len; i++) {
        unsigned char c = message->body[i];
        reason[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    reason[message->len] = '\0';
    return 0;
}

int handoff_read_item(struct channel_message *message, struct inherited_item *out)
{
    if (message->fds_lost || message->len < 1 || message->len > 1 + INHERITED_NAME_MAX ||
        memchr(message->body + 1, '\0', message->len - 1) != NULL)
        return -EPROTO;
    *out = (struct inherited_item){.kind = message->body[0]};
    memcpy(out->name, message->body + 1, message->len - 1); /* out is zero behind it: NOLINT */
    for (int i = 0; i < INHERITED_FDS_MAX; i++) {
        out->fds[i] = message->fds[i];
        message->fds[i] = -1;
    }
    return 0;
}

int handoff_read_empty(const struct channel_message *message)
{
    return message->len == 0 ? 0 : -EPROTO;
}
