/* How long things took: a histogram of fixed size that costs one shift and two adds.
 *
 * Bucket i holds what took at most 2^(14 + i) ns, 16.4 us to 68.7 s, and more than the bucket before; the
 * last one everything above. 24 buckets tell a quantile to a factor of two over the range that a disk or a
 * network can have; Prometheus adds them up over nodes. */
#ifndef CAIRN_BASE_TIMING_H
#define CAIRN_BASE_TIMING_H

#include "base/check.h"

enum { TIMING_BUCKETS = 24, TIMING_FIRST_BITS = 14 };

struct timing {
    uint64_t buckets[TIMING_BUCKETS];
    uint64_t sum_ns;
};

void timing_add(struct timing *timing, uint64_t duration_ns);
void timing_merge(struct timing *into, const struct timing *from);
uint64_t timing_count(const struct timing *timing);
/** The greatest duration of a bucket; UINT64_MAX of the last. */
uint64_t timing_top_ns(size_t bucket);

#endif
