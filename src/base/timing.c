#include "base/timing.h"

void timing_add(struct timing *timing, uint64_t duration_ns)
{
    uint64_t above = duration_ns > 0 ? (duration_ns - 1) >> TIMING_FIRST_BITS : 0;
    unsigned bucket = above == 0 ? 0 : 64u - (unsigned)__builtin_clzll(above);
    timing->buckets[bucket < TIMING_BUCKETS ? bucket : TIMING_BUCKETS - 1]++;
    timing->sum_ns += duration_ns;
}

void timing_merge(struct timing *into, const struct timing *from)
{
    for (size_t i = 0; i < TIMING_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->sum_ns += from->sum_ns;
}

uint64_t timing_count(const struct timing *timing)
{
    uint64_t count = 0;
    for (size_t i = 0; i < TIMING_BUCKETS; i++)
        count += timing->buckets[i];
    return count;
}

uint64_t timing_top_ns(size_t bucket)
{
    CHECK(bucket < TIMING_BUCKETS);
    return bucket == TIMING_BUCKETS - 1 ? UINT64_MAX : UINT64_C(1) << (TIMING_FIRST_BITS + bucket);
}
