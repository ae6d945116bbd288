/*
 * congestion: the table of controls.
 */
#include "engine/stack/congestion.h"

static const struct congestion_control *const controls[] = {
    [STACK_CUBIC] = &cubic_control,
    [STACK_BBR] = &bbr_control,
};

uint32_t congestion_initial_window(uint32_t mss)
{
    uint32_t window = mss * CONGESTION_INITIAL_SEGMENTS;

    if (window > CONGESTION_INITIAL_BYTES)
        window = CONGESTION_INITIAL_BYTES;
    return window > mss * 2 ? window : mss * 2;
}

void congestion_open(struct congestion *congestion, enum stack_congestion kind, uint32_t mss,
                     uint64_t now_us)
{
    *congestion = (struct congestion){
        .control = controls[kind],
        .mss = mss,
        .window = congestion_initial_window(mss),
        .threshold = CONGESTION_NO_THRESHOLD,
    };
    congestion->control->open(congestion, now_us);
}

void congestion_limit_burst(struct congestion *congestion, uint32_t pipe)
{
    uint32_t limit = pipe + congestion_initial_window(congestion->mss);

    if (congestion->rate == 0 && congestion->window > limit)
        congestion->window = limit;
}

void congestion_set_mss(struct congestion *congestion, uint32_t mss)
{
    if (congestion->control->resize != NULL)
        congestion->control->resize(congestion, mss);
    congestion->mss = mss;
    if (congestion->window < mss * 2)
        congestion->window = mss * 2;
}
