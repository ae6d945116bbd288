/* capture: owns a ring of datagrams per kind. */
#include "tests/relay/capture.h"

#include <string.h>

void capture_add(struct capture *capture, const uint8_t *data, size_t len)
{
    const unsigned kind = len > 0 && data[0] < CAPTURE_KINDS ? data[0] : 0;
    if (len > CAPTURE_BYTES)
        return;
    struct captured *slot = &capture->datagrams[kind][capture->counts[kind]++ % CAPTURE_DATAGRAMS];
    slot->len = len;
    memcpy(slot->data, data, len);
}

size_t capture_count(const struct capture *capture, unsigned kind)
{
    const uint64_t count = capture->counts[kind];
    return count < CAPTURE_DATAGRAMS ? (size_t)count : CAPTURE_DATAGRAMS;
}

const struct captured *capture_at(const struct capture *capture, unsigned kind, size_t number)
{
    const uint64_t oldest = capture->counts[kind] - capture_count(capture, kind);
    return &capture->datagrams[kind][(oldest + number) % CAPTURE_DATAGRAMS];
}
