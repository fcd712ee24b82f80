#include "storage/push_lag.h"

#include <string.h>

#include "base/units.h"

#define INTERVAL_LEAST_NS (100 * NS_PER_MS)

/* Two become one that came when the first did: what is told is never too young. */
static void thin_out(struct push_lag *lag)
{
    lag->count /= 2;
    for (uint32_t i = 0; i < lag->count; i++) {
        struct push_lag_sample first = lag->samples[2 * i];
        lag->samples[i] = lag->samples[2 * i + 1];
        lag->samples[i].at_ns = first.at_ns;
    }
    lag->interval_ns *= 2;
}

void push_lag_note(struct push_lag *lag, uint64_t now_ns, uint64_t lsn, uint64_t bytes)
{
    struct push_lag_sample sample = {now_ns, lsn, bytes};
    if (lag->interval_ns == 0)
        lag->interval_ns = INTERVAL_LEAST_NS;
    if (lag->count > 0 && lag->samples[lag->count - 1].lsn == lsn)
        return;
    bool is_new = lag->count < 2 || now_ns - lag->samples[lag->count - 2].at_ns >= lag->interval_ns;
    if (!is_new) { /* the first time that its records were seen stays: lag is never told too small */
        lag->samples[lag->count - 1].lsn = lsn;
        lag->samples[lag->count - 1].bytes = bytes;
        return;
    }
    if (lag->count == PUSH_LAG_SAMPLES)
        thin_out(lag);
    lag->samples[lag->count++] = sample;
}

void push_lag_forget(struct push_lag *lag, uint64_t lsn)
{
    uint32_t gone = 0;
    while (gone + 1 < lag->count && lag->samples[gone + 1].lsn <= lsn)
        gone++;
    lag->count -= gone;
    memmove(lag->samples, lag->samples + gone, lag->count * sizeof lag->samples[0]);
    if (lag->count <= 2)
        lag->interval_ns = INTERVAL_LEAST_NS;
}

void push_lag_of(const struct push_lag *lag, uint64_t lsn, uint64_t now_ns, uint64_t *ret_ns,
    uint64_t *ret_bytes)
{
    *ret_ns = *ret_bytes = 0;
    if (lag->count == 0 || lag->samples[lag->count - 1].lsn <= lsn)
        return;
    uint32_t next = 0; /* the first sample that goes beyond */
    while (lag->samples[next].lsn <= lsn)
        next++;
    const struct push_lag_sample *after = &lag->samples[next];
    const struct push_lag_sample *before = next > 0 ? after - 1 : after;
    uint64_t records = after->lsn - before->lsn;
    uint64_t part = records == 0 ? 0
                                 : (uint64_t)((double)(after->bytes - before->bytes)
                                              * (double)(lsn - before->lsn) / (double)records);
    *ret_ns = now_ns - after->at_ns;
    *ret_bytes = lag->samples[lag->count - 1].bytes - before->bytes - part;
}
