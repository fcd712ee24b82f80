#include "bin/latency.h"

#include <stddef.h>

enum { SUB_COUNT = 1 << LATENCY_SUB_BITS };

/* Values below 64 have a bucket each. Above, the highest bit chooses the row and the six bits below
 * it the place. */
static size_t bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - LATENCY_SUB_BITS;
    return (size_t)(shift + 1) * SUB_COUNT + (size_t)((value >> shift) - SUB_COUNT);
}

static uint64_t end_of_bucket(size_t bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    unsigned shift = (unsigned)(bucket / SUB_COUNT) - 1;
    uint64_t start = (uint64_t)(bucket % SUB_COUNT + SUB_COUNT) << shift;
    return start + ((uint64_t)1 << shift) - 1;
}

void latency_add(struct latency *latency, uint64_t duration_ns)
{
    latency->buckets[bucket_of(duration_ns)]++;
    latency->count++;
    if (duration_ns > latency->max_ns)
        latency->max_ns = duration_ns;
}

uint64_t latency_quantile(const struct latency *latency, uint32_t per_mille)
{
    uint64_t seen = 0, wanted = (latency->count * per_mille + 999) / 1000;
    if (latency->count == 0)
        return 0;
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->buckets[i];
        if (seen >= wanted && seen > 0)
            return end_of_bucket(i) < latency->max_ns ? end_of_bucket(i) : latency->max_ns;
    }
    return latency->max_ns;
}
