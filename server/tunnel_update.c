/* tunnel_update: owns the message's two parts. */
#include "server/tunnel_update.h"

#include "base/json.h"
#include "base/messages.h"
#include "base/spec_diff.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The head, with the peers of before that are not in after. */
static int make_head(struct tunnel_update *update, uint32_t slot, const struct spec_tunnel *before,
                     const struct spec_peer_index *after)
{
    struct message_tunnel_update message = {.slot = slot};
    uint8_t *head = malloc(sizeof(message) + before->peers_count * SPEC_KEY_LEN);
    uint8_t *end = head + sizeof(message);
    if (head == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < before->peers_count; i++) {
        const uint8_t *key = before->peers[i].public_key;
        if (spec_peer_index_find(after, key) != NULL)
            continue;
        memcpy(end, key, SPEC_KEY_LEN);
        end += SPEC_KEY_LEN;
        message.gone++;
    }
    memcpy(head, &message, sizeof(message));
    update->head = head;
    update->head_len = (size_t)(end - head);
    return 0;
}

/* The definition with those of its peers that are new or differ. */
static int make_json(struct tunnel_update *update, const struct spec_peer_index *before,
                     const struct spec_tunnel *after)
{
    struct spec_tunnel part = *after;
    part.peers_count = 0;
    part.peers = calloc(after->peers_count + 1, sizeof(*part.peers)); /* never of nothing */
    for (size_t i = 0; part.peers != NULL && i < after->peers_count; i++) {
        const struct spec_peer *peer = &after->peers[i];
        const struct spec_peer *known = spec_peer_index_find(before, peer->public_key);
        if (known == NULL || !spec_peer_equal(known, peer))
            part.peers[part.peers_count++] = *peer;
    }
    if (part.peers != NULL) {
        update->json = spec_tunnel_to_json(&part, SPEC_COMPLETE);
        sodium_memzero(part.peers, part.peers_count * sizeof(*part.peers));
    }
    free(part.peers);
    sodium_memzero(&part, sizeof(part));
    return update->json != NULL ? 0 : -ENOMEM;
}

int tunnel_update_make(struct tunnel_update *update, uint32_t slot,
                       const struct spec_tunnel *before, const struct spec_tunnel *after)
{
    struct spec_peer_index known = {0};
    struct spec_peer_index wanted = {0};
    *update = (struct tunnel_update){0};
    int error = spec_peer_index_init(&known, before);
    if (!error)
        error = spec_peer_index_init(&wanted, after);
    if (!error)
        error = make_head(update, slot, before, &wanted);
    if (!error)
        error = make_json(update, &known, after);
    spec_peer_index_fini(&known);
    spec_peer_index_fini(&wanted);
    if (error)
        tunnel_update_free(update);
    return error;
}

void tunnel_update_free(struct tunnel_update *update)
{
    free(update->head);
    json_free(update->json);
    *update = (struct tunnel_update){0};
}
