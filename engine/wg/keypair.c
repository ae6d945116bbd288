/*
 * keypair: owns the keys of sessions. How a session moves through the three places:
 *
 *     as initiator:  → current; what was next, or else current, → previous
 *     as responder:  → next, previous is dropped; the first message received on it: → current,
 *                    what was current → previous
 */
#include "engine/wg/keypair.h"

#include "engine/wg/messages.h"

#include <sodium.h>
#include <stdlib.h>

/* An initiator renews what it receives on, so that it is done before both sides must stop. */
#define RENEW_AFTER_RECEIVE (WG_REJECT_AFTER_TIME - WG_KEEPALIVE_TIMEOUT - WG_REKEY_TIMEOUT)

struct keypair *keypair_new(void)
{
    return calloc(1, sizeof(struct keypair));
}

/* Gives up its index, wipes and frees it. NULL is allowed. */
static void keypair_free(struct keypair *keypair, struct indices *indices)
{
    if (!keypair)
        return;
    indices_remove(indices, &keypair->entry);
    aead_key_fini(&keypair->send);
    aead_key_fini(&keypair->receive);
    sodium_memzero(keypair, sizeof(*keypair));
    free(keypair);
}

/* Written so that a clock that steps back makes nothing old. */
static bool older_than(const struct keypair *keypair, uint64_t now, uint64_t age)
{
    return now >= keypair->created_at + age;
}

bool keypair_can_send(const struct keypair *keypair, uint64_t now)
{
    return !keypair->send_expired && keypair->send_counter < WG_REJECT_AFTER_MESSAGES &&
           !older_than(keypair, now, WG_REJECT_AFTER_TIME);
}

bool keypair_can_receive(const struct keypair *keypair, uint64_t counter, uint64_t now)
{
    return counter < WG_REJECT_AFTER_MESSAGES && !older_than(keypair, now, WG_REJECT_AFTER_TIME);
}

bool keypair_stale_after_send(const struct keypair *keypair, uint64_t now)
{
    return keypair->send_counter > WG_REKEY_AFTER_MESSAGES ||
           (keypair->initiator && older_than(keypair, now, WG_REKEY_AFTER_TIME));
}

bool keypair_stale_after_receive(struct keypair *keypair, uint64_t now)
{
    if (keypair->renewing || !keypair->initiator || !older_than(keypair, now, RENEW_AFTER_RECEIVE))
        return false;
    keypair->renewing = true;
    return true;
}

void keypairs_add(struct keypairs *keypairs, struct keypair *keypair, struct indices *indices)
{
    keypair_free(keypairs->previous, indices);
    keypairs->previous = NULL;
    if (!keypair->initiator) {
        keypair_free(keypairs->next, indices);
        keypairs->next = keypair;
        return;
    }
    if (keypairs->next) {
        keypair_free(keypairs->current, indices);
        keypairs->previous = keypairs->next;
        keypairs->next = NULL;
    } else {
        keypairs->previous = keypairs->current;
    }
    keypairs->current = keypair;
}

bool keypairs_confirm(struct keypairs *keypairs, const struct keypair *keypair,
                      struct indices *indices)
{
    if (keypair != keypairs->next)
        return false;
    keypair_free(keypairs->previous, indices);
    keypairs->previous = keypairs->current;
    keypairs->current = keypairs->next;
    keypairs->next = NULL;
    return true;
}

void keypairs_expire_sending(struct keypairs *keypairs)
{
    struct keypair *const all[] = {keypairs->current, keypairs->previous, keypairs->next};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i])
            all[i]->send_expired = true;
}

void keypairs_clear(struct keypairs *keypairs, struct indices *indices)
{
    keypair_free(keypairs->current, indices);
    keypair_free(keypairs->previous, indices);
    keypair_free(keypairs->next, indices);
    *keypairs = (struct keypairs){0};
}
