/*
 * replay: a ring of words; counter c has bit c % 64 of word (c / 64) % WORDS. Words between the old
 * and the new greatest counter are cleared as the window slides.
 */
#include "engine/wg/replay.h"

#include "engine/wg/messages.h"

#define WORDS (REPLAY_BITS / REPLAY_WORD_BITS)

/* Moves the window so that counter is its greatest. */
static void window_slide(struct replay *replay, uint64_t counter)
{
    uint64_t word = counter / REPLAY_WORD_BITS;
    uint64_t current = replay->next ? (replay->next - 1) / REPLAY_WORD_BITS : 0;
    uint64_t steps = word - current;

    if (steps > WORDS)
        steps = WORDS;
    for (uint64_t i = 0; i < steps; i++)
        replay->words[(word - i) % WORDS] = 0;
    replay->next = counter + 1;
}

bool replay_accept(struct replay *replay, uint64_t counter)
{
    if (counter >= WG_REJECT_AFTER_MESSAGES)
        return false;
    if (counter >= replay->next)
        window_slide(replay, counter);
    else if (replay->next - 1 - counter > REPLAY_WINDOW)
        return false;

    uint64_t *word = &replay->words[counter / REPLAY_WORD_BITS % WORDS];
    uint64_t bit = UINT64_C(1) << (counter % REPLAY_WORD_BITS);
    if (*word & bit)
        return false;
    *word |= bit;
    return true;
}
