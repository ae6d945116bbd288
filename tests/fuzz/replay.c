/*
 * The replay window against a model that remembers every counter: steps of the input go forward,
 * back, or anywhere.
 */
#include "tests/fuzz/fuzz.h"

#include "engine/wg/messages.h"
#include "engine/wg/replay.h"

#define COUNTERS_MAX 512

static uint64_t next_counter(struct fuzz_input *input, uint64_t greatest)
{
    unsigned step = fuzz_byte(input);
    switch (step & 3) {
    case 0:
        return greatest + (step >> 2);
    case 1:
        return greatest - (step >> 2);
    case 2:
        return greatest + (fuzz_u16(input) - 0x8000u);
    default:
        return fuzz_u64(input);
    }
}

/* Whether it may be taken: never if it was, or if it is out of range; else the window decides. */
static bool model_accepts(const uint64_t *taken, size_t count, uint64_t greatest, uint64_t counter)
{
    if (counter >= WG_REJECT_AFTER_MESSAGES)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (taken[i] == counter)
            return false;
    }
    return count == 0 || counter > greatest || greatest - counter <= REPLAY_WINDOW;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct replay replay = {0};
    uint64_t taken[COUNTERS_MAX];
    uint64_t greatest = 0;
    size_t count = 0;

    while (input.left > 0 && count < COUNTERS_MAX) {
        uint64_t counter = next_counter(&input, greatest);
        bool wanted = model_accepts(taken, count, greatest, counter);
        fuzz_check(replay_accept(&replay, counter) == wanted);
        if (!wanted)
            continue;
        taken[count++] = counter;
        if (counter > greatest)
            greatest = counter;
    }
    return 0;
}
