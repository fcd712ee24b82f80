/* How long things took: counts in buckets that grow with the value, 64 per power of two, so that a
 * quantile is right to 1.6 %. Fixed size, no allocation. Pure. */
#ifndef CAIRN_BIN_LATENCY_H
#define CAIRN_BIN_LATENCY_H

#include <stdint.h>

enum { LATENCY_SUB_BITS = 6, LATENCY_BUCKETS = 64 * (64 - LATENCY_SUB_BITS + 1) };

struct latency {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency *latency, uint64_t duration_ns);

/** The least bucket end that at least `per_mille` of the values do not exceed; 0 without values. */
uint64_t latency_quantile(const struct latency *latency, uint32_t per_mille);

#endif
